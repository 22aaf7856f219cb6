//! Scales of axes and their ticks.

use std::ops::Range;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::text::number::number;

/// Maps values to shares of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

/// A label at a share of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// 0 is the lower or left end, 1 the other.
    pub share: f64,
    pub text: String,
}

impl Scale {
    /// A scale that holds all values, with some room. `None` without a finite one.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = bounds(values.filter(|value| value.is_finite()));
        (low <= high).then(|| Self::around(low, high))
    }

    /// A scale around a range, with room on both sides. Begins at zero where that costs little.
    pub fn around(low: f64, high: f64) -> Self {
        let middle = low.abs().max(high.abs());
        // Equal values would have no range.
        let span = (high - low).max(middle * 1e-3).max(f64::MIN_POSITIVE * 1e6);
        let (from, until) = (low - span * 0.06, high + span * 0.06);
        let from = if low >= 0.0 && low <= high * 0.5 { 0.0 } else { from };
        Self { low: from, high: until.max(from + f64::MIN_POSITIVE * 1e6) }
    }

    /// Position of a value: 0 to 1, clamped.
    pub fn share(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        if share.is_nan() { 0.5 } else { share.clamp(0.0, 1.0) }
    }

    /// Between two and `most` + 1 round numbers.
    pub fn ticks(&self, most: u32) -> Vec<Tick> {
        let step = nice((self.high - self.low) / f64::from(most.max(1)));
        let first = (self.low / step).ceil();
        let last = (self.high / step).floor();
        if !(step.is_finite() && step > 0.0 && (0.0..=f64::from(most) + 2.0).contains(&(last - first))) {
            return Vec::new();
        }
        (0..=most + 2)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|value| *value <= self.high)
            .map(|value| Tick { share: self.share(value), text: tick(value, step) })
            .collect()
    }
}

/// The smallest and the largest of some values; reversed infinities if there are none.
pub fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a size.
fn nice(size: f64) -> f64 {
    let power = 10f64.powf(size.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= size * 0.999_999).unwrap_or(power * 10.0)
}

/// Formats a multiple of a step with the digits that the step needs.
fn tick(value: f64, step: f64) -> String {
    let value = if value.abs() < step / 2.0 { 0.0 } else { value };
    if !(1e-4..1e7).contains(&step) || value.abs() >= 1e7 {
        return number(value);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the step was just bounded")]
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// Maps times to shares of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeScale {
    from: f64,
    span: f64,
    range: Range<DateTime<Utc>>,
}

impl TimeScale {
    pub fn new(range: Range<DateTime<Utc>>) -> Self {
        let (from, until) = (seconds(range.start), seconds(range.end));
        Self { from, span: (until - from).max(1e-3), range }
    }

    /// Position of a time: 0 to 1, clamped.
    pub fn share(&self, at: DateTime<Utc>) -> f64 {
        ((seconds(at) - self.from) / self.span).clamp(0.0, 1.0)
    }

    /// At most `most` + 1 times that begin a year, month, day or hour in a zone.
    pub fn ticks(&self, zone: Tz, most: u32) -> Vec<Tick> {
        let Some(step) = TimeStep::fitting(self.span / f64::from(most.max(1))) else { return Vec::new() };
        let mut found = Vec::new();
        let first = self.range.start.with_timezone(&zone).date_naive();
        let Some(mut day) = step.first_day(first) else { return Vec::new() };
        let last = self.range.end.with_timezone(&zone).date_naive();
        while day <= last {
            for (time, text) in step.of_day(day) {
                let at = instant(zone, day, time);
                if let Some(at) = at.filter(|at| *at >= self.range.start && *at <= self.range.end) {
                    found.push(Tick { share: self.share(at), text });
                }
            }
            let Some(next) = step.next_day(day) else { break };
            day = next;
        }
        found
    }
}

/// Local time as an instant. A time that a clock change skips is an hour later.
fn instant(zone: Tz, day: NaiveDate, time: NaiveTime) -> Option<DateTime<Utc>> {
    let local = day.and_time(time);
    let later = || zone.from_local_datetime(&local.checked_add_signed(TimeDelta::hours(1))?).earliest();
    Some(zone.from_local_datetime(&local).earliest().or_else(later)?.to_utc())
}

/// Distance between ticks of time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TimeStep {
    Minutes(u32),
    Days(u32),
    Months(u32),
}

impl TimeStep {
    /// The smallest step of at least some seconds.
    fn fitting(seconds: f64) -> Option<Self> {
        const MONTH: f64 = 30.4 * 86_400.0;
        let minutes = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map(|n| (f64::from(n) * 60.0, Self::Minutes(n)));
        let days = [1, 2, 7, 14].map(|n| (f64::from(n) * 86_400.0, Self::Days(n)));
        let months = [1, 2, 3, 6, 12, 24, 60, 120, 600, 1_200, 12_000].map(|n| (f64::from(n) * MONTH, Self::Months(n)));
        minutes.into_iter().chain(days).chain(months).find(|(length, _)| *length >= seconds).map(|(_, step)| step)
    }

