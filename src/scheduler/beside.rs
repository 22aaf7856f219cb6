//! What goes on beside the runs: deliveries, the removal of what is old, and the watch for jobs that are late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use sqlx::Connection as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::{LEDGER_DEADLINE, Scheduler, metrics};
use crate::outbox;
use crate::pipeline::{health, remind};
use crate::plan::PlannedJob;
use crate::postgres::held::Held;
use crate::store::months::{self, Monthly};
use crate::store::retention::{self, Old};
use crate::store::run;

/// Rows of each kind that retention removes in one transaction.
const AT_ONCE: i64 = 5_000;
/// Months are made this long before they begin, at the latest.
const AHEAD: TimeDelta = TimeDelta::days(7);
/// How often jobs are looked at that may be late.
const WATCH_EVERY: Duration = Duration::from_secs(15);
/// How often alerts are looked at that may have to be told again.
const REMIND_EVERY: Duration = Duration::from_secs(5);

/// Delivers what is in the outbox, beside the runs. Each receiver has a task of its own: one that hangs delays no other.
pub(super) async fn send_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    let mut busy: BTreeMap<String, JoinHandle<()>> = BTreeMap::new();
    while !*stop.borrow() {
        busy.retain(|_, sending| !sending.is_finished());
        match tokio::time::timeout(LEDGER_DEADLINE, outbox::fall_back(&this.pool, &this.receivers)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(told)) => warn!(messages = told, "the fallback receiver is told what others could not be"),
            Ok(Err(error)) => error!("could not tell the fallback receiver: {error:#}"),
            Err(_) => error!("the outbox did not answer within {} s", LEDGER_DEADLINE.as_secs()),
        }
        match tokio::time::timeout(LEDGER_DEADLINE, outbox::receivers_due(&this.pool)).await {
            Ok(Ok(due)) => {
                for name in due.into_iter().filter(|name| !busy.contains_key(name)).collect::<Vec<_>>() {
                    let sending = tokio::spawn(send_to(Arc::clone(&this), name.clone(), stop.clone()));
                    busy.insert(name, sending);
                }
            }
            Ok(Err(error)) => error!("could not look at the outbox: {error:#}"),
            Err(_) => error!("the outbox did not answer within {} s", LEDGER_DEADLINE.as_secs()),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = stop.changed() => {}
        }
    }
    for sending in busy.into_values() {
        // It stops by itself after the attempt it is making.
        drop(sending.await);
    }
}

async fn send_to(this: Arc<Scheduler>, receiver: String, stop: watch::Receiver<bool>) {
    match outbox::drain(&this.pool, &this.receivers, &receiver, None, || *stop.borrow()).await {
        Ok(summary) => metrics::delivered(&receiver, summary),
        Err(error) => error!(receiver.name = %receiver, "could not deliver: {error:#}"),
    }
}

/// Removes what is old, every hour, a little at a time.
pub(super) async fn clean_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        for table in months::PASSING {
            match drop_months(&this, table).await {
                Ok(0) => {}
                Ok(dropped) => info!(?table, months = dropped, "dropped months that are older than the retention"),
                Err(error) => warn!(?table, "could not drop old months, tries again in an hour: {error:#}"),
            }
        }
        if let Err(error) = months_ahead(&this).await {
            warn!("could not make the next months ahead, runs will when they need them: {error:#}");
        }
        match clean(&this).await {
            Ok(removed) if removed > 0 => info!(rows = removed, "removed what is older than the retention"),
            Ok(_) => {}
            Err(error) => error!("could not remove what is old: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(3_600)) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Drops the old months of a table that keeps nothing for good. Returns how many.
async fn drop_months(this: &Scheduler, table: Monthly) -> Result<i32> {
    let mut held = Held::acquire(&this.pool).await?;
    let now = run::now(&mut held).await?;
    let dropped = months::drop_before(&mut held, table, now - this.keep_windows).await?;
    held.release();
    Ok(dropped)
}

/// Makes this month and the next, so that no run has to, with others waiting for it, when a month begins.
async fn months_ahead(this: &Scheduler) -> Result<()> {
    let mut held = Held::acquire(&this.pool).await?;
    let now = run::now(&mut held).await?;
    for table in months::ALL {
        months::add(&mut held, table, &[now, now + AHEAD]).await?;
    }
    held.release();
    Ok(())
}

/// Removes everything else that is old by now. Returns how many rows it was.
async fn clean(this: &Scheduler) -> Result<u64> {
    let names = this.names();
    let mut removed = 0;
    loop {
        let mut held = Held::acquire(&this.pool).await?;
        let now = run::now(&mut held).await?;
        let windows = now - this.keep_windows;
        let needed = this.jobs.current().values().map(|job| job.windows.reach(now)).min().unwrap_or(windows);
        let old = Old { windows, buckets: windows.min(needed), jobs: &names };
        let mut transaction = held.begin().await?;
        let round = retention::prune(&mut transaction, &old, AT_ONCE).await?;
        transaction.commit().await?;
        held.release();
        let Some(round) = round else { return Ok(removed) };
        removed += round.revisions + round.samples + round.buckets + round.messages;
        if !round.is_full(AT_ONCE) {
            return Ok(removed);
        }
    }
}

/// Tells what time has made news: silences that ended, reminders, escalations.
pub(super) async fn remind_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        // Each job has its own time: one that cannot be looked at keeps none of the others waiting.
        if let Err(error) = remind::all(&this.pool, &this.routing).await {
            error!("could not look for what is to be told again: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(REMIND_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Raises the alert of jobs that are late. Any scheduler that lives does it for all jobs it knows.
pub(super) async fn watch_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let current = this.jobs.current();
        let jobs: Vec<&PlannedJob> = current.values().map(AsRef::as_ref).collect();
        match tokio::time::timeout(LEDGER_DEADLINE, health::late(&this.pool, &jobs, &this.routing)).await {
            Ok(Ok(late)) => late.iter().for_each(|name| warn!(job.name = %name, "the job is late")),
            Ok(Err(error)) => error!("could not look for late jobs: {error}"),
            Err(_) => error!("the ledger did not answer within {} s", LEDGER_DEADLINE.as_secs()),
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}
