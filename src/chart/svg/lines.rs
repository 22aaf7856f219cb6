//! Band, baseline, limit and value of a series, its first reports and where provisional values usually end.

use std::ops::Range;

use super::TITLED;
use super::view::View;
use crate::chart::downsample::{self, COARSE, COLUMNS};
use crate::chart::layout::{chunks, connected, runs};
use crate::chart::markup::{Markup, Path};
use crate::chart::series::{Point, Series, drawable};

/// Draws the lines, from bottom to top.
pub(super) fn draw(plot: &mut Markup, series: &Series, view: &View, kept: &[usize]) {
    let points = &series.points;
    plot.path("c-band", &band(points, view));
    plot.path("c-baseline", &level(points, view, |point| point.baseline));
    plot.path("c-limit", &level(points, view, |point| point.limit));
    whiskers(plot, points, view, kept);
    ghosts(plot, points, view);
    let (solid, dashed) = values(points, view, kept);
    plot.path("c-line", &solid);
    plot.path("c-line c-open", &dashed);
    dots(plot, points, view, kept);
}

/// The interval, cut where a window has none.
fn band(points: &[Point], view: &View) -> Path {
    let mut path = Path::default();
    for run in runs(points, |point| point.band().is_some()) {
        // Where several windows share a column, the band is as wide as the widest of them.
        let most = most(points, &run);
        let mut edges: Vec<(f64, f64, f64)> =
            chunks(run.clone(), most).into_iter().map(|part| envelope(&points[part], view, Point::band)).collect();
        let (first, last) = (view.x(points[run.start].end), view.x(points[run.end - 1].end));
        if run.len() == 1 {
            let half = (view.slots[run.start].end - view.slots[run.start].start) * 0.3;
            let (_, low, high) = edges[0];
            path.rectangle(first - half, high, half * 2.0, low - high);
            continue;
        }
        if let [begin, .., end] = edges.as_mut_slice() {
            (begin.0, end.0) = (first, last);
        }
        for (n, (x, _, high)) in edges.iter().enumerate() {
            if n == 0 { path.start(*x, *high) } else { path.line(*x, *high) }
        }
        edges.iter().rev().for_each(|(x, low, _)| path.line(*x, *low));
        path.end();
    }
    path
}

/// Most parts of a run that are drawn.
fn most(points: &[Point], run: &Range<usize>) -> usize {
    if points.len() > COLUMNS { (run.len() * COARSE / points.len()).max(2) } else { run.len() }
}

/// Position across of the middle of some windows, and their lowest and highest bound.
fn envelope(points: &[Point], view: &View, pair: fn(&Point) -> Option<(f64, f64)>) -> (f64, f64, f64) {
    let bounds = points.iter().filter_map(pair);
    let (low, high) = bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |all, one| (all.0.min(one.0), all.1.max(one.1)));
    (points.get(points.len() / 2).map_or(0.0, |point| view.x(point.end)), view.y(low), view.y(high))
}

/// A value that holds for each window, as steps that are cut at gaps.
pub(super) fn level(points: &[Point], view: &View, value: impl Fn(&Point) -> Option<f64>) -> Path {
    let mut path = Path::default();
    let value = |point: &Point| drawable(value(point)).filter(|_| point.shown().is_some());
    for run in runs(points, |point| value(point).is_some()) {
        let parts = chunks(run.clone(), most(points, &run));
        // A part shows its newest value.
        let heights: Vec<f64> =
            parts.iter().filter_map(|part| value(&points[part.end - 1])).map(|value| view.y(value)).collect();
        path.start(view.slots[run.start].start, heights[0]);
        for (pair, part) in heights.windows(2).zip(&parts) {
            // A level that stays is one line.
            if (pair[0] - pair[1]).abs() >= 0.05 {
                path.line(view.slots[part.end - 1].end, pair[0]);
                path.line(view.slots[part.end - 1].end, pair[1]);
            }
        }
        path.line(view.slots[run.end - 1].end, heights[heights.len() - 1]);
    }
    path
}

