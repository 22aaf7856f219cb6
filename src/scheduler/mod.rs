//! `serve`: a heartbeat wakes it; what is due is computed from the ledger in Postgres, and claimed there.
//!
//! Any number of schedulers share one ledger. None leads: each slot is put into the ledger once and claimed by one.

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

/// What a scheduler works with.
pub struct Scheduler {
    pub pool: PgPool,
    pub jobs: Arc<ServedJobs>,
    pub receivers: Arc<Receivers>,
    pub routing: Arc<Routing>,
    pub lease: TimeDelta,
    pub poll: TimeDelta,
    /// Age of a window at which all but its first report and its latest revision goes.
    pub keep_windows: TimeDelta,
    /// Age of rolling windows from which one a day stays.
    pub keep_rolling: TimeDelta,
    pub watchdog: Option<Heartbeat>,
    /// Names this process in the ledger.
    pub name: String,
    /// Runs at the same time.
    pub parallel: usize,
}

/// The jobs that are served, as their files say now.
#[derive(Debug, Default)]
pub struct ServedJobs(RwLock<Arc<Jobs>>);

/// Jobs by name.
pub type Jobs = BTreeMap<String, Arc<PlannedJob>>;

impl ServedJobs {
    pub fn new(jobs: Jobs) -> Self {
        Self(RwLock::new(Arc::new(jobs)))
    }

    /// The jobs of this moment. Runs under way go on with the definition that they began with.
    pub fn current(&self) -> Arc<Jobs> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, jobs: Jobs) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(jobs);
    }
}

/// The jobs that the main loop has seen, and those of them that are not in the ledger yet as their files say now.
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

/// How a scheduler says outside that it lives.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    pub every: TimeDelta,
    /// Oldest message or run that may wait without the heartbeat stopping.
    pub patience: TimeDelta,
}

/// How often a run may be taken over: one that ends its runner, by taking all its memory perhaps, must not do so for ever.
const MOST_TAKEOVERS: i32 = 20;
/// Slots of one job that are put into the ledger in one transaction.
const MOST_SLOTS: usize = 1_000;
/// A stop takes no longer than this, whatever hangs.
const GRACE: Duration = Duration::from_secs(25);
/// How long runs and deliveries may take to end by themselves after a stop was asked for.
const PATIENCE: Duration = Duration::from_secs(18);
/// How long it may take to give back what did not end.
const GIVE_BACK: Duration = Duration::from_secs(5);

