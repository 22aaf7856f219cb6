//! Buckets built straight from the source: the first build, a backfill, and buckets whose residuals are no longer kept.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::domain::window::floor;
use crate::plan::source::SourceFacts;
use crate::plan::{PlannedJob, rollup};
use crate::sql::pairs::bucket;
use crate::sql::pairs::source::Selection;
use crate::warehouse::rollups;
use crate::warehouse::session::{self, Bind};

/// Range to build.
#[derive(Debug, Clone)]
pub struct Build {
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub range: Range<DateTime<Utc>>,
    /// Also delete buckets of a newer `as_of`: a first build ignores everything that was there before.
    pub from_scratch: bool,
}

/// Rebuilds all buckets of a range of event time in one pass. The range begins and ends at bucket boundaries.
///
/// Buckets of a newer `as_of` stay, unless the build is from scratch.
pub async fn range(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    build: &Build,
) -> sqlx::Result<()> {
    let grain = job.windows.grain();
    // Coarser buckets are deleted with the finer ones that they contain; a range may begin inside one.
    let coarsest = TimeDelta::seconds(rollup::grains(&job.windows).last().copied().unwrap_or(grain).into());
    let rolled = floor(build.range.start, coarsest);
    sqlx::query(
        "delete from trueup.bucket where plan_id = $1 and grain > $2 and bucket_start >= $3 and bucket_start < $4",
    )
    .bind(build.plan_id)
    .bind(grain)
    .bind(rolled)
    .bind(build.range.end)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "delete from trueup.bucket
         where plan_id = $1 and grain = $6 and bucket_start >= $2 and bucket_start < $3 and (as_of <= $4 or $5)",
    )
    .bind(build.plan_id)
    .bind(build.range.start)
    .bind(build.range.end)
    .bind(build.as_of)
    .bind(build.from_scratch)
    .bind(grain)
    .execute(&mut *connection)
    .await?;
    let binds =
        [Bind::Id(build.plan_id), Bind::Time(build.as_of), Bind::Time(build.range.start), Bind::Time(build.range.end)];
    session::execute(connection, &bucket::from_source(job, facts, Selection::Range), &binds).await?;
    let there: Vec<DateTime<Utc>> = sqlx::query_scalar(
        "select distinct bucket_start from trueup.bucket where plan_id = $1 and grain = $2 and bucket_start >= $3 and bucket_start < $4",
    )
    .bind(build.plan_id)
    .bind(grain)
    .bind(rolled)
    .bind(floor(build.range.end, coarsest) + coarsest)
    .fetch_all(&mut *connection)
    .await?;
    rollups::refresh(connection, job, build.plan_id, &there).await
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
    sqlx::query(
        "delete from trueup.bucket where plan_id = $1 and grain = $2 and bucket_start = any($3) and as_of <= $4",
    )
    .bind(plan_id)
    .bind(job.windows.grain())
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
    ];
    session::execute(connection, &bucket::from_source(job, facts, Selection::Buckets), &binds).await?;
    rollups::refresh(connection, job, plan_id, starts).await
}
