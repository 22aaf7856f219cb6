//! Judging, in the publishing transaction: verdicts, alert state and incidents.

pub mod context;
pub mod excluded;
pub mod fetch;
pub mod incident;
pub mod judgeable;
pub mod objectives;
pub mod orphaned;
pub mod replay;
pub mod rules;
pub mod run_health;

use chrono::{DateTime, Utc};
use incident::Fired;

use crate::dispatch::Trigger;
use crate::evaluate::state::State;
use crate::notify::policy::route::Routing;
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::store::ledger::plan::PlanRow;
use crate::store::ledger::run::Claim;

/// Context of a run under way, for all its stages.
pub(crate) struct RunContext<'a> {
    pub job: &'a PlannedJob,
    pub facts: &'a SourceFacts,
    pub plan: &'a PlanRow,
    pub claim: &'a Claim,
    pub as_of: DateTime<Utc>,
    pub routing: &'a Routing,
}

/// The job and run that an alert comes from.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub job: &'a PlannedJob,
    pub job_id: i64,
    pub run_id: i64,
    pub as_of: DateTime<Utc>,
}

impl Origin<'_> {
    pub(crate) fn trigger(&self, at_once: bool) -> Trigger {
        Trigger { job_id: self.job_id, run_id: Some(self.run_id), as_of: self.as_of, at_once }
    }
}

/// A change of an alert's state, as `run` prints it.
#[derive(Debug, Clone)]
pub struct StateChange {
    pub rule: String,
    pub cohort: String,
    /// `None`: all versions together.
    pub model_version: Option<String>,
    pub from: State,
    pub to: State,
    pub value: Option<f64>,
    pub limit: Option<f64>,
}

/// Result of judging all rules.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub changes: Vec<StateChange>,
    /// Alerts that have just begun to fire.
    pub fired: Vec<Fired>,
}
