//! A histogram of errors.

use crate::chart::frame::{Frame, TEXT, WIDTH};
use crate::chart::markup::{Path, Svg};
use crate::chart::scale::{Scale, Tick, bounds};
use crate::chart::series::drawable;

/// Bins in ascending order, and the lines drawn over them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    pub bins: Vec<Bin>,
    /// Bins of the usual distribution: an outline, scaled to the same total.
    pub usual: Vec<Bin>,
    /// Values with a label, such as `p99`.
    pub percentiles: Vec<(f64, String)>,
    /// The mean error.
    pub bias: Option<f64>,
    /// Drawn on both sides of zero.
    pub tolerance: Option<f64>,
    /// Counts on a logarithmic scale.
    pub is_log: bool,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// Number of samples from one value to another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    pub from: f64,
    pub until: f64,
    pub count: f64,
}

/// Height of the plot, in pixels.
const HEIGHT: f64 = 200.0;

/// Draws a histogram.
pub fn svg(histogram: &Histogram) -> Svg {
    let (top, bottom) = (TEXT, TEXT + HEIGHT);
    let mut frame = Frame::new(&histogram.label, bottom + TEXT + 2.0);
    let bins: Vec<Bin> = histogram.bins.iter().filter_map(Bin::shown).collect();
    let total: f64 = bins.iter().map(|bin| bin.count).sum();
    let usual: Vec<Bin> = scaled(&histogram.usual, total);
    let most = bins.iter().chain(&usual).map(|bin| bin.count).fold(0.0, f64::max);
    let (low, high) = bounds(bins.iter().chain(&usual).flat_map(|bin| [bin.from, bin.until]));
    if low >= high || most <= 0.0 {
        return frame.page();
    }
    let across = Scale { low, high };
    let up = Up { most, is_log: histogram.is_log };
    let y = |count: f64| bottom - up.share(count) * (bottom - top) * 0.94;
    frame.values(&up.ticks(), top, bottom, "");
    let mut bars = Path::default();
    for bin in bins.iter().filter(|bin| bin.count > 0.0) {
        let (x, until) = (across.share(bin.from) * WIDTH, across.share(bin.until) * WIDTH);
        let gap = ((until - x) * 0.06).min(1.0);
        bars.rectangle(x + gap, bottom, until - x - 2.0 * gap, y(bin.count) - bottom);
    }
    frame.plot.path("c-bar", &bars);
    frame.plot.path("c-usual", &outline(&usual, |value| across.share(value) * WIDTH, y, bottom));
    lines(&mut frame, histogram, &across, top, bottom);
    let mut ticks = across.ticks(5);
    if let Some(last) = ticks.last_mut().filter(|_| !histogram.unit.is_empty()) {
        last.text = format!("{} {}", last.text, histogram.unit.trim());
    }
    frame.across(&ticks, bottom);
    frame.page()
}

/// Draws the lines, each with a label above the plot unless another one is too near.
fn lines(frame: &mut Frame, histogram: &Histogram, across: &Scale, top: f64, bottom: f64) {
    let tolerance = drawable(histogram.tolerance).map(f64::abs);
    let bias = histogram.bias.map(|bias| (bias, "bias".to_owned(), "c-bias"));
    let tolerances = tolerance.into_iter().flat_map(|size| [-size, size]).map(|at| (at, String::new(), "c-limit"));
    let percentiles = histogram.percentiles.iter().map(|(at, label)| (*at, label.clone(), "c-mark"));
    let mut written: Vec<f64> = Vec::new();
    for (at, label, class) in bias.into_iter().chain(tolerances).chain(percentiles) {
        if !(across.low..=across.high).contains(&at) {
            continue;
        }
        let share = across.share(at);
        let mut path = Path::default();
        path.start(share * WIDTH, top);
        path.line(share * WIDTH, bottom);
        frame.plot.path(class, &path);
        if !label.is_empty() && written.iter().all(|other| (other - share).abs() > 0.08) {
            frame.words(share, top - 6.0, "c-letter", &label);
            written.push(share);
        }
    }
}

