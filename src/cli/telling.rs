//! Arguments of what people do about alerts and messages.

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};

use super::instant;
use crate::domain::duration;
use crate::domain::severity::Severity;

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

impl ValueEnum for Severity {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Page, Self::Ticket, Self::Info]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
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
