//! A chart as PNG, because mail clients show no SVG; without words, because they are in the text next to it.

use tiny_skia::{
    Color as Fill, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};

use crate::chart::downsample;
use crate::chart::layout::{across, connected, firing, runs, scale};
use crate::chart::palette::{Color, LIGHT};
use crate::chart::scale::Scale;
use crate::chart::series::{Point, Series, drawable};

/// In pixels; shown at half the size, so that it is sharp on a phone.
pub const WIDTH: u32 = 1_200;
pub const HEIGHT: u32 = 320;
const MARGIN: f32 = 16.0;

/// Draws a series. `None` if fewer than two points have a value.
pub fn series(series: &Series) -> Option<Vec<u8>> {
    let points = &series.points;
    if points.iter().filter(|point| point.shown().is_some()).count() < 2 {
        return None;
    }
    let (time, slots) = across(points, &series.range);
    let mut picture = Picture { pixels: Pixmap::new(WIDTH, HEIGHT)?, scale: scale(points)? };
    picture.pixels.fill(Fill::WHITE);
    for span in &series.firings {
        let [from, until] = firing(&time, &slots, span);
        picture.ground(column(from), column(until), LIGHT.firing);
    }
    for run in runs(points, |point| point.shown().is_none()) {
        picture.hatch(column(slots[run.start].start), column(slots[run.end - 1].end));
    }
    let places: Vec<f32> = points.iter().map(|point| place(time.share(point.end))).collect();
    picture.band(points, &places);
    let edges: Vec<(f32, f32)> = slots.iter().map(|slot| (column(slot.start), column(slot.end))).collect();
    picture.level(points, &edges, |point| point.baseline, LIGHT.baseline, [20.0, 12.0]);
    picture.level(points, &edges, |point| point.limit, LIGHT.limit, [9.0, 7.0]);
    picture.values(points, &places);
    picture.pixels.encode_png().ok()
}

/// Pixels across of a share.
#[expect(clippy::cast_possible_truncation, reason = "pixels")]
fn place(share: f64) -> f32 {
    MARGIN + share as f32 * (WIDTH as f32 - 2.0 * MARGIN)
}

/// Pixels across of a position in the units of the SVG.
fn column(x: f64) -> f32 {
    place(x / crate::chart::frame::WIDTH)
}

struct Picture {
    pixels: Pixmap,
    scale: Scale,
}

impl Picture {
    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn y(&self, value: f64) -> f32 {
        HEIGHT as f32 - MARGIN - self.scale.share(value) as f32 * (HEIGHT as f32 - 2.0 * MARGIN)
    }

    fn ground(&mut self, from: f32, until: f32, color: Color) {
        if let Some(rect) = Rect::from_ltrb(from, 0.0, until.max(from), HEIGHT as f32) {
            self.pixels.fill_rect(rect, &paint(color), Transform::identity(), None);
        }
    }

    /// Draws slanted lines in a range without values.
    fn hatch(&mut self, from: f32, until: f32) {
        const APART: f32 = 14.0;
        let mut path = PathBuilder::new();
        let mut x = from - HEIGHT as f32;
        while x < until {
            // The part of a line, which rises by a pixel for each pixel across, that lies in the range.
            let (start, end) = (x.max(from), (x + HEIGHT as f32).min(until));
            if start < end {
                path.move_to(start, HEIGHT as f32 - (start - x));
                path.line_to(end, HEIGHT as f32 - (end - x));
            }
            x += APART;
        }
        self.stroke(path, LIGHT.hatch, Stroke { width: 1.5, ..Stroke::default() });
    }

