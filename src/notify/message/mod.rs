//! Every word a receiver reads. A [`Notice`] holds the facts; it is stored in the outbox and is the webhook body as it is.

mod html;

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Version of the body's shape. It changes only by adding.
pub const SCHEMA: &str = "trueup/v1";
/// How many alerts a text names; the rest is counted.
const MOST_NAMED: usize = 5;

/// One message about one rule of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub schema: String,
    /// Stable over retries.
    pub id: String,
    /// `firing`, `resolved` or `test`.
    pub kind: String,
    /// What was known when it was decided.
    pub as_of: DateTime<Utc>,
    pub job: JobFacts,
    pub rule: RuleFacts,
    /// Worst first.
    pub alerts: Vec<AlertFacts>,
    /// What happened just before the alert began, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeFacts>,
    /// SQL that shows the numbers again.
    pub query: String,
    /// Why the alert ended although nothing was seen to be ok; None when it recovered, and while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
}

/// Whose alert it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobFacts {
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    /// Unit of the target.
    pub unit: Option<String>,
}

/// Which condition it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleFacts {
    pub name: String,
    pub severity: String,
    pub metric: String,
    pub window: String,
    /// In words: `above 250`.
    pub condition: String,
    /// Windows in breach that it takes; 1 where it is a time that counts.
    pub persistence: u32,
    /// How long that must hold, in words: `for 3 windows in a row`. Empty where one window is enough.
    #[serde(default)]
    pub lasting: String,
    pub runbook: Option<String>,
    pub owner: Option<String>,
}

/// Something that happened to the model or its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeFacts {
    /// `deploy`, `retrain`, `schema_change`, `experiment`, `incident` or `backfill`.
    pub kind: String,
    pub at: DateTime<Utc>,
    pub note: String,
    pub author: String,
}

