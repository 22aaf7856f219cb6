//! Decides if a shrunken source is a correction or would destroy history.
//!
//! Sources lose rows: by retention, dropped partitions, purged labels, a table that is truncated and loaded again. History
//! must not follow. A window that would lose too much keeps all of its buckets unchanged, so that none is half old and half new.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::domain::window::WindowKind;
use crate::plan::windows::Windows;

/// Losing fewer pairs or predictions than this is always a correction.
pub const LEAST: i64 = 10;
/// Default share of a window that may disappear as a correction.
pub const DEFAULT_SHARE: f64 = 0.1;

/// Number of predictions and pairs in a bucket or window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    pub predictions: i64,
    /// Pairs that are averaged.
    pub labeled: i64,
}

impl Extent {
    fn plus(self, other: Self) -> Self {
        Self { predictions: self.predictions + other.predictions, labeled: self.labeled + other.labeled }
    }

    /// This minus `other`; negative where `other` has more.
    pub fn less(self, other: Self) -> Self {
        Self { predictions: self.predictions - other.predictions, labeled: self.labeled - other.labeled }
    }

    /// True if losing `lost` of this is more than a correction.
    pub fn is_shrunk_by(self, lost: Self, share: f64) -> bool {
        let much = |lost: i64, of: i64| lost >= LEAST && as_number(lost) > share * as_number(of);
        much(lost.predictions, self.predictions) || much(lost.labeled, self.labeled)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn as_number(count: i64) -> f64 {
    count as f64
}

/// A bucket for which the source and history differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    pub start: DateTime<Utc>,
    /// In history.
    pub before: Extent,
    /// In the source.
    pub after: Extent,
}

impl Difference {
    /// Negative where it grows.
    pub fn loss(&self) -> Extent {
        self.before.less(self.after)
    }

    /// The same difference without the loss of `explained` predictions and pairs.
    pub fn without(self, explained: i64) -> Self {
        let restored = |before: i64, after: i64| if after < before { before.min(after + explained) } else { after };
        let after = Extent {
            predictions: restored(self.before.predictions, self.after.predictions),
            labeled: restored(self.before.labeled, self.after.labeled),
        };
        Self { after, ..self }
    }

    pub fn shrinks(&self) -> bool {
        self.after.predictions < self.before.predictions || self.after.labeled < self.before.labeled
    }
}

/// Stored history around the buckets that differ.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Start of the horizon, if all of it was compared: `buckets` then holds everything from there on.
    pub horizon_start: Option<DateTime<Utc>>,
    pub buckets: BTreeMap<DateTime<Utc>, Extent>,
    /// Earlier small losses of the buckets.
    pub corrected: BTreeMap<DateTime<Utc>, Extent>,
    /// Buckets that an earlier comparison kept unchanged.
    pub kept: BTreeSet<DateTime<Utc>>,
}

/// Starts of the buckets that must not change, because a window, or all that is older than some time, would lose more than `share`
/// of its content.
pub fn withheld(windows: &Windows, share: f64, known: &Known, differences: &[Difference]) -> BTreeSet<DateTime<Utc>> {
    let sums = Sums::new(known, differences);
    let shrinking: BTreeSet<DateTime<Utc>> = differences.iter().filter(|d| d.shrinks()).map(|d| d.start).collect();
    let of_windows = windows.all.iter().flat_map(|window| around(windows, &window.kind, &shrinking));
    let shrunk = of_windows.chain(forgotten(windows, known, differences)).filter(|slice| {
        let (held, lost) = sums.within(slice);
        held.is_shrunk_by(lost, share)
    });
    let shrunk = merged(shrunk.chain(still_kept(windows, known, differences)).collect());
    let is_in = |start: &DateTime<Utc>| shrunk.iter().any(|slice| slice.contains(start));
    differences.iter().map(|difference| difference.start).filter(is_in).collect()
}

