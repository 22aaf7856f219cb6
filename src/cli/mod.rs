//! The command line, as types.

mod measuring;
mod rules;
mod setup;
mod telling;

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::duration;

pub use measuring::{BackfillArgs, BackfillNotify, HistoryArgs, RunArgs};
pub use rules::{BacktestArgs, BacktestKnowledge, BaselineArgs, BaselineCommand, SuggestArgs};
pub use setup::{GuardArgs, InitArgs, MigrateArgs, SchemaKind};
pub use telling::{
    ActArgs, AlertsCommand, AnnotateArgs, AnnotationKind, DeliveriesArgs, DeliveriesCommand, DeliveryState,
    IncidentArgs, NotifyCommand, RouteArgs, SilenceArgs, SilenceCommand,
};

/// Joins predictions with the labels that arrive later, keeps the revised history of their error, and alerts.
#[derive(Debug, Parser)]
#[command(name = "trueup", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Settings: receivers and limits. A file that is not there means defaults
    #[arg(long, global = true, value_name = "FILE", default_value = "trueup.toml")]
    pub config: PathBuf,
    /// Folder of the job files
    #[arg(long, global = true, value_name = "DIR", default_value = "jobs")]
    pub jobs: PathBuf,
    /// The database; without one, most commands start a private Postgres in `.trueup/`
    #[arg(
        long,
        visible_alias = "database",
        global = true,
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,
    /// How data is printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Csv,
    /// Of `check`: for code scanning
    Sarif,
    /// Of `check`: annotations of GitHub Actions
    Github,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check job files and settings, and say every mistake at once
    Check {
        /// A job file, or a folder of them. Default: the jobs folder
        path: Option<PathBuf>,
        /// What a code of a finding means, and what mends it
        #[arg(long, value_name = "CODE", conflicts_with = "path")]
        explain: Option<String>,
    },
    /// Bring the `trueup` schema of the database up to date
    Migrate(MigrateArgs),
    /// Look at everything a runner stands on: database, roles, clock, receivers, outbox, jobs; and say what mends it
    Doctor,
    /// Run a job once, now or as of a past time
    Run(RunArgs),
    /// Compute past windows from all that is known now
    Backfill(BackfillArgs),
    /// Compare a job's history with the source over its whole horizon, and repair what differs
    Reconcile {
        /// Name of a job, or path of its file
        job: String,
    },
    /// Run all jobs on their schedules until stopped; job files that change are taken in, at once on SIGHUP
    Serve {
        /// How the log is written
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log: LogFormat,
    },
    /// Show measured metrics
    History(HistoryArgs),
    /// Show how each job stands
    Status {
        /// Show it again every few seconds, until stopped
        #[arg(long)]
        watch: bool,
        /// Show how much room each job takes, how fast that grows, and what each table holds
        #[arg(long)]
        storage: bool,
    },
    /// Show runs, newest first
    Runs {
        /// Only of this job
        job: Option<String>,
        /// Most rows
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
        limit: i64,
        /// Show it again every few seconds, until stopped
        #[arg(long)]
        watch: bool,
    },
    /// Show alerts that are open; acknowledge or resolve them
    #[command(args_conflicts_with_subcommands = true)]
    Alerts {
        #[command(subcommand)]
        command: Option<AlertsCommand>,
        /// Only of this job
        #[arg(long)]
        job: Option<String>,
        /// Also those that are not open
        #[arg(long)]
        all: bool,
        /// Show it again every few seconds, until stopped
        #[arg(long)]
        watch: bool,
    },
    /// Show incidents, or one of them: its timeline and what was known when its alerts fired
    Incident(IncidentArgs),
    /// Who would be told of an alert, when, and why
    Route(RouteArgs),
    /// Try receivers
    Notify {
        #[command(subcommand)]
        command: NotifyCommand,
    },
    /// Show messages and what became of them; try again what was given up
    #[command(args_conflicts_with_subcommands = true)]
    Deliveries {
        #[command(subcommand)]
        command: Option<DeliveriesCommand>,
        #[command(flatten)]
        filter: DeliveriesArgs,
    },
    /// Show what a job does: its plan in words, its SQL, and how the database runs it
    Explain {
        /// Name of a job, or path of its file
        #[arg(required_unless_present_any = ["metrics", "errors", "reference"])]
        job: Option<String>,
        /// The catalogue of metrics instead: what each means, its unit, and what it needs
        #[arg(long, conflicts_with_all = ["job", "errors"])]
        metrics: bool,
        /// What `check` can say instead: every code, what it means and what mends it
        #[arg(long, conflicts_with = "job")]
        errors: bool,
        /// Every key of job files and settings instead
        #[arg(long, conflicts_with_all = ["job", "metrics", "errors"])]
        reference: bool,
        /// Run the statements, show what they took, and take everything back
        #[arg(long, requires = "job")]
        analyze: bool,
    },
    /// Replay today's rules over the history: what would have fired, when, and for how long
    Backtest(BacktestArgs),
    /// Propose limits from the history, with how often they would have paged
    Suggest(SuggestArgs),
    /// Write a job from a look at the database, or at two CSV files, and run it once
    Init(InitArgs),
    /// Print the JSON Schema of job files, settings, rule fixtures or webhook bodies
    Schema {
        #[arg(value_enum, default_value_t = SchemaKind::Job)]
        kind: SchemaKind,
    },
    /// Check rules against fixtures: files with series, and the verdicts and alerts that are expected
    Test {
        /// A fixture, or a folder of `*.test.toml`
        #[arg(default_value = "jobs")]
        path: PathBuf,
    },
    /// What rules compare with that is not history
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// Mute alerts for a while: they are judged and recorded, and nobody is told
    Silence {
        #[command(subcommand)]
        command: SilenceCommand,
    },
    /// Say that something happened: alerts name what came just before them, baselines leave incidents out
    Annotate(AnnotateArgs),
    /// Tell the whole story on made-up data: late labels, revisions, an alert, an email and a webhook
    Demo {
        /// Leave the database running afterwards
        #[arg(long)]
        keep: bool,
        /// Stop a database that was left running
        #[arg(long, conflicts_with = "keep")]
        stop: bool,
    },
    /// Print what a shell needs to complete commands and options
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write those of all commands into a folder
    Man { folder: Option<PathBuf> },
    #[command(hide = true)]
    LocalPostgresGuard(GuardArgs),
}

/// An instant with its offset, a day, or so long before now.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    if let Some(before) = text.strip_prefix("now") {
        return match before.strip_prefix('-') {
            None if before.is_empty() => Ok(Utc::now()),
            None => Err("write `now`, or `now-7d`".to_owned()),
            Some(ago) => duration::parse(ago).and_then(|ago| {
                Utc::now().checked_sub_signed(ago).ok_or_else(|| format!("`{text}` is before all time"))
            }),
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
