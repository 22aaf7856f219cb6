//! Times as programs write them: pandas, BigQuery, Postgres, Excel, Unix.

use chrono::{DateTime, Duration, Month, NaiveDate, NaiveTime, Utc};

/// Order of day and month before a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

/// The form of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The year comes first, or the month has a name.
    Sure,
    /// `25/5/2025`: only one order gives a date.
    Only(Order),
    /// `5/1/2025`: May or January.
    Either,
}

/// A date before its order is known.
#[derive(Clone, Copy)]
enum Date {
    Sure(NaiveDate),
    Either { first: u32, second: u32, year: i32 },
}

impl Date {
    fn read(self, order: Order) -> Option<NaiveDate> {
        match (self, order) {
            (Self::Sure(date), _) => Some(date),
            (Self::Either { first, second, year }, Order::DayFirst) => NaiveDate::from_ymd_opt(year, second, first),
            (Self::Either { first, second, year }, Order::MonthFirst) => NaiveDate::from_ymd_opt(year, first, second),
        }
    }
}

/// Returns the form of a value if it is a time, and true if it has no zone.
pub(super) fn form(value: &str) -> Option<(Form, bool)> {
    let (date, clock) = parse(value)?;
    let form = match (date, date.read(Order::DayFirst), date.read(Order::MonthFirst)) {
        (Date::Sure(_), ..) => Form::Sure,
        (_, Some(_), Some(_)) => Form::Either,
        (_, Some(_), None) => Form::Only(Order::DayFirst),
        (_, None, Some(_)) => Form::Only(Order::MonthFirst),
        (_, None, None) => return None,
    };
    Some((form, clock.offset.is_none()))
}

/// Converts a time to UTC; one without a zone is taken as UTC.
pub(super) fn read(value: &str, order: Order) -> Option<DateTime<Utc>> {
    let (date, clock) = parse(value)?;
    let date = date.read(order)? + Duration::days(i64::from(clock.ends_day));
    let local = date.and_time(clock.time).and_utc();
    local.checked_sub_signed(Duration::seconds(i64::from(clock.offset.unwrap_or(0))))
}

#[derive(Clone, Copy)]
struct Clock {
    time: NaiveTime,
    /// `24:00` is the end of its day.
    ends_day: bool,
    /// Seconds east of UTC.
    offset: Option<i32>,
}

fn parse(value: &str) -> Option<(Date, Clock)> {
    let Some(colon) = value.find(':') else {
        return Some((date(value)?, Clock { time: NaiveTime::MIN, ends_day: false, offset: None }));
    };
    let hour = value[..colon].trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let before = value[..hour].strip_suffix(['T', 't', ' '])?;
    Some((date(before)?, clock(&value[hour..])?))
}

fn date(text: &str) -> Option<Date> {
    let is_separator = |c: char| matches!(c, '-' | '/' | '.' | ' ' | ',');
    let parts: Vec<&str> = text.split(is_separator).filter(|part| !part.is_empty()).collect();
    let [one, two, three] = parts.as_slice() else { return None };
    if text.starts_with(is_separator) || text.ends_with(is_separator) {
        return None;
    }
    let small = |part: &str| (1..=2).contains(&part.len()).then(|| number(part)).flatten();
    let year = |part: &str| (part.len() == 4).then(|| number(part)).flatten().and_then(|year| i32::try_from(year).ok());
    if let (Some(year), Some(month), Some(day)) = (year(one), small(two), small(three)) {
        return NaiveDate::from_ymd_opt(year, month, day).map(Date::Sure);
    }
    let year = year(three)?;
    if let Some((day, month)) = small(one).zip(month(two)).or(small(two).zip(month(one))) {
        return NaiveDate::from_ymd_opt(year, month, day).map(Date::Sure);
    }
    Some(Date::Either { first: small(one)?, second: small(two)?, year })
}

/// Parses the English name of a month, or at least its first three letters.
fn month(text: &str) -> Option<u32> {
    let text = text.to_ascii_lowercase();
    let is_it = |month: &Month| {
        let name = month.name().to_ascii_lowercase();
        text.len() >= 3 && (name.starts_with(&text) || (text == "sept" && *month == Month::September))
    };
    let months = (1..=12).filter_map(|number: u8| Month::try_from(number).ok());
    months.into_iter().find(is_it).map(|month| month.number_from_month())
}

fn number(digits: &str) -> Option<u32> {
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// Parses `0:00` or `00:00:00.123456 PM +02:00`, from its hour on.
fn clock(text: &str) -> Option<Clock> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len());
    let (digits, mut rest) = text.split_at(end);
    let mut parts = digits.split(':');
    let (mut hour, minute) = (number(parts.next()?)?, parts.next().filter(|part| part.len() == 2).and_then(number)?);
    let second = match parts.next() {
        Some(part) if part.len() == 2 => number(part)?,
        Some(_) => return None,
        None => 0,
    };
    if parts.next().is_some() || hour > 24 {
        return None;
    }
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        nanos = number(&format!("{:0<9.9}", fraction.get(..length)?))?;
        rest = &fraction[length..];
    }
    rest = rest.trim_start();
    for (half, added) in [("AM", 0), ("PM", 12)] {
        let has = rest.get(..2).is_some_and(|two| two.eq_ignore_ascii_case(half));
        if has && (1..=12).contains(&hour) {
            hour = hour % 12 + added;
            rest = rest[2..].trim_start();
            break;
        }
    }
    let ends_day = hour == 24;
    if ends_day && (minute, second, nanos) != (0, 0, 0) {
        return None;
    }
    let time = NaiveTime::from_hms_nano_opt(hour % 24, minute, second, nanos)?;
    Some(Clock { time, ends_day, offset: if rest.is_empty() { None } else { Some(offset(rest)?) } })
}

