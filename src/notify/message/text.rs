//! Renders the message as plain text.

use std::fmt::Write as _;

use super::table::{AlertTable, LONGEST_NAME};
use super::{Notice, Section};
use crate::text::line::{clipped, single_line};

/// Widest column of cohorts; a longer name has a line of its own.
const WIDEST_NAME: usize = 36;

impl Notice {
    /// Renders the whole message as plain text.
    pub fn plain_text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        let lead = self.lead();
        if !lead.is_empty() {
            let _infallible = writeln!(text, "{lead}");
        }
        let is_single = self.rules.len() == 1;
        let mut links: Vec<String> =
            self.pages().into_iter().map(|page| format!("{}: {}", page.label, page.url)).collect();
        if is_single {
            links.extend(self.rules.iter().filter_map(Section::runbook));
        }
        if !links.is_empty() {
            let _infallible = writeln!(text, "\n{}", links.join("\n"));
        }
        for section in &self.rules {
            section.write_text(&mut text, !is_single);
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
    fn runbook(&self) -> Option<String> {
        self.rule.runbook.as_ref().map(|runbook| format!("Runbook: {}", single_line(runbook)))
    }

    /// Writes the alerts of the rule. The summary and runbook of a single rule stand at the beginning of the message.
    fn write_text(&self, text: &mut String, is_one_of_several: bool) {
        if is_one_of_several {
            let _infallible = writeln!(text, "\n== {} ({})", self.rule.name, self.rule.severity);
            let _infallible = writeln!(text, "\n{}", single_line(&self.summary()));
            if let Some(runbook) = self.runbook() {
                let _infallible = writeln!(text, "\n{runbook}");
            }
        }
        let (named, more) = self.named();
        if let Some(table) = self.table() {
            table.write_text(text);
        } else {
            for alert in named {
                let _infallible = writeln!(text, "\n{}", single_line(&clipped(&alert.caption(), LONGEST_NAME)));
                for (name, value) in alert.rows() {
                    let _infallible = writeln!(text, "  {name:<12} {}", single_line(&value));
                }
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

impl AlertTable {
    /// Writes aligned columns: names to the left, numbers to the right.
    fn write_text(&self, text: &mut String) {
        let length = |text: &str| text.chars().count();
        let names = self.rows.iter().map(|row| length(&row.name)).filter(|width| *width <= WIDEST_NAME);
        let name_width = names.max().unwrap_or_default().max("cohort".len());
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(n, title)| {
                self.rows.iter().map(|row| length(&row.cells[n])).max().unwrap_or_default().max(title.len())
            })
            .collect();
        let line = |name: &str, cells: &[&str]| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("  {cell:>width$}"));
            format!("{name:<name_width$}{}", cells.collect::<String>()).trim_end().to_owned()
        };
        let _infallible = writeln!(text, "\n{}", line("cohort", &self.columns));
        for row in &self.rows {
            let cells: Vec<&str> = row.cells.iter().map(String::as_str).collect();
            let _infallible = match length(&row.name) <= name_width {
                true => writeln!(text, "{}", line(&row.name, &cells)),
                false => writeln!(text, "{}\n{}", row.name, line("", &cells)),
            };
        }
        for (n, remark) in self.remarks.iter().enumerate() {
            let _infallible = writeln!(text, "{}{remark}", if n == 0 { "\n" } else { "" });
        }
    }
}
