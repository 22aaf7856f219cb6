//! Times of day for notifications: working hours, and the hour of a daily digest.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// Weekly hours in which notifications are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    pub days: Vec<Weekday>,
    pub from: NaiveTime,
    /// Exclusive, and after `from`.
    pub to: NaiveTime,
    pub zone: Tz,
}

impl Hours {
    /// Returns `now` if it is within the hours, otherwise the next opening.
    pub fn next_open(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&self.zone).date_naive();
        let opens = (0..=8).filter_map(|later| {
            let day = today.checked_add_days(Days::new(later))?;
            if !self.days.contains(&day.weekday()) {
                return None;
            }
            let (open, close) = (instant(self.zone, day, self.from), instant(self.zone, day, self.to));
            (now < close).then(|| open.max(now))
        });
        // Nine days cover every weekday, so a time is found unless `days` is empty.
        opens.min().unwrap_or(now)
    }
}

/// A daily time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Daily {
    pub at: NaiveTime,
    pub zone: Tz,
}

impl Daily {
    /// Returns the next such time after `now`.
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let today = now.with_timezone(&self.zone).date_naive();
        let times =
            (0..=2).filter_map(|later| Some(instant(self.zone, today.checked_add_days(Days::new(later))?, self.at)));
        times.filter(|time| *time > now).min().unwrap_or(now + TimeDelta::days(1))
    }
}

/// Converts a local time to an instant. A time skipped by a clock change becomes the first one after the gap; of an ambiguous
/// time the earlier instant is used.
fn instant(zone: Tz, day: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let wanted = day.and_time(time);
    // No zone has ever skipped more than a day.
    let steps = (0..=24 * 4)
        .filter_map(|quarter| zone.from_local_datetime(&(wanted + TimeDelta::minutes(quarter * 15))).earliest());
    steps.map(|found| found.with_timezone(&Utc)).next().unwrap_or_else(|| wanted.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn office() -> Hours {
        Hours {
            days: vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri],
            from: NaiveTime::from_hms_opt(9, 0, 0).unwrap(),
            to: NaiveTime::from_hms_opt(17, 0, 0).unwrap(),
            zone: chrono_tz::Europe::Bucharest,
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn outside_of_office_hours_it_waits_for_the_next_morning_or_monday() {
        // 2024-05-02 is a Thursday; Bucharest is three hours ahead in summer and two in winter.
        for (now, expected) in [
            ("2024-05-02T06:00:00Z", "2024-05-02T06:00:00Z"),
            ("2024-05-02T05:59:59Z", "2024-05-02T06:00:00Z"),
            ("2024-05-02T13:59:59Z", "2024-05-02T13:59:59Z"),
            ("2024-05-02T14:00:00Z", "2024-05-03T06:00:00Z"),
            ("2024-05-03T14:00:00Z", "2024-05-06T06:00:00Z"),
            ("2024-10-25T15:00:00Z", "2024-10-28T07:00:00Z"),
        ] {
            assert_eq!(office().next_open(at(now)), at(expected), "{now}");
        }
    }

    #[test]
    fn a_digest_comes_once_a_day_also_when_clocks_change() {
        let digest = Daily { at: NaiveTime::from_hms_opt(3, 30, 0).unwrap(), zone: chrono_tz::Europe::Bucharest };
        // On 2024-03-31 the hour from 3 to 4 does not exist; on 2024-10-27 it occurs twice.
        for (now, expected) in [
            ("2024-03-30T00:00:00Z", "2024-03-30T01:30:00Z"),
            ("2024-03-30T01:30:00Z", "2024-03-31T01:00:00Z"),
            ("2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"),
            ("2024-10-26T22:00:00Z", "2024-10-27T00:30:00Z"),
            ("2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"),
        ] {
            assert_eq!(digest.next(at(now)), at(expected), "{now}");
        }
    }
}
