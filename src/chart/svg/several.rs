//! Lines of several versions in one chart.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::chart::downsample;
use crate::chart::frame::{Frame, Size, TEXT, WIDTH, value_ticks};
use crate::chart::layout::{across, connected, scale};
use crate::chart::markup::{Path, Svg};
use crate::chart::series::{Line, Mark, Point};
use crate::chart::svg::grounds::{grouped, sign};

/// Most lines in one chart: nobody could distinguish two of more.
pub const MOST: usize = 5;

/// Share of the width for names.
const NAMES: f64 = 0.2;

/// Draws up to five lines, each with its own dash and its name at its end, and annotations. Further lines are left out.
pub fn several(lines: &[Line], marks: &[Mark], range: &Range<DateTime<Utc>>, size: &Size) -> Svg {
    let lines = &lines[..lines.len().min(MOST)];
    let (top, bottom) = (TEXT, TEXT + f64::from(size.height.clamp(40, 2_000)));
    let mut frame = Frame::new(&size.label, bottom + TEXT + 2.0);
    let all: Vec<Point> = lines.iter().flat_map(|line| &line.points).cloned().collect();
    let scale = scale(&all);
    let longest = lines.iter().max_by_key(|line| line.points.len());
    let (time, _) = across(longest.map_or(&[], |line| &line.points), range);
    if let Some(scale) = &scale {
        frame.values(&value_ticks(scale, bottom - top), top, bottom, &size.unit);
    }
    let across = |at: DateTime<Utc>| time.share(at) * (1.0 - NAMES);
    let mut ends = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(scale) = &scale else { continue };
        let y = |value: f64| bottom - scale.share(value) * (bottom - top);
        let (mut path, mut dots) = (Path::default(), Path::default());
        for run in connected(&line.points, &downsample::kept(&line.points)) {
            for (k, point) in run.iter().map(|k| &line.points[*k]).enumerate() {
                let Some(value) = point.shown() else { continue };
                let (x, y) = (across(point.end) * WIDTH, y(value));
                if k == 0 {
                    path.start(x, y)
                } else {
                    path.line(x, y)
                }
                if run.len() == 1 {
                    dots.dot(x, y);
                }
            }
        }
        frame.plot.path(&format!("c-version c-version-{}", n + 1), &path);
        frame.plot.path(&format!("c-dot c-version-{}", n + 1), &dots);
        let last = line.points.iter().rev().find_map(|point| Some((across(point.end), y(point.shown()?))));
        ends.extend(last.map(|(x, y)| (n, x, y)));
    }
    annotate(&mut frame, marks, range, (top, bottom), &across);
    names(&mut frame, lines, ends, top, bottom);
    let few = time.ticks(size.zone, 4);
    let few: Vec<_> = few
        .into_iter()
        .map(|mut tick| {
            tick.share *= 1.0 - NAMES;
            tick
        })
        .collect();
    frame.across(&few, bottom);
    frame.page()
}

/// Draws annotations within a range, each as a line with its letter above.
fn annotate(
    frame: &mut Frame,
    marks: &[Mark],
    range: &Range<DateTime<Utc>>,
    (top, bottom): (f64, f64),
    across: &dyn Fn(DateTime<Utc>) -> f64,
) {
    let mut lines = Path::default();
    for group in grouped(marks.iter().filter(|mark| range.start <= mark.at && mark.at <= range.end), across) {
        let share = across(group[0].at);
        lines.start(share * WIDTH, top - 2.0);
        lines.line(share * WIDTH, bottom);
        frame.words(share, top - 6.0, "c-letter", &sign(&group));
    }
    frame.plot.path("c-mark", &lines);
}

/// Writes each name next to the end of its line, moved apart where two would overlap.
fn names(frame: &mut Frame, lines: &[Line], mut ends: Vec<(usize, f64, f64)>, top: f64, bottom: f64) {
    const HIGH: f64 = 15.0;
    ends.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut floor = top;
    let mut heights: Vec<f64> = Vec::new();
    for (_, _, y) in &ends {
        let y = y.max(floor);
        heights.push(y);
        floor = y + HIGH;
    }
    let mut ceiling = bottom;
    for y in heights.iter_mut().rev() {
        *y = y.min(ceiling);
        ceiling = *y - HIGH;
    }
    for ((n, x, _), y) in ends.iter().zip(heights) {
        let x = format!("{:.2}%", x * 100.0 + 0.6);
        let y = y + 4.0;
        let class = format!("c-name c-name-{}", n + 1);
        frame.text.text("text", &[("x", &x), ("y", &y), ("class", &class)], &lines[*n].name);
    }
}
