//! Arguments of runs, backfills and the history.

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};

use super::instant;
use crate::domain::duration;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Behave as if it were this time: `2024-05-02T06:15:00Z`, or `2024-05-02` for its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
    /// Show what would be measured and judged, and write and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Windows that overlap the range from here …
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: DateTime<Utc>,
    /// … to here (exclusive)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: DateTime<Utc>,
    /// Distance of rolling windows, such as `1h`. Default: one at each scheduled tick
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub step: Option<TimeDelta>,
    /// Take over what the source says now, also where it no longer has what was measured
    #[arg(long)]
    pub accept_loss: bool,
    /// Whom to tell: a backfill never moves an alert, and `none` is the only choice so far
    #[arg(long, value_enum, default_value_t = BackfillNotify::None)]
    pub notify: BackfillNotify,
}

/// Whom a backfill tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackfillNotify {
    None,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Name of a job
    pub job: String,
    /// Only this metric
    #[arg(long)]
    pub metric: Option<String>,
    /// Only this window, such as `rolling 24h`
    #[arg(long)]
    pub window: Option<String>,
    /// Only this cohort, such as `all` or `region=north`
    #[arg(long)]
    pub cohort: Option<String>,
    /// What was believed at this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub as_of: Option<DateTime<Utc>>,
    /// Most rows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub limit: i64,
    /// Show it again every few seconds, until stopped
    #[arg(long)]
    pub watch: bool,
}
