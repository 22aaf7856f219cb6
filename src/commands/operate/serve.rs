//! `serve`: runs all jobs on their schedules until SIGTERM or Ctrl-C, and reloads job files that change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::Global;
use crate::commands::shared::database::{self, Away, Database};
use crate::commands::shared::folder::{self, Listing, Stamp};
use crate::commands::shared::jobs::{self, JobFile};
use crate::commands::shared::{pages, signals};
use crate::commands::user_error;
use crate::plan::PlannedJob;
use crate::scheduler::{Heartbeat, Jobs, Scheduler, ServedJobs};
use crate::settings::Settings;
use crate::spec::Level;
use crate::telemetry;
use crate::web::{self, Acts, Retention, Runner};

/// Maximum parallel runs. Each may hold one connection, and now and then another to renew its lease.
const MOST_PARALLEL: usize = 4;
/// Time that a ledger check may take beyond lease and poll before the process counts as unhealthy.
const MARGIN: Duration = Duration::from_secs(10);
/// Longest pause between attempts to connect to a database that is not up yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Interval at which job files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub(in crate::commands) async fn run(global: &Global) -> Result<ExitCode> {
    if global.database_url.is_none() {
        return Err(user_error(
            "`serve` needs a database that outlives it: set DATABASE_URL=postgres://user@host/database \
             (to try a job on a private Postgres, use `trueup run JOB`)",
        ));
    }
    telemetry::install().context("could not install the metrics recorder")?;
    let settings = jobs::settings(global)?;
    let mut files = Files::default();
    let planned = files.read(global, &settings)?;
    if planned.is_empty() {
        return Err(user_error(format!("there is no job to serve in `{}`", global.jobs.display())));
    }
    let stopped = signals::stop()?;
    let Some(database) = database_when_there(global, &settings, stopped.clone()).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let prepared = database::receivers(&settings);
    for (name, why) in prepared.by_name.iter().filter_map(|(name, receiver)| Some((name, receiver.as_ref().err()?))) {
        warn!(receiver = %name, error = %why, "the receiver cannot be used; its messages wait");
    }
    let catalog = Arc::new(ServedJobs::new(planned));
    if let Some(web) = &settings.web {
        let served = Arc::clone(&catalog);
        let runner = Runner {
            pool: database.pool.clone(),
            jobs: Box::new(move || served.current().keys().cloned().collect()),
            unwell_after: (settings.lease + settings.poll).to_std().unwrap_or_default() + MARGIN,
        };
        let acts = Acts { pool: database.pool.clone(), routing: settings.routing.clone() };
        let options = pages::options(global, web)?.context("DATABASE_URL is set")?;
        let site = pages::site((web, Retention::of(&settings)), options, Some(acts), Some(runner)).await?;
        web::listen(web.listen, site, stopped.clone()).await.map_err(|error| user_error(format!("{error:#}")))?;
    }
    let scheduler = Scheduler {
        pool: database.pool.clone(),
        jobs: Arc::clone(&catalog),
        receivers: Arc::new(prepared),
        routing: Arc::new(settings.routing.clone()),
        lease: settings.lease,
        poll: settings.poll,
        keep_windows: settings.keep_windows,
        keep_rolling: settings.keep_rolling,
        watchdog: settings
            .watchdog
            .as_ref()
            .map(|watchdog| Heartbeat { every: watchdog.every, patience: watchdog.patience }),
        name: database::runner_name(),
        parallel: MOST_PARALLEL.min(usize::try_from(settings.max_connections).unwrap_or(2) / 2).max(1),
    };
    let reloader = tokio::spawn(reload(global.clone(), settings, files, catalog, stopped.clone()));
    // Report readiness to systemd; elsewhere nothing listens.
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let served = scheduler.serve(stopped).await;
    reloader.abort();
    served?;
    Ok(ExitCode::SUCCESS)
}

