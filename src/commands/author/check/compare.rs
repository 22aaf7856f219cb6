//! Compares jobs with the database: the names they use, the rows a run would read, and whether the data fit.

use anyhow::{Context as _, Result, anyhow};
use chrono::{TimeDelta, Utc};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::{classes, encoding};
use crate::commands::output::progress;
use crate::commands::shared::jobs::JobFile;
use crate::commands::user_error;
use crate::domain::duration;
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::postgres::{connect, pooler, refused};
use crate::spec::{Diagnostic, Document};
use crate::warehouse::indexes;
use crate::warehouse::inspect::{self, Placement, SourceError, SourceMistake};

/// Compares every job that has no mistakes of its own. Results, and reasons that a job cannot be compared, are findings of its
/// file; an error means that the database could not be reached.
pub(super) async fn with_database(options: PgConnectOptions, files: &mut [JobFile]) -> Result<()> {
    let spinner = progress::spinner("comparing with the database");
    let pool = reach(options).await.context("the jobs were not compared with the database")?;
    for file in files {
        if let Err(error) = compare(&pool, file).await {
            let refused = error.as_database_error().ok_or_else(|| {
                anyhow!("`{}` was not compared with the database: {}", file.path, refused::why(&error))
            })?;
            let message = format!("the job could not be compared with the database: {}", refused.message());
            let span = file.document.as_ref().map_or(0..0, |document| document.locate("predictions"));
            let finding = Diagnostic::error("not-compared", span, message);
            let state = refused.code().unwrap_or_default().into_owned();
            let hint = format!("fix this first; a run would fail in the same way (SQLSTATE {state})");
            file.findings.push(finding.hint(hint));
        }
    }
    spinner.finish();
    Ok(())
}

async fn reach(options: PgConnectOptions) -> Result<PgPool> {
    // Connect once first: a pool would retry until its timeout.
    match pooler::connect(&options).await {
        Ok(connection) => {
            drop(connection.close().await);
            connect::pool(options, 2).await
        }
        Err(error) => {
            let why = format!("{}: {}", refused::place(&options), refused::why(&error));
            // An address that no run could use is the user's to fix.
            Err(if matches!(error, sqlx::Error::Configuration(_)) { user_error(why) } else { anyhow!(why) })
        }
    }
}

async fn compare(pool: &PgPool, file: &mut JobFile) -> sqlx::Result<()> {
    let (Some(job), Some(document)) = (&file.job, &file.document) else { return Ok(()) };
    let mut connection = pool.acquire().await?;
    // Not in one transaction: the first mistake would end it and hide the others.
    sqlx::query("set default_transaction_read_only = on").execute(&mut *connection).await?;
    file.findings.extend(encoding::unfit(&mut connection, document).await?);
    let facts = match inspect::inspect(&mut connection, job).await {
        Ok(facts) => facts,
        Err(SourceError::Mistakes(mistakes)) => {
            file.findings.extend(mistakes.into_iter().map(|mistake| finding(document, mistake)));
            return Ok(());
        }
        Err(SourceError::Database(error)) => return Err(error),
    };
    let refused = inspect::look(&mut connection, job).await?;
    if !refused.is_empty() {
        file.findings.extend(refused.into_iter().map(|mistake| finding(document, mistake)));
        return Ok(());
    }
    file.findings.extend(keys(job, document, &facts));
    file.findings.extend(placed(job, document, &inspect::placements(&mut connection, job).await?));
    let missing = indexes::missing_indexes(&mut connection, job).await?;
    let indexed = missing.is_empty();
    for missing in missing {
        let span = document.locate(missing.path);
        let finding = Diagnostic::warning("no-index", span, "every run reads the whole table to find these rows");
        file.findings.push(finding.hint(format!("create an index: {}", missing.sql)));
    }
    let data = data(&mut connection, job, document, facts.predictions_unique).await?;
    // The queries below evaluate every expression on many rows.
    let evaluates = data.iter().all(|finding| finding.code != "failing-value");
    file.findings.extend(data);
    if !evaluates {
        return Ok(());
    }
    let data_profile = inspect::data_profile(&mut connection, job, indexed).await?;
    file.findings.extend(unusual(job, document, &data_profile));
    if let Some(profile) = inspect::class_profile(&mut connection, job, &facts).await? {
        file.findings.extend(classes::unfit(job, document, &profile));
    }
    file.size = size(job, &data_profile);
    Ok(())
}

