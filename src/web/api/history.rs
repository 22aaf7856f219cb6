//! Incidents, runs, notifications, silences and annotations.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::Value as Json;

use super::call::{Answer, Call, finite, json};
use super::parameter::{
    BEFORE, DELIVERY_STATE, FROM, INCIDENT_STATE, JOB, LIMIT, Parameter, RECEIVER, RUN_STATE, SEVERITY, SILENCE_STATE,
    TO, TRIGGER,
};
use super::types::{Annotation, Delivery, Incident, IncidentAlert, IncidentDetail, Note, Run, Silence};
use crate::store::read::incidents::{self, IncidentRow, Numbered};
use crate::store::read::notifications::{self, NotificationFilter};
use crate::store::read::runs::{self as run_rows, RunFilter};
use crate::store::read::silences::{self as silence_rows, SilenceFilter};
use crate::store::read::{incident as parts, overview, series};
use crate::text::links::Links;
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::reading;

pub(super) const INCIDENTS: &[Parameter] = &[JOB, INCIDENT_STATE, SEVERITY, LIMIT, BEFORE];
pub(super) const RUNS: &[Parameter] = &[JOB, RUN_STATE, TRIGGER, FROM, TO, LIMIT, BEFORE];
pub(super) const DELIVERIES: &[Parameter] = &[JOB, RECEIVER, DELIVERY_STATE, LIMIT, BEFORE];
pub(super) const SILENCES: &[Parameter] = &[JOB, SILENCE_STATE, LIMIT, BEFORE];
pub(super) const ANNOTATIONS: &[Parameter] = &[JOB, FROM, TO, LIMIT];

/// Most alerts and notes of an incident.
const MOST_PARTS: usize = 1_000;
const MOST_NOTES: i64 = 1_000;

// Columns of the lists as CSV.
const INCIDENT_COLUMNS: &[&str] = &[
    "incident_id",
    "job",
    "severity",
    "opened_at",
    "closed_at",
    "alerts",
    "rules",
    "acked_at",
    "decision",
    "judged",
    "url",
];
const RUN_COLUMNS: &[&str] = &[
    "run_id",
    "job",
    "scheduled_for",
    "trigger",
    "state",
    "started_at",
    "finished_at",
    "rows_read",
    "windows_written",
    "buckets_repaired",
    "attempt",
    "failure",
    "reason",
];
const DELIVERY_COLUMNS: &[&str] = &[
    "notification_id",
    "sequence",
    "job",
    "receiver",
    "kind",
    "state",
    "attempt",
    "created_at",
    "settled_at",
    "next_attempt_at",
    "failure",
];
const SILENCE_COLUMNS: &[&str] =
    &["silence_id", "job", "rule", "cohort", "severity", "starts_at", "ends_at", "reason", "author", "in_force"];

pub(super) async fn incidents(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    incidents_as(&shared, &call, None).await
}

pub(super) async fn incidents_csv(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    incidents_as(&shared, &call, Some(INCIDENT_COLUMNS)).await
}

async fn incidents_as(shared: &Shared, call: &Call, columns: Option<&[&str]>) -> Answer {
    call.answer(shared, INCIDENTS, None, async |connection| {
        let wanted = Numbered {
            is_open: call.params.get("state").map(|state| state == "open"),
            job: text(call, "job"),
            severity: text(call, "severity"),
            before: before(call)?,
        };
        let most = one_more(call)?;
        let rows = reading::all(connection, async |c| incidents::newest(c, &wanted, most).await).await?;
        let links = shared.links.clone().unwrap_or_default();
        call.page(rows.into_iter().map(|row| incident(row, &links)).collect(), |row| row.incident_id, columns)
    })
    .await
}

pub(super) async fn incident_detail(State(shared): State<Arc<Shared>>, Path(id): Path<String>, call: Call) -> Answer {
    call.answer(&shared, &[], None, async |connection| {
        let missing = || PageError::NotFound("There is no such incident; `/api/v1/incidents` lists all.".to_owned());
        let id: i64 = id.parse().map_err(|_| missing())?;
        let row = reading::all(connection, async |c| incidents::find(c, id).await).await?;
        let mut alerts = reading::all(connection, async |c| parts::evidence(c, id).await).await?;
        alerts.truncate(MOST_PARTS);
        let notes = reading::all(connection, async |c| parts::notes(c, id, MOST_NOTES).await).await?;
        json(&IncidentDetail {
            incident: incident(row.ok_or_else(missing)?, &shared.links.clone().unwrap_or_default()),
            firings: alerts
                .into_iter()
                .map(|row| IncidentAlert {
                    alert_id: row.alert_id,
                    rule: row.rule,
                    cohort: row.cohort,
                    version: row.model_version,
                    state: row.state,
                    changed_at: row.changed_at,
                    acked_by: row.acked_by,
                    acked_at: row.acked_at,
                    frozen_at: row.frozen_at,
                    value: number(&row.evidence, "/alert/value"),
                    limit: number(&row.evidence, "/alert/limit"),
                })
                .collect(),
            notes: notes
                .into_iter()
                .map(|row| Note {
                    kind: row.kind,
                    author: row.author,
                    text: row.text,
                    alert_id: row.alert_id,
                    noted_at: row.noted_at,
                })
                .collect(),
        })
    })
    .await
}

fn incident(row: IncidentRow, links: &Links) -> Incident {
    Incident {
        url: links.incident(row.incident_id),
        incident_id: row.incident_id,
        job: row.job,
        severity: row.severity,
        opened_at: row.opened_at,
        closed_at: row.closed_at,
        alerts: row.alerts,
        rules: row.rules.iter().flat_map(|rules| rules.split(", ")).map(str::to_owned).collect(),
        acked_at: row.acked_at,
        decision: row.decision,
        judged: row.judged,
    }
}

