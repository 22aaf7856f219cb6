//! The built-in rules that judge no window: a run failed, runs are late, the source lost measured data, or a notification was
//! not delivered.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::warn;

use super::{StateChange, context};
use crate::alerting::Origin;
use crate::dispatch;
use crate::domain::duration;
use crate::domain::severity::Severity;
use crate::evaluate::state::State;
use crate::notify::message::AlertFacts;
use crate::notify::policy::route::Routing;
use crate::plan::PlannedJob;
use crate::plan::build::builtin::{DELIVERY_FAILED, RUN_FAILED, RUN_LATE, SOURCE_SHRANK};
use crate::postgres::held;
use crate::store::alerting::alert::{self, NewTransition};
use crate::store::alerting::incident;
use crate::store::history::verdict::RuleKey;
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
    let origin = Origin { job, job_id: claim.job_id, run_id: claim.run_id, as_of };
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
            Err(failure) => warn!(job.name = %job.name, "could not look whether the job is late: {failure}"),
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
        let origin = Origin { job, job_id: health.job_id, run_id: failed.run_id, as_of };
        let words = format!("the run of {} failed: {}", as_of.to_rfc3339(), failed.failure);
        raise_unless_locked(connection, origin, RUN_FAILED, (&words, as_of), routing).await?;
    }
    let Some((words, missed)) = lateness(job, &health).filter(|_| watches(RUN_LATE)) else { return Ok(false) };
    if !alert::firing(connection, health.job_id, &[RUN_LATE.to_owned()]).await?.is_empty() {
        return Ok(false);
    }
    let origin = Origin { job, job_id: health.job_id, run_id: health.run_id, as_of: health.now };
    raise_unless_locked(connection, origin, RUN_LATE, (&words, missed), routing).await
}

/// Raises an alert unless another session has locked the job's row: a job that is being published is checked the next time.
async fn raise_unless_locked(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &str,
    what: (&str, DateTime<Utc>),
    routing: &Routing,
) -> Result<bool, RunError> {
    let mut transaction = connection.begin().await?;
    let raised = if job::try_lock(&mut transaction, origin.job_id).await? {
        raise(&mut transaction, origin, rule, what, routing).await?
    } else {
        warn!(job.name = %origin.job.name, rule, "the alert cannot be raised yet: another session holds the job's row locked");
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
            "nothing was published since {}, and a run is due every {}",
            health.last_ok.to_rfc3339(),
            duration::format(gap)
        )
    };
    let newest = job.schedule.cadence.slots(health.now - allowed - gap * 2, health.now - allowed, MOST_SLOTS);
    (health.now - missed > allowed).then(|| (words(), newest.last().copied().unwrap_or(missed)))
}

/// Makes an alert fire and enqueues its notifications. `what`: words, and the slot. False if it fires already.
async fn raise(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &str,
    what: (&str, DateTime<Utc>),
    routing: &Routing,
) -> Result<bool, RunError> {
    let fired = fire(connection, origin, rule, what).await?;
    if fired {
        dispatch::changed(connection, origin.trigger(false), routing).await?;
    }
    Ok(fired)
}

async fn fire(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &str,
    (words, news_of): (&str, DateTime<Utc>),
) -> Result<bool, RunError> {
    // Two runners may see the same failure; the lock of the job's row admits one.
    job::lock_published(connection, origin.job_id).await?;
    let known = alert::of_rule(connection, origin.job_id, rule).await?;
    let from = known.first().and_then(|alert| State::parse(&alert.state)).unwrap_or(State::Inactive);
    // An alert that was resolved manually fires again only for a later slot.
    let is_old = |until: DateTime<Utc>| news_of <= until;
    if from == State::Firing || known.first().and_then(|alert| alert.ignore_until).is_some_and(is_old) {
        return Ok(false);
    }
    let facts = facts(origin, rule, (State::Firing, Some(origin.as_of)), words);
    let alert_id = change(connection, origin, rule, (from, State::Firing), words, &facts).await?;
    let incident = incident::join(connection, origin.job_id, Severity::Ticket.as_str(), &[alert_id]).await?;
    incident::freeze(connection, incident, &[alert_id], &[json!({ "alert": facts, "as_of": origin.as_of })]).await?;
    Ok(true)
}

