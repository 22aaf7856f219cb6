//! Reliability of predicted probabilities.

use crate::chart::frame::{Frame, TEXT, WIDTH};
use crate::chart::markup::{Path, Svg};
use crate::chart::palette;
use crate::chart::scale::Scale;
use crate::chart::series::drawable;

/// Bins of predicted probability in ascending order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    pub bins: Vec<Reliability>,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One bin: mean probability, observed share (both 0 to 1) and number of samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reliability {
    pub predicted: f64,
    pub observed: Option<f64>,
    /// Lower and upper bound of the observed share.
    pub interval: Option<(f64, f64)>,
    pub count: i64,
}

/// Heights of the curve and of the bars below it, in pixels.
const CURVE: f64 = 260.0;
const BARS: f64 = 44.0;

/// Draws the reliability curve, the diagonal and bars of counts.
pub fn svg(calibration: &Calibration) -> Svg {
    draw(calibration).page()
}

/// Draws the same as a file of its own, with colors.
pub fn file(calibration: &Calibration) -> Svg {
    draw(calibration).file(&palette::light_stylesheet())
}

fn draw(calibration: &Calibration) -> Frame {
    let (top, bottom) = (TEXT, TEXT + CURVE);
    let floor = bottom + BARS;
    let mut frame = Frame::new(&calibration.label, floor + TEXT + 2.0);
    let shown: Vec<&Reliability> = calibration.bins.iter().filter(|bin| bin.predicted.is_finite()).collect();
    let place = |share: f64| share.clamp(0.0, 1.0);
    let (x, y) = (|share: f64| place(share) * WIDTH, |share: f64| bottom - place(share) * CURVE);
    frame.values(&Scale { low: 0.0, high: 1.0 }.ticks(5), top, bottom, "");
    let mut diagonal = Path::default();
    diagonal.start(0.0, bottom);
    diagonal.line(WIDTH, top);
    frame.plot.path("c-diagonal", &diagonal);
    let (mut whiskers, mut ends, mut line, mut dots) =
        (Path::default(), Path::default(), Path::default(), Path::default());
    let mut is_joined = false;
    for bin in &shown {
        let Some(observed) = drawable(bin.observed) else {
            is_joined = false;
            continue;
        };
        if let Some((low, high)) = bin.interval.filter(|(low, high)| low.is_finite() && high.is_finite()) {
            whiskers.start(x(bin.predicted), y(low));
            whiskers.line(x(bin.predicted), y(high));
            for end in [y(low), y(high)] {
                ends.start(x(bin.predicted), end - 0.5);
                ends.line(x(bin.predicted), end + 0.5);
            }
        }
        if is_joined {
            line.line(x(bin.predicted), y(observed))
        } else {
            line.start(x(bin.predicted), y(observed))
        }
        dots.dot(x(bin.predicted), y(observed));
        is_joined = true;
    }
    frame.plot.path("c-whisker", &whiskers);
    frame.plot.path("c-ends", &ends);
    frame.plot.path("c-line", &line);
    frame.plot.path("c-dot", &dots);
    frame.plot.path("c-labeled", &bars(&shown, floor, x));
    let titles: Vec<(f64, String)> = shown.iter().map(|bin| (x(bin.predicted), bin.title())).collect();
    frame.targets([top, floor], WIDTH / 24.0, titles.iter().map(|(x, title)| (*x, None, title.as_str())));
    frame.across(&Scale { low: 0.0, high: 1.0 }.ticks(5), floor);
    frame
}

/// Bars of the number of samples around each bin.
#[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
fn bars(bins: &[&Reliability], floor: f64, x: impl Fn(f64) -> f64) -> Path {
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or_default().max(1) as f64;
    let mut path = Path::default();
    let wide = WIDTH / bins.len().max(1) as f64 * 0.6;
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let height = (bin.count as f64 / most * (BARS - 8.0)).max(0.5);
        let from = (x(bin.predicted) - wide / 2.0).clamp(0.0, WIDTH - wide);
        path.rectangle(from, floor, wide, -height);
    }
    path
}

impl Reliability {
    fn title(&self) -> String {
        let observed = drawable(self.observed).map_or("no value".to_owned(), |share| format!("{:.1} %", share * 100.0));
        format!("predicted {:.1} %, observed {observed}, {} samples", self.predicted * 100.0, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_shows_each_bin_and_is_cut_where_there_are_no_samples() {
        let bin = |n: i32| Reliability {
            predicted: f64::from(n) / 10.0,
            observed: Some(f64::from(n * n) / 100.0).filter(|_| n != 5),
            interval: Some((0.1, 0.2)),
            count: i64::from(n) * 100,
        };
        let svg = svg(&Calibration { bins: (0..=10).map(bin).collect(), label: "ECE".into() }).to_string();
        let line = svg.split("class=\"c-line\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert_eq!(line.matches('m').count(), 1, "one gap: {line}");
        assert!(svg.contains("predicted 50.0 %, observed no value, 500 samples"), "{svg}");
        let odd = Reliability { predicted: f64::NAN, observed: Some(f64::INFINITY), ..Reliability::default() };
        let svg =
            super::svg(&Calibration { bins: vec![odd, Reliability { predicted: 7.0, ..odd }], ..Default::default() });
        assert!(!svg.as_str().contains("inf") && svg.as_str().contains("observed no value"), "{svg}");
    }
}
