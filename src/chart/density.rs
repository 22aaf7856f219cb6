//! Predicted against actual values as a density.

use std::ops::Range;

use crate::chart::markup::{Markup, Svg};

/// Cells on each axis.
pub const CELLS: usize = 48;

/// Counts of samples by predicted and actual value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Density {
    /// Values on both axes, which are alike so that the 1:1 line is the diagonal.
    pub range: Range<f64>,
    /// `counts[actual * CELLS + predicted]`, both from the smallest value on.
    pub counts: Vec<i64>,
    /// The worst samples.
    pub worst: Vec<Dot>,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dot {
    pub predicted: f64,
    pub actual: f64,
    pub link: Option<String>,
    /// Tooltip.
    pub title: String,
}

/// Draws the density, the 1:1 line and the worst samples.
pub fn svg(_density: &Density) -> Svg {
    Markup::default().finish()
}
