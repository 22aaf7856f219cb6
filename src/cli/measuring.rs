//! Arguments of `run`, `backfill` and `history`.

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};

use super::instant;
use crate::domain::duration;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Run as of this time: `2024-05-02T06:15:00Z`, or `2024-05-02` for midnight UTC
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
    /// Show the measurements and verdicts of the run without writing or sending anything
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Name of a job, or path of its file
    pub job: String,
    /// Start of the range; windows that overlap it are computed
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: DateTime<Utc>,
    /// End of the range (exclusive)
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub to: DateTime<Utc>,
    /// Step between rolling windows, such as `1h`. Default: one at each scheduled tick
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub step: Option<TimeDelta>,
    /// Follow the source even if it no longer has the rows that were measured
    #[arg(long)]
    pub accept_loss: bool,
    /// Receivers to notify. A backfill never changes an alert, so `none` is the only choice
    #[arg(long, value_enum, default_value_t = BackfillNotify::None)]
    pub notify: BackfillNotify,
}

/// Receivers that a backfill notifies.
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
    /// Values as they were known at this time
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub as_of: Option<DateTime<Utc>>,
    /// Maximum number of rows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub limit: i64,
    /// Refresh every few seconds until stopped
    #[arg(long)]
    pub watch: bool,
}