/// Resolves the alerts about runs after a run has published.
pub(crate) async fn recovered(connection: &mut PgConnection, origin: Origin<'_>) -> Result<Vec<StateChange>, RunError> {
    resolve(connection, origin, &[RUN_FAILED.to_owned(), RUN_LATE.to_owned()], "a run published").await
}

/// Raises the alert that the source lost measured data, with a description of the loss, or resolves it.
pub(crate) async fn shrank(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    words: Option<&str>,
) -> Result<Vec<StateChange>, RunError> {
    stands(connection, origin, SOURCE_SHRANK, words, "history keeps nothing any more that the source lacks").await
}

/// Raises the alert that notifications about the job are not delivered, or resolves it.
pub(crate) async fn undelivered(
    connection: &mut PgConnection,
    origin: Origin<'_>,
) -> Result<Vec<StateChange>, RunError> {
    let failed = deliveries::undelivered(connection, origin.job_id).await?;
    let words = failed.iter().map(|one| format!("{}: {}", one.receiver, one.failure)).collect::<Vec<_>>().join("; ");
    let words = (!failed.is_empty()).then(|| format!("messages about this job do not get through to {words}"));
    stands(
        connection,
        origin,
        DELIVERY_FAILED,
        words.as_deref(),
        "no message failed within seven days, or later ones got through",
    )
    .await
}

/// Raises an alert with these words, or resolves it if there are none.
async fn stands(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &str,
    words: Option<&str>,
    over: &str,
) -> Result<Vec<StateChange>, RunError> {
    let Some(words) = words else {
        return resolve(connection, origin, &[rule.to_owned()], over).await;
    };
    let watched = origin.job.run_rules.iter().any(|name| name == rule);
    let fired = watched && fire(connection, origin, rule, (words, origin.as_of)).await?;
    Ok(fired.then(|| told(rule, State::Inactive, State::Firing)).into_iter().collect())
}

async fn resolve(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    names: &[String],
    words: &str,
) -> Result<Vec<StateChange>, RunError> {
    let mut ended = Vec::new();
    for rule in alert::firing(connection, origin.job_id, names).await? {
        let since = alert::of_rule(connection, origin.job_id, &rule).await?.first().and_then(|alert| alert.since);
        let facts = facts(origin, &rule, (State::Resolved, since), words);
        change(connection, origin, &rule, (State::Firing, State::Resolved), words, &facts).await?;
        ended.push(told(&rule, State::Firing, State::Resolved));
    }
    Ok(ended)
}

fn told(rule: &str, from: State, to: State) -> StateChange {
    let cohort = "all".to_owned();
    StateChange { rule: rule.to_owned(), cohort, model_version: None, from, to, value: None, limit: None }
}

async fn change(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    rule: &str,
    (from, to): (State, State),
    reason: &str,
    facts: &AlertFacts,
) -> Result<i64, RunError> {
    let key = RuleKey {
        job_id: origin.job_id,
        run_id: origin.run_id,
        rule,
        fingerprint: rule,
        severity: Severity::Ticket.as_str(),
    };
    let transition = NewTransition {
        cohort: "all".to_owned(),
        model_version: None,
        from_state: from.as_str(),
        to_state: to.as_str(),
        reason: reason.to_owned(),
        value: None,
        limit_value: None,
        since: facts.since,
        fired_at: (to == State::Firing).then_some(origin.as_of),
        evidence: json!(facts),
        about: Some(json!(context::built_in(origin.job, rule))),
    };
    Ok(alert::transition(connection, key, &transition).await?)
}

fn facts(origin: Origin<'_>, rule: &str, (state, since): (State, Option<DateTime<Utc>>), words: &str) -> AlertFacts {
    let at = origin.as_of;
    AlertFacts {
        id: None,
        incident: None,
        is_new: false,
        squared_error_share: None,
        fired_at: None,
        acknowledged_by: None,
        closed: None,
        query: context::built_in_query(origin.job, rule),
        cohort: "all".to_owned(),
        model_version: None,
        state: state.as_str().to_owned(),
        value: None,
        limit: None,
        baseline: None,
        unit: String::new(),
        ci_low: None,
        ci_high: None,
        labeled: 0,
        predictions: 0,
        coverage: None,
        window_start: at,
        window_end: at,
        status: "final".to_owned(),
        since,
        note: Some(words.to_owned()),
    }
}
