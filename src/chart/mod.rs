//! Every drawing of trueup: SVG for pages, PNG for mail, text for terminals, all from the same types. Pure.
//!
//! A drawing is an outer SVG in CSS pixels, which holds the text, around an inner one that stretches to the width of
//! the page. Text keeps its size on every screen, and no attribute `style` is needed. Colors are classes of
//! `web/assets/chart.css`.

pub mod bars;
pub mod calibration;
pub mod density;
pub mod downsample;
mod frame;
pub mod heatmap;
pub mod histogram;
mod layout;
mod markup;
pub mod palette;
pub mod png;
#[cfg(test)]
mod samples;
pub mod scale;
pub mod series;
mod shade;
pub mod sparkline;
pub mod steps;
pub mod svg;
pub mod text;

pub use frame::Size;
pub use markup::Svg;
pub use series::{Line, Mark, Missing, Point, Series, Span};
