//! Compares history with the source, to find changes that arrival times do not reveal.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::plan::PlannedJob;
use crate::plan::shrink::{Difference, Extent};
use crate::plan::source::SourceFacts;
use crate::sql::pairs::reconcile;
use crate::sql::pairs::source::Selection;
use crate::warehouse::session::{self, Bind};

/// Scope of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    pub facts: &'a SourceFacts,
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub range: &'a Range<DateTime<Utc>>,
    /// Only the buckets that start at these times, all of them in the range.
    pub starts: Option<&'a [DateTime<Utc>]>,
    /// True if the range is the whole horizon: rows that its old end lacks may have left the source by age.
    pub is_horizon: bool,
}

/// Returns the buckets that differ from the source as of a time.
pub async fn differing(
    connection: &mut PgConnection,
    job: &PlannedJob,
    compared: &Compared<'_>,
) -> sqlx::Result<Vec<Difference>> {
    let Compared { facts, plan_id, as_of, range, starts, .. } = *compared;
    let mut binds = vec![Bind::Id(plan_id), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    binds.extend(starts.map(Bind::Times));
    let selection = if starts.is_some() { Selection::Buckets } else { Selection::Range };
    let rows = session::fetch(connection, &reconcile::differing(job, facts, selection), &binds).await?;
    let difference = |row: &PgRow| {
        Ok(Difference {
            start: row.try_get("bucket_start")?,
            before: Extent { predictions: row.try_get("before_predictions")?, labeled: row.try_get("before_labeled")? },
            after: Extent { predictions: row.try_get("after_predictions")?, labeled: row.try_get("after_labeled")? },
        })
    };
    rows.iter().map(difference).collect()
}
