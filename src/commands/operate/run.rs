//! `run`: one run of one job, now or as of a past time.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::cli::{Global, Output, RunArgs};
use crate::commands::output::{self, Cell, Table, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::dispatch::send;
use crate::evaluate::rules::{self, Evidence};
use crate::metric::JobMetric;
use crate::metric::measurement::Measurement;
use crate::pipeline::enter::{Refused, RunRequest, enter};
use crate::pipeline::execute::{self, Ended};
use crate::pipeline::{self, Published};
use crate::plan::PlannedJob;
use crate::plan::rule::Limits;
use crate::settings::Settings;
use crate::store::clock;
use crate::store::ledger::plan as plan_store;
use crate::store::ledger::run::Claim;
use crate::store::read::history;
use crate::warehouse::failure::{Cure, RunError};
use crate::warehouse::{contradictions, session};

pub(in crate::commands) async fn run(global: &Global, args: &RunArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, &args.job)?;
    let database = database::database(global, &settings).await?;
    let at = match args.at {
        Some(at) => at,
        None => clock::now(&mut *database.pool.acquire().await?).await?,
    };
    if args.dry_run {
        return dry_run(global, &database.pool, &job, at).await;
    }
    let spinner = progress::spinner(&format!("running {}", job.name));
    let claim = claim(&database.pool, &settings, &job, RunRequest::RunAt(at)).await?;
    let ended = execute::execute(&database.pool, &job, &claim, at, settings.lease, &settings.routing).await;
    spinner.finish();
    finish(global, &database.pool, &settings, &job, &claim, ended).await
}

/// Runs a job now and compares the whole horizon with the source.
pub(in crate::commands) async fn reconcile(global: &Global, name: &str) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, name)?;
    if !job.is_incremental() {
        return Err(user_error(format!(
            "`{name}` reads its whole horizon at every run, because `arrived_at` is not declared on both tables: \
             there is nothing to reconcile"
        )));
    }
    let database = database::database(global, &settings).await?;
    let spinner = progress::spinner(&format!("comparing {} with its source", job.name));
    let claim = claim(&database.pool, &settings, &job, RunRequest::Reconcile).await?;
    let at = claim.scheduled_for;
    let ended = execute::execute(&database.pool, &job, &claim, at, settings.lease, &settings.routing).await;
    spinner.finish();
    finish(global, &database.pool, &settings, &job, &claim, ended).await
}

/// Delivers the notifications of a run and shows its results.
async fn finish(
    global: &Global,
    pool: &PgPool,
    settings: &Settings,
    job: &PlannedJob,
    claim: &Claim,
    ended: Ended,
) -> Result<ExitCode> {
    let published = match ended {
        Ended::Ok(published) => published,
        Ended::Skipped(reason) => {
            return Err(user_error(format!("not run: {reason}; use --dry-run to inspect that time")));
        }
        Ended::Failed(error) | Ended::GivenBack(error, _) | Ended::Abandoned(error) => return Err(failed(error)),
    };
    left_out(pool, job, claim.scheduled_for, &published.measurements).await?;
    let receivers = database::receivers(settings);
    let spinner = progress::spinner("delivering");
    let summary = send::deliver_run(pool, &receivers, claim.run_id).await?;
    spinner.finish();
    show(global, job, claim.scheduled_for, &published, summary)?;
    Ok(ExitCode::SUCCESS)
}

/// Warns about predictions left out because the data contradict themselves, with a few of their keys: from the residuals or, if
/// those are missing, from the source over the shortest window with such predictions.
async fn left_out(pool: &PgPool, job: &PlannedJob, as_of: DateTime<Utc>, measured: &[Measurement]) -> Result<()> {
    let contradict = |m: &&Measurement| m.sample.counts.duplicates > 0 || m.sample.counts.ambiguous > 0;
    let mut connection = pool.acquire().await?;
    // With row-by-row evaluation some expressions fail, which no count of a window shows.
    let guarded = plan_store::is_guarded(&mut connection, &job.name).await?;
    let looked_at = measured.iter().filter(|m| guarded || contradict(m)).map(|m| m.slice);
    let Some(window) = looked_at.min_by_key(|slice| slice.end - slice.start) else {
        return Ok(());
    };
    let warn = |predictions: i64, outcome: &str, examples: &[String]| {
        let examples = examples.join(", ");
        output::note(&format!("warning: {predictions} predictions are left out ({outcome}), such as {examples}"));
    };
    let kept = history::contradictions(&mut connection, &job.name).await?;
    for found in &kept {
        warn(found.predictions, &found.outcome, &found.examples);
    }
    if kept.is_empty() || guarded {
        let spinner = progress::spinner("querying predictions that are left out");
        let job = if guarded { &job.evaluated_row_by_row() } else { job };
        let facts = pipeline::inspect(&mut connection, job).await.map_err(failed)?;
        let range = window.start..window.end;
        let mut transaction = session::begin(&mut connection, &facts).await?;
        let found = contradictions::of_source(&mut transaction, job, &facts, as_of, &range).await?;
        transaction.rollback().await?;
        spinner.finish();
        for found in &found {
            warn(found.predictions, &found.outcome, &found.examples);
        }
    }
    Ok(())
}

/// A job that does not fit its data is the user's to fix; everything else is ours.
fn failed(error: RunError) -> anyhow::Error {
    match error.cure() {
        Cure::Fail if matches!(error, RunError::Source(_)) => user_error(format!("the run failed: {error}")),
        _ => anyhow!("the run failed: {error}"),
    }
}

