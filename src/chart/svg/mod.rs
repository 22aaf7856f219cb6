//! Charts of series as SVG.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::chart::frame::Size;
use crate::chart::markup::{Markup, Svg};
use crate::chart::series::{Line, Series};

/// Draws a series for a page that has the classes of `chart.css`.
pub fn series(_series: &Series, _size: &Size) -> Svg {
    Markup::default().finish()
}

/// Draws a series as a file of its own, with colors and a width of 960 pixels.
pub fn standalone(_series: &Series, _size: &Size) -> Svg {
    Markup::default().finish()
}

/// Draws up to five lines, each with its own dash and its name at its end. Further lines are left out.
pub fn several(_lines: &[Line], _range: &Range<DateTime<Utc>>, _size: &Size) -> Svg {
    Markup::default().finish()
}