/// Calendar windows with a bucket that was kept before and that the source still lacks. As the horizon advances, less and less of a
/// loss lies within it; the rest must not be taken for a correction.
fn still_kept(windows: &Windows, known: &Known, differences: &[Difference]) -> Vec<Range<DateTime<Utc>>> {
    let mut kept = Vec::new();
    for start in differences.iter().filter(|d| d.shrinks() && known.kept.contains(&d.start)).map(|d| d.start) {
        kept.push(start..start + windows.bucket);
        for window in &windows.all {
            if let WindowKind::Tumbling(grain) = &window.kind {
                let slice = grain.slice(start, windows.zone);
                kept.push(slice.start..slice.end);
            }
        }
    }
    kept
}

/// The old end of the horizon if the source has nothing of it any more: no prediction, or no label. Retention removes it, although
/// each window may hold too few rows for its own loss to count.
fn forgotten(windows: &Windows, known: &Known, differences: &[Difference]) -> Vec<Range<DateTime<Utc>>> {
    let Some(from) = known.horizon_start else { return Vec::new() };
    let mut buckets: BTreeMap<DateTime<Utc>, Difference> = BTreeMap::new();
    for (start, extent) in known.buckets.range(from..) {
        buckets.insert(*start, Difference { start: *start, before: *extent, after: *extent });
    }
    let rewritten: BTreeSet<DateTime<Utc>> = differences.iter().map(|difference| difference.start).collect();
    buckets.extend(differences.iter().map(|difference| (difference.start, *difference)));
    let old_end = |amount: fn(Extent) -> i64| {
        let mut until = from;
        for (start, bucket) in buckets.range(from..) {
            match (amount(bucket.before), amount(bucket.after)) {
                (0, 0) => {}
                (before, 0) if before > 0 => until = *start + windows.bucket,
                // The limit of the retention lies in this bucket.
                (before, after) if after < before && until > from => return from..*start + windows.bucket,
                // Data that moved, or that the source replaced, have not left it by age.
                _ if rewritten.contains(start) => return from..from,
                _ => break,
            }
        }
        from..until
    };
    [old_end(|extent| extent.predictions), old_end(|extent| extent.labeled)].into()
}

/// The windows of a kind that contain one of these buckets: calendar windows, or rolling windows ending at any bucket.
fn around(windows: &Windows, kind: &WindowKind, shrinking: &BTreeSet<DateTime<Utc>>) -> Vec<Range<DateTime<Utc>>> {
    let (Some(first), Some(last)) = (shrinking.first(), shrinking.last()) else { return Vec::new() };
    match kind {
        WindowKind::Rolling(length) => {
            let ends = std::iter::successors(Some(*first + windows.bucket), |end| Some(*end + windows.bucket));
            ends.take_while(|end| *end <= *last + *length)
                .map(|end| end - *length..end)
                .filter(|slice| shrinking.range(slice.clone()).next().is_some())
                .collect()
        }
        WindowKind::Tumbling(grain) => {
            let slices = shrinking.iter().map(|start| grain.slice(*start, windows.zone));
            slices.map(|slice| slice.start..slice.end).collect()
        }
    }
}