/// Locates a mistake in the document, and adds the message of Postgres.
fn finding(document: &Document, mistake: SourceMistake) -> Diagnostic {
    let message = match mistake.said {
        Some(said) => format!("{}; Postgres says: {said}", mistake.message),
        None => mistake.message,
    };
    Diagnostic::error(mistake.code, document.locate(&mistake.path), message).hint(mistake.hint)
}

/// Warns about keys that nothing makes unique.
fn keys(job: &PlannedJob, document: &Document, facts: &SourceFacts) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if !facts.predictions_unique {
        let message = "no unique index guarantees one prediction per key";
        let finding = Diagnostic::warning("no-unique-key", document.locate("predictions.id"), message);
        let hint = "add one, or write `unique = true` if keys are unique; otherwise every read checks for duplicates";
        findings.push(finding.hint(hint));
    }
    if !facts.labels_unique && job.labels.arrived_at.is_none() {
        let message = "no unique index guarantees one label per key, and nothing shows which of several is the latest";
        let finding = Diagnostic::warning("no-unique-key", document.locate("labels.id"), message);
        let hint = "set `arrived_at`, or make the key unique; keys whose labels differ are left out as ambiguous";
        findings.push(finding.hint(hint));
    }
    findings
}

/// Warns about predictions that share their key: they are left out of every metric.
fn repeated((rows, shared): (i64, i64), document: &Document) -> Option<Diagnostic> {
    let message = format!(
        "{shared} of the newest {rows} predictions share their key with another and are left out as duplicates"
    );
    let finding = Diagnostic::warning("repeated-key", document.locate("predictions.id"), message);
    let hint = "add the column that distinguishes them, such as a lead time, to `id`; `labels.id` does not need it";
    (shared > 0).then(|| finding.hint(hint))
}

/// Warns about tables of a sharded database that do not keep the rows of one key together: correct, but several times slower.
fn placed(job: &PlannedJob, document: &Document, placements: &[Placement]) -> Vec<Diagnostic> {
    if !placements.iter().any(Placement::is_sharded) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let first =
        placements.iter().find(|placement| placement.column.is_some()).and_then(|placement| placement.colocation);
    for placement in placements {
        let Placement { section, table, column, colocation, .. } = placement;
        let (at, keys) = match section.as_str() {
            "labels" => ("labels.id", &job.labels.id),
            _ => ("predictions.id", &job.predictions.id),
        };
        let span = document.locate(at);
        match column {
            Some(column) if !keys.iter().any(|key| key.as_str() == column) => {
                let message = format!("{table} is distributed on `{column}`, which is not part of the key");
                let finding = Diagnostic::warning("not-on-the-key", span, message);
                findings.push(finding.hint("distribute it on a column of `id`; otherwise every run moves its rows"));
            }
            _ if *colocation == first => {}
            // A reference table is joined wherever the predictions are.
            None if placement.is_everywhere() && section == "predictions" => {}
            _ => {
                let message = format!("{table} is not colocated with the other distributed table of the job");
                let finding = Diagnostic::warning("not-colocated", span, message);
                findings.push(
                    finding.hint("distribute both on the key with `colocate_with`; otherwise every run moves labels"),
                );
            }
        }
    }
    findings
}

