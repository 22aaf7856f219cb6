//! Executes a claimed run: renews its lease in parallel, limits its time, and records its end in the ledger.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tracing::warn;

use super::{Outcome, Published, run_job};
use crate::alerting::run_health;
use crate::notify::policy::route::Routing;
use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::store::ledger::run::{self, Claim, Done, End};
use crate::warehouse::failure::{self, Cure, RunError};

/// How a claimed run ended.
#[derive(Debug)]
pub enum Ended {
    Ok(Published),
    Skipped(String),
    Failed(RunError),
    /// Given back, to be retried after a pause.
    GivenBack(RunError, TimeDelta),
    /// Another runner has it now, or its end could not be recorded: the lease will expire.
    Abandoned(RunError),
}

impl Ended {
    /// Returns the label of the outcome in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
            Self::GivenBack(..) => "given_back",
            Self::Abandoned(_) => "abandoned",
        }
    }

    /// Returns the counts of a run that published.
    pub fn done(&self) -> Option<Done> {
        match self {
            Self::Ok(published) => Some(published.done),
            _ => None,
        }
    }
}

/// Attempts, over some minutes, after which a run that waits for the server raises the run-failed alert.
const SAID_AFTER: i32 = 30;
/// Attempts of a run with a transient failure before it fails.
const MOST_ATTEMPTS: i32 = 5;

/// Runs a claim and records its end.
pub async fn execute(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    as_of: DateTime<Utc>,
    lease: TimeDelta,
    routing: &Routing,
) -> Ended {
    match leased(pool, claim, lease, limited(pool, job, claim, as_of, routing)).await {
        Ok(Outcome::Ok(published)) => Ended::Ok(published),
        Ok(Outcome::Skipped(reason)) => match skip(pool, claim, &reason).await {
            Ok(()) => Ended::Skipped(reason),
            Err(error) => Ended::Abandoned(error.into()),
        },
        Err(error) => record_failure(pool, job, claim, error, routing).await,
    }
}

/// Runs within the job's time limit. Distinguishes a run whose session no longer works from one that is too slow.
async fn limited(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    as_of: DateTime<Utc>,
    routing: &Routing,
) -> Result<Outcome, RunError> {
    let limit = job.schedule.timeout;
    let mut run = pin!(run_job(pool, job, claim, as_of, routing));
    if let Ok(outcome) = tokio::time::timeout(limit.to_std().unwrap_or_default() + HURRY, &mut run).await {
        return outcome;
    }
    // Its connection is still open, so the server's state of that session is about this run.
    match session_works(pool, session(), TimeDelta::seconds(2)).await {
        Ok(true) => Err(RunError::TimedOut(limit)),
        Ok(false) => Err(failure::lost_connection()),
        Err(error) => Err(error.into()),
    }
}

/// Time beyond its limit after which a run is ended: the server ends a statement first.
const HURRY: Duration = Duration::from_secs(4);

tokio::task_local! {
    /// Server session that works for this task's run. 0 until it is known.
    static SESSION: Arc<AtomicI32>;
}

/// Records the server session that works for this task's run.
pub(super) fn note_session(session: i32) {
    // Outside a leased run, nothing watches the session.
    let _unwatched = SESSION.try_with(|noted| noted.store(session, Ordering::Relaxed));
}

fn session() -> i32 {
    SESSION.try_with(|noted| noted.load(Ordering::Relaxed)).unwrap_or(0)
}

async fn session_works(pool: &PgPool, session: i32, patience: TimeDelta) -> sqlx::Result<bool> {
    held::within(pool, held::SHORT, async |connection| run::is_working(connection, session, patience).await).await
}

/// Runs work while renewing the lease on a connection of its own. The work is dropped if the lease is lost, or if it
/// waits for a session that no longer works for it.
pub async fn leased<T>(
    pool: &PgPool,
    claim: &Claim,
    lease: TimeDelta,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    let session = Arc::new(AtomicI32::new(0));
    tokio::select! {
        done = SESSION.scope(Arc::clone(&session), work) => done,
        lost = keep_lease(pool, claim, lease, &session) => Err(lost),
    }
}

