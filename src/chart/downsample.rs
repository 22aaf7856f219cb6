//! Fewer points for the same picture: M4 keeps the first, last, smallest and largest value of each column.
//!
//! Methods that keep the shape on the whole, such as LTTB, may drop the one breach.

use std::ops::Range;

use crate::chart::series::Point;

/// Most columns that are drawn.
pub const COLUMNS: usize = 600;

/// Most columns of everything that is not the value itself, such as its interval, where there are more windows than
/// [`COLUMNS`].
pub(super) const COARSE: usize = COLUMNS / 2;

/// A first report that differs by more than this share of the value is always drawn.
const CORRECTION: f64 = 0.05;

/// Returns the indices of the points that are drawn, ascending: all of them up to [`COLUMNS`].
///
/// Above that, M4 of each column, the edges of gaps and changes of status, and M4 of its breaches, between which the
/// others lie. Of the corrections in a column the largest is kept.
pub fn kept(points: &[Point]) -> Vec<usize> {
    if points.len() <= COLUMNS {
        return (0..points.len()).collect();
    }
    let mut found = Vec::new();
    for column in columns(points, COLUMNS) {
        let all = || column.clone();
        found.extend(extremes(points, all()));
        found.extend(extremes(points, all().filter(|n| points[*n].is_breach())));
        found.extend(most_corrected(points, all()));
        found.extend(ends(all().filter(|n| is_edge(points, *n))));
        found.extend(ends(all().filter(|n| is_change(points, *n))));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Returns the indices of the points whose first report is drawn: all that have one up to [`COLUMNS`], and the
/// largest correction of each of [`COARSE`] columns above that.
pub(super) fn corrected(points: &[Point]) -> Vec<usize> {
    if points.len() <= COLUMNS {
        return (0..points.len()).filter(|n| points[*n].ghost().is_some()).collect();
    }
    columns(points, COARSE).filter_map(|column| most_corrected(points, column)).collect()
}

fn columns(points: &[Point], count: usize) -> impl Iterator<Item = Range<usize>> {
    let at = move |column: usize| column * points.len() / count;
    (0..count).map(move |column| at(column)..at(column + 1))
}

/// Says what was left out, if anything.
pub fn caption(points: &[Point]) -> Option<String> {
    (points.len() > COLUMNS).then(|| format!("{} windows, extremes kept", grouped(points.len())))
}

/// The first, last, smallest and largest of some points.
fn extremes(points: &[Point], of: impl Iterator<Item = usize> + Clone) -> Vec<usize> {
    let valued = of.filter_map(|n| Some((n, points[n].shown()?)));
    let by_value = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
    let first = valued.clone().next();
    let last = valued.clone().last();
    let low = valued.clone().min_by(by_value);
    let high = valued.max_by(by_value);
    [first, last, low, high].into_iter().flatten().map(|(n, _)| n).collect()
}

/// The first two and the last two of some points.
fn ends(of: impl Iterator<Item = usize>) -> Vec<usize> {
    let all = of.collect::<Vec<_>>();
    let edges = all.iter().take(2).chain(all.iter().rev().take(2));
    edges.copied().collect()
}

/// The point with the largest correction, if that is worth a mark.
fn most_corrected(points: &[Point], mut of: impl Iterator<Item = usize>) -> Option<usize> {
    let correction = |n: usize| {
        let (first, value) = points[n].ghost().zip(points[n].shown())?;
        Some((first - value).abs() / value.abs()).filter(|share| *share > CORRECTION)
    };
    let first = of.find(|n| correction(*n).is_some())?;
    let by_size = |a: &usize, b: &usize| correction(*a).unwrap_or(0.0).total_cmp(&correction(*b).unwrap_or(0.0));
    of.chain([first]).max_by(by_size)
}

/// True next to a gap, and at its first and last window.
fn is_edge(points: &[Point], n: usize) -> bool {
    let is_missing = |n: usize| points.get(n).is_some_and(|point| point.shown().is_none());
    is_missing(n) != is_missing(n + 1) || n.checked_sub(1).is_some_and(|before| is_missing(before) != is_missing(n))
}

/// True if a point is provisional or judged otherwise than the one before.
fn is_change(points: &[Point], n: usize) -> bool {
    let state = |n: usize| points.get(n).map(|point| (point.is_provisional, point.verdict, point.later_verdict));
    n.checked_sub(1).is_some_and(|before| state(before) != state(n))
}

/// `3,000`.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::verdict::Verdict;

    fn many(count: u32) -> Vec<Point> {
        let value = |n: u32| Some(100.0 + f64::from((n * 7_919) % 101));
        (0..count).map(|n| Point { value: value(n), ..Point::default() }).collect()
    }

    #[test]
    fn up_to_600_windows_all_are_drawn() {
        assert_eq!(kept(&many(600)).len(), 600);
        assert_eq!(caption(&many(600)), None);
        assert_eq!(caption(&many(3_000)).as_deref(), Some("3,000 windows, extremes kept"));
    }

    #[test]
    fn extremes_breaches_gaps_and_corrections_survive() {
        let mut points = many(40_000);
        points[12_345].verdict = Some(Verdict::Breach);
        points[20_000].value = None;
        points[30_001].value = Some(9_000.0);
        points[35_007].first_reported = Some(1.0);
        points[39_990..].iter_mut().for_each(|point| point.is_provisional = true);
        let kept = kept(&points);
        assert!(kept.len() < 2_420, "{}", kept.len());
        for n in [0, 12_345, 19_999, 20_000, 20_001, 30_001, 35_007, 39_990, 39_999] {
            assert!(kept.contains(&n), "{n}");
        }
        let values = |n: &mut dyn Iterator<Item = usize>| {
            let values = n.filter_map(|n| points[n].shown()).collect::<Vec<_>>();
            crate::chart::scale::bounds(values.into_iter())
        };
        assert_eq!(values(&mut kept.iter().copied()), values(&mut (0..points.len())));
    }

    #[test]
    fn a_series_of_nothing_but_special_points_stays_small() {
        let mut points = many(40_000);
        for (n, point) in points.iter_mut().enumerate() {
            point.verdict = Some(if n % 3 == 0 { Verdict::Ok } else { Verdict::Breach });
            point.value = point.value.filter(|_| n % 2 == 0);
            point.first_reported = Some(7.0);
        }
        assert!(kept(&points).len() <= COLUMNS * 20);
    }
}
