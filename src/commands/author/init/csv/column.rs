//! Counts the forms of a column's values, to decide its type and how to read it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::missing;
use super::number::{self, Decimal};
use super::time::{self, Order, Unit};

/// How the values of a column are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    Text,
    Boolean,
    Integer,
    /// Numbers whose decimals are all zero: `17.0`.
    Whole(Decimal),
    Number(Decimal),
    Time(Order),
    Epoch(Unit),
}

impl Reading {
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Integer | Self::Whole(_) => "bigint",
            Self::Number(_) => "double precision",
            Self::Time(_) | Self::Epoch(_) => "timestamp with time zone",
        }
    }

    /// Returns the value as Postgres takes it, or `None` if there is none.
    pub(super) fn read(self, value: &str) -> Option<Cow<'_, str>> {
        if missing::is_missing(value) {
            return None;
        }
        match self {
            Self::Text | Self::Boolean => Some(Cow::Borrowed(value)),
            Self::Integer => Some(Cow::Owned(number::normal(value, Decimal::Point))),
            Self::Number(decimal) => Some(Cow::Owned(number::normal(value, decimal))),
            Self::Whole(decimal) => {
                let normal = number::normal(value, decimal);
                Some(Cow::Owned(normal.split('.').next().unwrap_or_default().to_owned()))
            }
            Self::Time(order) => time::read(value, order).map(|time| Cow::Owned(time.to_rfc3339())),
            Self::Epoch(unit) => {
                unit.read(&number::normal(value, Decimal::Point)).map(|time| Cow::Owned(time.to_rfc3339()))
            }
        }
    }
}

/// Line and text of a value.
pub(super) type Example = (u64, String);

/// Values of one form: their count, and the first.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub count: u64,
    pub first: Option<Example>,
}

impl Seen {
    fn add(&mut self, line: u64, value: &str) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some((line, value.to_owned()));
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.count > 0
    }
}

/// Counts of the forms of a column's values.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub filled: u64,
    /// Words for a missing value as they are written, with their counts.
    pub missing: BTreeMap<String, u64>,
    booleans: u64,
    integers: u64,
    huge: u64,
    grouped: u64,
    pub point: Seen,
    pub comma: Seen,
    pub maybe_point: Seen,
    pub maybe_comma: Seen,
    /// Numbers out of the range of double precision.
    pub too_large: Seen,
    sure_times: u64,
    pub day_first: Seen,
    pub month_first: Seen,
    pub either: Seen,
    /// Times without a zone.
    pub naive: u64,
    /// Values that are neither numbers nor times.
    pub others: Seen,
    /// Numbers; the first one is the example in a column of times.
    pub first_number: Seen,
    range: Option<(f64, f64)>,
    has_fraction: bool,
    /// First integer, at which a row count would start: 0 or 1.
    counts_from: Option<i64>,
    is_no_count: bool,
}

impl Tally {
    pub(super) fn add(&mut self, line: u64, value: &str) {
        if missing::is_missing(value) {
            self.is_no_count = true;
            match self.missing.get_mut(value) {
                Some(count) => *count += 1,
                None => _ = self.missing.insert(value.to_owned(), 1),
            }
            return;
        }
        self.filled += 1;
        match number::form(value) {
            Some(form) => self.add_number(line, value, form),
            None => self.add_other(line, value),
        }
    }

    fn add_number(&mut self, line: u64, value: &str, form: number::Form) {
        self.first_number.add(line, value);
        let decimal = match form {
            number::Form::Integer => {
                self.integers += 1;
                self.count_on(value);
                Decimal::Point
            }
            number::Form::Huge => {
                self.huge += 1;
                Decimal::Point
            }
            number::Form::Grouped => {
                self.grouped += 1;
                Decimal::Point
            }
            number::Form::Sure(decimal) => {
                let seen = if decimal == Decimal::Point { &mut self.point } else { &mut self.comma };
                seen.add(line, value);
                decimal
            }
            number::Form::Maybe(decimal) => {
                let seen = if decimal == Decimal::Point { &mut self.maybe_point } else { &mut self.maybe_comma };
                seen.add(line, value);
                decimal
            }
        };
        self.is_no_count |= form != number::Form::Integer;
        let normal = number::normal(value, decimal);
        if number::is_out_of_range(&normal) {
            self.too_large.add(line, value);
        }
        if let Ok(number) = normal.parse::<f64>() {
            let (least, most) = self.range.unwrap_or((number, number));
            self.range = Some((least.min(number), most.max(number)));
            self.has_fraction |= number.fract() != 0.0 || number.abs() > 9e15 || normal.contains(['e', 'E', 'n', 'N']);
        }
    }

