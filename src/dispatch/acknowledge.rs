//! Manual actions on alerts: acknowledge and resolve.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::{JobAlerts, Trigger, compose};
use crate::dispatch;
use crate::notify::policy::route::Routing;
use crate::postgres::held;
use crate::store::alerting::manual::{self, FiringAlert};
use crate::store::clock;
use crate::store::ledger::job;
use crate::store::outbox::queue::{self, NewNotification};
use crate::warehouse::failure::RunError;

/// A manual action and its author.
#[derive(Debug, Clone, Copy)]
pub struct ManualAction<'a> {
    pub kind: Kind,
    pub author: &'a str,
    pub note: &'a str,
}

/// Kind of a manual action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stops repeats and escalation.
    Acknowledge,
    /// Ends the alert; windows that end later may make it fire again.
    Resolve,
}

/// Outcome of an action on alerts as a user saw them.
#[derive(Debug)]
pub enum Outcome {
    /// Acted on these.
    Done(Vec<FiringAlert>),
    /// All of them were acknowledged before.
    Already,
    /// None of them fires.
    NothingFires,
    /// An alert has changed since the user saw it; nothing was done.
    Changed,
}

/// Acts like [`act`], unless an alert has changed after `seen`. An alert that is acknowledged is not acknowledged again.
pub async fn act_as_seen(
    pool: &PgPool,
    (ids, incidents): (&[i64], &[i64]),
    seen: Option<DateTime<Utc>>,
    act: ManualAction<'_>,
    routing: &Routing,
) -> Result<Outcome, RunError> {
    held::within(pool, held::SHORT, async |connection| {
        let mut transaction = connection.begin().await?;
        lock(&mut transaction, ids, incidents).await?;
        let changed = manual::changed_at(&mut transaction, ids, incidents).await?;
        if seen.is_some_and(|seen| changed.is_some_and(|changed| changed > seen)) {
            return Ok(Outcome::Changed);
        }
        let firing = manual::firing_of(&mut transaction, ids, incidents).await?;
        if firing.is_empty() {
            return Ok(Outcome::NothingFires);
        }
        let is_due = |found: &&FiringAlert| act.kind == Kind::Resolve || found.acked_by.is_none();
        let due: Vec<i64> = firing.iter().filter(is_due).map(|found| found.id).collect();
        if due.is_empty() {
            return Ok(Outcome::Already);
        }
        let acted = act_within(&mut transaction, (&due, &[]), act, routing).await?;
        transaction.commit().await?;
        Ok(Outcome::Done(acted))
    })
    .await
}

/// Acts on firing alerts, by number or by incident, and notifies the receivers that know of them. Returns the alerts acted on.
pub async fn act(
    pool: &PgPool,
    ids: &[i64],
    incidents: &[i64],
    act: ManualAction<'_>,
    routing: &Routing,
) -> Result<Vec<FiringAlert>, RunError> {
    held::within(pool, held::SHORT, async |connection| act_on(connection, ids, incidents, act, routing).await).await
}

async fn act_on(
    connection: &mut PgConnection,
    ids: &[i64],
    incidents: &[i64],
    act: ManualAction<'_>,
    routing: &Routing,
) -> Result<Vec<FiringAlert>, RunError> {
    let mut transaction = connection.begin().await?;
    let seen = act_within(&mut transaction, (ids, incidents), act, routing).await?;
    transaction.commit().await?;
    Ok(seen)
}

/// Locks the jobs of alerts before the alerts, in the same order as runs. Returns the jobs.
async fn lock(connection: &mut PgConnection, ids: &[i64], incidents: &[i64]) -> Result<Vec<i64>, RunError> {
    let jobs = manual::jobs_of(connection, ids, incidents).await?;
    for job_id in &jobs {
        job::lock_published(connection, *job_id).await?;
    }
    Ok(jobs)
}

async fn act_within(
    transaction: &mut PgConnection,
    (ids, incidents): (&[i64], &[i64]),
    act: ManualAction<'_>,
    routing: &Routing,
) -> Result<Vec<FiringAlert>, RunError> {
    let jobs = lock(transaction, ids, incidents).await?;
    let seen = manual::firing_of(transaction, ids, incidents).await?;
    let now = clock::now(transaction).await?;
    let found_ids: Vec<i64> = seen.iter().map(|found| found.id).collect();
    match act.kind {
        Kind::Acknowledge => manual::acknowledge(transaction, &found_ids, act.author, act.note).await?,
        Kind::Resolve => manual::resolve_by_hand(transaction, &found_ids, act.author, act.note).await?,
    }
    for job_id in jobs {
        match act.kind {
            Kind::Acknowledge => acknowledged(transaction, job_id, &found_ids, act, now).await?,
            Kind::Resolve => {
                let trigger = Trigger { job_id, run_id: None, as_of: now, at_once: true };
                dispatch::changed(transaction, trigger, routing).await?;
            }
        }
    }
    Ok(seen)
}

/// Notifies the receivers of these alerts of the acknowledgement.
async fn acknowledged(
    connection: &mut PgConnection,
    job_id: i64,
    ids: &[i64],
    act: ManualAction<'_>,
    now: DateTime<Utc>,
) -> Result<(), RunError> {
    let standing = JobAlerts::load(connection, job_id).await?;
    let note = if act.note.is_empty() { String::new() } else { format!(": {}", act.note) };
    let words = format!("Acknowledged by {}{note}.", act.author);
    let mut groups: Vec<(&str, &str)> = standing
        .notified
        .iter()
        .filter(|notified| ids.contains(&notified.alert_id))
        .map(|notified| (notified.receiver.as_str(), notified.topic.as_str()))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    for (receiver, topic) in groups {
        let id = Uuid::new_v4();
        // Only alerts that this receiver was notified of.
        let mine = standing
            .notified
            .iter()
            .filter(|notified| notified.receiver == receiver && ids.contains(&notified.alert_id));
        let mine: BTreeSet<i64> = mine.map(|notified| notified.alert_id).collect();
        let Some(notice) = compose::acknowledged(connection, &standing, &mine, (id, topic), &words, now).await? else {
            continue;
        };
        let new = NewNotification {
            id,
            job_id: Some(job_id),
            run_id: None,
            receiver: receiver.to_owned(),
            // A topic of its own, so that it does not wait for deferred notifications.
            topic: format!("{topic}/acknowledged"),
            kind: "acknowledged",
            body: json!(notice),
            due: None,
        };
        queue::enqueue(connection, &new).await?;
    }
    Ok(())
}
