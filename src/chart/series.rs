//! A metric over time, with everything that a chart shows about each window.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::verdict::Verdict;

/// One metric of one kind of window, cohort and version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// One per expected window, ascending by `end`. A window without a value is a point without one: lines are cut
    /// there.
    pub points: Vec<Point>,
    /// The times shown, by the end of windows.
    pub range: Range<DateTime<Utc>>,
    /// Times in which an alert fires, by the end of windows.
    pub firings: Vec<Span>,
    /// Times of silences and maintenance.
    pub quiet: Vec<Span>,
    pub marks: Vec<Mark>,
}

/// One expected window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Point {
    pub start: DateTime<Utc>,
    /// Position on the axis of time.
    pub end: DateTime<Utc>,
    pub value: Option<f64>,
    /// Lower and upper bound of the 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// The value of the first report.
    pub first_reported: Option<f64>,
    pub is_provisional: bool,
    /// Where a provisional value usually ends: 10 and 90 % quantiles.
    pub usual: Option<(f64, f64)>,
    pub labeled: i64,
    pub predictions: i64,
    pub limit: Option<f64>,
    pub baseline: Option<f64>,
    pub verdict: Option<Verdict>,
    /// The retroactive verdict, by later labels.
    pub later_verdict: Option<Verdict>,
    /// The reason why there is no value.
    pub missing: Option<Missing>,
    /// Address of the window's page.
    pub link: Option<String>,
    /// Tooltip.
    pub title: String,
}

/// The reason why a window has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Missing {
    NotMeasured,
    NoPredictions,
    NoLabels,
    NotRun,
    /// Removed by retention.
    Retained,
}

impl Missing {
    /// Words for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotMeasured => "not measured",
            Self::NoPredictions => "no predictions",
            Self::NoLabels => "no labels",
            Self::NotRun => "not run",
            Self::Retained => "removed by retention",
        }
    }
}

/// A range of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// An annotation: a vertical line with a letter, explained below the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub at: DateTime<Utc>,
    pub letter: char,
    pub words: String,
}

/// One line of several in the same chart, such as a model version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    pub name: String,
    /// One per expected window, ascending by `end`.
    pub points: Vec<Point>,
}

/// Largest magnitude that is drawn; larger values would leave no room for the others.
const LARGEST: f64 = 1e30;

/// The value if it can be drawn.
pub fn drawable(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && value.abs() < LARGEST)
}

impl Point {
    /// The value if it can be drawn.
    pub fn shown(&self) -> Option<f64> {
        drawable(self.value)
    }

    /// The interval in ascending order, if both of its ends can be drawn.
    pub fn band(&self) -> Option<(f64, f64)> {
        self.shown()?;
        ordered(self.interval)
    }

    /// The usual range in ascending order, of a provisional value only.
    pub fn whisker(&self) -> Option<(f64, f64)> {
        self.shown().filter(|_| self.is_provisional)?;
        ordered(self.usual)
    }

    /// The first report, if it differs from the value.
    pub fn ghost(&self) -> Option<f64> {
        let value = self.shown()?;
        drawable(self.first_reported).filter(|first| (first - value).abs() > 0.0)
    }

    pub fn is_breach(&self) -> bool {
        self.verdict == Some(Verdict::Breach)
    }
}

fn ordered(pair: Option<(f64, f64)>) -> Option<(f64, f64)> {
    let (low, high) = pair?;
    let (low, high) = (drawable(Some(low))?, drawable(Some(high))?);
    Some((low.min(high), low.max(high)))
}

/// Returns the time around the end of each window that belongs to it: halfway to its neighbors.
pub fn slots(points: &[Point]) -> Vec<Range<DateTime<Utc>>> {
    let half = |a: &Point, b: &Point| (b.end - a.end) / 2;
    (0..points.len())
        .map(|n| {
            let before = n.checked_sub(1).map(|before| half(&points[before], &points[n]));
            let after = points.get(n + 1).map(|after| half(&points[n], after));
            let alone = (points[n].end - points[n].start) / 2;
            let before_or = before.or(after).unwrap_or(alone).max(TimeDelta::milliseconds(1));
            let after_or = after.or(before).unwrap_or(alone).max(TimeDelta::milliseconds(1));
            let end = points[n].end;
            let first = end.checked_sub_signed(before_or).unwrap_or(end);
            first..end.checked_add_signed(after_or).unwrap_or(end)
        })
        .collect()
}
