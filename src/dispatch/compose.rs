//! Composes notifications in the outbox: one per job and receiver, with the changes and all alerts that still fire. Until its
//! first attempt a notification is open, and further changes are merged into it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::suppress::Known;
use super::{JobAlerts, Trigger, notified_firing};
use crate::notify::message::{AlertFacts, ChangeFacts, Notice, Point, RuleContext, SCHEMA, Section, rank};
use crate::notify::policy::inhibit::reason;
use crate::notify::policy::route::{Path, Routing};
use crate::store::alerting::{annotation, incident, notified};
use crate::store::outbox::queue::{self, NewNotification};
use crate::warehouse::failure::RunError;

/// Changes to notify one receiver of, in one group.
#[derive(Debug, Clone)]
pub(crate) struct PendingNotification {
    pub fired: BTreeSet<i64>,
    pub ended: BTreeSet<i64>,
    /// Reason other than these changes: `repeat` or `escalated`.
    pub reason: Option<&'static str>,
    pub path: Path,
}

/// Pending notifications by receiver and group.
pub(crate) type ByGroup = BTreeMap<(String, String), PendingNotification>;

impl PendingNotification {
    pub(crate) fn new(path: Path) -> Self {
        Self { fired: BTreeSet::new(), ended: BTreeSet::new(), reason: None, path }
    }

    /// Returns the pending notification of a group, to add to. Its most urgent alert determines when it is sent.
    pub(crate) fn of<'n>(
        all: &'n mut ByGroup,
        (receiver, topic): (&str, &str),
        path: &Path,
        now: DateTime<Utc>,
    ) -> &'n mut Self {
        let key = (receiver.to_owned(), topic.to_owned());
        let pending = all.entry(key).or_insert_with(|| Self::new(path.clone()));
        pending.path = pending.path.clone().sooner(path, now);
        pending
    }
}

/// Merges a pending notification into the open one of its group, or enqueues a new one.
pub(crate) async fn enqueue(
    connection: &mut PgConnection,
    trigger: Trigger,
    routing: &Routing,
    standing: &JobAlerts,
    (receiver, topic): (&str, &str),
    pending: &PendingNotification,
    now: DateTime<Utc>,
) -> Result<(), RunError> {
    let open = queue::open(connection, receiver, topic).await?;
    let id = open.as_ref().map_or_else(Uuid::new_v4, |open| open.id);
    let written: Option<Notice> = open.as_ref().and_then(|open| serde_json::from_value(open.body.clone()).ok());
    let notified = notified_firing(standing, receiver, topic);
    // An alert that fired and resolved before anything was sent is not notified.
    let unsaid = |alert: &i64| {
        open.is_some()
            && standing
                .notified
                .iter()
                .any(|b| b.alert_id == *alert && b.receiver == receiver && b.notification_id == id)
    };
    let silent_end = routing.only_firing.contains(receiver);
    let ended = pending.ended.iter().filter(|alert| !silent_end && !unsaid(alert));
    let mut alerts: BTreeMap<i64, (RuleContext, AlertFacts)> = BTreeMap::new();
    let ends: BTreeSet<i64> = written
        .iter()
        .flat_map(Notice::alerts)
        .filter(|(_, facts)| !facts.is_firing())
        .filter_map(|(_, facts)| facts.id)
        .collect();
    // Resolves in the open notification stay in it unless the alert fires again.
    for (section, facts) in written.iter().flat_map(Notice::alerts).filter(|(_, facts)| !facts.is_firing()) {
        let Some(alert) = facts.id.filter(|alert| !pending.fired.contains(alert)) else { continue };
        let Some(known) = standing.find(alert).or(standing.alerts.first()) else { continue };
        let about = RuleContext { rule: section.rule.clone(), ..known.about.clone() };
        alerts.insert(alert, (about, facts.clone()));
    }
    for (alert, is_new) in
        ended.map(|alert| (*alert, true)).chain(
            pending.fired.iter().map(|alert| (*alert, true)).chain(
                notified.iter().map(|(alert, notified)| (*alert, open.is_some() && notified.notification_id == id)),
            ),
        )
    {
        let Some(known) = standing.find(alert) else { continue };
        if let Some(facts) = facts(known, is_new || pending.fired.contains(&alert)) {
            alerts.insert(alert, (known.about.clone(), facts));
        }
    }
    notified::remove(connection, &Vec::from_iter(pending.ended.iter().copied()), receiver).await?;
    let fired = Vec::from_iter(pending.fired.iter().copied());
    let escalated = pending.reason == Some("escalated");
    // An open repeat or escalation stays one.
    let given = pending.reason.or(match written.as_ref().map(|notice| notice.reason.as_str()) {
        Some("repeat") => Some("repeat"),
        Some("escalated") => Some("escalated"),
        _ => None,
    });
    let Some(reason) = reason(given, alerts.values().map(|(_, facts)| facts)) else {
        if open.is_some() {
            queue::discard(connection, id).await?;
        }
        return Ok(());
    };
    // The receiver already knew an alert whose resolve is in the open notification. With a nil id for the new firing, a later
    // resolve is not dropped as never sent.
    let retold = |alert: &i64| ends.contains(alert);
    let (again, first): (Vec<i64>, Vec<i64>) = fired.into_iter().partition(retold);
    notified::add(connection, &first, receiver, topic, id, escalated).await?;
    notified::add(connection, &again, receiver, topic, Uuid::nil(), escalated).await?;
    let Some((about, _)) = alerts.values().next() else { return Ok(()) };
    let job = about.job.clone();
    let is_firing = alerts.values().any(|(_, facts)| facts.is_firing());
    let kind = if is_firing { "firing" } else { "resolved" };
    let notice = Notice {
        schema: SCHEMA.to_owned(),
        id: id.to_string(),
        kind: kind.to_owned(),
        reason: reason.to_owned(),
        digest: pending.path.digest.is_some(),
        as_of: trigger.as_of,
        title: String::new(),
        text: String::new(),
        url: None,
        group: topic.to_owned(),
        rules: sections(connection, &job.name, alerts.into_values().collect()).await?,
        job,
        note: written.and_then(|notice| notice.note),
    };
    // A receiver that needs resending does its own grouping.
    let forgets = routing.resend.contains_key(receiver);
    let due = match trigger.at_once || forgets {
        true => now,
        false => ready(connection, receiver, topic, &pending.path, !notified.is_empty(), now).await?,
    };
    let due = if pending.path.is_deferred() && !forgets { pending.path.opens(due) } else { due };
    let new = NewNotification {
        id,
        job_id: Some(trigger.job_id),
        run_id: trigger.run_id,
        receiver: receiver.to_owned(),
        topic: topic.to_owned(),
        kind,
        body: json!(notice),
        due: Some(due),
    };
    match open {
        Some(_) => queue::rewrite(connection, &new).await?,
        None => queue::enqueue(connection, &new).await?,
    }
    Ok(())
}

