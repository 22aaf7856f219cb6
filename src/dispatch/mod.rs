//! Compares the alerts that receivers were notified of with the current ones, and puts the missing notifications into the outbox.
//!
//! A firing alert that is not suppressed is sent to the receivers that its rule, its job or a route names; the receivers that
//! were notified of it are also notified when it resolves. All state is in the database, so runs, repeats and manual actions
//! share this path.

pub mod acknowledge;
pub mod compose;
pub mod record;
pub mod repeat;
pub mod send;
pub mod suppress;
pub mod trial;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::dispatch::compose::PendingNotification;
use crate::dispatch::suppress::{Known, Suppressions};
use crate::notify::policy::inhibit::Decision;
use crate::notify::policy::route::{Path, Routing};
use crate::store::alerting::notified::{self, Notified};
use crate::store::alerting::{alert, incident};
use crate::store::clock;
use crate::warehouse::failure::RunError;

/// Cause of notifications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trigger {
    pub job_id: i64,
    /// `None`: caused by a manual action or by the passing of time, not by a run.
    pub run_id: Option<i64>,
    pub as_of: DateTime<Utc>,
    /// Skips the group wait, because a user waits for the result.
    pub at_once: bool,
}

/// Alerts of a job that fire or whose resolve is not dispatched yet, and the notifications that receivers got of them.
pub(crate) struct JobAlerts {
    pub alerts: Vec<Known>,
    pub notified: Vec<Notified>,
}

impl JobAlerts {
    pub(crate) async fn load(connection: &mut PgConnection, job_id: i64) -> Result<Self, RunError> {
        let alerts = alert::standing(connection, job_id).await?;
        // Context stored by an earlier version may be unreadable; such an alert is left as it is.
        let known = alerts.into_iter().filter_map(|alert| {
            let about = serde_json::from_value(alert.about.clone()).ok()?;
            Some(Known { alert, about })
        });
        Ok(Self { alerts: known.collect(), notified: notified::of_job(connection, job_id).await? })
    }

    pub(crate) fn find(&self, id: i64) -> Option<&Known> {
        self.alerts.iter().find(|known| known.alert.id == id)
    }
}

/// Suffix of the groups of deferred notifications.
const LATER: &str = "/later";

/// Returns the group of a job's notifications. Deferred notifications (hours, digest) form a group of their own.
pub(crate) fn topic(job: &str, path: &Path) -> String {
    if path.is_deferred() { format!("{job}{LATER}") } else { job.to_owned() }
}

/// Enqueues notifications of all changes. The caller must hold the lock of the job's row.
pub(crate) async fn changed(
    connection: &mut PgConnection,
    trigger: Trigger,
    routing: &Routing,
) -> Result<(), RunError> {
    if alert::has_undispatched(connection, trigger.job_id).await? {
        let standing = JobAlerts::load(connection, trigger.job_id).await?;
        differences(connection, trigger, routing, &standing).await?;
    }
    // Also closes incidents that no receiver was notified of.
    Ok(incident::close_ended(connection, trigger.job_id).await?)
}

async fn differences(
    connection: &mut PgConnection,
    trigger: Trigger,
    routing: &Routing,
    standing: &JobAlerts,
) -> Result<(), RunError> {
    let now = clock::now(connection).await?;
    let suppressions = Suppressions::load(connection, routing, &standing.alerts, now).await?;
    let mut pending: BTreeMap<(String, String), PendingNotification> = BTreeMap::new();
    let (mut told, mut nobody) = (Vec::new(), Vec::new());
    for known in standing.alerts.iter().filter(|known| known.is_firing() && !known.alert.dispatched) {
        if let Decision::Suppress(quiet) = suppressions.decide(known) {
            let why = quiet.describe();
            if known.alert.suppressed_by.as_deref() != Some(&why) {
                alert::mark_suppressed(connection, known.alert.id, &why).await?;
            }
            continue;
        }
        let path = known.path(routing);
        if path.receivers.is_empty() {
            nobody.push(known.alert.id);
            continue;
        }
        let topic = topic(&known.about.job.name, &path);
        for receiver in &path.receivers {
            PendingNotification::of(&mut pending, (receiver, &topic), &path, now).fired.insert(known.alert.id);
        }
        told.push(known.alert.id);
    }
    for notified in &standing.notified {
        let Some(known) = standing.find(notified.alert_id).filter(|known| !known.is_firing()) else { continue };
        // A resolve is deferred only if its firing notification was: one sent at night is also resolved at night.
        let path = known.path(routing);
        let path = if notified.topic.ends_with(LATER) { path } else { path.at_any_time() };
        PendingNotification::of(&mut pending, (&notified.receiver, &notified.topic), &path, now)
            .ended
            .insert(notified.alert_id);
    }
    alert::mark_dispatched(connection, &told).await?;
    alert::mark_nobody(connection, &nobody).await?;
    for ((receiver, topic), pending) in &pending {
        compose::enqueue(connection, trigger, routing, standing, (receiver, topic), pending, now).await?;
    }
    Ok(())
}

/// Returns the alerts of one group that still fire and that the receiver was notified of.
pub(crate) fn notified_firing<'s>(standing: &'s JobAlerts, receiver: &str, topic: &str) -> BTreeMap<i64, &'s Notified> {
    let mine = standing.notified.iter().filter(|notified| notified.receiver == receiver && notified.topic == topic);
    let firing: BTreeSet<i64> =
        standing.alerts.iter().filter(|known| known.is_firing()).map(|known| known.alert.id).collect();
    mine.filter(|notified| firing.contains(&notified.alert_id)).map(|notified| (notified.alert_id, notified)).collect()
}
