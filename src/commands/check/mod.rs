//! `check`: every mistake of the job files and the settings, at once.

mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use chrono::TimeDelta;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgPool};

use super::output::{self, Table};
use super::{context, jobs, progress};
use crate::cli::{Global, Output};
use crate::measure::indexes;
use crate::measure::source::{self, SourceError};
use crate::plan::{PlannedJob, duration};
use crate::postgres::local::LocalDatabase;
use crate::postgres::{connect, pooler, refused};
use crate::settings::{Loaded, ReceiverSettings, Settings};
use crate::spec::diagnostic::did_you_mean;
use crate::spec::{Diagnostic, Document, Level, codes};
use jobs::JobFile;
use report::Found;

pub(super) async fn run(global: &Global, path: Option<&Path>) -> Result<ExitCode> {
    let mut loaded = jobs::load_settings(global)?;
    missing_secrets(&mut loaded);
    let none = Settings::default();
    let settings = loaded.settings.as_ref().unwrap_or(&none);
    let mut files = Vec::new();
    for path in jobs::files(path.unwrap_or(&global.jobs))? {
        files.push(JobFile::load(&path, settings).map_err(|error| super::user_error(format!("{error:#}")))?);
    }
    repeated_names(&mut files);
    let notes = match (&global.database_url, Path::new(context::LOCAL_FOLDER).is_dir()) {
        (Some(url), _) => compare_with_database(context::options(url)?, &mut files).await?,
        // What other commands use without an address; it is not started for this alone where it never was.
        (None, true) => {
            let local = context::local_server(Path::new(context::LOCAL_FOLDER)).await?;
            let options = local.options(LocalDatabase::Main.name());
            compare_with_database(options, &mut files).await?
        }
        (None, false) => vec![
            "note: the jobs were not compared with a database: set DATABASE_URL, and tables, columns and types are checked too"
                .to_owned(),
        ],
    };
    match global.output {
        Output::Table => show(&loaded, &files)?,
        Output::Sarif => output::print_json(&report::sarif(&all(&loaded, &files)))?,
        Output::Github => output::print_lines(&report::github(&all(&loaded, &files)))?,
        other => output::print_table(&table(&loaded, &files), other)?,
    }
    // Last, where they are read: a check that was not made is no check that passed.
    notes.iter().for_each(|note| output::note(note));
    let failed = loaded.findings.iter().any(|f| f.level == Level::Error) || files.iter().any(JobFile::has_errors);
    Ok(ExitCode::from(u8::from(failed)))
}

/// What a code means.
pub(super) fn explain(name: &str) -> Result<ExitCode> {
    let near = || did_you_mean(name, codes::CODES.iter().map(|code| code.name));
    let Some(code) = codes::find(name) else {
        let hint = near().map_or_else(
            || "`trueup explain --errors` has all of them".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(super::user_error(format!("there is no code `{name}`; {hint}")));
    };
    output::print_lines(&format!("{}\n\n{}", code.means, code.mend))?;
    Ok(ExitCode::SUCCESS)
}

/// All findings with their files.
fn all<'a>(loaded: &'a Loaded, files: &'a [JobFile]) -> Vec<Found<'a>> {
    let settings = std::iter::once((loaded.path.as_str(), loaded.text.as_str(), &loaded.findings));
    let jobs = files.iter().map(|file| (file.path.as_str(), file.text.as_str(), &file.findings));
    let of = |(path, text, findings): (&'a str, &'a str, &'a Vec<Diagnostic>)| {
        findings.iter().map(move |finding| Found { path, position: finding.position(text), finding })
    };
    settings.chain(jobs).flat_map(of).collect()
}

/// A secret may be set only where jobs run, so one that is missing here is a warning.
fn missing_secrets(loaded: &mut Loaded) {
    let (Some(settings), Some(document)) = (&loaded.settings, &loaded.document) else { return };
    for (name, receiver) in &settings.receivers {
        if let Err(why) = ReceiverSettings::connect(receiver) {
            let span = document.locate(&format!("receivers.{name}"));
            let finding =
                Diagnostic::warning("unusable-receiver", span, format!("`{name}` cannot be used here: {why}"));
            loaded.findings.push(finding.hint("set it where `trueup run` or `trueup serve` runs"));
        }
    }
}

fn repeated_names(files: &mut [JobFile]) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let (Some(job), Some(document)) = (&file.job, &file.document) else { continue };
        match seen.get(&job.name) {
            Some(first) => file.findings.push(
                document
                    .error("job.name", "repeated-job", format!("the job `{}` is declared in `{first}` too", job.name))
                    .hint("rename one of them"),
            ),
            None => drop(seen.insert(job.name.clone(), file.path.clone())),
        }
    }
}

