//! Due times of a job: slots computed from the last one, in the job's own time zone.

use std::str::FromStr;

use chrono::{DateTime, Month, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::domain::duration::greatest_common_divisor;
use crate::domain::window;

/// When a job runs, and how missed slots are handled.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub cadence: Cadence,
    pub catch_up: CatchUp,
    /// Maximum duration of a run.
    pub timeout: TimeDelta,
    /// How far back each run re-reads arrivals, because commits arrive out of order.
    pub overlap: TimeDelta,
    /// How often history is compared with the source over the whole horizon.
    pub reconcile: TimeDelta,
}

/// The sequence of slots.
#[derive(Debug, Clone)]
pub enum Cadence {
    /// A cron expression in a time zone.
    Cron { cron: Box<Cron>, zone: Tz },
    /// Multiples of an interval since the Unix epoch; for whole weeks, since a Monday.
    Every(TimeDelta),
}

/// Missed slots to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// No missed slot.
    None,
    /// Only the last.
    Latest,
    /// Every one, in order.
    All,
}

/// Rewrites the names of schedules, days and months in a cron expression to the forms that the parser knows.
fn in_short(text: &str) -> String {
    const SCHEDULES: [(&str, &str); 7] = [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ];
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let mut short = text.trim().to_lowercase();
    if let Some((_, fields)) = SCHEDULES.iter().find(|(name, _)| *name == short) {
        return (*fields).to_owned();
    }
    let months = (1..=12).filter_map(|number: u8| Month::try_from(number).ok());
    let months = months.map(|month| month.name().to_lowercase());
    for name in DAYS.map(str::to_owned).into_iter().chain(months) {
        short = short.replace(&name, &name[..3]);
    }
    short.to_uppercase()
}

impl Cadence {
    /// Parses a cron expression of 5 or 6 fields, or a name such as `@daily`.
    pub fn cron(text: &str, zone: Tz) -> Result<Self, String> {
        let written = in_short(text);
        let fields = written.split_whitespace().count();
        if !(5..=6).contains(&fields) {
            return Err(format!(
                "`{text}` has {fields} fields; a cron expression has 5, or 6 with seconds first, or is @hourly, @daily, @weekly, \
                 @monthly or @yearly"
            ));
        }
        let cron =
            Cron::from_str(&written).map_err(|mistake| format!("`{text}` is not a cron expression: {mistake}"))?;
        Ok(Self::Cron { cron: Box::new(cron), zone })
    }

    /// Returns the first slot after an instant; `None` if there will never be one.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(interval) => Some(window::floor_of_schedule(instant, *interval) + *interval),
            Self::Cron { cron, zone } => {
                let next = cron.find_next_occurrence(&instant.with_timezone(zone), false).ok()?;
                Some(next.with_timezone(&Utc))
            }
        }
    }

    /// Returns slots in `(after, until]`, oldest first, at most `most`.
    pub fn slots(&self, after: DateTime<Utc>, until: DateTime<Utc>, most: usize) -> Vec<DateTime<Utc>> {
        let mut slots = Vec::new();
        let mut last = after;
        while slots.len() < most {
            match self.next_after(last) {
                Some(next) if next <= until && next > last => {
                    slots.push(next);
                    last = next;
                }
                _ => break,
            }
        }
        slots
    }

    /// Returns the usual time between two slots: the median gap of the first 200 slots from a fixed instant.
    pub fn usual_gap(&self) -> TimeDelta {
        let slots = self.slots(reference(), reference() + TimeDelta::days(3 * 366), 200);
        let mut gaps: Vec<TimeDelta> = slots.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort();
        gaps.get(gaps.len() / 2).copied().unwrap_or(TimeDelta::days(1))
    }

    /// Returns the greatest common divisor of the gaps between slots, in seconds: a bucket must divide it.
    pub fn divisor_seconds(&self) -> i64 {
        let mut last = reference();
        let mut divisor = 0;
        let mut first = true;
        for slot in self.slots(reference(), reference() + TimeDelta::days(3 * 366), 200) {
            if !first {
                divisor = greatest_common_divisor(divisor, (slot - last).num_seconds());
            }
            (last, first) = (slot, false);
        }
        if divisor == 0 { 86_400 } else { divisor }
    }

    /// Returns the shortest gap between slots.
    pub fn shortest_gap(&self) -> TimeDelta {
        let slots = self.slots(reference(), reference() + TimeDelta::days(3 * 366), 200);
        slots.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(TimeDelta::days(1))
    }
}

