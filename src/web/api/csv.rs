//! CSV: text that a spreadsheet would run as a formula is disarmed, numbers stay as they are.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;

use crate::text::links::instant;
use crate::web::error::PageError;

/// A cell.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(String),
    Number(f64),
    Count(i64),
    Time(DateTime<Utc>),
    Nothing,
}

impl Cell {
    /// A value of JSON; a list is its texts.
    fn of(value: &Json) -> Self {
        match value {
            Json::Null => Self::Nothing,
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(all) => Self::Text(all.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", ")),
            Json::Number(number) => match number.as_i64() {
                Some(count) => Self::Count(count),
                None => number.as_f64().map_or(Self::Nothing, Self::Number),
            },
            Json::Bool(_) | Json::Object(_) => Self::Text(value.to_string()),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for Cell {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<i32> for Cell {
    fn from(count: i32) -> Self {
        Self::Count(count.into())
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(time: DateTime<Utc>) -> Self {
        Self::Time(time)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// Writes entries of a list, as JSON has them, with the named fields as columns.
pub(super) fn entries(columns: &[&str], entries: &[impl Serialize]) -> Result<String, PageError> {
    let mut text = format!("{}\r\n", columns.join(","));
    for entry in entries {
        let entry = serde_json::to_value(entry)
            .map_err(|failure| PageError::Unavailable(format!("The answer could not be written: {failure}.")))?;
        let cells: Vec<String> = columns.iter().map(|name| written(&Cell::of(&entry[*name]))).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    Ok(text)
}

/// Writes a table with a header.
pub(super) fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = [Cell; N]>) -> String {
    let mut text = columns.join(",");
    text.push_str("\r\n");
    for row in rows {
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            text.push_str(&written(cell));
        }
        text.push_str("\r\n");
    }
    text
}

fn written(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => quoted(text),
        Cell::Number(value) => value.to_string(),
        Cell::Count(count) => count.to_string(),
        Cell::Time(time) => instant(*time),
        Cell::Nothing => String::new(),
    }
}

fn quoted(text: &str) -> String {
    let is_armed = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let safe = if is_armed { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r', '\t', '\'']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_lists_are_rows() {
        let rows =
            [serde_json::json!({"id": 7, "rules": ["a", "b"], "note": "=1", "at": null, "is": true, "share": 0.5})];
        let written = entries(&["id", "rules", "note", "at", "is", "share"], &rows).unwrap();
        assert_eq!(written, "id,rules,note,at,is,share\r\n7,\"a, b\",\"'=1\",,true,0.5\r\n");
    }

    #[test]
    fn formulas_are_disarmed_and_numbers_are_not() {
        let rows = [
            [Cell::from("=cmd|' /C calc'!A0"), Cell::from(-1.5)],
            [Cell::from("say \"a, b\""), Cell::from(None::<f64>)],
            [Cell::from("region=north"), Cell::from(-3_i64)],
        ];
        let expected = "cohort,value\r\n\"'=cmd|' /C calc'!A0\",-1.5\r\n\"say \"\"a, b\"\"\",\r\nregion=north,-3\r\n";
        assert_eq!(table(["cohort", "value"], rows), expected);
        for armed in ["+1", "-1", "@x", "\t=1", "\r=1", "\n=1"] {
            assert!(quoted(armed).trim_start_matches('"').starts_with('\''), "{armed:?}");
        }
    }
}
