//! Fixtures for rules: series of measurements, and what is expected of them. Beside the job, as `NAME.test.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// A file of tests of one job's rules.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixtureSpec {
    /// The job's file, beside this one: `ro-load.toml`.
    pub job: String,
    #[serde(default)]
    pub tests: Vec<TestSection>,
}

/// One test.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSection {
    pub name: String,
    /// Nothing is judged after this: an RFC 3339 time. Default: everything is.
    pub now: Option<String>,
    /// What was measured.
    #[serde(default)]
    pub series: Vec<SeriesSection>,
    /// Times that people called an incident: baselines leave them out.
    #[serde(default)]
    pub incidents: Vec<crate::spec::rules::RangeSection>,
    /// What is expected of single windows.
    #[serde(default)]
    pub expect: Vec<ExpectSection>,
    /// All times in which alerts fire, of the rules that are named here.
    #[serde(default)]
    pub fires: Vec<FiresSection>,
    /// Rules that must not fire at all.
    #[serde(default)]
    pub quiet: Vec<String>,
}

/// Measurements of one window and target, one after another.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesSection {
    /// A window of the job: `rolling 24h`.
    pub window: String,
    /// End of the first window: an RFC 3339 time.
    pub end: String,
    /// From one end to the next: `15m`. Of tumbling windows they follow each other.
    pub every: Option<String>,
    /// Default `all`.
    pub cohort: Option<String>,
    /// Default: all versions together.
    pub version: Option<String>,
    /// Metrics, their bounds (`rmse_ci_low`, `rmse_ci_high`) and counts (`predictions`, `labeled`) by name: numbers one after another, `_` for a window without
    /// predictions, `200x3` for a number three times. A single number stands for all windows.
    pub values: BTreeMap<String, ValuesSpec>,
}

/// One number, or text of several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ValuesSpec {
    Number(f64),
    Text(String),
}

/// What is expected of one window.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectSection {
    pub rule: String,
    /// End of the window: an RFC 3339 time.
    pub at: String,
    /// Default `all`.
    pub cohort: Option<String>,
    pub version: Option<String>,
    /// `ok`, `breach`, `insufficient`, `no_data` or `error`.
    pub verdict: Option<String>,
    /// State of the alert after it: `inactive`, `pending`, `firing` or `resolved`.
    pub state: Option<String>,
    /// The baseline it is compared with, to four digits.
    pub baseline: Option<f64>,
    /// Words of the reason.
    pub reason: Option<String>,
    /// Words that a message about it holds.
    #[serde(default)]
    pub message: Vec<String>,
}

/// A time in which an alert fires.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FiresSection {
    pub rule: String,
    /// Default `all`.
    pub cohort: Option<String>,
    pub version: Option<String>,
    /// When it begins to fire: an RFC 3339 time.
    pub from: String,
    /// When it resolves. Left out: it still fires at the end.
    pub until: Option<String>,
}
