//! Poolers between trueup and the server: a session must stay the same from one transaction to the next.
//!
//! Prepared statements, limits of time, temporary settings and advisory locks hang on the session. A pooler that lends a
//! session of the server for one transaction only, as PgBouncer does with `pool_mode = transaction`, takes all of them away
//! now and then. It is recognised before anything is done, and refused.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::time::timeout;

/// How long a second connection may take. Where a pooler has one session to lend it waits for ours, which is then our own.
const SECOND_WITHIN: Duration = Duration::from_secs(2);

/// How often both are asked again. Other clients of a pooler may take the sessions in between.
const ROUNDS: u32 = 3;

/// Asks which session of the server answers, without a prepared statement. A pooler that pins the sessions of those who
/// set something is one that works, so something is set.
const WHO: &str = "set trueup.session = 'kept'; select pg_backend_pid()";

/// A pooler lends sessions for one transaction at a time.
#[derive(Debug)]
struct SharedSession;

impl fmt::Display for SharedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pooler stands before the database and gives every transaction another session (PgBouncer: \
             `pool_mode = transaction`), and trueup needs a session of its own: set `pool_mode = session` for its user or \
             database, or connect to the server itself",
        )
    }
}

impl std::error::Error for SharedSession {}

/// Connects, and makes sure that the session is not shared.
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

/// Whether two connections get the same session, or one gets two of them. No other client is mistaken for a pooler: the
/// server gives different numbers to sessions that are open at the same time.
///
/// Of a pooler's idle sessions the one used last is taken first, or each in its turn; the order below finds out both.
async fn is_shared(first: &mut PgConnection, options: &PgConnectOptions) -> sqlx::Result<bool> {
    let mine = session(first).await?;
    let second = timeout(SECOND_WITHIN, async {
        let mut second = options.connect().await?;
        let theirs = session(&mut second).await?;
        Ok::<_, sqlx::Error>((second, theirs))
    });
    // A second connection that cannot be had says nothing about the first.
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
