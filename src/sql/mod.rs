//! The text of every statement that a job sends to the warehouse. Built here, sent only by `warehouse`.
//!
//! Parameters: `$1` is the plan id and `$2` the as_of in every statement that writes; each function documents the others.

pub mod classes;
pub mod discover;
pub mod import;
pub mod labels;
pub mod pairs;
pub mod probe;
pub mod sample;
pub mod state;
pub mod window;

use std::fmt;

/// SQL built from a validated plan: names quoted, expressions printed from their parse tree, values bound.
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

/// Begins or continues a `with` clause, so that more common table expressions can follow.
fn continued(with: &str) -> String {
    if with.is_empty() { "with".to_owned() } else { format!("{},", with.trim_end()) }
}

/// A comma-separated list of `n` items.
fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(item).collect::<Vec<_>>().join(", ")
}

/// `n` items, each with a leading comma, to append to a select list that may be empty.
fn appended(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(|at| format!(", {}", item(at))).collect()
}
