//! A chart as characters for a terminal.

use crate::chart::series::Series;

/// Draws a series 80 columns wide.
pub fn series(_series: &Series) -> String {
    String::new()
}
