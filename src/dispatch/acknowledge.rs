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
use crate::store::alerting::alert::{self, FiringAlert};
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
    let jobs = alert::jobs_of(&mut transaction, ids, incidents).await?;
    // Lock jobs before alerts, in the same order as runs.
    for job_id in &jobs {
        job::lock_published(&mut transaction, *job_id).await?;
    }
    let seen = alert::firing_of(&mut transaction, ids, incidents).await?;
    let now = clock::now(&mut transaction).await?;
    let found_ids: Vec<i64> = seen.iter().map(|found| found.id).collect();
    match act.kind {
        Kind::Acknowledge => alert::acknowledge(&mut transaction, &found_ids, act.author, act.note).await?,
        Kind::Resolve => alert::resolve_by_hand(&mut transaction, &found_ids, act.author, act.note).await?,
    }
    for job_id in jobs {
        match act.kind {
            Kind::Acknowledge => acknowledged(&mut transaction, job_id, &found_ids, act, now).await?,
            Kind::Resolve => {
                let trigger = Trigger { job_id, run_id: None, as_of: now, at_once: true };
                dispatch::changed(&mut transaction, trigger, routing).await?;
            }
        }
    }
    transaction.commit().await?;
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
