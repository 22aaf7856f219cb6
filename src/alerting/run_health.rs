//! The built-in rules that judge no window: a run failed, runs are late, the source lost measured data, or a notification was
//! not delivered.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::warn;

use super::basis::{Basis, OperationBasis};
use super::transition::{self, Judgements};
use super::{Origin, context};
use crate::dispatch;
use crate::domain::duration;
use crate::notify::policy::route::Routing;
use crate::plan::PlannedJob;
use crate::plan::build::builtin::{DELIVERY_FAILED, RUN_FAILED, RUN_LATE, SOURCE_SHRANK};
use crate::postgres::held;
use crate::store::alerting::alert;
use crate::store::ledger::health::{self, ScheduleHealth};
use crate::store::ledger::job;
use crate::store::ledger::run::Claim;
use crate::store::read::deliveries;
use crate::warehouse::failure::RunError;

/// Intervals without a run after which a job is late, and the least allowance.
const INTERVALS: i32 = 2;
const AT_LEAST: TimeDelta = TimeDelta::minutes(5);
/// Most slots within two intervals: usually two, a few more if the gaps differ.
const MOST_SLOTS: usize = 1_000;

/// Raises the alert that a run failed. The user who starts a run manually sees the failure directly.
pub async fn failed(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    failure: &str,
    routing: &Routing,
) -> Result<(), RunError> {
    if claim.is_manual() || !job.run_rules.iter().any(|name| name == RUN_FAILED) {
        return Ok(());
    }
    let as_of = claim.scheduled_for;
    let origin = Origin { job, job_id: claim.job_id, run_id: claim.run_id, plan_id: None, as_of };
    let words = format!("the run of {} failed: {failure}", as_of.to_rfc3339());
    held::within(pool, held::SHORT, async |connection| {
        let mut transaction = connection.begin().await?;
        raise(&mut transaction, origin, RUN_FAILED, (&words, as_of), routing).await?;
        Ok(transaction.commit().await?)
    })
    .await
}

/// Raises the alerts of jobs that are late, and of runs whose failure was not reported because the process ended just then.
/// Returns the names of jobs that are late now and were not before. A job that is being published is checked the next time; a
/// job that cannot be checked does not block the others.
pub async fn late(pool: &PgPool, jobs: &[&PlannedJob], routing: &Routing) -> Result<Vec<String>, RunError> {
    let mut found = Vec::new();
    for job in jobs {
        match held::within(pool, held::SHORT, async |connection| look(connection, job, routing).await).await {
            Ok(true) => found.push(job.name.clone()),
            Ok(false) => {}
            Err(failure) => warn!(job.name = %job.name, error = %failure, "could not check whether the job is late"),
        }
    }
    Ok(found)
}

async fn look(connection: &mut PgConnection, job: &PlannedJob, routing: &Routing) -> Result<bool, RunError> {
    let watches = |rule: &str| job.run_rules.iter().any(|name| name == rule);
    let Some(health) = health::of_job(connection, &job.name).await? else { return Ok(false) };
    if watches(RUN_FAILED)
        && let Some(failed) = health::unreported_failure(connection, health.job_id, RUN_FAILED).await?
    {
        let as_of = failed.scheduled_for;
        let origin = Origin { job, job_id: health.job_id, run_id: failed.run_id, plan_id: None, as_of };
        let words = format!("the run of {} failed: {}", as_of.to_rfc3339(), failed.failure);
        raise_unless_locked(connection, origin, RUN_FAILED, (&words, as_of), routing).await?;
    }
    let Some((words, missed)) = lateness(job, &health).filter(|_| watches(RUN_LATE)) else { return Ok(false) };
    if !alert::firing(connection, health.job_id, &[RUN_LATE.to_owned()]).await?.is_empty() {
        return Ok(false);
    }
    let origin = Origin { job, job_id: health.job_id, run_id: health.run_id, plan_id: None, as_of: health.now };
    raise_unless_locked(connection, origin, RUN_LATE, (&words, missed), routing).await
}