    fn first_day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Minutes(_) => Some(day),
            // Day 1 is a Monday.
            Self::Days(n) => {
                let over = (day.num_days_from_ce() - 1).rem_euclid(i32::try_from(n).ok()?);
                day.checked_sub_days(Days::new(u64::try_from(over).ok()?))
            }
            Self::Months(n) => {
                let n = i32::try_from(n).ok()?;
                let month = i32::try_from(day.month0()).ok()?;
                let (year, month) = if n > 12 {
                    (day.year() - day.year().rem_euclid(n / 12), 0)
                } else {
                    (day.year(), month - month % n)
                };
                NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()? + 1, 1)
            }
        }
    }

    fn next_day(self, day: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Minutes(_) => day.succ_opt(),
            Self::Days(n) => day.checked_add_days(Days::new(n.into())),
            Self::Months(n) => day.checked_add_months(Months::new(n)),
        }
    }

    /// Ticks of a day with their labels.
    fn of_day(self, day: NaiveDate) -> Vec<(NaiveTime, String)> {
        let named = |format: &str| vec![(NaiveTime::MIN, day.format(format).to_string())];
        match self {
            Self::Minutes(n) => (0..24 * 60 / n)
                .filter_map(|k| NaiveTime::from_num_seconds_from_midnight_opt(k * n * 60, 0))
                .map(|time| {
                    let format = if time == NaiveTime::MIN { "%-d %b" } else { "%H:%M" };
                    (time, day.and_time(time).format(format).to_string())
                })
                .collect(),
            Self::Days(_) => named("%-d %b"),
            Self::Months(n) if n < 12 && day.month0() > 0 => named("%b"),
            Self::Months(_) => named("%Y"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 stay below 2^53")]
pub(super) fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        let of = |low, high| {
            let ticks = Scale { low, high }.ticks(4);
            ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>()
        };
        assert_eq!(of(0.0, 742.0), ["0", "200", "400", "600"]);
        assert_eq!(of(-0.13, 0.31), ["0.0", "0.2"]);
        assert_eq!(of(231.2, 232.9), ["231.5", "232.0", "232.5"]);
        assert_eq!(of(-3e9, 3e9), ["-2000000000", "0", "2000000000"]);
    }

    #[test]
    fn every_scale_is_finite() {
        let cases =
            [[0.0, 0.0], [1.0, 1.0], [-1e29, 1e29], [1e-300, 2e-300], [5e29, 5e29], [-3.0, -3.0], [0.0, 1e-320]];
        for values in cases {
            let scale = Scale::of(values.into_iter()).unwrap();
            assert!(values.iter().all(|value| scale.share(*value).is_finite()), "{scale:?}");
            assert!(scale.share(values[0]) <= scale.share(values[1]) && scale.high > scale.low, "{scale:?}");
            assert!(scale.ticks(4).len() <= 7, "{scale:?}");
        }
        assert_eq!(Scale::of([f64::NAN, f64::INFINITY].into_iter()), None);
    }

    #[test]
    fn times_are_marked_in_the_zone_of_the_page() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let day = TimeScale::new(at("2026-03-28T23:00:00Z")..at("2026-03-29T21:00:00Z"));
        // The clocks of Bucharest change on that day: 03:00 is skipped.
        assert_eq!(texts(&day.ticks(Tz::Europe__Bucharest, 4)), ["06:00", "12:00", "18:00", "30 Mar"]);
        assert_eq!(texts(&day.ticks(Tz::UTC, 4)), ["29 Mar", "06:00", "12:00", "18:00"]);
        let quarter = TimeScale::new(at("2026-11-20T00:00:00Z")..at("2027-02-20T00:00:00Z"));
        assert_eq!(texts(&quarter.ticks(Tz::UTC, 4)), ["Dec", "2027", "Feb"]);
        let weeks = TimeScale::new(at("2026-11-18T00:00:00Z")..at("2026-12-10T00:00:00Z"));
        assert_eq!(texts(&weeks.ticks(Tz::UTC, 4)), ["23 Nov", "30 Nov", "7 Dec"]);
        let ages = TimeScale::new(DateTime::UNIX_EPOCH..DateTime::<Utc>::MAX_UTC);
        assert!(ages.ticks(Tz::UTC, 4).len() <= 30);
        // A range of no length, a reversed one.
        assert!(
            TimeScale::new(at("2026-11-18T00:00:00Z")..at("2026-11-18T00:00:00Z")).share(at("2026-11-18T00:00:00Z"))
                < 1.0
        );
        assert!(TimeScale::new(at("2026-11-18T00:00:00Z")..at("2025-11-18T00:00:00Z")).ticks(Tz::UTC, 4).is_empty());
    }
}
