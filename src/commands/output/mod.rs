//! Tables for people, JSON and CSV for programs, and the only functions that write to stdout and stderr.
//!
//! Each function makes hidden characters visible, so that no command can forget to.

pub mod log;
pub mod progress;

use std::io::{ErrorKind, Write as _};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table as Drawn, TableStyle};
use serde_json::{Map, Value as Json, json};

use crate::cli::Output;
use crate::text::number::number;
use crate::text::visible;

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Text(String),
    Count(i64),
    Number(f64),
    /// Bytes, shown to people in units of 1,000.
    Size(i64),
    Time(DateTime<Utc>),
    Nothing,
}

/// Rows under named columns.
#[derive(Debug, Clone)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// Header over a line, no borders: readable, copies well, fits 80 columns.
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
            Self::Text(text) => visible::line(text),
            Self::Count(count) => count.to_string(),
            Self::Number(value) => number(*value),
            Self::Size(bytes) => size(*bytes),
            Self::Time(time) => time.format("%Y-%m-%d %H:%M").to_string(),
            Self::Nothing => "-".to_owned(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!(text),
            Self::Count(count) | Self::Size(count) => json!(count),
            Self::Number(value) => json!(value),
            Self::Time(time) => json!(time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            Self::Nothing => Json::Null,
        }
    }

    fn csv(&self) -> String {
        match self {
            Self::Text(text) => csv_text(text),
            Self::Count(count) | Self::Size(count) => count.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Time(time) => time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            Self::Nothing => String::new(),
        }
    }
}

/// Formats bytes with at least three digits: `512 B`, `4.21 MB`, `38.5 GB`.
#[expect(clippy::cast_precision_loss, reason = "a rounded size")]
fn size(bytes: i64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{} {unit}", three_digits(value)) };
        }
        value /= 1_000.0;
    }
    format!("{} TB", three_digits(value))
}

fn three_digits(value: f64) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}")
}

/// Quotes where needed, including tabs and line breaks, and disarms text that a spreadsheet would run as a formula.
fn csv_text(text: &str) -> String {
    let armed = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    let seen = visible::lines(text);
    let safe = if armed { format!("'{seen}") } else { seen };
    if safe.contains([',', '"', '\n', '\t']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
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
            // `check` writes the last two formats itself.
            Output::Json | Output::Sarif | Output::Github => {
                let object = |row: &Vec<Cell>| -> Map<String, Json> {
                    self.columns.iter().cloned().zip(row.iter().map(Cell::json)).collect()
                };
                let rows: Vec<Json> = self.rows.iter().map(|row| Json::Object(object(row))).collect();
                visible::json(&format!("{:#}", Json::Array(rows)))
            }
            Output::Csv => {
                let head = self.columns.iter().map(|name| csv_text(name)).collect::<Vec<_>>().join(",");
                let rows = self.rows.iter().map(|row| row.iter().map(Cell::csv).collect::<Vec<_>>().join(","));
                std::iter::once(head).chain(rows).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// Draws a table. If it is wider than the screen, values that are the same in all rows are shown once above, empty columns
    /// are left out, and values that do not fit go on a line of their own below each row. A single row becomes a list.
    fn draw(&self) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let whole = self.drawn(&all);
        if width(&whole) <= SCREEN {
            return whole;
        }
        let Some((first, _)) = self.rows.split_first().filter(|(_, others)| !others.is_empty()) else {
            return self.listed();
        };
        let is_same = |column: &usize| self.rows.iter().all(|row| row[*column] == first[*column]);
        let (same, other): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_same);
        let said = self.said(first, &same);
        if other.is_empty() {
            return whole;
        }
        let fits = |n: &usize| width(&self.drawn(&other[..*n])) <= SCREEN;
        let (shown, below) = other.split_at((1..=other.len()).rev().find(fits).unwrap_or(1));
        let drawn = self.drawn(shown);
        let mut lines: Vec<String> = drawn.lines().take(HEAD).map(str::to_owned).collect();
        for (line, row) in drawn.lines().skip(HEAD).zip(&self.rows) {
            lines.push(line.to_owned());
            let more = self.said(row, below);
            lines.extend((!more.is_empty()).then(|| format!("    {more}")));
        }
        let table = lines.join("\n");
        if said.is_empty() { table } else { format!("{said}\n\n{table}") }
    }

    /// Formats some values of a row with their names.
    fn said(&self, row: &[Cell], columns: &[usize]) -> String {
        let is_there = |column: &&usize| !matches!(&row[**column], Cell::Nothing) && row[**column].for_people() != "";
        let said = columns.iter().filter(is_there);
        let said = said.map(|at| format!("{} {}", self.columns[*at].replace('_', " "), row[*at].for_people()));
        said.collect::<Vec<_>>().join(", ")
    }

    /// Formats one value per line.
    fn listed(&self) -> String {
        let widest = self.columns.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let line =
            |(name, cell): (&String, &Cell)| format!("{:<widest$}  {}", name.replace('_', " "), cell.for_people());
        let rows = self.rows.iter().flat_map(|row| self.columns.iter().zip(row));
        rows.map(line).collect::<Vec<_>>().join("\n")
    }

    /// Draws some of the columns.
    fn drawn(&self, columns: &[usize]) -> String {
        let mut table = Drawn::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(columns.iter().map(|column| self.columns[*column].replace('_', " ")));
        for row in &self.rows {
            table.add_row(columns.iter().map(|column| {
                let cell = &row[*column];
                let drawn = comfy_table::Cell::new(cell.for_people());
                match cell {
                    Cell::Count(_) | Cell::Number(_) | Cell::Size(_) => drawn.set_alignment(CellAlignment::Right),
                    _ => drawn,
                }
            }));
        }
        table.to_string()
    }
}

