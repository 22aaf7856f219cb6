//! A borrowed connection with a bounded life: connecting, pinging, every statement, committing and giving back all end.
//!
//! The driver has no time limit of its own. Behind a partition, a stalled proxy or a paused server a statement would wait
//! until TCP gives up, a quarter of an hour at best, and keep its place in the pool for as long. So `serve` borrows every
//! connection here, with a limit. Past the limit the work is cancelled, the connection is closed instead of returned, its
//! place in the pool is free again, and a counter says so.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;
use tracing::warn;

use super::refused;

/// For statements about our own tables, which take milliseconds: one that takes this long has lost its connection.
pub const SHORT: Duration = Duration::from_secs(20);
/// How long giving a connection back may take: a few small statements.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Connections that were closed because they did not answer in time.
static LOST: AtomicU64 = AtomicU64::new(0);

tokio::task_local! {
    /// Set while a session is given back that was left as it was found: see [`is_clean`].
    static CLEAN: ();
}

/// How many connections this process closed because they did not answer in time.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Whether the session that is given back just now needs no reset. Asked by the pool's hook.
pub(super) fn is_clean() -> bool {
    CLEAN.try_with(|()| ()).is_ok()
}

/// Borrows a connection for statements about our own tables that must end within `limit`, the wait for a free connection
/// included. The work must leave the session's settings alone: unless it fails, nothing resets them.
///
/// Work that is cancelled, by the limit or by its caller, closes its connection: a future dropped in the middle of a
/// statement leaves the session busy or in a transaction.
pub async fn within<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    limit: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    borrow(pool, limit, false, work).await
}

/// Like [`within`], for work that changes settings of its session: they are reset before the next borrower sees it.
pub async fn within_own_settings<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    limit: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    borrow(pool, limit, true, work).await
}

async fn borrow<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    limit: Duration,
    reset: bool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let is_borrowed = AtomicBool::new(false);
    let borrowed = async {
        let mut held = match pool.acquire().await {
            Ok(connection) => CancelSafeConnection(Some(connection)),
            Err(error) => return Err(refused::reason(&pool.connect_options(), error).await.into()),
        };
        is_borrowed.store(true, Ordering::Relaxed);
        let done = work(held.connection()).await;
        held.give_back(reset || done.is_err());
        done
    };
    match timeout(limit, borrowed).await {
        Ok(done) => done,
        Err(_) => {
            if is_borrowed.load(Ordering::Relaxed) {
                count_lost("the database did not answer in time; the connection was closed");
            }
            Err(silence(limit).into())
        }
    }
}

/// The error of a database that did not answer within a limit.
pub fn silence(limit: Duration) -> sqlx::Error {
    let words = format!("the database did not answer within {} s", limit.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words))
}

fn count_lost(what: &str) {
    LOST.fetch_add(1, Ordering::Relaxed);
    warn!("{what}");
}

/// A pooled connection that is closed, not returned, unless it is given back.
struct CancelSafeConnection(Option<PoolConnection<Postgres>>);

impl CancelSafeConnection {
    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a held connection is there until it is given back")
    }

    /// Returns it to the pool beside the caller's work. The pool resets and pings it, without a limit of its own.
    fn give_back(mut self, reset: bool) {
        let Some(mut connection) = self.0.take() else { return };
        let back = connection.return_to_pool();
        tokio::spawn(async move {
            let returned = match reset {
                true => timeout(GIVE_BACK, back).await,
                false => timeout(GIVE_BACK, CLEAN.scope((), back)).await,
            };
            if returned.is_err() {
                count_lost("a connection did not answer while it was given back; it was closed");
            }
        });
    }
}

impl Drop for CancelSafeConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
