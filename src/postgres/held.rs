//! Borrowed connections with a time limit on everything: connect, ping, statements, commit and return.
//!
//! The driver has no time limit of its own. Behind a partition, a stalled proxy or a paused server, a statement would wait
//! until TCP gives up (a quarter of an hour at best) and occupy its place in the pool for as long. So `serve` borrows every
//! connection here, with a limit. Past the limit the work is cancelled, the connection is closed instead of returned, its
//! place in the pool becomes free, and a counter is incremented.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::time::timeout;
use tracing::warn;

use super::refused;

/// Limit for statements on our own tables, which take milliseconds: one that takes this long has lost its connection.
pub const SHORT: Duration = Duration::from_secs(20);
/// Limit for returning a connection: a few small statements.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Connections that were closed because they did not answer in time.
static LOST: AtomicU64 = AtomicU64::new(0);

tokio::task_local! {
    /// Set while a session that needs no reset is returned: see [`is_clean`].
    static CLEAN: ();
}

/// Number of connections that this process closed because they did not answer in time.
pub fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// True if the session being returned needs no reset. Called by the pool's hook.
pub(super) fn is_clean() -> bool {
    CLEAN.try_with(|()| ()).is_ok()
}

/// Borrows a connection for statements on our own tables that must end within `limit`, including the wait for a free
/// connection. The work must not change session settings: unless it fails, nothing resets them.
///
/// Cancelling the work, by the limit or by the caller, closes the connection: a future dropped in the middle of a statement
/// leaves the session busy or in a transaction.
pub async fn within<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    limit: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    borrow(pool, limit, false, work).await
}

/// Like [`within`], for work that changes session settings: they are reset before the next borrower gets the session.
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

/// Returns the error for a database that did not answer within `limit`.
pub fn silence(limit: Duration) -> sqlx::Error {
    let words = format!("the database did not answer within {} s", limit.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, words))
}

fn count_lost(what: &str) {
    LOST.fetch_add(1, Ordering::Relaxed);
    warn!("{what}");
}

/// A pooled connection that is closed on drop unless it was given back.
struct CancelSafeConnection(Option<PoolConnection<Postgres>>);

impl CancelSafeConnection {
    fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a held connection is there until it is given back")
    }

    /// Returns it to the pool in the background, with a limit: the pool resets and pings it without one.
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