/// Bins with another total, so that their shape can be compared.
fn scaled(bins: &[Bin], total: f64) -> Vec<Bin> {
    let bins: Vec<Bin> = bins.iter().filter_map(Bin::shown).collect();
    let own: f64 = bins.iter().map(|bin| bin.count).sum();
    if own <= 0.0 {
        return Vec::new();
    }
    bins.into_iter().map(|bin| Bin { count: bin.count * total / own, ..bin }).collect()
}

/// The upper edge of bins.
fn outline(bins: &[Bin], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64, bottom: f64) -> Path {
    let mut path = Path::default();
    let mut end = None;
    for bin in bins {
        if end != Some(bin.from) {
            path.start(x(bin.from), bottom);
        }
        path.line(x(bin.from), y(bin.count));
        path.line(x(bin.until), y(bin.count));
        end = Some(bin.until);
    }
    if let Some(end) = end {
        path.line(x(end), bottom);
    }
    path
}

impl Bin {
    /// The bin if it can be drawn.
    fn shown(&self) -> Option<Self> {
        let is_range =
            drawable(Some(self.from)).zip(drawable(Some(self.until))).is_some_and(|(from, until)| from < until);
        (is_range && drawable(Some(self.count)).is_some_and(|count| count >= 0.0)).then_some(*self)
    }
}

/// The axis of counts.
struct Up {
    most: f64,
    is_log: bool,
}

impl Up {
    fn share(&self, count: f64) -> f64 {
        let share = if self.is_log { (1.0 + count).ln() / (1.0 + self.most).ln() } else { count / self.most };
        share.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<Tick> {
        let ticks = match self.is_log {
            false => Scale { low: 0.0, high: self.most }.ticks(3),
            true => (0..30)
                .map(|power| 10f64.powi(power))
                .take_while(|count| *count <= self.most)
                .map(|count| Tick { share: self.share(count), text: format!("{count:.0}") })
                .collect(),
        };
        ticks.into_iter().map(|tick| Tick { share: tick.share * 0.94, ..tick }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Histogram {
        let bin = |n: i32| Bin { from: f64::from(n), until: f64::from(n + 1), count: f64::from(1 + (n * 37) % 100) };
        Histogram {
            bins: (0..30).map(bin).collect(),
            usual: (0..30).map(bin).map(|bin| Bin { count: 7.0, ..bin }).collect(),
            percentiles: vec![(14.0, "p50".into()), (28.0, "p99".into()), (28.1, "p99.9".into())],
            bias: Some(3.0),
            tolerance: Some(9.0),
            ..Histogram::default()
        }
    }

    #[test]
    fn lines_and_labels_are_drawn_where_they_are_inside() {
        let svg = svg(&sample()).to_string();
        for class in ["c-bar", "c-usual", "c-bias"] {
            assert_eq!(svg.matches(&format!("class=\"{class}\"")).count(), 1, "{class}");
        }
        assert_eq!(svg.matches("class=\"c-limit\"").count(), 1, "-9 is outside");
        assert!(svg.contains(">p99<") && !svg.contains(">p99.9<") && svg.len() < 4_000, "{svg}");
    }

    #[test]
    fn a_logarithmic_axis_shows_counts_of_one() {
        let mut histogram = Histogram { is_log: true, ..sample() };
        histogram.bins[0].count = 1e6;
        let svg = svg(&histogram).to_string();
        assert!(svg.contains(">1<") && svg.contains(">1000000<"), "{svg}");
    }

    #[test]
    fn any_numbers_make_a_drawing() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
            let bins = vec![Bin { from: 0.0, until: 1.0, count: value }, Bin { from: value, until: 5.0, count: 1.0 }];
            let odd = Histogram { bins, bias: Some(value), tolerance: Some(value), usual: sample().usual, ..sample() };
            let svg = svg(&odd).to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        assert!(svg(&Histogram::default()).as_str().ends_with("</svg>"));
    }
}
