//! `demo`: an end-to-end run on made-up data, with a real Postgres, a real SMTP conversation and real HTTP.

mod pages;
pub mod receivers;
mod scene;
mod story;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use owo_colors::OwoColorize as _;

use super::output;
use super::shared::database;
use crate::postgres::local::{self, LocalDatabase, LocalServer};
use scene::Scene;

pub(super) async fn run(keep: bool) -> Result<ExitCode> {
    let started = std::time::Instant::now();
    let server = database::local_server(Path::new(database::LOCAL_FOLDER), database::Consent::Given).await?;
    heading("trueup demo")?;
    output::print(&format!("A private Postgres runs in {}.", server.folder().display()))?;
    let scene = Scene::build(&server).await?;
    story::tell(&scene, &server).await?;
    next_steps(&server, keep)?;
    output::note(&format!("done in {:.1} s", started.elapsed().as_secs_f64()));
    if keep {
        server.keep_running()?;
        pages::keep_open(&server, &scene.pool).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Releases a database that `demo --keep` left running, so that it stops.
pub(super) fn stop() -> Result<ExitCode> {
    let kept = local::stop_keeping(Path::new(database::LOCAL_FOLDER))?;
    output::print(if kept { "stopping the demo database" } else { "no demo database is running here" })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a prominent heading, with or without colour.
fn heading(text: &str) -> Result<()> {
    output::print_styled(&format!("\n{}\n{}", text.bold(), "─".repeat(text.chars().count())))
}

/// Runs a query as an analyst would, with psql where it is installed.
fn psql(server: &LocalServer, query: &str) -> Result<Option<String>> {
    let name = LocalDatabase::Demo.name();
    let program = server.binaries.join("psql");
    let program = if program.is_file() { program } else { "psql".into() };
    let asked = Command::new(program).arg(server.conninfo(name)).args(["-X", "-P", "pager=off", "-c", query]).output();
    match asked {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()))
        }
        Ok(output) => anyhow::bail!("psql failed: {}", String::from_utf8_lossy(&output.stderr).trim_end()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("could not run psql"),
    }
}

fn next_steps(server: &LocalServer, keep: bool) -> Result<()> {
    heading("Next steps")?;
    // The name it was started by, so that the lines below can be pasted.
    let trueup = std::env::args().next().unwrap_or_else(|| "trueup".to_owned());
    let open = server.psql(LocalDatabase::Demo.name());
    if keep {
        output::print_lines(&format!("The database keeps running:\n  {open}\nStop it with:\n  {trueup} demo --stop"))?;
    } else {
        output::print_lines(&format!("Keep the database running to explore it:\n  {trueup} demo --keep\n  {open}"))?;
    }
    output::print_lines(&format!(
        "Your own job is one TOML file in jobs/:\n  \
         {trueup} check          report every mistake, with line and hint\n  \
         {trueup} run JOB        run once; --at TIME replays a past moment, --dry-run writes nothing\n  \
         {trueup} backfill JOB --from 2025-01-01 --to 2025-06-01\n  \
         {trueup} serve          run on schedule, with DATABASE_URL set"
    ))?;
    if !keep {
        output::print_lines(&format!(
            "The incident, its charts and what changed since are pages in a browser:\n  {trueup} demo --keep"
        ))?;
    }
    Ok(())
}
