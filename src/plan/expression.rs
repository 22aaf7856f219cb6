//! SQL expressions of a job file: one scalar expression over columns of the prediction row.
//!
//! SQL sent to the database is printed from our own tree and is never the user's text, see [`syntax`].

use std::collections::BTreeSet;
use std::fmt;

use crate::plan::syntax::{self, Scalar};

/// One scalar expression over columns of the prediction row. Displays in parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Scalar);

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.over(|_| None))
    }
}

impl Expression {
    /// Parses one scalar expression. The error says why it cannot be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        syntax::expression(text).map(Self)
    }

    /// The columns it names, as the catalog spells them.
    pub fn columns(&self) -> BTreeSet<String> {
        self.0.columns()
    }

    /// The expression as SQL, with columns replaced by other SQL; columns without a replacement are kept.
    pub fn over(&self, replace: impl Fn(&str) -> Option<String>) -> String {
        syntax::print(&self.0, &replace)
    }

    /// 1 where this is true, and 0 where it is false or NULL.
    pub fn as_count(&self) -> Self {
        Self(self.0.clone().into_count())
    }

    /// This where another number is known, finite and not too large to be summed, else NULL.
    pub fn where_known(&self, other: &Self) -> Self {
        Self(self.0.clone().where_known(other.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> String {
        Expression::parse(text).map_or_else(|refused| format!("refused: {refused}"), |e| e.over(|_| None))
    }

    #[test]
    fn ordinary_expressions_are_printed_with_one_meaning() {
        for (text, sql) in [
            ("environment = 'prod'", r#""environment" = 'prod'"#),
            (
                "extract(hour from interval_start at time zone 'UTC')",
                r#"extract(hour from ("interval_start" at time zone 'UTC'))"#,
            ),
            (
                "case when price > 10 then 'high' else 'low' end",
                r#"case when ("price" > 10) then 'high' else 'low' end"#,
            ),
            (
                "coalesce(region, 'none') in ('a', 'b') and not is_test",
                r#"(coalesce("region", 'none') in ('a', 'b')) and (not "is_test")"#,
            ),
            ("date_trunc('hour', at)::text", r#"cast(pg_catalog."date_trunc"('hour', "at") as pg_catalog.text)"#),
            (r#""Odd Column" is not null"#, r#""Odd Column" is not null"#),
            ("name like 'a%'", r#""name" like 'a%'"#),
            ("a + b - c * 2 > -1", r#"("a" + "b" - ("c" * 2)) > (- 1)"#),
            (
                "interval '1 day' + at > date '2025-01-01'",
                r#"(cast('1 day' as pg_catalog.interval) + "at") > cast('2025-01-01' as pg_catalog.date)"#,
            ),
            ("(meta->>'n')::float8", r#"cast("meta" ->> 'n' as pg_catalog.float8)"#),
            (
                "trim(both 'x' from region) || substring(name from 2 for 3)",
                r#"pg_catalog."btrim"("region", 'x') || pg_catalog."substring"("name", 2, 3)"#,
            ),
            (
                "position('a' in name) > 0 and name is distinct from 'b'",
                r#"(pg_catalog."position"("name", 'a') > 0) and ("name" is distinct from 'b')"#,
            ),
            (r"region = 'a\b'", r#""region" = $t$a\b$t$"#),
            (
                "to_char(at, 'YYYY-MM-DD')::date = (meta->>'today')::date",
                r#"cast(pg_catalog."to_char"("at", 'YYYY-MM-DD') as pg_catalog.date) = cast("meta" ->> 'today' as pg_catalog.date)"#,
            ),
        ] {
            assert_eq!(printed(text), sql, "{text}");
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
            "cast(region as public.evil)",
            "region::regclass is not null",
            "predicted operator(public.+) 1",
            "predicted operator(pg_catalog.+) 1",
            "a = 'x\0y'",
            "\"a\0b\" = 1",
            "ctid is not null",
            "a = current_user",
            "array[1] = array[1]",
            "x collate public.evil = 'a'",
        ] {
            assert!(Expression::parse(text).is_err(), "{text} was taken: {:?}", Expression::parse(text));
        }
    }

    #[test]
    fn a_quote_behind_a_backslash_ends_no_literal() {
        let attack = r"('a\''' operator('= ''x'' or pg_sleep(1) is null or 0 < length(''') -1)";
        assert!(Expression::parse(attack).is_err());
        assert_eq!(printed(r"region = 'a\'''"), r#""region" = $t$a\'$t$"#);
        assert_eq!(printed(r#""a\""b" = 1"#), r#""a\""b" = 1"#);
    }

    #[test]
    fn nothing_depends_on_the_moment() {
        for text in [
            "at < now()",
            "at < current_timestamp",
            "at::date < current_date",
            "cast('now' as timestamptz) > at",
            "'today'::date = at::date",
            "timestamptz 'tomorrow' > at",
            "('n' || 'ow')::timestamptz > at",
            "concat('to', 'day')::date = at::date",
            "('now'::text)::timestamptz > at",
            "to_char(at, '\"now\"')::timestamptz > at",
            "date('yesterday') < at",
            "random() < 0.5",
            "clock_timestamp() > at",
            "to_char(1, 'FMnow')::timestamptz < at",
            r#"('{"a":"\u006e\u006f\u0077"}'::json ->> 'a')::timestamptz < at"#,
            r"('{n\ow}'::timestamptz[]) is not null",
            r"encode('\x6e6f77'::bytea, 'escape')::timestamptz < at",
            "at::timetz is null",
        ] {
            assert!(Expression::parse(text).is_err(), "{text} was taken: {}", printed(text));
        }
        // Where Postgres would infer the type from the context, the type is explicit.
        assert_eq!(printed("at < 'now'"), r#""at" < cast('now' as pg_catalog.text)"#);
        assert_eq!(printed("day in ('today', 'x')"), r#""day" in (cast('today' as pg_catalog.text), 'x')"#);
    }

    #[test]
    fn what_postgres_would_group_in_another_way_needs_parentheses() {
        for text in ["- a ^ 2", "a < b = c"] {
            let refused = Expression::parse(text).expect_err(text);
            assert!(refused.contains("parentheses"), "{text}: {refused}");
        }
        assert_eq!(printed("(- a) ^ 2"), r#"(- "a") ^ 2"#);
    }

    #[test]
    fn a_tree_as_deep_as_they_come_fits_the_stack_of_a_worker() {
        let text = (1..150).fold("a".to_owned(), |text, n| format!("case when b = {n} then c else {text} end"));
        let flat = vec!["id = 1"; 190].join(" or ");
        let small = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let all = [Expression::parse(&flat).unwrap(), Expression::parse(&text).or(Expression::parse("a")).unwrap()];
            (format!("{all:?}").len(), all.clone().map(|one| one.to_string().len()), all[0].columns().len())
        });
        let (debug, printed, columns) = small.unwrap().join().expect("no overflow");
        assert!(debug > 1_000 && printed[0] > 1_000 && columns == 1);
        assert!(Expression::parse(&vec!["id = 1"; 300].join(" or ")).is_err_and(|why| why.contains("nested")));
    }

    #[test]
    fn long_and_deep_texts_are_refused_and_not_a_crash() {
        let deep = [
            format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000)),
            "a + ".repeat(16_000) + "a",
            "not ".repeat(16_000) + "a",
            "- ".repeat(30_000) + "1",
            "a and ".repeat(9_000) + "a",
            "case when ".repeat(6_000),
            "x".repeat(100_000),
        ];
        for text in deep {
            assert!(Expression::parse(&text).is_err());
        }
        assert!(Expression::parse(&("a = 1 or ".repeat(150) + "b")).is_ok());
    }

    #[test]
    fn a_comment_does_not_survive() {
        let parsed = Expression::parse("a = 1 -- and b = 2").unwrap();
        assert_eq!(parsed.to_string(), "(\"a\" = 1)");
    }
}