/// Compares the jobs with their tables, where the database can be reached. Says what could not be compared.
async fn compare_with_database(options: PgConnectOptions, files: &mut [JobFile]) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let spinner = progress::spinner("comparing with the database");
    // Asked once first: a pool would try again and again until its time is over.
    let pool = match pooler::connect(&options).await {
        Ok(connection) => {
            drop(connection.close().await);
            connect::pool(options, 2).await
        }
        Err(error) => {
            let why = format!("{}: {}", connect::place(&options), refused::why(&error));
            // No run would work either.
            if matches!(error, sqlx::Error::Configuration(_)) {
                spinner.finish();
                return Err(super::user_error(why));
            }
            Err(anyhow::anyhow!(why))
        }
    };
    match pool {
        Err(error) => notes.push(format!("note: the jobs were not compared with the database: {}", brief(&error))),
        Ok(pool) => {
            for file in files {
                if file.job.is_none() {
                    notes.push(format!(
                        "note: `{}` is compared with the database once its mistakes are mended",
                        file.path
                    ));
                } else if let Err(error) = compare(&pool, file).await {
                    notes.push(format!("note: `{}` was not compared with the database: {error}", file.path));
                }
            }
        }
    }
    spinner.finish();
    Ok(notes)
}

/// What failed, and why at the bottom: what lies between says the same again.
fn brief(error: &anyhow::Error) -> String {
    let (first, root) = (error.to_string(), error.root_cause().to_string());
    if first.contains(&root) { first } else { format!("{first}: {root}") }
}

async fn compare(pool: &PgPool, file: &mut JobFile) -> sqlx::Result<()> {
    let (Some(job), Some(document)) = (&file.job, &file.document) else { return Ok(()) };
    let mut connection = pool.acquire().await?;
    // Not in one transaction: the first mistake would end it, and hide the others.
    sqlx::query("set default_transaction_read_only = on").execute(&mut *connection).await?;
    match source::inspect(&mut connection, job).await {
        Ok(facts) => {
            if !facts.predictions_unique {
                let finding = Diagnostic::warning(
                    "no-unique-key",
                    document.locate("predictions.id"),
                    "no unique index guarantees one prediction per key",
                );
                file.findings.push(finding.hint("add one if you can: without it every read looks for duplicates"));
            }
            let missing = indexes::missing_indexes(&mut connection, job).await?;
            let indexed = missing.is_empty();
            if !facts.labels_unique && job.labels.arrived_at.is_none() {
                let finding = Diagnostic::warning(
                    "no-unique-key",
                    document.locate("labels.id"),
                    "no unique index guarantees one label per key, and nothing says which of several is the latest",
                );
                file.findings.push(finding.hint(
                    "name `arrived_at`, or make the key unique: a key whose labels differ is left out as ambiguous",
                ));
            }
            for missing in missing {
                let span = document.locate(missing.path);
                let finding =
                    Diagnostic::warning("no-index", span, "every run reads the whole table to find these rows");
                file.findings.push(finding.hint(format!("an index would help: {}", missing.sql)));
            }
            let habits = source::habits(&mut connection, job, indexed).await?;
            file.findings.extend(unusual(job, document, &habits));
            file.size = size(job, &habits);
        }
        Err(SourceError::Mistakes(mistakes)) => {
            let finding =
                |m: source::SourceMistake| Diagnostic::error(m.code, document.locate(&m.path), m.message).hint(m.hint);
            file.findings.extend(mistakes.into_iter().map(finding));
        }
        Err(SourceError::Database(error)) => return Err(error),
    }
    Ok(())
}

