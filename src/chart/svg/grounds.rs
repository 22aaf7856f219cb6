//! Grounds of times in which something holds: an alert fires, a silence lasts, a value is missing. And annotations
//! over them.

use chrono::{DateTime, Utc};

use super::Parts;
use super::view::View;
use crate::chart::frame::{Frame, WIDTH};
use crate::chart::layout::{firing, runs};
use crate::chart::markup::Path;
use crate::chart::series::{Mark, Missing, Series};

/// Marks nearer than this share of the width are one: 8 pixels on a phone.
const NEAR: f64 = 0.025;

/// Draws the grounds.
pub(super) fn draw(frame: &mut Frame, series: &Series, view: &View, parts: &Parts) {
    let height = parts.bottom - parts.top;
    for span in &series.firings {
        let range = firing(&view.time, &view.slots, span).map(|x| x / WIDTH);
        frame.fill("c-firing", range, parts.top, height);
    }
    for span in &series.quiet {
        let range = [view.time.share(span.from), view.time.share(span.until)];
        frame.fill("c-quiet", range, parts.top, height);
        frame.hatch(range, parts.top, 8.0);
    }
    for run in runs(&series.points, |point| point.shown().is_none()) {
        let points = &series.points[run.clone()];
        let range = [view.slots[run.start].start / WIDTH, view.slots[run.end - 1].end / WIDTH];
        frame.hatch(range, parts.top, height);
        let cause = points[0].missing.filter(|cause| points.iter().all(|point| point.missing == Some(*cause)));
        if let Some(cause) = cause {
            words(frame, cause, range, (parts.top + parts.bottom) / 2.0);
        }
    }
}

/// Writes the cause into a range where it fits: on every screen, on wide ones, or not at all.
fn words(frame: &mut Frame, cause: Missing, [from, until]: [f64; 2], y: f64) {
    let (words, width) = (cause.label(), until - from);
    #[expect(clippy::cast_precision_loss, reason = "a few letters")]
    let needed = words.len() as f64 * 8.0;
    let class = match width {
        width if width * 300.0 >= needed => "c-cause",
        width if width * 800.0 >= needed => "c-cause wide",
        _ => return,
    };
    frame.words((from + until) / 2.0, y, class, words);
}

/// Draws annotations: a line each, and above it a letter, or the number of those that are too near each other.
pub(super) fn marks(frame: &mut Frame, series: &Series, view: &View, parts: &Parts) {
    let mut lines = Path::default();
    for group in grouped(series.marks.iter(), &|at| view.time.share(at)) {
        let share = view.time.share(group[0].at);
        lines.start(share * WIDTH, parts.top - 2.0);
        lines.line(share * WIDTH, parts.bottom);
        frame.words(share, parts.top - 6.0, "c-letter", &sign(&group));
    }
    frame.plot.path("c-mark", &lines);
}

/// Puts annotations that are too near each other into groups, in order of time.
pub(super) fn grouped<'a>(
    marks: impl Iterator<Item = &'a Mark>,
    across: &dyn Fn(DateTime<Utc>) -> f64,
) -> Vec<Vec<&'a Mark>> {
    let mut marks: Vec<&Mark> = marks.collect();
    marks.sort_by_key(|mark| mark.at);
    let mut groups: Vec<Vec<&Mark>> = Vec::new();
    for mark in marks {
        let is_near = |group: &&mut Vec<&Mark>| across(mark.at) - across(group[0].at) < NEAR;
        match groups.last_mut().filter(is_near) {
            Some(group) => group.push(mark),
            None => groups.push(vec![mark]),
        }
    }
    groups
}

/// The letter of an annotation, or the number of several.
pub(super) fn sign(group: &[&Mark]) -> String {
    if group.len() == 1 { group[0].letter.to_string() } else { group.len().to_string() }
}
