//! Reconciliation: a slow comparison of the whole horizon that finds and repairs changes which arrival times do not
//! reveal: late commits, updates, deletes, cohorts that disappeared.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::fence;
use super::shrink::{self, Touched};
use super::stages::{END_OF_TIME, Read, Summed, limit_cells};
use crate::alerting::RunContext;
use crate::store::ledger::plan;
use crate::warehouse::failure::RunError;
use crate::warehouse::pairs::reconcile::Compared;
use crate::warehouse::pairs::{arrivals, rebuild};
use crate::warehouse::session;

/// True if this run compares the whole horizon: on request, and otherwise every `schedule.reconcile`.
pub(super) fn is_due(run: &RunContext<'_>) -> bool {
    let Some(_) = run.plan.progress.filter(|_| run.job.is_incremental()) else {
        // A first run, and every run without arrival times, has just read all of it.
        return false;
    };
    let last = run.plan.reconciled_as_of;
    run.claim.trigger == "reconcile" || last.is_none_or(|last| last + run.job.schedule.reconcile <= run.as_of)
}

/// Repairs every bucket of the horizon that differs from the source. Returns the number of repaired buckets.
pub(super) async fn repair(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    read: &Read,
    summed: &mut Summed,
) -> Result<i64, RunError> {
    let (job, plan_id, as_of) = (run.job, run.plan.id, run.as_of);
    let mut transaction = session::begin(connection, run.facts).await?;
    plan::lock_stages(&mut transaction, plan_id).await?;
    fence(&mut transaction, run.claim).await?;
    let range = job.windows.horizon_start(as_of).max(read.built_from)..END_OF_TIME;
    let compared = Compared { facts: run.facts, plan_id, as_of, range: &range, starts: None, is_horizon: true };
    let differing = shrink::compare(&mut transaction, job, &compared, &Touched::new()).await?.apply;
    let recent: Vec<DateTime<Utc>> = differing.iter().copied().filter(|start| *start >= read.residual_from).collect();
    arrivals::reread_buckets(&mut transaction, job, run.facts, plan_id, as_of, &recent, read.generation).await?;
    rebuild::starts(&mut transaction, job, run.facts, plan_id, as_of, &differing).await?;
    plan::note_due(&mut transaction, plan_id, read.generation, &differing).await?;
    limit_cells(&mut transaction, plan_id).await?;
    fence(&mut transaction, run.claim).await?;
    transaction.commit().await?;
    let repaired = i64::try_from(differing.len()).unwrap_or(i64::MAX);
    summed.buckets += repaired;
    summed.touched.extend(differing);
    Ok(repaired)
}
