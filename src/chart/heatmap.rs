//! A heatmap: one row per cohort or weekday, one column per window or hour.

use std::ops::Range;

use crate::chart::frame::{Frame, TEXT, WIDTH, percent, pixels};
use crate::chart::markup::{Path, Svg};
use crate::chart::palette;
use crate::chart::series::drawable;
use crate::chart::shade;
use crate::text::number::number;

/// Rows of equal length and how their cells are shaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heatmap {
    pub rows: Vec<Row>,
    /// Label of each column; an empty one is not written. As many as each row has cells.
    pub columns: Vec<String>,
    pub shades: Shades,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
    /// Links of cells and columns.
    pub targets: Vec<Target>,
}

/// A link with a tooltip, over one cell or a whole column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `None`: the whole column.
    pub row: Option<usize>,
    pub column: usize,
    pub link: String,
    pub title: String,
}

/// Meaning of the seven shades.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shades {
    /// From the smallest to the largest value.
    #[default]
    Value,
    /// Values are ratios to the usual: from a half and less to twice and more. Worse ones also carry a dot.
    AgainstUsual,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub name: String,
    pub link: Option<String>,
    pub cells: Vec<Cell>,
}

/// One cell. Without a value it is blank.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cell {
    pub value: Option<f64>,
    /// Drawn with a ring.
    pub is_provisional: bool,
    /// Too few samples to say: hatched.
    pub is_too_few: bool,
}

/// Height of a row, in pixels.
pub const ROW: f64 = 24.0;

/// Share of the width for names.
const NAMES: f64 = 0.28;

/// Draws a heatmap.
pub fn svg(heatmap: &Heatmap) -> Svg {
    draw(heatmap).page()
}

/// Draws the same as a file of its own, with colors.
pub fn file(heatmap: &Heatmap) -> Svg {
    draw(heatmap).file(&palette::light_stylesheet())
}

fn draw(heatmap: &Heatmap) -> Frame {
    let mut frame = Frame::new(&heatmap.label, 0.0);
    #[expect(clippy::cast_precision_loss, reason = "rows and columns")]
    let (bottom, count) = (heatmap.rows.len() as f64 * ROW, heatmap.columns().max(1) as f64);
    frame.indent(NAMES);
    frame.grow(bottom + 2.0 * TEXT + 10.0);
    let steps = heatmap.steps();
    let mut layers = Layers { wide: WIDTH / count, ..Layers::default() };
    for (n, row) in heatmap.rows.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "rows")]
        let top = n as f64 * ROW;
        name(&mut frame, row, top);
        layers.row(&row.cells, top, &steps);
    }
    let prefix = if heatmap.shades == Shades::Value { "c-shade" } else { "c-usual" };
    for (n, path) in layers.shades.iter().enumerate() {
        frame.plot.band(&format!("{prefix}-{}", n + 1), ROW - 2.0, path);
    }
    let hatch = format!("url(#{})", frame.id());
    if !layers.few.is_empty() {
        frame.plot.empty("path", &[("stroke", &hatch), ("stroke-width", &(ROW - 2.0)), ("d", &layers.few)]);
    }
    frame.plot.path("c-ring", &layers.rings);
    frame.plot.path("c-dot c-worse", &layers.worse);
    targets(&mut frame, &heatmap.targets, (layers.wide, bottom));
    frame.labels(heatmap.columns.iter().map(String::as_str), bottom);
    legend(&mut frame, &steps, prefix, &heatmap.unit, bottom + TEXT + 16.0);
    frame
}

/// The cells of each kind. A cell is a line as thick as a row: half the length of a rectangle.
#[derive(Default)]
struct Layers {
    shades: [Path; 7],
    few: Path,
    rings: Path,
    worse: Path,
    /// Width of a column.
    wide: f64,
}

impl Layers {
    fn row(&mut self, cells: &[Cell], top: f64, steps: &Steps) {
        let (wide, middle) = (self.wide, top + ROW / 2.0);
        #[expect(clippy::cast_precision_loss, reason = "columns")]
        let x = |n: usize| n as f64 * wide;
        let stroke = |path: &mut Path, run: Range<usize>| {
            path.start(x(run.start), middle);
            path.line(x(run.end), middle);
        };
        let shade_of = |cell: &Cell| cell.shown().filter(|_| !cell.is_too_few).map(|value| steps.shade(value));
        for (run, shade) in shade::runs(cells.iter().map(shade_of)) {
            stroke(&mut self.shades[shade], run);
        }
        for (run, _) in shade::runs(cells.iter().map(|cell| cell.is_too_few.then_some(0))) {
            stroke(&mut self.few, run);
        }
        let is_open = |cell: &Cell| (cell.is_provisional && cell.shown().is_some()).then_some(0);
        for (run, _) in shade::runs(cells.iter().map(is_open)) {
            self.rings.rectangle(x(run.start), top + 1.5, x(run.end) - x(run.start), ROW - 3.0);
        }
        if steps.shades == Shades::AgainstUsual {
            for n in (0..cells.len()).filter(|n| shade_of(&cells[*n]).is_some_and(|shade| shade > 4)) {
                self.worse.dot(x(n) + wide / 2.0, middle);
            }
        }
    }
}

