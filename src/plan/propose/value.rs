//! Finds the prediction among the numbers of its table: by name, by its distance from the label, or a doubt.

use super::agree::{Agreement, CLEARLY, Choice, Doubt, Grade, SAME_SCALE, shared};
use super::words::{self, Says};
use super::{ColumnInfo, ColumnKind, Proposal, TableInfo};

/// The same as [`CLEARLY`], without a name as evidence: last year's price is near this year's as well.
const VERY_CLEARLY: f64 = 2.5;

struct Candidate<'a> {
    name: &'a str,
    says: Says,
    agreement: Option<&'a Agreement>,
    grade: Grade,
    /// The label is a word: any scale is as good as another.
    is_of_words: bool,
}

impl<'a> Candidate<'a> {
    fn new(name: &'a str, actual: &str, agreement: Option<&'a Agreement>, is_of_words: bool) -> Self {
        let grade = agreement.map_or(Grade::Unknown, Agreement::grade);
        let is_probability = agreement.is_some_and(Agreement::is_probability);
        let says = if is_probability { words::score(name) } else { words::prediction(name) };
        let mut candidate = Self { name, says, agreement, grade, is_of_words };
        candidate.says = match candidate.says {
            // `expected_price` predicts `price`, unless it is on another scale.
            Says::Weakly if shared(name, actual) && candidate.is_on_scale() => Says::Rather,
            // Forecasts and outcomes often have the same name, or `value`.
            Says::Nothing if name == actual || words::tokens(name) == ["value"] => Says::Weakly,
            says => says,
        };
        candidate
    }

    fn distance(&self) -> f64 {
        self.agreement.and_then(|a| a.distance).unwrap_or(f64::INFINITY)
    }

    fn is_on_scale(&self) -> bool {
        match self.grade {
            Grade::Near | Grade::Unknown => true,
            // The probability of a rare event is far from the label's 0 and 1 but on the same scale.
            Grade::Follows => self.distance() < SAME_SCALE || self.agreement.is_some_and(Agreement::is_probability),
            Grade::Apart => false,
        }
    }

    /// True if it can be a prediction of the label: on its scale, or in its order if the label has no scale.
    fn can_predict(&self) -> bool {
        self.is_on_scale() || (self.is_of_words && self.grade == Grade::Follows)
    }

