//! All default wording of notifications. A [`Notice`] holds the facts; only this module puts them into words.

mod facts;
mod headline;
mod html;
mod pages;
pub mod samples;
mod table;
mod text;

use crate::text::line::single_line;
use crate::text::number::{amount, number, percent};
use crate::text::time::minute;

pub use facts::{AlertFacts, ChangeFacts, JobFacts, Notice, Point, RuleContext, RuleFacts, SCHEMA, Section, rank};
pub use html::CHART;
pub use pages::Page;

/// Most alerts of a rule that a text names; the rest are counted.
pub const MOST_NAMED: usize = 10;

impl Notice {
    fn footer(&self) -> String {
        let owner = self.rules.iter().find_map(|section| section.rule.owner.as_deref()).or(self.job.owner.as_deref());
        let owner = owner.map_or(String::new(), |owner| format!(", owned by {owner}"));
        single_line(&format!(
            "{}{owner}. As of {}. {}",
            self.job.description.as_deref().unwrap_or(&self.job.name),
            self.as_of.to_rfc3339(),
            self.id
        ))
    }

    /// Commands that show details and acknowledge the alerts.
    fn commands(&self) -> Vec<String> {
        let mut incidents: Vec<i64> = self.alerts().filter_map(|(_, alert)| alert.incident).collect();
        incidents.sort_unstable();
        incidents.dedup();
        let mut lines: Vec<String> = incidents.iter().map(|id| format!("trueup incident {id}")).collect();
        let open = self.alerts().find(|(_, alert)| alert.is_firing() && alert.acknowledged_by.is_none());
        if let Some(incident) = open.and_then(|(_, alert)| alert.incident) {
            lines.push(format!("trueup alerts ack --incident {incident}"));
        }
        lines
    }
}

impl Section {
    /// Returns the alerts that are named, and the number of those that are not.
    fn named(&self) -> (&[AlertFacts], usize) {
        let named = &self.alerts[..self.alerts.len().min(MOST_NAMED)];
        (named, self.alerts.len() - named.len() + self.omitted)
    }
}

impl ChangeFacts {
    fn line(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        format!("{} {}{note} ({})", minute(self.at), self.kind, self.author)
    }
}

impl AlertFacts {
    fn target(&self) -> String {
        match &self.model_version {
            Some(version) => format!("{}, version {version}", self.cohort),
            None => self.cohort.clone(),
        }
    }

    /// Caption above the numbers: target and state.
    fn caption(&self) -> String {
        let what = match (self.state.as_str(), self.is_new) {
            ("resolved", _) if self.closed.is_some() => " (closed)",
            ("resolved", _) => " (resolved)",
            (_, true) => "",
            (_, false) => " (still firing)",
        };
        format!("{}{what}", self.target())
    }

    /// Returns the note of an alert about runs, the source or deliveries, which has neither value nor limit.
    fn operation_note(&self) -> Option<&str> {
        (self.value.is_none() && self.limit.is_none()).then_some(self.note.as_deref()?)
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let person = self.acknowledged_by.iter().map(|who| ("acknowledged", format!("by {who}")));
        if self.limit.is_none() && self.value.is_none() {
            // An alert about runs has no numbers to show.
            rows.extend(self.note.iter().map(|note| ("reason", note.clone())));
            rows.extend(self.since.map(|since| ("since", minute(since))));
            rows.extend(person);
            return rows;
        }
        rows.extend([("value", amount(self.value, &self.unit)), ("limit", limit(self))]);
        if let Some(baseline) = self.baseline {
            rows.push(("baseline", amount(Some(baseline), &self.unit)));
        }
        if let (Some(low), Some(high)) = (self.ci_low, self.ci_high) {
            rows.push(("interval", format!("{} to {}{} (95 %)", number(low), number(high), self.unit)));
        }
        rows.push(("samples", format!("{} labeled of {} predictions", self.labeled, self.predictions)));
        rows.extend(self.coverage.map(|share| ("coverage", format!("{:.1} %", share * 100.0))));
        if let Some(share) = self.squared_error_share {
            rows.push(("share", format!("{} of the total squared error", percent(share))));
        }
        rows.push((
            "window",
            format!("{} to {} ({})", minute(self.window_start), minute(self.window_end), self.status),
        ));
        if let Some(since) = self.since {
            rows.push(("since", minute(since)));
        }
        if let Some(note) = &self.note {
            rows.push(("note", note.clone()));
        }
        rows.extend(person);
        rows
    }
}

/// Formats a limit as it was written, or to four digits if it was computed from a baseline.
fn limit(alert: &AlertFacts) -> String {
    match (alert.limit, alert.baseline) {
        (Some(limit), None) if limit == f64::MIN_POSITIVE => "above 0".to_owned(),
        (Some(limit), None) => format!("{limit}{}", alert.unit),
        (limit, _) => amount(limit, &alert.unit),
    }
}