pub(super) async fn runs(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    runs_as(&shared, &call, None).await
}

pub(super) async fn runs_csv(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    runs_as(&shared, &call, Some(RUN_COLUMNS)).await
}

async fn runs_as(shared: &Shared, call: &Call, columns: Option<&[&str]>) -> Answer {
    call.answer(shared, RUNS, None, async |connection| {
        let now = overview::moment(connection).await?.now;
        let filter = RunFilter {
            job: text(call, "job"),
            state: text(call, "state"),
            trigger: text(call, "trigger"),
            from: call.params.time("from", now)?,
            to: call.params.time("to", now)?,
            before: None,
            limit: one_more(call)?,
        };
        let before = before(call)?;
        let rows = reading::all(connection, async |c| run_rows::numbered(c, &filter, before).await).await?;
        let entries = rows.into_iter().map(|row| Run {
            run_id: row.run_id,
            job: row.job,
            scheduled_for: row.scheduled_for,
            trigger: row.trigger,
            state: row.state,
            started_at: row.started_at,
            finished_at: row.finished_at,
            rows_read: row.rows_read,
            windows_written: row.windows_written,
            buckets_repaired: row.buckets_repaired,
            attempt: row.attempt,
            failure: row.failure,
            reason: row.reason,
        });
        call.page(entries.collect(), |row| row.run_id, columns)
    })
    .await
}

pub(super) async fn deliveries(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    deliveries_as(&shared, &call, None).await
}

pub(super) async fn deliveries_csv(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    deliveries_as(&shared, &call, Some(DELIVERY_COLUMNS)).await
}

async fn deliveries_as(shared: &Shared, call: &Call, columns: Option<&[&str]>) -> Answer {
    call.answer(shared, DELIVERIES, None, async |connection| {
        let filter = NotificationFilter {
            job: text(call, "job"),
            receiver: text(call, "receiver"),
            state: text(call, "state"),
            before: before(call)?,
            limit: one_more(call)?,
        };
        let rows = reading::all(connection, async |c| notifications::list(c, &filter).await).await?;
        let entries = rows.into_iter().map(|row| Delivery {
            notification_id: row.notification_id.to_string(),
            sequence: row.sequence,
            job: row.job,
            receiver: row.receiver,
            kind: row.kind,
            state: row.state,
            attempt: row.attempt,
            created_at: row.created_at,
            settled_at: row.settled_at,
            next_attempt_at: row.next_attempt_at,
            failure: row.failure,
        });
        call.page(entries.collect(), |row| row.sequence, columns)
    })
    .await
}

pub(super) async fn silences(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    silences_as(&shared, &call, None).await
}

pub(super) async fn silences_csv(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    silences_as(&shared, &call, Some(SILENCE_COLUMNS)).await
}

async fn silences_as(shared: &Shared, call: &Call, columns: Option<&[&str]>) -> Answer {
    call.answer(shared, SILENCES, None, async |connection| {
        let filter = SilenceFilter {
            in_force: call.params.get("state").map(|state| state == "in_force"),
            job: text(call, "job"),
            with_general: true,
            before: before(call)?,
            limit: one_more(call)?,
        };
        let rows = reading::all(connection, async |c| silence_rows::list(c, &filter).await).await?;
        let entries = rows.into_iter().map(|row| Silence {
            silence_id: row.silence_id,
            job: row.job,
            rule: row.rule,
            cohort: row.cohort,
            severity: row.severity,
            starts_at: row.starts_at,
            ends_at: row.ends_at,
            reason: row.reason,
            author: row.author,
            in_force: row.in_force,
        });
        call.page(entries.collect(), |row| row.silence_id, columns)
    })
    .await
}

pub(super) async fn annotations(State(shared): State<Arc<Shared>>, call: Call) -> Answer {
    call.answer(&shared, ANNOTATIONS, None, async |connection| {
        let now = overview::moment(connection).await?.now;
        let range = (call.params.time("from", now)?, call.params.time("to", now)?);
        let most = i64::try_from(call.most()?).unwrap_or(i64::MAX);
        let rows =
            reading::all(connection, async |c| series::annotations(c, call.params.get("job"), range, most).await)
                .await?;
        let entries = rows.into_iter().map(|row| Annotation {
            time: row.starts_at.timestamp_millis(),
            time_end: row.ends_at.map(|at| at.timestamp_millis()),
            title: row.kind.clone(),
            text: if row.note.is_empty() { row.author } else { format!("{} ({})", row.note, row.author) },
            tags: [Some(row.kind), row.job].into_iter().flatten().collect(),
        });
        json(&entries.collect::<Vec<_>>())
    })
    .await
}

fn text(call: &Call, name: &str) -> Option<String> {
    call.params.get(name).map(str::to_owned)
}

/// Only entries with smaller numbers: the last number of the page before.
fn before(call: &Call) -> Result<Option<i64>, PageError> {
    call.params.number("before", 1..=i64::MAX)
}

/// Entries that are read: one more than are shown, which says that there is a next page.
fn one_more(call: &Call) -> Result<i64, PageError> {
    Ok(i64::try_from(call.most()?).unwrap_or(i64::MAX - 1) + 1)
}

fn number(evidence: &Json, place: &str) -> Option<f64> {
    finite(evidence.pointer(place).and_then(Json::as_f64))
}
