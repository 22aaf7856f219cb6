//! The frame around a drawing: an outer SVG in CSS pixels with all text, and an inner one that stretches to the width
//! of the page.

use std::fmt::Display;

use chrono_tz::Tz;

use crate::chart::markup::{Markup, Path, Svg};
use crate::chart::scale::{Scale, Tick};

/// Height and words of a drawing. The width is that of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// Height of the plotted part, in CSS pixels.
    pub height: u32,
    /// Zone of the axis of time.
    pub zone: Tz,
    /// Unit of the values, such as `MW`; may be empty.
    pub unit: String,
    /// Name of the drawing for screen readers.
    pub label: String,
}

impl Default for Size {
    fn default() -> Self {
        Self { height: 240, zone: Tz::UTC, unit: String::new(), label: "chart".to_owned() }
    }
}

/// Width of the inner SVG in its own units. Its height is in CSS pixels.
pub(super) const WIDTH: f64 = 1_000.0;

/// Height of a line of text.
pub(super) const TEXT: f64 = 20.0;

/// Position on the axis across as an attribute of the outer SVG.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A drawing under construction.
pub(super) struct Frame {
    /// Rectangles below the drawing, in pixels and percent.
    pub(super) ground: Markup,
    /// The stretched drawing.
    pub(super) plot: Markup,
    /// Text over the drawing.
    pub(super) text: Markup,
    /// Height of everything, in pixels.
    height: f64,
    /// Left end and width of the plot as shares of the whole width.
    left: f64,
    label: String,
}

impl Frame {
    pub(super) fn new(label: &str, height: f64) -> Self {
        let (ground, plot, text) = Default::default();
        Self { ground, plot, text, height, left: 0.0, label: if label.is_empty() { "chart" } else { label }.to_owned() }
    }

    /// Sets the height of everything, in pixels.
    pub(super) fn grow(&mut self, height: f64) {
        self.height = height;
    }

    /// Leaves a share of the width on the left for names.
    pub(super) fn indent(&mut self, left: f64) {
        self.left = left;
    }

    /// Draws horizontal lines at ticks, between two heights, each with its label above it. The topmost label has the
    /// unit.
    pub(super) fn values(&mut self, ticks: &[Tick], top: f64, bottom: f64, unit: &str) {
        let mut lines = Path::default();
        for (n, tick) in ticks.iter().enumerate() {
            let y = bottom - tick.share * (bottom - top);
            lines.start(0.0, y);
            lines.line(WIDTH, y);
            let is_last = n + 1 == ticks.len() && !unit.is_empty();
            let text = if is_last { format!("{} {}", tick.text, unit.trim()) } else { tick.text.clone() };
            self.text.text("text", &[("x", &"2"), ("y", &pixels(y - 4.0))], &text);
        }
        self.plot.path("c-grid", &lines);
    }

    /// Writes labels below a drawing whose lower end is at a height.
    pub(super) fn across(&mut self, ticks: &[Tick], bottom: f64) {
        let mut lines = Path::default();
        for tick in ticks {
            lines.start(tick.share * WIDTH, bottom);
            lines.line(tick.share * WIDTH, bottom + 4.0);
            self.words(tick.share, bottom + 18.0, "", &tick.text);
        }
        self.plot.path("c-axis", &lines);
    }

    /// Writes labels below a drawing, and further ones between them that only wide screens show.
    pub(super) fn across_or_more(&mut self, few: &[Tick], more: &[Tick], bottom: f64) {
        // A label of five characters on a screen of 900 pixels.
        const NEAREST: f64 = 0.055;
        self.across(few, bottom);
        let is_same = |a: &Tick, b: &Tick| (a.share - b.share).abs() < 1e-6;
        let is_finer = few.iter().all(|tick| more.iter().any(|other| is_same(tick, other)));
        let is_loose = more.windows(2).all(|pair| pair[1].share - pair[0].share > NEAREST);
        for tick in more.iter().filter(|tick| is_finer && is_loose && !few.iter().any(|other| is_same(tick, other))) {
            self.words(tick.share, bottom + 18.0, "wide", &tick.text);
        }
    }

