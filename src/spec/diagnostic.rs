//! A mistake in a user's file: its position, its code, and a hint on how to fix it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level as Severity, Renderer, Snippet};

use crate::spec::codes;
use crate::text::visible;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The job cannot run.
    Error,
    /// The job runs, but probably not as intended.
    Warning,
}

/// One finding in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub level: Level,
    /// Stable kebab-case name.
    pub code: &'static str,
    pub message: String,
    /// Byte range in the text. Empty at 0 if the finding concerns the whole file.
    pub span: Range<usize>,
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Creates an error: a mistake that prevents the job from running.
    pub fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        debug_assert!(codes::find(code).is_some(), "`{code}` has no page in `spec/codes.rs`");
        Self { level: Level::Error, code, message: message.into(), span, hint: None }
    }

    /// Creates a warning: a setting that is probably not intended.
    pub fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        debug_assert!(codes::find(code).is_some(), "`{code}` has no page in `spec/codes.rs`");
        Self { level: Level::Warning, code, message: message.into(), span, hint: None }
    }

    /// Adds a hint on how to fix it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns line and column, both from 1; the column counts characters.
    pub fn position(&self, text: &str) -> (usize, usize) {
        let before = &text[..floor_boundary(text, self.span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Renders the finding with its source line marked, for a terminal.
    pub fn render(&self, path: &str, text: &str, color: bool) -> String {
        let severity = match self.level {
            Level::Error => Severity::ERROR,
            Level::Warning => Severity::WARNING,
        };
        // Escape control characters before coloring: escape sequences in the file would pass for those of the renderer.
        let seen = |index: usize| visible::lines(&text[..floor_boundary(text, index)]).len();
        let (end, source, path) = (seen(self.span.end), visible::lines(text), visible::line(path));
        let span = seen(self.span.start).min(end)..end;
        let snippet = Snippet::source(&source).path(&path).annotation(AnnotationKind::Primary.span(span));
        let message = visible::lines(&self.message);
        let hint = self.hint.as_deref().map(visible::lines);
        let mut group = severity.primary_title(&message).id(self.code).element(snippet);
        if let Some(hint) = &hint {
            group = group.element(Severity::HELP.message(hint));
        }
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// Returns the character boundary at or before `index`.
fn floor_boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Returns the known name nearest to the one written, if it is near enough to be a typo.
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(written.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_from_one() {
        let text = "a = 1\nüb = x\n";
        let found = Diagnostic::error("toml-syntax", text.find("b =").unwrap()..text.len(), "m");
        assert_eq!(found.position(text), (2, 2));
    }

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!(did_you_mean("abov", ["above", "below"]), Some("above"));
        assert_eq!(did_you_mean("threshold", ["above", "below"]), None);
    }
}
