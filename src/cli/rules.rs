//! Arguments of what tries rules on the past.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::instant;

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Windows that end at or after this …; default: the first that is stored
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<DateTime<Utc>>,
    /// … and before this; default: the last that is stored
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: Option<DateTime<Utc>>,
    /// Judge by what was known then, with first reports and corrections as they came, or by what is known now
    #[arg(long, value_enum, default_value_t = BacktestKnowledge::Now)]
    pub as_of: BacktestKnowledge,
    /// Try a change: `RULE.KEY=VALUE`, such as `rmse-high.above=300` or `rmse-high.for=2`; `RULE.KEY=` takes a key out
    #[arg(long, value_name = "CHANGE")]
    pub set: Vec<String>,
    /// Replay the built-in rules too
    #[arg(long)]
    pub builtin: bool,
}

/// What a backtest judges by.
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

/// What can be done with baselines.
#[derive(Debug, Subcommand)]
pub enum BaselineCommand {
    /// Store what a model version was worth when it was validated
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
    /// Cohort, as in the history
    #[arg(long, default_value = "all")]
    pub cohort: String,
    /// Where the value comes from
    #[arg(long)]
    pub note: Option<String>,
}
