//! Positions of the times and values of a series in a drawing.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::chart::frame::WIDTH;
use crate::chart::layout::{across, scale};
use crate::chart::scale::{Scale, TimeScale};
use crate::chart::series::Series;

/// Maps times and values of a series to the plot.
pub(super) struct View {
    pub(super) time: TimeScale,
    /// `None` if nothing has a value.
    pub(super) scale: Option<Scale>,
    /// The range across that belongs to each window, in units of the plot.
    pub(super) slots: Vec<Range<f64>>,
    top: f64,
    bottom: f64,
}

impl View {
    pub(super) fn of(series: &Series, top: f64, bottom: f64) -> Self {
        let (time, slots) = across(&series.points, &series.range);
        Self { time, scale: scale(&series.points), slots, top, bottom }
    }

    pub(super) fn x(&self, at: DateTime<Utc>) -> f64 {
        self.time.share(at) * WIDTH
    }

    /// Height of a value in pixels; values outside of the plot are at its edge.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = self.scale.map_or(0.5, |scale| scale.share(value));
        self.bottom - share * (self.bottom - self.top)
    }

    /// The median width of a slot.
    pub(super) fn typical_slot(&self) -> f64 {
        let mut widths: Vec<f64> = self.slots.iter().map(|slot| slot.end - slot.start).collect();
        widths.sort_by(f64::total_cmp);
        widths.get(widths.len() / 2).copied().unwrap_or(WIDTH)
    }
}
