//! Messages about mistakes in a file, with the line and the column.

use std::path::Path;

use super::records::Broken;
use crate::commands::user_error;

/// Describes a mistake in a file; line and column count from 1.
pub(super) fn mistake(path: &Path, line: u64, column: Option<usize>, why: impl std::fmt::Display) -> anyhow::Error {
    let column = column.map_or(String::new(), |column| format!(", column {column}"));
    user_error(format!("`{}`, line {line}{column}: {why}", path.display()))
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    user_error(format!("could not read `{}`: {error}", path.display()))
}

pub(super) fn not_utf8(path: &Path, line: u64, column: usize) -> anyhow::Error {
    mistake(path, line, Some(column), "it is not UTF-8: save the file as UTF-8")
}

pub(super) fn broken(path: &Path, broken: &Broken) -> anyhow::Error {
    match broken {
        Broken::OpenQuotes { line, column } => {
            mistake(path, *line, Some(*column), "the quote that opens here is never closed")
        }
        Broken::TooLong { line } => mistake(path, *line, None, "it is not a CSV file: the line is longer than 16 MiB"),
        Broken::Io(error) => unreadable(path, error),
    }
}

/// Shortens a long value for a message.
pub(super) fn shown(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}
