//! Answers of the API. Fields are only ever added.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

/// A job as it is now.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Job {
    pub job: String,
    /// `firing`; `late`: no run published in two intervals; `unsure`: a rule could not judge; `pending`; `ok`.
    #[schemars(extend("enum" = ["firing", "late", "unsure", "pending", "ok"]))]
    pub state: String,
    pub is_late: bool,
    /// Alerts that fire, severe ones first.
    pub firing: Vec<Firing>,
    /// Newest evaluation of each objective.
    pub budget: Vec<BudgetLeft>,
    /// Arrivals up to this time are published.
    pub published_as_of: Option<DateTime<Utc>>,
    pub next_due_at: Option<DateTime<Utc>>,
    pub owner: Option<String>,
    pub runbook: Option<String>,
    pub description: Option<String>,
    /// Kinds of windows.
    pub windows: Vec<String>,
    pub metrics: Vec<String>,
    pub rules: Vec<String>,
    /// Address of its page.
    pub url: String,
}

/// An alert that fires.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Firing {
    pub alert_id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub version: Option<String>,
    /// End of the first window of the breach.
    pub since: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    pub acked_by: Option<String>,
    pub incident_id: Option<i64>,
}

/// Remaining error budget.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct BudgetLeft {
    pub slo: String,
    /// Share of the budget; below 0 if it is overspent; null if no events were counted.
    pub left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub period_end: DateTime<Utc>,
}

/// One window of a series. An expected window that was not measured is an entry without a value, and revision 0.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SeriesEntry {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub ci_low: Option<f64>,
    /// Upper end of the 95 % interval.
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub coverage: Option<f64>,
    /// `final`, `provisional` or `missing`.
    #[schemars(extend("enum" = ["final", "provisional", "missing"]))]
    pub status: String,
    pub revision: i32,
    /// Value of the first report.
    pub first_reported: Option<f64>,
    pub limit: Option<f64>,
    pub baseline: Option<f64>,
    /// Worst verdict of the rules when they judged it.
    pub verdict: Option<String>,
    /// Verdict by labels that came later.
    pub later_verdict: Option<String>,
    /// Why there is no value.
    pub missing: Option<String>,
}

/// The value of one cohort in one window.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CohortEntry {
    pub cohort: String,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub coverage: Option<f64>,
    pub status: String,
    pub revision: i32,
    /// Share of the squared error of the window, if the job measures it.
    pub share: Option<f64>,
}

/// One window with all its metrics.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Window {
    pub job: String,
    pub window: String,
    pub window_end: DateTime<Utc>,
    pub cohort: String,
    pub version: Option<String>,
    pub status: String,
    pub revision: i32,
    pub labeled: i64,
    pub predictions: i64,
    pub computed_at: DateTime<Utc>,
    pub metrics: Vec<WindowMetric>,
    pub url: String,
}

/// A metric of a window: as it counts, and as first reported.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WindowMetric {
    pub metric: String,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub first_reported: Option<f64>,
    pub first_ci_low: Option<f64>,
    pub first_ci_high: Option<f64>,
    pub first_labeled: i64,
}

/// An error budget through time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Budget {
    pub job: String,
    pub slo: String,
    /// Share that should be good.
    pub objective: Option<f64>,
    pub left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub period_start: Option<DateTime<Utc>>,
    pub period_end: Option<DateTime<Utc>>,
    pub good: Option<i64>,
    pub bad: Option<i64>,
    pub total: Option<i64>,
    /// Bad events that the budget allows.
    pub allowed: Option<f64>,
    /// Names of burn alerts that fire.
    pub burning: Vec<String>,
    /// Oldest first.
    pub history: Vec<Evaluation>,
    pub url: String,
}

/// An evaluation of an objective, or a correction of one by labels that came later.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Evaluation {
    pub kind: String,
    pub period_end: DateTime<Utc>,
    pub bad: i64,
    pub total: i64,
    pub left: Option<f64>,
    pub evaluated_at: DateTime<Utc>,
}

/// An incident: alerts of one job and severity that fired at overlapping times.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Incident {
    pub incident_id: i64,
    pub job: String,
    pub severity: String,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// Number of alerts.
    pub alerts: i64,
    pub rules: Vec<String>,
    pub acked_at: Option<DateTime<Utc>>,
    pub decision: Option<String>,
    /// `useful` or `false_alarm`.
    pub judged: Option<String>,
    pub url: String,
}

/// An incident with its alerts and notes.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IncidentDetail {
    #[serde(flatten)]
    pub incident: Incident,
    pub firings: Vec<IncidentAlert>,
    pub notes: Vec<Note>,
}

/// An alert of an incident.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct IncidentAlert {
    pub alert_id: i64,
    pub rule: String,
    pub cohort: String,
    pub version: Option<String>,
    /// State of the alert now.
    pub state: String,
    /// Last change of the alert; the newest one of an incident is `seen` of an act.
    pub changed_at: DateTime<Utc>,
    pub acked_by: Option<String>,
    pub acked_at: Option<DateTime<Utc>>,
    pub frozen_at: DateTime<Utc>,
    /// Value when it fired.
    pub value: Option<f64>,
    /// Limit when it fired.
    pub limit: Option<f64>,
}

/// A note about an incident.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Note {
    /// `note`, `decision`, `useful` or `false_alarm`.
    pub kind: String,
    pub author: String,
    pub text: String,
    pub alert_id: Option<i64>,
    pub noted_at: DateTime<Utc>,
}

/// A run of a job.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Run {
    pub run_id: i64,
    pub job: String,
    pub scheduled_for: DateTime<Utc>,
    pub trigger: String,
    pub state: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub rows_read: Option<i64>,
    pub windows_written: Option<i64>,
    pub buckets_repaired: Option<i64>,
    pub attempt: i32,
    pub failure: Option<String>,
    /// Why it was skipped.
    pub reason: Option<String>,
}

/// A notification.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Delivery {
    pub notification_id: String,
    /// Order of enqueueing.
    pub sequence: i64,
    pub job: Option<String>,
    pub receiver: String,
    pub kind: String,
    pub state: String,
    pub attempt: i32,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub failure: Option<String>,
}

/// A silence. A filter that is null matches everything; a star in one stands for any text.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Silence {
    pub silence_id: i64,
    pub job: Option<String>,
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub severity: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub reason: String,
    pub author: String,
    pub in_force: bool,
}

/// Outcome of an act. Fields that it does not concern are left out.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Acted {
    #[schemars(extend("enum" = ["acknowledged", "already", "resolved", "noted", "decided", "marked", "silenced", "previewed", "expired", "annotated"]))]
    pub done: &'static str,
    /// Name on the record.
    pub by: String,
    /// Alerts that were acknowledged or resolved, or that a silence would mute now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silence_id: Option<i64>,
    /// End of the silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<DateTime<Utc>>,
    /// Time of the annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Address of the page that shows it.
    pub url: String,
}

/// An annotation, as Grafana reads it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Milliseconds since 1970.
    pub time: i64,
    /// End, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_end: Option<i64>,
    pub title: String,
    pub text: String,
    /// Kind and job.
    pub tags: Vec<String>,
}

/// Answer of a gate.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Gate {
    pub data: GateData,
}

/// A decision. Fields that are not known are left out: they are never 0 and never null.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GateData {
    #[schemars(extend("enum" = ["pass", "fail", "wait"]))]
    pub decision: &'static str,
    /// Left out while the gate waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labeled: Option<i64>,
    /// Labeled pairs that a verdict needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cohort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_end: Option<DateTime<Utc>>,
    pub reason: String,
    pub url: String,
}
