//! The tree of the SQL that a job file may use. It cannot represent anything else.

use super::function::Granted;
use super::literal::Literal;
use super::operator::{Binary, Is, Unary};
use super::types::SqlType;
use crate::domain::name::{Identifier, TableName};

/// An expression that gives one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A column; in a query it may be qualified by the name of its table.
    Column(Vec<Identifier>),
    Literal(Literal),
    Unary(Unary, Box<Scalar>),
    Binary(Box<Scalar>, Binary, Box<Scalar>),
    Is {
        of: Box<Scalar>,
        is: Is,
        negated: bool,
    },
    Distinct {
        left: Box<Scalar>,
        right: Box<Scalar>,
        negated: bool,
    },
    In {
        of: Box<Scalar>,
        list: Vec<Scalar>,
        negated: bool,
    },
    Between {
        of: Box<Scalar>,
        low: Box<Scalar>,
        high: Box<Scalar>,
        negated: bool,
    },
    Like {
        of: Box<Scalar>,
        pattern: Box<Scalar>,
        escape: Option<Literal>,
        any_case: bool,
        negated: bool,
    },
    Case {
        operand: Option<Box<Scalar>>,
        branches: Vec<(Scalar, Scalar)>,
        otherwise: Option<Box<Scalar>>,
    },
    Cast(Box<Scalar>, SqlType),
    /// A cast written as a call, such as `date(x)`: without an alias, the column is named after the type.
    CastCall(Box<Scalar>, SqlType),
    /// An argument by the name of its parameter.
    Named(Identifier, Box<Scalar>),
    /// A field of a point in time, and its source.
    Extract(&'static str, Box<Scalar>),
    /// A point in time, and the zone.
    AtTimeZone(Box<Scalar>, Box<Scalar>),
    Call(Box<Call>),
    // The following are allowed only in queries.
    Array(Vec<Scalar>),
    Element(Box<Scalar>, Box<Scalar>),
    Row(Vec<Scalar>),
    Subquery(Box<Query>),
    ArrayOf(Box<Query>),
    Exists {
        query: Box<Query>,
        negated: bool,
    },
    InQuery {
        of: Box<Scalar>,
        query: Box<Query>,
        negated: bool,
    },
    /// A comparison with any or all elements of an array or of a subquery.
    Quantified {
        left: Box<Scalar>,
        operator: Binary,
        all: bool,
        right: Box<Scalar>,
    },
}

/// The function that is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Function {
    /// Part of the grammar, such as `coalesce`: it has no schema.
    Construct(&'static str),
    /// A function of `pg_catalog` from our list.
    Builtin(&'static str),
    /// A function that the operator allows.
    Granted(Granted),
}

/// A call of a function, an aggregate or a window function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub function: Function,
    pub distinct: bool,
    /// `None` is `*`.
    pub arguments: Option<Vec<Scalar>>,
    pub order_by: Vec<Sort>,
    pub within_group: Vec<Sort>,
    pub filter: Option<Scalar>,
    pub over: Option<Over>,
}

/// The window of a window function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    pub partition_by: Vec<Scalar>,
    pub order_by: Vec<Sort>,
    pub frame: Option<Frame>,
}

/// The frame of a window: its unit, and where it begins and ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub unit: &'static str,
    pub start: Bound,
    pub end: Option<Bound>,
}

/// A start or end of a frame. `None` is unbounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    CurrentRow,
    Preceding(Option<Scalar>),
    Following(Option<Scalar>),
}

/// One sort key of an `order by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    pub by: Scalar,
    pub descending: bool,
    pub nulls_first: Option<bool>,
}

/// A select statement with its common table expressions, order and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub recursive: bool,
    pub with: Vec<Cte>,
    pub body: Body,
    pub order_by: Vec<Sort>,
    pub limit: Option<Scalar>,
    pub offset: Option<Scalar>,
}

/// A common table expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cte {
    pub alias: Alias,
    pub materialized: Option<bool>,
    pub query: Query,
}

/// The body of a query, which produces its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Select(Box<Select>),
    Query(Box<Query>),
    Set { left: Box<Body>, operation: &'static str, all: bool, right: Box<Body> },
    Values(Vec<Vec<Scalar>>),
}

/// One `select`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    pub distinct: Distinct,
    pub items: Vec<Item>,
    pub from: Vec<From>,
    pub filter: Option<Scalar>,
    pub group_by: Vec<Group>,
    pub having: Option<Scalar>,
}

/// The kind of `distinct`, which removes equal rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distinct {
    None,
    Rows,
    On(Vec<Scalar>),
}

/// A column of the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Value(Scalar, Option<Identifier>),
    /// All columns, or those of one table if it is named.
    All(Option<Identifier>),
}

/// One key of a `group by`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Group {
    By(Scalar),
    /// `rollup`, `cube` or `grouping sets`.
    Sets(&'static str, Vec<Vec<Scalar>>),
}

/// A source and its joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub first: Source,
    pub joins: Vec<Join>,
}

/// A join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Such as `left join`.
    pub kind: &'static str,
    pub source: Source,
    pub on: On,
}

/// The condition of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    Nothing,
    Natural,
    Condition(Scalar),
    Using(Vec<Identifier>),
}

/// A source of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Table(TableName, Option<Alias>),
    Cte(Identifier, Option<Alias>),
    Derived { lateral: bool, query: Box<Query>, alias: Option<Alias> },
    Function { lateral: bool, function: &'static str, arguments: Vec<Scalar>, ordinality: bool, alias: Option<Alias> },
    Nested(Box<From>),
}

/// An alias of a source and of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    pub name: Identifier,
    pub columns: Vec<Identifier>,
}