/// Lays links over columns, and over these links those of single cells. A finger and a mouse reach them; the keyboard has the
/// table of the page, which needs fewer steps.
fn targets(frame: &mut Frame, targets: &[Target], (wide, bottom): (f64, f64)) {
    #[expect(clippy::cast_precision_loss, reason = "rows and columns")]
    let place = |n: usize| n as f64;
    for (is_cell, thickness) in [(false, wide), (true, ROW)] {
        let mut wanted = targets.iter().filter(|target| target.row.is_some() == is_cell).peekable();
        if wanted.peek().is_none() {
            continue;
        }
        frame.plot.open("g", &[("class", &"c-hits"), ("stroke-width", &pixels(thickness))]);
        for target in wanted {
            let (mut path, x) = (Path::default(), place(target.column) * wide);
            if let Some(row) = target.row {
                path.start(x, (place(row) + 0.5) * ROW);
                path.line(x + wide, (place(row) + 0.5) * ROW);
            } else {
                path.start(x + wide / 2.0, 0.0);
                path.line(x + wide / 2.0, bottom);
            }
            frame.plot.open("a", &[("href", &target.link), ("tabindex", &-1)]);
            frame.plot.text("title", &[], &target.title);
            frame.plot.empty("path", &[("d", &path)]);
            frame.plot.close("a");
        }
        frame.plot.close("g");
    }
}

/// Writes the name of a row; a nested SVG clips it.
fn name(frame: &mut Frame, row: &Row, top: f64) {
    let width = format!("{}%", NAMES * 100.0 - 1.0);
    frame.text.open("svg", &[("y", &top), ("width", &width), ("height", &ROW)]);
    if let Some(link) = &row.link {
        frame.text.open("a", &[("href", link)]);
    }
    frame.text.open("text", &[("y", &16)]);
    frame.text.words(&row.name);
    frame.text.text("title", &[], &row.name);
    frame.text.close("text");
    if row.link.is_some() {
        frame.text.close("a");
    }
    frame.text.close("svg");
}

/// Draws the shades with the smallest and the largest value.
fn legend(frame: &mut Frame, steps: &Steps, prefix: &str, unit: &str, y: f64) {
    const SWATCH: f64 = 36.0;
    let from = WIDTH * 0.26;
    for n in 0..7_u8 {
        let mut path = Path::default();
        let x = from + f64::from(n) * SWATCH;
        path.start(x, y);
        path.line(x + SWATCH, y);
        frame.plot.band(&format!("{prefix}-{}", n + 1), 10.0, &path);
    }
    let (low, high) = match steps.shades {
        Shades::AgainstUsual => ("half".to_owned(), "twice usual".to_owned()),
        Shades::Value => {
            let more = if steps.is_clipped { "+" } else { "" };
            let unit = if unit.is_empty() { String::new() } else { format!(" {}", unit.trim()) };
            (number(steps.low), format!("{}{more}{unit}", number(steps.high)))
        }
    };
    for (share, anchor, words) in [(0.25, "end", low), (0.522, "start", high)] {
        let x = percent(NAMES + share * (1.0 - NAMES));
        frame.text.text("text", &[("x", &x), ("y", &(y + 5.0)), ("text-anchor", &anchor)], &words);
    }
}

/// The values at which shades change.
struct Steps {
    shades: Shades,
    low: f64,
    high: f64,
    /// True if values above `high` have its shade.
    is_clipped: bool,
}

impl Steps {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of seven shades")]
    fn shade(&self, value: f64) -> usize {
        let share = match self.shades {
            Shades::Value => (value - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE) * 0.999,
            Shades::AgainstUsual => (value.max(f64::MIN_POSITIVE).log2() + 1.0) / 2.0 * 0.999,
        };
        (share.clamp(0.0, 0.999) * 7.0) as usize
    }
}

