//! `serve`: a heartbeat wakes it; due work is computed from the ledger in Postgres, and claimed there.
//!
//! Any number of schedulers share one ledger, without a leader: each slot is entered into the ledger once and claimed by one.

mod beside;
pub mod self_test;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_cron_scheduler::{Job, JobScheduler};
use tracing::{error, info, warn};

use crate::alerting::run_health;
use crate::dispatch::send::Receivers;
use crate::domain::schedule::CatchUp;
use crate::notify::policy::route::Routing;
use crate::pipeline::execute::{self, Ended};
use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::store::ledger::schedule::{self, Advance, Cursor, Slot};
use crate::store::ledger::{job, run};
use crate::telemetry;

/// Resources and settings of a scheduler.
pub struct Scheduler {
    pub pool: PgPool,
    pub jobs: Arc<ServedJobs>,
    pub receivers: Arc<Receivers>,
    pub routing: Arc<Routing>,
    pub lease: TimeDelta,
    pub poll: TimeDelta,
    /// Age at which all but the first report and the latest revision of a window are removed.
    pub keep_windows: TimeDelta,
    /// Age of rolling windows from which one per day is kept.
    pub keep_rolling: TimeDelta,
    pub watchdog: Option<Heartbeat>,
    /// Name of this process in the ledger.
    pub name: String,
    /// Maximum number of concurrent runs.
    pub parallel: usize,
}

/// The served jobs, as their files currently define them.
#[derive(Debug, Default)]
pub struct ServedJobs(RwLock<Arc<Jobs>>);

/// Jobs by name.
pub type Jobs = BTreeMap<String, Arc<PlannedJob>>;

impl ServedJobs {
    pub fn new(jobs: Jobs) -> Self {
        Self(RwLock::new(Arc::new(jobs)))
    }

    /// Returns the current jobs. Runs under way keep the definition that they began with.
    pub fn current(&self) -> Arc<Jobs> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, jobs: Jobs) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(jobs);
    }
}

/// Jobs that the main loop has seen, and those of them whose current definition is not in the ledger yet.
#[derive(Default)]
struct Known {
    jobs: Option<Arc<Jobs>>,
    unregistered: Vec<String>,
}

impl Known {
    fn take_in(&mut self, now: Arc<Jobs>) {
        if self.jobs.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &now)) {
            self.unregistered = now.keys().cloned().collect();
            self.jobs = Some(now);
        }
    }
}

/// How a scheduler signals to the outside that it is alive.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    pub every: TimeDelta,
    /// Longest that a notification or run may wait before the heartbeat stops.
    pub patience: TimeDelta,
}

