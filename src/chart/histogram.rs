//! A histogram of errors.

use crate::chart::markup::{Markup, Svg};

/// Bins in ascending order, and the lines drawn over them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    pub bins: Vec<Bin>,
    /// Bins of the usual distribution: an outline, scaled to the same total.
    pub usual: Vec<Bin>,
    /// Values with a label, such as `p99`.
    pub percentiles: Vec<(f64, String)>,
    /// The mean error.
    pub bias: Option<f64>,
    /// Drawn on both sides of zero.
    pub tolerance: Option<f64>,
    /// Counts on a logarithmic scale.
    pub is_log: bool,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// Number of samples from one value to another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    pub from: f64,
    pub until: f64,
    pub count: f64,
}

/// Draws a histogram.
pub fn svg(_histogram: &Histogram) -> Svg {
    Markup::default().finish()
}
