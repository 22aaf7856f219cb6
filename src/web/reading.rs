//! Reads what a page shows: everything of one page from one snapshot, so that its numbers are of one moment.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, PgPool};

use super::Shared;
use super::error::PageError;
use super::hide::Hide;
use crate::domain::shown::Shown;
use crate::postgres::held;
use crate::store::read::overview;

/// Time limit of all statements of a page.
const PAGE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// Values that the transaction of this page hides.
    static SHOWN: Shown;
}

/// Runs `work` in a read-only transaction that sees one moment.
pub async fn snapshot<T>(
    shared: &Shared,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, PageError>,
) -> Result<T, PageError> {
    snapshot_of(&shared.reader, &shared.hiding_key, work).await
}

/// Like [`snapshot`], for a report without pages. The key makes the codes of hidden values.
pub async fn snapshot_of<T>(
    pool: &PgPool,
    hiding_key: &[u8],
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, PageError>,
) -> Result<T, PageError> {
    held::within(pool, PAGE, async |connection| {
        let mut transaction = connection.begin_with("begin isolation level repeatable read, read only").await?;
        let hidden = overview::hidden(&mut transaction).await?;
        let shown = Shown::new(hidden, hiding_key);
        let read = SHOWN.scope(shown, work(&mut transaction)).await;
        transaction.rollback().await?;
        read
    })
    .await
}

/// Reads something that the page cannot do without, with values of hidden dimensions replaced.
pub async fn all<T: Hide>(
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
) -> sqlx::Result<T> {
    let mut read = work(connection).await?;
    hide(&mut read);
    Ok(read)
}

/// True if a text from a request names a value that is hidden: to this page it does not exist.
pub fn hides(text: &str) -> bool {
    SHOWN.try_with(|shown| shown.hides(text)).unwrap_or_default()
}

fn hide(read: &mut impl Hide) {
    let hid = SHOWN.try_with(|shown| {
        if !shown.is_all() {
            read.hide(shown);
        }
    });
    debug_assert!(hid.is_ok(), "pages read within a snapshot");
}

/// Runs the statements of one panel. If they fail, the panel says so and the others stand; a lost connection fails the page.
pub async fn panel<T: Hide>(
    connection: &mut PgConnection,
    work: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
) -> sqlx::Result<Result<T, String>> {
    let mut savepoint = connection.begin().await?;
    match work(&mut savepoint).await {
        Ok(mut read) => {
            savepoint.commit().await?;
            hide(&mut read);
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
