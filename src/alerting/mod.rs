//! Judging, in the publishing transaction: verdicts, alert state and incidents.

pub mod basis;
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
pub mod transition;

use chrono::{DateTime, Utc};

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

impl<'a> RunContext<'a> {
    pub(crate) fn origin(&self) -> Origin<'a> {
        let Claim { job_id, run_id, .. } = *self.claim;
        Origin { job: self.job, job_id, run_id, plan_id: Some(self.plan.id), as_of: self.as_of }
    }
}

/// The job and run that an alert comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub job: &'a PlannedJob,
    pub job_id: i64,
    pub run_id: i64,
    /// `None` if the run ended before its plan was known.
    pub plan_id: Option<i64>,
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
