//! Enters a run that somebody asked for into the ledger, or says why it may not be.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::store::ledger::job;
use crate::store::ledger::run::{self, Claim};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub enum RunRequest {
    /// One run as of a time.
    RunAt(DateTime<Utc>),
    /// A run now that compares the whole horizon with the source.
    Reconcile,
    Backfill,
}

/// Why it is not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The time is after the database's now.
    InTheFuture { now: DateTime<Utc> },
    /// More than that is known already: an older run would rewrite it.
    AlreadyPublished { newest: DateTime<Utc> },
    /// Another process runs the same.
    UnderWay,
}

/// Claims a manual run or a backfill for `runner`.
pub async fn enter(
    pool: &PgPool,
    job: &PlannedJob,
    asked: RunRequest,
    runner: &str,
    lease: TimeDelta,
) -> sqlx::Result<Result<Claim, Refused>> {
    held::within(pool, held::SHORT, async |connection| enter_on(connection, job, asked, runner, lease).await).await
}

async fn enter_on(
    connection: &mut PgConnection,
    job: &PlannedJob,
    asked: RunRequest,
    runner: &str,
    lease: TimeDelta,
) -> sqlx::Result<Result<Claim, Refused>> {
    let mut transaction = connection.begin().await?;
    let known = job::register(&mut transaction, &job.name).await?;
    job::seen(&mut transaction, std::slice::from_ref(&job.name)).await?;
    let published = job::lock_published(&mut transaction, known.id).await?;
    let now = run::now(&mut transaction).await?;
    let (at, trigger) = match asked {
        RunRequest::RunAt(at) if at > now => return Ok(Err(Refused::InTheFuture { now })),
        RunRequest::RunAt(at) => (at, "manual"),
        RunRequest::Reconcile => (now, "reconcile"),
        RunRequest::Backfill => (now, "backfill"),
    };
    // A run that was cut off, or a backfill, may have seen more than was published.
    let newest = published.max(job::newest_as_of(&mut transaction, known.id).await?);
    if let (RunRequest::RunAt(_), Some(newest)) = (asked, newest.filter(|newest| *newest > at)) {
        return Ok(Err(Refused::AlreadyPublished { newest }));
    }
    run::fail_expired(&mut transaction, known.id).await?;
    let claim = run::claim_manual(&mut transaction, known.id, at, trigger, runner, lease).await?;
    transaction.commit().await?;
    Ok(claim.ok_or(Refused::UnderWay))
}