/// Raises an alert unless another session has locked the job's row: a job that is being published is checked the next time.
async fn raise_unless_locked(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &'static str,
    what: (&str, DateTime<Utc>),
    routing: &Routing,
) -> Result<bool, RunError> {
    let mut transaction = connection.begin().await?;
    let raised = if job::try_lock(&mut transaction, origin.job_id).await? {
        raise(&mut transaction, origin, rule, what, routing).await?
    } else {
        let job = &origin.job.name;
        warn!(job.name = %job, rule, "could not raise the alert yet: another session has locked the job's row");
        false
    };
    transaction.commit().await?;
    Ok(raised)
}

/// Returns why a job is late, in words, and the newest slot that it missed. `None` if it is not late.
fn lateness(job: &PlannedJob, health: &ScheduleHealth) -> Option<(String, DateTime<Utc>)> {
    let gap = job.schedule.cadence.usual_gap();
    // The run was due at the end of the first interval.
    let allowed = (gap * (INTERVALS - 1)).max(AT_LEAST);
    let missed = job.schedule.cadence.next_after(health.last_ok)?;
    let words = || {
        format!(
            "no run has published since {}; one is due every {}",
            health.last_ok.to_rfc3339(),
            duration::format(gap)
        )
    };
    let newest = job.schedule.cadence.slots(health.now - allowed - gap * 2, health.now - allowed, MOST_SLOTS);
    (health.now - missed > allowed).then(|| (words(), newest.last().copied().unwrap_or(missed)))
}

/// Makes an alert fire and enqueues its notifications. `what`: a description, and the slot. False if it fires already.
async fn raise(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &'static str,
    (words, slot): (&str, DateTime<Utc>),
    routing: &Routing,
) -> Result<bool, RunError> {
    // Two runners may see the same failure; the lock of the job's row admits one.
    job::lock_published(connection, origin.job_id).await?;
    // An alert that was resolved manually fires again only for a later slot.
    let judgements = [judgements(origin, rule, words, (slot, true))];
    let fired = !transition::apply(connection, origin, &judgements).await?.is_empty();
    if fired {
        dispatch::changed(connection, origin.trigger(false), routing).await?;
    }
    Ok(fired)
}

/// Judges the job's runs, source and deliveries after a run has published. `loss` describes the measured data that the source
/// no longer has.
pub(crate) async fn judge<'a>(
    connection: &mut PgConnection,
    origin: Origin<'a>,
    loss: Option<&str>,
) -> Result<Vec<Judgements<'a>>, RunError> {
    let failed = deliveries::undelivered(connection, origin.job_id).await?;
    let failed = failed.iter().map(|one| format!("{}: {}", one.receiver, one.failure)).collect::<Vec<_>>().join("; ");
    let failed = (!failed.is_empty()).then(|| format!("notifications about this job are not delivered to {failed}"));
    let conditions = [
        (RUN_FAILED, None, "a run published"),
        (RUN_LATE, None, "a run published"),
        (SOURCE_SHRANK, loss, "the source has all data that history was measured from"),
        (DELIVERY_FAILED, failed.as_deref(), "no notification failed within seven days, or later ones were delivered"),
    ];
    let watched = |rule: &str| origin.job.run_rules.iter().any(|name| name == rule);
    let judge = |(rule, breach, over): (&'static str, Option<&str>, &str)| match breach {
        Some(words) => judgements(origin, rule, words, (origin.as_of, true)),
        // Recovery is known now, even if the run is about an earlier time.
        None => judgements(origin, rule, over, (DateTime::<Utc>::MAX_UTC, false)),
    };
    // Alerts of rules that are switched off are closed like those of rules that were removed.
    Ok(conditions.into_iter().filter(|(rule, ..)| watched(rule)).map(judge).collect())
}

/// Returns the judgement of one condition, at a time.
fn judgements<'a>(origin: Origin<'a>, rule: &'static str, note: &str, window: (DateTime<Utc>, bool)) -> Judgements<'a> {
    let basis = Basis::Operation(OperationBasis { origin, rule, note: note.to_owned() });
    Judgements::single(context::built_in(origin.job, rule), rule.to_owned(), Vec::new(), Some(window), basis)
}
