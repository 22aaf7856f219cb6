//! Lists of incidents, runs, notifications, silences and annotations, newest first, page by page, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;
use uuid::Uuid;

/// Selects a page of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only entries with a smaller number than this one: the last of the page before.
    pub before: Option<i64>,
    pub most: i64,
}

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
    pub judged: Option<String>,
    /// When its newest note or decision was written.
    pub noted_at: Option<DateTime<Utc>>,
}

/// Filters of incidents.
#[derive(Debug, Clone, Default)]
pub struct IncidentFilter {
    pub id: Option<i64>,
    pub job: Option<String>,
    pub severity: Option<String>,
    pub is_open: Option<bool>,
}

/// Returns incidents, newest first.
pub async fn incidents(
    connection: &mut PgConnection,
    filter: &IncidentFilter,
    page: &Page,
) -> sqlx::Result<Vec<IncidentRow>> {
    sqlx::query_as!(
        IncidentRow,
        r#"
        select i.incident_id as "incident_id!", i.job as "job!", i.severity as "severity!", i.opened_at as "opened_at!", i.closed_at,
               i.alerts as "alerts!", i.rules, i.acked_at, i.decision, i.judged,
               (select max(n.noted_at) from trueup.incident_note_history n where n.incident_id = i.incident_id) as noted_at
        from trueup.incident_history i
        where ($1::bigint is null or i.incident_id = $1) and ($2::text is null or i.job = $2)
          and ($3::text is null or i.severity = $3) and ($4::boolean is null or (i.closed_at is null) = $4)
          and ($5::bigint is null or i.incident_id < $5)
        order by i.incident_id desc
        limit $6
        "#,
        filter.id,
        filter.job,
        filter.severity,
        filter.is_open,
        page.before,
        page.most
    )
    .fetch_all(connection)
    .await
}

/// An alert of an incident.
#[derive(Debug, Clone)]
pub struct IncidentAlertRow {
    pub alert_id: i64,
    pub rule: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub acked_by: Option<String>,
    pub acked_at: Option<DateTime<Utc>>,
    pub frozen_at: DateTime<Utc>,
    /// The evidence frozen when it fired.
    pub evidence: Json,
}

/// Returns the alerts of an incident in the order in which they fired.
pub async fn incident_alerts(connection: &mut PgConnection, id: i64, most: i64) -> sqlx::Result<Vec<IncidentAlertRow>> {
    sqlx::query_as!(
        IncidentAlertRow,
        r#"
        select alert_id as "alert_id!", rule as "rule!", cohort as "cohort!", model_version, state as "state!", acked_by, acked_at,
               frozen_at as "frozen_at!", evidence as "evidence!"
        from trueup.incident_evidence_history
        where incident_id = $1
        order by evidence_id
        limit $2
        "#,
        id,
        most
    )
    .fetch_all(connection)
    .await
}

/// A note about an incident.
#[derive(Debug, Clone)]
pub struct NoteRow {
    pub kind: String,
    pub author: String,
    pub text: String,
    pub alert_id: Option<i64>,
    pub noted_at: DateTime<Utc>,
}

/// Returns the notes about an incident, oldest first.
pub async fn notes(connection: &mut PgConnection, id: i64, most: i64) -> sqlx::Result<Vec<NoteRow>> {
    sqlx::query_as!(
        NoteRow,
        r#"
        select kind as "kind!", author as "author!", text as "text!", alert_id, noted_at as "noted_at!"
        from trueup.incident_note_history
        where incident_id = $1
        order by note_id
        limit $2
        "#,
        id,
        most
    )
    .fetch_all(connection)
    .await
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub run_id: i64,
    pub job: String,
    pub scheduled_for: DateTime<Utc>,
    pub trigger: String,
    pub state: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub rows_read: Option<i64>,
    pub windows_written: Option<i64>,
    pub buckets_repaired: Option<i64>,
    pub attempt: i32,
    pub failure: Option<String>,
    pub reason: Option<String>,
}

/// Filters of runs.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub job: Option<String>,
    pub state: Option<String>,
    pub trigger: Option<String>,
    /// Runs that were due at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Runs that were due before this.
    pub to: Option<DateTime<Utc>>,
}

/// Returns runs, newest first.
pub async fn runs(connection: &mut PgConnection, filter: &RunFilter, page: &Page) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select run_id as "run_id!", job as "job!", scheduled_for as "scheduled_for!", trigger as "trigger!", state as "state!", started_at,
               finished_at, rows_read, windows_written, buckets_repaired, attempt as "attempt!", failure, reason
        from trueup.run_history
        where ($1::text is null or job = $1) and ($2::text is null or state = $2) and ($3::text is null or trigger = $3)
          and ($4::timestamptz is null or scheduled_for >= $4) and ($5::timestamptz is null or scheduled_for < $5)
          and ($6::bigint is null or run_id < $6)
        order by run_id desc
        limit $7
        "#,
        filter.job,
        filter.state,
        filter.trigger,
        filter.from,
        filter.to,
        page.before,
        page.most
    )
    .fetch_all(connection)
    .await
}

/// A notification.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    pub notification_id: Uuid,
    pub sequence: i64,
    pub job: Option<String>,
    pub receiver: String,
    pub kind: String,
    pub state: String,
    pub attempt: i32,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub failure: Option<String>,
}

/// Filters of notifications.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    pub job: Option<String>,
    pub receiver: Option<String>,
    pub state: Option<String>,
}

