//! Rows that are never counted, and sources that are younger than the horizon.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use super::mistake::SourceMistake;
use crate::plan::PlannedJob;
use crate::sql::sample;
use crate::warehouse::session;

/// Finds columns that contain NULL but must not, in a sample of each table: such rows are never read.
pub async fn nulls(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<SourceMistake>> {
    let mut found = Vec::new();
    for probe in sample::nulls(job) {
        let rows = session::fetch(connection, &probe.sql, &[]).await?;
        let Some(row) = rows.first() else { continue };
        let (rows, nulls): (i64, i64) = (row.try_get("rows")?, row.try_get("nulls")?);
        if nulls > 0 {
            let message = format!("`{}` is NULL in {nulls} of {rows} rows, which are not counted", probe.column);
            let hint = "replace the NULLs in the table, or in a `query` with coalesce";
            found.push(SourceMistake::new(probe.path, "null-key", message, hint));
        }
    }
    Ok(found)
}

/// Returns the oldest event of a source. `None` without predictions.
pub async fn first_event(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Option<DateTime<Utc>>> {
    let rows = session::fetch(connection, &sample::first_event(job), &[]).await?;
    rows.first().map(|row| row.try_get("first")).transpose().map(Option::flatten)
}

/// Returns the oldest event of a source that begins within the horizon. `None` if it reaches back far enough.
pub async fn begins_late(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Option<DateTime<Utc>>> {
    let seconds = job.windows.horizon.num_seconds();
    let rows = session::fetch(connection, &sample::oldest(job, seconds), &[]).await?;
    rows.first().map(|row| row.try_get("oldest")).transpose().map(Option::flatten)
}
