//! Arguments of commands that try rules on the past.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::instant;

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Only windows that end at or after this. Default: the first stored
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<DateTime<Utc>>,
    /// Only windows that end before this. Default: the last stored
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<DateTime<Utc>>,
    /// Use the values known at that time (first reports and corrections as they arrived), or those known now
    #[arg(long, value_enum, default_value_t = BacktestKnowledge::Now)]
    pub as_of: BacktestKnowledge,
    /// Try a change: `RULE.KEY=VALUE`, such as `rmse-high.above=300` or `rmse-high.for=2`; `RULE.KEY=` removes a key
    #[arg(long, value_name = "CHANGE")]
    pub set: Vec<String>,
    /// Also replay the built-in rules
    #[arg(long)]
    pub builtin: bool,
}

/// Values that a backtest judges by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BacktestKnowledge {
    Then,
    Now,
}

/// Arguments of `suggest`.
#[derive(Debug, Args)]
pub struct SuggestArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Metric. Default: that of the job's first rule
    #[arg(long)]
    pub metric: Option<String>,
    /// Window, such as `rolling 24h`. Default: that of the job's first rule
    #[arg(long)]
    pub window: Option<String>,
    /// Only windows that end at or after this
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<DateTime<Utc>>,
    /// Only windows that end before this
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<DateTime<Utc>>,
}

/// Commands of `baseline`.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Store the validation value of a metric for a model version
    Set(BaselineArgs),
}

/// Arguments of `baseline set`.
#[derive(Debug, Args)]
pub struct BaselineArgs {
    /// Name of a job, or path of its file
    pub job: String,
    #[arg(long)]
    pub metric: String,
    #[arg(long, allow_hyphen_values = true)]
    pub value: f64,
    /// Model version
    #[arg(long)]
    pub version: Option<String>,
    /// Cohort, as shown in the history
    #[arg(long, default_value = "all")]
    pub cohort: String,
    /// Origin of the value
    #[arg(long)]
    pub note: Option<String>,
}
