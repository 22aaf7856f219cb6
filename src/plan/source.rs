//! The prediction and label tables, and what the catalog says about them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::name::{Identifier, TableName};
use crate::plan::expression::Expression;
use crate::plan::query::SelectQuery;

/// A table, a view, or a query in place of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    Table(TableName),
    Query(SelectQuery),
}

impl Relation {
    /// SQL for a `from` clause.
    pub fn sql(&self) -> String {
        match self {
            Self::Table(table) => table.to_string(),
            Self::Query(query) => format!("({query})"),
        }
    }

    pub fn is_query(&self) -> bool {
        matches!(self, Self::Query(_))
    }

    /// The tables and views that are read, as written in SQL.
    pub fn tables(&self) -> BTreeSet<String> {
        match self {
            Self::Table(table) => BTreeSet::from([table.to_string()]),
            Self::Query(query) => query.tables(),
        }
    }
}

/// The prediction table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predictions {
    pub relation: Relation,
    pub id: Vec<Identifier>,
    pub at: Identifier,
    pub value: Identifier,
    pub version: Option<Identifier>,
    pub arrived_at: Option<Identifier>,
    pub filter: Option<Expression>,
    /// The user guarantees that no two rows share a key (and version), where no unique index does.
    pub unique: bool,
}

/// The label table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    pub relation: Relation,
    pub id: Vec<Identifier>,
    pub value: Identifier,
    pub arrived_at: Option<Identifier>,
    pub on_duplicate: OnDuplicate,
    /// They stand in for the true outcome.
    pub proxy: bool,
    /// The user guarantees that no two rows share a key, where no unique index does.
    pub unique: bool,
}

/// How to choose among several labels of one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    Latest,
    First,
    Error,
}

/// Catalog facts about the source tables. Statements are planned from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    pub predicted: ValueType,
    pub actual: ValueType,
    /// A unique index guarantees one prediction per key (and version).
    pub predictions_unique: bool,
    /// The tables are sharded (Citus): statements keep the form that Citus pushes down to its workers.
    pub sharded: bool,
    /// An index finds predictions by key.
    pub predictions_indexed: bool,
    /// A unique index guarantees one label per key.
    pub labels_unique: bool,
    /// The key is a single integer column of predictions, which is hashed as a number.
    pub key_is_integer: bool,
    /// Type that a single-column key is written and read back as, if each key has at most one prediction and one label:
    /// an arriving label then finds everything it needs in its residual.
    pub relabeled_by: Option<&'static str>,
    /// Types of the prediction columns, if expressions of the job fail on some rows and must be evaluated row by row.
    pub guards: Option<BTreeMap<String, String>>,
}

/// How to read a column of values without failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Already a float, or an integer: the cast to float8 never fails.
    Plain,
    /// `numeric`, which has values that float8 cannot hold.
    Numeric,
    Boolean,
    /// Anything else, as text: the name of a class.
    Text,
}

impl ValueType {
    /// Returns the type of a column from its name in Postgres.
    pub fn of(type_name: &str) -> Self {
        match type_name {
            "FLOAT8" | "FLOAT4" | "INT2" | "INT4" | "INT8" => Self::Plain,
            "NUMERIC" => Self::Numeric,
            "BOOL" => Self::Boolean,
            _ => Self::Text,
        }
    }

    /// True for a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Plain | Self::Numeric)
    }

    /// SQL that casts a column of numbers to float8. Values out of its range become infinite or zero, to be classified later.
    pub fn float(self, column: &str) -> String {
        match self {
            Self::Plain | Self::Boolean | Self::Text => format!("{column}::float8"),
            Self::Numeric => format!(
                "case when {column} = 'NaN'::numeric then 'NaN'::float8 when abs({column}) > 1e300 then 'Infinity'::float8 \
                 when abs({column}) < 1e-300 then 0::float8 else {column}::float8 end"
            ),
        }
    }
}
