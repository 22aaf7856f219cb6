//! The windows of a job, and when they are final.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::window::{Window, WindowKind};

/// The windows that are kept, and when they are final.
#[derive(Debug, Clone)]
pub struct Windows {
    pub all: Vec<Window>,
    pub zone: Tz,
    /// Length of the smallest slice of event time.
    pub bucket: TimeDelta,
    pub label_wait: TimeDelta,
    /// Age at which a label counts as due, for the label arrival rate.
    pub label_due: TimeDelta,
    pub horizon: TimeDelta,
    /// The longest lookback: the longest window, or the period of an objective.
    pub lookback: TimeDelta,
    /// Share of a window's pairs or predictions that may disappear from the source as a correction.
    pub shrink: f64,
}

impl Windows {
    /// Length of a bucket in seconds, as stored.
    pub fn grain(&self) -> i32 {
        i32::try_from(self.bucket.num_seconds()).unwrap_or(i32::MAX)
    }

    /// Length of the longest window.
    pub fn longest(&self) -> TimeDelta {
        self.all.iter().map(Window::longest).max().unwrap_or(self.bucket)
    }

    /// The time up to which labels have had their `label_wait` to arrive.
    pub fn label_cutoff(&self, as_of: DateTime<Utc>) -> DateTime<Utc> {
        as_of - self.label_wait
    }

    /// The rolling windows.
    pub fn rolling(&self) -> impl Iterator<Item = (&Window, TimeDelta)> {
        self.all.iter().filter_map(|window| match window.kind {
            WindowKind::Rolling(length) => Some((window, length)),
            WindowKind::Tumbling(_) => None,
        })
    }

    /// The tumbling windows.
    pub fn tumbling(&self) -> impl Iterator<Item = (&Window, crate::domain::window::Grain)> {
        self.all.iter().filter_map(|window| match window.kind {
            WindowKind::Rolling(_) => None,
            WindowKind::Tumbling(grain) => Some((window, grain)),
        })
    }
}
