//! Enters a manually requested run into the ledger, or returns why it is refused.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::plan::PlannedJob;
use crate::postgres::held;
use crate::store::clock;
use crate::store::ledger::job;
use crate::store::ledger::run::{self, Claim};

/// Kind of run that is requested.
#[derive(Debug, Clone, Copy)]
pub enum RunRequest {
    /// One run as of a time.
    RunAt(DateTime<Utc>),
    /// An immediate run that compares the whole horizon with the source.
    Reconcile,
    Backfill,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The time is later than the database's now.
    InTheFuture { now: DateTime<Utc> },
    /// More recent data are known already: an older run would overwrite them.
    AlreadyPublished { newest: DateTime<Utc> },
    /// Another process already runs it.
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
    let now = clock::now(&mut transaction).await?;
    let (at, trigger) = match asked {
        RunRequest::RunAt(at) if at > now => return Ok(Err(Refused::InTheFuture { now })),
        RunRequest::RunAt(at) => (at, "manual"),
        RunRequest::Reconcile => (now, "reconcile"),
        RunRequest::Backfill => (now, "backfill"),
    };
    // An interrupted run, or a backfill, may have read more than was published.
    let newest = published.max(job::newest_as_of(&mut transaction, known.id).await?);
    if let (RunRequest::RunAt(_), Some(newest)) = (asked, newest.filter(|newest| *newest > at)) {
        return Ok(Err(Refused::AlreadyPublished { newest }));
    }
    run::fail_expired(&mut transaction, known.id).await?;
    let claim = run::claim_manual(&mut transaction, known.id, at, trigger, runner, lease).await?;
    transaction.commit().await?;
    Ok(claim.ok_or(Refused::UnderWay))
}
