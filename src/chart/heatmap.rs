//! A heatmap: one row per cohort or weekday, one column per window or hour.

use crate::chart::markup::{Markup, Svg};

/// Rows of equal length and how their cells are shaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heatmap {
    pub rows: Vec<Row>,
    /// Label of each column; an empty one is not written. As many as each row has cells.
    pub columns: Vec<String>,
    pub shades: Shades,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// Meaning of the seven shades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shades {
    /// From the smallest to the largest value.
    #[default]
    Value,
    /// Values are ratios to the usual: from a half and less to twice and more. Worse ones also carry a dot.
    AgainstUsual,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub name: String,
    pub link: Option<String>,
    pub cells: Vec<Cell>,
}

/// One cell. Without a value it is blank.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    pub value: Option<f64>,
    /// Drawn with a ring.
    pub is_provisional: bool,
    /// Too few samples to say: hatched.
    pub is_too_few: bool,
}

/// Draws a heatmap.
pub fn svg(_heatmap: &Heatmap) -> Svg {
    Markup::default().finish()
}
