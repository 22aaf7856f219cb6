//! Writes SVG: the only code that constructs [`Svg`], so that all text in it is escaped.

use std::fmt::{self, Display, Write};

/// A drawing that is safe to put into a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Svg {}

/// SVG text that is being written. Attributes and text are escaped; names of tags and attributes are our own.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Opens an element.
    pub(super) fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &dyn Display)]) {
        self.tag(tag, attributes, ">");
    }

    /// Writes an element without content.
    pub(super) fn empty(&mut self, tag: &'static str, attributes: &[(&'static str, &dyn Display)]) {
        self.tag(tag, attributes, "/>");
    }

    pub(super) fn close(&mut self, tag: &'static str) {
        self.push(format_args!("</{tag}>"));
    }

    /// Writes an element with text.
    pub(super) fn text(&mut self, tag: &'static str, attributes: &[(&'static str, &dyn Display)], text: &str) {
        self.open(tag, attributes);
        self.escape(text);
        self.close(tag);
    }

    /// Writes a path, unless it is empty.
    pub(super) fn path(&mut self, class: &str, path: &Path) {
        if !path.is_empty() {
            self.empty("path", &[("class", &class), ("d", path)]);
        }
    }

    /// Writes a path as thick as a row of cells, unless it is empty.
    pub(super) fn band(&mut self, class: &str, thickness: f64, path: &Path) {
        if !path.is_empty() {
            self.empty("path", &[("class", &class), ("stroke-width", &thickness), ("d", path)]);
        }
    }

    /// Writes text into the element that is open.
    pub(super) fn words(&mut self, text: &str) {
        self.escape(text);
    }

    /// Appends markup that was written before.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Writes a style sheet of our own.
    pub(super) fn style(&mut self, css: &str) {
        self.push(format_args!("<style>{css}</style>"));
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    pub(super) fn finish(self) -> Svg {
        Svg(self.0)
    }

    fn tag(&mut self, tag: &'static str, attributes: &[(&'static str, &dyn Display)], end: &str) {
        self.push(format_args!("<{tag}"));
        for (name, value) in attributes {
            self.push(format_args!(" {name}=\""));
            self.escape(&value.to_string());
            self.0.push('"');
        }
        self.0.push_str(end);
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        let _infallible = self.0.write_fmt(text);
    }

    fn escape(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\n' | '\t' => self.0.push(c),
                // XML has no form for these.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

/// Data of a path in tenths of a unit, relative after the first point: half the length of absolute coordinates.
#[derive(Debug, Default, Clone)]
pub(super) struct Path {
    data: String,
    at: (i64, i64),
    origin: (i64, i64),
    dots: u32,
}

impl Path {
    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Begins a part of the path at an absolute position.
    pub(super) fn start(&mut self, x: f64, y: f64) {
        let to = (tenths(x), tenths(y));
        if self.data.is_empty() {
            self.pair("M", to.0, to.1);
        } else {
            self.pair("m", to.0 - self.at.0, to.1 - self.at.1);
        }
        self.at = to;
        self.origin = to;
    }

    /// Draws a line to an absolute position.
    pub(super) fn line(&mut self, x: f64, y: f64) {
        let to = (tenths(x), tenths(y));
        match (to.0 - self.at.0, to.1 - self.at.1) {
            (0, 0) => {}
            (dx, 0) => self.single("h", dx),
            (0, dy) => self.single("v", dy),
            (dx, dy) => self.pair("l", dx, dy),
        }
        self.at = to;
    }

    /// Draws a dot. A stroke of no length would not be drawn by every browser; round caps make this one a circle.
    pub(super) fn dot(&mut self, x: f64, y: f64) {
        self.start(x, y);
        self.data.push_str("h.01");
        // Not the way back as well: Chromium draws half a circle for that. Ten dots have moved by a tenth.
        self.dots += 1;
        if self.dots.is_multiple_of(10) {
            self.at.0 += 1;
        }
    }

    /// Draws a closed rectangle.
    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64) {
        self.start(x, y);
        self.line(x + width, y);
        self.line(x + width, y + height);
        self.line(x, y + height);
        self.end();
    }

    /// Closes the current part.
    pub(super) fn end(&mut self) {
        self.data.push('z');
        self.at = self.origin;
    }

    fn single(&mut self, command: &str, value: i64) {
        self.data.push_str(command);
        self.number(value);
    }

    fn pair(&mut self, command: &str, x: i64, y: i64) {
        self.single(command, x);
        if y >= 0 {
            self.data.push(' ');
        }
        self.number(y);
    }

    fn number(&mut self, tenths: i64) {
        let (sign, whole, rest) = (if tenths < 0 { "-" } else { "" }, tenths.abs() / 10, tenths.abs() % 10);
        let _infallible = match (whole, rest) {
            (whole, 0) => write!(self.data, "{sign}{whole}"),
            (0, rest) => write!(self.data, "{sign}.{rest}"),
            (whole, rest) => write!(self.data, "{sign}{whole}.{rest}"),
        };
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.data)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cast to an integer saturates, and drawings are small")]
fn tenths(value: f64) -> i64 {
    (value.clamp(-1e6, 1e6) * 10.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut markup = Markup::default();
        markup.text("title", &[("class", &"\"><script>")], "<b>&\u{0}\u{1b}\u{ffff}'ü");
        let expected = "<title class=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt;&amp;\u{fffd}\u{fffd}\u{fffd}'ü</title>";
        assert_eq!(markup.finish().as_str(), expected);
    }

    #[test]
    fn a_path_is_short_and_does_not_drift() {
        let mut path = Path::default();
        path.start(1.0, 2.04);
        path.line(1.25, -3.0);
        path.line(9.0, -3.0);
        path.line(9.0, f64::NAN);
        path.rectangle(1.0, 1.0, 2.0, 3.0);
        path.dot(0.0, 0.0);
        path.dot(0.5, 0.0);
        assert_eq!(path.to_string(), "M1 2l.3-5h7.7v3m-8 1h2v3h-2zm-1-1h.01m.5 0h.01");
    }
}
