//! All default wording of notifications. A [`Notice`] holds the facts; only this module puts them into words.

mod facts;
mod html;
pub mod samples;
mod text;

use crate::text::line::single_line;
use crate::text::number::{amount, number, percent};
use crate::text::time::minute;

pub use facts::{AlertFacts, ChangeFacts, JobFacts, Notice, Point, RuleContext, RuleFacts, SCHEMA, Section, rank};
pub use html::CHART;

/// Most alerts of a rule that a text names; the rest are counted.
pub const MOST_NAMED: usize = 5;

impl Notice {
    /// One line: what, how bad, for whom.
    pub fn headline(&self) -> String {
        let severity = self.severity();
        let word = match self.kind.as_str() {
            _ if self.digest => "DIGEST",
            "resolved" if self.alerts().all(|(_, alert)| alert.closed.is_some()) => "CLOSED",
            "resolved" => "RESOLVED",
            "acknowledged" => "ACKNOWLEDGED",
            "test" => "TEST",
            "heartbeat" => "HEARTBEAT",
            _ if self.reason == "escalated" => "ESCALATED",
            _ => "FIRING",
        };
        let told: Vec<&Section> = match self.kind.as_str() {
            "firing" => self.rules.iter().filter(|section| section.is_firing()).collect(),
            _ => self.rules.iter().collect(),
        };
        let line = match told.as_slice() {
            [] => format!("[{word}] {}", self.job.name),
            [only] => format!("[{word}] {severity} {}/{}{}", self.job.name, only.rule.name, only.target()),
            several => {
                let names: Vec<String> = several.iter().take(3).map(|section| section.counted()).collect();
                let more = several.len().saturating_sub(3);
                let rest = if more > 0 { format!(" and {more} more rules") } else { String::new() };
                format!("[{word}] {severity} {}: {}{rest}", self.job.name, names.join(", "))
            }
        };
        single_line(&line)
    }

    /// Explains why the notification was sent, unless the headline makes it plain.
    fn why(&self) -> Option<String> {
        let said = match self.reason.as_str() {
            "repeat" => "Repeat: still firing.".to_owned(),
            "escalated" => "Not acknowledged in time.".to_owned(),
            "new_alerts" => "More alerts of this job are firing.".to_owned(),
            "some_resolved" => "Some alerts have resolved; others are still firing.".to_owned(),
            _ => String::new(),
        };
        let parts: Vec<String> =
            [Some(said).filter(|said| !said.is_empty()), self.note.clone()].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| single_line(&parts.join(" ")))
    }

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
    /// Value and target for a headline: `: rmse 412.3 MW for region=north`.
    fn target(&self) -> String {
        let of_interest: Vec<&AlertFacts> = match self.is_firing() {
            true => self.alerts.iter().filter(|alert| alert.is_firing()).collect(),
            false => self.alerts.iter().collect(),
        };
        let number = |alert: &AlertFacts| format!("{} {}", self.rule.metric, amount(alert.value, &alert.unit));
        match of_interest.as_slice() {
            [] => String::new(),
            [only] => match only.operation_note() {
                Some(words) => format!(": {words}"),
                None => format!(": {} for {}", number(only), only.target()),
            },
            [worst, ..] => format!(": {}, worst {} for {}", self.count(), number(worst), worst.target()),
        }
    }

    /// `rmse-high`, or `rmse-high (7 of 40 cohorts)`.
    fn counted(&self) -> String {
        if self.alerts.len() < 2 { self.rule.name.clone() } else { format!("{} ({})", self.rule.name, self.count()) }
    }

    /// `7 of 40 cohorts`.
    fn count(&self) -> String {
        let firing = self.is_firing();
        let counted = self.alerts.iter().filter(|alert| alert.is_firing() == firing);
        let omitted = if firing { self.omitted } else { 0 };
        let (mine, of) = (counted.clone().count() + omitted, self.rule.judged.unwrap_or_default());
        let what = if counted.clone().all(|alert| alert.cohort == "all") { "versions" } else { "cohorts" };
        if of > mine { format!("{mine} of {of} {what}") } else { format!("{mine} {what}") }
    }

    /// The sentence above the numbers.
    fn summary(&self) -> String {
        let rule = &self.rule;
        let often = if rule.lasting.is_empty() { String::new() } else { format!(" {}", rule.lasting) };
        let firing = self.is_firing();
        let is_operation = self.alerts.first().is_some_and(|alert| alert.operation_note().is_some());
        if let Some(why) = self.alerts.iter().find_map(|alert| alert.closed.as_deref()).filter(|_| !firing) {
            return format!(
                "{} of {} is no longer evaluated: {why}. Recovery was not observed.",
                rule.metric, rule.window
            );
        }
        if is_operation {
            return about_operations(&rule.name, firing).to_owned();
        }
        if !firing {
            return format!("{} of {} is no longer {}.", rule.metric, rule.window, rule.condition);
        }
        let many = if self.alerts.iter().filter(|alert| alert.is_firing()).count() > 1 {
            format!(" for {}{}", self.count(), self.joint_share())
        } else {
            String::new()
        };
        format!("{} of {} is {}{often}{many}.", rule.metric, rule.window, rule.condition)
    }

    /// `, 62 % of the total squared error`, where every firing alert knows its share and they do not overlap.
    fn joint_share(&self) -> String {
        let firing = || self.alerts.iter().filter(|alert| alert.is_firing());
        let shares: Option<Vec<f64>> = firing().map(|alert| alert.squared_error_share).collect();
        // Cohorts of different declarations overlap, and so do versions and their total.
        let dimensions = |cohort: &str| -> Vec<String> {
            cohort.split(", ").map(|part| part.split('=').next().unwrap_or_default().to_owned()).collect()
        };
        let first = firing().next().map(|alert| (dimensions(&alert.cohort), alert.model_version.clone()));
        let alike = firing().all(|alert| Some((dimensions(&alert.cohort), alert.model_version.clone())) == first);
        match shares.filter(|_| alike && self.omitted == 0) {
            Some(shares) => format!(", {} of the total squared error", percent(shares.iter().sum())),
            None => String::new(),
        }
    }

    /// Returns the alerts that are named, and the number of those that are not.
    fn named(&self) -> (&[AlertFacts], usize) {
        let named = &self.alerts[..self.alerts.len().min(MOST_NAMED)];
        (named, self.alerts.len() - named.len() + self.omitted)
    }
}

/// Consequence of a built-in alert about the job's runs, source or deliveries, or of its end.
fn about_operations(rule: &str, firing: bool) -> &'static str {
    match (rule, firing) {
        ("source-shrank", true) => "History keeps the numbers that were measured while the source had the data.",
        ("source-shrank", false) => "The source has all data that history was measured from.",
        ("delivery-failed", true) => "Receivers may miss alerts of this job.",
        ("delivery-failed", false) => "Notifications about this job are delivered again.",
        (_, true) => "Metrics are stale until a run succeeds; no other rule of this job can fire.",
        (_, false) => "Runs of this job publish again.",
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
