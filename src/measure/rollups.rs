//! Coarser buckets, merged from finer ones whenever these change: a long window then reads few of them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::rollup;
use crate::plan::sql::bucket;

/// Merges anew every coarser bucket that holds one of these, of which some may be gone.
pub async fn refresh(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    changed: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let sql = bucket::roll_up(job);
    for (finer, grain) in rollup::steps(&job.windows) {
        let parents = rollup::parents(changed, grain);
        let binds = [Bind::Id(plan_id), Bind::Times(&parents), Bind::Number(finer), Bind::Number(grain)];
        session::execute(connection, &sql, &binds).await?;
    }
    Ok(())
}