/// Reports data that is left out, fails in an expression, or moves with the clock.
async fn data(
    connection: &mut PgConnection,
    job: &PlannedJob,
    document: &Document,
    unique: bool,
) -> sqlx::Result<Vec<Diagnostic>> {
    let mut findings = Vec::new();
    for mistake in inspect::failing(connection, job).await? {
        let warning = finding(document, mistake);
        findings.push(Diagnostic { level: crate::spec::Level::Warning, ..warning });
    }
    for (path, clock) in inspect::moving(connection, job).await? {
        let message = format!("its rows depend on the current time ({clock}), so old rows disappear from it");
        let finding = Diagnostic::warning("moving-source", document.locate(path), message);
        findings.push(
            finding
                .hint("read the underlying table to revise history; otherwise it keeps lost rows (`windows.shrink`)"),
        );
    }
    for mistake in inspect::not_unique(connection, job, Utc::now() - job.windows.horizon).await? {
        findings.push(finding(document, mistake));
    }
    if !unique {
        findings.extend(repeated(inspect::repeated_keys(connection, job).await?, document));
    }
    for lacking in inspect::nulls(connection, job).await? {
        let span = document.locate(&lacking.path);
        let finding = Diagnostic::warning("null-key", span, lacking.message);
        findings.push(finding.hint(lacking.hint));
    }
    if document.has("windows.horizon")
        && let Some(first) = inspect::begins_late(connection, job).await?
    {
        let message = format!(
            "the source starts at {}, but the horizon is {}",
            first.format("%Y-%m-%d %H:%M UTC"),
            duration::format(job.windows.horizon)
        );
        let finding = Diagnostic::warning("short-source", document.locate("windows.horizon"), message);
        let hint =
            "if old rows are removed, shorten the horizon to what the source keeps; history keeps their measurements";
        findings.push(finding.hint(hint));
    }
    Ok(findings)
}

/// Describes how much a first build and each run after it have to read.
fn size(job: &PlannedJob, data_profile: &inspect::Habits) -> Option<String> {
    let (predictions, labels) = (data_profile.rows.0?, data_profile.rows.1?);
    let overlap = duration::format(job.schedule.overlap);
    let each = match (job.is_incremental(), data_profile.each_run) {
        (true, Some((predictions, labels))) => format!(
            "later runs read rows that arrived since the last one and in the {overlap} before it, recently {predictions} \
             predictions and {labels} labels"
        ),
        (true, None) => {
            format!("later runs read rows that arrived since the last one and in the {overlap} before it")
        }
        (false, _) => format!(
            "later runs re-read the last {}, because `arrived_at` is not declared on both tables",
            duration::format(job.windows.horizon)
        ),
    };
    Some(format!(
        "{}: about {predictions:.0} predictions and {labels:.0} labels; the first run reads those of its windows, {each}",
        job.name
    ))
}

/// Warns about data that does not fit the job.
fn unusual(job: &PlannedJob, document: &Document, data_profile: &inspect::Habits) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "seconds of a few years")]
    if let Some(latency) =
        data_profile.label_latency.filter(|seconds| *seconds > job.windows.label_wait.num_seconds() as f64)
    {
        let needed = TimeDelta::hours((latency / 3_600.0).ceil() as i64);
        let message = format!(
            "95 % of the labels arrive within {}, but windows are final after {}",
            duration::format(needed),
            duration::format(job.windows.label_wait)
        );
        let finding = Diagnostic::warning("short-label-wait", document.locate("windows.label_wait"), message);
        findings.push(finding.hint(format!(
            "use `label_wait = \"{}\"`, or accept that windows become final without them",
            duration::format(needed)
        )));
    }
    let many = |(place, values): (usize, &i64)| (*values > i64::from(inspect::MOST_VALUES)).then_some(place);
    for place in data_profile.cardinality.iter().enumerate().filter_map(many) {
        let name = job.dimensions.get(place).map_or("", |dimension| dimension.name.as_str());
        let message = format!("`{name}` has more than {} values among the newest predictions", inspect::MOST_VALUES);
        let finding = Diagnostic::warning("many-cohorts", document.locate("cohorts[0]"), message);
        findings.push(
            finding.hint("group its values by an expression in `by`, such as a range of numbers or the first letters"),
        );
    }
    findings
}
