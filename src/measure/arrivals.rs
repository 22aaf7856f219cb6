//! First stage: what arrived since the last run becomes residuals.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
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
    /// Of what this run writes; see `store::job::open_stage`.
    pub generation: i64,
}

/// What arrivals did to the residuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upserted {
    /// New, changed or gone.
    pub changed: u64,
    /// Those of them that the source no longer yields.
    pub gone: u64,
}

/// Cells of buckets as two slices of equal length: starts, and hashes of cells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    pub starts: Vec<DateTime<Utc>>,
    pub cells: Vec<i64>,
}

/// A cell of a bucket in which residuals changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedCell {
    pub start: DateTime<Utc>,
    pub cell: i64,
    /// How many residuals changed, or left it.
    pub rows: i64,
}

/// Upserts the residuals of arrivals, and retires those the source no longer yields.
pub async fn upsert(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    arrivals: Arrivals,
) -> sqlx::Result<Upserted> {
    let binds = [
        Bind::Id(arrivals.plan_id),
        Bind::Time(arrivals.as_of),
        Bind::Time(arrivals.since),
        Bind::Id(arrivals.generation),
    ];
    let changed = session::execute(connection, &residual::upsert(job, facts, Selection::Arrivals), &binds).await?;
    let gone = session::execute(connection, &residual::retire(job, facts), &binds).await?;
    Ok(Upserted { changed: changed + gone, gone })
}

/// Cells that hold, or held, a residual whose change was not published yet.
pub async fn changed(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    arrivals: Arrivals,
) -> sqlx::Result<Vec<ChangedCell>> {
    let binds = [Bind::Id(arrivals.plan_id), Bind::Time(arrivals.as_of), Bind::Time(arrivals.since)];
    let rows = session::fetch(connection, &residual::changed(job, facts), &binds).await?;
    let cell = |row: &PgRow| {
        Ok(ChangedCell { start: row.try_get("bucket_start")?, cell: row.try_get("cell")?, rows: row.try_get("rows")? })
    };
    rows.iter().map(cell).collect()
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
