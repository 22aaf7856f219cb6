//! Plain bars: label latency, budget spent by day, autocorrelation.

use crate::chart::frame::{Frame, TEXT, WIDTH};
use crate::chart::markup::{Path, Svg};
use crate::chart::palette;
use crate::chart::scale::{self, Scale};
use crate::chart::series::drawable;

/// Bars in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bars {
    pub bars: Vec<Bar>,
    /// Lines above and below zero, such as the bounds of autocorrelation by chance.
    pub bounds: Option<(f64, f64)>,
    pub limit: Option<f64>,
    /// Unit of the values, such as `%`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One bar. Without a value there is a gap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Label below the bar; an empty one is not written.
    pub label: String,
    pub value: Option<f64>,
    /// The value of the first report: a line across the bar.
    pub first_reported: Option<f64>,
    pub link: Option<String>,
    /// Tooltip.
    pub title: String,
}

/// Height of the plot, in pixels.
const HEIGHT: f64 = 160.0;

/// Most bars that have a tooltip each.
const TITLED: usize = 120;

/// Draws the bars.
pub fn svg(bars: &Bars) -> Svg {
    draw(bars).page()
}

/// Draws the same as a file of its own, with colors.
pub fn file(bars: &Bars) -> Svg {
    draw(bars).file(&palette::light_stylesheet())
}

fn draw(bars: &Bars) -> Frame {
    let (top, bottom) = (TEXT, TEXT + HEIGHT);
    let mut frame = Frame::new(&bars.label, bottom + TEXT + 2.0);
    let values = bars.bars.iter().flat_map(|bar| [bar.value, bar.first_reported]);
    let bounds = bars.bounds.map(|(low, high)| [low, high]).into_iter().flatten().map(Some);
    let all = values.chain(bounds).chain([bars.limit]).filter_map(drawable);
    let (low, high) = scale::bounds(all.chain([0.0]));
    let scale =
        Scale { low: if low < 0.0 { low * 1.06 } else { 0.0 }, high: if high > low { high * 1.06 } else { 1.0 } };
    let y = |value: f64| bottom - scale.share(value) * (bottom - top);
    frame.values(&scale.ticks(3), top, bottom, &bars.unit);
    #[expect(clippy::cast_precision_loss, reason = "a few bars")]
    let (wide, place) =
        (WIDTH / bars.bars.len().max(1) as f64, |n: usize| n as f64 * WIDTH / bars.bars.len().max(1) as f64);
    let (mut settled, mut first) = (Path::default(), Path::default());
    for (n, bar) in bars.bars.iter().enumerate() {
        let x = place(n) + wide * 0.12;
        if let Some(value) = drawable(bar.value) {
            settled.rectangle(x, y(0.0), wide * 0.76, y(value) - y(0.0));
        }
        if let Some(value) = drawable(bar.first_reported) {
            first.start(x - wide * 0.08, y(value));
            first.line(x + wide * 0.84, y(value));
        }
    }
    frame.plot.path("c-bar", &settled);
    frame.plot.path("c-first", &first);
    let across = |value: Option<f64>| {
        let mut path = Path::default();
        if let Some(value) = drawable(value) {
            path.start(0.0, y(value));
            path.line(WIDTH, y(value));
        }
        path
    };
    frame.plot.path("c-axis", &across(Some(0.0)));
    frame.plot.path("c-limit", &across(bars.limit));
    frame.plot.path("c-bound", &across(bars.bounds.map(|(low, _)| low)));
    frame.plot.path("c-bound", &across(bars.bounds.map(|(_, high)| high)));
    frame.labels(bars.bars.iter().map(|bar| bar.label.as_str()), bottom);
    if bars.bars.len() <= TITLED {
        let targets = bars.bars.iter().enumerate();
        let targets = targets.map(|(n, bar)| (place(n) + wide / 2.0, bar.link.as_deref(), bar.title.as_str()));
        frame.targets([top, bottom], wide, targets);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_on_zero_and_any_value_is_drawn() {
        let bar = |value| Bar { label: "x".into(), value, title: "t".into(), ..Bar::default() };
        let values = [Some(1.0), Some(-1.0), None, Some(f64::NAN)];
        let bars = Bars { bars: values.map(bar).to_vec(), bounds: Some((-0.2, 0.2)), ..Bars::default() };
        let svg = svg(&bars).to_string();
        // Two rectangles, one up and one down, of the same height.
        assert!(svg.contains("class=\"c-bar\" d=\"M30 100h190v-75.5h-190zm250 0h190v75.5h-190z\""), "{svg}");
        assert_eq!(svg.matches("class=\"c-bound\"").count(), 2);
        for value in [Some(0.0), None, Some(1e29), Some(f64::INFINITY), Some(1e-300)] {
            let svg = super::svg(&Bars { bars: vec![bar(value)], ..Bars::default() }).to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        assert!(!super::svg(&Bars::default()).as_str().is_empty());
    }
}
