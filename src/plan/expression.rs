//! SQL expressions and queries of a job file: parsed by a real parser, held to an allow-list, and printed from the tree.
//!
//! What reaches the database is the printed tree and never the user's text, so comments and second statements cannot.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArguments, Query, SetExpr, Statement, Value, visit_expressions, visit_relations, visit_statements,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

/// One scalar expression over columns of the prediction row. Displays in parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(String);

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.0)
    }
}

/// One select statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectQuery(String);

impl fmt::Display for SelectQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Functions an expression may call: pure, fast, and without access to anything but their arguments.
const ALLOWED_FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "ceiling",
    "floor",
    "round",
    "trunc",
    "sign",
    "mod",
    "power",
    "sqrt",
    "exp",
    "ln",
    "log",
    "log10",
    "greatest",
    "least",
    "coalesce",
    "nullif",
    "width_bucket",
    "lower",
    "upper",
    "initcap",
    "trim",
    "btrim",
    "ltrim",
    "rtrim",
    "left",
    "right",
    "substr",
    "substring",
    "split_part",
    "replace",
    "length",
    "char_length",
    "concat",
    "concat_ws",
    "starts_with",
    "to_char",
    "date_trunc",
    "date_part",
    "date_bin",
    "extract",
    "md5",
    "isfinite",
    "jsonb_extract_path_text",
    "json_extract_path_text",
];

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

impl Expression {
    /// Parses one scalar expression, or says why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let dialect = PostgreSqlDialect {};
        let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(|e| mistake(&e))?;
        let tree = parser.parse_expr().map_err(|e| mistake(&e))?;
        if parser.peek_token().token != Token::EOF {
            return Err(format!("expected one expression, found more: `{}`", parser.peek_token().token));
        }
        match visit_expressions(&tree, |part| refusal(part).map_or(ControlFlow::Continue(()), ControlFlow::Break)) {
            ControlFlow::Break(reason) => Err(reason),
            ControlFlow::Continue(()) => Ok(Self(tree.to_string())),
        }
    }

    /// The printed tree, for the plan's fingerprint.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn mistake(error: &sqlparser::parser::ParserError) -> String {
    error.to_string().trim_start_matches("sql parser error: ").to_owned()
}

/// Why a part of an expression may not stand there, if so.
fn refusal(part: &Expr) -> Option<String> {
    match part {
        Expr::Identifier(_)
        | Expr::BinaryOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::Nested(_)
        | Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..)
        | Expr::Case { .. }
        | Expr::Cast { .. }
        | Expr::Extract { .. }
        | Expr::AtTimeZone { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Ceil { .. }
        | Expr::Floor { .. }
        | Expr::Position { .. }
        | Expr::Interval(_)
        | Expr::TypedString(_) => None,
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            Some("placeholders are not allowed".to_owned())
        }
        Expr::Value(_) => None,
        Expr::CompoundIdentifier(parts) => {
            let written = parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".");
            Some(format!("`{written}`: name columns of the prediction row without a table"))
        }
        Expr::Function(function) => function_refusal(function),
        Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
            Some("a subselect is not allowed in an expression; use `query` instead of `table`".to_owned())
        }
        other => Some(format!("`{other}` is not allowed in an expression")),
    }
}

fn function_refusal(function: &sqlparser::ast::Function) -> Option<String> {
    let name = function.name.to_string().to_lowercase();
    if !ALLOWED_FUNCTIONS.contains(&name.as_str()) {
        return Some(format!("the function `{name}` is not allowed in an expression"));
    }
    let plain = function.over.is_none() && function.filter.is_none() && function.within_group.is_empty();
    match &function.args {
        FunctionArguments::List(list) if plain && list.clauses.is_empty() && list.duplicate_treatment.is_none() => None,
        _ => Some(format!("`{name}` may only be called with plain arguments")),
    }
}

