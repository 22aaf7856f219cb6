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
}

/// A bucket whose residuals are no longer kept, with how many of its predictions changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OlderBucket {
    pub start: DateTime<Utc>,
    pub rows: i64,
}

/// Upserts the residuals of arrivals. Returns how many were new or changed.
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
    ];
    session::execute(connection, &residual::upsert(job, facts, Selection::Arrivals), &binds).await
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

/// Reads the residuals of a range of event time anew. What is no longer in the source is gone from them afterwards.
pub async fn reread(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    range: std::ops::Range<DateTime<Utc>>,
) -> sqlx::Result<u64> {
    // A newer run may have written some of them; those stay.
    sqlx::query(
        "delete from trueup.residual where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and as_of <= $4",
    )
    .bind(plan_id)
    .bind(range.start)
    .bind(range.end)
    .bind(as_of)
    .execute(&mut *connection)
    .await?;
    let binds = [Bind::Id(plan_id), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    session::execute(connection, &residual::upsert(job, facts, Selection::Range), &binds).await
}
