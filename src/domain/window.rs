//! Windows of event time: rolling ones end at the last bucket boundary, tumbling ones follow clock and calendar.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::domain::duration;

/// A kind of window that a job keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As it is stored and shown: `rolling 24h`, `tumbling 1d`.
    pub name: String,
    pub kind: WindowKind,
}

/// How the slices of a window follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowKind {
    /// The most recent period of this length, as of a run.
    Rolling(TimeDelta),
    /// Slices that follow each other without overlap.
    Tumbling(Grain),
}

/// The length of a tumbling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Shorter than a day; aligned to the Unix epoch.
    Clock(TimeDelta),
    /// Whole days of the zone.
    Days(u32),
    /// Whole weeks of the zone, from Monday.
    Weeks(u32),
    /// Whole months of the zone.
    Months(u32),
}

/// One slice of event time, `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slice {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl Window {
    /// Parses the length of a rolling window.
    pub fn rolling(text: &str) -> Result<Self, String> {
        Ok(Self { name: format!("rolling {text}"), kind: WindowKind::Rolling(duration::parse(text)?) })
    }

    /// Parses the length of a tumbling window: `1h`, `6h`, `1d`, `1w`, `1mo`.
    pub fn tumbling(text: &str) -> Result<Self, String> {
        Ok(Self { name: format!("tumbling {text}"), kind: WindowKind::Tumbling(Grain::parse(text)?) })
    }

    /// Returns an upper bound of its length, for a sufficient lookback.
    pub fn longest(&self) -> TimeDelta {
        match &self.kind {
            WindowKind::Rolling(length) => *length,
            WindowKind::Tumbling(Grain::Clock(length)) => *length,
            WindowKind::Tumbling(Grain::Days(n)) => TimeDelta::days(i64::from(*n)) + TimeDelta::hours(2),
            WindowKind::Tumbling(Grain::Weeks(n)) => TimeDelta::weeks(i64::from(*n)) + TimeDelta::hours(2),
            WindowKind::Tumbling(Grain::Months(n)) => TimeDelta::days(31 * i64::from(*n)) + TimeDelta::hours(2),
        }
    }

    /// Returns its nominal length: 24 hours for a day even across DST, 31 days for a month.
    pub fn nominal(&self) -> TimeDelta {
        match &self.kind {
            WindowKind::Tumbling(Grain::Days(n)) => TimeDelta::days(i64::from(*n)),
            WindowKind::Tumbling(Grain::Weeks(n)) => TimeDelta::weeks(i64::from(*n)),
            WindowKind::Tumbling(Grain::Months(n)) => TimeDelta::days(31 * i64::from(*n)),
            WindowKind::Rolling(length) | WindowKind::Tumbling(Grain::Clock(length)) => *length,
        }
    }

    /// Returns the number of seconds that a bucket must divide.
    pub fn divisor_seconds(&self) -> i64 {
        match &self.kind {
            WindowKind::Rolling(length) | WindowKind::Tumbling(Grain::Clock(length)) => length.num_seconds(),
            WindowKind::Tumbling(_) => 86_400,
        }
    }

    /// True if its bounds depend on a time zone.
    pub fn is_calendar(&self) -> bool {
        matches!(self.kind, WindowKind::Tumbling(Grain::Days(_) | Grain::Weeks(_) | Grain::Months(_)))
    }
}

impl Grain {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(months) = text.strip_suffix("mo") {
            return match months.parse() {
                Ok(n @ 1..=12) => Ok(Self::Months(n)),
                _ => Err(format!("`{text}` is not between 1 and 12 months")),
            };
        }
        let length = duration::parse(text)?;
        let whole = |size: TimeDelta| u32::try_from(length.num_seconds() / size.num_seconds()).unwrap_or(u32::MAX);
        match text.chars().last() {
            // `7d` and `1w` are the same window.
            Some('d' | 'w') if whole(TimeDelta::days(1)) % 7 == 0 => Ok(Self::Weeks(whole(TimeDelta::weeks(1)))),
            Some('d' | 'w') => Ok(Self::Days(whole(TimeDelta::days(1)))),
            _ if 86_400 % length.num_seconds() == 0 => Ok(Self::Clock(length)),
            _ => Err(format!("`{text}` does not divide a day")),
        }
    }

    /// Returns the slice that contains an instant.
    pub fn slice(self, at: DateTime<Utc>, zone: Tz) -> Slice {
        if let Self::Clock(length) = self {
            let start = floor(at, length);
            return Slice { start, end: start + length };
        }
        let day = at.with_timezone(&zone).date_naive();
        let start = self.first_day(day);
        // A transition at midnight can put the start of a local day after an instant of the same date.
        Slice { start: midnight(start, zone), end: midnight(self.next_first_day(start), zone) }
    }

    fn first_day(self, day: NaiveDate) -> NaiveDate {
        let days = i64::from(day.num_days_from_ce()) - i64::from(NaiveDate::default().num_days_from_ce());
        match self {
            Self::Clock(_) => day,
            Self::Days(n) => back(day, days.rem_euclid(i64::from(n))),
            // 1970-01-01 was a Thursday: the first Monday is four days later.
            Self::Weeks(n) => back(day, (days - 4).rem_euclid(7 * i64::from(n))),
            Self::Months(n) => {
                let index = i64::from(day.year()) * 12 + i64::from(day.month0());
                let since = index.rem_euclid(i64::from(n));
                let first = back(day, i64::from(day.day0()));
                first.checked_sub_months(Months::new(u32::try_from(since).unwrap_or(0))).unwrap_or(first)
            }
        }
    }

    fn next_first_day(self, first: NaiveDate) -> NaiveDate {
        let next = match self {
            Self::Clock(_) => first.checked_add_days(Days::new(1)),
            Self::Days(n) => first.checked_add_days(Days::new(u64::from(n))),
            Self::Weeks(n) => first.checked_add_days(Days::new(7 * u64::from(n))),
            Self::Months(n) => first.checked_add_months(Months::new(n)),
        };
        next.unwrap_or(NaiveDate::MAX)
    }
}