impl Heatmap {
    fn columns(&self) -> usize {
        self.rows.iter().map(|row| row.cells.len()).max().unwrap_or_default().max(self.columns.len())
    }

    /// One outlier would leave a single shade to all others: the darkest one begins at the 98 % quantile.
    fn steps(&self) -> Steps {
        let cells = self.rows.iter().flat_map(|row| &row.cells).filter(|cell| !cell.is_too_few);
        let mut values: Vec<f64> = cells.filter_map(Cell::shown).collect();
        values.sort_by(f64::total_cmp);
        let low = values.first().copied().unwrap_or_default();
        let high = values.get((values.len() * 98 / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(low);
        let is_clipped = values.last().is_some_and(|last| *last > high);
        Steps { shades: self.shades, low, high, is_clipped }
    }
}

impl Cell {
    /// The value if it can be drawn.
    fn shown(&self) -> Option<f64> {
        drawable(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::samples::noise;

    pub(super) fn sample(shades: Shades) -> Heatmap {
        let cell = |row: i64, column: i64| Cell {
            value: Some(0.4 + 1.8 * noise(row * 90 + column)).filter(|_| (column + row) % 29 != 3),
            is_provisional: column > 80,
            is_too_few: (column * 7 + row * 3) % 31 == 0,
        };
        let row = |row: i64| Row {
            name: format!("region=r{row}"),
            link: Some(format!("/jobs/ro-load?cohort=region%3Dr{row}")),
            cells: (0..90).map(|column| cell(row, column)).collect(),
        };
        let columns =
            (0..90).map(|n| if n % 10 == 0 { format!("{} Nov", n / 10 + 1) } else { String::new() }).collect();
        Heatmap {
            rows: (0..40).map(row).collect(),
            columns,
            shades,
            unit: "MW".into(),
            label: "cohorts".into(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn forty_rows_of_ninety_columns_are_at_most_65_kilobytes() {
        for shades in [Shades::Value, Shades::AgainstUsual] {
            let svg = svg(&sample(shades));
            assert!(svg.as_str().len() <= 65 * 1_024, "{}", svg.as_str().len());
        }
    }

    #[test]
    fn a_cell_and_a_column_are_links_with_a_tooltip() {
        let rows = vec![Row { cells: vec![Cell::default(); 4], ..Row::default() }; 2];
        let target = |row, column, link: &str| Target { row, column, link: link.into(), title: format!("<{column}>") };
        let targets = vec![target(Some(1), 2, "/cell?a=1&b=2"), target(None, 0, "/column")];
        let svg = svg(&Heatmap { rows, targets, ..Heatmap::default() }).to_string();
        let cell = "<g class=\"c-hits\" stroke-width=\"24\"><a href=\"/cell?a=1&amp;b=2\" tabindex=\"-1\"><title>&lt;2&gt;</title><path d=\"M500 36h250\"/></a></g>";
        let column = "<g class=\"c-hits\" stroke-width=\"250\"><a href=\"/column\" tabindex=\"-1\"><title>&lt;0&gt;</title><path d=\"M125 0v48\"/></a></g>";
        assert!(svg.contains(&format!("{column}{cell}")), "a cell lies over its column: {svg}");
    }

    #[test]
    fn each_kind_of_cell_has_its_own_shape() {
        let cell = |value, is_provisional, is_too_few| Cell { value, is_provisional, is_too_few };
        let cells = vec![
            cell(Some(0.5), false, false),
            cell(None, true, false),
            cell(Some(2.0), true, false),
            cell(Some(9.0), false, true),
            cell(Some(f64::NAN), false, false),
        ];
        let rows = vec![Row { name: "<north>".into(), link: None, cells }];
        let svg = svg(&Heatmap { rows, shades: Shades::AgainstUsual, ..Heatmap::default() }).to_string();
        assert!(svg.contains("class=\"c-usual-1\" stroke-width=\"22\" d=\"M0 12h200\""), "{svg}");
        assert!(svg.contains("class=\"c-usual-7\" stroke-width=\"22\" d=\"M400 12h200\""), "{svg}");
        assert!(svg.contains("class=\"c-ring\" d=\"M400 1.5h200v21h-200z\""), "{svg}");
        assert!(svg.contains("class=\"c-dot c-worse\" d=\"M500 12h.01\""), "{svg}");
        assert!(svg.contains("stroke-width=\"22\" d=\"M600 12h200\"") && svg.contains("&lt;north&gt;"), "{svg}");
        assert!(!svg.contains("NaN"));
        assert!(super::svg(&Heatmap::default()).as_str().ends_with("</svg>"));
    }
}
