//! The job file, key by key, as the user wrote it. Values stay text here; `plan` gives them meaning.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::model::{FairnessSection, ModelSection};
use crate::spec::rules::{AlertSection, BuiltInSection, SloSection};

/// One job: sources, windows, metrics and alert rules.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    pub job: JobSection,
    pub schedule: ScheduleSection,
    pub predictions: PredictionsSection,
    pub labels: LabelsSection,
    #[serde(default)]
    pub model: ModelSection,
    #[serde(default)]
    pub windows: WindowsSection,
    #[serde(default)]
    pub residuals: ResidualsSection,
    #[serde(default)]
    pub cohorts: Vec<CohortSection>,
    #[serde(default)]
    pub metrics: MetricsSection,
    #[serde(default)]
    pub fairness: Vec<FairnessSection>,
    #[serde(default)]
    pub alerts: Vec<AlertSection>,
    #[serde(default)]
    pub slos: Vec<SloSection>,
    /// Built-in rules of every job, on the data that its other rules need.
    #[serde(default)]
    pub builtin: BuiltInSection,
}

/// Name and ownership of the job.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSection {
    /// Unique name: a-z, 0-9 and `-`.
    pub name: String,
    /// One-line description.
    pub description: Option<String>,
    /// Owner of the model: an address or a team name.
    pub owner: Option<String>,
    /// Runbook for on-call: an http(s) link.
    pub runbook: Option<String>,
    /// Unit of the target, shown with every number.
    pub unit: Option<String>,
    /// Receivers of rules without their own `notify`.
    pub notify: Option<Vec<String>>,
}

/// When the job runs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// Cron expression of 5 fields, or 6 with seconds first; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub cron: Option<String>,
    /// Interval such as `15m`, aligned to the Unix epoch. Instead of `cron`.
    pub every: Option<String>,
    /// IANA time zone of `cron`. Default `UTC`.
    pub timezone: Option<String>,
    /// Missed slots to run: `none`, `latest` (default) or `all`.
    pub catch_up: Option<CatchUpSpec>,
    /// Maximum duration of a run. Default `5m`.
    pub timeout: Option<String>,
    /// How far back each run re-reads arrivals. Default `10m`.
    pub overlap: Option<String>,
    /// How often history is compared with the source. Default `1d`.
    pub reconcile: Option<String>,
}

/// Policy for missed slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CatchUpSpec {
    None,
    Latest,
    All,
}

/// A column, or several that form a key.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    One(String),
    Many(Vec<String>),
}

impl Columns {
    /// Returns the columns in the order in which they were written.
    pub fn list(&self) -> Vec<String> {
        match self {
            Columns::One(column) => vec![column.clone()],
            Columns::Many(columns) => columns.clone(),
        }
    }
}

/// Source of predictions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictionsSection {
    /// Table or view, written as in SQL with its schema.
    pub table: Option<String>,
    /// One SELECT statement, instead of `table`.
    pub query: Option<String>,
    /// Join key: a column, or a list of columns.
    pub id: Columns,
    /// Event time, by which predictions fall into windows: a `timestamptz` column.
    pub at: String,
    /// Column with the predicted value: a number, or the score of the positive class.
    pub value: String,
    /// Column with the model version.
    pub version: Option<String>,
    /// Column with the time at which the row became visible; enables incremental refresh.
    pub arrived_at: Option<String>,
    /// Filter: one boolean SQL expression over columns of the row.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// Asserts that no two rows share a key (and version) although no unique index enforces it: for tables partitioned by time,
    /// foreign tables, views.
    pub unique: Option<bool>,
}

/// Source of labels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsSection {
    /// Table or view, written as in SQL with its schema.
    pub table: Option<String>,
    /// One SELECT statement, instead of `table`.
    pub query: Option<String>,
    /// Join key, matching `predictions.id` column by column. If several predictions share a label (lead times), only the leading
    /// columns of `predictions.id`.
    pub id: Columns,
    /// Column with the actual value: a number, or a class where `model.task` says so.
    pub value: String,
    /// Column with the time at which the label became known.
    pub arrived_at: Option<String>,
    /// Label that is used if a prediction has several: `latest` (default), `first` or `error`.
    pub on_duplicate: Option<OnDuplicateSpec>,
    /// The labels stand in for the true outcome: clicks, complaints, overrides. Messages and pages say so.
    pub proxy: Option<bool>,
    /// Age at which a label is due.
    pub expected_within: Option<String>,
    /// Asserts that no two rows share a key although no unique index enforces it.
    pub unique: Option<bool>,
}