/// One alert of the rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertFacts {
    pub cohort: String,
    /// None: all versions together.
    pub model_version: Option<String>,
    pub state: String,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// What the limit was derived from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Unit of value and limit, with a leading space; empty if none is declared.
    pub unit: String,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub coverage: Option<f64>,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    /// `provisional` or `final`.
    pub status: String,
    /// End of the first window of the breach.
    pub since: Option<DateTime<Utc>>,
    /// What else there is to say, such as when an error budget will be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Notice {
    /// One line: what, how bad, for whom.
    pub fn title(&self) -> String {
        let word = match (self.kind.as_str(), &self.closed) {
            (_, Some(_)) => "CLOSED",
            ("resolved", None) => "RESOLVED",
            ("test", None) => "TEST",
            _ => "FIRING",
        };
        let target = match self.alerts.as_slice() {
            [] => String::new(),
            _ if self.about_runs().is_some() => format!(": {}", self.about_runs().unwrap_or_default()),
            [only] => format!(": {} {} for {}", self.rule.metric, amount(only.value, &only.unit), only.target()),
            [worst, ..] => format!(
                ": {} {} for {}, and {} more",
                self.rule.metric,
                amount(worst.value, &worst.unit),
                worst.target(),
                self.alerts.len() - 1
            ),
        };
        single_line(&format!("[{word}] {} {}/{}{target}", self.rule.severity, self.job.name, self.rule.name))
    }

    /// The whole message as plain text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.title(), self.summary());
        if let Some(runbook) = &self.rule.runbook {
            let _infallible = writeln!(text, "\nRunbook: {runbook}");
        }
        for alert in self.alerts.iter().take(MOST_NAMED) {
            let _infallible = writeln!(text, "\n{}", single_line(&alert.target()));
            for (name, value) in self.rows(alert) {
                let _infallible = writeln!(text, "  {name:<12} {}", single_line(&value));
            }
        }
        if self.alerts.len() > MOST_NAMED {
            let _infallible = writeln!(
                text,
                "\nand {} more; all of them are in trueup.alert_history",
                self.alerts.len() - MOST_NAMED
            );
        }
        if !self.changes.is_empty() {
            let _infallible = writeln!(text, "\nBefore it began:");
            for change in &self.changes {
                let _infallible = writeln!(text, "  {}", single_line(&change.line()));
            }
        }
        let _infallible = writeln!(text, "\nThe numbers again:\n{}\n", self.query);
        text.push_str(&self.footer());
        text.push('\n');
        text
    }

    fn summary(&self) -> String {
        let rule = &self.rule;
        let often = if rule.lasting.is_empty() { String::new() } else { format!(" {}", rule.lasting) };
        if let Some(why) = &self.closed {
            return format!(
                "{} of {} is watched no more: {why}. It was not seen to recover.",
                rule.metric, rule.window
            );
        }
        if self.about_runs().is_some() {
            return match self.kind.as_str() {
                "resolved" => "Its runs publish again.".to_owned(),
                _ => "Its numbers stand still until a run publishes; none of its other rules can fire.".to_owned(),
            };
        }
        match self.kind.as_str() {
            "resolved" => format!("{} of {} is no longer {}.", rule.metric, rule.window, rule.condition),
            "test" => "This is a test: nothing is wrong.".to_owned(),
            _ => format!("{} of {} is {}{often}.", rule.metric, rule.window, rule.condition),
        }
    }

    /// What there is to say of an alert about runs, which has neither value nor limit.
    fn about_runs(&self) -> Option<&str> {
        let alert = self.alerts.first().filter(|alert| alert.value.is_none() && alert.limit.is_none())?;
        alert.note.as_deref()
    }

    fn rows(&self, alert: &AlertFacts) -> Vec<(&'static str, String)> {
        let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M UTC").to_string();
        let mut rows = Vec::new();
        if alert.limit.is_none() && alert.value.is_none() {
            // About runs: there is no number to show.
            rows.extend(alert.note.iter().map(|note| ("what", note.clone())));
            rows.extend(alert.since.map(|since| ("since", time(since))));
            return rows;
        }
        rows.extend([("value", amount(alert.value, &alert.unit)), ("limit", limit(alert))]);
        if let Some(baseline) = alert.baseline {
            rows.push(("baseline", amount(Some(baseline), &alert.unit)));
        }
        if let (Some(low), Some(high)) = (alert.ci_low, alert.ci_high) {
            rows.push(("interval", format!("{} to {}{} (95 %)", number(low), number(high), alert.unit)));
        }
        rows.push(("samples", format!("{} labeled of {} predictions", alert.labeled, alert.predictions)));
        rows.push(("coverage", alert.coverage.map_or("none".to_owned(), |share| format!("{:.1} %", share * 100.0))));
        rows.push(("window", format!("{} to {} ({})", time(alert.window_start), time(alert.window_end), alert.status)));
        if let Some(since) = alert.since {
            rows.push(("since", time(since)));
        }
        if let Some(note) = &alert.note {
            rows.push(("note", note.clone()));
        }
        rows
    }

    fn footer(&self) -> String {
        let owner = self
            .rule
            .owner
            .as_deref()
            .or(self.job.owner.as_deref())
            .map_or(String::new(), |owner| format!(", owned by {owner}"));
        single_line(&format!(
            "{}{owner}. As of {}. {}",
            self.job.description.as_deref().unwrap_or(&self.job.name),
            self.as_of.to_rfc3339(),
            self.id
        ))
    }
}

impl ChangeFacts {
    fn line(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(": {}", self.note) };
        format!("{} {}{note} ({})", self.at.format("%Y-%m-%d %H:%M UTC"), self.kind, self.author)
    }
}

impl AlertFacts {
    fn target(&self) -> String {
        match &self.model_version {
            Some(version) => format!("{}, version {version}", self.cohort),
            None => self.cohort.clone(),
        }
    }
}

/// A limit as it was written, or what was computed from a baseline to four digits.
fn limit(alert: &AlertFacts) -> String {
    match (alert.limit, alert.baseline) {
        (Some(limit), None) => format!("{limit}{}", alert.unit),
        (limit, _) => amount(limit, &alert.unit),
    }
}

fn amount(value: Option<f64>, unit: &str) -> String {
    value.map_or("no value".to_owned(), |value| format!("{}{unit}", number(value)))
}

