//! The command line, as types.

mod measuring;
mod notifications;
mod reports;
mod rules;
mod setup;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::duration;

pub use measuring::{BackfillArgs, BackfillNotify, HistoryArgs, RunArgs};
pub use notifications::{
    ActArgs, AlertsCommand, AnnotateArgs, AnnotationKind, DeliveriesArgs, DeliveriesCommand, DeliveryState,
    IncidentArgs, NotifyCommand, RouteArgs, SilenceArgs, SilenceCommand,
};
pub use reports::{ReportArgs, ReportForm};
pub use rules::{BacktestArgs, BacktestKnowledge, BaselineArgs, BaselineCommand, SuggestArgs};
pub use setup::{GuardArgs, InitArgs, MigrateArgs, SchemaKind};

/// Joins predictions with the labels that arrive later, keeps the revised history of their error, and alerts.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Global options.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Settings file: receivers and limits. If it does not exist, defaults apply
    #[arg(long, global = true, value_name = "FILE", default_value = "trueup.toml")]
    pub config: PathBuf,
    /// Folder of the job files
    #[arg(long, global = true, value_name = "DIR", default_value = "jobs")]
    pub jobs: PathBuf,
    /// Database URL. Without one, most commands start a private Postgres in `.trueup/`
    #[arg(
        long,
        visible_alias = "database",
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// Output format of data
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Output format of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Csv,
    /// `check` only: SARIF for code scanning
    Sarif,
    /// `check` only: annotations of GitHub Actions
    Github,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check job files and settings, and report all mistakes at once
    Check {
        /// A job file, or a folder of them. Default: the jobs folder
        path: Option<PathBuf>,
        /// Explain the code of a finding and how to fix it
        #[arg(long, value_name = "CODE", conflicts_with = "path")]
        explain: Option<String>,
    },
    /// Bring the `trueup` schema of the database up to date
    Migrate(MigrateArgs),
    /// Check database, roles, clock, receivers, outbox and jobs, and suggest fixes
    Doctor,
    /// Run a job once, now or as of a past time
    Run(RunArgs),
    /// Compute past windows from current data
    Backfill(BackfillArgs),
    /// Compare a job's history with the source over its whole horizon, and repair differences
    Reconcile {
        /// Name of a job, or path of its file
        job: String,
    },
    /// Run all jobs on their schedules until stopped; changed job files are reloaded, at once on SIGHUP
    Serve {
        /// Format of the log
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log: LogFormat,
    },
    /// Serve the pages and the API alone, without running jobs: reads only
    Web {
        /// Address and port. Default: `[web] listen`, else 127.0.0.1:9187
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<std::net::SocketAddr>,
        /// Format of the log
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log: LogFormat,
    },
    /// Print the addresses of a job's badge, feed and gate, signed with the token of `[web]`
    Links {
        /// Name of the job
        job: String,
    },
    /// Show measured metrics
    History(HistoryArgs),
    /// Write what was promised and kept in a month or a week, as one page or as Markdown
    Report(ReportArgs),
    /// Show the state of each job
    Status {
        /// Refresh every few seconds until stopped
        #[arg(long)]
        watch: bool,
        /// Show the storage of each job, its growth, and the contents of each table
        #[arg(long)]
        storage: bool,
    },
    /// Show runs, newest first
    Runs {
        /// Only this job
        job: Option<String>,
        /// Maximum number of rows
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        limit: i64,
        /// Refresh every few seconds until stopped
        #[arg(long)]
        watch: bool,
    },
    /// Show open alerts; acknowledge or resolve them
    #[command(args_conflicts_with_subcommands = true)]
    Alerts {
        #[command(subcommand)]
        command: Option<AlertsCommand>,
        /// Only this job
        #[arg(long)]
        job: Option<String>,
        /// Include alerts that are not open
        #[arg(long)]
        all: bool,
        /// Refresh every few seconds until stopped
        #[arg(long)]
        watch: bool,
    },
    /// Show incidents, or the timeline of one and the evidence kept when its alerts fired
    Incident(IncidentArgs),
    /// Show which receivers an alert would notify, when, and why
    Route(RouteArgs),
    /// Test receivers
    Notify {
        #[command(subcommand)]
        command: NotifyCommand,
    },
    /// Show messages and their delivery state; retry failed deliveries
    #[command(args_conflicts_with_subcommands = true)]
    Deliveries {
        #[command(subcommand)]
        command: Option<DeliveriesCommand>,
        #[command(flatten)]
        filter: DeliveriesArgs,
    },
    /// Show a job's plan in words, its SQL, and how the database runs it
    Explain {
        /// Name of a job, or path of its file
        #[arg(required_unless_present_any = ["metrics", "errors", "reference"])]
        job: Option<String>,
        /// Show the metric catalog instead: meaning, unit and requirements of each metric
        #[arg(long, conflicts_with_all = ["job", "errors"])]
        metrics: bool,
        /// Show all codes of `check` instead, with their meaning and fix
        #[arg(long, conflicts_with = "job")]
        errors: bool,
        /// Show every key of job files and settings instead
        #[arg(long, conflicts_with_all = ["job", "metrics", "errors"])]
        reference: bool,
        /// Run the statements, show their cost, and roll everything back
        #[arg(long, requires = "job")]
        analyze: bool,
    },
    /// Replay the current rules over the history: which alerts would have fired, when, and for how long
    Backtest(BacktestArgs),
    /// Propose limits from the history, and show how often each would have paged
    Suggest(SuggestArgs),
    /// Generate a job from the database or from two CSV files, and run it once
    Init(InitArgs),
    /// Print the JSON Schema of job files, settings, rule fixtures or webhook bodies
    Schema {
        #[arg(value_enum, default_value_t = SchemaKind::Job)]
        kind: SchemaKind,
    },
    /// Test rules against fixtures: files with series and the expected verdicts and alerts
    Test {
        /// A fixture, or a folder of `*.test.toml` files
        #[arg(default_value = "jobs")]
        path: PathBuf,
    },
    /// Store baseline values that do not come from the history
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// Silence alerts for a while: rules are evaluated and recorded, but nobody is notified
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
    /// Record an event: alerts name events just before them, baselines exclude incidents
    Annotate(AnnotateArgs),
    /// Run a demo on made-up data: late labels, revisions, an alert, an email and a webhook
    Demo {
        /// Serve its pages until Ctrl-C, and keep the database running afterwards
        #[arg(long)]
        keep: bool,
        /// Stop a database that was kept running
        #[arg(long, conflicts_with = "keep")]
        stop: bool,
    },
    /// Print the completion script of a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write the pages of all commands into a folder
    Man { folder: Option<PathBuf> },
    #[command(hide = true)]
    LocalPostgresGuard(GuardArgs),
}

