//! `init`: turns an undescribed database into a job that runs, by inspecting, proposing and asking.

mod ask;
mod choose;
mod classes;
mod confirm;
mod csv;
mod literal;
mod model;
mod write;

use std::process::ExitCode;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};

use crate::cli::{Global, InitArgs, RunArgs};
use crate::commands::operate::run;
use crate::commands::output::{self, progress};
use crate::commands::shared::{database, jobs};
use crate::commands::user_error;
use crate::plan::propose::score::Target;
use crate::plan::propose::{Named, Proposal};
use crate::warehouse::discover::{self, LookError, Matches, Times};
use ask::Asker;

/// A pair that fits the data, and what the data show about it.
struct Found {
    proposal: Proposal,
    matches: Matches,
    times: Times,
    /// Of labels that are numbers.
    usual_error: Option<(f64, i64)>,
    target: Target,
}

/// Returns the columns named on the command line.
fn named(args: &InitArgs) -> Named {
    Named {
        id: args.id.as_ref().map(|id| {
            let (of_predictions, of_labels) = id.split_once('=').unwrap_or((id, id));
            (of_predictions.to_owned(), of_labels.to_owned())
        }),
        at: args.at.clone(),
        value: args.value.clone(),
        actual: args.actual.clone(),
    }
}

fn look_failed(error: LookError) -> anyhow::Error {
    match error {
        LookError::Name(name) => user_error(name),
        LookError::Database(error) => error.into(),
    }
}

pub(in crate::commands) async fn run(global: &Global, args: &InitArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = database::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let mut args = args.clone();
    if let Some(files) = &args.csv {
        let loaded = csv::load(&mut connection, &files[0], &files[1]).await?;
        (args.predictions, args.labels) = (Some(loaded.predictions), Some(loaded.labels));
        loaded.notes.iter().for_each(|note| output::note(note));
    }
    let spinner = progress::spinner("inspecting the tables");
    let tables = discover::tables(&mut connection).await?;
    let proposal = choose::pair(&mut connection, &tables, &args).await;
    spinner.finish();
    if tables.is_empty() {
        let hint = match global.database_url {
            Some(_) => "grant select on the tables of predictions and labels",
            None => {
                "this is the private Postgres in `.trueup/`; set DATABASE_URL for yours, or give two files with `--csv`"
            }
        };
        return Err(user_error(format!("there is no table at {} that this role can read: {hint}", database.place)));
    }
    let proposal = proposal?;
    let asker = Asker::new(args.yes || args.csv.is_some())?;
    let mut found = confirm::columns(&mut connection, &tables, proposal, &named(&args), &asker).await?;
    classes::confirm(&mut connection, &mut found, &asker).await?;
    if args.csv.is_some() {
        csv::index(&mut connection, &found.proposal).await?;
    }
    if asker.asks() {
        let is_link = |given: &str| given.starts_with("https://") || given.starts_with("http://");
        args.webhook = asker.optional("webhook for alerts", args.webhook.as_deref(), &is_link)?;
        args.runbook = asker.optional("runbook for alerts", args.runbook.as_deref(), &is_link)?;
    }
    let name = args.name.clone().unwrap_or_else(|| write::job_name(&found.proposal.predictions.name));
    let path = global.jobs.join(format!("{name}.toml"));
    if path.exists() {
        return Err(user_error(format!("`{}` already exists; choose another `--name`, or remove it", path.display())));
    }
    let receiver = write::settings(global, &settings, args.webhook.as_deref())?;
    let job = write::job(&name, &found, receiver.as_deref(), args.runbook.as_deref());
    std::fs::create_dir_all(&global.jobs)
        .and_then(|()| std::fs::write(&path, job))
        .map_err(|error| user_error(format!("could not write `{}`: {error}", path.display())))?;
    output::note(&format!("wrote `{}`; its comments explain it", path.display()));
    drop(connection);
    // Run it at once: a new job that does not run would be worth nothing.
    let at = moment(&found.times);
    let code = run::run(global, &RunArgs { job: name.clone(), at, dry_run: false }).await?;
    let mut next = Vec::new();
    if let Some(first) = found.times.first {
        // Include the last day, even if it is not over.
        let to = found.times.last.unwrap_or_else(Utc::now) + TimeDelta::days(1);
        next.push(format!(
            "`trueup backfill {name} --from {} --to {}` to compute the past",
            first.format("%Y-%m-%d"),
            to.format("%Y-%m-%d")
        ));
    }
    next.push(format!("`trueup suggest {name}` to choose limits"));
    // Two files do not grow, and a schedule waits for more rows.
    next.push(match args.csv {
        Some(_) => format!("`trueup history {name}`, or the same `init` on a database to run it on schedule"),
        None => "`trueup check`, and `trueup serve` to run it on schedule".to_owned(),
    });
    output::note(&format!("next: {}", next.join("; ")));
    Ok(code)
}

/// Returns the time of the first run: `None` for now, or the end of data that end in the past.
fn moment(times: &Times) -> Option<DateTime<Utc>> {
    let last = times.last?;
    let end = last + TimeDelta::hours(1);
    (end < Utc::now() - TimeDelta::hours(1)).then_some(end)
}
