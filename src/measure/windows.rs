//! Third stage: buckets merged into windows.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::measurement::{Counts, Measurement, Merged};
use crate::plan::sql::window;
use crate::plan::window::Slice;

/// One window to be measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueWindow {
    pub name: String,
    pub slice: Slice,
}

/// Measures windows: one measurement per cohort and version that has predictions in it.
pub async fn measure(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    windows: &[DueWindow],
) -> sqlx::Result<Vec<Measurement>> {
    let numbers: Vec<i32> = (0..).take(windows.len()).collect();
    let starts: Vec<_> = windows.iter().map(|window| window.slice.start).collect();
    let ends: Vec<_> = windows.iter().map(|window| window.slice.end).collect();
    let binds = [Bind::Id(plan_id), Bind::Numbers(&numbers), Bind::Times(&starts), Bind::Times(&ends)];
    let rows = session::fetch(connection, &window::merge(job), &binds).await?;
    rows.iter().map(|row| Ok(merged(job, windows, row)?.finish(job))).collect()
}

fn merged(job: &PlannedJob, windows: &[DueWindow], row: &PgRow) -> sqlx::Result<Merged> {
    let number: i32 = row.try_get("no")?;
    let window = usize::try_from(number).ok().and_then(|number| windows.get(number)).ok_or_else(|| {
        sqlx::Error::Protocol(format!("the server answered with window {number}, which was not asked for"))
    })?;
    let values: Option<Vec<Option<String>>> = row.try_get("cohort_values")?;
    let other: bool = row.try_get("is_other")?;
    Ok(Merged {
        window: window.name.clone(),
        slice: window.slice,
        cohort: job.cohort(row.try_get("cohort_set")?, values.filter(|_| !other)),
        model_version: row.try_get("model_version")?,
        counts: Counts {
            predictions: row.try_get("predictions")?,
            labeled: row.try_get("labeled")?,
            excluded: row.try_get("excluded")?,
            duplicates: row.try_get("duplicates")?,
            ambiguous: row.try_get("ambiguous")?,
        },
        sums: row.try_get("sums")?,
        digest: row.try_get("digest")?,
    })
}
