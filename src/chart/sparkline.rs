//! A series as a small line without axes, in a table or a line of text.

use crate::chart::layout::chunks;
use crate::chart::markup::{Markup, Path, Svg};
use crate::chart::scale::Scale;
use crate::chart::series::drawable;

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 24.0;

/// Most points of a line; more would not be seen.
const MOST: usize = 60;

/// Draws a line, and the limit if there is one. A missing value is a gap. Screen readers skip it: the numbers are
/// next to it.
pub fn svg(values: &[Option<f64>], limit: Option<f64>) -> Svg {
    draw(values, &[], limit)
}

/// Draws a line over the first reports of the same values, in grey.
pub fn compared(values: &[Option<f64>], first_reported: &[Option<f64>]) -> Svg {
    draw(values, first_reported, None)
}

fn draw(values: &[Option<f64>], first_reported: &[Option<f64>], limit: Option<f64>) -> Svg {
    let (values, first) = (thinned(values), thinned(first_reported));
    let limit = drawable(limit);
    let mut markup = Markup::default();
    markup.open(
        "svg",
        &[
            ("class", &"chart spark"),
            ("aria-hidden", &"true"),
            ("width", &WIDTH),
            ("height", &HEIGHT),
            ("viewBox", &format_args!("0 0 {WIDTH} {HEIGHT}")),
        ],
    );
    if let Some(scale) = Scale::of(values.iter().chain(&first).copied().flatten().chain(limit)) {
        let y = |value: f64| HEIGHT - 3.0 - scale.share(value) * (HEIGHT - 6.0);
        let mut level = Path::default();
        if let Some(limit) = limit {
            level.start(0.0, y(limit));
            level.line(WIDTH, y(limit));
        }
        markup.path("c-limit", &level);
        markup.path("c-stem", &line(&first, y).0);
        let (line, dots) = line(&values, y);
        markup.path("c-line", &line);
        markup.path("c-dot c-small", &dots);
    }
    markup.close("svg");
    markup.finish()
}

/// The line, cut at gaps, and dots: the newest value, and those without a neighbor.
fn line(values: &[Option<f64>], y: impl Fn(f64) -> f64) -> (Path, Path) {
    let (mut line, mut dots) = (Path::default(), Path::default());
    #[expect(clippy::cast_precision_loss, reason = "a few points")]
    let x = |n: usize| 3.0 + n as f64 / (values.len().max(2) - 1) as f64 * (WIDTH - 6.0);
    let at = |n: usize| values.get(n).copied().flatten();
    for n in 0..values.len() {
        let Some(value) = at(n) else { continue };
        let is_joined = n.checked_sub(1).is_some_and(|before| at(before).is_some());
        if is_joined {
            line.line(x(n), y(value))
        } else {
            line.start(x(n), y(value))
        }
        if n + 1 == values.len() || (!is_joined && at(n + 1).is_none()) {
            dots.dot(x(n), y(value));
        }
    }
    (line, dots)
}

/// At most [`MOST`] values: of those that share a place, the one that is farthest from the mean of all. A place is a
/// gap if any of them is missing.
fn thinned(values: &[Option<f64>]) -> Vec<Option<f64>> {
    let values: Vec<Option<f64>> = values.iter().map(|value| drawable(*value)).collect();
    let known = || values.iter().copied().flatten();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand values")]
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    let farthest = |part: &[Option<f64>]| {
        let known: Option<Vec<f64>> = part.iter().copied().collect();
        known?.into_iter().max_by(|a, b| (a - mean).abs().total_cmp(&(b - mean).abs()))
    };
    chunks(0..values.len(), MOST).into_iter().map(|part| farthest(&values[part])).collect()
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
    values.iter().map(|value| value.filter(|value| !value.is_nan()).map_or('·', block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::samples::noise;

    #[test]
    fn a_text_shows_size_and_gaps() {
        let values = [Some(0.0), Some(5.0), None, Some(10.0), Some(99.0), Some(f64::NAN)];
        assert_eq!(text(&values, 10.0), "▁▄·██·");
    }

    #[test]
    fn a_sparkline_is_at_most_a_kilobyte() {
        for count in [60, 96, 3_000] {
            let values: Vec<Option<f64>> = (0..count).map(|n| Some(noise(n) * 1e5)).collect();
            let svg = svg(&values, Some(7e4));
            assert!(svg.as_str().len() <= 1_024, "{count}: {}", svg.as_str().len());
        }
    }

    #[test]
    fn a_gap_cuts_the_line_and_a_lone_value_is_a_dot() {
        let svg = svg(&[Some(1.0), Some(2.0), None, Some(2.0), None, Some(1.0), Some(1.0)], None);
        assert!(svg.as_str().contains("class=\"c-line\" d=\"M3 12.3l19-8.8m38 0m38 8.8h19\""), "{svg}");
        assert!(svg.as_str().contains("class=\"c-dot c-small\" d=\"M60 3.5h.01m57 8.8h.01\""), "{svg}");
        for odd in [vec![], vec![None], vec![Some(f64::NAN), Some(f64::INFINITY)], vec![Some(-1e29), Some(1e29)]] {
            let svg = super::svg(&odd, Some(f64::MIN_POSITIVE));
            assert!(!svg.as_str().contains("NaN") && !svg.as_str().contains("inf"), "{svg}");
        }
    }

    #[test]
    fn first_reports_are_a_line_of_their_own() {
        let values = [Some(1.0), Some(2.0), Some(3.0)];
        assert_eq!(svg(&values, None), compared(&values, &[]), "without first reports it is the same drawing");
        let both = compared(&values, &[Some(1.0), Some(9.0), None]);
        assert!(both.as_str().contains("c-stem") && both != compared(&values, &[]), "{both}");
    }

    #[test]
    fn the_one_extreme_of_many_values_is_kept() {
        let mut values: Vec<Option<f64>> = vec![Some(1.0); 3_000];
        values[1_234] = Some(50.0);
        assert!(thinned(&values).contains(&Some(50.0)));
        values[2_000] = None;
        assert!(thinned(&values).contains(&None));
    }
}
