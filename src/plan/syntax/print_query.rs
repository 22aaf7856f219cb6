//! Prints select statements.

use super::print::{clause, list, names, scalar, sorts};
use super::tree::{Alias, Body, Cte, Distinct, From, Group, Item, Join, On, Query, Scalar, Select, Source};

/// A query as SQL, without parentheses around it.
pub fn query(query: &Query) -> String {
    let Query { recursive, with, body: rows, order_by, limit, offset } = query;
    let recursive = if *recursive { "recursive " } else { "" };
    let with = clause("with ", with.is_empty(), || {
        format!("{recursive}{} ", with.iter().map(cte).collect::<Vec<_>>().join(", "))
    });
    let order = clause(" order by ", order_by.is_empty(), || sorts(order_by, &|_| None));
    let limit = limit.as_ref().map(|limit| format!(" limit {}", scalar(limit))).unwrap_or_default();
    let offset = offset.as_ref().map(|offset| format!(" offset {}", scalar(offset))).unwrap_or_default();
    format!("{with}{}{order}{limit}{offset}", body(rows))
}

fn cte(cte: &Cte) -> String {
    let Cte { alias: Alias { name, columns }, materialized, query: rows } = cte;
    let columns = clause(" ", columns.is_empty(), || format!("({})", names(columns)));
    let materialized = match materialized {
        None => "",
        Some(true) => "materialized ",
        Some(false) => "not materialized ",
    };
    format!("{name}{columns} as {materialized}({})", query(rows))
}

fn body(rows: &Body) -> String {
    match rows {
        Body::Select(select) => selected(select),
        Body::Query(inner) => format!("({})", query(inner)),
        Body::Set { left, operation, all, right } => {
            let all = if *all { " all" } else { "" };
            format!("{} {operation}{all} {}", operand(left), operand(right))
        }
        Body::Values(rows) => {
            let rows: Vec<String> = rows.iter().map(|row| format!("({})", values(row))).collect();
            format!("values {}", rows.join(", "))
        }
    }
}

/// A side of a set operation. A nested set operation is put in parentheses, which make it a query.
fn operand(rows: &Body) -> String {
    match rows {
        Body::Set { .. } => format!("({})", body(rows)),
        other => body(other),
    }
}

fn values(values: &[Scalar]) -> String {
    list(values, &|_| None)
}

fn selected(select: &Select) -> String {
    let Select { distinct, items, from, filter, group_by, having } = select;
    let distinct = match distinct {
        Distinct::None => String::new(),
        Distinct::Rows => "distinct ".to_owned(),
        Distinct::On(keys) => format!("distinct on ({}) ", values(keys)),
    };
    let items = items.iter().map(item).collect::<Vec<_>>().join(", ");
    let from = clause(" from ", from.is_empty(), || from.iter().map(joined).collect::<Vec<_>>().join(", "));
    let filter = filter.as_ref().map(|filter| format!(" where {}", scalar(filter))).unwrap_or_default();
    let groups =
        clause(" group by ", group_by.is_empty(), || group_by.iter().map(group).collect::<Vec<_>>().join(", "));
    let having = having.as_ref().map(|having| format!(" having {}", scalar(having))).unwrap_or_default();
    format!("select {distinct}{items}{from}{filter}{groups}{having}")
}

fn item(item: &Item) -> String {
    match item {
        Item::Value(value, None) => scalar(value),
        Item::Value(value, Some(name)) => format!("{} as {name}", scalar(value)),
        Item::All(None) => "*".to_owned(),
        Item::All(Some(table)) => format!("{table}.*"),
    }
}

fn group(group: &Group) -> String {
    match group {
        Group::By(key) => scalar(key),
        Group::Sets(kind, sets) => {
            let sets: Vec<String> = sets.iter().map(|set| format!("({})", values(set))).collect();
            format!("{kind} ({})", sets.join(", "))
        }
    }
}

fn joined(from: &From) -> String {
    let From { first, joins } = from;
    let joins: String = joins.iter().map(join).collect();
    format!("{}{joins}", source(first))
}

fn join(join: &Join) -> String {
    let Join { kind, source: rows, on } = join;
    let (natural, on) = match on {
        On::Nothing => ("", String::new()),
        On::Natural => ("natural ", String::new()),
        On::Condition(condition) => ("", format!(" on {}", scalar(condition))),
        On::Using(columns) => ("", format!(" using ({})", names(columns))),
    };
    format!(" {natural}{kind} {}{on}", source(rows))
}

fn source(rows: &Source) -> String {
    let lateral = |lateral: bool| if lateral { "lateral " } else { "" };
    match rows {
        Source::Table(table, alias) => format!("{table}{}", named(alias.as_ref())),
        Source::Cte(name, alias) => format!("{name}{}", named(alias.as_ref())),
        Source::Derived { lateral: beside, query: inner, alias } => {
            format!("{}({}){}", lateral(*beside), query(inner), named(alias.as_ref()))
        }
        Source::Function { lateral: beside, function, arguments, ordinality, alias } => {
            let ordinality = if *ordinality { " with ordinality" } else { "" };
            let arguments = values(arguments);
            format!("{}pg_catalog.\"{function}\"({arguments}){ordinality}{}", lateral(*beside), named(alias.as_ref()))
        }
        Source::Nested(from) => format!("({})", joined(from)),
    }
}

fn named(alias: Option<&Alias>) -> String {
    let Some(Alias { name, columns }) = alias else { return String::new() };
    format!(" as {name}{}", clause("", columns.is_empty(), || format!("({})", names(columns))))
}
