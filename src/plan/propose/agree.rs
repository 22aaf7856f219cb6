//! Which column is the prediction and which the label: from their names and from how they agree over rows that both have.
//! What cannot be decided is a [`Doubt`], never a guess.

use std::fmt;

use super::words::{self, Says};
use super::{ColumnInfo, ColumnKind, Named, Proposal, TableInfo};

/// Rows with both values below which agreement says nothing.
const ENOUGH: i64 = 20;
/// Mean error in spreads of the label up to which a column is near it. The best constant has 1.
const NEAR: f64 = 0.8;
/// The same for one whose scale is right, and which predicts badly.
const SAME_SCALE: f64 = 1.5;
/// A rank correlation that is more than chance.
const FOLLOWS: f64 = 0.3;
/// The nearest is so many times nearer than the next, or they are equal.
const CLEARLY: f64 = 1.5;

/// How a column of predictions goes with one of labels, over rows that have both.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    pub value: String,
    pub actual: String,
    pub pairs: i64,
    /// Spearman's rank correlation. None where one side is constant.
    pub rank: Option<f64>,
    /// Mean error in spreads of the label: the smaller of the ratios of absolute and of squared errors to those of the best
    /// constant. None where the label is constant.
    pub distance: Option<f64>,
    /// Share of rows where both are the same.
    pub equal: f64,
    /// Share of rows where the value lies within the range of the label.
    pub inside: f64,
    /// Of a label with two values, the share of the higher one.
    pub positive: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Apart,
    Unknown,
    /// With the label, on another scale or badly.
    Follows,
    Near,
}

impl Agreement {
    fn grade(&self) -> Grade {
        let (Some(distance), true) = (self.distance, self.pairs >= ENOUGH) else { return Grade::Unknown };
        let rank = self.rank.unwrap_or(0.0) / self.best_rank();
        match (distance, rank) {
            (near, rank) if near < NEAR && rank >= FOLLOWS => Grade::Near,
            (distance, rank) if rank >= FOLLOWS || (distance < 1.1 && rank > 0.0) => Grade::Follows,
            _ => Grade::Apart,
        }
    }

    /// The rank correlation of a score that tells two values of a label apart without a mistake: less than 1, as each value
    /// stands for many ranks.
    fn best_rank(&self) -> f64 {
        self.positive.map_or(1.0, |p| (3.0 * p * (1.0 - p)).sqrt().clamp(0.01, 1.0))
    }

    fn is_probability(&self) -> bool {
        self.positive.is_some() && self.inside > 0.999
    }

    /// A column with the same values is the label itself, not what somebody predicted.
    fn is_copy(&self) -> bool {
        self.pairs >= ENOUGH && self.equal > 0.999
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.distance, self.rank) {
            _ if self.pairs < ENOUGH => write!(f, "only {} rows with both", self.pairs),
            (Some(distance), Some(rank)) => {
                write!(f, "rank correlation {rank:.2}, off by {distance:.2} of the label's spread")
            }
            (Some(distance), None) => write!(f, "constant, off by {distance:.2} of the label's spread"),
            (None, _) => f.write_str("the label is constant"),
        }
    }
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub column: String,
    pub why: String,
    /// What came second, or what a reader should look at.
    pub notes: Vec<String>,
}

/// Why a column could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub why: String,
    /// What decides it.
    pub flag: &'static str,
    /// Those in question, the likeliest first.
    pub candidates: Vec<String>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Name the right column with `{}`", self.why, self.flag)?;
        match self.candidates.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.candidates.join(", ")),
        }
    }
}

/// Numbers of a table that are no keys: what may be a value.
pub fn numbers<'a>(table: &'a TableInfo, key: &str, named: Option<&'a str>) -> Vec<&'a str> {
    let number = |c: &&ColumnInfo| matches!(c.kind, ColumnKind::Number | ColumnKind::Integer) && c.name != key;
    if let Some(named) = named {
        return vec![named];
    }
    let all: Vec<&str> = table.columns.iter().filter(number).map(|c| c.name.as_str()).collect();
    let values: Vec<&str> = all.iter().copied().filter(|name| !words::is_key(name)).collect();
    if values.is_empty() { all } else { values }
}

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

