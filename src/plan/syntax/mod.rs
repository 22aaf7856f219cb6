//! SQL of a job file: converted into our own tree, and printed from it by our own printer.
//!
//! A parser for many dialects reads the text. Its tree is converted, field by field, into ours, which can represent only
//! allowed SQL; everything else is refused. SQL is printed from our tree in a form that no session setting can
//! reinterpret: names quoted, literals with doubled quotes or dollar-quoted, functions and types with their schema,
//! operations in parentheses. The printed SQL is read again and must give the same tree, so that neither the parser nor
//! the printer can turn a string into code.

mod function;
mod literal;
mod moment;
mod name;
mod operator;
mod print;
mod print_query;
mod read;
mod read_call;
mod read_query;
mod tree;
mod types;
mod walk;

pub use function::{Granted, Grants};
pub use tree::{Query, Scalar};

use sqlparser::ast::Statement;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use read::Reader;

/// The longest text that is read, in bytes.
const LONGEST: usize = 64 * 1024;
/// Maximum nesting of the user's text, and of the SQL printed from it, which has more parentheses.
const DEEPEST: usize = 64;
const DEEPEST_PRINTED: usize = 4 * DEEPEST;
/// Stack size for parsing, in bytes. Trees are walked recursively, and a chain of thousands of operators overflows the
/// usual stack of a thread.
const STACK: usize = 256 << 20;

/// Reads one scalar expression over columns of a row.
pub fn expression(text: &str) -> Result<Scalar, String> {
    on_a_deep_stack(text, |text| {
        let grants = Grants::default();
        let tree = read_expression(text, DEEPEST, &grants)?;
        let again = read_expression(&print::scalar(&tree), DEEPEST_PRINTED, &grants);
        if again.as_ref() == Ok(&tree) { Ok(tree) } else { Err(ambiguous()) }
    })
}

/// Reads one select statement that only reads. `grants` are the functions that it may call in addition to our list.
pub fn query(text: &str, grants: &Grants) -> Result<Query, String> {
    on_a_deep_stack(text, |text| {
        let tree = read_query(text, DEEPEST, grants)?;
        let again = read_query(&print_query::query(&tree), DEEPEST_PRINTED, grants);
        if again.as_ref() == Ok(&tree) { Ok(tree) } else { Err(ambiguous()) }
    })
}

/// Prints an expression as SQL. `column` may replace a column with other SQL.
pub fn print(tree: &Scalar, column: &dyn Fn(&str) -> Option<String>) -> String {
    print::scalar_over(tree, column)
}

/// Prints a query as SQL.
pub fn print_query(tree: &Query) -> String {
    print_query::query(tree)
}

fn ambiguous() -> String {
    "it is ambiguous: add parentheses, and write literals as plain '...'".to_owned()
}

fn read_expression(text: &str, deepest: usize, grants: &Grants) -> Result<Scalar, String> {
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(deepest);
    let mut parser = parser.try_with_sql(text).map_err(|e| mistake(&e))?;
    let tree = parser.parse_expr().map_err(|e| mistake(&e))?;
    if parser.peek_token().token != Token::EOF {
        return Err(format!("expected one expression, found more: `{}`", parser.peek_token().token));
    }
    Reader::of_expression(grants).scalar(&tree)
}

fn read_query(text: &str, deepest: usize, grants: &Grants) -> Result<Query, String> {
    let dialect = PostgreSqlDialect {};
    let parser = Parser::new(&dialect).with_recursion_limit(deepest);
    let mut parser = parser.try_with_sql(text).map_err(|e| mistake(&e))?;
    let statements = parser.parse_statements().map_err(|e| mistake(&e))?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return Err("expected one select statement".to_owned());
    };
    let read = Reader::of_query(grants).query(query)?;
    moment::expect_fixed(&read)?;
    Ok(read)
}

fn mistake(error: &sqlparser::parser::ParserError) -> String {
    match error {
        sqlparser::parser::ParserError::RecursionLimitExceeded => read::too_deep(),
        other => other.to_string().trim_start_matches("sql parser error: ").to_owned(),
    }
}

fn on_a_deep_stack<T: Send>(text: &str, read: impl FnOnce(&str) -> Result<T, String> + Send) -> Result<T, String> {
    if text.len() > LONGEST {
        return Err(format!("it has {} bytes; the limit is {LONGEST}", text.len()));
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || read(text));
        let thread = thread.map_err(|error| format!("could not start its parser: {error}"))?;
        // The parser is a dependency: if it panics, the text is refused and the program continues.
        thread.join().unwrap_or_else(|_| Err("the parser failed on it; rewrite it".to_owned()))
    })
}
