//! Ranges of reports: some days up to now, a month, or a week.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// The range of a report, and the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// `30 days`, `October 2026`, `week 41 of 2026`.
    pub name: String,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Beginning of the period before, which ends where this one begins.
    pub before: DateTime<Utc>,
}

/// The periods up to now that a page offers, in days.
pub const LENGTHS: [(&str, u64); 3] = [("30d", 30), ("90d", 90), ("365d", 365)];

impl Period {
    /// The days before a moment.
    pub fn days(count: u64, until: DateTime<Utc>) -> Option<Self> {
        let from = until.checked_sub_days(Days::new(count))?;
        let before = from.checked_sub_days(Days::new(count))?;
        Some(Self { name: format!("{count} days"), from, to: until, before })
    }

    /// A month, written `2026-10`, in a zone.
    pub fn month(text: &str, zone: Tz) -> Option<Self> {
        let first = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok().filter(is_in_reach)?;
        let (next, last) = (first.checked_add_months(Months::new(1))?, first.checked_sub_months(Months::new(1))?);
        let at = |day| midnight(day, zone);
        Some(Self { name: first.format("%B %Y").to_string(), from: at(first)?, to: at(next)?, before: at(last)? })
    }

    /// A week, written `2026-W41`, in a zone.
    pub fn week(text: &str, zone: Tz) -> Option<Self> {
        let (year, week) = text.split_once("-W")?;
        let (year, week): (i32, u32) = (year.parse().ok()?, week.parse().ok()?);
        let first = NaiveDate::from_isoywd_opt(year, week, Weekday::Mon).filter(is_in_reach)?;
        let (next, last) = (first.checked_add_days(Days::new(7))?, first.checked_sub_days(Days::new(7))?);
        let at = |day| midnight(day, zone);
        Some(Self { name: format!("week {week} of {year}"), from: at(first)?, to: at(next)?, before: at(last)? })
    }

    /// The month before the one of a moment, as `2026-10`.
    pub fn last_month(now: DateTime<Utc>, zone: Tz) -> String {
        let today = now.with_timezone(&zone).date_naive();
        let last = today.with_day(1).and_then(|first| first.pred_opt()).unwrap_or(today);
        last.format("%Y-%m").to_string()
    }
}

fn is_in_reach(day: &NaiveDate) -> bool {
    (1970..10_000).contains(&day.year())
}

/// The first moment of a day.
fn midnight(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let local = day.and_time(NaiveTime::MIN);
    // Where a clock change skips midnight, the day begins an hour later.
    let later = || zone.from_local_datetime(&(local + chrono::TimeDelta::hours(1))).earliest();
    zone.from_local_datetime(&local).earliest().or_else(later).map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_weeks_begin_at_local_midnight() {
        let zone: Tz = "Europe/Bucharest".parse().unwrap();
        let month = Period::month("2026-10", zone).unwrap();
        assert_eq!(month.name, "October 2026");
        // Daylight saving time ends within this month.
        assert_eq!(
            (month.from.to_rfc3339(), month.to.to_rfc3339()),
            ("2026-09-30T21:00:00+00:00".into(), "2026-10-31T22:00:00+00:00".into())
        );
        let week = Period::week("2026-W41", Tz::UTC).unwrap();
        assert_eq!(
            (week.from.to_rfc3339(), week.name.as_str()),
            ("2026-10-05T00:00:00+00:00".into(), "week 41 of 2026")
        );
        assert_eq!((week.from - week.before).num_days(), 7);
        for wrong in ["2026-13", "10-2026", "", "2026-10-01", "99999-01"] {
            assert_eq!(Period::month(wrong, zone), None, "{wrong}");
        }
        assert_eq!(Period::week("2026-W60", zone), None);
        assert_eq!(Period::last_month(month.from, Tz::UTC), "2026-08");
        assert_eq!(Period::last_month(month.from, zone), "2026-09");
    }
}
