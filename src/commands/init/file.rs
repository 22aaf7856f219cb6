//! A CSV file in; its columns with their types and its rows as Postgres takes them out, or a mistake with line and column.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use csv::{ErrorKind, StringRecord};

use super::user_error;
use crate::plan::name::Identifier;

/// Columns of a table of Postgres.
const MOST_COLUMNS: usize = 1_600;
/// Names that every table has for its own columns.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// A file as it is loaded: normalized CSV without its header.
pub(super) struct File {
    pub columns: Vec<Column>,
    pub text: Vec<u8>,
}

pub(super) struct Column {
    pub name: Identifier,
    pub kind: Kind,
    pub is_naive: bool,
}

/// Types in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Number,
    Instant,
    Text,
}

impl Kind {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "bigint",
            Self::Number => "double precision",
            Self::Instant => "timestamp with time zone",
            Self::Text => "text",
        }
    }

    fn takes(self, value: &str) -> bool {
        match self {
            Self::Boolean => matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "t" | "f"),
            Self::Integer => value.parse::<i64>().is_ok() && !is_code(value),
            Self::Number => value.parse::<f64>().is_ok() && !is_code(value),
            Self::Instant => {
                DateTime::parse_from_rfc3339(&value.replacen(' ', "T", 1)).is_ok() || offset(value) || naive(value)
            }
            Self::Text => true,
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Boolean => Self::Integer,
            Self::Integer => Self::Number,
            Self::Number => Self::Instant,
            Self::Instant | Self::Text => Self::Text,
        }
    }
}

/// A number with a leading zero is a code: `00017`.
fn is_code(value: &str) -> bool {
    value.starts_with('0') && value[1..].starts_with(|c: char| c.is_ascii_digit())
}

/// A number that no double precision holds: `1e400`, `1e-400`.
fn is_out_of_range(value: &str) -> bool {
    let digits = value.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !digits.contains(|c: char| ('1'..='9').contains(&c));
    let has_digits = digits.contains(|c: char| c.is_ascii_digit());
    value.parse::<f64>().is_ok_and(|number| has_digits && (number.is_infinite() || (number == 0.0 && !is_zero)))
}

/// `2024-05-01 10:00:00+02`, as Postgres writes it.
fn offset(value: &str) -> bool {
    ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"]
        .iter()
        .any(|format| DateTime::parse_from_str(value, format).is_ok())
}

fn naive(value: &str) -> bool {
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    formats.iter().any(|format| NaiveDateTime::parse_from_str(value, format).is_ok())
        || value.parse::<NaiveDate>().is_ok()
}

/// Where something is wrong in which file, counted from 1.
fn mistake(path: &Path, line: u64, column: Option<usize>, why: impl std::fmt::Display) -> anyhow::Error {
    let column = column.map_or(String::new(), |column| format!(", column {column}"));
    user_error(format!("`{}`, line {line}{column}: {why}", path.display()))
}

/// Reads all of a file.
pub(super) fn read(path: &Path) -> Result<File> {
    if !path.is_file() {
        return Err(user_error(format!("there is no file `{}`", path.display())));
    }
    let bytes =
        std::fs::read(path).map_err(|error| user_error(format!("could not read `{}`: {error}", path.display())))?;
    if let Some((line, column)) = unclosed_quote(&bytes) {
        return Err(mistake(path, line, Some(column), "the quotes that begin here are never closed"));
    }
    let mut reader = csv::ReaderBuilder::new().flexible(false).trim(csv::Trim::All).from_reader(bytes.as_slice());
    let names = names(path, reader.headers().map_err(|error| wrong(path, &error))?)?;
    let mut rows = Rows::new(names.len());
    for record in reader.records() {
        rows.push(path, &record.map_err(|error| wrong(path, &error))?)?;
    }
    rows.finish(path, names)
}

/// Says in our words what is wrong with a file that is no CSV.
fn wrong(path: &Path, error: &csv::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(1, csv::Position::line);
            let column = usize::try_from((*len).min(*expected_len)).unwrap_or(usize::MAX).saturating_add(1);
            mistake(
                path,
                line,
                Some(column),
                format!("it is not a CSV file: here are {len} values, and line 1 names {expected_len} columns"),
            )
        }
        ErrorKind::Utf8 { pos, err } => {
            let line = pos.as_ref().map_or(1, csv::Position::line);
            mistake(path, line, Some(err.field() + 1), "it is not UTF-8: save the file as UTF-8")
        }
        _ => user_error(format!("`{}` is not a CSV file: {error}", path.display())),
    }
}

