//! Arguments of commands for alerts, messages, silences and annotations.

use chrono::{DateTime, TimeDelta, Utc};
use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};

use super::instant;
use crate::domain::duration;
use crate::domain::severity::Severity;

/// Commands of `alerts`.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Acknowledge alerts: repeats and escalation stop, and the alert's receivers are notified
    Ack(ActArgs),
    /// Resolve alerts: windows that have already ended cannot make them fire again
    Resolve(ActArgs),
}

/// Alerts to act on, and the user who acts.
#[derive(Debug, Args)]
pub struct ActArgs {
    /// Alert numbers, as shown by `trueup alerts`
    #[arg(required_unless_present = "incident")]
    pub ids: Vec<i64>,
    /// All firing alerts of an incident
    #[arg(long, value_name = "ID")]
    pub incident: Option<i64>,
    /// Name of the user. Default: the user of this machine
    #[arg(long)]
    pub by: Option<String>,
    /// Reason, in a few words
    #[arg(long, default_value = "")]
    pub note: String,
}

/// Arguments of `incident`.
#[derive(Debug, Args)]
pub struct IncidentArgs {
    /// Incident number, as shown in messages. Default: list open incidents
    pub id: Option<i64>,
    /// Print a draft of the postmortem, in Markdown
    #[arg(long, requires = "id")]
    pub postmortem: bool,
    /// List only incidents of this job
    #[arg(long, conflicts_with = "id")]
    pub job: Option<String>,
    /// Also list closed incidents
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
}

/// Arguments of `route`.
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// Name of a job. Receivers in `notify` of its rules are shown too
    #[arg(long)]
    pub job: String,
    #[arg(long, value_enum, default_value_t = Severity::Page)]
    pub severity: Severity,
    /// Only this rule
    #[arg(long)]
    pub rule: Option<String>,
    #[arg(long, default_value = "all")]
    pub cohort: String,
    /// Time at which it would fire: `2024-05-04T22:00:00Z`. Default: now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
}

/// Commands of `notify`.
#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// Send a test message through the outbox, as for an alert
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

/// Filter of messages.
#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    /// Only this job
    #[arg(long)]
    pub job: Option<String>,
    /// Only this receiver
    #[arg(long)]
    pub receiver: Option<String>,
    /// Only messages in this state
    #[arg(long, value_enum)]
    pub state: Option<DeliveryState>,
    /// Maximum number of rows
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub limit: i64,
}

/// Delivery state of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryState {
    Pending,
    Sent,
    Dead,
    Dropped,
}

impl DeliveryState {
    /// Returns the stored word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// Commands of `deliveries`.
#[derive(Debug, Subcommand)]
pub enum DeliveriesCommand {
    /// Retry failed and waiting messages now, with the same ids
    Retry {
        /// Ids of messages
        #[arg(required_unless_present = "receiver")]
        ids: Vec<uuid::Uuid>,
        /// All messages of a receiver
        #[arg(long)]
        receiver: Option<String>,
    },
}

/// Commands of `silence`.
#[derive(Debug, Subcommand)]
pub enum SilenceCommand {
    /// Silence alerts from now on
    Add(SilenceArgs),
    /// Show active silences
    List {
        /// Include expired silences
        #[arg(long)]
        all: bool,
    },
    /// End a silence now
    Expire { id: i64 },
}

/// Arguments of `silence add`.
#[derive(Debug, Args)]
pub struct SilenceArgs {
    /// Only this job; `*` matches any text, here and below
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
    /// Duration, such as `2h`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub lasts: TimeDelta,
    /// Reason
    #[arg(long)]
    pub reason: String,
    /// Name of the user. Default: the user of this machine
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
    /// Time at which it happened or began. Default: now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<DateTime<Utc>>,
    /// Time at which it ended; without it, an incident is ongoing
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<DateTime<Utc>>,
    /// Note, in a few words
    #[arg(long, default_value = "")]
    pub note: String,
    /// Suppress alerts for this long, while a new model warms up
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub suppress: Option<TimeDelta>,
}

/// Kind of event on a model or its data.
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
    /// Returns the stored word.
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
