//! Brings the `trueup` schema up to date.

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use super::pooler;
use super::refused::Refused;

/// All migrations, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// The oldest server that works: `date_bin` and multiple ranges of functions used here came with it.
pub const OLDEST_SERVER: i32 = 140_000;

/// Applies what is missing. Safe to run from several programs at once.
///
/// A failed migration keeps its advisory lock, so it runs on a connection of its own, which is closed whatever happens.
pub async fn run(options: &PgConnectOptions) -> Result<()> {
    let connected = pooler::connect(options).await;
    let mut connection = connected.map_err(|error| Refused::new(options, error))?;
    let outcome = apply(&mut connection).await;
    let closed = connection.close().await;
    outcome?;
    closed.context("could not close the migrating connection")
}

async fn apply(connection: &mut PgConnection) -> Result<()> {
    let version: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&mut *connection).await?;
    anyhow::ensure!(version >= OLDEST_SERVER, "this server is Postgres {}; trueup needs 14 or newer", version / 10_000);
    // Pinned, because a role named like our schema would otherwise find another table of migrations the second time.
    connection.execute("set client_min_messages = warning; set search_path = public").await?;
    MIGRATOR.run(connection).await.context("could not migrate the `trueup` schema")
}

/// How the schema of a database stands to the one that this program knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    UpToDate,
    /// It lacks so many migrations.
    Behind(usize),
    /// It has so many that this program does not know: a newer one made them.
    Ahead(usize),
}

/// Compares the migrations of a database with those of this program.
pub async fn standing(connection: &mut PgConnection) -> sqlx::Result<Standing> {
    let exists: bool = sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(Standing::Behind(MIGRATOR.iter().count()));
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("select version from public._sqlx_migrations where success").fetch_all(connection).await?;
    let known: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    let lacking = known.iter().filter(|version| !applied.contains(version)).count();
    let unknown = applied.iter().filter(|version| !known.contains(version)).count();
    Ok(match (unknown, lacking) {
        (0, 0) => Standing::UpToDate,
        (0, lacking) => Standing::Behind(lacking),
        (unknown, _) => Standing::Ahead(unknown),
    })
}
