//! SQL of a job file, by chance: whatever is taken is printed as one expression that reads back as itself, holds allowed
//! words only, and means to Postgres what it means to an interpreter of its own.
//!
//! A second of it in each test run; `TRUEUP_FUZZ_SECONDS=600 cargo test --test it syntax::` for more. The seed is printed.

mod lexer;
mod model;
mod queries;

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use trueup::plan::expression::Expression;
use trueup::plan::query::SelectQuery;
use trueup::plan::syntax::Grants;

use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use model::{Maker, Value};

fn budget() -> (u64, Duration) {
    let seconds = std::env::var("TRUEUP_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let seed = chrono::Utc::now().timestamp_micros().unsigned_abs();
    println!("seed {seed}, {seconds} s");
    (seed, Duration::from_secs(seconds))
}

/// Pieces of SQL that mean something to somebody's lexer.
const PIECES: [&str; 86] = [
    "'",
    "''",
    "\\",
    "\\'",
    "\\\\",
    "\"",
    "\"\"",
    "\\\"",
    "$$",
    "$t$",
    "$1",
    "E'",
    "e'\\''",
    "U&'\\0027'",
    "U&\"a\"",
    "N'a'",
    "B'1'",
    "X'1F'",
    "'a'",
    "'a\\'''",
    "\"a\"",
    "\"a\\\"\"\"",
    "(",
    ")",
    "((",
    "))",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    ".",
    "..",
    ":",
    "::",
    ":=",
    "=",
    "<>",
    "<",
    "=>",
    "||",
    "|",
    "&&",
    "~",
    "!~*",
    "@",
    "@>",
    "#",
    "#>>",
    "->",
    "->>",
    "?",
    "?|",
    "%",
    "^",
    "+",
    "-",
    "*",
    "/",
    "--",
    "--'\n",
    "/*",
    "*/",
    "/* ' */",
    "\n",
    " ",
    "\u{0}",
    "\u{a0}",
    "\u{2019}",
    "é",
    "operator(",
    "operator('= '",
    "or",
    "and not",
    "is null",
    "pg_sleep(1)",
    "length(",
    "lower('A')",
    "public.f(1)",
    "cast(a as int)",
    "::public.evil",
    "select",
    "case when a then b end",
    "1",
    "1e5",
];

fn hostile(dice: &mut Dice) -> String {
    let bases =
        ["region = 'a\\'''", "a = 1", "lower(\"b c\") like 'x%'", "case when a > 0 then 'p' else $t$n$t$ end", ""];
    let mut text = bases[dice.index(bases.len())].to_owned();
    for _ in 0..=dice.roll(12) {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        text.insert_str(places[dice.index(places.len())], PIECES[dice.index(PIECES.len())]);
    }
    text
}

#[test]
fn whatever_is_taken_reads_back_as_itself_and_holds_allowed_words_only() {
    let (seed, lasts) = budget();
    let mut dice = Dice::new(seed);
    let (mut tried, mut taken, until) = (0_u64, 0_u64, Instant::now() + lasts);
    let grants = Grants::default();
    while Instant::now() < until {
        let text = hostile(&mut dice);
        tried += 1;
        if let Ok(expression) = Expression::parse(&text) {
            let printed = expression.to_string();
            assert_eq!(
                Expression::parse(&printed).map(|e| e.to_string()),
                Ok(format!("({})", &printed[1..printed.len() - 1]))
            );
            lexer::expect_harmless(&printed, &text);
            taken += 1;
        }
        if let Ok(query) = SelectQuery::parse(&format!("select a from public.t where {text}"), &grants) {
            let printed = query.to_string();
            assert_eq!(SelectQuery::parse(&printed, &grants).map(|query| query.to_string()).as_ref(), Ok(&printed));
            lexer::expect_harmless(&printed, &text);
        }
    }
    println!("{tried} texts, {taken} taken, none of them code");
    assert!(taken > 0 && tried > taken, "{taken} of {tried}");
}

/// Expressions in one statement.
const AT_ONCE: usize = 40;

#[tokio::test]
async fn an_expression_means_to_postgres_what_it_says() {
    let (seed, lasts) = budget();
    let db = TestDatabase::new().await;
    let mut maker = Maker::new(seed);
    let (mut compared, mut refused, until) = (0_u64, 0_u64, Instant::now() + lasts);
    while compared == 0 || Instant::now() < until {
        let row = maker.row();
        let mut cases = Vec::new();
        while cases.len() < AT_ONCE {
            let (text, expected) = maker.expression(&row);
            match Expression::parse(&text) {
                Ok(expression) => cases.push((text, expression.to_string(), expected)),
                // An operation that Postgres and the parser group in two ways needs parentheses.
                Err(why) => {
                    assert!(why.contains("parentheses") || why.contains("plain '...'"), "{text}: {why}");
                    refused += 1;
                }
            }
        }
        let values = |pick: fn(&(String, String, Value)) -> &str| {
            let all: Vec<String> = cases.iter().map(|case| format!("({})::text", pick(case))).collect();
            format!("select array[{}] from {}", all.join(", "), row.relation())
        };
        for (what, sql) in [("printed", values(|case| &case.1)), ("as written", values(|case| &case.0))] {
            let found: Vec<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
                .fetch_one(&db.pool)
                .await
                .unwrap_or_else(|error| panic!("seed {seed}, {what}: {error}\n{sql}"));
            for ((text, printed, expected), found) in cases.iter().zip(found) {
                assert_eq!(
                    found,
                    expected.text(),
                    "seed {seed}, {what}\nwritten {text}\nprinted {printed}\nover {row:?}"
                );
            }
        }
        compared += cases.len() as u64;
    }
    println!(
        "{compared} expressions mean the same to Postgres, printed and as written, and to the interpreter; {refused} refused"
    );
    assert!(compared > refused, "{refused} of {compared} refused");
}
