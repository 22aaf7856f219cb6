//! Incidents: alerts of one job and severity that fire at overlapping times, with the evidence of each.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// Adds alerts that have just begun to fire to the open incident of their job and severity, or opens one.
pub async fn join(connection: &mut PgConnection, job_id: i64, severity: &str, alerts: &[i64]) -> sqlx::Result<i64> {
    let id = sqlx::query_scalar!(
        r#"
        with opened as (
            insert into trueup.incident (job_id, severity) values ($1, $2)
            on conflict (job_id, severity) where closed_at is null do nothing
            returning id
        )
        select id as "id!" from opened
        union all
        select id from trueup.incident where job_id = $1 and severity = $2 and closed_at is null
        limit 1
        "#,
        job_id,
        severity
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!("update trueup.alert set incident_id = $2 where id = any($1)", alerts, id).execute(connection).await?;
    Ok(id)
}

/// Closes the incidents of a job whose alerts have all ended.
pub async fn close_ended(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.incident i set closed_at = clock_timestamp()
        where i.job_id = $1 and i.closed_at is null
          and not exists (select from trueup.alert a where a.incident_id = i.id and a.state = 'firing')
        "#,
        job_id
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Freezes the evidence of alerts.
pub async fn freeze(
    connection: &mut PgConnection,
    incident: i64,
    alerts: &[i64],
    evidence: &[Json],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.incident_evidence (incident_id, alert_id, evidence)
        select $1, alert_id, evidence from unnest($2::bigint[], $3::jsonb[]) as frozen(alert_id, evidence)
        "#,
        incident,
        alerts,
        evidence
    )
    .execute(connection)
    .await
    .map(drop)
}

/// An incident.
#[derive(Debug, Clone)]
pub struct IncidentRow {
    pub id: i64,
    pub job: String,
    pub severity: String,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub alerts: i64,
}

/// Returns the newest incidents; without `all`, only open ones.
pub async fn list(connection: &mut PgConnection, job: Option<&str>, all: bool) -> sqlx::Result<Vec<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select i.id, j.name as job, i.severity, i.opened_at, i.closed_at,
               (select count(distinct e.alert_id) from trueup.incident_evidence e where e.incident_id = i.id) as "alerts!"
        from trueup.incident i
        join trueup.job j on j.id = i.job_id
        where ($1::text is null or j.name = $1) and ($2 or i.closed_at is null)
        order by i.id desc
        limit 200
        "#,
        job,
        all
    )
    .fetch_all(connection)
    .await
}

/// Returns the evidence frozen when an alert last fired.
pub async fn frozen(connection: &mut PgConnection, alert: i64) -> sqlx::Result<Option<Json>> {
    sqlx::query_scalar!(
        "select evidence from trueup.incident_evidence where alert_id = $1 order by id desc limit 1",
        alert
    )
    .fetch_optional(connection)
    .await
}

/// A note of a user about an incident.
#[derive(Debug, Clone, Copy)]
pub struct NewNote<'a> {
    pub incident: i64,
    /// `None`: about the incident as a whole.
    pub alert: Option<i64>,
    /// `note`, `decision`, `useful` or `false_alarm`.
    pub kind: &'a str,
    pub author: &'a str,
    pub text: &'a str,
}

/// Stores a note. Returns false if the incident is unknown, or the alert never fired in it.
pub async fn note(connection: &mut PgConnection, new: NewNote<'_>) -> sqlx::Result<bool> {
    let stored = sqlx::query!(
        r#"
        insert into trueup.incident_note (incident_id, alert_id, kind, author, text)
        select i.id, $2, $3, $4, $5
        from trueup.incident i
        where i.id = $1
          and ($2::bigint is null
               or exists (select from trueup.incident_evidence e where e.incident_id = i.id and e.alert_id = $2))
        "#,
        new.incident,
        new.alert,
        new.kind,
        new.author,
        new.text
    )
    .execute(connection)
    .await?;
    Ok(stored.rows_affected() == 1)
}
