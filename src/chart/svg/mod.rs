//! Charts of series as SVG.

mod grounds;
mod lines;
mod samples;
mod several;
mod strip;
mod view;

use crate::chart::downsample;
use crate::chart::frame::{Frame, Size, TEXT, value_ticks};
use crate::chart::markup::Svg;
use crate::chart::palette;
use crate::chart::series::Series;
use view::View;

pub use several::several;

/// Most windows that have a tooltip and a link each.
pub const TITLED: usize = 120;

/// Draws a series for a page that has the classes of `chart.css`.
pub fn series(series: &Series, size: &Size) -> Svg {
    frame(series, size, true).page()
}

/// Draws a series as a file of its own, with colors and a width of 960 pixels.
pub fn standalone(series: &Series, size: &Size) -> Svg {
    frame(series, size, false).file(&palette::light_stylesheet())
}

/// Heights of the parts of a chart, in pixels from its top.
struct Parts {
    top: f64,
    /// Lower end of the plot.
    bottom: f64,
    /// Lower end of the bars of samples.
    samples: f64,
    /// Lower end of the verdict strips.
    strip: f64,
}

impl Parts {
    fn of(series: &Series, size: &Size) -> Self {
        let bottom = TEXT + f64::from(size.height.clamp(40, 2_000));
        let has = |is: fn(&crate::chart::series::Point) -> bool| series.points.iter().any(is);
        let samples = bottom + if has(|point| point.predictions > 0) { samples::HEIGHT } else { 0.0 };
        let rows = [has(|point| point.verdict.is_some()), has(|point| point.later_verdict.is_some())];
        let rows = rows.into_iter().filter(|has| *has).count();
        let strip = samples + if rows == 0 { 0.0 } else { strip::GAP + strip::ROW * if rows == 1 { 1.0 } else { 2.0 } };
        Self { top: TEXT, bottom, samples, strip }
    }
}

/// Draws the layers from bottom to top. `is_linked` is false in files, where the addresses of pages lead nowhere.
fn frame(series: &Series, size: &Size, is_linked: bool) -> Frame {
    let parts = Parts::of(series, size);
    let mut frame = Frame::new(&size.label, parts.strip + TEXT + 2.0);
    let view = View::of(series, parts.top, parts.bottom);
    grounds::draw(&mut frame, series, &view, &parts);
    if let Some(scale) = &view.scale {
        frame.values(&value_ticks(scale, parts.bottom - parts.top), parts.top, parts.bottom, &size.unit);
    }
    let kept = downsample::kept(&series.points);
    lines::draw(&mut frame.plot, series, &view, &kept);
    samples::draw(&mut frame.plot, series, &view, parts.samples);
    strip::draw(&mut frame, series, &view, &parts);
    grounds::marks(&mut frame, series, &view, &parts);
    if series.points.len() <= TITLED {
        let targets = series.points.iter().map(|point| {
            let link = point.link.as_deref().filter(|_| is_linked);
            (view.x(point.end), link, point.title.as_str())
        });
        frame.targets([parts.top, parts.strip], view.typical_slot(), targets);
    }
    frame.across_or_more(&view.time.ticks(size.zone, 4), &view.time.ticks(size.zone, 8), parts.strip);
    frame
}

#[cfg(test)]
mod tests;
