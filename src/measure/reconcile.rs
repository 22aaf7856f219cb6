//! Compares history with the source, for changes that no arrival time tells of.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::reconcile;

/// Starts of the buckets of a range that the source, as of a time, says otherwise.
pub async fn differing(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan_id: i64,
    as_of: DateTime<Utc>,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<Vec<DateTime<Utc>>> {
    let binds = [Bind::Id(plan_id), Bind::Time(as_of), Bind::Time(range.start), Bind::Time(range.end)];
    let rows = session::fetch(connection, &reconcile::differing(job, facts), &binds).await?;
    rows.iter().map(|row| row.try_get("bucket_start")).collect()
}
