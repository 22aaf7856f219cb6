//! Finds the columns of a file and their types by reading all of it once. Ambiguous values are refused.

use anyhow::Result;

use super::column::{Reading, Tally};
use super::decide;
use super::dialect::Source;
use super::header::{self, Name};
use super::mistake::{broken, mistake, not_utf8, shown};
use super::number::Decimal;
use super::records::Record;
use super::time::Order;
use crate::commands::output::progress::Progress;
use crate::domain::name::Identifier;
use crate::plan::propose::{column as proposed, words};

/// The shape of a file after one pass.
pub(super) struct Shape {
    /// Number of values in each record.
    pub width: usize,
    pub columns: Vec<Column>,
    pub notes: Vec<String>,
}

pub(super) struct Column {
    pub name: Identifier,
    /// Index of the value in a record, from 0.
    pub place: usize,
    pub tally: Tally,
    pub reading: Reading,
}

/// Scans every value of a file.
pub(super) fn scan(source: &Source, progress: &Progress) -> Result<Shape> {
    let path = source.path;
    let mut records = source.records()?;
    let header = records.next().map_err(|why| broken(path, &why))?;
    let first = header.map_or(1, |header| header.line);
    let names = header::names(path, header)?;
    let (width, mut tallies, mut rows) = (names.len(), vec![Tally::default(); names.len()], 0_u64);
    let (mut last, mut drawn) = (first, 0);
    loop {
        // Drawing takes longer than reading.
        if records.taken - drawn > 1 << 20 {
            drawn = records.taken;
            progress.at(drawn, source.size);
        }
        let Some(record) = records.next().map_err(|why| broken(path, &why))? else { break };
        last = record.line;
        expect_width(source, first, record, width)?;
        for (n, (tally, name)) in tallies.iter_mut().zip(&names).enumerate() {
            let value = record.value(n).map_err(|line| not_utf8(path, line, n + 1))?;
            if value.contains('\0') {
                let why = "it contains a NUL character, which Postgres cannot store";
                return Err(mistake(path, record.line_of(n), Some(n + 1), why));
            }
            if matches!(name, Name::Nothing) && !value.is_empty() {
                let why = format!("a column name is empty, and line {} has a value for it", record.line_of(n));
                return Err(mistake(path, first, Some(n + 1), why));
            }
            tally.add(record.line_of(n), value);
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(mistake(path, last + 1, None, format!("it has no rows after the column names in line {first}")));
    }
    let mut shape = Shape { width, columns: Vec::new(), notes: Vec::new() };
    for ((place, name), tally) in names.into_iter().enumerate().zip(tallies) {
        shape.take(source, place, name, tally);
    }
    shape.resolve(source)?;
    shape.say_missing(source);
    Ok(shape)
}

fn expect_width(source: &Source, first: u64, record: &Record, width: usize) -> Result<()> {
    let found = record.len();
    if found == width {
        return Ok(());
    }
    let why = format!("it is not a CSV file: this line has {found} values, but line {first} names {width} columns");
    Err(mistake(source.path, record.line, Some(found.min(width) + 1), why))
}

impl Shape {
    /// Keeps a column, unless it has no name and is empty or counts the rows.
    fn take(&mut self, source: &Source, place: usize, name: Name, tally: Tally) {
        let file = source.path.display();
        let name = match name {
            Name::Given(name) => name,
            Name::Nothing => return,
            Name::Index(_) if tally.is_count() || tally.filled == 0 => {
                self.notes.push(format!(
                    "note: the first column of `{file}` has no name and counts the rows: it is dropped (name it if it is the key)"
                ));
                return;
            }
            Name::Index(name) => {
                self.notes
                    .push(format!("note: the first column of `{file}` has no name: it is named `{}`", name.as_str()));
                name
            }
        };
        self.columns.push(Column { name, place, tally, reading: Reading::Text });
    }

    /// Decides how each column is read; other columns of the file may resolve what one leaves open.
    fn resolve(&mut self, source: &Source) -> Result<()> {
        let decimal = self.decimal_of_file();
        let order = self.order_of_file();
        let mut open = Vec::new();
        for n in 0..self.columns.len() {
            let column = &self.columns[n];
            let reading = match &column.tally {
                tally if tally.is_booleans() => Reading::Boolean,
                tally if tally.is_codes() => Reading::Text,
                tally if tally.is_numbers() => self.numbers(source, column, decimal)?,
                tally if tally.is_times() => match decide::order(tally, order)
                    .map_err(|(line, why)| mistake(source.path, line, Some(column.place + 1), why))?
                {
                    Some(order) => Reading::Time(order),
                    None => {
                        open.push(n);
                        Reading::Text
                    }
                },
                _ => Reading::Text,
            };
            // A version is a name, even if it looks like a time or a number: `2025-05-01`, `1.10`.
            let is_version =
                matches!(reading, Reading::Time(_) | Reading::Number(_)) && proposed::is_version(column.name.as_str());
            let note = self.note(source, n, reading);
            self.notes.extend(note.filter(|_| !is_version));
            self.columns[n].reading = if is_version { Reading::Text } else { reading };
        }
        open.into_iter().try_for_each(|n| self.leave_open(source, n))
    }

    /// Handles a date with ambiguous day and month: useless as a time, and refused where the file has no other.
    fn leave_open(&mut self, source: &Source, n: usize) -> Result<()> {
        let column = &self.columns[n];
        let Some((line, value)) = &column.tally.either.first else { return Ok(()) };
        let name = column.name.as_str();
        let why = format!(
            "`{}` may have the day or the month first, and no row of `{name}` decides: write times as 2025-05-31 00:00",
            shown(value)
        );
        if !self.columns.iter().any(|column| matches!(column.reading, Reading::Time(_) | Reading::Epoch(_))) {
            return Err(mistake(source.path, *line, Some(column.place + 1), why));
        }
        self.notes.push(format!("note: `{name}` of `{}` is read as text (line {line}: {why})", source.path.display()));
        Ok(())
    }

    /// Returns the decimal sign that some column proves, if no other column proves the opposite.
    fn decimal_of_file(&self) -> Option<Decimal> {
        let proves = |comma: bool| {
            let numbers = self.columns.iter().map(|column| &column.tally).filter(|tally| tally.is_numbers());
            numbers.map(|tally| if comma { &tally.comma } else { &tally.point }).any(|seen| seen.is_any())
        };
        match (proves(false), proves(true)) {
            (true, false) => Some(Decimal::Point),
            (false, true) => Some(Decimal::Comma),
            _ => None,
        }
    }

    fn order_of_file(&self) -> Option<Order> {
        let times = || self.columns.iter().map(|column| &column.tally).filter(|tally| tally.is_times());
        let (day, month) =
            (times().any(|tally| tally.day_first.is_any()), times().any(|tally| tally.month_first.is_any()));
        match (day, month) {
            (true, false) => Some(Order::DayFirst),
            (false, true) => Some(Order::MonthFirst),
            _ => None,
        }
    }

    fn numbers(&self, source: &Source, column: &Column, of_file: Option<Decimal>) -> Result<Reading> {
        let tally = &column.tally;
        if tally.epoch().is_some() && words::is_time(column.name.as_str()) {
            return Ok(tally.epoch().map_or(Reading::Integer, Reading::Epoch));
        }
        if tally.is_integers() {
            return Ok(Reading::Integer);
        }
        let wrong = |(line, why): (u64, String)| Err(mistake(source.path, line, Some(column.place + 1), why));
        if let Some((line, value)) = &tally.too_large.first {
            return wrong((
                *line,
                format!("`{}` is outside the range of numbers (about 1e-308 to 1e308)", shown(value)),
            ));
        }
        Ok(Reading::Number(match decide::decimal(tally, of_file, source.separator) {
            Ok(decimal) => decimal,
            Err(mistake) => return wrong(mistake),
        }))
    }

    /// Returns a note for the user about how a column is read.
    fn note(&self, source: &Source, n: usize, reading: Reading) -> Option<String> {
        let Column { name, tally, .. } = &self.columns[n];
        let place = format!("`{}` of `{}`", name.as_str(), source.path.display());
        match reading {
            Reading::Time(_) if tally.naive > 0 => {
                let order =
                    match (reading, tally.either.is_any() || tally.day_first.is_any() || tally.month_first.is_any()) {
                        (Reading::Time(Order::DayFirst), true) => ", the day before the month",
                        (Reading::Time(Order::MonthFirst), true) => ", the month before the day",
                        _ => "",
                    };
                Some(format!(
                    "note: times without a zone in `{}` are read as UTC (`{}`{order})",
                    source.path.display(),
                    name.as_str()
                ))
            }
            Reading::Epoch(unit) => Some(format!("note: {place} is read as Unix {}", unit.name())),
            Reading::Number(Decimal::Comma) => Some(match &tally.maybe_point.first {
                Some((_, value)) => {
                    format!("note: {place} has points as thousands separators, as in `{}`", shown(value))
                }
                None => format!("note: {place} has decimal commas"),
            }),
            Reading::Number(Decimal::Point) => {
                let (_, value) = tally.maybe_comma.first.as_ref()?;
                Some(format!("note: {place} has commas as thousands separators, as in `{}`", shown(value)))
            }
            Reading::Text => {
                let (kind, (line, value), count) = tally.spoiler()?;
                let others = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
                Some(format!("note: {place} is text: `{}` in line {line} is not a {kind}{others}", shown(value)))
            }
            _ => None,
        }
    }

    fn say_missing(&mut self, source: &Source) {
        for column in self.columns.iter().filter(|column| !column.tally.missing.is_empty()) {
            let word = |(word, count): (&String, &u64)| match word.as_str() {
                "" => format!("{count} empty"),
                word => format!("{count} `{word}`"),
            };
            let words: Vec<String> = column.tally.missing.iter().map(word).collect();
            let place = format!("`{}` of `{}`", column.name.as_str(), source.path.display());
            self.notes.push(format!("note: {place}: {} read as NULL", words.join(", ")));
        }
    }
}

/// Gives columns of the same name in both files one type where their values allow it: a key that is `17` in one and `A17` or
/// `17.0` in the other.
pub(super) fn agree(one: &mut Shape, other: &mut Shape) {
    for column in &mut one.columns {
        let Some(same) = other.columns.iter_mut().find(|same| same.name == column.name) else { continue };
        match (column.reading, same.reading) {
            (Reading::Integer, Reading::Text) => column.reading = Reading::Text,
            (Reading::Text, Reading::Integer) => same.reading = Reading::Text,
            (Reading::Integer, Reading::Number(decimal)) if same.tally.is_whole() => {
                same.reading = Reading::Whole(decimal)
            }
            (Reading::Number(decimal), Reading::Integer) if column.tally.is_whole() => {
                column.reading = Reading::Whole(decimal)
            }
            _ => {}
        }
    }
}
