//! Computes baselines from past windows.

use crate::domain::window::Slice;
use crate::evaluate::quantile::median;
use crate::evaluate::verdict::Reason;
use crate::plan::baseline::{Baseline, Kind};
use crate::plan::rule::{Condition, Excess, Limits};

/// A past value that a baseline may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Past {
    pub slice: Slice,
    pub value: Option<f64>,
    /// The rule found it in breach, so the baseline does not learn from it.
    pub breach: bool,
}

/// A baseline: its center, and the usual deviation of past windows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Center {
    pub value: f64,
    /// Median absolute deviation, for baselines of several windows; zero only if all of them were 0 (see `spread`).
    pub deviation: Option<f64>,
    pub windows: usize,
}

/// Returns the limits that a value is compared with, and the baseline that they come from, if any.
pub fn condition(limits: &Limits, judged: Slice, past: &[Past]) -> Result<(Condition, Option<Center>), Reason> {
    match limits {
        Limits::Fixed(condition) => Ok((*condition, None)),
        Limits::Relative { above, below, baseline } => {
            let center = center(baseline, judged, past)?;
            let high = above.map(|excess| center.value + distance(excess, center));
            let low = below.map(|excess| center.value - distance(excess, center));
            let condition = match (low, high) {
                (None, Some(high)) => Condition::Above(high),
                (Some(low), None) => Condition::Below(low),
                (Some(low), Some(high)) => Condition::Outside { low, high },
                (None, None) => return Err(Reason::NoBaseline { found: 0, needed: 1 }),
            };
            Ok((condition, Some(center)))
        }
    }
}

/// Returns the largest of the given distances: all of them must be exceeded.
fn distance(excess: Excess, center: Center) -> f64 {
    let share = excess.share.map(|share| share * center.value.abs());
    let deviations = excess.deviations.zip(center.deviation).map(|(times, deviation)| times * deviation);
    [share, excess.absolute, deviations].into_iter().flatten().fold(0.0, f64::max)
}

/// Computes the baseline of a judged window. `past` is nearest first; among overlapping windows the nearest counts.
pub fn center(baseline: &Baseline, judged: Slice, past: &[Past]) -> Result<Center, Reason> {
    let single = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => Ok(Center { value, deviation: None, windows: 1 }),
        None => Err(Reason::NoBaseline { found: 0, needed: 1 }),
    };
    match baseline.kind {
        Kind::Fixed(value) => return single(Some(value)),
        Kind::Validation | Kind::Version(_) | Kind::Whole => return single(past.first().and_then(|past| past.value)),
        Kind::Rolling(_) | Kind::Seasonal(_) => {}
    }
    let mut values = Vec::new();
    let mut bound = judged.start;
    for one in past {
        let usable = one.slice.end <= bound && !one.breach && !baseline.excludes(one.slice);
        if let Some(value) = one.value.filter(|value| usable && value.is_finite()) {
            values.push(value);
            bound = baseline.bound_after(one.slice);
        }
        if values.len() == baseline.windows() {
            break;
        }
    }
    if values.len() < usize::try_from(baseline.min).unwrap_or(usize::MAX) {
        return Err(Reason::NoBaseline {
            found: values.len(),
            needed: usize::try_from(baseline.min).unwrap_or(usize::MAX),
        });
    }
    let windows = values.len();
    let Some(value) = median(&mut values) else { return Err(Reason::NoBaseline { found: 0, needed: 1 }) };
    Ok(Center { value, deviation: Some(spread(&values, value)), windows })
}

/// Ratio of median to mean absolute deviation of a normal distribution.
const MEDIAN_OF_MEAN: f64 = 0.845_347;

/// Bound on the relative difference between sums of the same numbers in different orders.
const ROUNDING: f64 = 1e-9;

