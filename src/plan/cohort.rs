//! Cohorts: the declared dimensions, and the names under which their values are stored and shown.

use std::collections::BTreeSet;

use crate::domain::name::Identifier;
use crate::plan::expression::Expression;

/// One dimension: a column or an expression over the prediction row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    pub name: String,
    pub value: DimensionValue,
}

/// How a dimension is computed from a prediction row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DimensionValue {
    Column(Identifier),
    Expression(Expression),
}

impl Dimension {
    /// SQL over the prediction row, which has the alias `a`.
    pub fn sql(&self) -> String {
        match &self.value {
            DimensionValue::Column(column) => format!("a.{column}"),
            DimensionValue::Expression(expression) => expression.to_string(),
        }
    }

    pub fn is_column(&self) -> bool {
        matches!(self.value, DimensionValue::Column(_))
    }

    /// The columns of the prediction row that it names.
    pub fn columns(&self) -> BTreeSet<String> {
        match &self.value {
            DimensionValue::Column(column) => BTreeSet::from([column.as_str().to_owned()]),
            DimensionValue::Expression(expression) => expression.columns(),
        }
    }
}

/// One declaration of cohorts: every combination of values of these dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CohortSet {
    /// Indexes into the job's dimensions, sorted by name: the identity of a cohort does not depend on the declared order.
    pub dimensions: Vec<usize>,
    /// Number of cohorts kept per window, those with the most predictions first; the rest are merged.
    pub top: i64,
}
