//! Contradictions in the source: keys that are not unique, labels that disagree.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::pairs::residual;
use crate::sql::sample;
use crate::warehouse::session::{self, Bind};

/// Predictions that are excluded for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// `duplicate prediction`, `ambiguous label`, or the expression that fails.
    pub outcome: String,
    pub predictions: i64,
    /// A few of their keys.
    pub examples: Vec<String>,
}

/// Finds contradictions among the predictions of a range of event time, as of a time.
pub async fn of_source(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    as_of: DateTime<Utc>,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<Vec<Contradiction>> {
    let binds = [Bind::Id(0), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    let rows = session::fetch(connection, &residual::contradictions(job, facts), &binds).await?;
    let mut found = rows
        .iter()
        .map(|row| {
            let duplicate = row.try_get::<i16, _>("class")? == 5;
            Ok(Contradiction {
                outcome: if duplicate { "duplicate prediction" } else { "ambiguous label" }.to_owned(),
                predictions: row.try_get("predictions")?,
                examples: row.try_get("examples")?,
            })
        })
        .collect::<sqlx::Result<Vec<_>>>()?;
    found.extend(failing(connection, job, facts, &binds).await?);
    Ok(found)
}

/// Finds predictions on which an expression fails, if expressions are evaluated row by row.
async fn failing(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    binds: &[Bind<'_>],
) -> sqlx::Result<Vec<Contradiction>> {
    let Some(types) = &facts.guards else { return Ok(Vec::new()) };
    let mut found: Vec<Contradiction> = Vec::new();
    for (path, sql) in sample::failing(job, types) {
        let outcome = format!("`{path}` fails on them");
        // Both sides of a ratio fail on the same rows.
        if found.iter().any(|known| known.outcome == outcome) {
            continue;
        }
        let rows = session::fetch(connection, &sql, binds).await?;
        let Some(row) = rows.first() else { continue };
        let predictions: i64 = row.try_get("predictions")?;
        if predictions > 0 {
            let examples = row.try_get::<Option<Vec<String>>, _>("examples")?.unwrap_or_default();
            found.push(Contradiction { outcome, predictions, examples });
        }
    }
    Ok(found)
}
