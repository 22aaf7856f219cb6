//! The text of every statement that a job sends to the warehouse. Built here, sent only by `measure`.
//!
//! Parameters: `$1` plan id and `$2` as_of in every statement that writes; what follows is said at each function.

pub mod discover;
pub mod import;
pub mod pairs;
pub mod probe;
pub mod sample;
pub mod state;
pub mod window;

use std::fmt;

/// SQL that was put together from a validated plan: names quoted, expressions printed from their parse tree, values bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSql(String);

impl PlannedSql {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, to send or to show.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlannedSql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `with` clause, maybe empty, that more common table expressions follow.
fn continued(with: &str) -> String {
    if with.is_empty() { "with".to_owned() } else { format!("{},", with.trim_end()) }
}

/// A comma-separated list of `n` items.
fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(item).collect::<Vec<_>>().join(", ")
}

/// Each item on its own, with a leading comma: for appending to a select list that may be empty.
fn appended(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(|at| format!(", {}", item(at))).collect()
}
