//! Arguments of `init`, `schema`, `migrate` and the guard of a private Postgres.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Files and bodies that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// A job file
    Job,
    /// trueup.toml
    Settings,
    /// A fixture of `trueup test`
    Fixture,
    /// The body of a webhook with format `trueup`
    Webhook,
}

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Name of the job. Default: derived from the table of predictions
    #[arg(long)]
    pub name: Option<String>,
    /// Accept the proposals without asking; fail if names and rows are inconclusive
    #[arg(long)]
    pub yes: bool,
    /// Two files instead of tables, loaded into the database (a private one unless DATABASE_URL is set)
    #[arg(long, num_args = 2, value_names = ["PREDICTIONS", "LABELS"], conflicts_with_all = ["predictions", "labels"])]
    pub csv: Option<Vec<PathBuf>>,
    /// Table of predictions, `schema.table`
    #[arg(long)]
    pub predictions: Option<String>,
    /// Table of labels
    #[arg(long)]
    pub labels: Option<String>,
    /// Key of predictions and labels; `prediction_id=id` if they differ, predictions first
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
    /// Address of a webhook for the alerts; written to the settings file if there is none yet
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// Runbook for on-call
    #[arg(long, value_name = "URL")]
    pub runbook: Option<String>,
}

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// Print the SQL that grants the runner and the readers their privileges, and change nothing
    #[arg(long)]
    pub print_grants: bool,
    /// Role of the runner
    #[arg(long, default_value = "trueup_runner", requires = "print_grants")]
    pub runner: String,
    /// Role of the analysts
    #[arg(long, default_value = "trueup_reader", requires = "print_grants")]
    pub reader: String,
}

/// Arguments of the guard of a private Postgres.
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