/// Composes the notification that these alerts are acknowledged. `None` if no alert can be read.
pub(crate) async fn acknowledged(
    connection: &mut PgConnection,
    standing: &JobAlerts,
    ids: &BTreeSet<i64>,
    (id, topic): (Uuid, &str),
    words: &str,
    now: DateTime<Utc>,
) -> Result<Option<Notice>, RunError> {
    let mine = standing.alerts.iter().filter(|known| ids.contains(&known.alert.id));
    let alerts: Vec<(RuleContext, AlertFacts)> =
        mine.filter_map(|known| Some((known.about.clone(), facts(known, false)?))).collect();
    let Some(job) = alerts.first().map(|(about, _)| about.job.clone()) else { return Ok(None) };
    Ok(Some(Notice {
        schema: SCHEMA.to_owned(),
        id: id.to_string(),
        kind: "acknowledged".to_owned(),
        reason: "acknowledged".to_owned(),
        digest: false,
        as_of: now,
        title: String::new(),
        text: String::new(),
        url: None,
        group: topic.to_owned(),
        rules: sections(connection, &job.name, alerts).await?,
        job,
        note: Some(words.to_owned()),
    }))
}

/// Returns when a notification of a group is ready: the first waits for `group_wait`, later ones keep `group_interval`.
async fn ready(
    connection: &mut PgConnection,
    receiver: &str,
    topic: &str,
    path: &Path,
    is_under_way: bool,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, RunError> {
    let last = queue::last_of_group(connection, receiver, topic).await?;
    let wait = if is_under_way { TimeDelta::zero() } else { path.timing.group_wait };
    Ok(last.map_or(now + wait, |last| (now + wait).max(last + path.timing.group_interval)))
}

/// Returns the facts of an alert for a notification. `None` if they cannot be read.
fn facts(known: &Known, is_new: bool) -> Option<AlertFacts> {
    // Evidence stored by an earlier version may be unreadable; the alert is left out.
    let facts: AlertFacts = serde_json::from_value(known.alert.evidence.clone()).ok()?;
    let facts = AlertFacts {
        id: Some(known.alert.id),
        incident: known.alert.incident_id,
        is_new,
        fired_at: known.alert.fired_at,
        acknowledged_by: known.alert.acked_by.clone(),
        ..facts
    };
    Some(if known.is_firing() { current(known, facts) } else { facts })
}

/// Replaces the numbers by those of the newest window, if that is later than the one in the facts.
fn current(known: &Known, facts: AlertFacts) -> AlertFacts {
    let alert = &known.alert;
    match (alert.window_start, alert.window_end) {
        (Some(start), Some(end)) if end > facts.window_end => AlertFacts {
            value: alert.value,
            limit: alert.limit_value.or(facts.limit),
            labeled: alert.labeled.unwrap_or_default(),
            // The verdict stores no prediction count; derive it from labeled and coverage.
            predictions: predictions(alert.labeled, alert.coverage).unwrap_or(facts.predictions),
            coverage: alert.coverage,
            window_start: start,
            window_end: end,
            ci_low: None,
            ci_high: None,
            squared_error_share: None,
            ..facts
        },
        _ => facts,
    }
}

/// Computes the predictions of a window from its labels and coverage.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
fn predictions(labeled: Option<i64>, coverage: Option<f64>) -> Option<i64> {
    let (labeled, coverage) = (labeled?, coverage.filter(|coverage| *coverage > 0.0)?);
    Some((labeled as f64 / coverage).round() as i64)
}

/// Groups alerts by rule: the most severe rule first; within a rule the worst alert first, resolved ones last.
async fn sections(
    connection: &mut PgConnection,
    job: &str,
    alerts: Vec<(RuleContext, AlertFacts)>,
) -> Result<Vec<Section>, RunError> {
    let mut by_rule: BTreeMap<String, Section> = BTreeMap::new();
    for (about, facts) in alerts {
        let empty = || Section {
            rule: about.rule.clone(),
            alerts: Vec::new(),
            omitted: 0,
            changes: Vec::new(),
            query: String::new(),
            series: Vec::new(),
        };
        by_rule.entry(about.rule.name.clone()).or_insert_with(empty).alerts.push(facts);
    }
    let mut sections: Vec<Section> = by_rule.into_values().collect();
    for section in &mut sections {
        sort(&mut section.alerts);
        if let Some(worst) = section.alerts.first() {
            section.query = worst.query.clone();
        }
        // The section has the query of its worst alert; the others are in the history.
        section.alerts.iter_mut().for_each(|alert| alert.query.clear());
        section.changes = changes_before(connection, job, &section.alerts).await?;
    }
    sections.sort_by_key(|section| (!section.is_firing(), rank(&section.rule.severity), section.rule.name.clone()));
    if let Some(first) = sections.first_mut().filter(|section| section.is_firing()) {
        first.series = series(connection, first.alerts.first().and_then(|alert| alert.id)).await?;
    }
    Ok(sections)
}

/// Sorts new alerts first, then worst first: by share of the squared error if every firing alert has one, otherwise by distance
/// from the limit; resolved alerts last.
pub(crate) fn sort(alerts: &mut [AlertFacts]) {
    let shares = alerts.iter().filter(|alert| alert.is_firing()).all(|alert| alert.squared_error_share.is_some());
    let size = |alert: &AlertFacts| match shares {
        true => alert.squared_error_share.unwrap_or_default(),
        false => alert.excess(),
    };
    alerts.sort_by(|a, b| {
        b.is_firing()
            .cmp(&a.is_firing())
            .then(b.is_new.cmp(&a.is_new))
            .then(size(b).total_cmp(&size(a)))
            .then(a.cohort.cmp(&b.cohort))
    });
}

/// Loads the windows before an alert fired, as they were frozen then.
async fn series(connection: &mut PgConnection, alert: Option<i64>) -> Result<Vec<Point>, RunError> {
    let Some(alert) = alert else { return Ok(Vec::new()) };
    let frozen = incident::frozen(connection, alert).await?;
    let series = frozen.and_then(|evidence| serde_json::from_value(evidence.get("series")?.clone()).ok());
    Ok(series.unwrap_or_default())
}

/// Most events listed in a notification, and how long before the alert they may be.
pub(crate) const MOST_CHANGES: i64 = 3;
const BEFORE: TimeDelta = TimeDelta::days(7);

/// Loads the annotated events from just before the first of these alerts began.
pub(crate) async fn changes_before(
    connection: &mut PgConnection,
    job: &str,
    alerts: &[AlertFacts],
) -> Result<Vec<ChangeFacts>, RunError> {
    // `since` is the end of the first window in breach; an event within that window may be the cause.
    let Some(began) = alerts.iter().filter_map(|alert| alert.since).min() else { return Ok(Vec::new()) };
    let found = annotation::before(connection, job, (began - BEFORE, began), MOST_CHANGES).await?;
    Ok(found
        .into_iter()
        .map(|event| ChangeFacts { kind: event.kind, at: event.starts_at, note: event.note, author: event.author })
        .collect())
}

/// Returns the text of the notification that an alert would send.
pub(crate) fn preview(about: RuleContext, facts: AlertFacts, as_of: DateTime<Utc>) -> String {
    let query = facts.query.clone();
    let section = Section {
        rule: about.rule,
        alerts: vec![AlertFacts { is_new: true, query: String::new(), ..facts }],
        omitted: 0,
        changes: Vec::new(),
        query,
        series: Vec::new(),
    };
    let notice = Notice {
        schema: SCHEMA.to_owned(),
        id: String::new(),
        kind: "firing".to_owned(),
        reason: "first".to_owned(),
        digest: false,
        as_of,
        title: String::new(),
        text: String::new(),
        url: None,
        group: about.job.name.clone(),
        job: about.job,
        rules: vec![section],
        note: None,
    };
    notice.plain_text()
}
