//! Bars of samples: labeled ones inside of predictions.

use super::view::View;
use crate::chart::layout::chunks;
use crate::chart::markup::{Markup, Path};
use crate::chart::series::Series;

/// Height with the gap above, in pixels.
pub(super) const HEIGHT: f64 = 34.0;
const BARS: f64 = 26.0;

/// Most bars; above that, several windows share one that has their mean.
const MOST: usize = 200;

/// Draws the bars on a lower end.
pub(super) fn draw(plot: &mut Markup, series: &Series, view: &View, bottom: f64) {
    let points = &series.points;
    let bars: Vec<(f64, f64, f64, f64)> = chunks(0..points.len(), MOST)
        .into_iter()
        .map(|part| {
            let (first, last) = (&view.slots[part.start], &view.slots[part.end - 1]);
            let count = |of: fn(&crate::chart::series::Point) -> i64| {
                let total: i64 = points[part.clone()].iter().map(|point| of(point).max(0)).fold(0, i64::saturating_add);
                mean(total, part.len())
            };
            (first.start, last.end, count(|point| point.predictions), count(|point| point.labeled))
        })
        .collect();
    let most = bars.iter().map(|bar| bar.2.max(bar.3)).fold(0.0, f64::max);
    if most <= 0.0 {
        return;
    }
    let (mut predicted, mut labeled) = (Path::default(), Path::default());
    for (from, until, predictions, labels) in bars {
        let (x, width) = (from + (until - from) * 0.1, (until - from) * 0.8);
        for (path, count) in [(&mut predicted, predictions), (&mut labeled, labels)] {
            let height = count / most * BARS;
            if height > 0.0 {
                path.rectangle(x, bottom, width, -height.max(0.5));
            }
        }
    }
    plot.path("c-predicted", &predicted);
    plot.path("c-labeled", &labeled);
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples stay far below 2^53")]
fn mean(total: i64, windows: usize) -> f64 {
    total as f64 / windows.max(1) as f64
}
