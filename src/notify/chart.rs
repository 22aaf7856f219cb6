//! Chart of a series: the metric with its interval, the limit and the time in breach. A PNG, because mail clients show no SVG;
//! without words, because they are in the text next to it.

use chrono::{DateTime, Utc};
use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

use crate::notify::message::{Point, Section};

/// In pixels; shown at half the size, so that it is sharp on a phone.
const WIDTH: u32 = 1_200;
const HEIGHT: u32 = 320;
const MARGIN: f32 = 16.0;

/// Draws the series of a rule's worst alert. `None` if fewer than two points have a value.
pub fn draw(section: &Section) -> Option<Vec<u8>> {
    let points: Vec<&Point> = section.series.iter().collect();
    let worst = section.alerts.first()?;
    let scale = Scale::of(&points, worst.limit)?;
    let mut picture = Pixmap::new(WIDTH, HEIGHT)?;
    picture.fill(Color::WHITE);
    if let Some(since) = worst.since.filter(|_| worst.is_firing()) {
        scale.shade(&mut picture, since);
    }
    scale.band(&mut picture, &points);
    if let Some(limit) = worst.limit {
        scale.level(&mut picture, limit);
    }
    scale.line(&mut picture, &points);
    picture.encode_png().ok()
}

/// Maps times and values to pixels.
struct Scale {
    from: f64,
    seconds: f64,
    low: f64,
    span: f64,
}

impl Scale {
    fn of(points: &[&Point], limit: Option<f64>) -> Option<Self> {
        let shown = |value: &f64| value.is_finite() && value.abs() < 1e30;
        let values: Vec<f64> = points.iter().filter_map(|point| point.value).filter(shown).collect();
        if values.len() < 2 {
            return None;
        }
        let (low, high) = bounds(values.iter().copied());
        // An interval of few samples may be a hundred times as wide as everything else; clip it.
        let room = (high - low).max(high.abs().max(low.abs()) * 0.05).max(f64::MIN_POSITIVE);
        let ends = points.iter().flat_map(|point| [point.ci_low, point.ci_high]).flatten().filter(shown);
        let (ci_low, ci_high) = bounds(ends.chain(values.iter().copied()));
        let (low, high) = (ci_low.max(low - room), ci_high.min(high + room));
        let (low, high) = bounds([low, high].into_iter().chain(limit.filter(shown)));
        let span = (high - low).max(room * 0.1);
        let (from, until) = (seconds(points.first()?.window_end), seconds(points.last()?.window_end));
        Some(Self { from, seconds: (until - from).max(1.0), low: low - span * 0.06, span: span * 1.12 })
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn x(&self, at: DateTime<Utc>) -> f32 {
        let share = ((seconds(at) - self.from) / self.seconds).clamp(0.0, 1.0) as f32;
        MARGIN + share * (WIDTH as f32 - 2.0 * MARGIN)
    }

    #[expect(clippy::cast_possible_truncation, reason = "pixels")]
    fn y(&self, value: f64) -> f32 {
        let share = ((value - self.low) / self.span).clamp(0.0, 1.0) as f32;
        HEIGHT as f32 - MARGIN - share * (HEIGHT as f32 - 2.0 * MARGIN)
    }

    /// Shades the time in breach.
    fn shade(&self, picture: &mut Pixmap, since: DateTime<Utc>) {
        let rect = Rect::from_ltrb(self.x(since), 0.0, WIDTH as f32, HEIGHT as f32);
        if let Some(rect) = rect {
            picture.fill_rect(rect, &paint(255, 235, 233, 255), Transform::identity(), None);
        }
    }

    fn band(&self, picture: &mut Pixmap, points: &[&Point]) {
        for run in points.split(|point| point.ci_low.is_none() || point.ci_high.is_none()) {
            let mut path = PathBuilder::new();
            for (n, point) in run.iter().enumerate() {
                let (x, y) = (self.x(point.window_end), self.y(point.ci_high.unwrap_or_default()));
                if n == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            for point in run.iter().rev() {
                path.line_to(self.x(point.window_end), self.y(point.ci_low.unwrap_or_default()));
            }
            path.close();
            if let Some(path) = path.finish() {
                picture.fill_path(&path, &paint(9, 105, 218, 48), FillRule::Winding, Transform::identity(), None);
            }
        }
    }

    fn level(&self, picture: &mut Pixmap, limit: f64) {
        let mut path = PathBuilder::new();
        path.move_to(0.0, self.y(limit));
        path.line_to(WIDTH as f32, self.y(limit));
        let stroke = Stroke { width: 3.0, dash: StrokeDash::new(vec![14.0, 8.0], 0.0), ..Stroke::default() };
        if let Some(path) = path.finish() {
            picture.stroke_path(&path, &paint(209, 36, 47, 255), &stroke, Transform::identity(), None);
        }
    }

    /// Draws the values; windows without one are gaps, and a value between gaps is a dot.
    fn line(&self, picture: &mut Pixmap, points: &[&Point]) {
        let blue = paint(9, 80, 174, 255);
        for run in points.split(|point| point.value.is_none()) {
            let mut path = PathBuilder::new();
            for (n, point) in run.iter().enumerate() {
                let (x, y) = (self.x(point.window_end), self.y(point.value.unwrap_or_default()));
                if n == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            let stroke = Stroke { width: 4.0, ..Stroke::default() };
            if let Some(path) = path.finish() {
                picture.stroke_path(&path, &blue, &stroke, Transform::identity(), None);
            }
            if let Some(last) = run.last() {
                let (x, y) = (self.x(last.window_end), self.y(last.value.unwrap_or_default()));
                if let Some(dot) = PathBuilder::from_circle(x, y, 7.0) {
                    picture.fill_path(&dot, &blue, FillRule::Winding, Transform::identity(), None);
                }
            }
        }
    }
}

fn paint(r: u8, g: u8, b: u8, a: u8) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(r, g, b, a);
    paint
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 stay far below 2^53")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::samples;

    fn colors(section: &Section) -> Vec<(u8, u8, u8)> {
        let png = draw(section).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        picture.pixels().iter().map(|p| (p.red(), p.green(), p.blue())).collect()
    }

    #[test]
    fn a_chart_shows_the_metric_the_limit_and_the_breach() {
        let section = samples::notice("firing", "region=north").rules.remove(0);
        let seen = colors(&section);
        let count = |color| seen.iter().filter(|seen| **seen == color).count();
        assert!(count((9, 80, 174)) > 1_000, "the metric");
        assert!(count((209, 36, 47)) > 500, "the limit");
        assert!(count((255, 235, 233)) > 5_000, "the breach");
        let mut calm = section;
        calm.alerts[0].state = "resolved".into();
        assert!(!colors(&calm).contains(&(255, 235, 233)));
    }

    #[test]
    fn whatever_the_numbers_are_there_is_a_picture_or_none() {
        let mut section = samples::notice("firing", "all").rules.remove(0);
        for values in [
            vec![Some(1.0), Some(1.0)],
            vec![None, Some(1.0), None, Some(2.0)],
            vec![Some(f64::NAN), Some(1.0), Some(f64::INFINITY), Some(1e300), Some(3.0)],
            vec![Some(0.0), Some(0.0), Some(0.0)],
            vec![Some(-1e29), Some(1e29)],
        ] {
            for (n, value) in values.iter().enumerate() {
                section.series[n].value = *value;
            }
            section.series.truncate(values.len());
            assert!(draw(&section).is_some(), "{values:?}");
            section = samples::notice("firing", "all").rules.remove(0);
        }
        section.series.iter_mut().for_each(|point| point.value = None);
        assert!(draw(&section).is_none());
    }
}
