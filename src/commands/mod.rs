//! One file per command: the only code that prints.

mod analyst;
pub mod author;
pub mod demo;
mod oncall;
mod operate;
mod output;
mod shared;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{BaselineCommand, Cli, Command, Global, GuardArgs, NotifyCommand, Output};
use crate::postgres::local::guard::{self, GuardOptions};
use crate::text::visible;
use analyst::{baseline, history, report};
use author::{backtest, check, errors, explain, init, schema, suggest, test};
use oncall::{alerts, deliveries, incident, notify, route, silence};
use operate::{backfill, doctor, links, migrate, run, runs, serve, shell, status, storage, web};
use shared::{database, jobs};

/// A failure on the user's side: exit code 1.
#[derive(Debug)]
pub struct UserError(pub String);

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UserError {}

/// Wraps a message in a `UserError`.
fn user_error(message: impl Into<String>) -> anyhow::Error {
    UserError(message.into()).into()
}

/// Runs one command.
pub fn dispatch(cli: Cli) -> Result<ExitCode> {
    if let Command::LocalPostgresGuard(args) = cli.command {
        return run_guard(args);
    }
    let log = match cli.command {
        Command::Serve { log } | Command::Web { log, .. } => Some(log),
        _ => None,
    };
    output::log::to_stderr(log);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("could not start the runtime")?;
    let done = runtime.block_on(command(cli));
    // Blocking name lookups may hang; do not wait for them.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

async fn command(cli: Cli) -> Result<ExitCode> {
    let global = cli.global;
    if matches!(global.output, Output::Sarif | Output::Github) && !matches!(cli.command, Command::Check { .. }) {
        return Err(user_error("`sarif` and `github` are output formats of `check` only; use table, json or csv"));
    }
    match cli.command {
        Command::Check { explain: Some(code), .. } => check::explain(&code),
        Command::Check { path, .. } => check::run(&global, path.as_deref()).await,
        Command::Migrate(args) => migrate::run(&global, &args).await,
        Command::Doctor => doctor::run(&global).await,
        Command::Run(args) => run::run(&global, &args).await,
        Command::Backfill(args) => backfill::run(&global, &args).await,
        Command::Serve { .. } => serve::run(&global).await,
        Command::Web { listen, .. } => web::run(&global, listen).await,
        Command::Links { job } => links::run(&global, &job),
        Command::History(args) => again(&global, args.watch, async || history::run(&global, &args).await).await,
        Command::Report(args) => report::run(&global, &args).await,
        Command::Status { watch, storage: false } => again(&global, watch, async || status::run(&global).await).await,
        Command::Status { watch, storage: true } => again(&global, watch, async || storage::run(&global).await).await,
        Command::Runs { job, limit, watch } => {
            again(&global, watch, async || runs::run(&global, job.as_deref(), limit).await).await
        }
        Command::Alerts { command: Some(command), .. } => alerts::act(&global, &command).await,
        Command::Alerts { command: None, job, all, watch } => {
            again(&global, watch, async || alerts::run(&global, job.as_deref(), all).await).await
        }
        Command::Incident(args) => incident::run(&global, &args).await,
        Command::Route(args) => route::run(&global, &args).await,
        Command::Notify { command: NotifyCommand::Test { receiver } } => notify::test(&global, &receiver).await,
        Command::Deliveries { command: Some(command), .. } => deliveries::act(&global, &command).await,
        Command::Deliveries { command: None, filter } => deliveries::run(&global, &filter).await,
        Command::Reconcile { job } => run::reconcile(&global, &job).await,
        Command::Explain { job: Some(job), analyze, .. } => explain::run(&global, &job, analyze).await,
        Command::Explain { errors: true, .. } => errors::errors(),
        Command::Explain { reference: true, .. } => errors::reference(),
        Command::Explain { job: None, .. } => errors::run(),
        Command::Backtest(args) => backtest::run(&global, &args).await,
        Command::Suggest(args) => suggest::run(&global, &args).await,
        Command::Init(args) => init::run(&global, &args).await,
        Command::Schema { kind } => schema::run(kind),
        Command::Test { path } => test::run(&global, &path),
        Command::Baseline { command: BaselineCommand::Set(args) } => baseline::set(&global, &args).await,
        Command::Silence { command } => silence::run(&global, &command).await,
        Command::Annotate(args) => silence::annotate(&global, &args).await,
        Command::Demo { stop: true, .. } => demo::stop(),
        Command::Demo { keep, .. } => demo::run(keep).await,
        Command::Completions { shell } => shell::completions(shell),
        Command::Man { folder } => shell::man(folder.as_deref()),
        Command::LocalPostgresGuard(_) => unreachable!("the guard needs no runtime and was run before"),
    }
}

/// Interval at which `--watch` refreshes the screen.
const WATCH_EVERY: Duration = Duration::from_secs(3);

/// Shows the output once, or repeatedly on a cleared screen.
async fn again(global: &Global, watch: bool, show: impl AsyncFn() -> Result<ExitCode>) -> Result<ExitCode> {
    if !watch {
        return show().await;
    }
    // Keep the database in use while watching: a private Postgres would stop and start between refreshes.
    let _database = database::database(global, &jobs::settings(global)?).await?;
    loop {
        output::wipe_screen()?;
        show().await?;
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

fn run_guard(args: GuardArgs) -> Result<ExitCode> {
    let options = GuardOptions {
        folder: args.folder,
        socket: args.socket,
        binaries: args.binaries,
        uid: args.uid,
        gid: args.gid,
        throw_away: args.throw_away,
        linger: Duration::from_millis(args.linger_ms),
    };
    guard::run(&options)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints why a command failed.
pub fn fail(failure: &str) {
    output::fail(failure);
}

/// Prints a command-line mistake and returns the exit code.
pub fn usage(mistake: clap::Error) -> ExitCode {
    let given: Vec<String> = std::env::args_os().map(|given| given.to_string_lossy().into_owned()).collect();
    // Parse again with hidden characters made visible: a file name may come from a shell `*`.
    let shown = match given.iter().any(|given| visible::has_hidden(given)) {
        true => Cli::try_parse_from(given.iter().map(|given| visible::line(given))).err().unwrap_or(mistake),
        false => mistake,
    };
    output::note_styled(shown.render().ansi().to_string().trim_end());
    ExitCode::from(1)
}
