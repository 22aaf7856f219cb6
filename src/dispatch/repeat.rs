//! Enqueues notifications that become due with time: after the end of silences and maintenance, repeats of firing alerts, and
//! escalations of unacknowledged ones. All state is in the database, so any number of processes may do this.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::warn;
use uuid::Uuid;

use super::compose::{self, ByGroup, PendingNotification};
use super::suppress::{Known, Suppressions};
use super::{JobAlerts, Trigger, notified_firing, topic};
use crate::dispatch;
use crate::notify::policy::inhibit::Decision;
use crate::notify::policy::route::{Path, Routing};
use crate::postgres::held;
use crate::store::alerting::alert;
use crate::store::clock;
use crate::store::ledger::job;
use crate::store::outbox::queue::{self, NewNotification};
use crate::warehouse::failure::RunError;

/// Time for which a resolve is resent to Alertmanager.
const RESENT_END: TimeDelta = TimeDelta::minutes(5);

/// Checks every job that has alerts, once. A job that fails does not block the others; a job that a run is publishing is
/// checked the next time.
pub async fn all(pool: &PgPool, routing: &Routing) -> Result<(), RunError> {
    let jobs = held::within(pool, held::SHORT, async |connection| {
        let jobs = alert::jobs_with_news(connection).await?;
        resend_ends(connection, routing).await?;
        Ok::<_, RunError>(jobs)
    });
    for job_id in jobs.await? {
        let looked = held::within(pool, held::SHORT, async |connection| one(connection, job_id, routing).await);
        if let Err(failure) = looked.await {
            warn!(job.id = job_id, error = %failure, "could not check for repeats and escalations");
        }
    }
    Ok(())
}

async fn one(connection: &mut PgConnection, job_id: i64, routing: &Routing) -> Result<(), RunError> {
    let mut transaction = connection.begin().await?;
    if job::try_lock(&mut transaction, job_id).await? {
        of_job(&mut transaction, job_id, routing).await?;
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(())
}

async fn of_job(connection: &mut PgConnection, job_id: i64, routing: &Routing) -> Result<(), RunError> {
    let now = clock::now(connection).await?;
    let trigger = Trigger { job_id, run_id: None, as_of: now, at_once: false };
    dispatch::changed(connection, trigger, routing).await?;
    let standing = JobAlerts::load(connection, job_id).await?;
    let suppressions = Suppressions::load(connection, routing, &standing.alerts, now).await?;
    let told: Vec<(&Known, Path)> = standing
        .alerts
        .iter()
        .filter(|known| known.is_firing() && known.alert.dispatched)
        .map(|known| (known, known.path(routing)))
        .collect();
    let heard: Vec<(&Known, Path)> =
        told.iter().filter(|(known, _)| suppressions.decide(known) == Decision::Notify).cloned().collect();
    // Skip the group wait: these alerts have waited long enough.
    let trigger = Trigger { at_once: true, ..trigger };
    for ((receiver, topic), pending) in &escalations(&standing, &heard, now) {
        compose::enqueue(connection, trigger, routing, &standing, (receiver, topic), pending, now).await?;
    }
    for (receiver, topic, path, every) in repeats(routing, &standing, &told, &heard) {
        let last = queue::last_of_group(connection, &receiver, &topic).await?;
        if last.is_some_and(|last| now - last < every) || queue::is_waiting(connection, &receiver, &topic).await? {
            continue;
        }
        let pending = PendingNotification { reason: Some("repeat"), ..PendingNotification::new(path) };
        compose::enqueue(connection, trigger, routing, &standing, (&receiver, &topic), &pending, now).await?;
    }
    Ok(())
}

/// Returns the escalations that are due because an alert was not acknowledged.
fn escalations(standing: &JobAlerts, open: &[(&Known, Path)], now: DateTime<Utc>) -> ByGroup {
    let mut pending = ByGroup::new();
    for (known, path) in open.iter().filter(|(known, _)| known.alert.acked_by.is_none()) {
        let Some(escalation) = &path.escalation else { continue };
        let notified = || standing.notified.iter().filter(|notified| notified.alert_id == known.alert.id);
        // Counted from the first notification, not from the firing: the alert may have been silenced.
        let notified_at = notified().filter(|notified| !notified.escalated).map(|notified| notified.notified_at).min();
        if notified_at.is_none_or(|notified_at| now - notified_at < escalation.after) {
            continue;
        }
        for receiver in &escalation.notify {
            if notified().any(|notified| notified.receiver == *receiver) {
                continue;
            }
            // Escalations ignore hours and digest.
            let path = path.clone().at_any_time();
            let topic = topic(&known.about.job.name, &path);
            let group = PendingNotification::of(&mut pending, (receiver, &topic), &path, now);
            group.reason = Some("escalated");
            group.fired.insert(known.alert.id);
        }
    }
    pending
}

/// Returns the groups that may need a repeat, with the interval: those with an unsuppressed (`heard`), unacknowledged alert. A
/// receiver that forgets alerts gets all dispatched ones again, even if they are suppressed meanwhile: it would take silence
/// for a resolve.
fn repeats(
    routing: &Routing,
    standing: &JobAlerts,
    told: &[(&Known, Path)],
    heard: &[(&Known, Path)],
) -> Vec<(String, String, Path, TimeDelta)> {
    let groups: BTreeSet<(&str, &str)> =
        standing.notified.iter().map(|notified| (notified.receiver.as_str(), notified.topic.as_str())).collect();
    groups
        .into_iter()
        .filter_map(|(receiver, topic)| {
            let notified = notified_firing(standing, receiver, topic);
            let resend = routing.resend.get(receiver).copied();
            let from = if resend.is_some() { told } else { heard };
            let mut mine = from.iter().filter(|(known, _)| notified.contains_key(&known.alert.id));
            let (_, path) = mine.find(|(known, _)| resend.is_some() || known.alert.acked_by.is_none())?;
            let every = resend.unwrap_or(path.timing.repeat_interval);
            Some((receiver.to_owned(), topic.to_owned(), path.clone(), every))
        })
        .collect()
}

/// Resends recent resolves to receivers that may have forgotten them.
async fn resend_ends(connection: &mut PgConnection, routing: &Routing) -> Result<(), RunError> {
    for (receiver, every) in &routing.resend {
        let mut transaction = connection.begin().await?;
        for ended in queue::ended_lately(&mut transaction, receiver, RESENT_END, *every).await? {
            let id = Uuid::new_v4();
            let mut body = ended.body;
            if let Some(own) = body.get_mut("id") {
                *own = Json::String(id.to_string());
            }
            let new = NewNotification {
                id,
                job_id: ended.job_id,
                run_id: None,
                receiver: receiver.clone(),
                topic: ended.topic,
                kind: "resolved",
                body,
                due: None,
            };
            queue::enqueue(&mut transaction, &new).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}
