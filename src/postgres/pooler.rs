//! Poolers between trueup and the server: consecutive transactions must run in the same session.
//!
//! Prepared statements, timeouts, settings and advisory locks belong to the session. A pooler that assigns a server session
//! for one transaction only, as PgBouncer does with `pool_mode = transaction`, loses them at unpredictable times. It is
//! detected before any work is done, and refused.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

/// Time limit for a second connection. A pooler with a single session makes it wait for ours, which is then not shared.
const SECOND_WITHIN: Duration = Duration::from_secs(2);

/// Times that both connections are checked again: other clients of a pooler may take the sessions in between.
const ROUNDS: u32 = 3;

/// Asks for the pid of the server session, without a prepared statement. A pooler that pins a session once a client sets
/// something is fine, so something is set.
const WHO: &str = "set trueup.session = 'kept'; select pg_backend_pid()";

/// A pooler assigns sessions for one transaction at a time.
#[derive(Debug)]
struct SharedSession;

impl fmt::Display for SharedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pooler in front of the database gives every transaction another session (PgBouncer: \
             `pool_mode = transaction`), but trueup needs a session of its own: set `pool_mode = session` for its user \
             or database, or connect to the server directly",
        )
    }
}

impl std::error::Error for SharedSession {}

/// Connects, and fails if the session is shared.
pub async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let mut first = options.connect().await?;
    match is_shared(&mut first, options).await? {
        false => Ok(first),
        true => {
            drop(first.close_hard().await);
            Err(sqlx::Error::Configuration(SharedSession.into()))
        }
    }
}

/// True if two connections get the same session, or one connection gets two. There are no false positives without a pooler:
/// sessions that are open at the same time have different pids.
///
/// A pooler reuses its idle sessions last in, first out or round-robin; the order below detects both.
async fn is_shared(first: &mut PgConnection, options: &PgConnectOptions) -> sqlx::Result<bool> {
    let mine = session(first).await?;
    let second = timeout(SECOND_WITHIN, async {
        let mut second = options.connect().await?;
        let theirs = session(&mut second).await?;
        Ok::<_, sqlx::Error>((second, theirs))
    });
    // A failed second connection says nothing about the first.
    let Ok(Ok((mut second, theirs))) = second.await else { return Ok(false) };
    let mut is_shared = theirs == mine;
    for _ in 0..ROUNDS {
        is_shared = is_shared || session(&mut second).await? != theirs || session(first).await? != mine;
    }
    drop(second.close().await);
    Ok(is_shared)
}

async fn session(connection: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::raw_sql(WHO).fetch_one(connection).await?.try_get(0)
}
