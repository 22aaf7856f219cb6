//! Buckets straight from the source: the first build, a backfill, and buckets whose residuals are no longer kept.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::measure::buckets;
use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::bucket;
use crate::plan::sql::rows::Selection;

/// Rebuilds all buckets of a range of event time in one pass. The range begins and ends at bucket boundaries.
pub async fn range(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from trueup.bucket where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and as_of <= $4",
    )
    .bind(plan_id)
    .bind(range.start)
    .bind(range.end)
    .bind(as_of)
    .execute(&mut *connection)
    .await?;
    let binds = [Bind::Id(plan_id), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    session::execute(connection, &bucket::from_source(job, facts, Selection::Range), &binds).await.map(drop)
}

/// Rebuilds single buckets.
pub async fn starts(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    starts: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    let (Some(first), Some(last)) = (starts.iter().min(), starts.iter().max()) else { return Ok(()) };
    buckets::clear(connection, plan_id, as_of, starts).await?;
    let binds = [
        Bind::Id(plan_id),
        Bind::Time(as_of),
        Bind::Time(*first),
        Bind::Time(*last + job.windows.bucket),
        Bind::Times(starts),
    ];
    session::execute(connection, &bucket::from_source(job, facts, Selection::Buckets), &binds).await.map(drop)
}
