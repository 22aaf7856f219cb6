//! Tells what time has made news: silences and maintenance that ended, alerts that still fire, alerts nobody acknowledged.
//! It works on what stands in the database; any number of processes may do it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::announce::{self, Cause, Standing, still_believed, topic};
use super::failure::RunError;
use super::holds::{Holds, Known};
use super::notices::{self, News};
use crate::notify::decide::Decision;
use crate::notify::route::{Path, Routing};
use crate::postgres::held::Held;
use crate::store::alert;
use crate::store::outbox::{self, NewNotification};
use crate::store::{job, run};

/// How long Alertmanager is told again that something ended.
const RESENT_END: TimeDelta = TimeDelta::minutes(5);

/// Looks at every job that has alerts, once.
pub async fn all(pool: &PgPool, routing: &Routing) -> Result<(), RunError> {
    let mut held = Held::acquire(pool).await?;
    for job_id in alert::jobs_with_news(&mut held).await? {
        let mut transaction = held.begin().await?;
        job::lock_published(&mut transaction, job_id).await?;
        of_job(&mut transaction, job_id, routing).await?;
        transaction.commit().await?;
    }
    resend_ends(&mut held, routing).await?;
    held.release();
    Ok(())
}

async fn of_job(connection: &mut PgConnection, job_id: i64, routing: &Routing) -> Result<(), RunError> {
    let now = run::now(connection).await?;
    let cause = Cause { job_id, run_id: None, as_of: now, at_once: false };
    announce::changes(connection, cause, routing).await?;
    let standing = Standing::load(connection, job_id).await?;
    let Some(first) = standing.alerts.first() else { return Ok(()) };
    let holds = Holds::load(connection, routing, &first.about.job.name, now).await?;
    let mut heard = standing.alerts.iter().filter(|known| known.is_firing() && known.alert.told);
    let open: Vec<(&Known, Path)> = heard
        .by_ref()
        .filter(|known| holds.decide(known, &standing.alerts) == Decision::Tell)
        .map(|known| (known, routing.path(&known.labels(), &known.about.notify)))
        .collect();
    let escalated = escalations(&standing, &open, now);
    for ((receiver, topic), news) in &escalated {
        // Nobody waits for more of the same: it has waited long enough.
        let cause = Cause { at_once: true, ..cause };
        notices::tell(connection, cause, routing, &standing, (receiver, topic), news, now).await?;
    }
    for (receiver, topic, path, every) in repeats(routing, &standing, &open) {
        let last = outbox::last_of_group(connection, &receiver, &topic).await?;
        let is_open = outbox::open(connection, &receiver, &topic).await?.is_some();
        if is_open || last.is_some_and(|last| now - last < every) {
            continue;
        }
        let news = News { reason: Some("repeat"), ..News::new(path) };
        let cause = Cause { at_once: true, ..cause };
        notices::tell(connection, cause, routing, &standing, (&receiver, &topic), &news, now).await?;
    }
    Ok(())
}

/// Who else is told now because nobody has acknowledged.
fn escalations(standing: &Standing, open: &[(&Known, Path)], now: DateTime<Utc>) -> BTreeMap<(String, String), News> {
    let mut news: BTreeMap<(String, String), News> = BTreeMap::new();
    for (known, path) in open.iter().filter(|(known, _)| known.alert.acked_by.is_none()) {
        let Some(escalation) = &path.escalation else { continue };
        let believed = || standing.believed.iter().filter(|believed| believed.alert_id == known.alert.id);
        // Counted from when the first of them was told, not from when it fired: it may have been silenced.
        let told_at = believed().filter(|believed| !believed.escalated).map(|believed| believed.told_at).min();
        if told_at.is_none_or(|told_at| now - told_at < escalation.after) {
            continue;
        }
        for receiver in &escalation.notify {
            if believed().any(|believed| believed.receiver == *receiver) {
                continue;
            }
            // An escalation waits for nobody's morning.
            let path = Path { hours: None, digest: None, ..path.clone() };
            let key = (receiver.clone(), topic(&known.about.job.name, &path));
            let group = news.entry(key).or_insert_with(|| News { reason: Some("escalated"), ..News::new(path) });
            group.fired.insert(known.alert.id);
        }
    }
    news
}

/// Groups that may have to be reminded, with how often: those with an alert that nobody is on yet.
fn repeats(routing: &Routing, standing: &Standing, open: &[(&Known, Path)]) -> Vec<(String, String, Path, TimeDelta)> {
    let groups: BTreeSet<(&str, &str)> =
        standing.believed.iter().map(|believed| (believed.receiver.as_str(), believed.topic.as_str())).collect();
    groups
        .into_iter()
        .filter_map(|(receiver, topic)| {
            let believed = still_believed(standing, receiver, topic);
            let mine = || open.iter().filter(|(known, _)| believed.contains_key(&known.alert.id));
            let resend = routing.resend.get(receiver).copied();
            let (_, path) = mine().find(|(known, _)| resend.is_some() || known.alert.acked_by.is_none())?;
            let every = resend.unwrap_or(path.timing.repeat_interval);
            Some((receiver.to_owned(), topic.to_owned(), path.clone(), every))
        })
        .collect()
}

/// Sends again what ended, for a while, to receivers that may have forgotten it.
async fn resend_ends(connection: &mut PgConnection, routing: &Routing) -> Result<(), RunError> {
    for (receiver, every) in &routing.resend {
        let mut transaction = connection.begin().await?;
        for ended in outbox::ended_lately(&mut transaction, receiver, RESENT_END, *every).await? {
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
            outbox::enqueue(&mut transaction, &new).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}
