//! The command line, as types.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::plan::duration;

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

/// What a schema can be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// A job file
    Job,
    /// trueup.toml
    Settings,
    /// A file of `trueup test`
    Fixture,
    /// The body of a webhook of format `trueup`
    Webhook,
}

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Name of the job. Default: from the table of predictions
    #[arg(long)]
    pub name: Option<String>,
    /// Take what is proposed, without asking
    #[arg(long)]
    pub yes: bool,
    /// Two files instead of tables: they are loaded into the database, which is a private one unless DATABASE_URL is set
    #[arg(long, num_args = 2, value_names = ["PREDICTIONS", "LABELS"], conflicts_with_all = ["predictions", "labels"])]
    pub csv: Option<Vec<PathBuf>>,
    /// Table of predictions, `schema.table`
    #[arg(long)]
    pub predictions: Option<String>,
    /// Table of labels
    #[arg(long)]
    pub labels: Option<String>,
    /// Key of predictions and labels; `prediction_id=id` where they differ: that of predictions first
    #[arg(long)]
    pub id: Option<String>,
    /// Column of predictions with the event time
    #[arg(long)]
    pub at: Option<String>,
    /// Column of predictions with the predicted value
    #[arg(long)]
    pub value: Option<String>,
    /// Column of labels with the actual value
    #[arg(long)]
    pub actual: Option<String>,
    /// Address of a webhook that gets the alerts: it is written into the settings, if there are none yet
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Where on-call finds what to do
    #[arg(long, value_name = "URL")]
    pub runbook: Option<String>,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Print the SQL that gives the runner and the readers what they need, and change nothing
    #[arg(long)]
    pub print_grants: bool,
    /// Role of the runner
    #[arg(long, default_value = "trueup_runner", requires = "print_grants")]
    pub runner: String,
    /// Role of the analysts
    #[arg(long, default_value = "trueup_reader", requires = "print_grants")]
    pub reader: String,
}

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

/// What can be done about alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Say that you are on it: reminders and escalation stop, and whoever was told is told so
    Ack(ActArgs),
    /// Say that it is over: windows that have ended by now cannot make it fire again
    Resolve(ActArgs),
}

/// Which alerts, and who acts on them.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// Numbers of alerts, as `trueup alerts` shows them
    #[arg(required_unless_present = "incident")]
    pub ids: Vec<i64>,
    /// All firing alerts of an incident
    #[arg(long, value_name = "ID")]
    pub incident: Option<i64>,
    /// Who. Default: the user of this machine
    #[arg(long)]
    pub by: Option<String>,
    /// Why, in a few words
    #[arg(long, default_value = "")]
    pub note: String,
}

/// Arguments of `incident`.
#[derive(Debug, Args)]
pub struct IncidentArgs {
    /// Number of an incident, as messages name it. Default: a list of those that are open
    pub id: Option<i64>,
    /// A draft of the postmortem, in Markdown
    #[arg(long, requires = "id")]
    pub postmortem: bool,
    /// List only those of this job
    #[arg(long, conflicts_with = "id")]
    pub job: Option<String>,
    /// List those that are over too
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
}

/// Arguments of `route`.
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// Name of a job. What its rules name in `notify` is shown too
    #[arg(long)]
    pub job: String,
    #[arg(long, value_enum, default_value_t = Severity::Page)]
    pub severity: Severity,
    /// Only this rule
    #[arg(long)]
    pub rule: Option<String>,
    #[arg(long, default_value = "all")]
    pub cohort: String,
    /// When it would fire: `2024-05-04T22:00:00Z`. Default: now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
}

/// What can be tried.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message through the outbox, as an alert would go
    Test { receiver: String },
}

/// How urgent an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Severity {
    Page,
    Ticket,
    Info,
}

impl Severity {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Info => "info",
        }
    }
}

/// Which messages are shown.
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Only about this job
    #[arg(long)]
    pub job: Option<String>,
    /// Only to this receiver
    #[arg(long)]
    pub receiver: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    pub state: Option<DeliveryState>,
    /// Most rows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub limit: i64,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryState {
    Pending,
    Sent,
    Dead,
    Dropped,
}

impl DeliveryState {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// What can be done about messages.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Try now what was given up or waits, with the same ids
    Retry {
        /// Ids of messages
        #[arg(required_unless_present = "receiver")]
        ids: Vec<uuid::Uuid>,
        /// All of a receiver
        #[arg(long)]
        receiver: Option<String>,
    },
}

/// What can be done with silences.
#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Mute from now on
    Add(SilenceArgs),
    /// Show silences that are in force
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// End a silence now
    Expire { id: i64 },
}

/// Arguments of `silence add`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Only this job; a `*` stands for any text, here and below
    #[arg(long)]
    pub job: Option<String>,
    /// Only this rule
    #[arg(long)]
    pub rule: Option<String>,
    /// Only this cohort, such as `region=north`
    #[arg(long)]
    pub cohort: Option<String>,
    /// Only this severity
    #[arg(long, value_enum)]
    pub severity: Option<Severity>,
    /// For how long, such as `2h`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub lasts: TimeDelta,
    /// Why
    #[arg(long)]
    pub reason: String,
    /// Who. Default: the user of this machine
    #[arg(long)]
    pub author: Option<String>,
}

/// Arguments of `annotate`.
#[derive(Debug, Args)]
pub struct AnnotateArgs {
    #[arg(value_enum)]
    pub kind: AnnotationKind,
    /// Only this job. Default: every job
    #[arg(long)]
    pub job: Option<String>,
    /// When it happened or began. Default: now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
    /// When it ended; an incident without it lasts
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<DateTime<Utc>>,
    /// In a few words
    #[arg(long, default_value = "")]
    pub note: String,
    /// For how long alerts tell nobody: a new model warms up
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub suppress: Option<TimeDelta>,
}

/// What can happen to a model or its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AnnotationKind {
    Deploy,
    Retrain,
    SchemaChange,
    Experiment,
    Incident,
    Backfill,
}

impl AnnotationKind {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Retrain => "retrain",
            Self::SchemaChange => "schema_change",
            Self::Experiment => "experiment",
            Self::Incident => "incident",
            Self::Backfill => "backfill",
        }
    }
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

/// Arguments of the guard of a local Postgres.
#[derive(Debug, Args)]
pub struct GuardArgs {
    #[arg(long)]
    pub folder: PathBuf,
    #[arg(long)]
    pub socket: PathBuf,
    #[arg(long)]
    pub binaries: PathBuf,
    #[arg(long)]
    pub uid: Option<u32>,
    #[arg(long)]
    pub gid: Option<u32>,
    #[arg(long)]
    pub throw_away: bool,
    #[arg(long, default_value_t = 0)]
    pub linger_ms: u64,
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