/// Computes the median absolute deviation of values from their median.
///
/// It is zero if more than half of the values are equal, and then says nothing about the others: the scaled mean absolute
/// deviation replaces it. If all are equal (a coverage that was always 1), every other value is far away.
fn spread(values: &[f64], center: f64) -> f64 {
    let mut deviations: Vec<f64> = values.iter().map(|one| (one - center).abs()).collect();
    let rounding = ROUNDING * center.abs();
    let found = median(&mut deviations).unwrap_or_default();
    if found > rounding {
        return found;
    }
    let count = u32::try_from(deviations.len()).map_or(1.0, f64::from);
    (MEDIAN_OF_MEAN * deviations.iter().sum::<f64>() / count).max(rounding)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn day(n: i64) -> Slice {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(n);
        Slice { start, end: start + TimeDelta::days(1) }
    }

    fn past(n: i64, value: f64) -> Past {
        Past { slice: day(n), value: Some(value), breach: false }
    }

    fn rolling(windows: u32, min: u32) -> Baseline {
        Baseline { kind: Kind::Rolling(windows), min, exclude: vec![] }
    }

    #[test]
    fn it_is_the_median_of_what_counts() {
        let all = [past(9, 10.0), past(8, 12.0), past(7, 11.0), past(6, 90.0)];
        let found = center(&rolling(4, 2), day(10), &all).unwrap();
        assert_eq!((found.value, found.deviation, found.windows), (11.5, Some(1.0), 4));
        assert_eq!(center(&rolling(3, 2), day(10), &all).unwrap().value, 11.0, "only the nearest three");
    }

    #[test]
    fn neither_the_judged_window_nor_a_breach_nor_an_excluded_time_is_part_of_it() {
        let mut all = vec![past(10, 500.0), past(9, 10.0), past(8, 600.0), past(7, 700.0), past(6, 20.0)];
        all[2].breach = true;
        let mut baseline = rolling(5, 2);
        baseline.exclude = vec![day(7)];
        let found = center(&baseline, day(10), &all).unwrap();
        assert_eq!((found.value, found.windows), (15.0, 2));
    }

    #[test]
    fn windows_that_overlap_count_once() {
        let half = |n: i64, value| {
            let start = DateTime::UNIX_EPOCH + TimeDelta::hours(12 * n);
            Past { slice: Slice { start, end: start + TimeDelta::days(1) }, value: Some(value), breach: false }
        };
        let all = [half(18, 1.0), half(17, 100.0), half(16, 3.0)];
        assert_eq!(center(&rolling(3, 2), day(10), &all).unwrap().value, 2.0);
    }

    #[test]
    fn of_each_week_one_window_counts() {
        let hours = |before: i64, value| {
            let end = day(70).start - TimeDelta::hours(before);
            Past { slice: Slice { start: end - TimeDelta::hours(1), end }, value: Some(value), breach: false }
        };
        let seasonal = Baseline { kind: Kind::Seasonal(3), min: 1, exclude: vec![] };
        let all = [hours(168, 1.0), hours(169, 50.0), hours(336, 3.0), hours(337, 50.0)];
        let judged = Slice { start: day(70).start - TimeDelta::hours(1), end: day(70).start };
        let found = center(&seasonal, judged, &all).unwrap();
        assert_eq!((found.value, found.windows), (2.0, 2));
    }

    #[test]
    fn too_few_windows_or_none_that_is_a_number_make_no_baseline() {
        let missing = Past { value: None, ..past(8, 0.0) };
        let nan = past(7, f64::NAN);
        let found = center(&rolling(5, 2), day(10), &[past(9, 10.0), missing, nan]);
        assert_eq!(found, Err(Reason::NoBaseline { found: 1, needed: 2 }));
    }

    #[test]
    fn every_distance_that_is_given_must_be_exceeded() {
        let limits = |excess| Limits::Relative { above: Some(excess), below: None, baseline: rolling(3, 3) };
        let all = [past(9, 90.0), past(8, 100.0), past(7, 120.0)];
        let limit = |excess| match condition(&limits(excess), day(10), &all) {
            Ok((Condition::Above(limit), Some(center))) if center.value.total_cmp(&100.0).is_eq() => limit,
            other => panic!("{other:?}"),
        };
        let share = Excess { share: Some(0.2), ..Excess::default() };
        assert_eq!(limit(share), 120.0);
        assert_eq!(limit(Excess { absolute: Some(30.0), ..share }), 130.0);
        assert_eq!(limit(Excess { absolute: Some(5.0), ..share }), 120.0);
        assert_eq!(limit(Excess { deviations: Some(3.0), ..Excess::default() }), 130.0);
    }

    /// Returns the upper limit for past windows with these values, nearest first.
    fn limit(values: &[f64], excess: Excess) -> f64 {
        let all: Vec<Past> = values.iter().zip(1..).map(|(value, back)| past(20 - back, *value)).collect();
        let limits = Limits::Relative { above: Some(excess), below: None, baseline: rolling(10, 3) };
        match condition(&limits, day(20), &all) {
            Ok((Condition::Above(limit), _)) => limit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_a_past_that_never_varied_every_other_value_is_far_away() {
        let excess = Excess { deviations: Some(3.0), ..Excess::default() };
        assert_eq!(limit(&[0.0; 5], excess), 0.0);
        let found = limit(&[5.0; 5], excess);
        assert!(found > 5.0 && found < 5.000_001, "{found}");
        // Rounding errors are not variation, and a deviation of that size is not a breach.
        let rounded = limit(&[5.0, 5.0 + 4e-15, 5.0 - 4e-15], excess);
        assert!(rounded > 5.0 + 1e-9 && rounded < 5.000_001, "{rounded}");
        assert_eq!(limit(&[5.0; 5], Excess { share: Some(0.2), ..excess }), 6.0);
    }

    #[test]
    fn where_most_windows_are_equal_the_others_give_the_spread() {
        let excess = Excess { deviations: Some(3.0), ..Excess::default() };
        let found = limit(&[5.0, 5.0, 9.0, 5.0, 5.0, 1.0, 5.0, 5.0], excess);
        assert!((found - (5.0 + 3.0 * 0.845_347)).abs() < 1e-9, "{found}");
    }

    #[test]
    fn a_share_of_a_negative_baseline_is_of_its_size() {
        let all = [past(9, -10.0), past(8, -10.0), past(7, -10.0)];
        let excess = Excess { share: Some(0.5), ..Excess::default() };
        let limits = Limits::Relative { above: Some(excess), below: Some(excess), baseline: rolling(3, 3) };
        let (found, _) = condition(&limits, day(10), &all).unwrap();
        assert_eq!(found, Condition::Outside { low: -15.0, high: -5.0 });
    }
}
