//! First stage: what arrived since the last run becomes residuals.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::residual;
use crate::plan::sql::rows::Selection;

/// Which arrivals are read.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    pub plan_id: i64,
    /// Exclusive: the last run's time less the overlap.
    pub since: DateTime<Utc>,
    /// Inclusive.
    pub as_of: DateTime<Utc>,
    /// Event times before this have no residuals.
    pub residual_from: DateTime<Utc>,
    /// Of what this run writes; see `store::job::open_stage`.
    pub generation: i64,
}

/// A bucket whose residuals are no longer kept, with how many of its predictions changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderBucket {
    pub start: DateTime<Utc>,
    pub rows: i64,
}

/// Upserts the residuals of arrivals, and retires those the source no longer yields. Returns how many changed.
pub async fn upsert(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    arrivals: Arrivals,
) -> sqlx::Result<u64> {
    let binds = [
        Bind::Id(arrivals.plan_id),
        Bind::Time(arrivals.as_of),
        Bind::Time(arrivals.since),
        Bind::Time(arrivals.residual_from),
        Bind::Id(arrivals.generation),
    ];
    let changed = session::execute(connection, &residual::upsert(job, facts, Selection::Arrivals), &binds).await?;
    let gone = session::execute(connection, &residual::retire(job, facts), &binds).await?;
    Ok(changed + gone)
}

/// Buckets that hold arrivals older than the residuals that are kept.
pub async fn older_buckets(
    connection: &mut PgConnection,
    job: &PlannedJob,
    arrivals: Arrivals,
) -> sqlx::Result<Vec<OlderBucket>> {
    let binds = [Bind::Time(arrivals.as_of), Bind::Time(arrivals.since), Bind::Time(arrivals.residual_from)];
    let rows = session::fetch(connection, &residual::older_buckets(job), &binds).await?;
    rows.iter().map(|row| Ok(OlderBucket { start: row.try_get("bucket_start")?, rows: row.try_get("rows")? })).collect()
}

/// What a range of event time is read as.
#[derive(Debug, Clone)]
pub struct Reread {
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub range: std::ops::Range<DateTime<Utc>>,
    pub generation: i64,
    /// Whether rows of a newer `as_of` go too: a first build goes by nothing that was there before.
    pub from_scratch: bool,
}

/// Reads the residuals of a range of event time anew. What is no longer in the source is gone from them afterwards.
pub async fn reread(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    reread: &Reread,
) -> sqlx::Result<u64> {
    sqlx::query(
        "delete from trueup.residual where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and (as_of <= $4 or $5)",
    )
    .bind(reread.plan_id)
    .bind(reread.range.start)
    .bind(reread.range.end)
    .bind(reread.as_of)
    .bind(reread.from_scratch)
    .execute(&mut *connection)
    .await?;
    let binds = [
        Bind::Id(reread.plan_id),
        Bind::Time(reread.as_of),
        Bind::Time(reread.range.start),
        Bind::Time(reread.range.end),
        Bind::Id(reread.generation),
    ];
    session::execute(connection, &residual::upsert(job, facts, Selection::Range), &binds).await
}

/// Reads the residuals of single buckets anew.
pub async fn reread_buckets(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    starts: &[DateTime<Utc>],
    generation: i64,
) -> sqlx::Result<()> {
    let (Some(first), Some(last)) = (starts.iter().min(), starts.iter().max()) else { return Ok(()) };
    sqlx::query("delete from trueup.residual where plan_id = $1 and bucket_start = any($2) and as_of <= $3")
        .bind(plan_id)
        .bind(starts)
        .bind(as_of)
        .execute(&mut *connection)
        .await?;
    let binds = [
        Bind::Id(plan_id),
        Bind::Time(as_of),
        Bind::Time(*first),
        Bind::Time(*last + job.windows.bucket),
        Bind::Times(starts),
        Bind::Id(generation),
    ];
    session::execute(connection, &residual::upsert(job, facts, Selection::Buckets), &binds).await.map(drop)
}
