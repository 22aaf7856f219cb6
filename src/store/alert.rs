//! The state of alerts, and each change of it.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

use crate::store::verdict::RuleKey;

/// The state of one alert.
#[derive(Debug, Clone)]
pub struct AlertRow {
    pub id: i64,
    pub cohort: String,
    pub model_version: Option<String>,
    pub rule_fingerprint: String,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub fired_at: Option<DateTime<Utc>>,
    /// Whether its receivers know that it fires.
    pub told: bool,
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
    /// When the breach that it is about began.
    pub since: Option<DateTime<Utc>>,
    pub fired_at: Option<DateTime<Utc>>,
    /// Whether its receivers know that it fires.
    pub told: bool,
    pub evidence: Json,
}

/// All alerts of a rule that were ever open, locked until the transaction ends.
pub async fn of_rule(connection: &mut PgConnection, job_id: i64, rule: &str) -> sqlx::Result<Vec<AlertRow>> {
    sqlx::query_as!(
        AlertRow,
        r#"
        select id, cohort, model_version, rule_fingerprint, state, since, fired_at, told
        from trueup.alert where job_id = $1 and rule = $2
        for update
        "#,
        job_id,
        rule
    )
    .fetch_all(connection)
    .await
}

/// An alert that is open, with what it was about when it last changed.
#[derive(Debug, Clone)]
pub struct OpenAlert {
    pub rule: String,
    pub rule_fingerprint: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub told: bool,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub evidence: Json,
}

/// All open alerts of a job, locked until the transaction ends.
pub async fn open(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Vec<OpenAlert>> {
    sqlx::query_as!(
        OpenAlert,
        r#"
        select a.rule, a.rule_fingerprint, a.severity, a.cohort, a.model_version, a.state, a.since, a.told, last.value, last.limit_value,
               last.evidence
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

/// Stores a change of state: the alert as it is now, and the change beside the earlier ones.
pub async fn transition(connection: &mut PgConnection, rule: RuleKey<'_>, change: &NewTransition) -> sqlx::Result<()> {
    let open = matches!(change.to_state, "pending" | "firing");
    let alert_id = sqlx::query_scalar!(
        r#"
        insert into trueup.alert (job_id, rule, rule_fingerprint, severity, cohort, model_version, state, since, fired_at, told)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        on conflict (job_id, rule, cohort, coalesce(model_version, ''), (model_version is null)) do update
        set rule_fingerprint = excluded.rule_fingerprint, severity = excluded.severity, state = excluded.state,
            since = excluded.since, fired_at = excluded.fired_at, told = excluded.told, changed_at = clock_timestamp()
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
        change.told && open
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
    .await
    .map(drop)
}

/// Notes that the receivers of firing alerts of a rule know of them now, and returns what these alerts were about when they
/// began to fire. Alerts of the cohorts in `held` wait on.
pub async fn tell_late(
    connection: &mut PgConnection,
    job_id: i64,
    rule: &str,
    held: &[String],
) -> sqlx::Result<Vec<Json>> {
    sqlx::query_scalar!(
        r#"
        with late as (
            update trueup.alert set told = true
            where job_id = $1 and rule = $2 and state = 'firing' and not told and cohort <> all($3)
            returning id
        )
        select last.evidence
        from late
        cross join lateral (
            select t.evidence from trueup.alert_transition t where t.alert_id = late.id order by t.id desc limit 1
        ) as last
        "#,
        job_id,
        rule,
        held
    )
    .fetch_all(connection)
    .await
}

/// Which of these rules have a firing alert.
pub async fn firing(connection: &mut PgConnection, job_id: i64, rules: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "select distinct rule from trueup.alert where job_id = $1 and state = 'firing' and rule = any($2)",
        job_id,
        rules
    )
    .fetch_all(connection)
    .await
}