/// Renews until the lease is lost, taken over or not renewed in time by our own monotonic clock, or the session is lost.
async fn keep_lease(pool: &PgPool, claim: &Claim, lease: TimeDelta, session: &AtomicI32) -> RunError {
    let lease_time = lease.to_std().unwrap_or(Duration::from_secs(30));
    let mut valid_until = Instant::now() + lease_time.mul_f64(0.9);
    // A live runner needs milliseconds between two statements, and a second or two on a busy machine.
    let idle = (lease / 3).max(TimeDelta::seconds(5));
    loop {
        tokio::time::sleep(lease_time / 3).await;
        let asked = Instant::now();
        let session = session.load(Ordering::Relaxed);
        let renewed = held::within(pool, lease_time / 3, async |connection| {
            let works = session == 0 || run::is_working(connection, session, idle).await?;
            Ok::<_, sqlx::Error>((run::renew(connection, claim, lease).await?, works))
        });
        match renewed.await {
            Ok((true, true)) => valid_until = asked + lease_time.mul_f64(0.9),
            Ok((true, false)) => return failure::lost_connection(),
            Ok((false, _)) => return RunError::LostLease,
            // Unknown: the lease may still be ours until it expires.
            Err(_) => {}
        }
        if Instant::now() >= valid_until {
            return RunError::LostLease;
        }
    }
}

async fn skip(pool: &PgPool, claim: &Claim, reason: &str) -> sqlx::Result<()> {
    held::within(pool, held::SHORT, async |connection| {
        run::finish_without(connection, claim, End::Skipped(reason)).await.map(drop)
    })
    .await
}

async fn record_failure(pool: &PgPool, job: &PlannedJob, claim: &Claim, error: RunError, routing: &Routing) -> Ended {
    let cure = match error.cure() {
        // The user who requested it sees the failure, and requests it again.
        Cure::Retry | Cure::Wait if claim.is_manual() => Cure::Fail,
        Cure::Retry | Cure::Wait if claim.attempt >= MOST_ATTEMPTS && error.cure() == Cure::Retry => Cure::Fail,
        cure => cure,
    };
    let recorded = held::within(pool, held::SHORT, async |connection| match cure {
        Cure::Fail => run::finish_without(connection, claim, End::Failed(&error.to_string())).await,
        Cure::Retry | Cure::Wait => run::give_back(connection, claim, pause(claim.attempt, cure)).await,
        Cure::Abandon => Ok(false),
    });
    match (recorded.await, cure) {
        (Ok(true), Cure::Fail) => {
            // The run has ended either way; if the alert cannot be raised, the failure is still in the ledger.
            if let Err(failure) = run_health::failed(pool, job, claim, &error.to_string(), routing).await {
                let run_id = claim.run_id;
                warn!(job.name = %job.name, run.id = run_id, error = %failure, "could not raise the run-failed alert");
            }
            Ended::Failed(error)
        }
        (Ok(true), Cure::Retry | Cure::Wait) => {
            // The job may be at fault after all, or an operator must act: the run keeps waiting, and receivers learn why.
            if claim.attempt == SAID_AFTER
                && let Err(failure) = run_health::failed(pool, job, claim, &error.to_string(), routing).await
            {
                let run_id = claim.run_id;
                warn!(job.name = %job.name, run.id = run_id, error = %failure, "could not raise the run-failed alert");
            }
            Ended::GivenBack(error, pause(claim.attempt, cure))
        }
        // The ledger could not be updated: the lease expires and another runner takes the run.
        (Ok(_) | Err(_), _) => Ended::Abandoned(error),
    }
}

/// Longest pause before a run is retried: work resumes within ten seconds of the end of an outage.
const LONGEST_PAUSE_MS: i64 = 8_000;

/// Returns a pause that grows with the attempts.
fn pause(attempt: i32, cure: Cure) -> TimeDelta {
    let base = if cure == Cure::Wait { 1_000 } else { 200 };
    let doubled = base * 2_i64.pow(attempt.clamp(1, 8).unsigned_abs() - 1);
    TimeDelta::milliseconds(doubled.min(LONGEST_PAUSE_MS))
}
