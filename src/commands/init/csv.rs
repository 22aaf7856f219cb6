//! Two CSV files as tables: their columns' types are found by reading all of it.

use std::path::Path;

use anyhow::{Context as _, Result};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use sqlx::PgConnection;

use super::{progress, user_error};
use crate::measure::import;
use crate::plan::name::Identifier;
use crate::plan::sql::import::{NewTable, SCHEMA};

/// What became of the files.
pub(super) struct Loaded {
    pub predictions: String,
    pub labels: String,
    /// What a reader should know about how they were read.
    pub notes: Vec<String>,
}

/// Loads both, in place of what was loaded under these names before.
pub(super) async fn load(connection: &mut PgConnection, predictions: &Path, labels: &Path) -> Result<Loaded> {
    let mut notes = Vec::new();
    let mut names = Vec::new();
    for path in [predictions, labels] {
        let spinner = progress::spinner(&format!("reading {}", path.display()));
        let file = read(path)?;
        let name = table_name(path, &names);
        if file.columns.iter().any(|column| column.is_naive) {
            notes.push(format!("note: times without a zone in `{}` are taken as UTC", path.display()));
        }
        let columns = file.columns.iter().map(|column| Ok((Identifier::new(&column.name)?, column.kind.sql())));
        let table = NewTable {
            name: Identifier::new(&name).map_err(user_error)?,
            columns: columns.collect::<Result<_, String>>().map_err(user_error)?,
        };
        let rows = import::load(connection, &table, &file.text)
            .await
            .with_context(|| format!("could not load `{}`", path.display()))?;
        spinner.finish_and_clear();
        notes.push(format!("{rows} rows of `{}` are in {SCHEMA}.{name}", path.display()));
        names.push(name);
    }
    let written = |name: &str| format!("{SCHEMA}.{name}");
    Ok(Loaded { predictions: written(&names[0]), labels: written(&names[1]), notes })
}

/// A file as it is loaded: normalized CSV without its header.
struct File {
    columns: Vec<Column>,
    text: Vec<u8>,
}

struct Column {
    name: String,
    kind: Kind,
    is_naive: bool,
}

/// Types in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Integer,
    Number,
    Instant,
    Text,
}

impl Kind {
    fn sql(self) -> &'static str {
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
}

/// A number with a leading zero is a code: `00017`.
fn is_code(value: &str) -> bool {
    value.starts_with('0') && value[1..].starts_with(|c: char| c.is_ascii_digit())
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

fn read(path: &Path) -> Result<File> {
    if !path.is_file() {
        return Err(user_error(format!("there is no file `{}`", path.display())));
    }
    let wrong = |error: ::csv::Error| user_error(format!("`{}` is not a CSV file: {error}", path.display()));
    let mut reader =
        ::csv::ReaderBuilder::new().flexible(false).trim(::csv::Trim::All).from_path(path).map_err(wrong)?;
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    if names.iter().any(String::is_empty) || names.is_empty() {
        return Err(user_error(format!(
            "a column of `{}` has no name: the first line must name all of them",
            path.display()
        )));
    }
    let mut kinds = vec![Kind::Boolean; names.len()];
    let mut naives = vec![false; names.len()];
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut rows = 0;
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        for (n, value) in record.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            while !kinds[n].takes(value) {
                kinds[n] = match kinds[n] {
                    Kind::Boolean => Kind::Integer,
                    Kind::Integer => Kind::Number,
                    Kind::Number => Kind::Instant,
                    Kind::Instant | Kind::Text => Kind::Text,
                };
            }
            naives[n] |= naive(value);
        }
        writer.write_record(&record).map_err(wrong)?;
        rows += 1;
    }
    if rows == 0 {
        return Err(user_error(format!("`{}` has no rows", path.display())));
    }
    let columns = names.into_iter().zip(kinds).zip(naives).map(|((name, kind), naive)| Column {
        name,
        kind,
        is_naive: naive && kind == Kind::Instant,
    });
    Ok(File { columns: columns.collect(), text: writer.into_inner().context("could not hold the file")? })
}

/// A table's name from a file's, unlike those that are taken.
fn table_name(path: &Path, taken: &[String]) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mapped: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    let name = if mapped.starts_with(|c: char| c.is_ascii_alphabetic()) { mapped } else { format!("t_{mapped}") };
    if taken.contains(&name) { format!("{name}_2") } else { name }
}
