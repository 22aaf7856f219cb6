//! Compares what receivers believe with what is so, and puts what they have to be told into the outbox.
//!
//! An alert that fires and is not held back is told to the receivers that its rule, its job or a route names; whoever was
//! told is told of the end. Everything needed stands in the database: runs, reminders and people use the same path.

pub mod acknowledge;
pub mod compose;
pub mod repeat;
pub mod send;
pub mod suppress;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::dispatch::compose::PendingNotification;
use crate::dispatch::suppress::{Known, Suppressions};
use crate::notify::policy::inhibit::Decision;
use crate::notify::policy::route::{Path, Routing};
use crate::store::alerting::notified::{self, Notified};
use crate::store::alerting::{alert, incident};
use crate::store::ledger::run;
use crate::warehouse::failure::RunError;

/// What leads to messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trigger {
    pub job_id: i64,
    /// None: no run did, but a person, or time that passed.
    pub run_id: Option<i64>,
    pub as_of: DateTime<Utc>,
    /// Nothing waits for more of its group: somebody waits for it to end.
    pub at_once: bool,
}

/// The standing alerts of a job, and what its receivers believe of them.
pub(crate) struct JobAlerts {
    pub alerts: Vec<Known>,
    pub notified: Vec<Notified>,
}

impl JobAlerts {
    pub(crate) async fn load(connection: &mut PgConnection, job_id: i64) -> Result<Self, RunError> {
        let alerts = alert::standing(connection, job_id).await?;
        // What an earlier version stored and this one cannot read is left as it is.
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

/// What groups of messages end in that are put off.
const LATER: &str = "/later";

/// The group of messages of a job. What is put off until somebody reads it is kept apart from what is not.
pub(crate) fn topic(job: &str, path: &Path) -> String {
    if path.is_deferred() { format!("{job}{LATER}") } else { job.to_owned() }
}

/// Tells what has changed. Requirement the job's row locked.
pub(crate) async fn changed(
    connection: &mut PgConnection,
    trigger: Trigger,
    routing: &Routing,
) -> Result<(), RunError> {
    if alert::has_undispatched(connection, trigger.job_id).await? {
        let standing = JobAlerts::load(connection, trigger.job_id).await?;
        differences(connection, trigger, routing, &standing).await?;
    }
    // Also one that nobody was ever told of.
    Ok(incident::close_ended(connection, trigger.job_id).await?)
}

async fn differences(
    connection: &mut PgConnection,
    trigger: Trigger,
    routing: &Routing,
    standing: &JobAlerts,
) -> Result<(), RunError> {
    let now = run::now(connection).await?;
    let suppressions = Suppressions::load(connection, routing, &standing.alerts, now).await?;
    let mut pending: BTreeMap<(String, String), PendingNotification> = BTreeMap::new();
    let (mut told, mut nobody) = (Vec::new(), Vec::new());
    for known in standing.alerts.iter().filter(|known| known.is_firing() && !known.alert.told) {
        if let Decision::Suppress(quiet) = suppressions.decide(known) {
            let why = quiet.describe();
            if known.alert.held.as_deref() != Some(&why) {
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
        // The end goes the way of the beginning: what was told at night is taken back at night.
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

/// What a receiver believes in one group, of alerts that still fire.
pub(crate) fn notified_firing<'s>(standing: &'s JobAlerts, receiver: &str, topic: &str) -> BTreeMap<i64, &'s Notified> {
    let mine = standing.notified.iter().filter(|notified| notified.receiver == receiver && notified.topic == topic);
    let firing: BTreeSet<i64> =
        standing.alerts.iter().filter(|known| known.is_firing()).map(|known| known.alert.id).collect();
    mine.filter(|notified| firing.contains(&notified.alert_id)).map(|notified| (notified.alert_id, notified)).collect()
}