/// Prediction and label, or why one of them cannot be chosen. What was named stands.
pub fn decide(proposal: &Proposal, named: &Named, evidence: &[Agreement]) -> Decided {
    let values = numbers(&proposal.predictions, &proposal.id.0, named.value.as_deref());
    let actuals = numbers(&proposal.labels, &proposal.id.1, named.actual.as_deref());
    let actual = label(proposal, &values, &actuals, named, evidence);
    let value = match (&named.value, &actual) {
        (Some(value), _) => Ok(given(value)),
        (None, Ok(actual)) => prediction(proposal, &values, &actual.column, evidence),
        // Without a label nothing can agree with it.
        (None, Err(doubt)) => Err(doubt.clone()),
    };
    Decided { value, actual }
}

/// What became of the two columns.
pub struct Decided {
    pub value: Result<Choice, Doubt>,
    pub actual: Result<Choice, Doubt>,
}

/// The time that predictions are about, where names leave one.
pub fn time(proposal: &Proposal) -> Result<(), Doubt> {
    if proposal.rivals.is_empty() {
        return Ok(());
    }
    let why = format!(
        "`{}` has more than one time that its predictions could be about, and no name says which",
        proposal.predictions.written()
    );
    Err(Doubt { why, flag: "--at", candidates: [vec![proposal.at.clone()], proposal.rivals.clone()].concat() })
}

fn given(column: &str) -> Choice {
    Choice { column: column.to_owned(), why: "as named".to_owned(), notes: Vec::new() }
}

fn prediction(proposal: &Proposal, values: &[&str], actual: &str, evidence: &[Agreement]) -> Result<Choice, Doubt> {
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

/// Whether two names have a word in common that is more than a filling.
fn shared(one: &str, other: &str) -> bool {
    let says_something = |word: &String| {
        !["y", "value", "is", "at"].contains(&word.as_str())
            && words::prediction(word) == Says::Nothing
            && words::label(word) == Says::Nothing
    };
    let others = words::tokens(other);
    words::tokens(one).iter().filter(|word| says_something(word)).any(|word| others.contains(word))
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

fn label(
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
    let called: Vec<&str> = actuals.iter().copied().filter(|name| words::label(name) == Says::Plainly).collect();
    match (actuals, called.as_slice()) {
        ([only], _) => return chosen(only, "it is the only column with numbers"),
        (_, [only]) => return chosen(only, "its name says so"),
        _ => {}
    }
    let predicted = |name: &&&str| named.value.is_some() || words::prediction(name) >= Says::Rather;
    let named_values: Vec<&str> = values.iter().filter(predicted).copied().collect();
    let among: Vec<&str> = if called.is_empty() { actuals.to_vec() } else { called };
    let of_value: Vec<&str> =
        among.iter().copied().filter(|name| named_values.iter().any(|value| shared(value, name))).collect();
    if let [only] = of_value.as_slice() {
        return chosen(only, "a prediction is called after it");
    }
    let by = if named_values.is_empty() { values } else { named_values.as_slice() };
    if let Some(actual) = nearest_label(&among, by, evidence) {
        return chosen(actual, "the prediction is near it, and near no other");
    }
    let weakly = |name: &&&str| words::label(name) == Says::Weakly || words::tokens(name) == ["value"];
    let weak: Vec<&str> = among.iter().filter(weakly).copied().collect();
    if let [only] = weak.as_slice() {
        return chosen(only, "its name may say so");
    }
    let why = format!("which column of `{}` is the label cannot be seen from names or rows", proposal.labels.written());
    Err(Doubt { why, flag: "--actual", candidates: among.iter().map(|name| (*name).to_owned()).collect() })
}

/// The label that something is near to, and clearly nearer than to any other.
fn nearest_label<'a>(actuals: &[&'a str], values: &[&str], evidence: &[Agreement]) -> Option<&'a str> {
    let is_named = values.iter().all(|value| words::prediction(value) >= Says::Rather);
    let best = |actual: &str| {
        let of_it = evidence.iter().filter(|a| a.actual == actual && values.contains(&a.value.as_str()));
        // A feature that stands in both tables says nothing.
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
