//! `init`: from a database that nobody has described to a job that runs, by looking, proposing and asking.

mod ask;
mod csv;
mod file;
mod write;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::output;
use super::{context, jobs, progress, run, user_error};
use crate::cli::{Global, InitArgs, RunArgs};
use crate::measure::catalog::{self, LookError, Matches, Times};
use crate::plan::propose::{self, Named, Proposal, TableInfo};
use ask::Asker;

/// Pairs whose rows are compared, the likeliest first.
const MOST_TRIED: usize = 8;

/// A pair that the data agree with.
struct Found {
    proposal: Proposal,
    matches: Matches,
    times: Times,
    usual_error: Option<(f64, i64)>,
}

pub(super) async fn run(global: &Global, args: &InitArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let database = context::database(global, &settings).await?;
    let mut connection = database.pool.acquire().await?;
    let mut args = args.clone();
    if let Some(files) = &args.csv {
        let loaded = csv::load(&mut connection, &files[0], &files[1]).await?;
        (args.predictions, args.labels) = (Some(loaded.predictions), Some(loaded.labels));
        loaded.notes.iter().for_each(|note| output::note(note));
    }
    let spinner = progress::spinner("looking at the tables");
    let tables = catalog::tables(&mut connection).await?;
    let found = choose(&mut connection, &tables, &args).await;
    spinner.finish();
    if tables.is_empty() {
        let hint = match global.database_url {
            Some(_) => "grant select on those that hold predictions and labels",
            None => {
                "this is the private Postgres in `.trueup/`; set DATABASE_URL for yours, or give two files with `--csv`"
            }
        };
        return Err(user_error(format!("there is no table at {} that this role may read: {hint}", database.place)));
    }
    let found = found?;
    let asker = Asker::new(args.yes || args.csv.is_some())?;
    let found = confirm(&mut connection, &tables, found, &asker).await?;
    if asker.asks() {
        let is_link = |given: &str| given.starts_with("https://") || given.starts_with("http://");
        args.webhook = asker.optional("webhook that is told of alerts", args.webhook.as_deref(), &is_link)?;
        args.runbook = asker.optional("runbook that an alert links to", args.runbook.as_deref(), &is_link)?;
    }
    let name = args.name.clone().unwrap_or_else(|| write::job_name(&found.proposal.predictions.name));
    let path = global.jobs.join(format!("{name}.toml"));
    if path.exists() {
        return Err(user_error(format!(
            "`{}` is there already; choose another `--name`, or remove it",
            path.display()
        )));
    }
    let receiver = write::settings(global, &settings, args.webhook.as_deref())?;
    let job = write::job(&name, &found, receiver.as_deref(), args.runbook.as_deref());
    std::fs::create_dir_all(&global.jobs)
        .and_then(|()| std::fs::write(&path, job))
        .map_err(|error| user_error(format!("could not write `{}`: {error}", path.display())))?;
    output::note(&format!("wrote `{}`; read it: its comments say what it does", path.display()));
    drop(connection);
    // A job that was just written and does not run would be worth nothing.
    let at = moment(&found.times);
    let code = run::run(global, &RunArgs { job: name.clone(), at, dry_run: false }).await?;
    let mut next = Vec::new();
    if let Some(first) = found.times.first {
        // A day that is not over is in it.
        let to = found.times.last.unwrap_or_else(Utc::now) + TimeDelta::days(1);
        next.push(format!(
            "`trueup backfill {name} --from {} --to {}` for its past",
            first.format("%Y-%m-%d"),
            to.format("%Y-%m-%d")
        ));
    }
    next.push(format!("`trueup suggest {name}` for limits that fit it"));
    // Two files are what they are: a schedule waits for more rows.
    next.push(match args.csv {
        Some(_) => format!("`trueup history {name}`, or the same `init` on a database to have it on schedule"),
        None => "`trueup check`, and `trueup serve` to run it on schedule".to_owned(),
    });
    output::note(&format!("next: {}", next.join("; ")));
    Ok(code)
}