/// Connects, and waits for a database that is not up yet: after a power cut it starts later than this process. Returns `None`
/// if the process is stopped meanwhile. A wrong password or a schema that lacks migrations ends the wait at once.
async fn database_when_there(
    global: &Global,
    settings: &Settings,
    mut stopped: watch::Receiver<bool>,
) -> Result<Option<Database>> {
    let mut pause = Duration::from_millis(500);
    while !*stopped.borrow() {
        let connected = tokio::select! {
            connected = database::serving_database(global, settings) => connected,
            _ = stopped.changed() => break,
        };
        match connected {
            Ok(database) => return Ok(Some(database)),
            Err(error) if error.downcast_ref::<Away>().is_some() => {
                let pause_seconds = pause.as_secs_f64();
                warn!(pause_seconds, error = %format_args!("{error:#}"), "waiting for the database");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(None)
}

/// Reloads job files when they change, or at once on SIGHUP.
async fn reload(
    global: Global,
    settings: Settings,
    mut files: Files,
    catalog: Arc<ServedJobs>,
    mut stop: watch::Receiver<bool>,
) {
    let mut hangup = signal(SignalKind::hangup()).ok();
    if hangup.is_none() {
        warn!("could not listen for SIGHUP; job files are only checked periodically");
    }
    while !*stop.borrow() {
        let asked = tokio::select! {
            Some(_) = async { hangup.as_mut()?.recv().await } => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            _ = stop.changed() => return,
        };
        if !asked && !files.have_changed(&global) {
            continue;
        }
        match files.read(&global, &settings) {
            Ok(jobs) => {
                let names: Vec<&str> = jobs.keys().map(String::as_str).collect();
                info!(jobs = jobs.len(), broken = files.broken, names = names.join(", "), "reloaded the job files");
                catalog.replace(jobs);
            }
            // The folder may be in the middle of a replacement; keep serving the current jobs.
            Err(failure) => error!(error = %format_args!("{failure:#}"), "could not read the job files"),
        }
    }
}

/// Logs each finding of a job file as an event.
fn tell(file: &JobFile) {
    for finding in &file.findings {
        let (line, column) = finding.position(&file.text);
        let hint = finding.hint.as_deref().unwrap_or_default();
        let (code, finding, level) = (finding.code, &finding.message, finding.level);
        match level {
            Level::Error => error!(file = file.path, line, column, code, %finding, hint, "mistake in a job file"),
            Level::Warning => warn!(file = file.path, line, column, code, %finding, hint, "warning about a job file"),
        }
    }
}

/// Job files as last read: the stamp of each, and its last good definition.
#[derive(Default)]
struct Files {
    seen: BTreeMap<PathBuf, Stamp>,
    passed_over: Vec<String>,
    good: BTreeMap<PathBuf, Arc<PlannedJob>>,
    broken: usize,
}

impl Files {
    fn stamps(listing: &Listing) -> BTreeMap<PathBuf, Stamp> {
        listing.jobs.iter().map(|path| (path.clone(), folder::stamp(path))).collect()
    }

    fn have_changed(&self, global: &Global) -> bool {
        // A folder that cannot be read does not count as a change.
        folder::list(&global.jobs)
            .is_ok_and(|listing| Self::stamps(&listing) != self.seen || listing.passed_over != self.passed_over)
    }

    /// Reads the jobs of all files. A file with mistakes keeps its last good definition; a bad file never stops the others.
    fn read(&mut self, global: &Global, settings: &Settings) -> Result<Jobs> {
        let listing = folder::list(&global.jobs)?;
        let stamps = Self::stamps(&listing);
        for why in listing.passed_over.iter().filter(|why| !self.passed_over.contains(why)) {
            warn!(reason = %why, "skipped a file in the jobs folder");
        }
        let mut good = BTreeMap::new();
        self.broken = 0;
        for path in stamps.keys() {
            let file = JobFile::load(path, settings);
            if self.seen.get(path) != stamps.get(path) {
                tell(&file);
            }
            if let Some(job) = self.last_good(path, file) {
                good.insert(path.clone(), job);
            }
        }
        let jobs = self.by_name(&good);
        (self.seen, self.good, self.passed_over) = (stamps, good, listing.passed_over);
        telemetry::files(jobs.len(), self.broken);
        Ok(jobs)
    }

    /// Returns the definition in a file, or the last one without mistakes.
    fn last_good(&mut self, path: &Path, file: JobFile) -> Option<Arc<PlannedJob>> {
        if let Some(job) = file.job {
            return Some(Arc::new(job));
        }
        self.broken += 1;
        let last = self.good.get(path).cloned();
        match last {
            Some(_) => error!(file = file.path, "the job file has mistakes; its last good definition is served"),
            None => error!(file = file.path, "the job file has mistakes; its job is not served"),
        }
        last
    }

    /// If two files declare one job, keeps the one that was already served, or else the first.
    fn by_name(&self, good: &BTreeMap<PathBuf, Arc<PlannedJob>>) -> Jobs {
        let mut jobs = Jobs::new();
        let was_served = |path: &Path| self.good.contains_key(path);
        for (path, job) in
            good.iter().filter(|(path, _)| was_served(path)).chain(good.iter().filter(|(path, _)| !was_served(path)))
        {
            if jobs.contains_key(&job.name) {
                let file = path.display();
                error!(%file, job.name = %job.name, "another file also declares the job; this file is not served");
                continue;
            }
            jobs.insert(job.name.clone(), Arc::clone(job));
        }
        jobs
    }
}