/// Label that is used if a prediction has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicateSpec {
    Latest,
    First,
    Error,
}

/// Windows that are measured and kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsSection {
    /// Windows that end at each run: `["1h", "24h"]`.
    #[serde(default)]
    pub rolling: Vec<String>,
    /// Windows aligned to clock and calendar: `["1h", "1d", "1w", "1mo"]`.
    #[serde(default)]
    pub tumbling: Vec<String>,
    /// IANA time zone of days, weeks and months; weeks begin on Monday. Default `UTC`. After a change, all windows whose buckets
    /// are kept are measured again in the new zone, and those of the old zone leave `window_history`.
    pub timezone: Option<String>,
    /// Smallest time slice kept; must divide all windows. Default: the coarsest that also divides the gaps of the schedule, at
    /// most `1h`. With a coarser bucket, a rolling window ends at the last bucket boundary, and a run before the next one adds
    /// no window.
    pub bucket: Option<String>,
    /// A window is final this long after its end. Default `1d`.
    pub label_wait: Option<String>,
    /// How late a label may still revise history automatically. Default: `label_wait`, at least `7d`.
    pub horizon: Option<String>,
    /// Largest share of a window's pairs or predictions whose removal from the source is taken as a correction; beyond it,
    /// history keeps its values. Fewer than 10 are always a correction. Default 0.1; 1 always follows the source.
    pub shrink: Option<f64>,
}

/// Retention of raw residuals.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidualsSection {
    /// How long residuals are kept. Default: `windows.label_wait`.
    pub keep: Option<String>,
    /// Number of largest errors kept per window after its residuals are deleted. At most 100; default 0.
    pub worst: Option<i64>,
}

/// A dimension: a column, or a named expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DimensionSpec {
    Column(String),
    Expression(NamedExpression),
}

/// A dimension with settings of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedExpression {
    /// Name of the dimension in `cohort`.
    pub name: String,
    /// One scalar SQL expression over columns of the prediction row. Default: the column of that name.
    pub expr: Option<String>,
    /// Where its values appear: `everywhere`, or only in `sql`; pages, API and badges then show a short code instead. Default
    /// `everywhere`.
    pub shown: Option<ShownSpec>,
}

/// Where the values of a dimension appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShownSpec {
    Everywhere,
    Sql,
}

/// Groups that are measured separately.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSection {
    /// Dimensions: column names, or `{ name = "...", expr = "...", shown = "sql" }`.
    pub by: Vec<DimensionSpec>,
    /// Number of cohorts kept: those with the most predictions in the window; the rest is `other`. Default 100.
    pub top: Option<i64>,
}

/// Metrics that are measured and kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// Names from the metric catalog. Default: `mse, rmse, mae, bias`.
    pub include: Option<Vec<String>>,
    /// Error limit of `within_tolerance` and `outlier_rate`.
    pub tolerance: Option<f64>,
    /// Error at which Huber loss changes from squared to linear.
    pub huber_delta: Option<f64>,
    /// Share of the largest squared errors that `trimmed_mse` leaves out and `winsorised_mse` caps. Default 0.05.
    pub trim: Option<f64>,
    /// Share of the highest scores in `precision_at_top` and `lift_at_top`. Default 0.01.
    pub top: Option<f64>,
    /// Column with the weight of a prediction.
    pub weight: Option<String>,
    /// Compute percentiles from all pairs of a window instead of its histogram; each measurement reads the pairs again.
    pub exact: Option<bool>,
    /// Custom ratios of sums.
    #[serde(default)]
    pub custom: Vec<CustomMetricSection>,
}

/// Rows that a custom metric sums over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OverSpec {
    #[default]
    Pairs,
    Rows,
}

/// A ratio of two sums.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomMetricSection {
    pub name: String,
    /// Expression summed over pairs; may use predicted, actual, error and columns of the prediction row.
    pub sum: String,
    /// Expression whose sum is the divisor. Default `1`: one per pair.
    pub per: Option<String>,
    /// Rows to sum over: `pairs` (default), or `rows`: all predictions, labeled or not.
    pub over: Option<OverSpec>,
}
