//! One incident: its alerts with their evidence, and what happened meanwhile, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// Evidence that was frozen when an alert fired, with the alert as it is now.
#[derive(Debug, Clone)]
pub struct EvidenceRow {
    pub alert_id: i64,
    pub rule: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub acked_by: Option<String>,
    pub acked_at: Option<DateTime<Utc>>,
    pub changed_at: DateTime<Utc>,
    pub suppressed_by: Option<String>,
    pub frozen_at: DateTime<Utc>,
    pub evidence: Json,
}

/// Returns the evidence of an incident, in the order in which its alerts fired.
pub async fn evidence(connection: &mut PgConnection, id: i64) -> sqlx::Result<Vec<EvidenceRow>> {
    sqlx::query_as!(
        EvidenceRow,
        r#"
        select alert_id as "alert_id!", rule as "rule!", cohort as "cohort!", model_version, state as "state!", acked_by, acked_at,
               changed_at as "changed_at!", suppressed_by, frozen_at as "frozen_at!", evidence as "evidence!"
        from trueup.incident_evidence_history
        where incident_id = $1
        order by evidence_id
        "#,
        id
    )
    .fetch_all(connection)
    .await
}

/// Returns the newest incident in which an alert fired, if it ever did; `None` if the alert is unknown.
pub async fn of_alert(connection: &mut PgConnection, alert: i64) -> sqlx::Result<Option<(String, Option<i64>)>> {
    let row = sqlx::query!(
        r#"
        select a.job as "job!",
               (select max(e.incident_id) from trueup.incident_evidence_history e where e.alert_id = a.alert_id) as incident_id
        from trueup.alert_state a where a.alert_id = $1
        "#,
        alert
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.job, row.incident_id)))
}

/// An event of an incident.
#[derive(Debug, Clone)]
pub struct EventRow {
    pub at: DateTime<Utc>,
    /// `state`, `act`, `change`, `message` or `note`.
    pub kind: String,
    pub what: String,
}

/// Returns transitions, actions and notes of users, annotations and attempts to deliver its notifications, in order of time.
pub async fn timeline(connection: &mut PgConnection, id: i64) -> sqlx::Result<Vec<EventRow>> {
    sqlx::query_as!(
        EventRow,
        r#"
        with mine as (
            select incident_id, job, opened_at, closed_at from trueup.incident_history where incident_id = $1
        ), alerts as (
            select distinct e.alert_id from trueup.incident_evidence_history e where e.incident_id = $1
        )
        select t.changed_at as "at!", 'state' as "kind!",
               format('%s for %s%s: %s -> %s (%s)', t.rule, t.cohort, coalesce(', version ' || t.model_version, ''), t.from_state, t.to_state, t.reason) as "what!"
        from alerts
        join trueup.alert_history t on t.alert_id = alerts.alert_id
        cross join mine
        where t.changed_at >= mine.opened_at - interval '1 day' and (mine.closed_at is null or t.changed_at <= mine.closed_at + interval '1 minute')
        union all
        select x.acted_at, 'act', format('%s %s by %s%s', x.rule || ' for ' || x.cohort, x.action, x.author, case when x.note = '' then '' else ': ' || x.note end)
        from alerts
        join trueup.alert_action_history x on x.alert_id = alerts.alert_id
        cross join mine
        where x.acted_at >= mine.opened_at and (mine.closed_at is null or x.acted_at <= mine.closed_at + interval '1 minute')
        union all
        select n.starts_at, 'change', format('%s%s (%s)', n.kind, case when n.note = '' then '' else ': ' || n.note end, n.author)
        from trueup.annotation n
        cross join mine
        where (n.job is null or n.job = mine.job)
          and n.starts_at >= mine.opened_at - interval '7 days' and n.starts_at <= coalesce(mine.closed_at, clock_timestamp())
        union all
        select d.attempted_at, 'message', format('message to %s (%s): %s%s', n.receiver, n.kind, d.outcome, coalesce(', ' || d.failure, ''))
        from mine
        join trueup.notification_state n on n.job = mine.job and n.created_at >= mine.opened_at
            and (mine.closed_at is null or n.created_at <= mine.closed_at + interval '1 minute')
        join trueup.delivery_history d on d.notification_id = n.notification_id
        where jsonb_path_exists(n.body, '$.rules[*].alerts[*].incident ? (@ == $id)', jsonb_build_object('id', $1))
        union all
        select o.noted_at, 'note',
               format('%s by %s%s', case o.kind when 'false_alarm' then 'marked as false alarm' when 'useful' then 'marked as useful' else o.kind end,
                      o.author, case when o.text = '' then '' else ': ' || o.text end)
        from trueup.incident_note_history o where o.incident_id = $1
        order by 1
        limit 500
        "#,
        id
    )
    .fetch_all(connection)
    .await
}

/// A note of a user.
#[derive(Debug, Clone)]
pub struct NoteRow {
    pub kind: String,
    pub author: String,
    pub text: String,
    /// `None`: about the incident as a whole.
    pub alert_id: Option<i64>,
    pub noted_at: DateTime<Utc>,
}

/// Returns the newest notes, decisions and marks of an incident, oldest first.
pub async fn notes(connection: &mut PgConnection, id: i64, most: i64) -> sqlx::Result<Vec<NoteRow>> {
    let mut rows = sqlx::query_as!(
        NoteRow,
        r#"
        select kind as "kind!", author as "author!", text as "text!", alert_id, noted_at as "noted_at!"
        from trueup.incident_note_history where incident_id = $1 order by note_id desc limit $2
        "#,
        id,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// A notification about an incident.
#[derive(Debug, Clone)]
pub struct NotificationRow {
    pub notification_id: String,
    pub receiver: String,
    pub kind: String,
    pub state: String,
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub failure: Option<String>,
}

/// Returns the notifications that name an incident, oldest first.
pub async fn notifications(
    connection: &mut PgConnection,
    (id, job): (i64, &str),
    since: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"
        select n.notification_id::text as "notification_id!", n.receiver as "receiver!", n.kind as "kind!", n.state as "state!",
               n.attempt as "attempts!", n.created_at as "created_at!", n.settled_at, n.next_attempt_at,
               (select d.failure from trueup.delivery_history d where d.notification_id = n.notification_id
                order by d.attempt desc limit 1) as failure
        from trueup.notification_state n
        where n.job = $2 and n.created_at >= $3
          and jsonb_path_exists(n.body, '$.rules[*].alerts[*].incident ? (@ == $id)', jsonb_build_object('id', $1::bigint))
        order by n.created_at, n.sequence
        limit $4
        "#,
        id,
        job,
        since,
        most
    )
    .fetch_all(connection)
    .await
}

/// A change of the state of an alert of an incident.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    pub rule: String,
    pub cohort: String,
    pub to_state: String,
    pub reason: String,
    pub changed_at: DateTime<Utc>,
}

/// Returns the changes of the alerts of an incident, or of one alert, after a time.
pub async fn changes_after(
    connection: &mut PgConnection,
    (incident, alert): (Option<i64>, Option<i64>),
    after: DateTime<Utc>,
) -> sqlx::Result<Vec<ChangeRow>> {
    sqlx::query_as!(
        ChangeRow,
        r#"
        select rule as "rule!", cohort as "cohort!", to_state as "to_state!", reason as "reason!", changed_at as "changed_at!"
        from trueup.alert_history
        where (alert_id = $1 or alert_id in (select e.alert_id from trueup.incident_evidence_history e where e.incident_id = $2))
          and changed_at > $3
        order by changed_at
        limit 100
        "#,
        alert,
        incident,
        after
    )
    .fetch_all(connection)
    .await
}
