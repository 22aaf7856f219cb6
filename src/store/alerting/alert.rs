//! Alert states and their transitions.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

use crate::store::history::verdict::RuleKey;

/// The state of one alert.
#[derive(Debug, Clone)]
pub struct AlertRow {
    pub id: i64,
    pub rule: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub rule_fingerprint: String,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub fired_at: Option<DateTime<Utc>>,
    /// Windows that end at or before this are ignored: a user resolved the alert.
    pub ignore_until: Option<DateTime<Utc>>,
}

/// A change of state to be stored.
#[derive(Debug, Clone)]
pub struct NewTransition {
    pub cohort: String,
    pub model_version: Option<String>,
    pub from_state: &'static str,
    pub to_state: &'static str,
    pub reason: String,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    /// Start of the breach.
    pub since: Option<DateTime<Utc>>,
    pub fired_at: Option<DateTime<Utc>>,
    pub evidence: Json,
    /// Rule context of messages; `None` keeps the stored one.
    pub about: Option<Json>,
}

/// Returns all alerts of these rules that were ever open, locked until the transaction ends.
pub async fn of_rules(connection: &mut PgConnection, job_id: i64, rules: &[String]) -> sqlx::Result<Vec<AlertRow>> {
    sqlx::query_as!(
        AlertRow,
        r#"
        select id, rule, cohort, model_version, rule_fingerprint, state, since, fired_at, ignore_until
        from trueup.alert where job_id = $1 and rule = any($2)
        order by id
        for update
        "#,
        job_id,
        rules
    )
    .fetch_all(connection)
    .await
}

/// An open alert, with the values and evidence of its last transition.
#[derive(Debug, Clone)]
pub struct OpenAlert {
    pub rule: String,
    pub rule_fingerprint: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub evidence: Json,
}

/// Returns all open alerts of a job, locked until the transaction ends.
pub async fn open(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Vec<OpenAlert>> {
    sqlx::query_as!(
        OpenAlert,
        r#"
        select a.rule, a.rule_fingerprint, a.severity, a.cohort, a.model_version, a.state, a.since, last.value, last.limit_value, last.evidence
        from trueup.alert a
        cross join lateral (
            select t.value, t.limit_value, t.evidence from trueup.alert_transition t where t.alert_id = a.id order by t.id desc limit 1
        ) as last
        where a.job_id = $1 and a.state in ('pending', 'firing')
        order by a.rule, a.cohort, a.model_version
        for update of a
        "#,
        job_id
    )
    .fetch_all(connection)
    .await
}

/// Stores a change of state: updates the alert and adds the transition. Returns the alert's id.
pub async fn transition(connection: &mut PgConnection, rule: RuleKey<'_>, change: &NewTransition) -> sqlx::Result<i64> {
    let open = matches!(change.to_state, "pending" | "firing");
    let alert_id = sqlx::query_scalar!(
        r#"
        insert into trueup.alert as known (job_id, rule, rule_fingerprint, severity, cohort, model_version, state, since, fired_at, about)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::jsonb, '{}'))
        on conflict (job_id, rule, cohort, coalesce(model_version, ''), (model_version is null)) do update
        set rule_fingerprint = excluded.rule_fingerprint, severity = excluded.severity, state = excluded.state,
            since = excluded.since, fired_at = excluded.fired_at, about = coalesce($10, known.about), changed_at = clock_timestamp(),
            -- A new breach is a new notification, and no user has acknowledged it.
            dispatched = false, suppressed_by = null, acked_at = null, acked_by = null
        returning id
        "#,
        rule.job_id,
        rule.rule,
        rule.fingerprint,
        rule.severity,
        change.cohort,
        change.model_version,
        change.to_state,
        change.since.filter(|_| open),
        change.fired_at.filter(|_| open),
        change.about
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        insert into trueup.alert_transition
            (alert_id, run_id, severity, from_state, to_state, reason, value, limit_value, since, evidence)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        "#,
        alert_id,
        rule.run_id,
        rule.severity,
        change.from_state,
        change.to_state,
        change.reason,
        change.value,
        change.limit_value,
        change.since,
        change.evidence
    )
    .execute(connection)
    .await?;
    Ok(alert_id)
}

