//! Finds out whether a label is one of two classes, and prints what was chosen.

use anyhow::Result;
use sqlx::PgConnection;

use super::ask::Asker;
use super::write::label_wait;
use super::{Found, look_failed, output, user_error};
use crate::plan::propose::class::{self, Classes, Reason};
use crate::plan::propose::score::{Binary, Scores, Target};
use crate::plan::propose::words::{self, Says};
use crate::plan::propose::{Named, Proposal};
use crate::warehouse::discover::{self, LookError, Times};
use crate::warehouse::labels;

/// Returns the columns of the labels with two values.
pub(super) async fn candidates(
    connection: &mut PgConnection,
    proposal: &Proposal,
    named: &Named,
) -> Result<Vec<Classes>> {
    let columns = class::in_question(&proposal.labels, &proposal.id.1, named.actual.as_deref());
    match labels::values(connection, proposal, &columns).await {
        // A number that is too large for a float is no class.
        Err(LookError::Database(error)) if error.as_database_error().is_some() => Ok(Vec::new()),
        values => Ok(values.map_err(look_failed)?.iter().filter_map(class::Values::classes).collect()),
    }
}

/// Returns the kind of label that the chosen column is.
pub(super) async fn target(connection: &mut PgConnection, proposal: &Proposal, times: &Times) -> Result<Target> {
    let actual = proposal.actual.as_str();
    let is_word = proposal.labels.column(actual).is_some_and(|column| class::is_word(column.kind));
    let named = Named { actual: Some(actual.to_owned()), ..Named::default() };
    let Some(mut classes) = candidates(connection, proposal, &named).await?.pop() else {
        return match is_word {
            true => Err(user_error(format!(
                "`{actual}` of `{}` has no two values: a label is a number or one of two classes. Name another column with `--actual`",
                proposal.labels.written()
            ))),
            false => Ok(Target::Number),
        };
    };
    let Some(scores) = scores(connection, proposal, &mut classes).await? else { return Ok(Target::Number) };
    if !scores.fit(&classes) {
        return Ok(if classes.is_number() { Target::Unscored } else { Target::Number });
    }
    // Two numbers other than 0 and 1 are classes only to a score.
    if classes.reason == Reason::Greater && words::score(&proposal.value) < Says::Weakly {
        return Ok(Target::Number);
    }
    binary(connection, proposal, times, classes, scores).await.map(|binary| Target::Binary(Box::new(binary)))
}

async fn binary(
    connection: &mut PgConnection,
    proposal: &Proposal,
    times: &Times,
    classes: Classes,
    scores: Scores,
) -> Result<Binary> {
    let wait = label_wait(times).num_seconds();
    let history = labels::history(connection, proposal, &classes, wait).await.map_err(look_failed)?;
    let (_, _, days) = history.window();
    let usual_auc = labels::usual_auc(connection, proposal, &classes, wait, days).await.map_err(look_failed)?;
    Ok(Binary { classes, scores, history, usual_auc })
}

/// Returns the distribution of the predictions, and makes the class positive that they are higher for. `None` if they cannot be
/// compared.
async fn scores(connection: &mut PgConnection, proposal: &Proposal, classes: &mut Classes) -> Result<Option<Scores>> {
    let (values, actuals) = ([proposal.value.as_str()], [proposal.actual.as_str()]);
    let evidence = discover::agreement(connection, proposal, &values, &actuals, std::slice::from_ref(classes)).await;
    if let Ok(evidence) = &evidence {
        classes.turn(evidence);
    }
    match labels::scores(connection, proposal, classes.rate()).await {
        Err(LookError::Database(error)) if error.as_database_error().is_some() && !class::is_word(classes.kind) => {
            Ok(None)
        }
        scores => Ok(Some(scores.map_err(look_failed)?)),
    }
}

/// Prints the positive class, and how scores become decisions.
pub(super) fn show(target: &Target, value: &str) {
    let Target::Binary(binary) = target else { return };
    let two = &binary.classes;
    let usual = || format!("positive label `{}`: {:.1} % of {} labels", two.positive, 100.0 * two.rate(), two.labels);
    output::note(&two.note().unwrap_or_else(usual));
    if let (threshold, false) = binary.scores.threshold() {
        output::note(&format!(
            "threshold {threshold:?}: as many predictions reach it as labels are positive, because 0.5 would decide the same about all"
        ));
    }
    if !binary.scores.are_probabilities() {
        output::note(&format!("`{value}` is no probability: only its order is measured (`scores = \"any\"`)"));
    }
}

/// Asks which of two classes is positive, unless both are so by default.
pub(super) async fn confirm(connection: &mut PgConnection, found: &mut Found, asker: &Asker) -> Result<()> {
    let Target::Binary(known) = &mut found.target else { return Ok(()) };
    let two = &mut known.classes;
    if two.reason == Reason::Usual || !asker.asks() {
        return Ok(());
    }
    let both = [two.positive.clone(), two.negative.clone()];
    let answer = asker.choice("positive label", Some(&both[0]), &|given| both.iter().any(|class| class == given))?;
    if answer == both[1] {
        [two.negative, two.positive] = both;
        two.positives = two.labels - two.positives;
        let (classes, rate) = (two.clone(), two.rate());
        let scores = labels::scores(connection, &found.proposal, rate).await.map_err(look_failed)?;
        **known = binary(connection, &found.proposal, &found.times, classes, scores).await?;
    }
    Ok(())
}
