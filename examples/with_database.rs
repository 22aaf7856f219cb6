//! Runs a command with `DATABASE_URL` set to a migrated, throw-away Postgres: `cargo run --example with_database -- COMMAND`.
//!
//! For `cargo sqlx prepare`, which needs a database to check queries against.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use trueup::postgres::local::{LocalDatabase, LocalOptions, LocalServer};
use trueup::postgres::migrate;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (program, rest) = arguments.split_first().context("name a command to run")?;
    let root = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let folder = root.join(format!("trueup-database-{}", std::process::id()));
    let options = LocalOptions::throw_away(trueup_program()?)?;
    let server = LocalServer::start(&folder, options).await?;
    server.ensure_database(LocalDatabase::Main).await?;
    migrate::run(&server.options(LocalDatabase::Main.name())).await?;
    let socket = server.socket().display().to_string().replace('/', "%2F");
    let url = format!("postgres://trueup@localhost/{}?host={socket}&sslmode=disable", LocalDatabase::Main.name());
    let status = Command::new(program).args(rest).env("DATABASE_URL", url).env("SQLX_OFFLINE", "false").status()?;
    drop(server);
    // The guard removes the data once nobody uses them; what is left then are our own locks and logs.
    while folder.join("data").exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove `{}`", folder.display()))?;
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// The `trueup` program of the same build: it becomes the guard of the server.
fn trueup_program() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.parent().and_then(Path::parent).context("no build folder")?.join("trueup");
    anyhow::ensure!(program.is_file(), "`{}` is not built; run `cargo build` first", program.display());
    Ok(program)
}