    /// Checks whether an integer continues a row count.
    fn count_on(&mut self, value: &str) {
        let Ok(number) = value.parse::<i64>() else {
            self.is_no_count = true;
            return;
        };
        let before = i64::try_from(self.integers).unwrap_or(i64::MAX) - 1;
        let start = *self.counts_from.get_or_insert(number);
        self.is_no_count |= !(0..=1).contains(&start) || start.checked_add(before) != Some(number);
    }

    fn add_other(&mut self, line: u64, value: &str) {
        self.is_no_count = true;
        if let Some((form, is_naive)) = time::form(value) {
            self.naive += u64::from(is_naive);
            match form {
                time::Form::Sure => self.sure_times += 1,
                time::Form::Only(Order::DayFirst) => self.day_first.add(line, value),
                time::Form::Only(Order::MonthFirst) => self.month_first.add(line, value),
                time::Form::Either => self.either.add(line, value),
            }
            return;
        }
        if ["true", "false", "t", "f"].iter().any(|word| value.eq_ignore_ascii_case(word)) {
            self.booleans += 1;
        }
        self.others.add(line, value);
    }

    fn numbers(&self) -> u64 {
        let decimals = self.point.count + self.comma.count + self.maybe_point.count + self.maybe_comma.count;
        self.integers + self.huge + self.grouped + decimals
    }

    pub(super) fn is_numbers(&self) -> bool {
        self.filled > 0 && self.numbers() == self.filled
    }

    pub(super) fn is_integers(&self) -> bool {
        self.filled > 0 && self.integers == self.filled
    }

    pub(super) fn is_booleans(&self) -> bool {
        self.filled > 0 && self.booleans == self.filled
    }

    /// True for integers with too many digits for the type and no decimals among them: keys, which a float would merge.
    pub(super) fn is_codes(&self) -> bool {
        self.huge > 0 && self.integers + self.huge == self.filled
    }

    fn times(&self) -> u64 {
        self.sure_times + self.day_first.count + self.month_first.count + self.either.count
    }

    pub(super) fn is_times(&self) -> bool {
        self.filled > 0 && self.times() == self.filled
    }

    /// True if no number has a fraction.
    pub(super) fn is_whole(&self) -> bool {
        !self.has_fraction
    }

    /// True for row numbers, as pandas writes them.
    pub(super) fn is_count(&self) -> bool {
        self.filled > 0 && !self.is_no_count
    }

    /// Returns the unit, if all values could be Unix times.
    pub(super) fn epoch(&self) -> Option<Unit> {
        let plain = self.integers + self.point.count == self.filled && self.filled > 0;
        self.range.filter(|_| plain).and_then(|(least, most)| Unit::of(least, most))
    }

    /// Returns the first value that keeps a column from being numbers or times, if nearly all of its values are.
    pub(super) fn spoiler(&self) -> Option<(&'static str, &Example, u64)> {
        let (numbers, times) = (self.numbers(), self.times());
        let nearly = |count: u64| count * 10 >= self.filled * 8 && count < self.filled && self.filled > 1;
        match (nearly(numbers), nearly(times)) {
            (true, _) => {
                let first = self.others.first.as_ref().or(self.either.first.as_ref())?;
                Some(("number", first, self.filled - numbers))
            }
            (_, true) => {
                let first = self.others.first.as_ref().or(self.first_number.first.as_ref())?;
                Some(("time", first, self.filled - times))
            }
            _ => None,
        }
    }
}
