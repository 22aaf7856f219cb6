//! Rules, baselines and objectives of the job file. Values stay text here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Consecutive evaluations, or a duration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ForSpec {
    Evaluations(i64),
    Duration(String),
}

/// Cohorts that a rule judges.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CohortsSpec {
    Word(String),
    Values(BTreeMap<String, String>),
}

/// A rule: a condition on a metric of a window, and its receivers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSection {
    pub name: String,
    /// Name of a metric of the job, or `predictions`, `labeled`, `coverage`, `received`, `duplicates`, `ambiguous`. Omitted with
    /// `all` or `any`.
    pub metric: Option<String>,
    /// A window of the job: `rolling 24h`, `tumbling 1d`.
    pub window: String,
    /// Breach when the value is greater.
    pub above: Option<f64>,
    /// Breach when the value is less.
    pub below: Option<f64>,
    /// Breach when this far above the baseline: `"20%"`, a number, `"3 mad"`, or a list of these that must all be exceeded.
    pub above_baseline: Option<ExcessSpec>,
    /// Breach when this far below the baseline.
    pub below_baseline: Option<ExcessSpec>,
    /// Baseline of `above_baseline` and `below_baseline`. Default: the median of the last 30 windows.
    pub baseline: Option<BaselineSection>,
    /// Breach when all of these are in breach: conditions, or names of other rules.
    pub all: Option<Vec<ConditionSpec>>,
    /// Breach when at least one of these is in breach.
    pub any: Option<Vec<ConditionSpec>>,
    /// Consecutive windows in breach before the alert fires, or a duration: `3`, `"10m"`. Default 1.
    #[serde(rename = "for")]
    pub persistence: Option<ForSpec>,
    /// `[2, 3]`: two of the last three windows.
    pub of: Option<Vec<i64>>,
    /// The alert clears only when the value is below this.
    pub clear_below: Option<f64>,
    /// The alert clears only when the value is above this.
    pub clear_above: Option<f64>,
    /// Consecutive recovered windows before the alert clears, or a duration. Default 1.
    pub clear_for: Option<ForSpec>,
    /// With fewer labeled pairs than this, the verdict is `insufficient`. Default 1.
    pub min_samples: Option<i64>,
    /// With less coverage than this, the verdict is `insufficient`. From 0 to 1; default 0.
    pub min_coverage: Option<f64>,
    /// Breach only if the confidence bound is beyond the limit too.
    pub significant: Option<bool>,
    /// Judge windows only once they are final. Default false.
    pub on_final_only: Option<bool>,
    /// `all` (default), `each`, or `{ dimension = "value" }`.
    pub cohorts: Option<CohortsSpec>,
    /// `together` (default) or `each`.
    pub versions: Option<VersionsSpec>,
    /// `page`, `ticket` (default) or `info`.
    pub severity: Option<SeveritySpec>,
    /// Receivers from `trueup.toml`. Default: `job.notify`.
    pub notify: Option<Vec<String>>,
    /// Runbook for on-call. Default: `job.runbook`.
    pub runbook: Option<String>,
    /// Owner of the rule. Default: `job.owner`.
    pub owner: Option<String>,
}

/// One condition of `all` or `any`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConditionSpec {
    /// Name of another rule of the job.
    Rule(String),
    Condition(Box<ConditionSection>),
}

/// A condition within a rule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConditionSection {
    pub metric: String,
    /// Default: the window of the rule. For another window, its most recent one that has ended is used.
    pub window: Option<String>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub above_baseline: Option<ExcessSpec>,
    pub below_baseline: Option<ExcessSpec>,
    pub baseline: Option<BaselineSection>,
}

/// Distance from a baseline: one, or several that must all be exceeded.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExcessSpec {
    Number(f64),
    Text(String),
    All(Vec<DistanceSpec>),
}

/// `"20%"`, `"3 mad"` or a plain number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DistanceSpec {
    Number(f64),
    Text(String),
}

/// Baseline that a value is compared with.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineSection {
    /// `rolling` (default): the last windows; `seasonal`: the same hour of past weeks; `fixed`: a number; `validation`: the value
    /// stored for the model version; `version`: another model version in the same window; `whole`: all cohorts
    /// together in the same window.
    pub kind: Option<BaselineKind>,
    /// `fixed`: the number.
    pub value: Option<f64>,
    /// `rolling`: number of windows. Default 30.
    pub windows: Option<i64>,
    /// `seasonal`: number of weeks. Default 4.
    pub weeks: Option<i64>,
    /// `version`: name of the model version.
    pub version: Option<String>,
    /// Minimum number of past windows. Default 7 for `rolling` and 3 for `seasonal`, or all if fewer are possible.
    pub min: Option<i64>,
    /// Periods excluded from the baseline: `{ from = "2024-12-24T00:00Z", to = "2024-12-27T00:00Z" }`.
    #[serde(default)]
    pub exclude: Vec<RangeSection>,
}

/// Kinds of baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BaselineKind {
    Rolling,
    Seasonal,
    Fixed,
    Validation,
    Version,
    Whole,
}

/// A range of time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeSection {
    /// RFC 3339 time, inclusive.
    pub from: String,
    /// RFC 3339 time, exclusive.
    pub to: String,
}

/// Built-in rules of every job.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuiltInSection {
    /// Rules to turn off: `labels-stopped`, `coverage-low`, `labels-late`, `no-predictions`, `contradictions`, `run-failed`,
    /// `run-late`, `source-shrank`, `delivery-failed`; or `all`.
    #[serde(default)]
    pub off: Vec<String>,
    /// Minimum share of predictions with a usable label at the age of `label_wait`. Default 0.9.
    pub coverage: Option<f64>,
    /// Minimum share of predictions with any label at that age. Default 0.99.
    pub arrival: Option<f64>,
}

/// Judge model versions together or separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionsSpec {
    Together,
    Each,
}

/// Urgency of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeveritySpec {
    Page,
    Ticket,
    Info,
}

/// An objective with an error budget.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SloSection {
    pub name: String,
    /// Good predictions: one boolean expression over predicted, actual, error and columns of the prediction row.
    pub good: Option<String>,
    /// Instead of `good`: a window is good while this metric is within the limit.
    pub metric: Option<String>,
    /// Windows that are counted: `tumbling 1d`.
    pub window: Option<String>,
    /// A window is good while the metric is at least this.
    pub above: Option<f64>,
    /// A window is good while the metric is at most this.
    pub below: Option<f64>,
    /// Target share of good events, between 0 and 1.
    pub objective: f64,
    /// Period of the objective: `30d`.
    pub period: String,
    /// `auto` (default), `multiwindow`, `2x`, `4x`, `canary`, or a list of windows.
    pub burn: Option<BurnSpec>,
    /// Minimum number of predictions or windows in the long window. Default: 5 / (factor x (1 - objective)).
    pub min_samples: Option<i64>,
    /// If false, bad events do not spend the error budget while its alerts are silenced or in maintenance. Default true.
    pub silenced_spends: Option<bool>,
    /// Receivers from `trueup.toml`. Default: `job.notify`.
    pub notify: Option<Vec<String>>,
    /// Runbook for on-call. Default: `job.runbook`.
    pub runbook: Option<String>,
    /// Owner of the objective. Default: `job.owner`.
    pub owner: Option<String>,
}

/// A preset, or a list of burn-rate windows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BurnSpec {
    Preset(String),
    Windows(Vec<BurnWindow>),
}

/// One pair of burn-rate windows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnWindow {
    pub long: String,
    /// Default: a twelfth of `long`.
    pub short: Option<String>,
    pub factor: f64,
    pub severity: SeveritySpec,
}