/// An alert that needs a notification, or that suppresses others.
#[derive(Debug, Clone)]
pub struct StandingAlert {
    pub id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub dispatched: bool,
    pub suppressed_by: Option<String>,
    pub fired_at: Option<DateTime<Utc>>,
    pub acked_by: Option<String>,
    pub incident_id: Option<i64>,
    pub about: Json,
    /// Facts known when the alert last changed.
    pub evidence: Json,
    /// The newest window that was judged for it, if any.
    pub window_start: Option<DateTime<Utc>>,
    pub window_end: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub labeled: Option<i64>,
    pub coverage: Option<f64>,
}

/// Returns firing alerts of a job, and resolved ones whose receivers have not been notified yet. Callers that change them hold
/// the lock of the job's row.
pub async fn standing(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Vec<StandingAlert>> {
    sqlx::query_as!(
        StandingAlert,
        r#"
        select a.id, a.rule, a.severity, a.cohort, a.model_version, a.state, a.dispatched, a.suppressed_by, a.fired_at, a.acked_by, a.incident_id,
               a.about, last.evidence, newest.window_start as "window_start?", newest.window_end as "window_end?", newest.value,
               newest.limit_value, newest.labeled, newest.coverage
        from trueup.alert a
        cross join lateral (
            select t.evidence from trueup.alert_transition t where t.alert_id = a.id order by t.id desc limit 1
        ) as last
        left join lateral (
            select v.window_start, v.window_end, v.value, v.limit_value, v.labeled, v.coverage
            from trueup.verdict v
            where v.job_id = a.job_id and v.rule = a.rule and v.cohort = a.cohort
              and coalesce(v.model_version, '') = coalesce(a.model_version, '') and (v.model_version is null) = (a.model_version is null)
              and not v.retroactive and v.verdict in ('ok', 'breach')
            order by v.window_end desc, v.id desc
            limit 1
        ) as newest on true
        where a.job_id = $1 and (a.state = 'firing' or exists (select from trueup.notification_log t where t.alert_id = a.id))
        order by a.id
        "#,
        job_id
    )
    .fetch_all(connection)
    .await
}

/// True if a job has something to notify about: a firing alert that was not dispatched, or one that ended while a
/// receiver still counts it as firing.
pub async fn has_undispatched(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (select from trueup.alert where job_id = $1 and state = 'firing' and not dispatched)
            or exists (
                select from trueup.notification_log t join trueup.alert a on a.id = t.alert_id where a.job_id = $1 and a.state <> 'firing'
            ) as "untold!"
        "#,
        job_id
    )
    .fetch_one(connection)
    .await
}

/// Returns jobs that have notifications to dispatch, or that may need a repeat.
pub async fn jobs_with_news(connection: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        r#"
        select job_id as "job_id!" from trueup.alert where state = 'firing'
        union
        select a.job_id from trueup.notification_log t join trueup.alert a on a.id = t.alert_id
        "#
    )
    .fetch_all(connection)
    .await
}

/// Marks alerts as dispatched: their firing notifications are in the outbox.
pub async fn mark_dispatched(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!("update trueup.alert set dispatched = true, suppressed_by = null where id = any($1)", ids)
        .execute(connection)
        .await
        .map(drop)
}

/// Records that an alert has no receiver.
pub async fn mark_nobody(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "update trueup.alert set suppressed_by = 'because no receiver is named' where id = any($1) and suppressed_by is distinct from 'because no receiver is named'",
        ids
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Records why an alert is suppressed. The transition that made it fire gets the reason too.
pub async fn mark_suppressed(connection: &mut PgConnection, id: i64, why: &str) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with noted as (
            update trueup.alert set suppressed_by = $2 where id = $1 and suppressed_by is null
            returning id
        )
        update trueup.alert_transition set reason = reason || '; suppressed ' || $2
        where id = (select max(t.id) from noted join trueup.alert_transition t on t.alert_id = noted.id)
        "#,
        id,
        why
    )
    .execute(&mut *connection)
    .await?;
    // The reason may change while the alert is suppressed; the transition keeps the first one.
    sqlx::query!("update trueup.alert set suppressed_by = $2 where id = $1 and suppressed_by <> $2", id, why)
        .execute(connection)
        .await
        .map(drop)
}

/// Returns those of these rules that have a firing alert.
pub async fn firing(connection: &mut PgConnection, job_id: i64, rules: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select distinct rule from trueup.alert where job_id = $1 and state = 'firing' and rule = any($2)",
        job_id,
        rules
    )
    .fetch_all(connection)
    .await
}
