//! Scores and labels of the newest predictions, as classes.

use sqlx::{PgConnection, Row as _};

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::classes;
use crate::warehouse::session;

/// Scores and labels of the newest predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassProfile {
    pub predictions: i64,
    /// Scores that are NULL, not finite, or no probability where they should be one.
    pub unusable: i64,
    /// Scores at or above the threshold.
    pub reached: i64,
    /// Time from the first of the predictions to the last.
    pub seconds: f64,
    /// Labels that are not NULL, and how many of them are 1 and 0; of two classes, positive and negative.
    pub labeled: i64,
    pub ones: i64,
    pub zeros: i64,
    /// Labels of no class, and some of them.
    pub unknown: i64,
    pub examples: Vec<String>,
}

/// Profiles the newest predictions.
pub async fn class_profile(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
) -> sqlx::Result<Option<ClassProfile>> {
    let rows = session::fetch(connection, &classes::profile(job, facts), &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(ClassProfile {
        predictions: row.try_get("predictions")?,
        unusable: row.try_get("unusable")?,
        reached: row.try_get("reached")?,
        seconds: row.try_get("seconds")?,
        labeled: row.try_get("labeled")?,
        ones: row.try_get("ones")?,
        zeros: row.try_get("zeros")?,
        unknown: row.try_get("unknown")?,
        examples: row.try_get("examples")?,
    }))
}