/// Parses an instant with its offset, a day, or a duration before now.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Some(before) = text.strip_prefix("now") {
        return match before.strip_prefix('-') {
            None if before.is_empty() => Ok(Utc::now()),
            None => Err("write `now`, or `now-7d`".to_owned()),
            Some(ago) => duration::parse(ago)
                .and_then(|ago| Utc::now().checked_sub_signed(ago).ok_or_else(|| format!("`{text}` is out of range"))),
        };
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.with_timezone(&Utc));
    }
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => {
            Err("write a time with its offset, such as 2024-05-02T06:15:00Z, a day such as 2024-05-02, or `now-7d`"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_needs_its_offset() {
        assert!(instant("2024-05-02T06:15:00+02:00").is_ok() && instant("2024-05-02").is_ok());
        assert!(instant("2024-05-02T06:15:00").is_err() && instant("yesterday").is_err());
        assert!(instant("nowish").is_err() && instant("now-").is_err() && instant("now-3 moons").is_err());
        let then = instant("now-7d").unwrap();
        let ago = Utc::now() - then;
        assert!(ago >= TimeDelta::days(7) && ago < TimeDelta::days(7) + TimeDelta::minutes(1));
        assert!(Utc::now() - instant("now").unwrap() < TimeDelta::minutes(1));
    }
}
