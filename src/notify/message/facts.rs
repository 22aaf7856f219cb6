//! The facts of a message, in the shape in which they are stored in the outbox and sent as `trueup/v1`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the body's shape. It changes only by adding.
pub const SCHEMA: &str = "trueup/v1";

/// One message: what changed among the alerts of a job, and all of them that fire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// `trueup/v1`.
    pub schema: String,
    /// Stable over retries; the same as `webhook-id`.
    pub id: String,
    /// `firing` while one of the alerts fires, `resolved` when none does any more, `acknowledged`, `test` or `heartbeat`.
    pub kind: String,
    /// Why it is sent: `first`, `new_alerts`, `some_resolved`, `all_resolved`, `repeat`, `escalated`, `acknowledged`, `test`
    /// or `heartbeat`.
    pub reason: String,
    /// Put together over a day, to be read at leisure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digest: bool,
    /// What was known when it was decided.
    pub as_of: DateTime<Utc>,
    /// One line: what, how bad, for whom. Filled in when it is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The whole message as plain text. Filled in when it is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Names the group of messages about the same: a later one updates what an earlier one said.
    #[serde(default)]
    pub group: String,
    pub job: JobFacts,
    /// Worst first.
    pub rules: Vec<Section>,
    /// Who acknowledged and why, or which receiver this one stands in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Whose alert it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobFacts {
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    /// Unit of the target.
    pub unit: Option<String>,
}

/// The alerts of one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    #[serde(flatten)]
    pub rule: RuleFacts,
    /// New ones first, the worst of them before the others; those that ended last.
    pub alerts: Vec<AlertFacts>,
    /// Alerts that are not in this body because it would be too long; the history has them all.
    #[serde(default)]
    pub omitted: usize,
    /// What happened just before the alerts began, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeFacts>,
    /// SQL that shows the numbers of the worst alert again.
    pub query: String,
    /// The metric of the worst alert in the windows before it fired, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Point>,
}

/// One window of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_low: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub coverage: Option<f64>,
    /// Median label latency, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_latency_p50: Option<f64>,
}

/// Which condition it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleFacts {
    pub name: String,
    /// `page`, `ticket` or `info`.
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
    /// Cohorts and versions that the rule judged last; None where it judges one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<usize>,
}

/// Something that happened to the model or its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeFacts {
    /// `deploy`, `retrain`, `schema_change`, `experiment`, `incident` or `backfill`.
    pub kind: String,
    pub at: DateTime<Utc>,
    pub note: String,
    pub author: String,
}

/// One alert of a rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertFacts {
    /// Number of the alert, as `trueup alerts ack` takes it. None before it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Number of the incident it is part of, as `trueup incident` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<i64>,
    /// `all`, or `region=north`.
    pub cohort: String,
    /// None: all versions together.
    pub model_version: Option<String>,
    /// `firing` or `resolved`.
    pub state: String,
    /// Whether this message is the first that says so.
    #[serde(default)]
    pub is_new: bool,
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
    /// Share of the total squared error of its window, from 0 to 1. None for everything together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_error_share: Option<f64>,
    /// When it began to fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<DateTime<Utc>>,
    /// Who acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// What else there is to say, such as when an error budget will be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it ended although nothing was seen to be ok; None when it recovered, and while it fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// SQL that shows its numbers again; in a message the section has that of the worst.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
}

/// What is kept with an alert, so that messages about it can be written without the job's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleContext {
    pub job: JobFacts,
    pub rule: RuleFacts,
    /// Receivers that the rule or its job names; none: the routes decide.
    pub notify: Vec<String>,
    /// Whether it means nothing while labels are missing.
    pub needs_labels: bool,
}

impl Notice {
    /// All alerts, of all rules.
    pub fn alerts(&self) -> impl Iterator<Item = (&Section, &AlertFacts)> {
        self.rules.iter().flat_map(|section| section.alerts.iter().map(move |alert| (section, alert)))
    }

    /// The same with at most so many alerts, the worst of each rule first.
    pub fn capped(mut self, most: usize) -> Self {
        let mut room = most;
        for section in &mut self.rules {
            let kept = section.alerts.len().min(room);
            section.omitted += section.alerts.len() - kept;
            section.alerts.truncate(kept);
            room -= kept;
        }
        self
    }

    /// The most severe of its rules.
    pub fn severity(&self) -> &str {
        let firing = self.rules.iter().filter(|section| section.is_firing());
        let worst = firing.min_by_key(|section| rank(&section.rule.severity)).or(self.rules.first());
        worst.map_or("info", |section| section.rule.severity.as_str())
    }
}

impl Section {
    pub fn is_firing(&self) -> bool {
        self.alerts.iter().any(AlertFacts::is_firing)
    }
}

impl AlertFacts {
    pub fn is_firing(&self) -> bool {
        self.state == "firing"
    }

    /// How far beyond its limit it is; 0 where there is none.
    pub fn excess(&self) -> f64 {
        self.value.zip(self.limit).map_or(0.0, |(value, limit)| (value - limit).abs())
    }
}

/// Place of a severity, worst first.
pub fn rank(severity: &str) -> usize {
    ["page", "ticket", "info"].iter().position(|known| *known == severity).unwrap_or(usize::MAX)
}
