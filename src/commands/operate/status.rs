//! `status`: the state of each job.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;

use crate::chart::sparkline;
use crate::cli::{Global, Output};
use crate::commands::output::{self, Table};
use crate::commands::shared::{database, jobs};
use crate::domain::duration;
use crate::settings::Settings;
use crate::store::read::history;

pub(in crate::commands) async fn run(global: &Global) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let rows = history::status(&mut *database.pool.acquire().await?).await?;
    if global.output != Output::Table {
        output::print_table(&everything(rows), global.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        output::note("no job has run yet; try `trueup run JOB`");
    }
    let mut table = Table::new(&["job", "last_run", "published_as_of", "next_due", "firing", "rmse"]);
    for row in &rows {
        let errors = history::recent_errors(&mut *database.pool.acquire().await?, &row.job, TREND).await?;
        let most = errors.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        table.push(vec![
            row.job.clone().into(),
            row.last_state.clone().into(),
            row.last_ok_as_of.into(),
            row.next_due_at.into(),
            row.firing.into(),
            sparkline::text(&errors, most).into(),
        ]);
    }
    if !rows.is_empty() {
        output::print_table(&table, global.output)?;
    }
    // One line for each problem.
    let known: Vec<String> = rows.iter().map(|row| row.job.clone()).collect();
    for row in rows {
        for (count, what) in [
            (row.unfinished, "slots are due or running"),
            (row.missed, "slots were skipped in the last week; `trueup runs` shows why"),
            (row.undelivered, "messages are waiting; `trueup deliveries` shows why"),
        ] {
            if count > 0 {
                output::print(&format!("{}: {count} {what}", row.job))?;
            }
        }
        if let Some(failure) = row.last_failure {
            output::print(&format!("{}: the last run failed: {}", row.job, failure))?;
        }
    }
    files(global, &settings, &known)?;
    Ok(ExitCode::SUCCESS)
}

/// Windows in a sparkline.
const TREND: i64 = 20;

/// Returns all columns, for programs.
fn everything(rows: Vec<history::JobStatus>) -> Table {
    let mut table = Table::new(&[
        "job",
        "last_run",
        "scheduled_for",
        "published_as_of",
        "next_due",
        "unfinished",
        "skipped_7d",
        "firing",
        "undelivered",
        "failure",
    ]);
    for row in rows {
        table.push(vec![
            row.job.into(),
            row.last_state.into(),
            row.last_scheduled_for.into(),
            row.last_ok_as_of.into(),
            row.next_due_at.into(),
            row.unfinished.into(),
            row.missed.into(),
            row.firing.into(),
            row.undelivered.into(),
            row.last_failure.into(),
        ]);
    }
    table
}

/// Prints from the job files how late a change in the source may come and still enter history by itself, and which jobs no
/// longer have a file.
fn files(global: &Global, settings: &Settings, known: &[String]) -> Result<()> {
    // Status is about the database; without a jobs folder there is nothing to report about files.
    let Ok(files) = jobs::load_all(&global.jobs, settings) else { return Ok(()) };
    let (mut named, mut unreadable) = (BTreeSet::new(), false);
    for file in files {
        let Some(job) = file.job else {
            unreadable = true;
            continue;
        };
        named.insert(job.name.clone());
        let bound = if job.is_incremental() {
            format!(
                "rows are read when they arrive, and again for {}; labels may be up to {} late",
                duration::format(job.schedule.overlap),
                duration::format(job.windows.horizon)
            )
        } else {
            format!(
                "without `arrived_at` every run re-reads {} of event time",
                duration::format(job.windows.horizon + job.windows.longest())
            )
        };
        output::note(&format!("{}: {bound}", job.name));
    }
    // An unreadable file may declare any of these jobs.
    for job in known.iter().filter(|job| !unreadable && !named.contains(*job)) {
        output::note(&format!(
            "{job}: no file in `{}` declares it, so it does not run; its history is kept",
            global.jobs.display()
        ));
    }
    Ok(())
}
