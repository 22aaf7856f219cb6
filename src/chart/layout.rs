//! Positions of a series that all drawings share.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::chart::frame::WIDTH;
use crate::chart::scale::{Scale, TimeScale, bounds};
use crate::chart::series::{Point, Span, drawable, slots};

/// The axis of time, which holds all of the first and last slot, and the slots on it.
pub(super) fn across(points: &[Point], range: &Range<DateTime<Utc>>) -> (TimeScale, Vec<Range<f64>>) {
    let slots = slots(points);
    let first = slots.first().map_or(range.start, |slot| slot.start.min(range.start));
    let last = slots.last().map_or(range.end, |slot| slot.end.max(range.end));
    let time = TimeScale::new(first..last);
    let place = |at: DateTime<Utc>| time.share(at) * WIDTH;
    let places = slots.iter().map(|slot| place(slot.start)..place(slot.end)).collect();
    (time, places)
}

/// The range across of a firing, in units of the plot. It begins with the slot of its first window, so that one
/// window is seen.
pub(super) fn firing(time: &TimeScale, slots: &[Range<f64>], span: &Span) -> [f64; 2] {
    let (from, until) = (time.share(span.from) * WIDTH, time.share(span.until) * WIDTH);
    let slot = slots.iter().find(|slot| slot.start <= from && from < slot.end);
    let from = slot.map_or(from, |slot| slot.start);
    [from, until.max(from)]
}

/// The scale of values. An interval of few samples may be a hundred times as wide as everything else, and a first
/// report as far away; both are clipped.
pub(super) fn scale(points: &[Point]) -> Option<Scale> {
    let values = || points.iter().filter_map(Point::shown);
    let (low, high) = bounds(values());
    if low > high {
        return None;
    }
    let room = (high - low).max(high.abs().max(low.abs()) * 0.05);
    let around = points.iter().flat_map(|point| {
        let pairs = [point.band(), point.whisker()].into_iter().flatten().flat_map(|(low, high)| [low, high]);
        pairs.chain(point.ghost()).collect::<Vec<_>>()
    });
    let around = around.map(|value| value.clamp(low - room, high + room));
    let lines = points.iter().filter(|point| point.shown().is_some()).flat_map(|point| [point.limit, point.baseline]);
    let lines = lines.filter_map(drawable);
    let (low, high) = bounds(values().chain(around).chain(lines));
    Some(Scale::around(low, high))
}

/// Ranges of consecutive windows that have something; a window without it separates them.
pub(super) fn runs(points: &[Point], has: impl Fn(&Point) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for n in (0..points.len()).filter(|n| has(&points[*n])) {
        match found.last_mut().filter(|run| run.end == n) {
            Some(run) => run.end = n + 1,
            None => found.push(n..n + 1),
        }
    }
    found
}

/// Divides a range into at most `most` parts of nearly equal length.
pub(super) fn chunks(range: Range<usize>, most: usize) -> Vec<Range<usize>> {
    let parts = range.len().min(most);
    let at = |n: usize| range.start + n * range.len() / parts.max(1);
    (0..parts).map(|n| at(n)..at(n + 1)).collect()
}

/// The windows that are drawn, in runs without a gap between them.
pub(super) fn connected(points: &[Point], kept: &[usize]) -> Vec<Vec<usize>> {
    let runs: Vec<Range<usize>> = runs(points, |point| point.shown().is_some());
    let mut kept = kept.iter().copied().filter(|n| points[*n].shown().is_some()).peekable();
    let inside = |run: Range<usize>| std::iter::from_fn(|| kept.next_if(|n| *n < run.end)).collect::<Vec<_>>();
    runs.into_iter().map(inside).filter(|run| !run.is_empty()).collect()
}
