//! Brings the `trueup` schema up to date.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use super::pooler;
use super::refused::Refused;

/// All migrations, compiled in. Applied ones are recorded in our own schema: the default table may belong to another
/// application that migrates with the same library.
pub static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!();
    migrator.dangerous_set_table_name("trueup._sqlx_migrations");
    migrator
});

/// The oldest supported server: `date_bin` and `idle_session_timeout`, both used here, were added in it.
pub const OLDEST_SERVER: i32 = 140_000;

/// Applies missing migrations. Safe to run from several programs at once.
///
/// A failed migration keeps its advisory lock, so it runs on a connection of its own that is always closed.
pub async fn run(options: &PgConnectOptions) -> Result<()> {
    let connected = pooler::connect(options).await;
    let mut connection = connected.map_err(|error| Refused::new(options, error))?;
    let outcome = apply(&mut connection).await;
    let closed = connection.close().await;
    outcome?;
    closed.context("could not close the migration connection")
}

async fn apply(connection: &mut PgConnection) -> Result<()> {
    let version: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&mut *connection).await?;
    anyhow::ensure!(version >= OLDEST_SERVER, "this server is Postgres {}; trueup needs 14 or newer", version / 10_000);
    connection.execute("set client_min_messages = warning; set search_path = pg_catalog").await?;
    prepare_schema(connection).await?;
    MIGRATOR.run(connection).await.context("could not migrate the `trueup` schema")
}

/// Creates the schema if it is missing. If an administrator has created it, no privilege to create schemas is needed.
async fn prepare_schema(connection: &mut PgConnection) -> Result<()> {
    let mut transaction = connection.begin().await?;
    // Two programs that start at once would both try to create it.
    transaction.execute("select pg_advisory_xact_lock(hashtextextended('trueup.migrate', 0))").await?;
    let (exists, is_used, is_recorded): (bool, bool, bool) = sqlx::query_as(
        "select to_regnamespace('trueup') is not null, to_regclass('trueup.job') is not null, \
         to_regclass('trueup._sqlx_migrations') is not null",
    )
    .fetch_one(&mut *transaction)
    .await?;
    anyhow::ensure!(
        is_recorded || !is_used,
        "the schema `trueup` has tables, but no record of its migrations (`trueup._sqlx_migrations`): restore the \
         whole schema from a backup, or drop it (`drop schema trueup cascade`) and lose its history"
    );
    if !exists {
        transaction.execute("create schema trueup").await.context("could not create the schema `trueup`")?;
    }
    Ok(transaction.commit().await?)
}

/// The schema version of a database, relative to this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaVersion {
    UpToDate,
    /// This many migrations are missing.
    Behind(usize),
    /// This many migrations are unknown to this program: a newer one applied them.
    Ahead(usize),
}

/// Compares the migrations of a database with those of this program.
pub async fn standing(connection: &mut PgConnection) -> sqlx::Result<SchemaVersion> {
    let exists: bool = sqlx::query_scalar("select to_regclass('trueup._sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(SchemaVersion::Behind(MIGRATOR.iter().count()));
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("select version from trueup._sqlx_migrations where success").fetch_all(connection).await?;
    let known: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    let lacking = known.iter().filter(|version| !applied.contains(version)).count();
    let unknown = applied.iter().filter(|version| !known.contains(version)).count();
    Ok(match (unknown, lacking) {
        (0, 0) => SchemaVersion::UpToDate,
        (0, lacking) => SchemaVersion::Behind(lacking),
        (unknown, _) => SchemaVersion::Ahead(unknown),
    })
}
