//! Baselines: the reference that a value is compared with, and the past windows that it comes from.

use chrono::{DateTime, Days, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::domain::window::{Slice, Window, WindowKind};

/// The reference that a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    pub kind: Kind,
    /// Minimum number of past windows for a baseline.
    pub min: u32,
    /// Periods excluded from the baseline.
    pub exclude: Vec<Slice>,
}

/// Source of the baseline value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Fixed(f64),
    /// The value stored for the model version when it was validated.
    Validation,
    /// Median of this many past windows.
    Rolling(u32),
    /// Median of the windows at the same hour of this many past weeks, in the zone of the job's windows.
    Seasonal(u32),
    /// The same window of another model version.
    Version(String),
    /// The same window of all cohorts together.
    Whole,
}

/// Candidate ends to check for each past window that is needed: some windows are missing, in breach or excluded.
const PLACES_PER_WINDOW: u32 = 3;

impl Baseline {
    /// In words: `the median of the last 30 windows`.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Fixed(value) => format!("{value}"),
            Kind::Validation => "the validation value of the version".to_owned(),
            Kind::Rolling(windows) => format!("the median of the last {windows} windows"),
            Kind::Seasonal(weeks) => format!("the median of the same hour of the last {weeks} weeks"),
            Kind::Version(version) => format!("version {version}"),
            Kind::Whole => "all cohorts together".to_owned(),
        }
    }

    /// Candidate ends of past windows, nearest first. These windows overlap neither the judged one nor each other.
    /// Empty for a baseline that needs no past windows.
    pub fn places(&self, window: &Window, judged: Slice, zone: Tz) -> Vec<DateTime<Utc>> {
        match self.kind {
            Kind::Rolling(windows) => earlier(window, judged, zone).take(most(windows)).collect(),
            // A missing week stays missing: no other hour replaces it.
            Kind::Seasonal(weeks) => {
                (1..=u64::from(weeks)).flat_map(|week| weeks_before(judged.end, week, zone)).collect()
            }
            Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => Vec::new(),
        }
    }

    /// How long before a candidate end a past window may end: a run may have been late or missing.
    pub fn within(&self, window: &Window) -> TimeDelta {
        match self.kind {
            // A window at another hour is not comparable.
            Kind::Seasonal(_) => TimeDelta::minutes(59),
            Kind::Rolling(_) | Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => window.longest(),
        }
    }

    /// Latest end of the next past window after one was taken. At most one is taken per week.
    pub fn bound_after(&self, taken: Slice) -> DateTime<Utc> {
        match self.kind {
            Kind::Seasonal(_) => taken.start.min(taken.end - TimeDelta::days(3)),
            Kind::Rolling(_) | Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => taken.start,
        }
    }

    /// Maximum number of past windows in the baseline.
    pub fn windows(&self) -> usize {
        match self.kind {
            Kind::Rolling(n) | Kind::Seasonal(n) => usize::try_from(n).unwrap_or(usize::MAX),
            Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => 1,
        }
    }

    /// Lookback from the end of the judged window that covers all its past windows.
    pub fn reach(&self, window: &Window) -> TimeDelta {
        match self.kind {
            Kind::Rolling(windows) => {
                let places = i32::try_from(most(windows)).unwrap_or(i32::MAX);
                window.longest() * places.saturating_add(1)
            }
            Kind::Seasonal(weeks) => TimeDelta::weeks(i64::from(weeks)) + TimeDelta::hours(2) + window.longest(),
            Kind::Fixed(_) | Kind::Validation | Kind::Version(_) | Kind::Whole => TimeDelta::zero(),
        }
    }

    /// True if a window overlaps an excluded period.
    pub fn excludes(&self, slice: Slice) -> bool {
        self.exclude.iter().any(|range| slice.start < range.end && range.start < slice.end)
    }
}

fn most(windows: u32) -> usize {
    usize::try_from(windows.saturating_mul(PLACES_PER_WINDOW)).unwrap_or(usize::MAX)
}

/// Ends of the windows before the judged one, each ending where the next begins.
fn earlier(window: &Window, judged: Slice, zone: Tz) -> impl Iterator<Item = DateTime<Utc>> {
    let kind = window.kind.clone();
    std::iter::successors(Some(judged.start), move |end| match &kind {
        WindowKind::Rolling(length) => end.checked_sub_signed(*length),
        WindowKind::Tumbling(grain) => Some(grain.slice(*end - TimeDelta::milliseconds(1), zone).start),
    })
}

/// The same local time and weekday some weeks earlier. If the clock changed since, also the instant exactly that many
/// weeks earlier: a schedule that does not follow the zone has no window at the local time.
fn weeks_before(end: DateTime<Utc>, weeks: u64, zone: Tz) -> Vec<DateTime<Utc>> {
    let local = end.with_timezone(&zone).naive_local();
    let then = local.checked_sub_days(Days::new(7 * weeks));
    // A local time that a clock change skipped has no window; for one that occurs twice, the first is taken.
    let by_clock =
        then.and_then(|then| zone.from_local_datetime(&then).earliest()).map(|time| time.with_timezone(&Utc));
    let whole = end.checked_sub_days(Days::new(7 * weeks));
    let mut places: Vec<DateTime<Utc>> = by_clock.into_iter().collect();
    places.extend(whole.filter(|whole| Some(*whole) != by_clock));
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn baseline(kind: Kind) -> Baseline {
        Baseline { kind, min: 1, exclude: vec![] }
    }

    #[test]
    fn past_windows_touch_neither_the_judged_one_nor_each_other() {
        let rolling = Window::rolling("24h").unwrap();
        let judged = Slice { start: at("2024-05-01T06:15:00Z"), end: at("2024-05-02T06:15:00Z") };
        let places = baseline(Kind::Rolling(2)).places(&rolling, judged, Tz::UTC);
        assert_eq!(places.len(), 6);
        assert_eq!(places[..2], [at("2024-05-01T06:15:00Z"), at("2024-04-30T06:15:00Z")]);
    }

    #[test]
    fn days_before_a_day_follow_the_calendar() {
        let daily = Window::tumbling("1d").unwrap();
        let zone = chrono_tz::Europe::Bucharest;
        // The clock went forward on 2024-03-31: that day had 23 hours.
        let judged = Slice { start: at("2024-03-31T21:00:00Z"), end: at("2024-04-01T21:00:00Z") };
        let places = baseline(Kind::Rolling(1)).places(&daily, judged, zone);
        assert_eq!(places, [at("2024-03-31T21:00:00Z"), at("2024-03-30T22:00:00Z"), at("2024-03-29T22:00:00Z")]);
    }

    #[test]
    fn the_same_hour_of_a_week_is_by_the_clock_on_the_wall() {
        let hourly = Window::rolling("1h").unwrap();
        let judged = Slice { start: at("2024-04-02T05:00:00Z"), end: at("2024-04-02T06:00:00Z") };
        let places = baseline(Kind::Seasonal(2)).places(&hourly, judged, chrono_tz::Europe::Bucharest);
        let (by_clock, whole) = ("2024-03-26T07:00:00Z", "2024-03-26T06:00:00Z");
        assert_eq!(
            places[..2],
            [at(by_clock), at(whole)],
            "before the clock went forward; then what a schedule in UTC has"
        );
        assert_eq!(places.len(), 4);
    }
}
