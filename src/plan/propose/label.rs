//! Finds the label in its table: by name, by the name of the prediction, by agreement, or a doubt.

use super::agree::{Agreement, CLEARLY, Choice, Doubt, Grade, given, shared};
use super::class::Classes;
use super::words::{self, Says};
use super::{Named, Proposal};

/// Minimum rank correlation of a score with its classes, as a share of the best one.
const RANKS: f64 = 0.3;

/// Candidates for the label, and the evidence for them.
pub(super) struct Field<'a> {
    pub proposal: &'a Proposal,
    /// Candidates for the prediction.
    pub values: &'a [&'a str],
    pub numbers: &'a [&'a str],
    /// Columns of labels with two values, numbers too.
    pub classes: &'a [Classes],
    pub named: &'a Named,
    pub evidence: &'a [Agreement],
}

fn chosen(column: &str, why: &str) -> Result<Choice, Doubt> {
    Ok(Choice { column: column.to_owned(), why: why.to_owned(), notes: Vec::new() })
}

fn doubt(why: String, candidates: &[&str]) -> Result<Choice, Doubt> {
    Err(Doubt { why, flag: "--actual", candidates: candidates.iter().map(|name| (*name).to_owned()).collect() })
}

impl Field<'_> {
    /// Chooses the label among the candidate columns.
    pub(super) fn choose(&self) -> Result<Choice, Doubt> {
        if let Some(actual) = &self.named.actual {
            return Ok(given(actual));
        }
        match self.among_classes() {
            Some(decided) => decided,
            None => self.among_numbers(),
        }
    }

    /// Values that are named like predictions, or that the user named.
    fn named_values(&self) -> Vec<&str> {
        match &self.named.value {
            Some(_) => self.values.to_vec(),
            None => self.values.iter().copied().filter(|name| words::prediction(name) >= Says::Rather).collect(),
        }
    }

    fn among_numbers(&self) -> Result<Choice, Doubt> {
        // One table may hold both predictions and labels and be given twice.
        let predicted = |name: &&&str| words::prediction(name) >= Says::Rather;
        let actuals: Vec<&str> = match self.numbers.iter().filter(|name| !predicted(name)).copied().collect::<Vec<_>>()
        {
            none if none.is_empty() => self.numbers.to_vec(),
            others => others,
        };
        let named_values = self.named_values();
        let called: Vec<&str> = actuals.iter().copied().filter(|name| words::label(name) == Says::Plainly).collect();
        match (actuals.as_slice(), called.as_slice()) {
            ([only], _) => return chosen(only, "it is the only numeric column"),
            (_, [only]) => match nearest_label(&actuals, &named_values, self.evidence) {
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
        let by = if named_values.is_empty() { self.values } else { named_values.as_slice() };
        if let Some(actual) = nearest_label(&among, by, self.evidence) {
            return chosen(actual, "the prediction is close to it and to no other column");
        }
        let weakly = |name: &&&str| words::label(name) == Says::Weakly || words::tokens(name) == ["value"];
        let weak: Vec<&str> = among.iter().filter(weakly).copied().collect();
        if let [only] = weak.as_slice() {
            return chosen(only, "its name suggests so");
        }
        let table = self.proposal.labels.written();
        doubt(format!("neither names nor rows show which column of `{table}` is the label"), &among)
    }

    /// The label among columns with two values; `None` if the label is a number, as far as names and rows show.
    fn among_classes(&self) -> Option<Result<Choice, Doubt>> {
        let table = self.proposal.labels.written();
        if self.classes.iter().all(Classes::is_number) {
            let why = || format!("`{table}` has no numeric column and no column of two classes");
            return self.numbers.is_empty().then(|| doubt(why(), &[]));
        }
        let scores: Vec<&str> = self.values.iter().copied().filter(|name| self.is_score(name)).collect();
        if !self.numbers.is_empty() && self.is_about_numbers(&scores) {
            return None;
        }
        let all: Vec<&str> = self.classes.iter().map(|two| two.column.as_str()).collect();
        let only = |is: &dyn Fn(&str) -> bool| match all.iter().copied().filter(|name| is(name)).collect::<Vec<_>>()[..]
        {
            [only] => Some(only),
            _ => None,
        };
        if let Some(called) = only(&|name| words::label(name) == Says::Plainly) {
            return Some(chosen(called, "its name says so, and it has two values"));
        }
        if let Some(called) = only(&|name| scores.iter().any(|score| shared(score, name))) {
            return Some(chosen(called, "a score is named after it, and it has two values"));
        }
        let ranks = |name: &str| self.follows(name, &scores) >= RANKS;
        if let Some(ranked) = only(&ranks) {
            return Some(chosen(ranked, "it has two values, and scores are higher for one of them"));
        }
        match (all.as_slice(), self.numbers) {
            ([only], []) => Some(chosen(only, "it is the only column with two values")),
            (several, numbers) if numbers.is_empty() || several.iter().any(|name| ranks(name)) => {
                Some(doubt(format!("neither names nor rows show which column of `{table}` is the label"), several))
            }
            _ => None,
        }
    }

    /// True if a column is named like a score and is within 0 and 1 wherever there is a label.
    fn is_score(&self, name: &str) -> bool {
        let called = words::score(name) >= Says::Weakly || self.named.value.as_deref() == Some(name);
        called && self.evidence.iter().any(|a| a.value == name && a.is_probability())
    }

    /// True if the label is a number rather than a class: nothing is a score, or the prediction is close to a number, or a number
    /// alone is named like a label.
    fn is_about_numbers(&self, scores: &[&str]) -> bool {
        let is_label = |name: &str| words::label(name) == Says::Plainly;
        let words_are_labels = self.classes.iter().any(|two| !two.is_number() && is_label(&two.column));
        let is_near = nearest_label(self.numbers, &self.named_values(), self.evidence).is_some();
        scores.is_empty() || is_near || (self.numbers.iter().any(|name| is_label(name)) && !words_are_labels)
    }

    /// Rank correlation of the best score with a column, in either direction, as a share of the best possible one.
    fn follows(&self, actual: &str, scores: &[&str]) -> f64 {
        let of_it = self.evidence.iter().filter(|a| a.actual == actual && scores.contains(&a.value.as_str()));
        of_it.map(|a| a.follows().abs()).fold(0.0, f64::max)
    }
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