fn back(day: NaiveDate, days: i64) -> NaiveDate {
    day.checked_sub_days(Days::new(days.unsigned_abs())).unwrap_or(day)
}

/// Returns the first instant of a local day: midnight, or the first instant after it that exists.
fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let mut local = NaiveDateTime::new(day, NaiveTime::MIN);
    // Zones have skipped at most one whole day (the date line moved); a gap is found within two.
    for _ in 0..2 * 24 * 60 {
        if let Some(found) = zone.from_local_datetime(&local).earliest() {
            return found.with_timezone(&Utc);
        }
        local += TimeDelta::minutes(1);
    }
    Utc.from_utc_datetime(&local)
}

/// Returns the last multiple of `size` since the Unix epoch that is not after `at`.
pub fn floor(at: DateTime<Utc>, size: TimeDelta) -> DateTime<Utc> {
    let seconds = size.num_seconds().max(1);
    let start = at.timestamp().div_euclid(seconds) * seconds;
    DateTime::from_timestamp(start, 0).unwrap_or(at)
}

/// Returns the last multiple of `size` that is not after `at`: for whole weeks since a Monday, else since the Unix epoch.
pub fn floor_of_schedule(at: DateTime<Utc>, size: TimeDelta) -> DateTime<Utc> {
    let is_weeks = size.num_seconds() % TimeDelta::weeks(1).num_seconds() == 0;
    // 1970-01-05 was a Monday.
    let monday = if is_weeks { TimeDelta::days(4) } else { TimeDelta::zero() };
    floor(at - monday, size) + monday
}

/// Returns all slices of a tumbling window that end in `(after, until]`.
pub fn ended_between(grain: Grain, zone: Tz, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Slice> {
    let mut slices = Vec::new();
    let mut slice = grain.slice(after, zone);
    while slice.end <= until {
        if slice.end > after {
            slices.push(slice);
        }
        slice = grain.slice(slice.end, zone);
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn tumbling(text: &str, instant: &str, zone: Tz) -> (String, String) {
        let Window { kind: WindowKind::Tumbling(grain), .. } = Window::tumbling(text).unwrap() else { unreachable!() };
        let slice = grain.slice(at(instant), zone);
        (slice.start.to_rfc3339(), slice.end.to_rfc3339())
    }

    #[test]
    fn days_follow_the_zone_and_may_have_23_or_25_hours() {
        let spring = tumbling("1d", "2024-03-31T12:00:00Z", Tz::Europe__Bucharest);
        assert_eq!(spring, ("2024-03-30T22:00:00+00:00".into(), "2024-03-31T21:00:00+00:00".into()));
        let autumn = tumbling("1d", "2024-10-27T12:00:00Z", Tz::Europe__Bucharest);
        assert_eq!(autumn, ("2024-10-26T21:00:00+00:00".into(), "2024-10-27T22:00:00+00:00".into()));
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let week = tumbling("1w", "2024-01-03T00:00:00Z", Tz::UTC);
        assert_eq!(week, ("2024-01-01T00:00:00+00:00".into(), "2024-01-08T00:00:00+00:00".into()));
        for name in ["7d", "14d"] {
            let weeks = tumbling(name, "2024-01-03T00:00:00Z", Tz::UTC);
            assert!(
                ["2024-01-01T00:00:00+00:00", "2023-12-25T00:00:00+00:00"].contains(&&*weeks.0),
                "{name}: {weeks:?}"
            );
        }
        assert_eq!(tumbling("7d", "2024-01-03T00:00:00Z", Tz::UTC), week);
        let quarter = tumbling("3mo", "2024-05-20T00:00:00Z", Tz::UTC);
        assert_eq!(quarter, ("2024-04-01T00:00:00+00:00".into(), "2024-07-01T00:00:00+00:00".into()));
    }

    #[test]
    fn a_day_without_midnight_begins_at_its_first_instant() {
        let day = tumbling("1d", "2018-11-04T12:00:00Z", Tz::America__Sao_Paulo);
        assert_eq!(day.0, "2018-11-04T03:00:00+00:00");
    }

    #[test]
    fn hours_align_to_the_epoch() {
        let six = tumbling("6h", "2024-01-03T13:30:00Z", Tz::Asia__Kathmandu);
        assert_eq!(six, ("2024-01-03T12:00:00+00:00".into(), "2024-01-03T18:00:00+00:00".into()));
    }

    #[test]
    fn slices_tile_time_in_every_zone() {
        for zone in chrono_tz::TZ_VARIANTS {
            for grain in [Grain::Days(1), Grain::Weeks(1), Grain::Months(1)] {
                let slices = ended_between(grain, zone, at("2023-09-01T00:00:00Z"), at("2024-12-01T00:00:00Z"));
                assert!(
                    slices.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].start < pair[0].end),
                    "{zone} {grain:?}"
                );
            }
        }
    }
}