/// Width of a terminal in columns.
const SCREEN: usize = 80;
/// Lines above the first row.
const HEAD: usize = 2;

fn width(drawn: &str) -> usize {
    drawn.lines().map(|line| line.trim_end().chars().count()).max().unwrap_or_default()
}

/// Prints one line to stdout.
pub(super) fn print(line: &str) -> Result<()> {
    to_stdout(&visible::line(line))
}

/// Prints preformatted lines to stdout: a table, a chart, a page. Their data went through a [`Cell`] or [`visible::line`].
pub(super) fn print_lines(text: &str) -> Result<()> {
    to_stdout(&visible::lines(text))
}

/// Prints lines with our own colours to stdout. Colours are stripped where the output does not show them.
pub(super) fn print_styled(text: &str) -> Result<()> {
    to_stdout(&visible::styled(text))
}

/// Prints JSON text to stdout, without loss.
pub(super) fn print_json(text: &str) -> Result<()> {
    to_stdout(&visible::json(text))
}

/// Prints a table in the requested format.
pub(super) fn print_table(table: &Table, output: Output) -> Result<()> {
    print_lines(&table.render(output))
}

/// Moves to the top of the screen and clears it: no flicker, and the scrollback is kept.
pub(super) fn wipe_screen() -> Result<()> {
    to_stdout("\u{1b}[H\u{1b}[2J")
}

/// Writes visible text. A closed pipe (`| head`) is not a failure.
fn to_stdout(text: &str) -> Result<()> {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints one line for people to stderr.
pub(super) fn note(line: &str) {
    anstream::eprintln!("{}", visible::line(line));
}

/// Prints findings with our own colours to stderr.
pub(super) fn note_styled(text: &str) {
    anstream::eprintln!("{}", visible::styled(text));
}

/// Prints a question to stderr and leaves the cursor after it.
pub(super) fn ask(question: &str) -> Result<()> {
    let mut stderr = anstream::stderr();
    write!(stderr, "{}", visible::line(question))?;
    Ok(stderr.flush()?)
}

/// Prints why a command failed. Lines after the first are indented, so that none can pass for one of ours.
pub(super) fn fail(failure: &str) {
    let lines: Vec<String> = failure.split('\n').map(visible::line).collect();
    anstream::eprintln!("error: {}", lines.join("\n  "));
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
    fn what_does_not_fit_stands_below_its_row_and_one_row_is_a_list() {
        let mut table = Table::new(&["name", "first", "last_one"]);
        for n in 0..2 {
            table.push(vec![Cell::Count(n), "x".repeat(50 + n as usize).into(), "y".repeat(40 + n as usize).into()]);
        }
        let drawn = table.render(Output::Table);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 6, "{drawn}");
        assert!(lines[2].contains("xxx") && lines[3] == format!("    last one {}", "y".repeat(40)), "{drawn}");
        assert!(!lines[0].contains("last"), "{drawn}");
        table.rows.truncate(1);
        let drawn = table.render(Output::Table);
        assert_eq!(drawn.lines().next(), Some("name      0"));
        assert_eq!(drawn.lines().count(), 3, "{drawn}");
        // An empty table has a header and no rows to list.
        table.rows.clear();
        assert!(table.render(Output::Table).contains("first"));
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
