//! Step lines: a value by the age of its labels, and the budget that is left.

use chrono_tz::Tz;

use crate::chart::markup::{Markup, Svg};

/// Steps in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps {
    pub steps: Vec<Step>,
    pub limit: Option<f64>,
    pub across: Across,
    pub up: Up,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// Meaning of the horizontal axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Across {
    /// Age of labels in seconds.
    #[default]
    Age,
    /// Seconds since 1970, shown in a zone.
    Time(Tz),
}

/// Meaning of the vertical axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// Values in a unit, which may be empty.
    Value(String),
    /// Shares, in percent; 0 and 1 are always shown.
    Share,
}

impl Default for Up {
    fn default() -> Self {
        Self::Value(String::new())
    }
}

/// A value that holds until the next step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Seconds, as [`Across`] says.
    pub at: f64,
    /// `None` ends the line until the next step.
    pub value: Option<f64>,
    /// Lower and upper bound of the 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// A point with a letter, such as an adjustment of the budget by late labels.
    pub letter: Option<char>,
    /// Tooltip.
    pub title: String,
}

/// Draws the steps.
pub fn svg(_steps: &Steps) -> Svg {
    Markup::default().finish()
}
