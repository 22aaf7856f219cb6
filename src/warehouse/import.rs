//! Loads a file into a table of its own.

use sqlx::{Connection as _, PgConnection};

use crate::domain::name::Identifier;
use crate::sql::import::{self, NewTable};
use crate::warehouse::session;

/// Creates the table and fills it with the parts from `next`, or changes nothing. Returns the number of rows.
pub async fn load<E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    table: &NewTable,
    next: impl FnMut() -> Result<Option<Vec<u8>>, E>,
) -> Result<u64, E> {
    let mut transaction = connection.begin().await?;
    for statement in import::make(table) {
        session::execute(&mut transaction, &statement, &[]).await?;
    }
    let loaded = session::copy_in(&mut transaction, &import::copy(table), next).await?;
    session::execute(&mut transaction, &import::analyze(table), &[]).await?;
    transaction.commit().await?;
    Ok(loaded)
}

/// Creates an index on a column of such a table.
pub async fn index(connection: &mut PgConnection, table: &Identifier, column: &Identifier) -> sqlx::Result<()> {
    session::execute(connection, &import::index(table, column), &[]).await.map(|_| ())
}

/// Makes columns the key of such a table; returns false if its rows violate it.
pub async fn key(connection: &mut PgConnection, table: &Identifier, columns: &[&Identifier]) -> sqlx::Result<bool> {
    let mut transaction = connection.begin().await?;
    for statement in import::key(table, columns) {
        match session::execute(&mut transaction, &statement, &[]).await {
            Ok(_) => {}
            // A NULL or a duplicate row.
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("23")) => {
                return transaction.rollback().await.map(|()| false);
            }
            Err(error) => return Err(error),
        }
    }
    transaction.commit().await.map(|()| true)
}
