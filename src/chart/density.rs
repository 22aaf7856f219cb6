//! Predicted against actual values as a density.

use std::ops::Range;

use crate::chart::frame::{Frame, TEXT, WIDTH};
use crate::chart::markup::{Path, Svg};
use crate::chart::scale::Scale;
use crate::chart::series::drawable;
use crate::chart::shade;

/// Cells on each axis.
pub const CELLS: usize = 48;

/// Counts of samples by predicted and actual value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Density {
    /// Values on both axes, which are alike so that the 1:1 line is the diagonal.
    pub range: Range<f64>,
    /// `counts[actual * CELLS + predicted]`, both from the smallest value on.
    pub counts: Vec<i64>,
    /// The worst samples.
    pub worst: Vec<Dot>,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

/// One sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dot {
    pub predicted: f64,
    pub actual: f64,
    pub link: Option<String>,
    /// Tooltip.
    pub title: String,
}

/// Height of the plot, in pixels.
const HEIGHT: f64 = 360.0;

/// Draws the density, the 1:1 line and the worst samples.
pub fn svg(density: &Density) -> Svg {
    let (top, bottom) = (TEXT, TEXT + HEIGHT);
    let mut frame = Frame::new(&density.label, bottom + TEXT + 2.0);
    let Some(scale) = density.scale() else { return frame.page() };
    let (wide, high) = (WIDTH / CELLS as f64, HEIGHT / CELLS as f64);
    let most = density.counts.iter().copied().max().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "cells")]
    let place = |row: usize, column: usize| (column as f64 * wide, bottom - (row as f64 + 0.5) * high);
    let mut shades: [Path; 7] = Default::default();
    for (row, counts) in density.counts.chunks(CELLS).take(CELLS).enumerate() {
        for (run, shade) in shade::runs(counts.iter().map(|count| shade(*count, most))) {
            let ((x, y), (until, _)) = (place(row, run.start), place(row, run.end));
            shades[shade].start(x, y);
            shades[shade].line(until, y);
        }
    }
    for (n, path) in shades.iter().enumerate() {
        frame.plot.band(&format!("c-shade-{}", n + 1), high + 0.3, path);
    }
    frame.values(&scale.ticks(5), top, bottom, &density.unit);
    let mut diagonal = Path::default();
    diagonal.start(0.0, bottom);
    diagonal.line(WIDTH, top);
    frame.plot.path("c-halo", &diagonal);
    frame.plot.path("c-diagonal", &diagonal);
    for dot in &density.worst {
        let mut path = Path::default();
        path.dot(scale.share(dot.predicted) * WIDTH, bottom - scale.share(dot.actual) * HEIGHT);
        frame.target(dot.link.as_deref(), &dot.title, "c-dot c-worst", &path);
    }
    frame.across(&scale.ticks(4), bottom);
    frame.page()
}

impl Density {
    fn scale(&self) -> Option<Scale> {
        let (low, high) = (drawable(Some(self.range.start))?, drawable(Some(self.range.end))?);
        (low < high).then_some(Scale { low, high })
    }
}

/// Shade of a count: logarithmic, because a few cells hold most samples. `None` without samples.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of seven shades"
)]
fn shade(count: i64, most: i64) -> Option<usize> {
    let share = (count.max(0) as f64).ln_1p() / (most.max(1) as f64).ln_1p();
    // The palest shade is that of the ground.
    (count > 0).then(|| 1 + (share.clamp(0.0, 1.0) * 5.999) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::samples::noise;

    #[test]
    fn a_full_density_is_small_and_has_the_line_and_the_worst_samples() {
        let count = |n: usize| {
            let (row, column) = (n / CELLS, n % CELLS);
            (noise(n as i64) * 900.0 / (1.0 + (row as f64 - column as f64).powi(2))) as i64
        };
        let dot = Dot { predicted: 1.0, actual: 9.0, link: Some("/a?b&c".into()), title: "<worst>".into() };
        let density = Density {
            range: 0.0..10.0,
            counts: (0..CELLS * CELLS).map(count).collect(),
            worst: vec![dot; 20],
            ..Density::default()
        };
        let svg = svg(&density).to_string();
        assert!(svg.len() < 40_000, "{}", svg.len());
        assert_eq!(svg.matches("<a href=\"/a?b&amp;c\"><title>&lt;worst&gt;</title>").count(), 20);
        assert!(svg.contains("class=\"c-diagonal\" d=\"M0 380l1000-360\""), "{svg}");
    }

    #[test]
    fn any_numbers_make_a_drawing() {
        let dot = Dot { predicted: f64::NAN, actual: f64::INFINITY, ..Dot::default() };
        for range in [0.0..0.0, f64::NAN..1.0, -1e29..1e29] {
            let counts = vec![i64::MAX, -3, 0];
            let svg = svg(&Density { range, counts, worst: vec![dot.clone()], ..Density::default() }).to_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