/// Enters the run into the ledger, or reports why it cannot.
async fn claim(pool: &PgPool, settings: &Settings, job: &PlannedJob, asked: RunRequest) -> Result<Claim> {
    match enter(pool, job, asked, &database::runner_name(), settings.lease).await? {
        Ok(claim) => Ok(claim),
        Err(Refused::InTheFuture { now }) => Err(user_error(format!(
            "the time is in the future: the clock of the database says {}; use --dry-run to preview it",
            now.to_rfc3339()
        ))),
        Err(Refused::AlreadyPublished { newest }) => Err(user_error(format!(
            "`{}` has already been measured as of {}, and a run for an earlier time would rewrite that; \
             use --dry-run to preview, or `backfill` to recompute",
            job.name,
            newest.to_rfc3339()
        ))),
        Err(Refused::UnderWay) => bail!("another process is running `{}`; try again when it has finished", job.name),
    }
}

async fn dry_run(global: &Global, pool: &PgPool, job: &PlannedJob, at: DateTime<Utc>) -> Result<ExitCode> {
    let spinner = progress::spinner(&format!("measuring {} without writing", job.name));
    let measured = pipeline::dry_run(pool, job, at).await.map_err(failed)?;
    spinner.finish();
    let newest = newest(&measured);
    output::print_table(&measurements(job, &newest), global.output)?;
    if global.output == Output::Table {
        for rule in &job.rules {
            let judged = newest
                .iter()
                .filter(|m| m.window == rule.window && m.model_version.is_none() && m.cohort.label() == "all");
            for measurement in judged {
                // A comparison with history needs a run that may read it.
                if rule
                    .when
                    .tests()
                    .iter()
                    .any(|test| test.window != rule.window || !matches!(test.limits, Limits::Fixed(_)))
                {
                    continue;
                }
                let evidence = Evidence { sample: Some(&measurement.sample), past: Vec::new() };
                let judgement = rules::judge(rule, measurement.slice, &vec![evidence; rule.when.tests().len()]);
                output::print(&format!(
                    "rule `{}`: {} ({})",
                    rule.name,
                    judgement.verdict.as_str(),
                    judgement.reason.describe()
                ))?;
            }
        }
        output::note("nothing was written or sent");
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the measurements in the last window of each name.
fn newest(measured: &[Measurement]) -> Vec<&Measurement> {
    let last = |name: &str| measured.iter().filter(|m| m.window == name).map(|m| m.slice.end).max();
    measured.iter().filter(|m| Some(m.slice.end) == last(&m.window)).collect()
}

fn measurements(job: &PlannedJob, measured: &[&Measurement]) -> Table {
    let metrics: Vec<&str> = job.metrics.iter().filter(|metric| !metric.is_detail()).map(JobMetric::name).collect();
    let columns =
        [&["window", "window_end", "cohort", "version"][..], &metrics, &["labeled", "predictions", "coverage"]]
            .concat();
    let mut table = Table::new(&columns);
    for m in measured {
        let mut row: Vec<Cell> =
            vec![m.window.clone().into(), m.slice.end.into(), m.cohort.label().into(), m.model_version.clone().into()];
        row.extend(metrics.iter().map(|name| Cell::from(m.sample.metrics.get(*name).copied().flatten())));
        row.extend([
            m.sample.counts.labeled.into(),
            m.sample.counts.predictions.into(),
            m.sample.counts.coverage().into(),
        ]);
        table.push(row);
    }
    table
}

fn show(
    global: &Global,
    job: &PlannedJob,
    at: DateTime<Utc>,
    published: &Published,
    summary: send::Summary,
) -> Result<()> {
    let newest = newest(&published.measurements);
    output::print_table(&measurements(job, &newest), global.output)?;
    if global.output != Output::Table {
        return Ok(());
    }
    let done = published.done;
    output::note(&format!(
        "{} as of {}: {} rows read, {} buckets recomputed, {} measurements written",
        job.name,
        at.format("%Y-%m-%d %H:%M:%S UTC"),
        done.rows_read,
        done.buckets_recomputed,
        done.windows_written
    ));
    if !job.is_incremental() {
        output::note("note: without `arrived_at` on both tables every run re-reads the whole horizon");
    }
    if let Some(repaired) = done.buckets_repaired {
        output::note(&match repaired {
            0 => "history agrees with the source over the whole horizon".to_owned(),
            1 => "1 bucket differed from the source and was recomputed".to_owned(),
            n => format!("{n} buckets differed from the source and were recomputed"),
        });
    }
    if done.rows_beyond_horizon > 0 {
        output::note(&format!(
            "note: {} changed rows are older than the horizon; use `backfill` to include them",
            done.rows_beyond_horizon
        ));
    }
    for told in &published.transitions {
        output::note(&format!(
            "alert `{}` for {}{}: {} -> {}",
            told.rule,
            told.cohort,
            told.model_version.as_ref().map_or(String::new(), |version| format!(", version {version}")),
            told.from.as_str(),
            told.to.as_str()
        ));
    }
    if summary != send::Summary::default() {
        output::note(&format!(
            "notifications: {} sent, {} to be retried, {} given up",
            summary.sent, summary.retried, summary.dead
        ));
    }
    Ok(())
}
