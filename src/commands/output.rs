//! Tables for people, JSON and CSV for programs.

use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as Drawn, TableStyle};
use serde_json::{Map, Value as Json, json};

use crate::cli::Output;
use crate::notify::message::{number, single_line};

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Count(i64),
    Number(f64),
    Time(DateTime<Utc>),
    Nothing,
}

/// Rows under named columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// Columns under a line: reads well, copies well, fits 80 columns.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Number(value)
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

impl Cell {
    fn for_people(&self) -> String {
        match self {
            Self::Text(text) => single_line(text),
            Self::Count(count) => count.to_string(),
            Self::Number(value) => number(*value),
            Self::Time(time) => time.format("%Y-%m-%d %H:%M").to_string(),
            Self::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Count(count) => json!(count),
            Self::Number(value) => json!(value),
            Self::Time(time) => json!(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Nothing => Json::Null,
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::Text(text) => csv_text(text),
            Self::Count(count) => count.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Self::Nothing => String::new(),
        }
    }
}

/// Quoted where needed; a text that a spreadsheet would run as a formula is disarmed.
fn csv_text(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if armed { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

impl Table {
    pub(super) fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|column| (*column).to_owned()).collect(), rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn render(&self, output: Output) -> String {
        match output {
            Output::Table => self.draw(),
            // The last two are of `check`, which writes them itself.
            Output::Json | Output::Sarif | Output::Github => {
                let object = |row: &Vec<Cell>| -> Map<String, Json> {
                    self.columns.iter().cloned().zip(row.iter().map(Cell::json)).collect()
                };
                let rows: Vec<Json> = self.rows.iter().map(|row| Json::Object(object(row))).collect();
                format!("{:#}", Json::Array(rows))
            }
            Output::Csv => {
                let head = self.columns.join(",");
                let rows = self.rows.iter().map(|row| row.iter().map(Cell::csv).collect::<Vec<_>>().join(","));
                std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// A table that is wider than a screen says once, above, what is the same in all of its rows, and leaves out what is empty
    /// in all of them.
    fn draw(&self) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let whole = self.drawn(&all);
        let width = whole.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        if width <= SCREEN || self.rows.len() < 2 {
            return whole;
        }
        let first = &self.rows[0];
        let is_same = |column: &usize| self.rows.iter().all(|row| row[*column] == first[*column]);
        let (same, other): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_same);
        let said: Vec<String> = same
            .into_iter()
            .filter(|column| first[*column] != Cell::Nothing)
            .map(|column| format!("{} {}", self.columns[column].replace('_', " "), first[column].for_people()))
            .collect();
        match (said.is_empty(), other.is_empty()) {
            (true, false) => self.drawn(&other),
            (false, false) => format!("{}\n\n{}", said.join(", "), self.drawn(&other)),
            (_, true) => whole,
        }
    }

    /// Some of the columns.
    fn drawn(&self, columns: &[usize]) -> String {
        let mut table = Drawn::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| self.columns[*column].replace('_', " ")));
        for row in &self.rows {
            table.add_row(columns.iter().map(|column| {
                let cell = &row[*column];
                let drawn = comfy_table::Cell::new(cell.for_people());
                match cell {
                    Cell::Count(_) | Cell::Number(_) => drawn.set_alignment(CellAlignment::Right),
                    _ => drawn,
                }
            }));
        }
        table.to_string()
    }
}

/// Columns of a terminal.
const SCREEN: usize = 80;

/// Prints a line to stdout. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) -> Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a line for people to stderr.
pub(super) fn note(text: &str) {
    anstream::eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["cohort", "value", "labeled"]);
        table.push(vec!["=cmd|'/c calc'!A0".into(), 1.5.into(), 3.into()]);
        table.push(vec!["a,\"b\"".into(), Cell::Nothing, 0.into()]);
        table
    }

    #[test]
    fn a_wide_table_says_once_what_is_the_same_in_all_rows() {
        let mut table = Table::new(&["window", "cohort", "nothing", "value"]);
        let wide = "x".repeat(70);
        for value in [1.0, 2.0] {
            table.push(vec![wide.as_str().into(), "all".into(), Cell::Nothing, value.into()]);
        }
        let drawn = table.render(Output::Table);
        assert!(drawn.starts_with(&format!("window {wide}, cohort all\n")) && !drawn.contains("nothing"), "{drawn}");
        assert_eq!(drawn.matches("all").count(), 1);
    }

    #[test]
    fn csv_is_quoted_and_disarmed() {
        assert_eq!(table().render(Output::Csv), "cohort,value,labeled\n'=cmd|'/c calc'!A0,1.5,3\n\"a,\"\"b\"\"\",,0");
    }

    #[test]
    fn json_keeps_numbers_and_nothing() {
        let parsed: Json = serde_json::from_str(&table().render(Output::Json)).unwrap();
        assert_eq!(parsed[0]["value"], json!(1.5));
        assert_eq!(parsed[1]["value"], Json::Null);
    }
}
