//! Splits printed SQL into tokens by the rules of Postgres' manual (4.1), written for the tests alone.

const WORDS: [&str; 72] = [
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "at",
    "between",
    "by",
    "case",
    "cast",
    "coalesce",
    "cross",
    "cube",
    "current",
    "desc",
    "distinct",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "extract",
    "false",
    "filter",
    "first",
    "following",
    "from",
    "full",
    "greatest",
    "group",
    "grouping",
    "groups",
    "having",
    "ilike",
    "in",
    "intersect",
    "is",
    "join",
    "last",
    "lateral",
    "least",
    "left",
    "like",
    "limit",
    "natural",
    "not",
    "null",
    "nullif",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "partition",
    "preceding",
    "range",
    "recursive",
    "right",
    "rollup",
    "row",
    "rows",
    "select",
    "sets",
    "then",
    "time",
    "true",
    "union",
    "unknown",
    "using",
    "values",
];
const MORE_WORDS: [&str; 8] = ["when", "where", "with", "within", "zone", "pg_catalog", "unbounded", "materialized"];
/// Fields of times and types, which stand without quotes.
const NAMES: [&str; 34] = [
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "text",
    "varchar",
    "bpchar",
    "date",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "year",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "epoch",
    "dow",
    "doy",
    "quarter",
    "isodow",
    "decade",
    "century",
    "milliseconds",
];

/// Panics unless every token may be there: no semicolon, comment, operator with a schema, or function outside `pg_catalog`.
pub fn expect_harmless(sql: &str, written: &str) {
    let characters: Vec<char> = sql.chars().collect();
    let mut at = 0;
    let mut before = String::new();
    while at < characters.len() {
        let (token, next) = token(&characters, at).unwrap_or_else(|why| panic!("{why} in {sql}\nwritten {written}"));
        let is_word = token.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if is_word {
            let known = WORDS.contains(&token.as_str()) || MORE_WORDS.contains(&token.as_str());
            assert!(known || NAMES.contains(&token.as_str()), "the word {token} in {sql}\nwritten {written}");
        }
        // A quoted name before a parenthesis is a function: ours stand behind their schema.
        let is_called = token.starts_with('"') && characters.get(next) == Some(&'(');
        assert!(!is_called || before == "." || before == "as", "{token} is called in {sql}\nwritten {written}");
        assert!(![";", "--", "/*", "*/", "$"].contains(&token.as_str()), "{token} in {sql}\nwritten {written}");
        if !token.trim().is_empty() {
            before = token;
        }
        at = next;
    }
}

/// The token that begins at a place, and where the next one does.
fn token(text: &[char], at: usize) -> Result<(String, usize), String> {
    let taken = |to: usize| Ok((text[at..to].iter().collect(), to));
    let until = |from: usize, fits: fn(char) -> bool| {
        text[from..].iter().position(|c| !fits(*c)).map_or(text.len(), |length| from + length)
    };
    match text[at] {
        quote @ ('\'' | '"') => quoted(text, at, quote).and_then(taken),
        '$' => {
            let tag_end = until(at + 1, |c| c.is_alphanumeric() || c == '_');
            if text.get(tag_end) != Some(&'$') {
                return taken(at + 1);
            }
            let tag = &text[at..=tag_end];
            let body = tag_end + 1;
            let close = text[body..].windows(tag.len()).position(|window| window == tag);
            close.map_or(Err("an open dollar quote".to_owned()), |length| taken(body + length + tag.len()))
        }
        c if c.is_whitespace() => taken(until(at, char::is_whitespace)),
        c if c.is_alphabetic() || c == '_' => taken(until(at, |c| c.is_alphanumeric() || c == '_')),
        c if c.is_ascii_digit() => taken(until(at, |c| c.is_alphanumeric() || c == '.')),
        '-' if text.get(at + 1) == Some(&'-') => taken(at + 2),
        '/' if text.get(at + 1) == Some(&'*') => taken(at + 2),
        _ => taken(at + 1),
    }
}

/// The end of a quoted text: a quote that is not doubled. A backslash means itself, and no plain literal of ours has one.
fn quoted(text: &[char], start: usize, quote: char) -> Result<usize, String> {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            '\\' if quote == '\'' => return Err("a backslash in a plain literal".to_owned()),
            c if c == quote && text.get(at + 1) == Some(&quote) => at += 2,
            c if c == quote => return Ok(at + 1),
            _ => at += 1,
        }
    }
    Err("an open quote".to_owned())
}
