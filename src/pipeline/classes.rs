//! Classes of measurements get their names: the history is read by people, who know no codes.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::metric::measurement::Measurement;
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::store::history::class;
use crate::warehouse::classes;

/// Names the classes that these measurements are the first to have.
pub(super) async fn name(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    job_id: i64,
    measurements: &[Measurement],
) -> sqlx::Result<()> {
    let codes: BTreeSet<i64> = measurements.iter().flat_map(|m| m.confusion.classes()).collect();
    let codes: Vec<i64> = codes.into_iter().collect();
    if codes.is_empty() {
        return Ok(());
    }
    let unnamed = class::unnamed(connection, job_id, &codes).await?;
    if unnamed.is_empty() {
        return Ok(());
    }
    // Reads all classes of the source, which happens once for each class.
    let (codes, names) = classes::names(connection, job, facts, &unnamed).await?;
    class::name(connection, job_id, &codes, &names).await
}