/// Returns 2024-01-01, a fixed instant to evaluate schedules from, so that planning reads no clock.
fn reference() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(19_723)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_that_does_not_exist_runs_once_and_one_that_exists_twice_runs_once() {
        let nightly = Cadence::cron("30 2 * * *", Tz::Europe__Berlin).unwrap();
        let spring = nightly.slots(at("2024-03-30T12:00:00Z"), at("2024-04-01T12:00:00Z"), 10);
        assert_eq!(spring, [at("2024-03-31T01:00:00Z"), at("2024-04-01T00:30:00Z")]);
        let autumn = nightly.slots(at("2024-10-26T12:00:00Z"), at("2024-10-28T12:00:00Z"), 10);
        assert_eq!(autumn, [at("2024-10-27T00:30:00Z"), at("2024-10-28T01:30:00Z")]);
    }

    #[test]
    fn an_interval_aligns_to_the_epoch() {
        let every = Cadence::Every(TimeDelta::minutes(15));
        assert_eq!(every.next_after(at("2024-01-01T00:15:00Z")), Some(at("2024-01-01T00:30:00Z")));
        assert_eq!(every.next_after(at("2024-01-01T00:14:59Z")), Some(at("2024-01-01T00:15:00Z")));
    }

    #[test]
    fn weeks_begin_on_monday() {
        for days in [7, 14] {
            let every = Cadence::Every(TimeDelta::days(days));
            let next = every.next_after(at("2024-05-01T00:00:00Z")).unwrap();
            assert_eq!(next.format("%a %T").to_string(), "Mon 00:00:00");
        }
    }

    #[test]
    fn seconds_may_be_given_first() {
        let cron = Cadence::cron("*/10 * * * * *", Tz::UTC).unwrap();
        assert_eq!(cron.next_after(at("2024-01-01T00:00:00Z")), Some(at("2024-01-01T00:00:10Z")));
        let monday = Cadence::cron("0 0 * * Monday", Tz::UTC).unwrap();
        assert_eq!(monday.next_after(at("2024-05-01T00:00:00Z")), Some(at("2024-05-06T00:00:00Z")));
        let working = Cadence::cron("0 8 * March monday-Friday", Tz::UTC).unwrap();
        assert_eq!(working.next_after(at("2024-03-01T09:00:00Z")), Some(at("2024-03-04T08:00:00Z")));
        for (name, next) in [
            ("@hourly", "2024-05-01T13:00:00Z"),
            ("@daily", "2024-05-02T00:00:00Z"),
            ("@Weekly", "2024-05-05T00:00:00Z"),
            ("@monthly", "2024-06-01T00:00:00Z"),
            ("@yearly", "2025-01-01T00:00:00Z"),
        ] {
            assert_eq!(
                Cadence::cron(name, Tz::UTC).unwrap().next_after(at("2024-05-01T12:00:00Z")),
                Some(at(next)),
                "{name}"
            );
        }
        assert!(Cadence::cron("@often", Tz::UTC).is_err_and(|why| why.contains("@daily")));
        assert!(Cadence::cron("* * * *", Tz::UTC).is_err());
        assert!(Cadence::cron("61 * * * *", Tz::UTC).is_err());
    }

    #[test]
    fn the_divisor_of_uneven_slots_is_found() {
        assert_eq!(Cadence::cron("7,22 * * * *", Tz::UTC).unwrap().divisor_seconds(), 900);
        assert_eq!(Cadence::cron("0 8 * * 1-5", Tz::UTC).unwrap().divisor_seconds(), 86_400);
    }
}
