//! Incidents, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An incident.
#[derive(Debug, Clone)]
pub struct IncidentRow {
    pub incident_id: i64,
    pub job: String,
    pub severity: String,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub alerts: i64,
    pub rules: Option<String>,
    pub acked_at: Option<DateTime<Utc>>,
    pub decision: Option<String>,
    /// `useful` or `false_alarm`.
    pub judged: Option<String>,
    /// When its newest note or decision was written.
    pub noted_at: Option<DateTime<Utc>>,
}

/// Filters of the list. `None` admits everything.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub is_open: Option<bool>,
    pub job: Option<String>,
    pub severity: Option<String>,
    /// Continue after this incident: open or not, and its number.
    pub after: Option<(bool, i64)>,
}

/// Returns at most `most` incidents: open ones first, then the newest.
pub async fn list(connection: &mut PgConnection, wanted: &Wanted, most: i64) -> sqlx::Result<Vec<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select incident_id as "incident_id!", job as "job!", severity as "severity!", opened_at as "opened_at!", closed_at,
               alerts as "alerts!", rules, acked_at, decision, judged,
               (select max(n.noted_at) from trueup.incident_note_history n where n.incident_id = i.incident_id) as noted_at
        from trueup.incident_history i
        where ($1::boolean is null or (closed_at is null) = $1) and ($2::text is null or job = $2)
          and ($3::text is null or severity = $3)
          and ($5::bigint is null or (closed_at is null, incident_id) < ($4::boolean, $5))
        order by (closed_at is null) desc, incident_id desc
        limit $6
        "#,
        wanted.is_open,
        wanted.job,
        wanted.severity,
        wanted.after.map(|(is_open, _)| is_open),
        wanted.after.map(|(_, id)| id),
        most
    )
    .fetch_all(connection)
    .await
}

/// Selects incidents by number. `None` admits everything.
#[derive(Debug, Clone, Default)]
pub struct Numbered {
    pub is_open: Option<bool>,
    pub job: Option<String>,
    pub severity: Option<String>,
    /// Only smaller numbers.
    pub before: Option<i64>,
}

/// Returns at most `most` incidents, newest first.
pub async fn newest(connection: &mut PgConnection, wanted: &Numbered, most: i64) -> sqlx::Result<Vec<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select i.incident_id as "incident_id!", i.job as "job!", i.severity as "severity!", i.opened_at as "opened_at!", i.closed_at,
               i.alerts as "alerts!", i.rules, i.acked_at, i.decision, i.judged,
               (select max(n.noted_at) from trueup.incident_note_history n where n.incident_id = i.incident_id) as noted_at
        from trueup.incident_history i
        where ($1::boolean is null or (i.closed_at is null) = $1) and ($2::text is null or i.job = $2)
          and ($3::text is null or i.severity = $3) and ($4::bigint is null or i.incident_id < $4)
        order by i.incident_id desc
        limit $5
        "#,
        wanted.is_open,
        wanted.job,
        wanted.severity,
        wanted.before,
        most
    )
    .fetch_all(connection)
    .await
}

/// Returns one incident; `None` if the number is unknown.
pub async fn find(connection: &mut PgConnection, id: i64) -> sqlx::Result<Option<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select i.incident_id as "incident_id!", i.job as "job!", i.severity as "severity!", i.opened_at as "opened_at!", i.closed_at,
               i.alerts as "alerts!", i.rules, i.acked_at, i.decision, i.judged,
               (select max(n.noted_at) from trueup.incident_note_history n where n.incident_id = i.incident_id) as noted_at
        from trueup.incident_history i where i.incident_id = $1
        "#,
        id
    )
    .fetch_optional(connection)
    .await
}

/// Returns the names of all jobs, for filters.
pub async fn jobs(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(r#"select job as "job!" from trueup.job_state order by job limit 500"#)
        .fetch_all(connection)
        .await
}