/// The names of the columns, each of which a table can have.
fn names(path: &Path, header: &StringRecord) -> Result<Vec<Identifier>> {
    let wrong = |column: Option<usize>, why: String| Err(mistake(path, 1, column, why));
    if header.is_empty() {
        return wrong(None, "the file is empty: its first line must name the columns".to_owned());
    }
    if header.len() > MOST_COLUMNS {
        let why = format!("it names {} columns, and a table of Postgres has up to {MOST_COLUMNS}", header.len());
        return wrong(Some(MOST_COLUMNS + 1), why);
    }
    let (mut names, mut seen) = (Vec::new(), BTreeMap::new());
    for (column, name) in (1..).zip(header) {
        if SYSTEM_COLUMNS.contains(&name) {
            return wrong(
                Some(column),
                format!("`{name}` is a name that Postgres keeps for itself: rename the column"),
            );
        }
        if let Some(first) = seen.insert(name, column) {
            return wrong(Some(column), format!("it is named `{name}`, as column {first} is"));
        }
        match Identifier::new(name) {
            Ok(name) => names.push(name),
            Err(why) => return wrong(Some(column), why),
        }
    }
    Ok(names)
}

/// Rows as they are read, with what is known of their columns so far.
struct Rows {
    kinds: Vec<Kind>,
    naives: Vec<bool>,
    /// The first value of a column that is a number and too large for one, with its line.
    too_large: BTreeMap<usize, (u64, String)>,
    writer: csv::Writer<Vec<u8>>,
    count: u64,
}

impl Rows {
    fn new(columns: usize) -> Self {
        Self {
            kinds: vec![Kind::Boolean; columns],
            naives: vec![false; columns],
            too_large: BTreeMap::new(),
            writer: csv::Writer::from_writer(Vec::new()),
            count: 0,
        }
    }

    fn push(&mut self, path: &Path, record: &StringRecord) -> Result<()> {
        let line = record.position().map_or(1, csv::Position::line);
        for (n, value) in record.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            if value.contains('\0') {
                return Err(mistake(
                    path,
                    line,
                    Some(n + 1),
                    "it holds a NUL character, which no text of Postgres has",
                ));
            }
            while !self.kinds[n].takes(value) {
                self.kinds[n] = self.kinds[n].next();
            }
            self.naives[n] |= naive(value);
            if is_out_of_range(value) {
                self.too_large.entry(n).or_insert_with(|| (line, value.to_owned()));
            }
        }
        self.count += 1;
        self.writer.write_record(record).context("could not hold the file")
    }

    fn finish(self, path: &Path, names: Vec<Identifier>) -> Result<File> {
        if self.count == 0 {
            return Err(mistake(path, 2, None, "it has no rows: line 1 names columns, and nothing follows"));
        }
        if let Some((n, (line, value))) = self.too_large.iter().find(|(n, _)| self.kinds[**n] == Kind::Number) {
            let why = format!("`{value}` is outside the range of numbers (about 1e-308 to 1e308)");
            return Err(mistake(path, *line, Some(n + 1), why));
        }
        let columns = names.into_iter().zip(self.kinds).zip(self.naives).map(|((name, kind), naive)| Column {
            name,
            kind,
            is_naive: naive && kind == Kind::Instant,
        });
        Ok(File { columns: columns.collect(), text: self.writer.into_inner().context("could not hold the file")? })
    }
}

/// Line and column of quotes that are open at the end of the file: its whole rest would be one value.
fn unclosed_quote(bytes: &[u8]) -> Option<(u64, usize)> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (mut line, mut column, mut begins) = (1, 1, true);
    let mut opened = None;
    for byte in bytes {
        opened = match (byte, opened) {
            (b'"', None) if begins => Some((line, column)),
            // Two of them stand for one inside: closed here, opened again by the next.
            (b'"', Some(_)) => None,
            (_, opened) => opened,
        };
        if opened.is_none() {
            column = match byte {
                b',' => column + 1,
                b'\n' => 1,
                _ => column,
            };
            begins = matches!(byte, b',' | b'\n' | b'\r' | b'"');
        }
        line += u64::from(*byte == b'\n');
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_open_where_they_are_never_closed() {
        for closed in
            ["", "a,b\n1,2\n", "a,\"b\"\n", "\"a \"\"x\"\" b\",c\n", "a,\"x\ny\",z\n", "5\" pipe,1\n", "\"\"\n"]
        {
            assert_eq!(unclosed_quote(closed.as_bytes()), None, "{closed}");
        }
        assert_eq!(unclosed_quote(b"a,b\n1,\"2\n3,4\n"), Some((2, 2)));
        assert_eq!(unclosed_quote("\u{feff}\"a,b\n".as_bytes()), Some((1, 1)));
        assert_eq!(unclosed_quote(b"a,b\n\"x\"\"y,2\n"), Some((2, 1)));
    }

    #[test]
    fn a_number_is_in_range_or_not() {
        for value in ["1e400", "-1e400", "1e-400", "9".repeat(400).as_str()] {
            assert!(is_out_of_range(value), "{value}");
        }
        for value in ["1e308", "0", "0.0", "0e999", "-0", "inf", "NaN", "infinity", "1e-300", "x1e400", ""] {
            assert!(!is_out_of_range(value), "{value}");
        }
    }
}
