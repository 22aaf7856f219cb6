//! Column types for expressions that are evaluated row by row.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row as _};

use crate::plan::PlannedJob;
use crate::sql::sample;
use crate::warehouse::session;

/// Returns the SQL types of the prediction columns that the job's expressions name. `None` without expressions or
/// predictions.
pub async fn column_types(
    connection: &mut PgConnection,
    job: &PlannedJob,
) -> sqlx::Result<Option<BTreeMap<String, String>>> {
    if !job.has_expressions() {
        return Ok(None);
    }
    let columns: Vec<String> = job.named_columns().into_iter().collect();
    let rows = session::fetch(connection, &sample::column_types(job, &columns), &[]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let types: Vec<String> = row.try_get("types")?;
    Ok(Some(columns.into_iter().zip(types).collect()))
}
