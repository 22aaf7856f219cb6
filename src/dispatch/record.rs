//! The record of an incident, as its page, the command and the draft of a postmortem show it.

use sqlx::PgConnection;

use crate::notify::postmortem::{Event, Frozen, Record};
use crate::store::read::{incident, incidents};

/// Reads an incident with its evidence and timeline, over the public views; `None` if the number is unknown.
pub async fn read(connection: &mut PgConnection, id: i64) -> sqlx::Result<Option<Record>> {
    let Some(row) = incidents::find(connection, id).await? else { return Ok(None) };
    let evidence = incident::evidence(connection, id).await?.into_iter().map(|row| Frozen {
        alert_id: row.alert_id,
        rule: row.rule,
        cohort: row.cohort,
        model_version: row.model_version,
        state: row.state,
        frozen_at: row.frozen_at,
        evidence: row.evidence,
    });
    let timeline = incident::timeline(connection, id).await?;
    Ok(Some(Record {
        id,
        job: row.job,
        severity: row.severity,
        opened_at: row.opened_at,
        closed_at: row.closed_at,
        alerts: row.alerts,
        evidence: evidence.collect(),
        timeline: timeline.into_iter().map(|row| Event { at: row.at, what: row.what }).collect(),
    }))
}
