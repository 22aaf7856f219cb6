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

/// Returns one incident, or `None` if the id is unknown.
pub async fn find(connection: &mut PgConnection, id: i64) -> sqlx::Result<Option<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select i.id, j.name as job, i.severity, i.opened_at, i.closed_at,
               (select count(distinct e.alert_id) from trueup.incident_evidence e where e.incident_id = i.id) as "alerts!"
        from trueup.incident i
        join trueup.job j on j.id = i.job_id
        where i.id = $1
        "#,
        id
    )
    .fetch_optional(connection)
    .await
}

/// Evidence that was frozen when an alert fired.
#[derive(Debug, Clone)]
pub struct EvidenceRow {
    pub alert_id: i64,
    pub rule: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub frozen_at: DateTime<Utc>,
    pub evidence: Json,
}

/// Returns the evidence of an incident, in the order in which its alerts fired.
pub async fn evidence(connection: &mut PgConnection, id: i64) -> sqlx::Result<Vec<EvidenceRow>> {
    sqlx::query_as!(
        EvidenceRow,
        r#"
        select e.alert_id, a.rule, a.cohort, a.model_version, a.state, e.frozen_at, e.evidence
        from trueup.incident_evidence e
        join trueup.alert a on a.id = e.alert_id
        where e.incident_id = $1
        order by e.id
        "#,
        id
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

/// An event of an incident.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub what: String,
}

/// Returns transitions, users' actions, annotations and delivery attempts of an incident, in order of time.
pub async fn timeline(connection: &mut PgConnection, id: i64) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as!(
        Event,
        r#"
        with mine as (
            select i.id, i.job_id, i.opened_at, i.closed_at, j.name as job
            from trueup.incident i join trueup.job j on j.id = i.job_id
            where i.id = $1
        ), alerts as (
            select distinct e.alert_id as id from trueup.incident_evidence e where e.incident_id = $1
        )
        select t.changed_at as "at!",
               format('%s for %s%s: %s -> %s (%s)', a.rule, a.cohort, coalesce(', version ' || a.model_version, ''), t.from_state, t.to_state, t.reason) as "what!"
        from alerts
        join trueup.alert a on a.id = alerts.id
        join trueup.alert_transition t on t.alert_id = a.id
        cross join mine
        where t.changed_at >= mine.opened_at - interval '1 day' and (mine.closed_at is null or t.changed_at <= mine.closed_at + interval '1 minute')
        union all
        select x.acted_at, format('%s %s by %s%s', a.rule || ' for ' || a.cohort, x.action, x.author, case when x.note = '' then '' else ': ' || x.note end)
        from alerts
        join trueup.alert a on a.id = alerts.id
        join trueup.alert_action x on x.alert_id = a.id
        cross join mine
        where x.acted_at >= mine.opened_at and (mine.closed_at is null or x.acted_at <= mine.closed_at + interval '1 minute')
        union all
        select n.starts_at, format('%s%s (%s)', n.kind, case when n.note = '' then '' else ': ' || n.note end, n.author)
        from trueup.annotation n
        cross join mine
        where (n.job is null or n.job = mine.job)
          and n.starts_at >= mine.opened_at - interval '7 days' and n.starts_at <= coalesce(mine.closed_at, clock_timestamp())
        union all
        select d.attempted_at, format('message to %s (%s): %s%s', n.receiver, n.kind, d.outcome, coalesce(', ' || d.failure, ''))
        from mine
        join trueup.notification n on n.job_id = mine.job_id and n.created_at >= mine.opened_at
            and (mine.closed_at is null or n.created_at <= mine.closed_at + interval '1 minute')
        join trueup.delivery_attempt d on d.notification_id = n.id
        order by 1
        limit 500
        "#,
        id
    )
    .fetch_all(connection)
    .await
}
