//! A query of a job file that stands for a table: one select statement that reads tables and does nothing else.
//!
//! Like an expression it is printed from its parse tree. What it may not do is found anywhere in the tree, however deep.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Value, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::plan::expression::mistake;

/// One select statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectQuery(String);

impl fmt::Display for SelectQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Functions a query may not call: they reach outside the query, hold it up, or change the session.
const REFUSED_FUNCTION_PREFIXES: &[&str] = &[
    "pg_",
    "lo_",
    "dblink",
    "set_config",
    "setval",
    "nextval",
    "query_to_xml",
    "table_to_xml",
    "cursor_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "txid_",
    "ts_stat",
    "current_setting",
];

/// Functions that may stand in place of a table.
const TABLE_FUNCTIONS: &[&str] = &["generate_series", "unnest"];

impl SelectQuery {
    /// Parses one select statement that only reads, or says why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, text).map_err(|e| mistake(&e))?;
        let [Statement::Query(query)] = statements.as_slice() else {
            return Err("expected one select statement".to_owned());
        };
        match query.visit(&mut Rules::default()) {
            ControlFlow::Break(reason) => Err(reason),
            ControlFlow::Continue(()) => Ok(Self(query.to_string())),
        }
    }
}

/// Walks a tree and stops at the first thing that may not be there.
#[derive(Default)]
struct Rules {
    /// Names that `with` gives.
    local: BTreeSet<String>,
}

impl Visitor for Rules {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !query.locks.is_empty() || !selects(&query.body) {
            return ControlFlow::Break("a query may only select: no insert, update, delete, into or lock".to_owned());
        }
        let names = query.with.iter().flat_map(|with| &with.cte_tables);
        self.local.extend(names.map(|cte| cte.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        match select.into {
            Some(_) => ControlFlow::Break("a query may not select into a table".to_owned()),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<String> {
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            _ => ControlFlow::Break("a query may only select: no insert, update or delete inside it".to_owned()),
        }
    }

    /// The search path is pinned to `pg_catalog`, so a table without its schema would not be found at night.
    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<String> {
        match relation.0.as_slice() {
            [only] => {
                let name = only.to_string().trim_matches('"').to_lowercase();
                if self.local.contains(&name) || TABLE_FUNCTIONS.contains(&name.as_str()) {
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(format!("`{only}` names no schema: write `public.{only}`"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        let function = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => function_name(name),
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::NestedJoin { .. } => return ControlFlow::Continue(()),
            other => return ControlFlow::Break(format!("`{other}` is not allowed in place of a table")),
        };
        if TABLE_FUNCTIONS.contains(&function.as_str()) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(format!("the function `{function}` is not allowed in place of a table"))
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(function) => {
                let name = function_name(&function.name);
                if REFUSED_FUNCTION_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                    return ControlFlow::Break(format!("the function `{name}` is not allowed in a query"));
                }
                ControlFlow::Continue(())
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                ControlFlow::Break("placeholders are not allowed".to_owned())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn selects(set: &SetExpr) -> bool {
    match set {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => selects(left) && selects(right),
        _ => false,
    }
}

/// The last part of a function's name, without quotes.
fn function_name(name: &ObjectName) -> String {
    let full = name.to_string().to_lowercase().replace('"', "");
    full.rsplit('.').next().unwrap_or(&full).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_reads_is_taken() {
        for text in [
            "with w as (select 1 as x) select * from w join public.t using (x)",
            "select * from (select a, count(*) from public.t group by a) s union all select * from public.u",
            "select t.*, n from public.t cross join generate_series(1, 3) as n",
            "select * from public.t where id in (with k as (select id from public.u) select id from k)",
            "select x from unnest(array[1, 2]) as x",
        ] {
            assert!(SelectQuery::parse(text).is_ok(), "{text}: {:?}", SelectQuery::parse(text));
        }
    }

    #[test]
    fn a_query_may_only_select() {
        for text in [
            "delete from public.t",
            "select 1; select 2",
            "with d as (delete from public.t returning *) select * from d",
            "select * from public.t where id in (with d as (delete from public.t returning id) select id from d)",
            "select * into public.u from public.t",
            "select * from public.t for update",
            "select * from public.t where id in (select id from public.u for update)",
            "select * from (select * from public.t for share) s",
            "select pg_terminate_backend(1)",
            "select pg_catalog.pg_sleep(1)",
            "select * from pg_ls_dir('/')",
            "select * from pg_catalog.pg_read_file('/etc/passwd')",
            "select * from public.t, lateral pg_sleep(1)",
            "select * from dblink('host=x', 'select 1') as d(x int)",
            "select * from (select * from pg_sleep(1)) s",
            "select * from rows from (pg_sleep(1)) as r",
            "select * from t",
            "copy public.t to '/tmp/x'",
            "select $1",
            "table public.t",
        ] {
            assert!(SelectQuery::parse(text).is_err(), "{text} was taken: {:?}", SelectQuery::parse(text));
        }
    }
}
