//! Uniqueness of the keys that a job declares unique.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use super::mistake::SourceMistake;
use crate::plan::PlannedJob;
use crate::sql::sample;
use crate::warehouse::session::{self, Bind};

/// Finds rows since a time that share a key declared `unique = true`: they would be counted as several pairs.
pub async fn not_unique(
    connection: &mut PgConnection,
    job: &PlannedJob,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<SourceMistake>> {
    let mut found = Vec::new();
    for (path, sql) in sample::shared_keys(job) {
        let rows = session::fetch(connection, &sql, &[Bind::Time(since)]).await?;
        let keys: i64 = rows.first().map(|row| row.try_get("keys")).transpose()?.unwrap_or_default();
        if keys > 0 {
            let message = format!("{keys} keys occur in several rows");
            let hint = "remove `unique = true`; such rows are then excluded as duplicates, and counted";
            found.push(SourceMistake::new(path, "not-unique", message, hint));
        }
    }
    Ok(found)
}

/// Counts the newest predictions, and those of them that share their key with another.
pub async fn repeated_keys(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<(i64, i64)> {
    let rows = session::fetch(connection, &sample::repeated_keys(job), &[]).await?;
    let Some(row) = rows.first() else { return Ok((0, 0)) };
    Ok((row.try_get("rows")?, row.try_get("shared")?))
}