/// Returns notifications, newest first. Heartbeats are included only if their receiver is in the filter.
pub async fn notifications(
    connection: &mut PgConnection,
    filter: &NotificationFilter,
    page: &Page,
) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"
        select n.notification_id as "notification_id!", n.sequence as "sequence!", n.job, n.receiver as "receiver!", n.kind as "kind!",
               n.state as "state!", n.attempt as "attempt!", n.created_at as "created_at!", n.settled_at, n.next_attempt_at,
               (select d.failure from trueup.delivery_history d
                where d.notification_id = n.notification_id order by d.attempt desc, d.attempted_at desc limit 1) as failure
        from trueup.notification_state n
        where ($1::text is null or n.job = $1) and ($2::text is null or n.receiver = $2) and ($3::text is null or n.state = $3)
          and ($2 is not null or n.kind <> 'heartbeat') and ($4::bigint is null or n.sequence < $4)
        order by n.sequence desc
        limit $5
        "#,
        filter.job,
        filter.receiver,
        filter.state,
        page.before,
        page.most
    )
    .fetch_all(connection)
    .await
}

/// A silence.
#[derive(Debug, Clone)]
pub struct SilenceRow {
    pub silence_id: i64,
    pub job: Option<String>,
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub severity: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub reason: String,
    pub author: String,
    pub in_force: bool,
}

/// Returns silences, newest first: those that name a job or all jobs.
pub async fn silences(
    connection: &mut PgConnection,
    (job, in_force): (Option<&str>, Option<bool>),
    page: &Page,
) -> sqlx::Result<Vec<SilenceRow>> {
    sqlx::query_as!(
        SilenceRow,
        r#"
        select silence_id as "silence_id!", job, rule, cohort, severity, starts_at as "starts_at!", ends_at as "ends_at!",
               reason as "reason!", author as "author!", in_force as "in_force!"
        from trueup.silence_history
        where ($1::text is null or job is null or job = $1) and ($2::boolean is null or in_force = $2)
          and ($3::bigint is null or silence_id < $3)
        order by silence_id desc
        limit $4
        "#,
        job,
        in_force,
        page.before,
        page.most
    )
    .fetch_all(connection)
    .await
}

/// An annotation with its job.
#[derive(Debug, Clone)]
pub struct AnnotationRow {
    pub id: i64,
    pub job: Option<String>,
    pub kind: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: Option<DateTime<Utc>>,
    pub note: String,
    pub author: String,
}

/// Returns the newest annotations that overlap a range, oldest first: of a job those of all jobs as well.
pub async fn annotations(
    connection: &mut PgConnection,
    job: Option<&str>,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    most: i64,
) -> sqlx::Result<Vec<AnnotationRow>> {
    let mut rows = sqlx::query_as!(
        AnnotationRow,
        r#"
        select id, job, kind, starts_at, ends_at, note, author
        from trueup.annotation
        where ($1::text is null or job is null or job = $1)
          and ($2::timestamptz is null or coalesce(ends_at, starts_at) >= $2) and ($3::timestamptz is null or starts_at <= $3)
        order by starts_at desc, id desc
        limit $4
        "#,
        job,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// An alert that fires.
#[derive(Debug, Clone)]
pub struct FiringRow {
    pub job: String,
    pub alert_id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub acked_by: Option<String>,
    pub incident_id: Option<i64>,
}

/// Returns the alerts that fire of a job, or of all jobs, severe ones first within a job.
pub async fn firing(connection: &mut PgConnection, job: Option<&str>, most: i64) -> sqlx::Result<Vec<FiringRow>> {
    sqlx::query_as!(
        FiringRow,
        r#"
        select job as "job!", alert_id as "alert_id!", rule as "rule!", severity as "severity!", cohort as "cohort!", model_version, since,
               value as "value?", limit_value as "limit_value?", acked_by, incident_id
        from trueup.alert_state
        where ($1::text is null or job = $1) and state = 'firing'
        order by job, array_position(array['page', 'ticket', 'info'], severity), since, rule, cohort, alert_id
        limit $2
        "#,
        job,
        most
    )
    .fetch_all(connection)
    .await
}

/// An evaluation of an objective, or a correction by labels that came later.
#[derive(Debug, Clone)]
pub struct EvaluationRow {
    pub kind: String,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub objective: f64,
    pub good: i64,
    pub bad: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub burn: Option<Json>,
    pub evaluated_at: DateTime<Utc>,
}

/// Returns the newest evaluations of an objective whose periods end in a range, oldest first.
pub async fn evaluations(
    connection: &mut PgConnection,
    (job, slo): (&str, &str),
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    most: i64,
) -> sqlx::Result<Vec<EvaluationRow>> {
    let mut rows = sqlx::query_as!(
        EvaluationRow,
        r#"
        select kind as "kind!", period_start as "period_start!", period_end as "period_end!", objective as "objective!", good as "good!",
               bad as "bad!", total as "total!", budget_left, exhausted_at, burn as "burn?", evaluated_at as "evaluated_at!"
        from trueup.slo_history
        where job = $1 and slo = $2 and ($3::timestamptz is null or period_end > $3) and ($4::timestamptz is null or period_end <= $4)
        order by period_end desc, evaluated_at desc
        limit $5
        "#,
        job,
        slo,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// Returns the jobs that are late: no run published in two intervals.
pub async fn late(connection: &mut PgConnection, job: Option<&str>) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select job as "job!" from trueup.job_state where is_late and ($1::text is null or job = $1)"#,
        job
    )
    .fetch_all(connection)
    .await
}
