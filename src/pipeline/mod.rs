//! One run of a job, stage by stage. Each stage may be killed after any statement and repeated.

mod about;
pub mod backfill;
mod classes;
pub mod enter;
pub mod execute;
mod publish;
mod realign;
mod reconcile;
mod shrink;
mod stages;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use tracing::warn;
use uuid::Uuid;

use crate::alerting::{RunContext, StateChange};
use crate::domain::window::Window;
use crate::metric::measurement::Measurement;
use crate::notify::policy::route::Routing;
use crate::plan::PlannedJob;
use crate::plan::due::Since;
use crate::plan::source::SourceFacts;
use crate::postgres::held;
use crate::store::ledger::job;
use crate::store::ledger::plan::{self, NewPlan, PlanRow, Progress};
use crate::store::ledger::run::{self, Claim, Done};
use crate::warehouse::failure::{self, RunError};
use crate::warehouse::inspect::{self, SourceError};
use crate::warehouse::pairs::rebuild::Build;
use crate::warehouse::session;

/// Outcome of a run that did not fail.
#[derive(Debug)]
pub enum Outcome {
    /// Published.
    Ok(Published),
    /// Not run, with the recorded reason.
    Skipped(String),
}

/// Result of a run that published.
#[derive(Debug, Default)]
pub struct Published {
    pub done: Done,
    /// Measurements that are judged or shown, written or not.
    pub measurements: Vec<Measurement>,
    pub transitions: Vec<StateChange>,
}

impl<'a> RunContext<'a> {
    /// True for the first run of this definition of the job, or in this time zone: all but its newest windows are in the past.
    fn is_first(&self) -> bool {
        !self.plan.is_current || self.is_realigned()
    }

    /// True if the job's days follow a different time zone from the last published ones.
    fn is_realigned(&self) -> bool {
        let is_calendar = self.job.windows.all.iter().any(Window::is_calendar);
        is_calendar && self.plan.timezone.as_ref().is_some_and(|zone| zone != self.job.windows.zone.name())
    }
}

/// Runs a claimed job as of a time, and publishes.
pub async fn run_job(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    as_of: DateTime<Utc>,
    routing: &Routing,
) -> Result<Outcome, RunError> {
    let limit = failure::deadline(job.schedule.timeout);
    held::within_own_settings(pool, limit, async |connection| run_on(connection, job, claim, as_of, routing).await)
        .await
}

async fn run_on(
    connection: &mut PgConnection,
    job: &PlannedJob,
    claim: &Claim,
    as_of: DateTime<Utc>,
    routing: &Routing,
) -> Result<Outcome, RunError> {
    let session = failure::limit_time(connection, job.schedule.timeout, claim.lease()).await?;
    execute::note_session(session);
    let known = job::register(connection, &job.name).await?;
    if !known.is_seen {
        // Before the plan is read: see `store::history::purge`.
        job::seen(connection, std::slice::from_ref(&job.name)).await?;
    }
    if let Some(skipped) = Outcome::older_than(known.published_as_of, as_of) {
        return Ok(skipped);
    }
    let plan = register_plan(connection, job, known.id, &job.fingerprint()).await?;
    if !plan.guarded {
        match run_planned(connection, job, claim, as_of, routing, &plan).await {
            Err(error) if error.is_of_an_expression(job) => {
                // The failed transaction is rolled back; earlier commits belong to a plan that is never published.
                warn!(
                    job.name = %job.name,
                    "an expression fails on a row and is now evaluated row by row; `trueup check` names it"
                );
                plan::guard(connection, plan.id).await?;
            }
            Err(error) if error.is_of_a_key(job) => {
                expect_unique(connection, job, job.windows.reach(as_of)).await?;
                return Err(error);
            }
            done => return done,
        }
    }
    let job = job.evaluated_row_by_row();
    let plan = register_plan(connection, &job, known.id, &job.fingerprint()).await?;
    run_planned(connection, &job, claim, as_of, routing, &plan).await
}

/// Rows of a first build from which the next runs would suffer if the planner still expected one row.
const WORTH_ANALYZING: i64 = 5_000;

/// Runs the stages of a run whose plan is known.
async fn run_planned(
    connection: &mut PgConnection,
    job: &PlannedJob,
    claim: &Claim,
    as_of: DateTime<Utc>,
    routing: &Routing,
    plan: &PlanRow,
) -> Result<Outcome, RunError> {
    let facts = inspect(connection, job).await?;
    let run = RunContext { job, facts: &facts, plan, claim, as_of, routing };
    if !run.job.is_incremental() || plan.progress.is_none() || reconcile::is_due(&run) {
        expect_unique(connection, job, job.windows.reach(as_of)).await?;
    }
    let read = stages::read(connection, &run).await?;
    let mut summed = stages::sum(connection, &run, &read).await?;
    if run.plan.progress.is_none() && summed.rebuilt_from.is_some_and(|rows| rows >= WORTH_ANALYZING) {
        plan::analyze_built(connection).await?;
    }
    if reconcile::is_due(&run) {
        summed.repaired = Some(reconcile::repair(connection, &run, &read, &mut summed).await?);
    }
    publish::publish(connection, &run, &read, &summed).await
}

