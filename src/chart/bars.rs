//! Plain bars: label latency, budget spent by day, autocorrelation.

use crate::chart::markup::{Markup, Svg};

/// Bars in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bars {
    pub bars: Vec<Bar>,
    /// Lines above and below zero, such as the bounds of autocorrelation by chance.
    pub bounds: Option<(f64, f64)>,
    pub limit: Option<f64>,
    /// Unit of the values, such as `%`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One bar. Without a value there is a gap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Label below the bar; an empty one is not written.
    pub label: String,
    pub value: Option<f64>,
    /// The value of the first report: a line across the bar.
    pub first_reported: Option<f64>,
    pub link: Option<String>,
    /// Tooltip.
    pub title: String,
}

/// Draws the bars.
pub fn svg(_bars: &Bars) -> Svg {
    Markup::default().finish()
}