/// Four significant digits, or all digits before the point.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1_000.0..1e15).contains(&magnitude) {
        return format!("{value:.0}");
    }
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the magnitude was just bounded")]
    let decimals = (3 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

/// Text from data cannot break a line: every control character becomes a space.
pub fn single_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(kind: &str, cohort: &str) -> Notice {
        let at = |text: &str| text.parse().unwrap();
        Notice {
            schema: SCHEMA.into(),
            id: "0190".into(),
            kind: kind.into(),
            as_of: at("2024-05-02T06:15:00Z"),
            job: JobFacts {
                name: "load".into(),
                description: Some("Day-ahead load".into()),
                owner: Some("grid@example.org".into()),
                unit: Some("MW".into()),
            },
            rule: RuleFacts {
                name: "rmse-high".into(),
                severity: "page".into(),
                metric: "rmse".into(),
                window: "rolling 24h".into(),
                condition: "above 250".into(),
                persistence: 3,
                lasting: "for 3 windows in a row".into(),
                runbook: Some("https://runbooks.example.org/load".into()),
                owner: None,
            },
            alerts: vec![AlertFacts {
                cohort: cohort.into(),
                model_version: Some("v2".into()),
                state: kind.into(),
                value: Some(412.345),
                limit: Some(250.0),
                baseline: None,
                unit: " MW".into(),
                ci_low: Some(371.5),
                ci_high: Some(466.25),
                labeled: 91,
                predictions: 96,
                coverage: Some(91.0 / 96.0),
                window_start: at("2024-05-01T06:15:00Z"),
                window_end: at("2024-05-02T06:15:00Z"),
                status: "provisional".into(),
                since: Some(at("2024-05-02T05:45:00Z")),
                note: None,
            }],
            changes: vec![],
            query: "select * from trueup.window_history".into(),
            closed: None,
        }
    }

    #[test]
    fn a_firing_message_says_everything_on_call_needs() {
        insta::assert_snapshot!(notice("firing", "region=north").text(), @r"
        [FIRING] page load/rmse-high: rmse 412.3 MW for region=north, version v2

        rmse of rolling 24h is above 250 for 3 windows in a row.

        Runbook: https://runbooks.example.org/load

        region=north, version v2
          value        412.3 MW
          limit        250 MW
          interval     371.5 to 466.2 MW (95 %)
          samples      91 labeled of 96 predictions
          coverage     94.8 %
          window       2024-05-01 06:15 UTC to 2024-05-02 06:15 UTC (provisional)
          since        2024-05-02 05:45 UTC

        The numbers again:
        select * from trueup.window_history

        Day-ahead load, owned by grid@example.org. As of 2024-05-02T06:15:00+00:00. 0190
        ");
    }

    #[test]
    fn a_resolved_message_says_so_first() {
        let text = notice("resolved", "all").text();
        assert!(text.starts_with("[RESOLVED] page load/rmse-high") && text.contains("no longer above 250"), "{text}");
    }

    #[test]
    fn an_alert_that_was_closed_does_not_read_as_calm() {
        let mut closed = notice("resolved", "all");
        closed.closed = Some("the rule was removed from the job".into());
        let text = closed.text();
        assert!(text.starts_with("[CLOSED] page load/rmse-high"), "{text}");
        assert!(text.contains("the rule was removed from the job. It was not seen to recover"), "{text}");
    }

    #[test]
    fn a_hostile_cohort_is_inert() {
        let hostile = notice("firing", "x\r\nBcc: all@example.org <script>alert(1)</script>");
        assert!(!hostile.title().contains(['\r', '\n']));
        assert!(!hostile.html().contains("<script>"));
        let mut linked = hostile;
        linked.rule.runbook = Some("javascript:alert(1)".into());
        assert!(!linked.html().contains("href=\"javascript"));
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in
            [(412.345, "412.3"), (0.012_345_6, "0.01235"), (123_456.7, "123457"), (0.0, "0"), (1e-9, "1.000e-9")]
        {
            assert_eq!(number(value), text);
        }
    }
}