impl Outcome {
    /// Skips a run as of a time before the published one, because it would undo newer results.
    fn older_than(published: Option<DateTime<Utc>>, as_of: DateTime<Utc>) -> Option<Self> {
        let newest = published.filter(|newest| *newest > as_of)?;
        Some(Self::Skipped(format!("a run as of {} has already published", newest.to_rfc3339())))
    }
}

/// Measures as a run would, without writing anything: the same stages in a transaction that is rolled back.
pub async fn dry_run(pool: &PgPool, job: &PlannedJob, as_of: DateTime<Utc>) -> Result<Vec<Measurement>, RunError> {
    let limit = failure::deadline(job.schedule.timeout);
    let dry_run = async |job: &PlannedJob| {
        held::within_own_settings(pool, limit, async |connection| dry_run_on(connection, job, as_of).await).await
    };
    match dry_run(job).await {
        Err(error) if error.is_of_an_expression(job) => dry_run(&job.evaluated_row_by_row()).await,
        done => done,
    }
}

async fn dry_run_on(
    connection: &mut PgConnection,
    job: &PlannedJob,
    as_of: DateTime<Utc>,
) -> Result<Vec<Measurement>, RunError> {
    failure::limit_time(connection, job.schedule.timeout, job.schedule.timeout).await?;
    let facts = inspect(connection, job).await?;
    expect_unique(connection, job, job.windows.reach(as_of)).await?;
    let mut transaction = session::begin(connection, &facts).await?;
    let connection = &mut *transaction;
    let known = job::register(connection, &job.name).await?;
    // A separate plan, built like that of a first run, so that no row is shared with a concurrent run.
    let plan = register_plan(connection, job, known.id, &format!("dry run {}", Uuid::new_v4())).await?;
    let from = job.windows.reach(as_of);
    let build = Build { plan_id: plan.id, as_of, range: from..as_of + job.windows.bucket, from_scratch: true };
    crate::warehouse::pairs::rebuild::range(connection, job, &facts, &build).await?;
    let since = Since { last: None, as_of, built_from: from, touched: &[], realigned: false };
    let windows = stages::named(job.windows.due(&since));
    let measured = crate::warehouse::windows::measure(connection, job, &facts, plan.id, as_of, &windows).await?;
    transaction.rollback().await?;
    Ok(measured)
}

/// Registers the plan of a job under a fingerprint, or finds it.
pub async fn register_plan(
    connection: &mut PgConnection,
    job: &PlannedJob,
    job_id: i64,
    fingerprint: &str,
) -> Result<PlanRow, RunError> {
    let (source, dimensions) = (job.source_fingerprint(), job.dimension_names());
    let new = NewPlan {
        fingerprint,
        source: &source,
        spec: &job.spec,
        dimensions: &dimensions,
        guarded: job.row_by_row,
        task: job.parameters.task.name(),
    };
    Ok(plan::plan(connection, job_id, new).await?)
}

/// Compares a job with the tables it names.
pub async fn inspect(connection: &mut PgConnection, job: &PlannedJob) -> Result<SourceFacts, RunError> {
    let facts = inspect::inspect(connection, job).await.map_err(|error| match error {
        SourceError::Mistakes(mistakes) => RunError::Source(mistakes),
        SourceError::Database(error) => RunError::Database(error),
    })?;
    // Workers of a sharded database lack the function `trueup.guarded`.
    let guards = if job.row_by_row && !facts.sharded { inspect::column_types(connection, job).await? } else { None };
    Ok(SourceFacts { guards, ..facts })
}

/// Fails if rows share a key that the job declares unique. Called whenever all of the horizon is read anyway.
async fn expect_unique(connection: &mut PgConnection, job: &PlannedJob, since: DateTime<Utc>) -> Result<(), RunError> {
    let mistakes = inspect::not_unique(connection, job, since).await?;
    if mistakes.is_empty() { Ok(()) } else { Err(RunError::Source(mistakes)) }
}

/// Fails unless the claim is still valid: a runner that lost its lease writes nothing more.
async fn fence(connection: &mut PgConnection, claim: &Claim) -> Result<(), RunError> {
    if run::holds(connection, claim).await? { Ok(()) } else { Err(RunError::LostLease) }
}

impl stages::Read {
    fn progress(&self, job: &PlannedJob, as_of: DateTime<Utc>) -> Progress {
        Progress {
            measured_as_of: as_of,
            residual_from: self.residual_from.max(job.residual_from(as_of)),
            built_from: self.built_from,
        }
    }
}
