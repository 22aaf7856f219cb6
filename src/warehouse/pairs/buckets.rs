//! Second stage: sums of whole cells of buckets, recomputed from residuals and replaced.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::plan::PlannedJob;
use crate::sql::pairs::bucket;
use crate::warehouse::pairs::arrivals::Cells;
use crate::warehouse::rollups;
use crate::warehouse::session::{self, Bind};

/// Recomputes cells of buckets from their residuals. Cells without a residual are removed.
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
