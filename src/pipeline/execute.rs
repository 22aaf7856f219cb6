//! Carries a claimed run to its end: lease renewed beside it, time limited, and the end recorded in the ledger.

use std::future::Future;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tracing::warn;

use super::failure::{self, Cure, RunError};
use super::{Outcome, Published, health, run_job};
use crate::notify::route::Routing;
use crate::plan::PlannedJob;
use crate::store::run::{self, Claim, End};

/// How a claimed run ended.
#[derive(Debug)]
pub enum Ended {
    Ok(Published),
    Skipped(String),
    Failed(RunError),
    /// Given back, to be tried again after a while.
    GivenBack(RunError, TimeDelta),
    /// Somebody else runs it now, or its end could not be recorded: the lease will run out.
    Abandoned(RunError),
}

/// How often a transient failure is tried again before it counts.
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
    let limit = job.schedule.timeout;
    let work = async {
        match tokio::time::timeout(failure::deadline(limit), run_job(pool, job, claim, as_of, routing)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RunError::TimedOut(limit)),
        }
    };
    match leased(pool, claim, lease, work).await {
        Ok(Outcome::Ok(published)) => Ended::Ok(published),
        Ok(Outcome::Skipped(reason)) => match skip(pool, claim, &reason).await {
            Ok(()) => Ended::Skipped(reason),
            Err(error) => Ended::Abandoned(error.into()),
        },
        Err(error) => record_failure(pool, job, claim, error, routing).await,
    }
}

/// Runs work while the lease is renewed beside it, on a connection of its own. The work is dropped when the lease is lost.
pub async fn leased<T>(
    pool: &PgPool,
    claim: &Claim,
    lease: TimeDelta,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, RunError> {
    tokio::select! {
        done = work => done,
        () = keep_lease(pool, claim, lease) => Err(RunError::LostLease),
    }
}

/// Renews until the lease is lost: taken over, or not renewed in time by our own monotonic clock.
async fn keep_lease(pool: &PgPool, claim: &Claim, lease: TimeDelta) {
    let lease_time = lease.to_std().unwrap_or(Duration::from_secs(30));
    let mut valid_until = Instant::now() + lease_time.mul_f64(0.9);
    loop {
        tokio::time::sleep(lease_time / 3).await;
        let asked = Instant::now();
        let renewed = tokio::time::timeout(lease_time / 3, renew(pool, claim, lease)).await;
        match renewed {
            Ok(Ok(true)) => valid_until = asked + lease_time.mul_f64(0.9),
            Ok(Ok(false)) => return,
            // Unknown: the lease may still be ours until it runs out.
            Ok(Err(_)) | Err(_) => {}
        }
        if Instant::now() >= valid_until {
            return;
        }
    }
}

async fn renew(pool: &PgPool, claim: &Claim, lease: TimeDelta) -> sqlx::Result<bool> {
    let mut held = crate::postgres::held::Held::acquire(pool).await?;
    let renewed = run::renew(&mut held, claim, lease).await;
    held.release();
    renewed
}

async fn skip(pool: &PgPool, claim: &Claim, reason: &str) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    run::finish_without(&mut connection, claim, End::Skipped(reason)).await.map(drop)
}

async fn record_failure(pool: &PgPool, job: &PlannedJob, claim: &Claim, error: RunError, routing: &Routing) -> Ended {
    let cure = match error.cure() {
        // Whoever asked for it is told, and asks again.
        Cure::Retry | Cure::Wait if claim.is_manual() => Cure::Fail,
        Cure::Retry | Cure::Wait if claim.attempt >= MOST_ATTEMPTS && error.cure() == Cure::Retry => Cure::Fail,
        cure => cure,
    };
    let recorded = async {
        let mut connection = pool.acquire().await?;
        match cure {
            Cure::Fail => run::finish_without(&mut connection, claim, End::Failed(&error.to_string())).await,
            Cure::Retry | Cure::Wait => run::give_back(&mut connection, claim, pause(claim.attempt, cure)).await,
            Cure::Abandon => Ok(false),
        }
    };
    match (recorded.await, cure) {
        (Ok(true), Cure::Fail) => {
            // The run has ended either way; who cannot be told now finds it in the ledger.
            if let Err(failure) = health::failed(pool, job, claim, &error.to_string(), routing).await {
                warn!(job.name = %job.name, run.id = claim.run_id, "the failure could not be told: {failure}");
            }
            Ended::Failed(error)
        }
        (Ok(true), Cure::Retry | Cure::Wait) => Ended::GivenBack(error, pause(claim.attempt, cure)),
        // The ledger could not be told: the lease runs out and another runner takes the run.
        (Ok(_) | Err(_), _) => Ended::Abandoned(error),
    }
}

/// Grows with the attempts; spread by the run's number so that many do not come back at once.
fn pause(attempt: i32, cure: Cure) -> TimeDelta {
    let base = if cure == Cure::Wait { 1_000 } else { 200 };
    let doubled = base * 2_i64.pow(attempt.clamp(1, 8).unsigned_abs() - 1);
    TimeDelta::milliseconds(doubled.min(30_000))
}