    /// Writes the labels of columns of equal width: those that fit on a phone, and further ones on wide screens.
    pub(super) fn labels<'a>(&mut self, labels: impl Iterator<Item = &'a str> + Clone, bottom: f64) {
        // Shares of the width that six characters need on a phone and on a wide screen.
        let (phone, wide) = (0.19 / (1.0 - self.left), 0.075 / (1.0 - self.left));
        let count = labels.clone().count().max(1);
        #[expect(clippy::cast_precision_loss, reason = "a few columns")]
        let middle = |n: usize| (n as f64 + 0.5) / count as f64;
        let (mut last_always, mut last) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for (n, label) in labels.enumerate().filter(|(_, label)| !label.is_empty()) {
            let share = middle(n);
            if share - last < wide {
                continue;
            }
            last = share;
            let class = if share - last_always < phone { "wide" } else { "" };
            if class.is_empty() {
                last_always = share;
            }
            self.words(share, bottom + 18.0, class, label);
        }
    }

    /// Writes text around a position on the axis across; near an end it begins or ends there.
    pub(super) fn words(&mut self, share: f64, y: f64, class: &str, words: &str) {
        let anchor = if share < 0.08 {
            "start"
        } else if share > 0.92 {
            "end"
        } else {
            "middle"
        };
        let x = percent(self.left + share * (1.0 - self.left));
        let y = pixels(y);
        let mut attributes: Vec<(&'static str, &dyn Display)> = vec![("x", &x), ("y", &y), ("text-anchor", &anchor)];
        if !class.is_empty() {
            attributes.push(("class", &class));
        }
        self.text.text("text", &attributes, words);
    }

    /// Lays invisible targets with tooltips and links over a drawing: at `(x, link, title)`, each as high as the
    /// drawing, so that a finger meets it. A target without a title is left out.
    pub(super) fn targets<'a>(
        &mut self,
        [top, bottom]: [f64; 2],
        width: f64,
        targets: impl Iterator<Item = (f64, Option<&'a str>, &'a str)>,
    ) {
        let width = pixels(width);
        self.plot.open("g", &[("class", &"c-hits"), ("stroke-width", &width)]);
        for (x, link, title) in targets.filter(|(_, _, title)| !title.is_empty()) {
            let mut path = Path::default();
            path.start(x, top);
            path.line(x, bottom);
            self.target(link, title, "", &path);
        }
        self.plot.close("g");
    }

    /// Draws a path with a tooltip and a link.
    pub(super) fn target(&mut self, link: Option<&str>, title: &str, class: &str, path: &Path) {
        match link {
            Some(link) => self.plot.open("a", &[("href", &link)]),
            None => self.plot.open("g", &[]),
        }
        self.plot.text("title", &[], title);
        if class.is_empty() {
            self.plot.empty("path", &[("d", path)]);
        } else {
            self.plot.path(class, path);
        }
        self.plot.close(if link.is_some() { "a" } else { "g" });
    }

    /// Fills a range across with a class.
    pub(super) fn fill(&mut self, class: &str, [from, until]: [f64; 2], top: f64, height: f64) {
        let (x, width) = (percent(self.left + from * (1.0 - self.left)), percent((until - from) * (1.0 - self.left)));
        let (y, height) = (pixels(top), pixels(height));
        self.ground.empty("rect", &[("class", &class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
    }

    /// Fills a range across with slanted lines.
    pub(super) fn hatch(&mut self, [from, until]: [f64; 2], top: f64, height: f64) {
        let (x, width) = (percent(self.left + from * (1.0 - self.left)), percent((until - from) * (1.0 - self.left)));
        let (y, height, fill) = (pixels(top), pixels(height), format!("url(#{})", self.id()));
        self.ground.empty("rect", &[("fill", &fill), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
    }

    /// Id of the slanted lines: the same for drawings of the same name, which define it alike.
    pub(super) fn id(&self) -> String {
        let hash =
            self.label.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        format!("c{hash:08x}")
    }

    /// The drawing for a page.
    pub(super) fn page(self) -> Svg {
        let mut markup = Markup::default();
        let height = pixels(self.height);
        markup.open(
            "svg",
            &[
                ("class", &"chart"),
                ("role", &"group"),
                ("aria-label", &self.label),
                ("width", &"100%"),
                ("height", &height),
            ],
        );
        self.content(&mut markup);
        markup.finish()
    }

    /// The drawing as a file of its own.
    pub(super) fn file(self, css: &str) -> Svg {
        const PIXELS: u32 = 960;
        let mut markup = Markup::default();
        let (height, view) = (pixels(self.height), format!("0 0 {PIXELS} {}", pixels(self.height)));
        markup.open(
            "svg",
            &[
                ("xmlns", &"http://www.w3.org/2000/svg"),
                ("class", &"chart"),
                ("role", &"group"),
                ("aria-label", &self.label),
                ("width", &PIXELS),
                ("height", &height),
                ("viewBox", &view),
            ],
        );
        markup.style(css);
        markup.empty("rect", &[("class", &"c-ground"), ("width", &"100%"), ("height", &"100%")]);
        self.content(&mut markup);
        markup.finish()
    }

    fn content(self, markup: &mut Markup) {
        let id = self.id();
        let (x, width) = (percent(self.left), percent(1.0 - self.left));
        let (height, view) = (pixels(self.height), format!("0 0 {WIDTH} {}", pixels(self.height)));
        if self.ground.has("url(#") || self.plot.has("url(#") {
            markup.open("defs", &[]);
            markup.open(
                "pattern",
                &[("id", &id), ("width", &"6"), ("height", &"6"), ("patternUnits", &"userSpaceOnUse")],
            );
            markup.empty("path", &[("class", &"c-hatch"), ("d", &"M-1 1l2-2M0 6l6-6M5 7l2-2")]);
            markup.close("pattern");
            markup.close("defs");
        }
        markup.append(&self.ground);
        markup.open(
            "svg",
            &[("x", &x), ("width", &width), ("height", &height), ("viewBox", &view), ("preserveAspectRatio", &"none")],
        );
        markup.append(&self.plot);
        markup.close("svg");
        markup.append(&self.text);
        markup.close("svg");
    }
}

/// Labels of values at round numbers: about one every 60 pixels.
pub(super) fn value_ticks(scale: &Scale, height: f64) -> Vec<Tick> {
    scale.ticks(if height < 150.0 { 2 } else { 4 })
}

/// A length in CSS pixels, to a tenth.
pub(super) fn pixels(length: f64) -> f64 {
    (length * 10.0).round() / 10.0
}
