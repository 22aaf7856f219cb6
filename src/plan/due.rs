//! The windows that a run has to measure: those that ended, those that became final, and those whose buckets changed.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::window::{self, Slice, Window, WindowKind};
use crate::plan::windows::Windows;

/// Input for deciding which windows are due.
#[derive(Debug, Clone)]
pub struct Since<'a> {
    /// Time of the last run; `None` for a job's first.
    pub last: Option<DateTime<Utc>>,
    pub as_of: DateTime<Utc>,
    /// Buckets are complete from here on.
    pub built_from: DateTime<Utc>,
    /// Starts of the buckets that were recomputed.
    pub touched: &'a [DateTime<Utc>],
    /// The last run measured days in another time zone.
    pub realigned: bool,
}

impl Windows {
    /// Windows that ended since the last run, and tumbling ones that contain a recomputed bucket, with their names. After a
    /// change of the time zone, all calendar windows since the first bucket are due.
    pub fn due(&self, since: &Since<'_>) -> BTreeSet<(String, Slice)> {
        let mut due = BTreeSet::new();
        for (window, length) in self.rolling() {
            let end = window::floor(since.as_of, self.bucket);
            let seen = since.last.is_some_and(|last| window::floor(last, self.bucket) >= end);
            if !seen && end - length >= since.built_from {
                due.insert((window.name.clone(), Slice { start: end - length, end }));
            }
        }
        for (window, grain) in self.tumbling() {
            let after = since.last.filter(|_| !(since.realigned && window.is_calendar())).unwrap_or(since.built_from);
            let ended = window::ended_between(grain, self.zone, after, since.as_of);
            let touched = since
                .touched
                .iter()
                .map(|start| grain.slice(*start, self.zone))
                .filter(|slice| slice.end <= since.as_of);
            let whole = ended.into_iter().chain(touched).filter(|slice| slice.start >= since.built_from);
            due.extend(whole.map(|slice| (window.name.clone(), slice)));
        }
        due
    }

    /// Start of the event time that a job's first run reads: the horizon plus the longest lookback before `as_of`.
    pub fn reach(&self, as_of: DateTime<Utc>) -> DateTime<Utc> {
        window::floor(as_of - self.horizon - self.lookback, self.bucket)
    }

    /// The oldest event time that a late change may still revise.
    pub fn horizon_start(&self, as_of: DateTime<Utc>) -> DateTime<Utc> {
        window::floor(as_of - self.horizon, self.bucket)
    }

    /// True if the label wait is over for a window that ends at `end`.
    pub fn is_final(&self, end: DateTime<Utc>, as_of: DateTime<Utc>) -> bool {
        end + self.label_wait <= as_of
    }

    /// Whole tumbling windows that overlap a range and have ended.
    pub fn overlapping(&self, range: &Range<DateTime<Utc>>, now: DateTime<Utc>) -> BTreeSet<(String, Slice)> {
        let mut found = BTreeSet::new();
        for (window, grain) in self.tumbling() {
            let mut slice = grain.slice(range.start, self.zone);
            while slice.start < range.end && slice.end <= now {
                found.insert((window.name.clone(), slice));
                slice = grain.slice(slice.end, self.zone);
            }
        }
        found
    }

    /// Rolling windows as of each tick.
    pub fn rolling_at(&self, ticks: &[DateTime<Utc>]) -> BTreeSet<(String, Slice)> {
        let at = |length: TimeDelta, tick: &DateTime<Utc>| {
            let end = window::floor(*tick, self.bucket);
            Slice { start: end - length, end }
        };
        let each = |(window, length): (&Window, TimeDelta)| {
            ticks.iter().map(|tick| (window.name.clone(), at(length, tick))).collect::<Vec<_>>()
        };
        self.rolling().flat_map(each).collect()
    }

    /// True if a stored window is still one of the job's. After a change of the time zone, days begin at other instants.
    pub fn keeps(&self, name: &str, slice: Slice) -> bool {
        self.all.iter().any(|window| {
            let is_aligned = match window.kind {
                WindowKind::Rolling(_) => true,
                WindowKind::Tumbling(grain) => grain.slice(slice.start, self.zone) == slice,
            };
            window.name == name && is_aligned
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn windows() -> Windows {
        Windows {
            all: vec![Window::rolling("6h").unwrap(), Window::tumbling("1d").unwrap()],
            zone: Tz::UTC,
            bucket: TimeDelta::minutes(15),
            label_wait: TimeDelta::days(2),
            label_due: TimeDelta::days(2),
            horizon: TimeDelta::days(7),
            lookback: TimeDelta::days(1),
            shrink: 0.1,
        }
    }

    fn names(due: BTreeSet<(String, Slice)>) -> Vec<String> {
        due.into_iter().map(|(name, slice)| format!("{name} {}", slice.end.format("%dT%H:%M"))).collect()
    }

    #[test]
    fn a_run_measures_what_ended_since_the_last_one() {
        let since = Since {
            last: Some(at("2024-01-02T23:50:00Z")),
            as_of: at("2024-01-03T00:05:00Z"),
            built_from: at("2023-12-01T00:00:00Z"),
            touched: &[],
            realigned: false,
        };
        assert_eq!(names(windows().due(&since)), ["rolling 6h 03T00:00", "tumbling 1d 03T00:00"]);
    }

    #[test]
    fn a_second_run_within_a_bucket_measures_nothing() {
        let since = Since {
            last: Some(at("2024-01-03T00:05:00Z")),
            as_of: at("2024-01-03T00:10:00Z"),
            built_from: at("2023-12-01T00:00:00Z"),
            touched: &[],
            realigned: false,
        };
        assert!(windows().due(&since).is_empty());
    }

    #[test]
    fn a_touched_bucket_makes_its_ended_day_due_and_no_rolling_window_of_the_past() {
        let touched = [at("2024-01-01T10:00:00Z"), at("2024-01-03T00:00:00Z")];
        let since = Since {
            last: Some(at("2024-01-03T00:05:00Z")),
            as_of: at("2024-01-03T00:10:00Z"),
            built_from: at("2023-12-01T00:00:00Z"),
            touched: &touched,
            realigned: false,
        };
        assert_eq!(names(windows().due(&since)), ["tumbling 1d 02T00:00"]);
    }

    #[test]
    fn a_window_that_begins_before_the_buckets_is_not_measured() {
        let touched = [at("2024-01-01T10:00:00Z")];
        let since = Since {
            last: Some(at("2024-01-03T00:05:00Z")),
            as_of: at("2024-01-03T00:10:00Z"),
            built_from: at("2024-01-01T00:15:00Z"),
            touched: &touched,
            realigned: false,
        };
        assert!(windows().due(&since).is_empty());
    }

    #[test]
    fn a_window_is_final_exactly_label_wait_after_its_end() {
        let end = at("2024-01-01T00:00:00Z");
        assert!(windows().is_final(end, at("2024-01-03T00:00:00Z")));
        assert!(!windows().is_final(end, at("2024-01-02T23:59:59Z")));
    }
}