impl Scheduler {
    /// Serves until `stop` says so. Runs under way are given time to end; what does not end is given back.
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
            // A look that is cut off closes its connection, so a stop waits for none; a claim of it is given back below.
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                () = this.turn(&mut known, &slots, &mut runs) => {}
            }
            while runs.try_join_next().is_some() {}
            tokio::select! {
                () = wait(&beat, this.poll) => {}
                // A free slot or an ended run may mean more to claim.
                Some(_) = runs.join_next() => {}
                _ = stop.changed() => {}
            }
        }
        info!(runs = runs.len(), "stopping: no run is claimed any more");
        // What it has not removed yet is removed another time.
        for service in [cleaner, watcher, reminder, watchdog] {
            service.abort();
        }
        let graceful = async { tokio::join!(this.end_runs(runs), end_deliveries(&mut sender), heartbeat.shutdown()) };
        let Ok(((), (), shut_down)) = tokio::time::timeout(GRACE, graceful).await else {
            warn!("the stop took longer than {} s; leases and deliveries under way run out", GRACE.as_secs());
            sender.abort();
            return Ok(());
        };
        Ok(shut_down?)
    }

    /// One turn of the main loop: changed jobs are entered, what became due is entered, what is due is claimed.
    async fn turn(self: &Arc<Self>, known: &mut Known, slots: &Arc<Semaphore>, runs: &mut JoinSet<()>) {
        known.take_in(self.jobs.current());
        if !known.unregistered.is_empty() {
            // The old schedules hold until the new ones can be written.
            if let Err(error) = self.register(&mut known.unregistered).await {
                error!("could not enter changed jobs into the ledger: {error:#}");
            }
        }
        match self.beat(slots, runs).await {
            Ok(()) => telemetry::looked(),
            Err(error) => error!("could not look at the ledger: {error:#}"),
        }
    }

    /// Waits for the runs under way. Those that do not end in time are given back.
    async fn end_runs(&self, mut runs: JoinSet<()>) {
        let ended = tokio::time::timeout(PATIENCE, async { while runs.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            warn!(runs = runs.len(), "runs did not end in time; they are given back");
            runs.shutdown().await;
        }
        let given_back =
            held::within(&self.pool, GIVE_BACK, async |connection| run::give_back_all(connection, &self.name).await);
        if let Err(error) = given_back.await {
            warn!("runs could not be given back; another runner takes them when their lease has run out: {error}");
        }
    }

    /// Enters jobs into the ledger, where nobody holds their row just now. Their next slots are computed again, because
    /// schedules may have changed. Those that are entered are taken out of `names`.
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

    /// One look at the ledger: what became due is entered, what is due is claimed and started.
    ///
    /// One cheap question comes first, so that a runner with nothing to do asks little of the database.
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

    /// Puts the slots that became due into the ledger, each once whatever the number of schedulers.
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

    /// A run that panics has failed, and takes nothing else with it: neither this loop nor the job's next ticks.
    async fn run_guarded(self: Arc<Self>, claim: run::Claim) {
        let (this, mine) = (Arc::clone(&self), claim.clone());
        // Aborted with this task, so that a stop still ends the run.
        let mut task = JoinSet::new();
        task.spawn(async move { this.run(mine).await });
        let Some(Err(panic)) = task.join_next().await else { return };
        let (name, id) = (&claim.job, claim.run_id);
        error!(job.name = %name, run.id = id, "a run panicked, which is a defect of trueup: {panic}");
        self.record_failure(&claim, "trueup itself failed; its log says where").await;
    }

    /// Ends a run that has no end of its own as failed, and raises its alert.
    async fn record_failure(&self, claim: &run::Claim, why: &str) {
        let recorded = held::within(&self.pool, held::SHORT, async |connection| {
            run::finish_without(connection, claim, run::End::Failed(why)).await
        });
        if let Err(failure) = recorded.await {
            error!(job.name = %claim.job, run.id = claim.run_id, "its end could not be recorded: {failure}");
        }
        self.tell_failure(claim, why).await;
    }

    /// Raises the alert of a run that ended without a word of its own.
    async fn tell_failure(&self, claim: &run::Claim, why: &str) {
        let Some(job) = self.jobs.current().get(&claim.job).cloned() else { return };
        if let Err(failure) = run_health::failed(&self.pool, &job, claim, why, &self.routing).await {
            error!(job.name = %claim.job, run.id = claim.run_id, "the failure could not be told: {failure}");
        }
    }

    async fn give_up(&self, claim: &run::Claim) {
        let why = format!("{MOST_TAKEOVERS} runners ended before it was done");
        error!(job.name = %claim.job, run.id = claim.run_id, "run failed: {why}");
        self.record_failure(claim, &why).await;
    }

    async fn run(&self, claim: run::Claim) {
        let Some(job) = self.jobs.current().get(&claim.job).cloned() else { return };
        if claim.takeovers > MOST_TAKEOVERS {
            // Whatever ends its runners would end this one too, and keep the job's later ticks waiting for ever.
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
                info!(job.name = %name, run.id = id, scheduled_for = %slot, "run skipped: {reason}")
            }
            Ended::Failed(failure) => {
                error!(job.name = %name, run.id = id, scheduled_for = %slot, "run failed: {failure}")
            }
            Ended::GivenBack(failure, pause) => {
                warn!(job.name = %name, run.id = id, pause_ms = pause.num_milliseconds(), "run will be tried again: {failure}");
            }
            Ended::Abandoned(failure) => warn!(job.name = %name, run.id = id, "run abandoned: {failure}"),
        }
    }
}

/// Waits for the delivery under way. One that is cut off is leased: it is made again, with the same id, once the lease has
/// run out.
async fn end_deliveries(sender: &mut JoinHandle<()>) {
    if tokio::time::timeout(PATIENCE, &mut *sender).await.is_err() {
        warn!("deliveries did not end in time; they will be tried again");
        sender.abort();
    }
}

/// The slots of one job that became due, and where its schedule stands then. Pure but for the cursor's clock.
///
/// A slot is missed when a later one is due already, or when it is older than `grace` (so nobody was there to run it).
pub fn due_slots(job: &PlannedJob, cursor: &Cursor, grace: TimeDelta) -> (Vec<Slot>, Advance) {
    let cadence = &job.schedule.cadence;
    // A job that was never scheduled begins now: it has missed nothing.
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

/// One wake-up per second. It carries no meaning: a beat that is late or lost delays nothing but the next look.
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

/// Until the next beat, or a little longer than `poll` should beats fail to come.
async fn wait(beat: &Notify, poll: TimeDelta) {
    let longest = poll.to_std().unwrap_or(Duration::from_secs(2));
    // A beat that does not come is what the limit is for.
    let _beaten = tokio::time::timeout(longest, beat.notified()).await;
}