    fn describe(&self) -> String {
        match self.agreement {
            Some(agreement) => format!("`{}` ({agreement})", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// Candidate columns for the prediction of a label, and notes about rejected ones.
struct Field<'a> {
    table: &'a TableInfo,
    actual: &'a str,
    /// Sorted by agreement, best first.
    candidates: Vec<Candidate<'a>>,
    left_out: Vec<String>,
}

/// Chooses the prediction of a label, which may be a word, among the candidate columns.
pub(super) fn choose(
    proposal: &Proposal,
    values: &[&str],
    (actual, is_word): (&str, bool),
    evidence: &[Agreement],
) -> Result<Choice, Doubt> {
    let field = Field::new(&proposal.predictions, values, (actual, is_word), evidence);
    let candidates = &field.candidates;
    let top = candidates.iter().map(|c| c.says).filter(|says| *says >= Says::Rather).max();
    if top.is_none()
        && let Some(text) = named_text(field.table)
    {
        let why = format!("`{text}` of `{}` is named like a prediction but is not numeric", field.table.written());
        return Err(field.doubt(why, candidates.iter()));
    }
    let picked = match top {
        Some(top) => by_name(candidates, top, actual),
        None => by_weak_name(candidates).or_else(|| by_agreement(candidates)),
    };
    let Some((chosen, why)) = picked else {
        return Err(field.doubt(field.undecided(top.is_some()), candidates.iter()));
    };
    if let Some(rival) = contradiction(chosen, candidates) {
        let (one, other) = (chosen.describe(), rival.describe());
        let why = format!("{one} is named like a prediction, but {other} is much closer to `{actual}`");
        return Err(field.doubt(why, [chosen, rival].into_iter()));
    }
    Ok(field.chosen(chosen, &why))
}

impl<'a> Field<'a> {
    fn new(
        table: &'a TableInfo,
        values: &[&'a str],
        (actual, is_word): (&'a str, bool),
        evidence: &'a [Agreement],
    ) -> Self {
        let found = |name: &str| evidence.iter().find(|a| a.value == name && a.actual == actual);
        let is_label = |name: &str| words::label(name) == Says::Plainly && name != actual;
        let only_labels = values.iter().all(|name| is_label(name));
        let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
        for name in values {
            let agreement = found(name);
            let candidate = Candidate::new(name, actual, agreement, is_word);
            let is_named = candidate.says >= Says::Rather;
            if !is_named && agreement.is_some_and(Agreement::is_copy) {
                left_out.push(format!(
                    "`{name}` equals `{actual}` in every row: it is treated as the label, not as a prediction"
                ));
            } else if candidate.says != Says::Beside && (is_named || !is_label(name) || only_labels) {
                candidates.push(candidate);
            }
        }
        candidates.sort_by(|a, b| b.grade.cmp(&a.grade).then(a.distance().total_cmp(&b.distance())));
        Self { table, actual, candidates, left_out }
    }

    fn doubt<'c>(&self, why: String, candidates: impl Iterator<Item = &'c Candidate<'c>>) -> Doubt {
        let why = [vec![why], self.left_out.clone()].concat().join("; ");
        Doubt { why, flag: "--value", candidates: candidates.map(|c| c.name.to_owned()).collect() }
    }

    /// The reason why no column was picked.
    fn undecided(&self, is_called: bool) -> String {
        let (table, actual) = (self.table.written(), self.actual);
        match (is_called, self.candidates.as_slice()) {
            (_, []) => format!("`{table}` has no numeric column that could predict `{actual}`"),
            (false, [only]) => format!(
                "{} is the only numeric column of `{table}`, but it is not named like a prediction and not close to \
                 `{actual}`",
                only.describe()
            ),
            (is_called, several) => {
                let called = if is_called { "more than one column of" } else { "no column of" };
                let shown = several.iter().take(3).map(Candidate::describe).collect::<Vec<_>>().join(", ");
                format!(
                    "{called} `{table}` is named like a prediction, and rows do not show which one predicts \
                     `{actual}`: {shown}"
                )
            }
        }
    }

    fn chosen(&self, chosen: &Candidate, why: &str) -> Choice {
        let mut notes = self.left_out.clone();
        if let Some(second) = self.candidates.iter().find(|other| other.name != chosen.name) {
            notes.push(format!("the runner-up is {}", second.describe()));
        }
        if !chosen.can_predict() {
            notes.push(format!(
                "`{}` is not close to `{}`: check that it is the prediction, or set another with `--value`",
                chosen.name, self.actual
            ));
        }
        let agreement = chosen.agreement.map_or(String::new(), |agreement| format!(" ({agreement})"));
        Choice { column: chosen.name.to_owned(), why: format!("{why}{agreement}"), notes }
    }
}

/// A text column with the name of a prediction, as imported from a file with a word among its numbers.
fn named_text(table: &TableInfo) -> Option<&str> {
    let is_text = |c: &&ColumnInfo| c.kind == ColumnKind::Text && words::prediction(&c.name) == Says::Plainly;
    table.columns.iter().filter(is_text).find(|c| !words::is_key(&c.name)).map(|c| c.name.as_str())
}

type Picked<'a, 'b> = Option<(&'a Candidate<'b>, String)>;

/// The candidate whose name says so; among several, the one nearest to the label, or the one named after it.
fn by_name<'a, 'b>(candidates: &'a [Candidate<'b>], top: Says, actual: &str) -> Picked<'a, 'b> {
    let called: Vec<&Candidate> = candidates.iter().filter(|c| c.says == top).collect();
    if let [only] = called.as_slice() {
        return Some((only, "its name says so".to_owned()));
    }
    if let Some(nearest) = nearest(&called, CLEARLY) {
        return Some((
            nearest,
            format!("{} columns are named like predictions, and it is the closest to `{actual}`", called.len()),
        ));
    }
    let known = called.iter().any(|c| c.grade == Grade::Near);
    let after: Vec<&&Candidate> = called.iter().filter(|c| shared(c.name, actual) && c.is_on_scale()).collect();
    match after.as_slice() {
        [only] if !known => Some((only, format!("it is named like a prediction of `{actual}`"))),
        _ => None,
    }
}

/// The only candidate with a word that features have too, if it is near the label or nothing contradicts it.
fn by_weak_name<'a, 'b>(candidates: &'a [Candidate<'b>]) -> Picked<'a, 'b> {
    let called: Vec<&Candidate> = candidates.iter().filter(|c| c.says == Says::Weakly && c.can_predict()).collect();
    let picked = match called.as_slice() {
        [only] => Some(*only),
        several => nearest(several, CLEARLY),
    }?;
    let nearer =
        candidates.iter().any(|c| c.name != picked.name && c.grade == Grade::Near && picked.grade != Grade::Near);
    (!nearer).then(|| (picked, "its name suggests so, and nothing contradicts it".to_owned()))
}

/// The candidate near the label if no name is evidence, or the only candidate.
fn by_agreement<'a, 'b>(candidates: &'a [Candidate<'b>]) -> Picked<'a, 'b> {
    if let [only] = candidates {
        return only.is_on_scale().then(|| (only, "it is the only numeric column".to_owned()));
    }
    let all: Vec<&Candidate> = candidates.iter().collect();
    nearest(&all, VERY_CLEARLY)
        .map(|nearest| (nearest, "no name says so, but it is the only column close to the label".to_owned()))
}

/// The candidate that is near the label, and clearly nearer than any other.
fn nearest<'a, 'b>(candidates: &[&'a Candidate<'b>], clearly: f64) -> Option<&'a Candidate<'b>> {
    let mut near: Vec<&&Candidate> = candidates.iter().filter(|c| c.grade == Grade::Near).collect();
    near.sort_by(|a, b| a.distance().total_cmp(&b.distance()));
    match near.as_slice() {
        [only] => Some(only),
        [first, second, ..] if first.distance() * clearly < second.distance() => Some(first),
        _ => None,
    }
}

/// Another column that is near the label if the chosen one is not.
fn contradiction<'a, 'b>(chosen: &Candidate, candidates: &'a [Candidate<'b>]) -> Option<&'a Candidate<'b>> {
    let is_refuted = match chosen.grade {
        Grade::Near | Grade::Unknown => false,
        Grade::Follows | Grade::Apart => true,
    };
    let rival = candidates.iter().find(|c| c.name != chosen.name && c.grade == Grade::Near)?;
    (is_refuted && rival.distance() * CLEARLY < chosen.distance()).then_some(rival)
}
