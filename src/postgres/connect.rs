//! Connections: one pool per process, every session in the same known state.

use std::time::Duration;

use anyhow::Result;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::time::timeout;

use super::refused::{self, Refused};
use super::{held, keepalive};

/// Time to wait for a connection before the database is reported as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time an idle connection has to answer before it counts as dead.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// The pool closes a connection that is idle for this long. In a serving pool, the server waits twice as long.
const SERVING_IDLE: Duration = Duration::from_secs(30);

/// Puts a session into a known state, independent of role and server settings; `warehouse::session::pin` passes it on to the
/// servers of a sharded database. With `row_security` off, Postgres refuses to read a table that a policy would filter:
/// metrics of some rows would look like metrics of all.
const SESSION: &str = "reset all; set search_path = pg_catalog; set time zone 'UTC'; set extra_float_digits = 1; \
                       set datestyle = 'ISO, MDY'; set intervalstyle = postgres; set bytea_output = hex; \
                       set row_security = off; \
                       set standard_conforming_strings = on; \
                       set citus.propagate_set_commands = 'local'; \
                       set statement_timeout = '60s'; set lock_timeout = '10s'; \
                       set client_min_messages = warning; \
                       set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3; \
                       set tcp_user_timeout = '60s'; set client_connection_check_interval = '10s'";

/// Ends any transaction and locks that a session was left with. The `begin` avoids a warning when there is no transaction.
const LET_GO: &str = "begin; rollback; select pg_advisory_unlock_all()";

/// Opens a pool of at most `max_connections`, for a command. Fails if the database cannot be reached.
///
/// A command may compute, or wait for the user's answer, while it has a connection.
pub async fn pool(options: PgConnectOptions, max_connections: u32) -> Result<PgPool> {
    build(
        options,
        max_connections,
        Patience { idle: Duration::from_secs(3_600), in_transaction: Duration::from_secs(60), reading: None },
    )
    .await
}

/// Opens a pool for a process that never leaves a session idle for long: a session that the server finds idle has lost its
/// client. A runner that freezes inside a transaction keeps its locks no longer than its lease.
pub async fn serving_pool(options: PgConnectOptions, max_connections: u32, lease: Duration) -> Result<PgPool> {
    build(options, max_connections, Patience { idle: SERVING_IDLE * 2, in_transaction: lease, reading: None }).await
}

/// Opens a pool whose sessions can only read, with a time limit on every statement: what users look at never delays a run.
pub async fn reading_pool(options: PgConnectOptions, max_connections: u32, statement: Duration) -> Result<PgPool> {
    let options = options.application_name("trueup web");
    let patience = Patience { idle: SERVING_IDLE * 2, in_transaction: statement * 4, reading: Some(statement) };
    build(options, max_connections, patience).await
}

/// Makes a session read-only, and limits its statements and its waits for locks. Pages have many small statements, which
/// compilation would only delay.
const READING: &str = "set default_transaction_read_only = on; set lock_timeout = '200ms'; set jit = off";

/// Time the server waits for the next statement before it ends a session.
#[derive(Debug, Clone, Copy)]
struct Patience {
    idle: Duration,
    in_transaction: Duration,
    /// Time limit of a statement, if sessions only read.
    reading: Option<Duration>,
}

async fn build(options: PgConnectOptions, max_connections: u32, patience: Patience) -> Result<PgPool> {
    let options = match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("trueup"),
    };
    let address = options.clone();
    let connected = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(SERVING_IDLE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                // A dead connection would use up the whole acquire timeout. Skip the ping if it was used a moment ago.
                if meta.idle_for < Duration::from_secs(1) {
                    return Ok(true);
                }
                Ok(matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(()))))
            })
        })
        .after_connect(move |connection, _| {
            keepalive::watch(&address);
            Box::pin(async move { answered(prepare(connection, patience)).await })
        })
        .after_release(move |connection, _| {
            Box::pin(async move {
                if held::is_clean() {
                    return Ok(true);
                }
                // A cancelled transaction would swallow the next borrower's writes; one borrower's limits are its own.
                answered(async {
                    connection.execute(LET_GO).await?;
                    prepare(connection, patience).await
                })
                .await
                .map(|()| true)
            })
        })
        .connect_with(options.clone())
        .await;
    match connected {
        Ok(pool) => Ok(pool),
        Err(error) => Err(Refused::new(&options, refused::reason(&options, error).await).into()),
    }
}

/// Puts a connection outside any pool into the same known state.
pub async fn settle(connection: &mut PgConnection) -> sqlx::Result<()> {
    connection.execute(SESSION).await.map(drop)
}

/// Brings a session into the known state.
async fn prepare(connection: &mut PgConnection, patience: Patience) -> sqlx::Result<()> {
    connection.execute(SESSION).await?;
    sqlx::query(
        "select set_config('idle_session_timeout', $1, false), \
         set_config('idle_in_transaction_session_timeout', $2, false)",
    )
    .bind(patience.idle.as_millis().to_string())
    .bind(patience.in_transaction.as_millis().to_string())
    .execute(&mut *connection)
    .await?;
    let Some(limit) = patience.reading else { return Ok(()) };
    connection.execute(READING).await?;
    sqlx::query("select set_config('statement_timeout', $1, false)")
        .bind(limit.as_millis().to_string())
        .execute(connection)
        .await
        .map(drop)
}

/// Runs small statements with a time limit: a connection that does not answer them is given up.
async fn answered(statements: impl Future<Output = sqlx::Result<()>>) -> sqlx::Result<()> {
    match timeout(PING_TIMEOUT, statements).await {
        Ok(done) => done,
        Err(_) => Err(held::silence(PING_TIMEOUT)),
    }
}
