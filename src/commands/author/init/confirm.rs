//! Decides the role of each column of a pair from names and rows, shows the reason, and asks where the user may know better.

use anyhow::Result;
use sqlx::PgConnection;

use super::ask::Asker;
use super::{Found, choose, classes, look_failed, output, user_error};
use crate::plan::propose::agree::{self, Choice, Doubt};
use crate::plan::propose::class::Classes;
use crate::plan::propose::decide::{self, Decided};
use crate::plan::propose::score::Target;
use crate::plan::propose::{self, Named, Proposal, TableInfo, column};
use crate::warehouse::discover::{self, LookError};

/// Returns the pair with all its columns, and what the rows show about it.
pub(super) async fn columns(
    connection: &mut PgConnection,
    tables: &[TableInfo],
    proposal: Proposal,
    named: &Named,
    asker: &Asker,
) -> Result<Found> {
    let (mut proposal, doubts, notes) = decided(connection, proposal, named).await?;
    match (doubts.first(), asker.asks()) {
        (Some(doubt), false) => return Err(user_error(doubt.to_string())),
        (Some(_), true) => {
            let asked = ask(connection, tables, proposal, doubts, asker).await?;
            return Ok(shown(looked_at(connection, asked).await?, &[]));
        }
        (None, _) => {}
    }
    refine(connection, &mut proposal).await?;
    let found = shown(looked_at(connection, proposal).await?, &notes);
    if !asker.asks() {
        return Ok(found);
    }
    let asked = ask(connection, tables, found.proposal.clone(), doubts, asker).await?;
    if asked == found.proposal { Ok(found) } else { looked_at(connection, asked).await }
}

/// Returns the pair with value columns decided from names and rows, the open doubts, and the notes to show.
async fn decided(
    connection: &mut PgConnection,
    mut proposal: Proposal,
    named: &Named,
) -> Result<(Proposal, Vec<Doubt>, Vec<String>)> {
    let (two_valued, evidence) = evidence(connection, &proposal, named).await?;
    let Decided { value, actual } = decide::decide(&proposal, named, &two_valued, &evidence);
    let (mut doubts, mut notes) = (Vec::new(), Vec::new());
    for (what, decided, place) in [("label", actual, 1), ("value", value, 0)] {
        match decided {
            Ok(choice) => {
                notes.push(reason(what, &choice));
                let column = if place == 0 { &mut proposal.value } else { &mut proposal.actual };
                *column = choice.column;
            }
            Err(doubt) if doubts.contains(&doubt) => {}
            Err(doubt) => doubts.push(doubt),
        }
    }
    doubts.extend(decide::time(&proposal).err());
    Ok((proposal, doubts, notes))
}

fn reason(what: &str, choice: &Choice) -> String {
    let parts = [vec![choice.why.clone()], choice.notes.clone()].concat();
    format!("{what} `{}`: {}", choice.column, parts.join("; "))
}

/// Returns the columns of labels with two values, and how predictions agree with all columns that could be labels.
async fn evidence(
    connection: &mut PgConnection,
    proposal: &Proposal,
    named: &Named,
) -> Result<(Vec<Classes>, Vec<agree::Agreement>)> {
    let mut two_valued = classes::candidates(connection, proposal, named).await?;
    let found = compared(connection, proposal, named, &two_valued).await?;
    let turned = two_valued.iter_mut().filter_map(|two| two.turn(&found).then_some(())).count();
    match turned > 0 {
        true => compared(connection, proposal, named, &two_valued).await.map(|found| (two_valued, found)),
        false => Ok((two_valued, found)),
    }
}

async fn compared(
    connection: &mut PgConnection,
    proposal: &Proposal,
    named: &Named,
    two_valued: &[Classes],
) -> Result<Vec<agree::Agreement>> {
    let values = decide::numbers(&proposal.predictions, &proposal.id.0, named.value.as_deref());
    let mut actuals = decide::numbers(&proposal.labels, &proposal.id.1, named.actual.as_deref());
    let words = two_valued.iter().map(|two| two.column.as_str()).filter(|column| !actuals.contains(column));
    actuals.extend(words.collect::<Vec<_>>());
    match discover::agreement(connection, proposal, &values, &actuals, two_valued).await {
        // Numbers that are too large for a float cannot be compared; only names can decide.
        Err(LookError::Database(error)) if error.as_database_error().is_some() => {
            output::note(&format!("note: the values could not be compared with the labels: {error}"));
            Ok(Vec::new())
        }
        evidence => evidence.map_err(look_failed),
    }
}

/// Fills in version, arrival and cohorts, and prints what was left out.
async fn refine(connection: &mut PgConnection, proposal: &mut Proposal) -> Result<()> {
    let (predictions, labels) = (proposal.predictions.clone(), proposal.labels.clone());
    let of_predictions = discover::profiles(connection, &predictions, &column::in_question(&predictions)).await;
    let of_labels = discover::profiles(connection, &labels, &column::in_question(&labels)).await;
    let notes = column::refine(proposal, &of_predictions.map_err(look_failed)?, &of_labels.map_err(look_failed)?);
    notes.iter().for_each(|note| output::note(&format!("note: {note}")));
    Ok(())
}

