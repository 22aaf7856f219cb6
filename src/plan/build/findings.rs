//! Collects findings while a job is planned, and reads the small values that many keys share.

use chrono::TimeDelta;
use chrono_tz::Tz;

use crate::domain::duration;
use crate::spec::diagnostic::did_you_mean;
use crate::spec::{Diagnostic, Document};

/// Findings so far.
pub(super) struct Findings<'a> {
    document: &'a Document,
    findings: Vec<Diagnostic>,
}

/// A finding that was just added, to which a hint can be given.
pub(super) struct Added<'n>(&'n mut Diagnostic);

impl Added<'_> {
    pub(super) fn hint(self, hint: impl Into<String>) {
        self.0.hint = Some(hint.into());
    }
}

impl<'a> Findings<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self { document, findings: Vec::new() }
    }

    /// An empty collector for the same document whose findings are dropped, because they are reported elsewhere.
    pub(super) fn discard(&self) -> Findings<'a> {
        Findings::new(self.document)
    }

    /// The findings without duplicates: two rules with the same wrong name are one mistake.
    pub(super) fn into_findings(self) -> Vec<Diagnostic> {
        let mut found: Vec<Diagnostic> = Vec::new();
        for finding in self.findings {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        found
    }

    pub(super) fn error(&mut self, path: &str, code: &'static str, message: impl Into<String>) -> Added<'_> {
        let finding = self.document.error(path, code, message);
        Added(self.push(finding))
    }

    pub(super) fn warning(&mut self, path: &str, code: &'static str, message: impl Into<String>) -> Added<'_> {
        let finding = Diagnostic::warning(code, self.document.locate(path), message);
        Added(self.push(finding))
    }

    fn push(&mut self, finding: Diagnostic) -> &mut Diagnostic {
        self.findings.push(finding);
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Reads an optional duration.
    pub(super) fn duration(&mut self, path: &str, text: Option<&str>) -> Option<TimeDelta> {
        match duration::parse(text?) {
            Ok(duration) => Some(duration),
            Err(message) => {
                self.error(path, "bad-duration", message).hint(duration::HINT);
                None
            }
        }
    }

    /// Checks an optional ratio from 0 to 1.
    pub(super) fn share(&mut self, path: &str, value: Option<f64>) -> Option<f64> {
        if value.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            let key = path.rsplit('.').next().unwrap_or(path);
            self.error(path, "out-of-range", format!("`{key}` is not a share"))
                .hint("use a ratio from 0 to 1, such as 0.9");
        }
        value
    }

    /// Reads an IANA time zone. Default UTC.
    pub(super) fn zone(&mut self, path: &str, text: Option<&str>) -> Tz {
        let Some(text) = text else { return Tz::UTC };
        if let Ok(zone) = text.parse() {
            return zone;
        }
        let near = did_you_mean(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = near.map_or("use an IANA name such as `Europe/Bucharest` or `UTC`".to_owned(), |n| {
            format!("did you mean `{n}`?")
        });
        self.error(path, "unknown-timezone", format!("`{text}` is not a time zone")).hint(hint);
        Tz::UTC
    }

    /// Checks an optional http(s) link.
    pub(super) fn link(&mut self, path: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        let valid =
            reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !valid {
            self.error(path, "bad-link", format!("`{text}` is not an http(s) link"))
                .hint("write the full URL, beginning with https://");
        }
    }
}