/// Maximum takeovers of a run: one that ends its runner, for example by exhausting its memory, must not do so forever.
const MOST_TAKEOVERS: i32 = 20;
/// Slots of one job that are entered into the ledger in one transaction.
const MOST_SLOTS: usize = 1_000;
/// Time limit of a stop, even if something hangs.
const GRACE: Duration = Duration::from_secs(25);
/// Time for runs and deliveries to end by themselves after a stop is requested.
const PATIENCE: Duration = Duration::from_secs(18);
/// Time to give back runs that did not end.
const GIVE_BACK: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Serves until `stop`. Runs under way are given time to end; those that do not end are given back.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let this = Arc::new(self);
        let mut known = Known::default();
        let beat = Arc::new(Notify::new());
        let mut heartbeat = heartbeat(Arc::clone(&beat)).await?;
        let slots = Arc::new(Semaphore::new(this.parallel));
        let mut runs = JoinSet::new();
        let mut sender = tokio::spawn(beside::send_loop(Arc::clone(&this), stop.clone()));
        let cleaner = tokio::spawn(beside::clean_loop(Arc::clone(&this), stop.clone()));
        let watcher = tokio::spawn(beside::watch_loop(Arc::clone(&this), stop.clone()));
        let reminder = tokio::spawn(beside::remind_loop(Arc::clone(&this), stop.clone()));
        let watchdog = tokio::spawn(watchdog::heartbeat_loop(Arc::clone(&this), stop.clone()));
        info!(jobs = this.names().len(), "serving");
        while !*stop.borrow() {
            // An interrupted turn closes its connection, so a stop does not wait for it; its claim is given back below.
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                () = this.turn(&mut known, &slots, &mut runs) => {}
            }
            while runs.try_join_next().is_some() {}
            tokio::select! {
                () = wait(&beat, this.poll) => {}
                // A free slot or an ended run may allow another claim.
                Some(_) = runs.join_next() => {}
                _ = stop.changed() => {}
            }
        }
        info!(runs = runs.len(), "stopping: no more runs are claimed");
        // Data not removed yet are removed another time.
        for service in [cleaner, watcher, reminder, watchdog] {
            service.abort();
        }
        let graceful = async { tokio::join!(this.end_runs(runs), end_deliveries(&mut sender), heartbeat.shutdown()) };
        let Ok(((), (), shut_down)) = tokio::time::timeout(GRACE, graceful).await else {
            warn!(limit_seconds = GRACE.as_secs(), "the stop timed out; leases of runs and deliveries will expire");
            sender.abort();
            return Ok(());
        };
        Ok(shut_down?)
    }

    /// One turn of the main loop: registers changed jobs, enters due slots, and claims due runs.
    async fn turn(self: &Arc<Self>, known: &mut Known, slots: &Arc<Semaphore>, runs: &mut JoinSet<()>) {
        known.take_in(self.jobs.current());
        if !known.unregistered.is_empty() {
            // The old schedules apply until the new ones can be written.
            if let Err(error) = self.register(&mut known.unregistered).await {
                error!(error = %format_args!("{error:#}"), "could not register changed jobs in the ledger");
            }
        }
        match self.beat(slots, runs).await {
            Ok(()) => telemetry::looked(),
            Err(error) => error!(error = %format_args!("{error:#}"), "could not query the ledger"),
        }
    }

    /// Waits for the runs under way. Those that do not end in time are given back.
    async fn end_runs(&self, mut runs: JoinSet<()>) {
        let ended = tokio::time::timeout(PATIENCE, async { while runs.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            warn!(runs = runs.len(), "runs did not end in time and are given back");
            runs.shutdown().await;
        }
        let given_back =
            held::within(&self.pool, GIVE_BACK, async |connection| run::give_back_all(connection, &self.name).await);
        if let Err(error) = given_back.await {
            warn!(%error, "could not give runs back; another runner takes them when their leases expire");
        }
    }

    /// Registers jobs in the ledger, unless their row is locked. Recomputes their next slots, because schedules may
    /// have changed, and removes the registered jobs from `names`.
    async fn register(&self, names: &mut Vec<String>) -> Result<()> {
        let entered = held::within(&self.pool, held::SHORT, async |connection| {
            for name in names.iter() {
                job::register(connection, name).await?;
            }
            schedule::note_served(connection, names).await
        });
        let entered = entered.await?;
        names.retain(|name| !entered.contains(name));
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        self.jobs.current().keys().cloned().collect()
    }

    /// One pass over the ledger: enters due slots, and claims and starts due runs.
    ///
    /// A cheap query comes first, so that an idle runner puts little load on the database.
    async fn beat(self: &Arc<Self>, slots: &Arc<Semaphore>, runs: &mut JoinSet<()>) -> Result<()> {
        let names = self.names();
        let ask = held::within(&self.pool, held::SHORT, async |connection| schedule::waiting(connection, &names).await);
        let waiting = ask.await?;
        if waiting.slots {
            self.enqueue_due().await?;
        } else if !waiting.runs {
            return Ok(());
        }
        while let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
            let claimed = held::within(&self.pool, held::SHORT, async |connection| {
                run::claim_next(connection, &names, &self.name, self.lease).await
            });
            let Some(claim) = claimed.await? else { break };
            let this = Arc::clone(self);
            runs.spawn(async move {
                this.run_guarded(claim).await;
                drop(permit);
            });
        }
        Ok(())
    }

    /// Enters due slots into the ledger, each once for any number of schedulers.
    async fn enqueue_due(&self) -> Result<()> {
        held::within(&self.pool, held::SHORT, async |connection| self.enter_due_on(connection).await).await
    }

    async fn enter_due_on(&self, connection: &mut PgConnection) -> Result<()> {
        let mut transaction = connection.begin().await?;
        let jobs = self.jobs.current();
        let cursors = schedule::lock_due(&mut transaction, &self.names()).await?;
        let mut slots = Vec::new();
        let mut advances = Vec::new();
        for cursor in cursors {
            let Some(job) = jobs.get(&cursor.name) else { continue };
            let (entered, advance) = due_slots(job, &cursor, self.lease + self.poll);
            slots.extend(entered);
            advances.push(advance);
        }
        if !advances.is_empty() {
            schedule::insert(&mut transaction, &slots).await?;
            schedule::advance(&mut transaction, &advances).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Runs a claim. A panic fails the run and nothing else: neither this loop nor the job's next ticks.
    async fn run_guarded(self: Arc<Self>, claim: run::Claim) {
        let (this, mine) = (Arc::clone(&self), claim.clone());
        // Aborted with this task, so that a stop still ends the run.
        let mut task = JoinSet::new();
        task.spawn(async move { this.run(mine).await });
        let Some(Err(panic)) = task.join_next().await else { return };
        let (name, id) = (&claim.job, claim.run_id);
        error!(job.name = %name, run.id = id, error = %panic, "a run panicked, which is a bug in trueup");
        self.record_failure(&claim, "internal error in trueup; see its log").await;
    }

    /// Records a run that did not record its own end as failed, and raises its alert.
    async fn record_failure(&self, claim: &run::Claim, why: &str) {
        let recorded = held::within(&self.pool, held::SHORT, async |connection| {
            run::finish_without(connection, claim, run::End::Failed(why)).await
        });
        if let Err(failure) = recorded.await {
            let run_id = claim.run_id;
            error!(job.name = %claim.job, run.id = run_id, error = %failure, "could not record the end of the run");
        }
        self.tell_failure(claim, why).await;
    }

    /// Raises the alert of a run that ended without raising its own.
    async fn tell_failure(&self, claim: &run::Claim, why: &str) {
        let Some(job) = self.jobs.current().get(&claim.job).cloned() else { return };
        if let Err(failure) = run_health::failed(&self.pool, &job, claim, why, &self.routing).await {
            let run_id = claim.run_id;
            error!(job.name = %claim.job, run.id = run_id, error = %failure, "could not raise the run-failed alert");
        }
    }

    async fn give_up(&self, claim: &run::Claim) {
        let why = format!("{MOST_TAKEOVERS} runners ended before the run was done");
        error!(job.name = %claim.job, run.id = claim.run_id, error = %why, "run failed");
        self.record_failure(claim, &why).await;
    }

    async fn run(&self, claim: run::Claim) {
        let Some(job) = self.jobs.current().get(&claim.job).cloned() else { return };
        if claim.takeovers > MOST_TAKEOVERS {
            // The cause that ended its runners would end this one too, and block the job's later ticks forever.
            self.give_up(&claim).await;
            return;
        }
        let started = Instant::now();
        let ended = execute::execute(&self.pool, &job, &claim, claim.scheduled_for, self.lease, &self.routing).await;
        let (name, id, slot) = (&claim.job, claim.run_id, claim.scheduled_for);
        telemetry::ended(name, ended.as_str(), ended.done(), started.elapsed());
        match ended {
            Ended::Ok(published) => {
                info!(job.name = %name, run.id = id, scheduled_for = %slot, windows = published.done.windows_written, "run published");
            }
            Ended::Skipped(reason) => {
                info!(job.name = %name, run.id = id, scheduled_for = %slot, %reason, "run skipped")
            }
            Ended::Failed(failure) => {
                error!(job.name = %name, run.id = id, scheduled_for = %slot, error = %failure, "run failed")
            }
            Ended::GivenBack(failure, pause) => {
                let pause_ms = pause.num_milliseconds();
                warn!(job.name = %name, run.id = id, pause_ms, error = %failure, "run will be retried");
            }
            Ended::Abandoned(failure) => {
                warn!(job.name = %name, run.id = id, error = %failure, "run abandoned");
            }
        }
    }
}

/// Waits for the delivery under way. An interrupted one is leased: it is repeated, with the same id, once the lease has
/// expired.
async fn end_deliveries(sender: &mut JoinHandle<()>) {
    if tokio::time::timeout(PATIENCE, &mut *sender).await.is_err() {
        warn!("deliveries did not end in time; they will be retried");
        sender.abort();
    }
}

/// Returns the due slots of one job, and how far its schedule has advanced with them. Pure but for the cursor's clock.
///
/// A slot is missed if a later one is already due, or if it is older than `grace` (so no scheduler was there to run it).
pub fn due_slots(job: &PlannedJob, cursor: &Cursor, grace: TimeDelta) -> (Vec<Slot>, Advance) {
    let cadence = &job.schedule.cadence;
    // A job that was never scheduled begins now and has missed nothing.
    let last = cursor.last_scheduled_for.unwrap_or(cursor.now);
    let due = cadence.slots(last, cursor.now, MOST_SLOTS);
    let reached = due.last().copied().unwrap_or(last);
    let next = cadence.next_after(reached);
    // More may be due than fit into one transaction: then none of these is the newest.
    let more = next.is_some_and(|next| next <= cursor.now);
    let newest = due.last().copied().filter(|_| !more);
    let entered =
        due.into_iter().map(|slot| entry(job.schedule.catch_up, cursor, slot, Some(slot) == newest, grace)).collect();
    (entered, Advance { job_id: cursor.job_id, last_scheduled_for: reached, next_due_at: next })
}

fn entry(policy: CatchUp, cursor: &Cursor, slot: DateTime<Utc>, newest: bool, grace: TimeDelta) -> Slot {
    let late = cursor.now - slot > grace;
    let missed = late || !newest;
    let skipped = match policy {
        CatchUp::All => None,
        CatchUp::Latest if newest => None,
        CatchUp::Latest => Some("missed; catch_up = \"latest\" runs only the last one"),
        CatchUp::None if !missed => None,
        CatchUp::None => Some("missed; catch_up = \"none\""),
    };
    Slot {
        job_id: cursor.job_id,
        scheduled_for: slot,
        trigger: if missed { "catch_up" } else { "schedule" },
        skipped: skipped.map(str::to_owned),
    }
}

/// Wakes up once per second. A beat carries no data: a late or lost one only delays the next turn.
async fn heartbeat(beat: Arc<Notify>) -> Result<JobScheduler> {
    let scheduler = JobScheduler::new().await?;
    let job = Job::new_async("* * * * * *", move |_, _| {
        let beat = Arc::clone(&beat);
        Box::pin(async move { beat.notify_one() })
    })?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    Ok(scheduler)
}

/// Waits for the next beat, but no longer than `poll`.
async fn wait(beat: &Notify, poll: TimeDelta) {
    let longest = poll.to_std().unwrap_or(Duration::from_secs(2));
    // The time limit covers a beat that does not come.
    let _beaten = tokio::time::timeout(longest, beat.notified()).await;
}