/// As of when the first run is: now, or the end of data that end in the past.
fn moment(times: &Times) -> Option<DateTime<Utc>> {
    let last = times.last?;
    let end = last + TimeDelta::hours(1);
    (end < Utc::now() - TimeDelta::hours(1)).then_some(end)
}

/// The pair that was named, or the likeliest whose rows belong together.
async fn choose(connection: &mut PgConnection, tables: &[TableInfo], args: &InitArgs) -> Result<Found> {
    let named = |given: &Option<String>, what: &str| -> Result<Vec<TableInfo>> {
        let Some(given) = given else { return Ok(tables.to_vec()) };
        let folded = given.to_lowercase();
        let found =
            tables.iter().find(|table| table.written() == *given || table.written() == folded || table.name == *given);
        found.cloned().map(|table| vec![table]).ok_or_else(|| {
            user_error(format!(
                "there is no table `{given}` for the {what} that this role may read; there is {}",
                names(tables)
            ))
        })
    };
    let columns = Named {
        id: args.id.as_ref().map(|id| {
            let (of_predictions, of_labels) = id.split_once('=').unwrap_or((id, id));
            (of_predictions.to_owned(), of_labels.to_owned())
        }),
        at: args.at.clone(),
        value: args.value.clone(),
        actual: args.actual.clone(),
    };
    let (predictions, labels) = (named(&args.predictions, "predictions")?, named(&args.labels, "labels")?);
    let mut pairs: Vec<Proposal> = if args.predictions.is_some() && args.labels.is_some() {
        vec![propose::pair(&predictions[0], &labels[0], &columns).map_err(|why| user_error(why.to_string()))?]
    } else {
        let mut all = propose::pairs(tables, &columns);
        // Two tables that share a key and say nothing of predictions are two tables that share a key.
        let is_guess = args.predictions.is_none() && args.labels.is_none();
        all.retain(|pair| {
            predictions.contains(&pair.predictions) && labels.contains(&pair.labels) && (pair.is_hinted || !is_guess)
        });
        all
    };
    let tried = pairs.clone();
    pairs.truncate(MOST_TRIED);
    let mut best: Option<Found> = None;
    for proposal in pairs {
        let matches = match catalog::matches(connection, &proposal).await {
            Ok(matches) => matches,
            // Columns that cannot be compared are no pair.
            Err(LookError::Database(error)) if error.as_database_error().is_some() => continue,
            Err(LookError::Name(_)) => continue,
            Err(LookError::Database(error)) => return Err(error.into()),
        };
        let share = |m: &Matches| m.labeled as f64 / m.predictions.max(1) as f64;
        if matches.labeled == 0 || matches.repeated * 20 > matches.predictions {
            continue;
        }
        // The likeliest by name, unless hardly any of its rows have a label.
        if best.as_ref().is_some_and(|best| share(&best.matches) > 0.2 || share(&matches) < 0.5) {
            continue;
        }
        best = Some(Found {
            proposal,
            matches,
            times: Times { first: None, last: None, gap: None, latency: None },
            usual_error: None,
        });
    }
    let mut found = best.ok_or_else(|| match (tried.as_slice(), args.predictions.is_some() && args.labels.is_some()) {
        ([only], true) => user_error(format!(
            "`{}.{}` and `{}.{}` have no value in common, or several predictions each: no prediction would have a label. Name the key \
             with `--id PREDICTIONS=LABELS`",
            only.predictions.written(),
            only.id.0,
            only.labels.written(),
            only.id.1
        )),
        _ => user_error(format!(
            "no two of the tables look like predictions and labels: predictions need a key, a `timestamptz` and a number, labels the \
             same key and a number. Name them with `--predictions` and `--labels`; there is {}",
            names(tables)
        )),
    })?;
    look(connection, &mut found).await?;
    Ok(found)
}

