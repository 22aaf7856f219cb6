//! First stage: rows that arrived since the last run become residuals.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::pairs::residual;
use crate::sql::pairs::source::Selection;
use crate::warehouse::session::{self, Bind};

/// Range of arrivals to read.
#[derive(Debug, Clone, Copy)]
pub struct Arrivals {
    pub plan_id: i64,
    /// Exclusive: the time of the last run minus the overlap.
    pub since: DateTime<Utc>,
    /// Inclusive.
    pub as_of: DateTime<Utc>,
    /// Generation of the rows that this run writes; see `store::ledger::plan::open_stage`.
    pub generation: i64,
}

/// Effect of arrivals on the residuals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upserted {
    /// New, changed or retired residuals.
    pub changed: i64,
    /// Retired residuals, which the source no longer yields. Included in `changed`.
    pub gone: i64,
    /// Number of residuals that changed in each cell, or left it.
    pub cells: BTreeMap<(DateTime<Utc>, i64), i64>,
}

/// Cells of buckets as two parallel arrays: bucket starts and cell ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    pub starts: Vec<DateTime<Utc>>,
    pub cells: Vec<i64>,
}

/// Upserts the residuals of arrivals, and retires those that the source no longer yields.
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
    let mut upserted = Upserted::default();
    match relabel(connection, job, facts, arrivals, &mut upserted).await? {
        Some(others) => {
            let sql = residual::upsert(job, facts, Selection::Keys);
            let [plan, as_of, since, generation] = binds.clone();
            let binds = [plan, as_of, since, Bind::Texts(&others), generation];
            session::each(connection, &sql, &binds, |row| upserted.note(row)).await?;
        }
        None => {
            let sql = residual::upsert(job, facts, Selection::Arrivals);
            session::each(connection, &sql, &binds, |row| upserted.note(row)).await?;
        }
    }
    let before = upserted.changed;
    if facts.sharded {
        retire_by_key(connection, job, facts, &binds, &mut upserted).await?;
    } else {
        session::each(connection, &residual::retire(job, facts), &binds, |row| upserted.note(row)).await?;
    }
    upserted.gone = upserted.changed - before;
    Ok(upserted)
}

/// Retires residuals in two statements, the second over our own tables only.
async fn retire_by_key(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    binds: &[Bind<'_>; 4],
    upserted: &mut Upserted,
) -> sqlx::Result<()> {
    let [plan, as_of, since, generation] = binds.clone();
    let (mut keys, mut versions) = (Vec::new(), Vec::new());
    session::each(connection, &residual::retiring(job, facts), &[plan.clone(), as_of.clone(), since], |row| {
        keys.push(row.try_get("key")?);
        versions.push(row.try_get("model_version")?);
        Ok(())
    })
    .await?;
    if keys.is_empty() {
        return Ok(());
    }
    let binds = [plan, as_of, Bind::Texts(&keys), generation, Bind::Texts(&versions)];
    session::each(connection, &residual::retire_keys(), &binds, |row| upserted.note(row)).await
}

/// Most keys of labels without a residual that are sent back to the server; if there are more, the server finds them again.
const MOST_KEYS: usize = 10_000;

/// Writes labels into existing residuals with their key, if the tables allow it. Returns the keys of the other labels;
/// `None` if all arrivals must still be read.
async fn relabel(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    arrivals: Arrivals,
    upserted: &mut Upserted,
) -> sqlx::Result<Option<Vec<String>>> {
    if !residual::relabels(job, facts) {
        return Ok(None);
    }
    let binds = [
        Bind::Id(arrivals.plan_id),
        Bind::Time(arrivals.as_of),
        Bind::Time(arrivals.since),
        Bind::Id(arrivals.generation),
        Bind::Id(i64::try_from(MOST_KEYS).unwrap_or(i64::MAX) + 1),
    ];
    let mut others = Vec::new();
    session::each(connection, &residual::relabel(job, facts), &binds, |row| {
        match row.try_get::<Option<String>, _>("raw")? {
            Some(key) => others.push(key),
            None => upserted.note(row)?,
        }
        Ok(())
    })
    .await?;
    Ok((others.len() <= MOST_KEYS).then_some(others))
}

impl Upserted {
    /// Counts a changed residual for its cell and for the cells that it has left.
    fn note(&mut self, row: &PgRow) -> sqlx::Result<()> {
        self.changed += 1;
        let prior: Option<(Vec<DateTime<Utc>>, Vec<i64>)> = row
            .try_get::<Option<Vec<DateTime<Utc>>>, _>("prior_buckets")?
            .zip(row.try_get::<Option<Vec<i64>>, _>("prior_cells")?);
        let left = prior.into_iter().flat_map(|(starts, cells)| starts.into_iter().zip(cells));
        for cell in std::iter::once((row.try_get("bucket_start")?, row.try_get("cell_id")?)).chain(left) {
            *self.cells.entry(cell).or_default() += 1;
        }
        Ok(())
    }
}

/// Adds cells whose residuals changed in an earlier run that was interrupted before it published.
pub async fn unpublished(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    arrivals: Arrivals,
    cells: &mut BTreeMap<(DateTime<Utc>, i64), i64>,
) -> sqlx::Result<()> {
    let binds = [Bind::Id(arrivals.plan_id), Bind::Time(arrivals.as_of), Bind::Time(arrivals.since)];
    session::each(connection, &residual::changed(job, facts), &binds, |row| {
        let rows: i64 = row.try_get("rows")?;
        cells.entry((row.try_get("bucket_start")?, row.try_get("cell_id")?)).or_insert(rows);
        Ok(())
    })
    .await
}

/// Returns the buckets before `residual_from` that contain copies of arrived predictions.
pub async fn older_copies(
    connection: &mut PgConnection,
    job: &PlannedJob,
    arrivals: Arrivals,
    residual_from: DateTime<Utc>,
) -> sqlx::Result<Vec<DateTime<Utc>>> {
    let binds =
        [Bind::Id(arrivals.plan_id), Bind::Time(arrivals.as_of), Bind::Time(arrivals.since), Bind::Time(residual_from)];
    let rows = session::fetch(connection, &residual::older_copies(job), &binds).await?;
    rows.iter().map(|row| row.try_get("bucket_start")).collect()
}

/// Range of event time to read again.
#[derive(Debug, Clone)]
pub struct Reread {
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub range: std::ops::Range<DateTime<Utc>>,
    pub generation: i64,
    /// Also delete rows of a newer `as_of`: a first build ignores everything that was there before.
    pub from_scratch: bool,
}

/// Reads the residuals of a range of event time again. Those that the source no longer yields are deleted.
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

/// Reads the residuals of single buckets again.
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
