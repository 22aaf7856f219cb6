//! A badge: the state of a job as a small drawing, by shape and word, so that color is not the only sign.

use askama::Template;

use crate::chart::palette::{LIGHT, hex};

/// Longest text of a part, in characters.
const LONGEST: usize = 40;
/// Width of a character and of the margins, in pixels.
const CHARACTER: usize = 6;
const MARGIN: usize = 14;
/// Width of the shape with its margin.
const SHAPE: usize = 18;

/// A badge.
#[derive(Debug, Clone, Template)]
#[template(path = "badge.svg", escape = "html")]
pub struct Badge {
    name: String,
    value: String,
    /// Widths of both parts, of the whole, and of both texts.
    left: usize,
    right: usize,
    whole: usize,
    name_width: usize,
    value_width: usize,
    shape: &'static str,
    color: String,
}

impl Badge {
    /// `name` is on the left, `value` on the right, after the shape of `state`.
    pub fn new(name: &str, state: &str, value: &str) -> Self {
        let (name, value) = (shown(name), shown(value));
        let (name_width, value_width) = (width(&name), width(&value));
        let (left, right) = (name_width + MARGIN, SHAPE + value_width + MARGIN);
        let color = match state {
            "firing" => LIGHT.limit,
            "ok" => LIGHT.value,
            _ => LIGHT.baseline,
        };
        let (whole, shape) = (left + right, shape(state));
        Self { name, value, left, right, whole, name_width, value_width, shape, color: hex(color) }
    }
}

/// A triangle for what fires, a diamond for what cannot be judged, a square for what is late, a ring for what is pending, and a
/// disc for what is calm.
fn shape(state: &str) -> &'static str {
    match state {
        "firing" => "M0-5 5 4H-5Z",
        "unsure" => "M0-5 5 0 0 5-5 0Z",
        "late" => "M-4-4H4V4H-4Z",
        "pending" => "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0ZM-3 0a3 3 0 1 1 6 0a3 3 0 1 1-6 0Z",
        _ => "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
    }
}

fn shown(text: &str) -> String {
    crate::text::line::clipped(&crate::text::line::single_line(text), LONGEST)
}

fn width(text: &str) -> usize {
    CHARACTER * text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_its_state_by_word_and_shape() {
        let shapes: std::collections::BTreeSet<_> = ["firing", "unsure", "late", "pending", "ok"].map(shape).into();
        assert_eq!(shapes.len(), 5);
        let drawing = Badge::new("ro-load", "firing", "firing").render().unwrap();
        assert!(drawing.contains(">firing</text>") && drawing.contains("ro-load: firing"), "{drawing}");
        assert!(drawing.len() <= 1_024, "{} bytes", drawing.len());
    }

    #[test]
    fn hostile_names_stay_text_and_short() {
        let drawing = Badge::new("<script>&\"\u{202e}", "ok", &"x".repeat(10_000)).render().unwrap();
        assert!(!drawing.contains("<script") && !drawing.contains('\u{202e}') && drawing.len() < 1_500, "{drawing}");
    }
}