    fn band(&mut self, points: &[Point], places: &[f32]) {
        for run in runs(points, |point| point.band().is_some()) {
            let edge = |n: usize, is_high: bool| {
                let (low, high) = points[n].band().unwrap_or_default();
                (places[n], self.y(if is_high { high } else { low }))
            };
            let mut path = PathBuilder::new();
            for (k, n) in run.clone().enumerate() {
                let (x, y) = edge(n, true);
                if k == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            for n in run.rev() {
                let (x, y) = edge(n, false);
                path.line_to(x, y);
            }
            path.close();
            if let Some(path) = path.finish() {
                let paint = paint(LIGHT.band);
                self.pixels.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
            }
        }
    }

    /// Draws a value that holds for each window.
    fn level(
        &mut self,
        points: &[Point],
        edges: &[(f32, f32)],
        value: fn(&Point) -> Option<f64>,
        color: Color,
        dash: [f32; 2],
    ) {
        let value = |point: &Point| drawable(value(point)).filter(|_| point.shown().is_some());
        let mut path = PathBuilder::new();
        for run in runs(points, |point| value(point).is_some()) {
            for n in run.clone() {
                let y = self.y(value(&points[n]).unwrap_or_default());
                if n == run.start {
                    path.move_to(edges[n].0, y)
                } else {
                    path.line_to(edges[n].0, y)
                }
                path.line_to(edges[n].1, y);
            }
        }
        let dash = StrokeDash::new(dash.to_vec(), 0.0);
        self.stroke(path, color, Stroke { width: 3.0, dash, ..Stroke::default() });
    }

    /// Draws the values, dashed and hollow where they are provisional. Windows without one are gaps.
    fn values(&mut self, points: &[Point], places: &[f32]) {
        let at = |picture: &Self, n: usize| (places[n], picture.y(points[n].shown().unwrap_or_default()));
        let runs = connected(points, &downsample::kept(points));
        for pair in runs.iter().flat_map(|run| run.windows(2)) {
            let mut path = PathBuilder::new();
            let (from, to) = (at(self, pair[0]), at(self, pair[1]));
            path.move_to(from.0, from.1);
            path.line_to(to.0, to.1);
            let dash = StrokeDash::new(vec![8.0, 7.0], 0.0).filter(|_| points[pair[1]].is_provisional);
            let line_cap = if dash.is_some() { LineCap::Butt } else { LineCap::Round };
            let stroke = Stroke { width: 4.0, line_cap, line_join: LineJoin::Round, dash, ..Stroke::default() };
            self.stroke(path, LIGHT.value, stroke);
        }
        let is_few = points.len() <= 120;
        for run in &runs {
            let last = run.last().copied();
            for n in run.iter().copied().filter(|n| is_few || Some(*n) == last || points[*n].is_breach()) {
                let (x, y) = at(self, n);
                let color = if points[n].is_breach() { LIGHT.limit } else { LIGHT.value };
                self.dot(x, y, 6.0, color);
                if points[n].is_provisional {
                    self.dot(x, y, 3.0, LIGHT.ground);
                }
            }
        }
    }

    fn dot(&mut self, x: f32, y: f32, radius: f32, color: Color) {
        if let Some(dot) = PathBuilder::from_circle(x, y, radius) {
            self.pixels.fill_path(&dot, &paint(color), FillRule::Winding, Transform::identity(), None);
        }
    }

    fn stroke(&mut self, path: PathBuilder, color: Color, stroke: Stroke) {
        if let Some(path) = path.finish() {
            self.pixels.stroke_path(&path, &paint(color), &stroke, Transform::identity(), None);
        }
    }
}

fn paint([red, green, blue]: Color) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::samples;

    fn count(series: &Series, color: Color) -> usize {
        let png = super::series(series).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        picture.pixels().iter().filter(|pixel| [pixel.red(), pixel.green(), pixel.blue()] == color).count()
    }

    #[test]
    fn the_picture_shows_the_metric_the_limit_the_firing_and_the_gap() {
        let mut series = samples::series(96);
        assert!(count(&series, LIGHT.value) > 2_000, "the metric");
        assert!(count(&series, LIGHT.limit) > 500, "the limit");
        assert!(count(&series, LIGHT.firing) > 5_000, "the firing");
        assert!(count(&series, LIGHT.hatch) > 50, "the gap");
        series.firings.clear();
        assert_eq!(count(&series, LIGHT.firing), 0);
        series.points.iter_mut().for_each(|point| point.value = None);
        assert_eq!(super::series(&series), None);
    }
}
