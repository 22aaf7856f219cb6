//! Names of classes, read from the source.

use sqlx::{PgConnection, Row as _};

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::classes;
use crate::warehouse::session::{self, Bind};

/// Finds the names of these codes among the classes of the source, codes and names in the same order.
pub async fn names(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    codes: &[i64],
) -> sqlx::Result<(Vec<i64>, Vec<String>)> {
    let rows = session::fetch(connection, &classes::names(job, facts), &[Bind::Ids(codes)]).await?;
    rows.iter().map(|row| Ok((row.try_get::<i64, _>("code")?, row.try_get::<String, _>("name")?))).collect()
}
