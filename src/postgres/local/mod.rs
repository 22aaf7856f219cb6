//! A Postgres that starts by itself, from the binaries installed on this machine.
//!
//! A folder holds one cluster. Every program that uses it has a shared lock on `in-use.lock`; our guard process waits for
//! the exclusive lock and stops the server once the last user has exited or was killed.

mod account;
mod binaries;
mod download;
mod entry;
mod folder;
pub mod guard;
mod home;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};

pub use binaries::{Missing, find as installed};
pub use download::Download;
use folder::Folder;
use home::Home;

/// Options for running a local server.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Folder with `initdb` and `postgres`.
    pub binaries: PathBuf,
    /// The program that becomes the guard: `trueup` itself.
    pub guard: PathBuf,
    /// The data need not survive: faster, and removed after the last user exits.
    pub throw_away: bool,
    /// Time the server keeps running after its last user exits.
    pub linger: Duration,
}

impl LocalOptions {
    /// Uses the installed Postgres, and removes the data after the last user exits.
    pub fn throw_away(guard: PathBuf) -> Result<Self, Missing> {
        Ok(Self { binaries: installed()?, guard, throw_away: true, linger: Duration::ZERO })
    }
}

/// The databases of a local server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalDatabase {
    /// Used by commands when no `DATABASE_URL` is given.
    Main,
    /// Created again by each `demo`.
    Demo,
}

impl LocalDatabase {
    /// Returns its name in Postgres.
    pub fn name(self) -> &'static str {
        match self {
            Self::Main => "trueup",
            Self::Demo => "trueup_demo",
        }
    }
}

/// A local server in use. It may stop once this is dropped and there is no other user.
pub struct LocalServer {
    folder: Folder,
    /// Folder with the binaries, including `psql` if it is installed.
    pub binaries: PathBuf,
    _in_use: File,
}

impl LocalServer {
    /// Starts the server of a folder, or joins the running one. The first start creates the cluster.
    pub async fn start(path: &Path, options: LocalOptions) -> Result<Self> {
        let path = std::path::absolute(path)?;
        tokio::task::spawn_blocking(move || start(&path, &options)).await?
    }

    /// Returns connection options for one of its databases.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket())
            .port(folder::PORT)
            .username(folder::SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Creates a database unless it exists.
    pub async fn ensure_database(&self, database: LocalDatabase) -> Result<()> {
        let mut connection =
            self.options("postgres").connect().await.context("could not connect to the local Postgres")?;
        let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(database.name())
            .fetch_one(&mut connection)
            .await?;
        if !exists {
            create(&mut connection, database).await?;
        }
        Ok(connection.close().await?)
    }

    /// Removes a database and everything in it, if it exists.
    pub async fn drop_database(&self, database: LocalDatabase) -> Result<()> {
        let mut connection =
            self.options("postgres").connect().await.context("could not connect to the local Postgres")?;
        let sql = match database {
            LocalDatabase::Main => "drop database if exists trueup with (force)",
            LocalDatabase::Demo => "drop database if exists trueup_demo with (force)",
        };
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Returns the command that opens one of its databases in psql.
    pub fn psql(&self, database: &str) -> String {
        format!("psql \"{}\"", self.conninfo(database))
    }

    /// Returns the libpq connection string of one of its databases. The socket's path is quoted, as it may contain spaces. The
    /// port is explicit, or `PGPORT` would apply.
    pub fn conninfo(&self, database: &str) -> String {
        let socket = self.socket().display().to_string().replace('\\', "\\\\").replace('\'', "\\'");
        format!("host='{socket}' port={} user={} dbname={database}", folder::PORT, folder::SUPERUSER)
    }

    /// Returns the folder of the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Returns the folder of its socket.
    pub fn socket(&self) -> &Path {
        &self.folder.socket
    }

    /// Keeps the server running after its last user exits, until [`stop_keeping`].
    pub fn keep_running(&self) -> Result<()> {
        self.folder.keep_running().context("could not mark the local Postgres to keep running")
    }
}

/// Lets a kept server stop once it has no users. Returns true if one was kept.
pub fn stop_keeping(path: &Path) -> Result<bool> {
    let path = std::path::absolute(path)?;
    let account = account::choose()?;
    let mut kept = false;
    for place in folder::places(&path) {
        let Some(home) = Home::existing(&place, account.as_ref())? else { continue };
        if home.has(folder::KEEP)? {
            home.remove(folder::KEEP)?;
            kept = true;
        }
    }
    Ok(kept)
}

/// Creates a database. If another program creates it at the same moment, that counts as success.
async fn create(connection: &mut sqlx::PgConnection, database: LocalDatabase) -> Result<()> {
    let sql = match database {
        LocalDatabase::Main => "create database trueup",
        LocalDatabase::Demo => "create database trueup_demo",
    };
    match sqlx::raw_sql(sql).execute(connection).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P04" | "23505")) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("could not create the local database `{}`", database.name())),
    }
}

fn start(path: &Path, options: &LocalOptions) -> Result<LocalServer> {
    let binaries = options.binaries.clone();
    let account = account::choose()?;
    let folder = Folder::open(path, account)?;
    let gate = folder.lock_gate()?;
    let in_use = folder.lock_in_use()?;
    if folder.is_running() {
        folder.adopt_if_unguarded(options, &binaries)?;
    } else {
        folder.make_cluster(&binaries, options.throw_away)?;
        folder.launch(options, &binaries)?;
    }
    drop(gate);
    Ok(LocalServer { folder, binaries, _in_use: in_use })
}
