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

/// What a dimension is of a prediction row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DimensionValue {
    Column(Identifier),
    Expression(Expression),
}

impl Dimension {
    /// SQL over the prediction row, which is called `a`.
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
    /// Places in the job's list of dimensions, by name: the identity of a cohort does not depend on the order written.
    pub dimensions: Vec<usize>,
    /// How many are kept in a window, by predictions; the rest is merged.
    pub top: i64,
}
