//! Extra values of a pair, computed by expressions of the job: weights, and the two sides of custom ratios.

use std::collections::BTreeSet;

use crate::plan::expression::Expression;

/// One extra value of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    pub expression: Expression,
    /// The value is a weight: negative weights do not count.
    pub is_weight: bool,
    /// The value is of every prediction, labeled or not.
    pub over_rows: bool,
}

/// Names that an expression may use besides columns of the prediction row.
pub const PAIR_NAMES: [&str; 3] = ["predicted", "actual", "error"];

/// The columns of the prediction row that extra values need, in a fixed order.
pub fn columns(extras: &[Extra]) -> Vec<String> {
    let all: BTreeSet<String> = extras.iter().flat_map(|extra| extra.expression.columns()).collect();
    all.into_iter().filter(|name| !PAIR_NAMES.contains(&name.as_str())).collect()
}

/// SQL that is true for a row whose prediction counts, labeled or not: copies of a key have no value of their own, and a row that
/// the filter fails on may not belong to the job.
pub fn counts_sql(row: &str) -> String {
    format!("{row}.class not in (5, 8)")
}

impl Extra {
    /// SQL that is true for a row that has the value.
    pub fn is_of_sql(&self, row: &str) -> String {
        if self.over_rows { counts_sql(row) } else { format!("{row}.class = 0") }
    }

    /// The value as SQL. `columns` are those of [`columns`], which the row `row` has as `c1 …` next to `predicted` and
    /// `actual`. The value is null where it is not finite or too large to be summed.
    pub fn sql(&self, columns: &[String], row: &str) -> String {
        let value = self.expression.over(|name| match name {
            "predicted" | "actual" => Some(format!("{row}.{name}")),
            "error" => Some(format!("({row}.predicted - {row}.actual)")),
            _ => columns.iter().position(|column| column == name).map(|at| format!("{row}.c{}", at + 1)),
        });
        // `between` is false for NaN and infinity.
        let least = if self.is_weight { "0" } else { "-1e100" };
        format!("case when ({value})::float8 between {least} and 1e100 then ({value})::float8 end")
    }
}