/// How much a first build and each run after it have to read, in words.
fn size(job: &PlannedJob, habits: &source::Habits) -> Option<String> {
    let (predictions, labels) = (habits.rows.0?, habits.rows.1?);
    let overlap = duration::format(job.schedule.overlap);
    let each = match (job.is_incremental(), habits.each_run) {
        (true, Some((predictions, labels))) => format!(
            "each run what arrived since the last and {overlap} before it, lately {predictions} predictions and {labels} labels"
        ),
        (true, None) => format!("each run what arrived since the last and {overlap} before it"),
        (false, _) => format!(
            "each run the last {} again, because `arrived_at` is not on both tables",
            duration::format(job.windows.horizon)
        ),
    };
    Some(format!(
        "{}: about {predictions:.0} predictions and {labels:.0} labels; the first run reads those of its windows once, {each}",
        job.name
    ))
}

/// What of the data does not go with the job.
fn unusual(job: &PlannedJob, document: &Document, habits: &source::Habits) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "seconds of a few years")]
    if let Some(latency) = habits.label_latency.filter(|seconds| *seconds > job.windows.label_wait.num_seconds() as f64)
    {
        let needed = TimeDelta::hours((latency / 3_600.0).ceil() as i64);
        let message = format!(
            "95 % of the labels need up to {}, and windows are final after {}",
            duration::format(needed),
            duration::format(job.windows.label_wait)
        );
        let finding = Diagnostic::warning("short-label-wait", document.locate("windows.label_wait"), message);
        findings.push(
            finding
                .hint(format!("use `label_wait = \"{}\"`, or judge without them knowingly", duration::format(needed))),
        );
    }
    let many = |(place, values): (usize, &i64)| (*values > i64::from(source::MOST_VALUES)).then_some(place);
    for place in habits.cardinality.iter().enumerate().filter_map(many) {
        let name = job.dimensions.get(place).map_or("", |dimension| dimension.name.as_str());
        let message = format!("`{name}` has more than {} values among the newest predictions", source::MOST_VALUES);
        let finding = Diagnostic::warning("many-cohorts", document.locate("cohorts[0]"), message);
        findings.push(finding.hint("set `top`, or group the values by an expression"));
    }
    findings
}

fn show(loaded: &Loaded, files: &[JobFile]) -> Result<()> {
    if !loaded.findings.is_empty() {
        output::print_styled(&format!("{}\n", jobs::render(&loaded.path, &loaded.text, &loaded.findings)))?;
    }
    for file in files.iter().filter(|file| !file.findings.is_empty()) {
        output::print_styled(&format!("{}\n", file.render()))?;
    }
    for size in files.iter().filter_map(|file| file.size.as_ref()) {
        output::print(size)?;
    }
    let count = |level: Level| {
        let in_files = files.iter().flat_map(|file| &file.findings).filter(|f| f.level == level).count();
        in_files + loaded.findings.iter().filter(|f| f.level == level).count()
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let jobs = files.len();
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    output::print(&format!(
        "{} checked: {}, {}",
        plural(jobs, "job file"),
        plural(errors, "error"),
        plural(warnings, "warning")
    ))
}

fn table(loaded: &Loaded, files: &[JobFile]) -> Table {
    let mut table = Table::new(&["file", "line", "column", "level", "code", "message", "hint"]);
    for Found { path, position: (line, column), finding } in all(loaded, files) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        table.push(vec![
            path.into(),
            number(line).into(),
            number(column).into(),
            report::level(finding).into(),
            finding.code.into(),
            finding.message.clone().into(),
            finding.hint.clone().into(),
        ]);
    }
    table
}
