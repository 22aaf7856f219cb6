//! Second stage: sums of whole cells of buckets, recomputed from residuals and replaced.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::measure::arrivals::Cells;
use crate::measure::rollups;
use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::sql::bucket;

/// Recomputes cells of buckets from their residuals. Those without a residual are removed.
pub async fn recompute(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    as_of: DateTime<Utc>,
    changed: &Cells,
) -> sqlx::Result<()> {
    if changed.starts.is_empty() {
        return Ok(());
    }
    let binds = [Bind::Id(plan_id), Bind::Time(as_of), Bind::Times(&changed.starts), Bind::Ids(&changed.cells)];
    session::execute(connection, &bucket::from_residuals(job), &binds).await?;
    rollups::refresh_cells(connection, job, plan_id, changed).await
}
