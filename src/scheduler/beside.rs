//! Background work of a scheduler: deliveries, removal of old data, and the checks for late jobs and due repeats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::Scheduler;
use crate::alerting::run_health;
use crate::dispatch::{repeat, send};
use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::store::clock;
use crate::store::history::months::{self, Monthly};
use crate::store::history::removal::{Old, Removed};
use crate::store::history::retention::{self, Step};
use crate::store::ledger::{job, schedule};
use crate::telemetry;

/// Rows of each kind that retention removes in one transaction.
const AT_ONCE: i64 = 5_000;
/// Months are created at least this long before they begin.
const AHEAD: TimeDelta = TimeDelta::days(7);
/// Time limit for removing old rows and creating months, which take seconds.
const LONG: Duration = Duration::from_secs(120);
/// Interval of the check for late jobs.
const WATCH_EVERY: Duration = Duration::from_secs(15);
/// Interval of the check for repeats and escalations.
const REMIND_EVERY: Duration = Duration::from_secs(5);

/// Delivers the outbox in parallel with the runs. Each receiver has its own task, so that one that hangs delays no other.
pub(super) async fn send_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    let mut busy: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    while !*stop.borrow() {
        busy.retain(|_, sending| !sending.is_finished());
        match send::fall_back(&this.pool, &this.receivers).await {
            Ok(0) => {}
            Ok(told) => warn!(messages = told, "undelivered notifications go to the fallback receiver"),
            Err(error) => error!(error = %format_args!("{error:#}"), "could not notify the fallback receiver"),
        }
        match send::receivers_due(&this.pool).await {
            Ok(due) => {
                for name in due.into_iter().filter(|name| !busy.contains_key(name)).collect::<Vec<_>>() {
                    let sending = tokio::spawn(send_to(Arc::clone(&this), name.clone(), stop.clone()));
                    busy.insert(name, sending);
                }
            }
            Err(error) => error!(error = %format_args!("{error:#}"), "could not query the outbox"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stop.changed() => {}
        }
    }
    for sending in busy.into_values() {
        // It stops by itself after its current attempt.
        drop(sending.await);
    }
}

async fn send_to(this: Arc<Scheduler>, receiver: String, stop: watch::Receiver<bool>) {
    match send::drain(&this.pool, &this.receivers, &receiver, None, || *stop.borrow()).await {
        Ok(summary) => telemetry::delivered(&receiver, summary.outcomes()),
        Err(error) => error!(receiver.name = %receiver, error = %format_args!("{error:#}"), "could not deliver"),
    }
}

