//! Draws a series as a line of text.

/// Draws a line of blocks: 0 is the smallest, `most` and above the largest, a missing value a gap.
pub(in crate::commands) fn draw(values: &[Option<f64>], most: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let block = |value: f64| {
        let share = (value / most).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the share was just bounded")]
        let index = (share * 7.999) as usize;
        BLOCKS[index]
    };
    values.iter().map(|value| value.map_or('·', block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_size_and_gaps() {
        assert_eq!(draw(&[Some(0.0), Some(5.0), None, Some(10.0), Some(99.0)], 10.0), "▁▄·██");
    }
}
