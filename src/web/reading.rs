//! Reads what a page shows: everything of one page from one snapshot, so that its numbers are of one moment.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use super::error::PageError;
use crate::postgres::held;

/// Time limit of all statements of a page.
const PAGE: Duration = Duration::from_secs(10);

/// Runs `work` in a read-only transaction that sees one moment.
pub async fn snapshot<T>(
    pool: &PgPool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, PageError>,
) -> Result<T, PageError> {
    held::within(pool, PAGE, async |connection| {
        let mut transaction = connection.begin_with("begin isolation level repeatable read, read only").await?;
        let read = work(&mut transaction).await;
        transaction.rollback().await?;
        read
    })
    .await
}

/// Runs the statements of one panel. If they fail, the panel says so and the others stand; a lost connection fails the page.
pub async fn panel<T>(
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
) -> sqlx::Result<Result<T, String>> {
    let mut savepoint = connection.begin().await?;
    match work(&mut savepoint).await {
        Ok(read) => {
            savepoint.commit().await?;
            Ok(Ok(read))
        }
        Err(sqlx::Error::Database(refusal)) => {
            savepoint.rollback().await?;
            Ok(Err(words(refusal.code().as_deref(), refusal.message())))
        }
        Err(error) => Err(error),
    }
}

/// Words for a statement that the server refused. The message of the server may contain data and goes to the log only.
fn words(code: Option<&str>, message: &str) -> String {
    tracing::warn!(code = code.unwrap_or_default(), error = message, "a panel could not be read");
    match code {
        Some("57014") => "the query took too long and was cancelled; choose a shorter range".to_owned(),
        Some("42501") => {
            "the database role of the pages may not read this; see `trueup migrate --print-grants`".to_owned()
        }
        _ => "the query failed; the log has the reason".to_owned(),
    }
}
