//! The verdict strip: a row of verdicts, a row of retroactive ones, and an underline where an alert fires.

use super::Parts;
use super::view::View;
use crate::chart::downsample::COLUMNS;
use crate::chart::frame::{Frame, WIDTH};
use crate::chart::layout::{chunks, firing};
use crate::chart::markup::Path;
use crate::chart::series::{Point, Series};
use crate::domain::verdict::Verdict;

/// Height of a row and the gap above all rows, in pixels.
pub(super) const ROW: f64 = 20.0;
pub(super) const GAP: f64 = 8.0;

/// Height of a block in its row.
const BLOCK: f64 = 16.0;

/// Draws the rows.
pub(super) fn draw(frame: &mut Frame, series: &Series, view: &View, parts: &Parts) {
    let mut top = parts.samples + GAP;
    for of in [|point: &Point| point.verdict, |point: &Point| point.later_verdict] {
        if series.points.iter().any(|point| of(point).is_some()) {
            row(frame, &blocks(&series.points, view, of), top);
            top += ROW;
        }
    }
    if parts.strip > parts.samples {
        let mut path = Path::default();
        for span in &series.firings {
            let [from, until] = firing(&view.time, &view.slots, span);
            path.start(from, parts.strip - 1.0);
            path.line(until, parts.strip - 1.0);
        }
        frame.plot.path("c-fires", &path);
    }
}

/// Consecutive windows of the same verdict: their range across and the verdict.
fn blocks(points: &[Point], view: &View, of: fn(&Point) -> Option<Verdict>) -> Vec<([f64; 2], Verdict)> {
    let mut found: Vec<([f64; 2], Verdict)> = Vec::new();
    for part in chunks(0..points.len(), COLUMNS) {
        let (from, until) = (view.slots[part.start].start, view.slots[part.end - 1].end);
        let Some(verdict) = points[part].iter().filter_map(of).max_by_key(|verdict| weight(*verdict)) else { continue };
        match found.last_mut().filter(|(range, last)| *last == verdict && (range[1] - from).abs() < 0.1) {
            Some((range, _)) => range[1] = until,
            None => found.push(([from, until], verdict)),
        }
    }
    found
}

/// Order in which verdicts that share a column are shown: a breach before everything.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::NoData => 1,
        Verdict::Insufficient => 2,
        Verdict::Error => 3,
        Verdict::Breach => 4,
    }
}

/// Draws blocks of different heights, so that color is not the only sign, and a letter where it fits.
fn row(frame: &mut Frame, blocks: &[([f64; 2], Verdict)], top: f64) {
    for verdict in Verdict::ALL {
        let (class, height) = match verdict {
            Verdict::Ok => ("c-ok", 3.0),
            Verdict::Breach => ("c-breach", BLOCK),
            Verdict::Insufficient => ("c-unsure", 10.0),
            Verdict::NoData => ("c-none", 1.0),
            Verdict::Error => ("c-error", BLOCK),
        };
        let mut path = Path::default();
        for ([from, until], _) in blocks.iter().filter(|(_, of)| *of == verdict) {
            path.rectangle(*from, top + (BLOCK + height) / 2.0, until - from, -height);
        }
        frame.plot.path(class, &path);
    }
    for ([from, until], verdict) in blocks {
        let share = (until - from) / WIDTH;
        let class = match verdict {
            Verdict::Breach | Verdict::Error => "c-on",
            Verdict::Ok | Verdict::Insufficient | Verdict::NoData => "",
        };
        // Shares of the width that hold two characters on a phone, and on a wide screen.
        let class = match share {
            share if share >= 0.08 => class.to_owned(),
            share if share >= 0.025 => format!("{class} wide").trim().to_owned(),
            _ => continue,
        };
        let x = format!("{:.1}%", (from + until) / 2.0 / WIDTH * 100.0);
        let y = top + 13.0;
        let letter = verdict.letter();
        frame.text.text("text", &[("x", &x), ("y", &y), ("text-anchor", &"middle"), ("class", &class)], letter);
    }
}
