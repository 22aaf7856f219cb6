//! Facts of a notification, in the format that is stored in the outbox and sent as `trueup/v1`.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the body's format. Changes only add to it.
pub const SCHEMA: &str = "trueup/v1";

/// One notification: changes among the alerts of a job, and all its firing alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// `trueup/v1`.
    pub schema: String,
    /// Stable across retries; equals `webhook-id`.
    pub id: String,
    /// `firing` while any of the alerts fires, `resolved` once none does, `acknowledged`, `test` or `heartbeat`.
    pub kind: String,
    /// Reason for sending: `first`, `new_alerts`, `some_resolved`, `all_resolved`, `repeat`, `escalated`, `acknowledged`, `test`
    /// or `heartbeat`.
    pub reason: String,
    /// True for a daily digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digest: bool,
    /// Time as of which the facts were known.
    pub as_of: DateTime<Utc>,
    /// One line: what, how bad, for whom. Filled in when it is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The whole notification as plain text. Filled in when it is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Page of the worst incident; in a test, the overview. Filled in when it is sent; `None` without `[web] base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Group of notifications on the same subject; a later one updates an earlier one.
    #[serde(default)]
    pub group: String,
    pub job: JobFacts,
    /// Worst first.
    pub rules: Vec<Section>,
    /// Author and reason of an acknowledgement, or the receiver that this one stands in for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The job that the alerts belong to.
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
    /// New alerts first, then worst first; resolved alerts last.
    pub alerts: Vec<AlertFacts>,
    /// Number of alerts left out because the body would be too long; the history has them all.
    #[serde(default)]
    pub omitted: usize,
    /// Events just before the alerts began, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeFacts>,
    /// SQL that reproduces the numbers of the worst alert.
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

/// The rule and its condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuleFacts {
    pub name: String,
    /// `page`, `ticket` or `info`.
    pub severity: String,
    pub metric: String,
    pub window: String,
    /// In words: `above 250`.
    pub condition: String,
    /// Windows in breach needed to fire; 1 if a duration is needed instead.
    pub persistence: u32,
    /// Persistence in words: `for 3 windows in a row`. Empty if one window is enough.
    #[serde(default)]
    pub lasting: String,
    pub runbook: Option<String>,
    pub owner: Option<String>,
    /// Number of cohorts and versions that the rule judged last; `None` if it judges a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<usize>,
}

/// An event that concerns the model or its data.
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
    /// Number of the alert, as `trueup alerts ack` takes it. `None` before it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Number of its incident, as `trueup incident` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<i64>,
    /// Page of the alert. Filled in when it is sent; `None` without `[web] base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `all`, or `region=north`.
    pub cohort: String,
    /// `None`: all versions together.
    pub model_version: Option<String>,
    /// `firing` or `resolved`.
    pub state: String,
    /// True if this is the first notification of this state.
    #[serde(default)]
    pub is_new: bool,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    /// Baseline that the limit was derived from, if any.
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
    /// Share of the total squared error of its window, from 0 to 1. `None` for the total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub squared_error_share: Option<f64>,
    /// When it began to fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<DateTime<Utc>>,
    /// User who acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// Additional information, such as when an error budget will be exhausted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Reason for closing it without an observed recovery; `None` if it recovered or still fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
    /// SQL that reproduces its numbers; in a notification the section has the query of the worst alert.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
}

/// Context stored with an alert, so that notifications can be composed without the job's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleContext {
    pub job: JobFacts,
    pub rule: RuleFacts,
    /// Receivers that the rule or its job names; if empty, the routes decide.
    pub notify: Vec<String>,
    /// True if the alert is meaningless while labels are missing.
    pub needs_labels: bool,
}

impl Notice {
    /// Returns the alerts of all rules.
    pub fn alerts(&self) -> impl Iterator<Item = (&Section, &AlertFacts)> {
        self.rules.iter().flat_map(|section| section.alerts.iter().map(move |alert| (section, alert)))
    }

    /// Keeps the first `most` alerts in the order of the rules, the worst of each rule first.
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

    /// Returns the highest severity among the firing rules, or that of the first rule if none fires.
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

    /// Returns the distance of the value from the limit; 0 if either is missing.
    pub fn excess(&self) -> f64 {
        self.value.zip(self.limit).map_or(0.0, |(value, limit)| (value - limit).abs())
    }
}

/// Returns the rank of a severity, the worst first.
pub fn rank(severity: &str) -> usize {
    ["page", "ticket", "info"].iter().position(|known| *known == severity).unwrap_or(usize::MAX)
}
