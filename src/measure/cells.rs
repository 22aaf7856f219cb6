//! Cells made ahead of the rows that are in them, where one statement cannot do both.

use sqlx::PgConnection;

use crate::measure::session::{self, Bind};
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::cell;
use crate::plan::sql::rows::Selection;

/// Makes the cells of a selection on a sharded database. Elsewhere they are made with the rows.
pub async fn make_ahead(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    selection: Selection,
    binds: &[Bind<'_>],
) -> sqlx::Result<()> {
    if facts.sharded {
        session::execute(connection, &cell::make(job, facts, selection), binds).await?;
    }
    Ok(())
}