impl SelectQuery {
    /// Parses one select statement that only reads, or says why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let statements = Parser::parse_sql(&PostgreSqlDialect {}, text).map_err(|e| mistake(&e))?;
        let [Statement::Query(query)] = statements.as_slice() else {
            return Err("expected one select statement".to_owned());
        };
        let mut inner = 0;
        let visited: ControlFlow<()> = visit_statements(&statements, |_| {
            inner += 1;
            ControlFlow::Continue(())
        });
        if visited.is_break() || inner > 1 || !only_selects(query) {
            return Err("a query may only select: no insert, update, delete, into or lock".to_owned());
        }
        unqualified_table(query)?;
        match visit_expressions(&statements, |part| {
            query_refusal(part).map_or(ControlFlow::Continue(()), ControlFlow::Break)
        }) {
            ControlFlow::Break(reason) => Err(reason),
            ControlFlow::Continue(()) => Ok(Self(query.to_string())),
        }
    }
}

/// The search path is pinned to `pg_catalog`, so a table without its schema would not be found at night.
fn unqualified_table(query: &Query) -> Result<(), String> {
    let local: BTreeSet<String> =
        query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.alias.name.value.to_lowercase()).collect();
    let found = visit_relations(query, |relation| match relation.0.as_slice() {
        [only] if !local.contains(&only.to_string().trim_matches('"').to_lowercase()) => {
            ControlFlow::Break(format!("`{only}` names no schema: write `public.{only}`"))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(reason) => Err(reason),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn only_selects(query: &Query) -> bool {
    fn body(set: &SetExpr) -> bool {
        match set {
            SetExpr::Select(select) => select.into.is_none(),
            SetExpr::Query(query) => only_selects(query),
            SetExpr::SetOperation { left, right, .. } => body(left) && body(right),
            SetExpr::Values(_) => true,
            _ => false,
        }
    }
    let ctes = query.with.iter().flat_map(|with| &with.cte_tables).all(|cte| only_selects(&cte.query));
    query.locks.is_empty() && ctes && body(&query.body)
}

fn query_refusal(part: &Expr) -> Option<String> {
    match part {
        Expr::Function(function) => {
            let full = function.name.to_string().to_lowercase().replace('"', "");
            let name = full.rsplit('.').next().unwrap_or(&full);
            REFUSED_FUNCTION_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix))
                .then(|| format!("the function `{name}` is not allowed in a query"))
        }
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            Some("placeholders are not allowed".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_expressions_are_taken() {
        for text in [
            "environment = 'prod'",
            "extract(hour from interval_start at time zone 'UTC')",
            "case when price > 10 then 'high' else 'low' end",
            "coalesce(region, 'none') in ('a', 'b') and not is_test",
            "date_trunc('hour', at)::text",
            "\"Odd Column\" is not null",
            "name like 'a%'",
        ] {
            assert!(Expression::parse(text).is_ok(), "{text}: {:?}", Expression::parse(text));
        }
    }

    #[test]
    fn whatever_is_more_than_one_scalar_expression_is_refused() {
        for text in [
            "true; drop table x",
            "(select 1)",
            "exists (select 1)",
            "a in (select 1)",
            "pg_sleep(10)",
            "pg_read_file('/etc/passwd')",
            "nextval('s')",
            "count(*) over ()",
            "sum(x)",
            "$1 = 2",
            "public.danger(1)",
            "true) or (true",
            "",
            "a b",
            "true union select 1",
            "set_config('a', 'b', false)",
        ] {
            assert!(Expression::parse(text).is_err(), "{text} was taken: {:?}", Expression::parse(text));
        }
    }

    #[test]
    fn a_comment_does_not_survive() {
        let parsed = Expression::parse("a = 1 -- and b = 2").unwrap();
        assert_eq!(parsed.to_string(), "(a = 1)");
    }

    #[test]
    fn a_query_may_only_select() {
        assert!(SelectQuery::parse("with w as (select 1 as x) select * from w join public.t using (x)").is_ok());
        for text in [
            "delete from public.t",
            "select 1; select 2",
            "with d as (delete from public.t returning *) select * from d",
            "select * into public.u from public.t",
            "select * from public.t for update",
            "select pg_terminate_backend(1)",
            "select pg_catalog.pg_sleep(1)",
            "select * from t",
            "copy public.t to '/tmp/x'",
            "select $1",
        ] {
            assert!(SelectQuery::parse(text).is_err(), "{text}");
        }
    }
}
