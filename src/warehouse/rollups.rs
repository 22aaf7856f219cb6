//! Coarser buckets, merged from finer ones whenever these change, so that a long window reads few buckets.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::plan::{PlannedJob, rollup};
use crate::sql::pairs::bucket::{self, Extent};
use crate::warehouse::pairs::arrivals::Cells;
use crate::warehouse::session::{self, Bind};

/// Merges again every coarser bucket that contains one of these buckets, some of which may no longer exist.
pub async fn refresh(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    changed: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    if changed.is_empty() {
        return Ok(());
    }
    let sql = bucket::roll_up(job, Extent::All);
    for (finer, grain) in rollup::steps(&job.windows) {
        let parents = rollup::parents(changed, grain);
        let binds = [Bind::Id(plan_id), Bind::Times(&parents), Bind::Number(finer), Bind::Number(grain)];
        session::execute(connection, &sql, &binds).await?;
    }
    Ok(())
}

/// Merges again the cells of coarser buckets that contain one of these cells: with thousands of cohorts, a label affects few.
pub async fn refresh_cells(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    changed: &Cells,
) -> sqlx::Result<()> {
    if changed.starts.is_empty() {
        return Ok(());
    }
    let sql = bucket::roll_up(job, Extent::Cells);
    for (finer, grain) in rollup::steps(&job.windows) {
        let parents = changed.starts.iter().map(|start| rollup::parent(*start, grain));
        let (starts, cells): (Vec<_>, Vec<_>) =
            parents.zip(changed.cells.iter().copied()).collect::<BTreeSet<_>>().into_iter().unzip();
        let binds =
            [Bind::Id(plan_id), Bind::Times(&starts), Bind::Number(finer), Bind::Number(grain), Bind::Ids(&cells)];
        session::execute(connection, &sql, &binds).await?;
    }
    Ok(())
}