/// Merges ranges that overlap.
fn merged(mut ranges: Vec<Range<DateTime<Utc>>>) -> Vec<Range<DateTime<Utc>>> {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<DateTime<Utc>>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Prefix sums over buckets: the sum of a range is the difference of two.
struct Sums {
    starts: Vec<DateTime<Utc>>,
    /// One more entry than `starts`.
    up_to: Vec<(Extent, Extent)>,
}

impl Sums {
    fn new(known: &Known, differences: &[Difference]) -> Self {
        let mut all: BTreeMap<DateTime<Utc>, (Extent, Extent)> =
            known.buckets.iter().map(|(start, extent)| (*start, (*extent, Extent::default()))).collect();
        for difference in differences {
            all.insert(difference.start, (difference.before, difference.loss()));
        }
        for (start, corrected) in &known.corrected {
            let (held, lost) = all.entry(*start).or_default();
            (*held, *lost) = (held.plus(*corrected), lost.plus(*corrected));
        }
        let mut up_to = vec![(Extent::default(), Extent::default())];
        for (held, lost) in all.values() {
            let (held_before, lost_before) = up_to.last().copied().unwrap_or_default();
            up_to.push((held_before.plus(*held), lost_before.plus(*lost)));
        }
        Self { starts: all.into_keys().collect(), up_to }
    }

    /// Contents of the buckets of a range, and how much of them is lost.
    fn within(&self, range: &Range<DateTime<Utc>>) -> (Extent, Extent) {
        let at = |time: DateTime<Utc>| self.up_to[self.starts.partition_point(|start| *start < time)];
        let (from, to) = (at(range.start), at(range.end));
        (to.0.less(from.0), to.1.less(from.1))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::window::Window;

    fn hour(n: i64) -> DateTime<Utc> {
        DateTime::<Utc>::UNIX_EPOCH + TimeDelta::hours(n)
    }

    fn windows(all: &[Window]) -> Windows {
        Windows {
            all: all.to_vec(),
            zone: chrono_tz::UTC,
            bucket: TimeDelta::hours(1),
            label_wait: TimeDelta::days(1),
            label_due: TimeDelta::days(1),
            horizon: TimeDelta::days(7),
            lookback: TimeDelta::days(1),
            shrink: DEFAULT_SHARE,
        }
    }

    fn extent(n: i64) -> Extent {
        Extent { predictions: n, labeled: n }
    }

    fn known(buckets: impl Iterator<Item = (DateTime<Utc>, Extent)>) -> Known {
        Known { buckets: buckets.collect(), ..Known::default() }
    }

    /// Starts of the withheld buckets, when the hours `gone` of four days with `each` pairs an hour disappear from the source.
    fn of_hours(window: Window, gone: Range<i64>, each: i64) -> Vec<i64> {
        let known = known((0..96).map(|n| (hour(n), extent(each))));
        let differences: Vec<Difference> =
            gone.map(|n| Difference { start: hour(n), before: extent(each), after: extent(0) }).collect();
        let withheld = withheld(&windows(&[window]), DEFAULT_SHARE, &known, &differences);
        withheld.into_iter().map(|start| (start - hour(0)).num_hours()).collect()
    }

    #[test]
    fn a_window_that_would_lose_much_keeps_all_and_one_that_would_lose_little_is_corrected() {
        let day = || Window::tumbling("1d").expect("a window");
        assert_eq!(of_hours(day(), 0..40, 1), (0..40).collect::<Vec<_>>());
        assert_eq!(of_hours(day(), 0..9, 1), Vec::<i64>::new(), "nine pairs are a correction");
        assert_eq!(of_hours(day(), 15..26, 1), Vec::<i64>::new(), "nine of one day and two of the next");
        assert_eq!(of_hours(day(), 15..27, 2), (15..24).collect::<Vec<_>>(), "eighteen of one, six of the other");
        assert_eq!(of_hours(day(), 3..5, 100), Vec::<i64>::new(), "200 of 2,400");
        assert_eq!(of_hours(day(), 3..6, 100), vec![3, 4, 5], "300 of 2,400");
    }

    #[test]
    fn of_rolling_windows_any_that_begins_or_ends_with_the_loss_counts() {
        let rolling = || Window::rolling("12h").expect("a window");
        assert_eq!(of_hours(rolling(), 20..31, 1), (20..31).collect::<Vec<_>>());
        assert_eq!(of_hours(rolling(), 20..29, 1), Vec::<i64>::new());
    }

    #[test]
    fn an_old_end_that_is_gone_is_kept_however_little_each_window_loses() {
        let week = [Window::tumbling("1w").expect("a window")];
        let day = |n: i64| hour(24 * n);
        let of_days = |gone: Range<i64>, partly: Option<i64>, horizon_start: Option<DateTime<Utc>>| {
            let known = Known { horizon_start, ..known((0..60).map(|n| (day(n), extent(2)))) };
            let lost = gone.map(|n| (n, 0)).chain(partly.map(|n| (n, 1)));
            let differences: Vec<Difference> =
                lost.map(|(n, left)| Difference { start: day(n), before: extent(2), after: extent(left) }).collect();
            withheld(&windows(&week), DEFAULT_SHARE, &known, &differences).len()
        };
        assert_eq!(of_days(0..8, Some(8), Some(hour(0))), 9, "one of the second week is gone, and half a day after it");
        assert_eq!(of_days(0..4, None, Some(hour(0))), 0, "eight of fourteen are a correction");
        assert_eq!(of_days(3..8, None, Some(hour(0))), 0, "the oldest are there");
        assert_eq!(of_days(0..0, Some(0), Some(hour(0))), 0, "nothing is gone but half a day");
        assert_eq!(of_days(0..8, None, None), 0, "another range than the horizon");
    }

    #[test]
    fn predictions_that_move_out_of_the_old_end_are_no_loss() {
        let day = [Window::tumbling("1d").expect("a window")];
        let known = Known { horizon_start: Some(hour(0)), ..known((0..48).map(|n| (hour(n), extent(20)))) };
        let difference = |n: i64, after: i64| Difference { start: hour(n), before: extent(20), after: extent(after) };
        let to_the_next = [difference(0, 0), difference(1, 40)];
        assert!(withheld(&windows(&day), DEFAULT_SHARE, &known, &to_the_next).is_empty());
        let all_by_an_hour: Vec<Difference> = (0..48).map(|n| difference(n, if n == 0 { 0 } else { 20 })).collect();
        assert!(withheld(&windows(&day), DEFAULT_SHARE, &known, &all_by_an_hour).is_empty());
    }

    #[test]
    fn what_was_kept_stays_while_the_source_lacks_it() {
        let week = [Window::tumbling("1w").expect("a window")];
        let lost = |n: i64| Difference { start: hour(24 * n), before: extent(1), after: extent(0) };
        let mut known = known((0..30).map(|n| (hour(24 * n), extent(1))));
        assert!(withheld(&windows(&week), DEFAULT_SHARE, &known, &[lost(5)]).is_empty());
        known.kept.insert(hour(24 * 5));
        // Both are of one week, which stays whole; the third is of another.
        let kept = withheld(&windows(&week), DEFAULT_SHARE, &known, &[lost(5), lost(6), lost(20)]);
        assert_eq!(kept, BTreeSet::from([hour(24 * 5), hour(24 * 6)]));
    }

    #[test]
    fn what_went_a_little_at_a_time_adds_up() {
        let day = [Window::tumbling("1d").expect("a window")];
        let difference = Difference { start: hour(3), before: extent(1), after: extent(0) };
        for (lost, is_withheld) in [(8, false), (9, true)] {
            let mut known = known((0..24).map(|n| (hour(n), extent(1))));
            // In another bucket.
            known.corrected.insert(hour(7), extent(lost));
            assert_eq!(!withheld(&windows(&day), DEFAULT_SHARE, &known, &[difference]).is_empty(), is_withheld);
        }
    }

    #[test]
    fn predictions_that_move_within_a_window_are_no_loss() {
        let day = [Window::tumbling("1d").expect("a window")];
        let known = known((0..24).map(|n| (hour(n), extent(20 * (n % 2)))));
        let moved =
            |n: i64| Difference { start: hour(n), before: extent(20 * (n % 2)), after: extent(20 * ((n + 1) % 2)) };
        let differences: Vec<Difference> = (0..24).map(moved).collect();
        assert!(withheld(&windows(&day), DEFAULT_SHARE, &known, &differences).is_empty());
    }
}
