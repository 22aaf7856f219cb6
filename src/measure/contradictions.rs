//! What contradicts itself in the source: keys that are not unique, labels that disagree.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row as _};

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::residual;

/// Predictions that are left out for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// `duplicate prediction` or `ambiguous label`.
    pub outcome: &'static str,
    pub predictions: i64,
    /// A few of their keys.
    pub examples: Vec<String>,
}

/// Looks for them among the predictions of a range of event time, as of a time.
pub async fn of_source(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    as_of: DateTime<Utc>,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<Vec<Contradiction>> {
    let binds = [Bind::Id(0), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    let rows = session::fetch(connection, &residual::contradictions(job, facts), &binds).await?;
    rows.iter()
        .map(|row| {
            let duplicate = row.try_get::<i16, _>("class")? == 5;
            Ok(Contradiction {
                outcome: if duplicate { "duplicate prediction" } else { "ambiguous label" },
                predictions: row.try_get("predictions")?,
                examples: row.try_get("examples")?,
            })
        })
        .collect()
}