/// The value as two paths: solid, and dashed where it leads to a provisional one.
fn values(points: &[Point], view: &View, kept: &[usize]) -> (Path, Path) {
    let (mut solid, mut dashed) = (Path::default(), Path::default());
    let place = |n: usize| points[n].shown().map(|value| (view.x(points[n].end), view.y(value)));
    for run in connected(points, kept) {
        let mut before: Option<bool> = None;
        for pair in run.windows(2) {
            let is_open = points[pair[1]].is_provisional;
            let path = if is_open { &mut dashed } else { &mut solid };
            let Some(((x, y), (to_x, to_y))) = place(pair[0]).zip(place(pair[1])) else { continue };
            if before != Some(is_open) {
                path.start(x, y);
            }
            path.line(to_x, to_y);
            before = Some(is_open);
        }
    }
    (solid, dashed)
}

/// Dots of all windows if there are few, otherwise of breaches and of windows without a neighbor, which no line shows.
fn dots(plot: &mut Markup, points: &[Point], view: &View, kept: &[usize]) {
    let is_few = points.len() <= TITLED;
    let mut paths: [Path; 4] = Default::default();
    for run in connected(points, kept) {
        for n in run.iter().filter(|n| is_few || run.len() == 1 || points[**n].is_breach()) {
            let (point, index) = (&points[*n], usize::from(points[*n].is_provisional));
            if let Some(value) = point.shown() {
                let path = &mut paths[index + if point.is_breach() { 2 } else { 0 }];
                path.dot(view.x(point.end), view.y(value));
            }
        }
    }
    let [settled, open, breach, open_breach] = &paths;
    plot.path("c-dot", settled);
    plot.path("c-dot", open);
    plot.path("c-dot c-hole", open);
    let bad = if is_few { "c-dot c-bad" } else { "c-dot c-bad c-small" };
    plot.path(bad, breach);
    plot.path(bad, open_breach);
    if is_few {
        plot.path("c-dot c-bad c-hole", open_breach);
    }
}

/// First reports: a cross, and a stem to the value.
fn ghosts(plot: &mut Markup, points: &[Point], view: &View) {
    let (mut stems, mut arms) = (Path::default(), Path::default());
    for point in downsample::corrected(points).into_iter().map(|n| &points[n]) {
        let Some((first, value)) = point.ghost().zip(point.shown()) else { continue };
        let (x, y, to) = (view.x(point.end), view.y(first), view.y(value));
        if (y - to).abs() <= 1.0 {
            continue;
        }
        stems.start(x, if to > y { y - 3.5 } else { y + 3.5 });
        stems.line(x, to);
        // A short upright line with a broad stroke: its width keeps its size under any stretch.
        arms.start(x, y - 0.5);
        arms.line(x, y + 0.5);
    }
    plot.path("c-stem", &stems);
    plot.path("c-cross", &arms);
}

/// Where provisional values usually end: a whisker each, or their ends as lines if there are many.
fn whiskers(plot: &mut Markup, points: &[Point], view: &View, kept: &[usize]) {
    let (mut stems, mut arms) = (Path::default(), Path::default());
    if points.len() > TITLED {
        for run in runs(points, |point| point.whisker().is_some()) {
            let most = most(points, &run);
            let edges: Vec<_> =
                chunks(run, most).into_iter().map(|part| envelope(&points[part], view, Point::whisker)).collect();
            for edge in [|edge: &(f64, f64, f64)| edge.1, |edge: &(f64, f64, f64)| edge.2] {
                for (n, at) in edges.iter().enumerate() {
                    if n == 0 { stems.start(at.0, edge(at)) } else { stems.line(at.0, edge(at)) }
                }
            }
        }
        return plot.path("c-whisker", &stems);
    }
    for point in kept.iter().map(|n| &points[*n]) {
        let Some((low, high)) = point.whisker() else { continue };
        let x = view.x(point.end);
        stems.start(x, view.y(low));
        stems.line(x, view.y(high));
        for y in [view.y(low), view.y(high)] {
            arms.start(x, y - 0.5);
            arms.line(x, y + 0.5);
        }
    }
    plot.path("c-whisker", &stems);
    plot.path("c-ends", &arms);
}
