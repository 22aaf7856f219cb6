//! The prediction among the numbers of its table: by its name, by how near it is to the label, or a doubt.

use super::agree::{Agreement, CLEARLY, Choice, Doubt, Grade, SAME_SCALE, shared};
use super::words::{self, Says};
use super::{ColumnInfo, ColumnKind, Proposal, TableInfo};

struct Candidate<'a> {
    name: &'a str,
    says: Says,
    agreement: Option<&'a Agreement>,
    grade: Grade,
}

impl Candidate<'_> {
    fn distance(&self) -> f64 {
        self.agreement.and_then(|a| a.distance).unwrap_or(f64::INFINITY)
    }

    fn is_on_scale(&self) -> bool {
        match self.grade {
            Grade::Near | Grade::Unknown => true,
            // A probability of something rare is far from the label's 0 and 1, and on its scale all the same.
            Grade::Follows => self.distance() < SAME_SCALE || self.agreement.is_some_and(Agreement::is_probability),
            Grade::Apart => false,
        }
    }

    fn describe(&self) -> String {
        match self.agreement {
            Some(agreement) => format!("`{}` ({agreement})", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// The prediction of a label, of columns that may be it.
pub(super) fn choose(
    proposal: &Proposal,
    values: &[&str],
    actual: &str,
    evidence: &[Agreement],
) -> Result<Choice, Doubt> {
    let found = |name: &str| evidence.iter().find(|a| a.value == name && a.actual == actual);
    let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
    let is_label = |name: &str| words::label(name) == Says::Plainly && name != actual;
    let only_labels = values.iter().all(|name| is_label(name));
    for name in values {
        let (says, agreement) = (says(name, actual), found(name));
        if says < Says::Rather && agreement.is_some_and(Agreement::is_copy) {
            left_out.push(format!(
                "`{name}` equals `{actual}` in every row: it is taken for the label, not for a prediction"
            ));
        } else if says != Says::Beside && (says >= Says::Rather || !is_label(name) || only_labels) {
            let grade = agreement.map_or(Grade::Unknown, Agreement::grade);
            candidates.push(Candidate { name, says, agreement, grade });
        }
    }
    // As the likeliest come first, so do they in messages.
    candidates.sort_by(|a, b| b.grade.cmp(&a.grade).then(a.distance().total_cmp(&b.distance())));
    let doubt = |why: String, candidates: &[&Candidate]| {
        let why = [vec![why], left_out.clone()].concat().join("; ");
        Doubt { why, flag: "--value", candidates: candidates.iter().map(|c| c.name.to_owned()).collect() }
    };
    let (table, all): (String, Vec<&Candidate>) = (proposal.predictions.written(), candidates.iter().collect());
    let top = candidates.iter().map(|c| c.says).filter(|says| *says >= Says::Rather).max();
    if top.is_none()
        && let Some(text) = named_text(&proposal.predictions)
    {
        let why = format!("`{text}` of `{table}` is called a prediction and holds no numbers");
        return Err(doubt(why, &all));
    }
    let picked = match top {
        Some(top) => by_name(&candidates, top, actual),
        None => by_weak_name(&candidates).or_else(|| by_agreement(&candidates)),
    };
    let Some((chosen, why)) = picked else {
        let called = top.map_or("no column of", |_| "more than one column of");
        let shown = all.iter().take(3).map(|c| c.describe()).collect::<Vec<_>>().join(", ");
        let why = match (top, all.as_slice()) {
            (_, []) => format!("`{table}` has no column with numbers that could predict `{actual}`"),
            (None, [only]) => format!(
                "{} is the only column of `{table}` with numbers, is not called a prediction and is not near `{actual}`",
                only.describe()
            ),
            _ => format!(
                "{called} `{table}` is called a prediction, and which one predicts `{actual}` cannot be seen from the rows: {shown}"
            ),
        };
        return Err(doubt(why, &all));
    };
    if let Some(rival) = contradiction(chosen, &candidates) {
        let why = format!(
            "{} is called a prediction, but {} is much nearer to `{actual}`",
            chosen.describe(),
            rival.describe()
        );
        return Err(doubt(why, &[chosen, rival]));
    }
    let mut notes = left_out;
    if let Some(second) = all.iter().find(|other| other.name != chosen.name) {
        notes.push(format!("next would be {}", second.describe()));
    }
    if chosen.grade == Grade::Apart || !chosen.is_on_scale() {
        notes.push(format!(
            "`{}` is hardly near `{actual}`: look whether it is the prediction, or name another with `--value`",
            chosen.name
        ));
    }
    let agreement = chosen.agreement.map_or(String::new(), |agreement| format!(" ({agreement})"));
    Ok(Choice { column: chosen.name.to_owned(), why: format!("{why}{agreement}"), notes })
}

/// What a name says of a prediction of this label.
fn says(name: &str, actual: &str) -> Says {
    let shares = shared(name, actual);
    match words::prediction(name) {
        Says::Weakly if shares => Says::Rather,
        // Forecasts and what came of them are often called the same, or `value`.
        Says::Nothing if name == actual || words::tokens(name) == ["value"] => Says::Weakly,
        says => says,
    }
}

/// A column that is called a prediction and is text, as one is in a file with a word among its numbers.
fn named_text(table: &TableInfo) -> Option<&str> {
    let is_text = |c: &&ColumnInfo| c.kind == ColumnKind::Text && words::prediction(&c.name) == Says::Plainly;
    table.columns.iter().filter(is_text).find(|c| !words::is_key(&c.name)).map(|c| c.name.as_str())
}

type Picked<'a, 'b> = Option<(&'a Candidate<'b>, String)>;

/// The one whose name says so; of several the one that is near the label, or that is called after it.
fn by_name<'a, 'b>(candidates: &'a [Candidate<'b>], top: Says, actual: &str) -> Picked<'a, 'b> {
    let called: Vec<&Candidate> = candidates.iter().filter(|c| c.says == top).collect();
    if let [only] = called.as_slice() {
        return Some((only, "its name says so".to_owned()));
    }
    if let Some(nearest) = nearest(&called) {
        return Some((
            nearest,
            format!("{} columns are called predictions, and it is the nearest to `{actual}`", called.len()),
        ));
    }
    let known = called.iter().any(|c| c.grade == Grade::Near);
    let after: Vec<&&Candidate> = called.iter().filter(|c| shared(c.name, actual) && c.is_on_scale()).collect();
    match after.as_slice() {
        [only] if !known => Some((only, format!("it is called a prediction of `{actual}`"))),
        _ => None,
    }
}

/// The only one with a word that features have too, where it is near the label or nothing speaks against it.
fn by_weak_name<'a, 'b>(candidates: &'a [Candidate<'b>]) -> Picked<'a, 'b> {
    let called: Vec<&Candidate> = candidates.iter().filter(|c| c.says == Says::Weakly && c.is_on_scale()).collect();
    let picked = match called.as_slice() {
        [only] => Some(*only),
        several => nearest(several),
    }?;
    let nearer =
        candidates.iter().any(|c| c.name != picked.name && c.grade == Grade::Near && picked.grade != Grade::Near);
    (!nearer).then(|| (picked, "its name may say so, and nothing speaks against it".to_owned()))
}

/// The one that is near the label, where no name says anything; or the only one there is.
fn by_agreement<'a, 'b>(candidates: &'a [Candidate<'b>]) -> Picked<'a, 'b> {
    if let [only] = candidates {
        return only.is_on_scale().then(|| (only, "it is the only column with numbers".to_owned()));
    }
    let all: Vec<&Candidate> = candidates.iter().collect();
    nearest(&all).map(|nearest| (nearest, "no name says so, and it is the only one near the label".to_owned()))
}

/// The one that is near, and clearly nearer than any other.
fn nearest<'a, 'b>(candidates: &[&'a Candidate<'b>]) -> Option<&'a Candidate<'b>> {
    let mut near: Vec<&&Candidate> = candidates.iter().filter(|c| c.grade == Grade::Near).collect();
    near.sort_by(|a, b| a.distance().total_cmp(&b.distance()));
    match near.as_slice() {
        [only] => Some(only),
        [first, second, ..] if first.distance() * CLEARLY < second.distance() => Some(first),
        _ => None,
    }
}

/// Another column that is near where the chosen one is not.
fn contradiction<'a, 'b>(chosen: &Candidate, candidates: &'a [Candidate<'b>]) -> Option<&'a Candidate<'b>> {
    let is_refuted = match chosen.grade {
        Grade::Near | Grade::Unknown => false,
        Grade::Follows | Grade::Apart => true,
    };
    let rival = candidates.iter().find(|c| c.name != chosen.name && c.grade == Grade::Near)?;
    (is_refuted && rival.distance() * CLEARLY < chosen.distance()).then_some(rival)
}
