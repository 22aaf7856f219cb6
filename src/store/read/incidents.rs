//! The list of incidents, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An incident of the list.
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
               alerts as "alerts!", rules, acked_at, decision, judged
        from trueup.incident_history
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

/// Returns the names of all jobs, for filters.
pub async fn jobs(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(r#"select job as "job!" from trueup.job_state order by job limit 500"#)
        .fetch_all(connection)
        .await
}
