//! Finds the label among the numbers of its table: by name, by the name of the prediction, by agreement, or a doubt.

use super::agree::{Agreement, CLEARLY, Choice, Doubt, Grade, given, shared};
use super::words::{self, Says};
use super::{Named, Proposal};

/// Chooses the label among the candidate columns.
pub(super) fn choose(
    proposal: &Proposal,
    values: &[&str],
    actuals: &[&str],
    named: &Named,
    evidence: &[Agreement],
) -> Result<Choice, Doubt> {
    if let Some(actual) = &named.actual {
        return Ok(given(actual));
    }
    let chosen =
        |column: &str, why: &str| Ok(Choice { column: column.to_owned(), why: why.to_owned(), notes: Vec::new() });
    let doubt = |why: String, candidates: &[&str]| {
        Err(Doubt { why, flag: "--actual", candidates: candidates.iter().map(|name| (*name).to_owned()).collect() })
    };
    // One table may hold both predictions and labels and be given twice.
    let predicted = |name: &&&str| words::prediction(name) >= Says::Rather;
    let actuals: Vec<&str> = match actuals.iter().filter(|name| !predicted(name)).copied().collect::<Vec<_>>() {
        none if none.is_empty() => actuals.to_vec(),
        others => others,
    };
    let named_values: Vec<&str> = match &named.value {
        Some(_) => values.to_vec(),
        None => values.iter().filter(predicted).copied().collect(),
    };
    let called: Vec<&str> = actuals.iter().copied().filter(|name| words::label(name) == Says::Plainly).collect();
    match (actuals.as_slice(), called.as_slice()) {
        ([only], _) => return chosen(only, "it is the only numeric column"),
        (_, [only]) => match nearest_label(&actuals, &named_values, evidence) {
            Some(rival) if rival != *only && !named_values.is_empty() => {
                let why = format!("`{only}` is named like a label, but the prediction is close to `{rival}`");
                return doubt(why, &[only, rival]);
            }
            _ => return chosen(only, "its name says so"),
        },
        _ => {}
    }
    let among = if called.is_empty() { actuals } else { called };
    let of_value: Vec<&str> =
        among.iter().copied().filter(|name| named_values.iter().any(|value| shared(value, name))).collect();
    if let [only] = of_value.as_slice() {
        return chosen(only, "a prediction is named after it");
    }
    let by = if named_values.is_empty() { values } else { named_values.as_slice() };
    if let Some(actual) = nearest_label(&among, by, evidence) {
        return chosen(actual, "the prediction is close to it and to no other column");
    }
    let weakly = |name: &&&str| words::label(name) == Says::Weakly || words::tokens(name) == ["value"];
    let weak: Vec<&str> = among.iter().filter(weakly).copied().collect();
    if let [only] = weak.as_slice() {
        return chosen(only, "its name suggests so");
    }
    let table = proposal.labels.written();
    doubt(format!("neither names nor rows show which column of `{table}` is the label"), &among)
}

/// The label that a value is near, and clearly nearer than any other label.
fn nearest_label<'a>(actuals: &[&'a str], values: &[&str], evidence: &[Agreement]) -> Option<&'a str> {
    let is_named = !values.is_empty() && values.iter().all(|value| words::prediction(value) >= Says::Rather);
    let best = |actual: &str| {
        let of_it = evidence.iter().filter(|a| a.actual == actual && values.contains(&a.value.as_str()));
        // A feature that is in both tables is no evidence.
        let near = of_it.filter(|a| a.grade() == Grade::Near && (is_named || !a.is_copy()));
        near.filter_map(|a| a.distance).min_by(f64::total_cmp)
    };
    let mut near: Vec<(&str, f64)> = actuals.iter().filter_map(|actual| Some((*actual, best(actual)?))).collect();
    near.sort_by(|a, b| a.1.total_cmp(&b.1));
    match near.as_slice() {
        [(only, _)] => Some(only),
        [(first, one), (_, other), ..] if one * CLEARLY < *other => Some(first),
        _ => None,
    }
}