/// Removes old data every hour, in small rounds.
pub(super) async fn clean_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        for table in months::EXPIRING {
            match drop_months(&this, table).await {
                Ok(0) => {}
                Ok(dropped) => info!(?table, months = dropped, "dropped months older than the retention"),
                Err(error) => {
                    warn!(?table, error = %format_args!("{error:#}"), "could not drop old months; retrying in an hour");
                }
            }
        }
        if let Err(error) = months_ahead(&this).await {
            let error = format!("{error:#}");
            warn!(error, "could not create the next months; runs create them when needed");
        }
        match seen(&this).await {
            Ok(()) => clean(&this).await,
            // Without knowing which jobs are in use, their data might be removed.
            Err(error) => {
                let error = format!("{error:#}");
                error!(error, "could not record the served jobs; nothing is removed for an hour");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Drops the old months of a table that keeps nothing permanently. Returns the number of months.
async fn drop_months(this: &Scheduler, table: Monthly) -> Result<i32> {
    held::within(&this.pool, LONG, async |connection| {
        let now = clock::now(connection).await?;
        Ok(months::drop_before(connection, table, now - this.keep_windows).await?)
    })
    .await
}

/// Creates this month and the next, so that no run has to when a month begins, with others waiting for it.
async fn months_ahead(this: &Scheduler) -> Result<()> {
    held::within(&this.pool, LONG, async |connection| {
        let now = clock::now(connection).await?;
        for table in months::ALL {
            months::add(connection, table, &[now, now + AHEAD]).await?;
        }
        Ok(())
    })
    .await
}

/// Removes all other old data. A kind that cannot be removed blocks no other.
async fn clean(this: &Scheduler) {
    for step in retention::STEPS {
        match remove(this, step).await {
            Ok(0) => {}
            Ok(rows) => info!(?step, rows, "removed data older than the retention"),
            Err(error) => {
                error!(?step, error = %format_args!("{error:#}"), "could not remove old data; retrying in an hour");
            }
        }
    }
}

/// Removes old rows of one kind. Returns the number of rows.
async fn remove(this: &Scheduler, step: Step) -> Result<u64> {
    let mut removed = 0;
    loop {
        let round = held::within(&this.pool, LONG, async |connection| prune(this, connection, step).await).await?;
        // `None`: another runner is removing them.
        removed += round.map_or(0, |round| round.rows);
        if !round.is_some_and(|round| round.more) {
            return Ok(removed);
        }
    }
}

/// Runs one round of removal in its own transaction. `None` if another runner is removing them.
async fn prune(this: &Scheduler, connection: &mut PgConnection, step: Step) -> Result<Option<Removed>> {
    let jobs = this.jobs.current();
    let mut names: Vec<String> = jobs.keys().cloned().collect();
    let now = clock::now(connection).await?;
    let windows = now - this.keep_windows;
    let needed = jobs.values().map(|job| job.windows.reach(now)).min().unwrap_or(windows);
    let mut rolling: Vec<DateTime<Utc>> =
        jobs.values().map(|job| now - this.keep_rolling.max(job.looks_back())).collect();
    // A job that is no longer run has no rule that looks back.
    let forgotten = job::forgotten(connection).await?;
    names.extend(forgotten.into_iter().filter(|name| !jobs.contains_key(name)));
    rolling.resize(names.len(), now - this.keep_rolling);
    let old = Old { windows, buckets: windows.min(needed), jobs: &names, rolling: &rolling };
    let mut transaction = connection.begin().await?;
    let round = retention::prune(&mut transaction, step, &old, AT_ONCE).await?;
    transaction.commit().await?;
    Ok(round)
}

/// Records that the jobs are known here, so that their raw data stay.
async fn seen(this: &Scheduler) -> sqlx::Result<()> {
    let names = this.names();
    held::within(&this.pool, held::SHORT, async |connection| job::seen_unless_locked(connection, &names).await).await
}

/// Sends notifications that become due with time: silences that ended, repeats, escalations.
pub(super) async fn remind_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        // Each job is checked separately, so that one that cannot be checked delays no other.
        if let Err(error) = repeat::all(&this.pool, &this.routing).await {
            error!(%error, "could not check for repeats and escalations");
        }
        tokio::select! {
            () = tokio::time::sleep(REMIND_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Raises the alert of jobs that are late. Every live scheduler does so for all jobs it knows.
pub(super) async fn watch_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let current = this.jobs.current();
        let jobs: Vec<&PlannedJob> = current.values().map(AsRef::as_ref).collect();
        match run_health::late(&this.pool, &jobs, &this.routing).await {
            Ok(late) => late.iter().for_each(|name| warn!(job.name = %name, "the job is late")),
            Err(error) => error!(%error, "could not check for late jobs"),
        }
        if let Err(error) = watch_locks(&this).await {
            error!(%error, "could not check for locked jobs");
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Reports overdue jobs whose row another session has locked. Claiming skips locked rows, so nothing else shows them.
async fn watch_locks(this: &Scheduler) -> sqlx::Result<()> {
    let names = this.names();
    let locked = held::within(&this.pool, held::SHORT, async |connection| {
        schedule::locked(connection, &names, this.lease + this.poll).await
    });
    let locked = locked.await?;
    telemetry::locked(locked.len());
    for name in &locked {
        warn!(job.name = %name, "the job is overdue, but another session has locked its row");
    }
    Ok(())
}
