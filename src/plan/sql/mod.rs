//! The text of every statement that a job sends to the warehouse. Built here, sent only by `measure`.
//!
//! Parameters: `$1` plan id and `$2` as_of in every statement that writes; what follows is said at each function.

pub mod bucket;
pub mod import;
pub mod look;
pub mod probe;
pub mod reconcile;
pub mod residual;
pub mod rows;
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

/// Common table expressions that make the cells which rows are in: `cells` has all of plan `$1`, as `id, dimensions,
/// model_version`. The rows have `dimensions, model_version, hash`.
fn cells(rows: &str) -> String {
    format!(
        r"wanted as (
    select distinct dimensions, model_version, hash from {rows}
), made as (
    insert into trueup.cell (plan_id, dimensions, model_version, hash)
    select $1, w.dimensions, w.model_version, w.hash
    from wanted as w
    where not exists (
        select from trueup.cell as c where c.plan_id = $1 and c.dimensions = w.dimensions and c.model_version = w.model_version
    )
    returning id, dimensions, model_version
), cells as materialized (
    select id, dimensions, model_version from made
    union all
    select id, dimensions, model_version from trueup.cell where plan_id = $1
)"
    )
}

/// A comma-separated list of `n` items.
fn list(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(item).collect::<Vec<_>>().join(", ")
}

/// Each item on its own, with a leading comma: for appending to a select list that may be empty.
fn appended(n: usize, item: impl Fn(usize) -> String) -> String {
    (1..=n).map(|at| format!(", {}", item(at))).collect()
}
