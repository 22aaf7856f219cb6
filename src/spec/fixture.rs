//! Fixtures for rules: series of measurements and the expected results. They are stored next to the job, as `NAME.test.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Tests of one job's rules.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixtureSpec {
    /// Job file in the same folder: `ro-load.toml`.
    pub job: String,
    #[serde(default)]
    pub tests: Vec<TestSection>,
}

/// One test.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSection {
    pub name: String,
    /// Time after which nothing is judged, in RFC 3339. Default: no limit.
    pub now: Option<String>,
    /// Measured series.
    #[serde(default)]
    pub series: Vec<SeriesSection>,
    /// Annotated incidents; baselines exclude them.
    #[serde(default)]
    pub incidents: Vec<crate::spec::rules::RangeSection>,
    /// Expected results for single windows.
    #[serde(default)]
    pub expect: Vec<ExpectSection>,
    /// All periods in which the rules named here fire.
    #[serde(default)]
    pub fires: Vec<FiresSection>,
    /// Rules that must not fire at all.
    #[serde(default)]
    pub quiet: Vec<String>,
}

/// Consecutive measurements of one window and target.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesSection {
    /// A window of the job: `rolling 24h`.
    pub window: String,
    /// End of the first window, in RFC 3339.
    pub end: String,
    /// Distance between the ends of two windows: `15m`. Tumbling windows follow each other.
    pub every: Option<String>,
    /// Default `all`.
    pub cohort: Option<String>,
    /// Model version. Default: all versions together.
    pub version: Option<String>,
    /// Values by name: metrics, their bounds (`rmse_ci_low`, `rmse_ci_high`) and counts (`predictions`, `labeled`). Numbers one
    /// after another, `_` for a window without predictions, `200x3` for a number three times. A single number applies to all
    /// windows.
    pub values: BTreeMap<String, ValuesSpec>,
}

/// One number, or a text with several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ValuesSpec {
    Number(f64),
    Text(String),
}

/// Expected result for one window.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectSection {
    pub rule: String,
    /// End of the window, in RFC 3339.
    pub at: String,
    /// Default `all`.
    pub cohort: Option<String>,
    pub version: Option<String>,
    /// `ok`, `breach`, `insufficient`, `no_data` or `error`.
    pub verdict: Option<String>,
    /// State of the alert after the window: `inactive`, `pending`, `firing` or `resolved`.
    pub state: Option<String>,
    /// Baseline of the comparison, to four digits.
    pub baseline: Option<f64>,
    /// Text that the reason contains.
    pub reason: Option<String>,
    /// Texts that the message about it contains.
    #[serde(default)]
    pub message: Vec<String>,
}

/// A period in which an alert fires.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FiresSection {
    pub rule: String,
    /// Default `all`.
    pub cohort: Option<String>,
    pub version: Option<String>,
    /// Time at which it fires, in RFC 3339.
    pub from: String,
    /// Time at which it resolves, in RFC 3339. Default: it still fires at the end.
    pub until: Option<String>,
}
