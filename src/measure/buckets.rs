//! Second stage: sums of whole buckets, recomputed from residuals and replaced.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::measure::rollups;
use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::sql::bucket;

/// Recomputes buckets from their residuals.
pub async fn recompute(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    as_of: DateTime<Utc>,
    starts: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    if starts.is_empty() {
        return Ok(());
    }
    let newer = clear(connection, job, plan_id, as_of, starts).await?;
    let binds = [Bind::Id(plan_id), Bind::Time(as_of), Bind::Times(starts), Bind::Times(&newer)];
    session::execute(connection, &bucket::from_residuals(job), &binds).await?;
    rollups::refresh(connection, job, plan_id, starts).await
}

/// Removes buckets before they are written anew, so that vanished cohorts go too. Those of a newer run stay, and are
/// returned.
pub(super) async fn clear(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    as_of: DateTime<Utc>,
    starts: &[DateTime<Utc>],
) -> sqlx::Result<Vec<DateTime<Utc>>> {
    let grain = job.windows.grain();
    sqlx::query(
        "delete from trueup.bucket where plan_id = $1 and grain = $4 and bucket_start = any($2) and as_of <= $3",
    )
    .bind(plan_id)
    .bind(starts)
    .bind(as_of)
    .bind(grain)
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar(
        "select distinct bucket_start from trueup.bucket where plan_id = $1 and grain = $3 and bucket_start = any($2)",
    )
    .bind(plan_id)
    .bind(starts)
    .bind(grain)
    .fetch_all(connection)
    .await
}
