//! Walks a tree for the columns, functions and tables that it names, and builds trees from trees.

use std::collections::BTreeSet;

use super::function::Granted;
use super::literal::Literal;
use super::operator::Unary;
use super::tree::{Body, Bound, Call, Distinct, From, Function, Group, Item, On, Query, Scalar, Select, Sort, Source};
use super::types::SqlType;
use crate::domain::name::TableName;

/// A part of a tree that a walk visits.
#[derive(Clone, Copy)]
pub(super) enum Part<'t> {
    Value(&'t Scalar),
    Table(&'t TableName),
}

/// Visits only the values.
pub(super) fn values<'t>(mut look: impl FnMut(&'t Scalar)) -> impl FnMut(Part<'t>) {
    move |part| {
        if let Part::Value(value) = part {
            look(value);
        }
    }
}

type Look<'a, 't> = &'a mut dyn FnMut(Part<'t>);

impl Scalar {
    /// The columns it names, as the catalog spells them. For expressions, which have no subqueries.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.visit(&mut |part| {
            if let Part::Value(Scalar::Column(names)) = part
                && let [name] = names.as_slice()
            {
                found.insert(name.as_str().to_owned());
            }
        });
        found
    }

    /// 1 where this is true, and 0 where it is false or NULL.
    pub fn into_count(self) -> Self {
        let number = |digit: &str| Scalar::Literal(Literal::Number(digit.to_owned()));
        Scalar::Case { operand: None, branches: vec![(self, number("1"))], otherwise: Some(Box::new(number("0"))) }
    }

    /// This where another number is known, finite and not too large to be summed, else NULL.
    pub fn where_known(self, other: Self) -> Self {
        let bound = || Box::new(Scalar::Literal(Literal::Number("1e100".to_owned())));
        let known = Scalar::Between {
            of: Box::new(Scalar::Cast(Box::new(other), SqlType::float8())),
            low: Box::new(Scalar::Unary(Unary::Minus, bound())),
            high: bound(),
            negated: false,
        };
        Scalar::Case { operand: None, branches: vec![(known, self)], otherwise: None }
    }

    /// Visits this value and everything below it.
    pub(super) fn visit<'t>(&'t self, look: Look<'_, 't>) {
        look(Part::Value(self));
        match self {
            Scalar::Column(_) | Scalar::Literal(_) => {}
            Scalar::Unary(_, of)
            | Scalar::Cast(of, _)
            | Scalar::CastCall(of, _)
            | Scalar::Named(_, of)
            | Scalar::Extract(_, of)
            | Scalar::Is { of, .. } => of.visit(look),
            Scalar::Binary(left, _, right)
            | Scalar::Distinct { left, right, .. }
            | Scalar::AtTimeZone(left, right)
            | Scalar::Element(left, right)
            | Scalar::Quantified { left, right, .. } => {
                left.visit(look);
                right.visit(look);
            }
            Scalar::In { of, list, .. } => {
                of.visit(look);
                each(list, look);
            }
            Scalar::Between { of, low, high, .. } => {
                of.visit(look);
                low.visit(look);
                high.visit(look);
            }
            Scalar::Like { of, pattern, .. } => {
                of.visit(look);
                pattern.visit(look);
            }
            Scalar::Case { operand, branches, otherwise } => {
                operand.iter().chain(otherwise).for_each(|part| part.visit(look));
                for (when, then) in branches {
                    when.visit(look);
                    then.visit(look);
                }
            }
            Scalar::Call(call) => call.visit(look),
            Scalar::Array(parts) | Scalar::Row(parts) => each(parts, look),
            Scalar::Subquery(query) | Scalar::ArrayOf(query) | Scalar::Exists { query, .. } => query.visit(look),
            Scalar::InQuery { of, query, .. } => {
                of.visit(look);
                query.visit(look);
            }
        }
    }
}

fn each<'t>(parts: impl IntoIterator<Item = &'t Scalar>, look: Look<'_, 't>) {
    for part in parts {
        part.visit(look);
    }
}

impl Call {
    fn visit<'t>(&'t self, look: Look<'_, 't>) {
        each(self.arguments.iter().flatten().chain(&self.filter), look);
        sorts(self.order_by.iter().chain(&self.within_group), look);
        let Some(over) = &self.over else { return };
        each(&over.partition_by, look);
        sorts(over.order_by.iter(), look);
        let bounds = over.frame.iter().flat_map(|frame| std::iter::once(&frame.start).chain(&frame.end));
        for bound in bounds {
            if let Bound::Preceding(Some(by)) | Bound::Following(Some(by)) = bound {
                by.visit(look);
            }
        }
    }
}

fn sorts<'t>(sorts: impl Iterator<Item = &'t Sort>, look: Look<'_, 't>) {
    each(sorts.map(|sort| &sort.by), look);
}

impl Query {
    /// The functions of other schemas that it calls, each once.
    pub fn granted(&self) -> Vec<Granted> {
        let mut found = BTreeSet::new();
        self.visit(&mut |part| {
            if let Part::Value(Scalar::Call(call)) = part
                && let Function::Granted(granted) = &call.function
            {
                found.insert(granted.clone());
            }
        });
        found.into_iter().collect()
    }

    /// The tables and views that it reads, each once.
    pub fn tables(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        self.visit(&mut |part| {
            if let Part::Table(table) = part {
                found.insert(table.to_string());
            }
        });
        found
    }

    pub(super) fn visit<'t>(&'t self, look: Look<'_, 't>) {
        self.with.iter().for_each(|cte| cte.query.visit(look));
        body(&self.body, look);
        sorts(self.order_by.iter(), look);
        each(self.limit.iter().chain(&self.offset), look);
    }
}

fn body<'t>(rows: &'t Body, look: Look<'_, 't>) {
    match rows {
        Body::Select(select) => selected(select, look),
        Body::Query(query) => query.visit(look),
        Body::Set { left, right, .. } => {
            body(left, look);
            body(right, look);
        }
        Body::Values(rows) => each(rows.iter().flatten(), look),
    }
}

fn selected<'t>(select: &'t Select, look: Look<'_, 't>) {
    if let Distinct::On(keys) = &select.distinct {
        each(keys, look);
    }
    for item in &select.items {
        if let Item::Value(value, _) = item {
            value.visit(look);
        }
    }
    select.from.iter().for_each(|from| joined(from, look));
    each(select.filter.iter().chain(&select.having), look);
    for group in &select.group_by {
        match group {
            Group::By(key) => key.visit(look),
            Group::Sets(_, sets) => each(sets.iter().flatten(), look),
        }
    }
}

fn joined<'t>(from: &'t From, look: Look<'_, 't>) {
    source(&from.first, look);
    for join in &from.joins {
        source(&join.source, look);
        if let On::Condition(condition) = &join.on {
            condition.visit(look);
        }
    }
}

fn source<'t>(rows: &'t Source, look: Look<'_, 't>) {
    match rows {
        Source::Table(table, _) => look(Part::Table(table)),
        Source::Cte(..) => {}
        Source::Derived { query, .. } => query.visit(look),
        Source::Function { arguments, .. } => each(arguments, look),
        Source::Nested(from) => joined(from, look),
    }
}