/// Adds what the rows show about a pair: times, usual error and matches.
async fn looked_at(connection: &mut PgConnection, proposal: Proposal) -> Result<Found> {
    let times = discover::times(connection, &proposal).await.map_err(look_failed)?;
    let target = classes::target(connection, &proposal, &times).await?;
    let usual_error = match target {
        Target::Number | Target::Unscored => discover::usual_error(connection, &proposal).await.map_err(look_failed)?,
        Target::Binary(_) => None,
    };
    let matches = discover::matches(connection, &proposal).await.map_err(look_failed)?;
    Ok(Found { proposal, matches, times, usual_error, target })
}

/// Prints the role of each table and column.
fn shown(found: Found, notes: &[String]) -> Found {
    let p = &found.proposal;
    let (predictions, labels) = (p.predictions.written(), p.labels.written());
    output::note(&format!("predictions: {predictions} (key {}, time {}, value {})", p.id.0, p.at, p.value));
    output::note(&format!("labels:      {labels} (key {}, value {})", p.id.1, p.actual));
    notes.iter().for_each(|note| output::note(note));
    classes::show(&found.target, &p.value);
    let beside = [
        p.version.as_ref().map(|name| format!("version `{name}`")),
        p.arrived_at.as_ref().map(|name| format!("predictions arrive at `{name}`")),
        p.label_arrived_at.as_ref().map(|name| format!("labels arrive at `{name}`")),
        (!p.cohorts.is_empty()).then(|| format!("cohorts by `{}`", p.cohorts.join("`, `"))),
    ];
    let beside: Vec<String> = beside.into_iter().flatten().collect();
    if !beside.is_empty() {
        output::note(&beside.join("; "));
    }
    let share = 100.0 * choose::share(&found.matches);
    output::note(&format!("{share:.0} % of {} predictions have a label", found.matches.predictions));
    found
}

/// Asks the user to confirm or correct the pair. Columns in doubt have no default for an empty line.
async fn ask(
    connection: &mut PgConnection,
    tables: &[TableInfo],
    mut proposal: Proposal,
    mut doubts: Vec<Doubt>,
    asker: &Asker,
) -> Result<Proposal> {
    let table = |given: &str| tables.iter().find(|table| table.written() == given).cloned();
    let is_table = |given: &str| table(given).is_some();
    let predictions = asker.choice("table of predictions", Some(&proposal.predictions.written()), &is_table)?;
    let labels = asker.choice("table of labels", Some(&proposal.labels.written()), &is_table)?;
    if let (Some(one), Some(other)) = (table(&predictions), table(&labels))
        && (one != proposal.predictions || other != proposal.labels)
    {
        let named = Named::default();
        let pair = propose::pair(&one, &other, &named).map_err(|why| user_error(why.to_string()))?;
        let (pair, open, notes) = decided(connection, pair, &named).await?;
        notes.iter().for_each(|note| output::note(note));
        (proposal, doubts) = (pair, open);
        refine(connection, &mut proposal).await?;
    }
    doubts.iter().for_each(|doubt| output::note(&doubt.why));
    let sure = |flag: &str, column: &str| (!doubts.iter().any(|doubt| doubt.flag == flag)).then(|| column.to_owned());
    let (of_predictions, of_labels) = (proposal.predictions.clone(), proposal.labels.clone());
    let in_predictions = |given: &str| of_predictions.column(given).is_some();
    let in_labels = |given: &str| of_labels.column(given).is_some();
    let unclear_label = sure("--actual", "").is_none();
    let value = sure("--value", &proposal.value).filter(|_| !unclear_label);
    let (at, actual) = (sure("--at", &proposal.at), sure("--actual", &proposal.actual));
    proposal.id.0 = asker.choice("key of predictions", Some(&proposal.id.0), &in_predictions)?;
    proposal.id.1 = asker.choice("key of labels", Some(&proposal.id.1), &in_labels)?;
    proposal.at = asker.choice("event time of predictions", at.as_deref(), &in_predictions)?;
    proposal.value = asker.choice("predicted value", value.as_deref(), &in_predictions)?;
    proposal.actual = asker.choice("actual value", actual.as_deref(), &in_labels)?;
    if !doubts.is_empty() {
        refine(connection, &mut proposal).await?;
    }
    proposal.version = asker.optional("model version", proposal.version.as_deref(), &in_predictions)?;
    proposal.arrived_at =
        asker.optional("arrival time of predictions", proposal.arrived_at.as_deref(), &in_predictions)?;
    proposal.label_arrived_at =
        asker.optional("arrival time of labels", proposal.label_arrived_at.as_deref(), &in_labels)?;
    proposal.cohorts = asker.list("cohort columns", &proposal.cohorts, &in_predictions)?;
    Ok(proposal)
}
