//! The job file, key by key, as the user wrote it. Values stay text here; `plan` gives them meaning.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::rules::{AlertSection, BuiltInSection, SloSection};

/// One job: what to join, which windows to keep, and when to tell whom.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    pub job: JobSection,
    pub schedule: ScheduleSection,
    pub predictions: PredictionsSection,
    pub labels: LabelsSection,
    #[serde(default)]
    pub windows: WindowsSection,
    #[serde(default)]
    pub residuals: ResidualsSection,
    #[serde(default)]
    pub cohorts: Vec<CohortSection>,
    #[serde(default)]
    pub metrics: MetricsSection,
    #[serde(default)]
    pub alerts: Vec<AlertSection>,
    #[serde(default)]
    pub slos: Vec<SloSection>,
    /// The rules that every job has: on the data that its other rules need.
    #[serde(default)]
    pub builtin: BuiltInSection,
}

/// Who the job belongs to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSection {
    /// Unique name: a-z, 0-9 and `-`.
    pub name: String,
    /// One line for people.
    pub description: Option<String>,
    /// Who answers for the model: an address or a team name.
    pub owner: Option<String>,
    /// Where on-call finds what to do: an http(s) link.
    pub runbook: Option<String>,
    /// Unit of the target, printed with every number.
    pub unit: Option<String>,
    /// Receivers of rules that name none.
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
    /// What to do with slots that were missed: `none`, `latest` (default) or `all`.
    pub catch_up: Option<CatchUpSpec>,
    /// Longest time a run may take. Default `5m`.
    pub timeout: Option<String>,
    /// How far each run re-reads arrivals. Default `10m`.
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

/// A column, or several that are a key together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    One(String),
    Many(Vec<String>),
}

impl Columns {
    /// The columns in the order they were written.
    pub fn list(&self) -> Vec<String> {
        match self {
            Columns::One(column) => vec![column.clone()],
            Columns::Many(columns) => columns.clone(),
        }
    }
}

/// Where predictions are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PredictionsSection {
    /// Table or view, written as in SQL with its schema.
    pub table: Option<String>,
    /// One select statement instead of a table.
    pub query: Option<String>,
    /// Join key: a column, or a list of columns.
    pub id: Columns,
    /// Event time the windows are about: a `timestamptz` column.
    pub at: String,
    /// Column of the predicted value.
    pub value: String,
    /// Column of the model version.
    pub version: Option<String>,
    /// Column of the time the row became visible; enables incremental refresh.
    pub arrived_at: Option<String>,
    /// One boolean SQL expression over columns of the row.
    #[serde(rename = "where")]
    pub filter: Option<String>,
    /// No two rows share a key (and version), though no unique index says so: tables that are partitioned by time, foreign tables, views.
    pub unique: Option<bool>,
}

/// Where labels are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsSection {
    /// Table or view, written as in SQL with its schema.
    pub table: Option<String>,
    /// One select statement instead of a table.
    pub query: Option<String>,
    /// Join key, matching `predictions.id` column by column. Where several predictions share a label (lead times), fewer columns: those that `predictions.id` begins with.
    pub id: Columns,
    /// Column of the actual value.
    pub value: String,
    /// Column of the time the label became known.
    pub arrived_at: Option<String>,
    /// Which label counts when there are several: `latest` (default), `first` or `error`.
    pub on_duplicate: Option<OnDuplicateSpec>,
    /// Age at which a label counts as due.
    pub expected_within: Option<String>,
    /// No two rows share a key, though no unique index says so.
    pub unique: Option<bool>,
}

/// Which of several labels of one prediction counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnDuplicateSpec {
    Latest,
    First,
    Error,
}

/// Which windows are kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsSection {
    /// Windows that end at each run: `["1h", "24h"]`.
    #[serde(default)]
    pub rolling: Vec<String>,
    /// Windows of the clock and calendar: `["1h", "1d", "1w", "1mo"]`.
    #[serde(default)]
    pub tumbling: Vec<String>,
    /// IANA time zone of days, weeks and months; weeks begin on Monday. Default `UTC`. After a change, all windows whose buckets are kept are measured again in the new zone, and those of the old leave `window_history`.
    pub timezone: Option<String>,
    /// Smallest time slice kept; it divides all windows. Default: the coarsest that divides the gaps of the schedule, too, at most `1h`. With
    /// a coarser one a rolling window ends at its last boundary, and a tick before the next brings no new one.
    pub bucket: Option<String>,
    /// A window is final this long after its end. Default `1d`.
    pub label_wait: Option<String>,
    /// How late a label may still revise history by itself. Default: `label_wait`, at least `7d`.
    pub horizon: Option<String>,
    /// Share of the pairs or predictions of a window that may leave the source before it counts as forgotten, and history keeps what
    /// it has; fewer than 10 are always a correction. Default 0.1; 1 follows the source whatever it says.
    pub shrink: Option<f64>,
}

/// How long raw residuals are kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResidualsSection {
    /// Default: `windows.label_wait`.
    pub keep: Option<String>,
    /// How many of the largest errors of each window are kept when residuals are gone. At most 100; default none.
    pub worst: Option<i64>,
}

/// A dimension: a column, or a named expression.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DimensionSpec {
    Column(String),
    Expression(NamedExpression),
}

/// A dimension that is computed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedExpression {
    /// Name of the dimension in `cohort`.
    pub name: String,
    /// One scalar SQL expression over columns of the prediction row.
    pub expr: String,
}

/// Which groups are measured apart.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CohortSection {
    /// Dimensions: column names, or `{ name = "...", expr = "..." }`.
    pub by: Vec<DimensionSpec>,
    /// How many cohorts are kept, by predictions in the window; the rest is `other`. Default 100.
    pub top: Option<i64>,
}

/// Which metrics are kept.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// Names from the catalogue. Default: `mse, rmse, mae, bias`.
    pub include: Option<Vec<String>>,
    /// Defines `within_tolerance` and `outlier_rate`.
    pub tolerance: Option<f64>,
    /// Where Huber loss turns from squared to linear.
    pub huber_delta: Option<f64>,
    /// Share of the largest squared errors that `trimmed_mse` and `winsorised_mse` leave out. Default 0.05.
    pub trim: Option<f64>,
    /// Column of the weight of a prediction.
    pub weight: Option<String>,
    /// Percentiles from all pairs of a window instead of from its histogram: each measurement reads them again.
    pub exact: Option<bool>,
    /// Ratios of sums of your own.
    #[serde(default)]
    pub custom: Vec<CustomMetricSection>,
}

/// A ratio of two sums.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomMetricSection {
    pub name: String,
    /// Summed over pairs; may use predicted, actual, error and columns of the prediction row.
    pub sum: String,
    /// Divided by the sum of this. Default `1`: one per pair.
    pub per: Option<String>,
}
