//! The frame around a drawing: its height, its unit and the zone of its times.

use chrono_tz::Tz;

/// Height and words of a drawing. The width is that of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Height of the plotted part, in CSS pixels.
    pub height: u32,
    /// Zone of the axis of time.
    pub zone: Tz,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

impl Default for Size {
    fn default() -> Self {
        Self { height: 240, zone: Tz::UTC, unit: String::new(), label: "chart".to_owned() }
    }
}