/// Parses `Z`, `UTC`, `+02`, `+0200`, `+02:00`; Go writes `+0000 UTC`.
fn offset(text: &str) -> Option<i32> {
    let text = text.trim();
    if ["z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str()) {
        return Some(0);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = text[1..].replacen(':', "", 1);
    number(&digits)?;
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    (hours <= 15 && minutes < 60)
        .then(|| i32::try_from(hours * 3_600 + minutes * 60).ok().map(|offset| sign * offset))?
}

/// Unit of Unix times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// Returns the unit in which all numbers from `least` to `most` are times from 1990 to 2100.
    pub(super) fn of(least: f64, most: f64) -> Option<Self> {
        let fits = |factor: f64| least >= 631_152_000.0 * factor && most <= 4_102_444_800.0 * factor;
        [(1.0, Self::Seconds), (1e3, Self::Millis), (1e6, Self::Micros), (1e9, Self::Nanos)]
            .into_iter()
            .find(|(factor, _)| fits(*factor))
            .map(|(_, unit)| unit)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Millis => "milliseconds",
            Self::Micros => "microseconds",
            Self::Nanos => "nanoseconds",
        }
    }

    /// Reads a number of these units since 1970 as a time, to the microsecond.
    pub(super) fn read(self, number: &str) -> Option<DateTime<Utc>> {
        let per_second: i64 = match self {
            Self::Seconds => 1,
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        };
        match number.parse::<i64>() {
            Ok(whole) => {
                let nanos = (whole % per_second) * (1_000_000_000 / per_second);
                DateTime::from_timestamp(whole / per_second, u32::try_from(nanos).ok()?)
            }
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                reason = "microseconds of a time before 2100"
            )]
            Err(_) => {
                DateTime::from_timestamp_micros((number.parse::<f64>().ok()? * 1e6 / per_second as f64).round() as i64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_programs_write_them() {
        for (value, expected) in [
            ("2025-05-01 00:00:00", "2025-05-01T00:00:00Z"),
            ("2025-05-01 00:00:00+00:00", "2025-05-01T00:00:00Z"),
            ("2025-05-01 00:00:00.123456+00", "2025-05-01T00:00:00.123456Z"),
            ("2025-05-01 02:00:00+0200", "2025-05-01T00:00:00Z"),
            ("2025-05-01T00:00:00.000000000", "2025-05-01T00:00:00Z"),
            ("2025-05-01T00:00:00Z", "2025-05-01T00:00:00Z"),
            ("2025-05-01T00:00-05:30", "2025-05-01T05:30:00Z"),
            ("2025-05-01 00:00:00 UTC", "2025-05-01T00:00:00Z"),
            ("2025-05-01 00:00:00 +0000 UTC", "2025-05-01T00:00:00Z"),
            ("2025-05-01", "2025-05-01T00:00:00Z"),
            ("2025/05/01 7:05", "2025-05-01T07:05:00Z"),
            ("1-May-2025 00:00", "2025-05-01T00:00:00Z"),
            ("May 1, 2025 1:30 PM", "2025-05-01T13:30:00Z"),
            ("5/25/2025 12:00 AM", "2025-05-25T00:00:00Z"),
            ("25.05.2025 00:15", "2025-05-25T00:15:00Z"),
            ("2025-05-01 24:00", "2025-05-02T00:00:00Z"),
        ] {
            let order = if value.starts_with("5/") { Order::MonthFirst } else { Order::DayFirst };
            let expected: DateTime<Utc> = expected.parse().unwrap();
            assert_eq!(read(value, order), Some(expected), "{value}");
            assert!(form(value).is_some(), "{value}");
        }
        for value in [
            "",
            "2025",
            "20250501",
            "1.2.3",
            "2025-13-01",
            "2025-02-30",
            "31/31/2025",
            "12:00",
            "2025-05-01 25:00",
            "a-b-2025",
            "2025-05-01 00:00:00 CET",
            "2025-05-01 00:60",
            "5/1/25",
            "ma-1-2025",
            "2025-05-01 24:01",
            "-2025-05-01",
        ] {
            assert_eq!(form(value), None, "{value}");
        }
    }

    #[test]
    fn day_and_month_are_told_apart_only_where_one_of_them_is_no_month() {
        assert_eq!(form("5/1/2025 0:00"), Some((Form::Either, true)));
        assert_eq!(form("25/5/2025 0:00 UTC"), Some((Form::Only(Order::DayFirst), false)));
        assert_eq!(form("5/25/2025"), Some((Form::Only(Order::MonthFirst), true)));
        assert_eq!(form("2025-05-01 00:00"), Some((Form::Sure, true)));
        assert_eq!(form("2025-05-01 00:00+02"), Some((Form::Sure, false)));
    }

    #[test]
    fn numbers_are_unix_times_where_all_of_them_can_be() {
        assert_eq!(Unit::of(1_746_057_600.0, 1_746_144_000.0), Some(Unit::Seconds));
        assert_eq!(Unit::of(1_746_057_600_000.0, 1_746_144_000_000.0), Some(Unit::Millis));
        assert_eq!(Unit::of(17.0, 1_746_144_000.0), None);
        for (number, unit) in [
            ("1746057600", Unit::Seconds),
            ("1746057600.0", Unit::Seconds),
            ("1746057600000", Unit::Millis),
            ("1746057600000000000", Unit::Nanos),
        ] {
            assert_eq!(unit.read(number), "2025-05-01T00:00:00Z".parse().ok(), "{number}");
        }
    }
}