/// What the data say about a pair beyond that it is one.
async fn look(connection: &mut PgConnection, found: &mut Found) -> Result<()> {
    let failed = |error| match error {
        LookError::Name(name) => user_error(name),
        LookError::Database(error) => anyhow!(error),
    };
    catalog::count_values(connection, &mut found.proposal.predictions).await.map_err(failed)?;
    // With what is known now about columns with few values.
    if let Ok(again) = propose::pair(&found.proposal.predictions, &found.proposal.labels, &Named::default()) {
        found.proposal.cohorts = again.cohorts;
    }
    found.times = catalog::times(connection, &found.proposal).await.map_err(failed)?;
    found.usual_error = catalog::usual_error(connection, &found.proposal).await.map_err(failed)?;
    found.matches = catalog::matches(connection, &found.proposal).await.map_err(failed)?;
    Ok(())
}

/// Shows what was found, and asks where somebody may know better.
async fn confirm(
    connection: &mut PgConnection,
    tables: &[TableInfo],
    mut found: Found,
    asker: &Asker,
) -> Result<Found> {
    let share = 100.0 * found.matches.labeled as f64 / found.matches.predictions.max(1) as f64;
    let p = &found.proposal;
    let (predictions, labels) = (p.predictions.written(), p.labels.written());
    output::note(&format!("predictions: {predictions} (key {}, time {}, value {})", p.id.0, p.at, p.value));
    output::note(&format!("labels:      {labels} (key {}, value {})", p.id.1, p.actual));
    output::note(&format!("{share:.0} % of {} predictions have a label", found.matches.predictions));
    if asker.asks() {
        let table = |given: &str| tables.iter().find(|table| table.written() == given).cloned();
        let predictions =
            asker.choice("table of predictions", &p.predictions.written(), &|given| table(given).is_some())?;
        let labels = asker.choice("table of labels", &p.labels.written(), &|given| table(given).is_some())?;
        let mut proposal = found.proposal.clone();
        if let (Some(one), Some(other)) = (table(&predictions), table(&labels))
            && (one != proposal.predictions || other != proposal.labels)
        {
            proposal = propose::pair(&one, &other, &Named::default()).map_err(|why| user_error(why.to_string()))?;
        }
        let of = |table: &TableInfo| {
            let table = table.clone();
            move |given: &str| table.column(given).is_some()
        };
        proposal.id.0 = asker.choice("key of predictions", &proposal.id.0, &of(&proposal.predictions))?;
        proposal.id.1 = asker.choice("key of labels", &proposal.id.1, &of(&proposal.labels))?;
        proposal.at = asker.choice("time that predictions are about", &proposal.at, &of(&proposal.predictions))?;
        proposal.value = asker.choice("predicted value", &proposal.value, &of(&proposal.predictions))?;
        proposal.actual = asker.choice("actual value", &proposal.actual, &of(&proposal.labels))?;
        let (in_predictions, in_labels) = (of(&proposal.predictions), of(&proposal.labels));
        proposal.version = asker.optional("model version", proposal.version.as_deref(), &in_predictions)?;
        proposal.arrived_at =
            asker.optional("when a prediction was written", proposal.arrived_at.as_deref(), &in_predictions)?;
        proposal.label_arrived_at =
            asker.optional("when a label became known", proposal.label_arrived_at.as_deref(), &in_labels)?;
        proposal.cohorts = asker.list("columns to keep apart", &proposal.cohorts, &in_predictions)?;
        if proposal != found.proposal {
            let cohorts = proposal.cohorts.clone();
            found.proposal = proposal;
            look(connection, &mut found).await?;
            // A look proposes cohorts; what was answered holds.
            found.proposal.cohorts = cohorts;
        }
    }
    Ok(found)
}

fn names(tables: &[TableInfo]) -> String {
    match tables {
        [] => "none".to_owned(),
        _ => tables.iter().map(TableInfo::written).collect::<Vec<_>>().join(", "),
    }
}
