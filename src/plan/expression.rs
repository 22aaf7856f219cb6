//! SQL expressions of a job file: parsed by a real parser, held to an allow-list, and printed from the tree.
//!
//! What reaches the database is the printed tree and never the user's text, so comments and second statements cannot.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, FunctionArguments, Ident, Value, visit_expressions, visit_expressions_mut};
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

    /// The columns it names, as the catalog spells them.
    pub fn columns(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut tree = self.tree();
        let visited: ControlFlow<()> = visit_expressions_mut(&mut tree, |part| {
            if let Expr::Identifier(name) = part {
                names.insert(folded(name));
            }
            ControlFlow::Continue(())
        });
        debug_assert!(visited.is_continue());
        names
    }

    /// The expression with columns replaced by other SQL; those for which there is none stay.
    pub fn over(&self, replace: impl Fn(&str) -> Option<String>) -> String {
        let mut tree = self.tree();
        let visited: ControlFlow<()> = visit_expressions_mut(&mut tree, |part| {
            if let Expr::Identifier(name) = part
                && let Some(sql) = replace(&folded(name))
            {
                *part = parsed(&sql);
            }
            ControlFlow::Continue(())
        });
        debug_assert!(visited.is_continue());
        tree.to_string()
    }

    fn tree(&self) -> Expr {
        parsed(&self.0)
    }
}

/// As Postgres folds names: an unquoted one to lower case.
fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Parses SQL that was printed from a tree, or written here.
fn parsed(sql: &str) -> Expr {
    let parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql);
    parser.and_then(|mut parser| parser.parse_expr()).expect("what was printed from a tree can be parsed")
}

pub(super) fn mistake(error: &sqlparser::parser::ParserError) -> String {
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
}
