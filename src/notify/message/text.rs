//! Renders the message as plain text.

use std::fmt::Write as _;

use super::{Notice, Section};
use crate::text::line::{clipped, single_line};

/// Longest cohort name in a text: it comes from data and may be of any length.
const LONGEST_NAME: usize = 200;

impl Notice {
    /// Renders the whole message as plain text.
    pub fn plain_text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        if let Some(why) = self.why() {
            let _infallible = writeln!(text, "\n{why}");
        }
        for section in &self.rules {
            section.write_text(&mut text, self.rules.len() > 1);
        }
        let commands = self.commands();
        if !commands.is_empty() {
            let _infallible = writeln!(text, "\nDetails and acknowledgement:");
            for command in commands {
                let _infallible = writeln!(text, "  {command}");
            }
        }
        let _infallible = writeln!(text, "\n{}", self.footer());
        text
    }
}

impl Section {
    fn write_text(&self, text: &mut String, is_one_of_several: bool) {
        if is_one_of_several {
            let _infallible = writeln!(text, "\n== {} ({})", self.rule.name, self.rule.severity);
        }
        let _infallible = writeln!(text, "\n{}", single_line(&self.summary()));
        if let Some(runbook) = &self.rule.runbook {
            let _infallible = writeln!(text, "\nRunbook: {}", single_line(runbook));
        }
        let (named, more) = self.named();
        for alert in named {
            let _infallible = writeln!(text, "\n{}", single_line(&clipped(&alert.caption(), LONGEST_NAME)));
            for (name, value) in alert.rows() {
                let _infallible = writeln!(text, "  {name:<12} {}", single_line(&value));
            }
        }
        if more > 0 {
            let _infallible = writeln!(text, "\nand {more} more; see trueup.alert_history");
        }
        if !self.changes.is_empty() {
            let _infallible = writeln!(text, "\nChanges before the alert:");
            for change in &self.changes {
                let _infallible = writeln!(text, "  {}", single_line(&change.line()));
            }
        }
        if !self.query.is_empty() {
            let _infallible = writeln!(text, "\nReproduce:\n{}", self.query);
        }
    }
}
