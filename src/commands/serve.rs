//! `serve`: runs all jobs on their schedules until SIGTERM or Ctrl-C.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::jobs::{self, JobFile};
use super::{context, output, user_error};
use crate::cli::Global;
use crate::scheduler::{Heartbeat, Scheduler};

/// Runs at the same time; each may hold one connection, and its lease renewal now and then another.
const MOST_PARALLEL: usize = 4;

pub(super) async fn run(global: &Global) -> Result<ExitCode> {
    if global.database_url.is_none() {
        return Err(user_error(
            "`serve` needs a database that outlives it: set DATABASE_URL=postgres://user@host/database \
             (to try a job on a private Postgres, use `trueup run JOB`)",
        ));
    }
    let settings = jobs::settings(global)?;
    let mut planned = BTreeMap::new();
    for path in jobs::files(&global.jobs)? {
        let file = JobFile::load(&path, &settings)?;
        if !file.findings.is_empty() {
            output::note(&file.render());
        }
        // A bad job never stops the others.
        match file.job {
            Some(job) if planned.contains_key(&job.name) => {
                return Err(user_error(format!(
                    "the job `{}` is declared twice; `{}` is the second",
                    job.name, file.path
                )));
            }
            Some(job) => drop(planned.insert(job.name.clone(), Arc::new(job))),
            None => output::note(&format!("error: `{}` has mistakes and is not served", file.path)),
        }
    }
    if planned.is_empty() {
        return Err(user_error(format!("there is no job to serve in `{}`", global.jobs.display())));
    }
    let database = context::database(global, &settings).await?;
    let prepared = context::receivers(&settings);
    for (name, why) in prepared.by_name.iter().filter_map(|(name, receiver)| Some((name, receiver.as_ref().err()?))) {
        output::note(&format!("warning: the receiver `{name}` cannot be used: {why}; its messages wait"));
    }
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for Ctrl-C")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    let scheduler = Scheduler {
        pool: database.pool.clone(),
        jobs: planned,
        receivers: Arc::new(prepared),
        routing: Arc::new(settings.routing.clone()),
        lease: settings.lease,
        poll: settings.poll,
        keep_windows: settings.keep_windows,
        watchdog: settings
            .watchdog
            .as_ref()
            .map(|watchdog| Heartbeat { every: watchdog.every, patience: watchdog.patience }),
        name: context::runner_name(),
        parallel: MOST_PARALLEL.min(usize::try_from(settings.max_connections).unwrap_or(2) / 2).max(1),
    };
    scheduler.serve(stopped).await?;
    Ok(ExitCode::SUCCESS)
}
