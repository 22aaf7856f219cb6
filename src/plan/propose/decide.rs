//! Chooses prediction and label from names and agreement, or reports the column in doubt.

use super::agree::{Agreement, Choice, Doubt, given};
use super::class::Classes;
use super::{ColumnInfo, ColumnKind, Named, Proposal, TableInfo, label, value, words};

/// Numeric columns of a table that are not keys: the candidates for a value.
pub fn numbers<'a>(table: &'a TableInfo, key: &str, named: Option<&'a str>) -> Vec<&'a str> {
    let number = |c: &&ColumnInfo| matches!(c.kind, ColumnKind::Number | ColumnKind::Integer) && c.name != key;
    // A named column is kept, even if it is no number.
    if let Some(named) = named {
        return vec![named];
    }
    let all: Vec<&str> = table.columns.iter().filter(number).map(|c| c.name.as_str()).collect();
    let values: Vec<&str> = all.iter().copied().filter(|name| !words::is_key(name)).collect();
    if values.is_empty() { all } else { values }
}

/// Chooses prediction and label, or reports why one cannot be chosen. Named columns are kept; `classes` are the columns of labels
/// with two values.
pub fn decide(proposal: &Proposal, named: &Named, classes: &[Classes], evidence: &[Agreement]) -> Decided {
    let values = numbers(&proposal.predictions, &proposal.id.0, named.value.as_deref());
    let actuals = numbers(&proposal.labels, &proposal.id.1, named.actual.as_deref());
    let field = label::Field { proposal, values: &values, numbers: &actuals, classes, named, evidence };
    let actual = field.choose();
    let value = match (&named.value, &actual) {
        (Some(value), _) => Ok(given(value)),
        (None, Ok(actual)) => {
            let is_word = classes.iter().any(|two| two.column == actual.column && !two.is_number());
            value::choose(proposal, &values, (&actual.column, is_word), evidence)
        }
        // Without a label there is no agreement to check.
        (None, Err(doubt)) => Err(doubt.clone()),
    };
    Decided { value, actual }
}

/// The outcome for both columns.
pub struct Decided {
    pub value: Result<Choice, Doubt>,
    pub actual: Result<Choice, Doubt>,
}

/// A doubt if names leave more than one time that predictions could be about.
pub fn time(proposal: &Proposal) -> Result<(), Doubt> {
    if proposal.rivals.is_empty() {
        return Ok(());
    }
    let why = format!(
        "`{}` has several columns that could be the event time, and no name decides",
        proposal.predictions.written()
    );
    Err(Doubt { why, flag: "--at", candidates: [vec![proposal.at.clone()], proposal.rivals.clone()].concat() })
}
