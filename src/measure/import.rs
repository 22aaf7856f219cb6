//! Loads a file into a table of its own.

use sqlx::{Connection as _, PgConnection};

use crate::measure::session;
use crate::plan::sql::import::{self, NewTable};

/// Makes the table and fills it, or leaves everything as it was. Returns how many rows there are.
pub async fn load(connection: &mut PgConnection, table: &NewTable, rows: &[u8]) -> sqlx::Result<u64> {
    let mut transaction = connection.begin().await?;
    for statement in import::make(table) {
        session::execute(&mut transaction, &statement, &[]).await?;
    }
    let loaded = session::copy_in(&mut transaction, &import::copy(table), rows).await?;
    session::execute(&mut transaction, &import::analyze(table), &[]).await?;
    transaction.commit().await?;
    Ok(loaded)
}
