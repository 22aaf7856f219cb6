//! The half of the job file that is about deciding: rules, baselines, objectives. Values stay text here.

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

/// Which cohorts a rule judges.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CohortsSpec {
    Word(String),
    Values(BTreeMap<String, String>),
}

/// A rule: a condition on a metric of a window, and who is told.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSection {
    pub name: String,
    /// Name of a metric of the job, or `predictions`, `labeled`, `coverage`, `received`. Left out where there is `all` or
    /// `any`.
    pub metric: Option<String>,
    /// A window of the job: `rolling 24h`, `tumbling 1d`.
    pub window: String,
    /// Breach when the value is greater.
    pub above: Option<f64>,
    /// Breach when the value is less.
    pub below: Option<f64>,
    /// Breach when this far above the baseline: `"20%"`, a number, `"3 mad"`, or a list of them that must all hold.
    pub above_baseline: Option<ExcessSpec>,
    /// Breach when this far below the baseline.
    pub below_baseline: Option<ExcessSpec>,
    /// What `above_baseline` and `below_baseline` compare with. Default: the median of the last 30 windows.
    pub baseline: Option<BaselineSection>,
    /// Breach when all of these are: conditions, or names of other rules.
    pub all: Option<Vec<ConditionSpec>>,
    /// Breach when one of these is.
    pub any: Option<Vec<ConditionSpec>>,
    /// Consecutive windows in breach before the alert fires, or how long: `3`, `"10m"`. Default 1.
    #[serde(rename = "for")]
    pub persistence: Option<ForSpec>,
    /// `[2, 3]`: two of the last three windows.
    pub of: Option<Vec<i64>>,
    /// The alert clears only below this.
    pub clear_below: Option<f64>,
    /// The alert clears only above this.
    pub clear_above: Option<f64>,
    /// Consecutive calm windows before the alert clears, or how long. Default 1.
    pub clear_for: Option<ForSpec>,
    /// Fewer labeled pairs than this are `insufficient`. Default 1.
    pub min_samples: Option<i64>,
    /// Less coverage than this is `insufficient`. From 0 to 1; default 0.
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
    /// Where on-call finds what to do. Default: `job.runbook`.
    pub runbook: Option<String>,
    /// Who answers for this rule. Default: `job.owner`.
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
    /// Default: the window of the rule. Of another window, the newest that had ended counts.
    pub window: Option<String>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub above_baseline: Option<ExcessSpec>,
    pub below_baseline: Option<ExcessSpec>,
    pub baseline: Option<BaselineSection>,
}

/// How far from a baseline: one distance, or several that must all be exceeded.
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

/// What a value is compared with.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaselineSection {
    /// `rolling` (default): the last windows; `seasonal`: the same hour of past weeks; `fixed`; `validation`: what was stored
    /// for the model version; `version`: another model version in the same window.
    pub kind: Option<BaselineKind>,
    /// Of `fixed`: the number.
    pub value: Option<f64>,
    /// Of `rolling`: how many windows. Default 30.
    pub windows: Option<i64>,
    /// Of `seasonal`: how many weeks. Default 4.
    pub weeks: Option<i64>,
    /// Of `version`: its name.
    pub version: Option<String>,
    /// Fewest past windows that make a baseline. Default 7 of `rolling` and 3 of `seasonal`, or all there can be.
    pub min: Option<i64>,
    /// Times that are no measure of anything: `{ from = "2024-12-24T00:00Z", to = "2024-12-27T00:00Z" }`.
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

/// The rules that every job has.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuiltInSection {
    /// Those that are turned off: `labels-stopped`, `coverage-low`, `labels-late`, `no-predictions`, `contradictions`, `run-failed`,
    /// `run-late`, `source-shrank`, `delivery-failed`; or `all`.
    #[serde(default)]
    pub off: Vec<String>,
    /// Share of predictions that should have a usable label once they are `label_wait` old. Default 0.9.
    pub coverage: Option<f64>,
    /// Share of predictions that should have any label by then. Default 0.99.
    pub arrival: Option<f64>,
}

/// Whether versions are judged together or apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionsSpec {
    Together,
    Each,
}

/// How urgent a rule is.
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
    /// Which predictions are good: one boolean expression over predicted, actual, error and columns of the prediction row.
    pub good: Option<String>,
    /// Instead of `good`: windows are good whose metric is within the limit.
    pub metric: Option<String>,
    /// The windows that are counted: `tumbling 1d`.
    pub window: Option<String>,
    /// A window is good while the metric is at least this.
    pub above: Option<f64>,
    /// A window is good while the metric is at most this.
    pub below: Option<f64>,
    /// Share that should be good, between 0 and 1.
    pub objective: f64,
    /// Over which time the objective holds: `30d`.
    pub period: String,
    /// `auto` (default), `multiwindow`, `2x`, `4x`, `canary`, or a list of windows.
    pub burn: Option<BurnSpec>,
    /// Fewest predictions or windows in the long window. Default: 5 / (factor x (1 - objective)).
    pub min_samples: Option<i64>,
    /// Whether what is bad while its alerts are silenced, or in maintenance, spends the error budget. Default true.
    pub silenced_spends: Option<bool>,
    /// Receivers from `trueup.toml`. Default: `job.notify`.
    pub notify: Option<Vec<String>>,
    /// Where on-call finds what to do. Default: `job.runbook`.
    pub runbook: Option<String>,
    /// Who answers for it. Default: `job.owner`.
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
