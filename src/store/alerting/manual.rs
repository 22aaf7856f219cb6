//! Alerts that users act on: acknowledged or resolved by hand.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Returns the firing alerts that users act on, by id or by incident, locked until the transaction ends.
pub async fn firing_of(
    connection: &mut PgConnection,
    ids: &[i64],
    incidents: &[i64],
) -> sqlx::Result<Vec<FiringAlert>> {
    sqlx::query_as!(
        FiringAlert,
        r#"
        select a.id, a.job_id, j.name as job, a.rule, a.cohort, a.acked_by
        from trueup.alert a
        join trueup.job j on j.id = a.job_id
        where a.state = 'firing' and (a.id = any($1) or a.incident_id = any($2))
        order by a.id
        for update of a
        "#,
        ids,
        incidents
    )
    .fetch_all(connection)
    .await
}

/// Returns when these alerts last changed, firing or not; `None` if there are none.
pub async fn changed_at(
    connection: &mut PgConnection,
    ids: &[i64],
    incidents: &[i64],
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "select max(changed_at) from trueup.alert where id = any($1) or incident_id = any($2)",
        ids,
        incidents
    )
    .fetch_one(connection)
    .await
}

/// A firing alert, as shown to users.
#[derive(Debug, Clone)]
pub struct FiringAlert {
    pub id: i64,
    pub job_id: i64,
    pub job: String,
    pub rule: String,
    pub cohort: String,
    pub acked_by: Option<String>,
}

/// Records an acknowledgment.
pub async fn acknowledge(connection: &mut PgConnection, ids: &[i64], author: &str, note: &str) -> sqlx::Result<()> {
    sqlx::query!("update trueup.alert set acked_at = clock_timestamp(), acked_by = $2 where id = any($1)", ids, author)
        .execute(&mut *connection)
        .await?;
    record_action(connection, ids, "acknowledged", author, note).await
}

/// Resolves alerts by hand. Windows that have ended by now cannot make them fire again.
pub async fn resolve_by_hand(connection: &mut PgConnection, ids: &[i64], author: &str, note: &str) -> sqlx::Result<()> {
    let reason = format!("resolved by {author}: {note}");
    sqlx::query!(
        r#"
        insert into trueup.alert_transition (alert_id, severity, from_state, to_state, reason, value, limit_value, since, evidence)
        select a.id, a.severity, a.state, 'resolved', $2, last.value, last.limit_value, a.since,
               last.evidence || jsonb_build_object('state', 'resolved', 'closed', $2::text)
        from trueup.alert a
        cross join lateral (
            select t.value, t.limit_value, t.evidence from trueup.alert_transition t where t.alert_id = a.id order by t.id desc limit 1
        ) as last
        where a.id = any($1)
        "#,
        ids,
        reason
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        update trueup.alert a
        set state = 'resolved', since = null, fired_at = null, acked_at = null, acked_by = null, suppressed_by = null, changed_at = clock_timestamp(),
            -- A window that ends later is news.
            ignore_until = coalesce((
                select v.window_end from trueup.verdict v
                where v.job_id = a.job_id and v.rule = a.rule and v.cohort = a.cohort
                  and coalesce(v.model_version, '') = coalesce(a.model_version, '') and (v.model_version is null) = (a.model_version is null)
                order by v.window_end desc
                limit 1
            ), clock_timestamp())
        where id = any($1)
        "#,
        ids
    )
    .execute(&mut *connection)
    .await?;
    record_action(connection, ids, "resolved", author, note).await
}

async fn record_action(
    connection: &mut PgConnection,
    ids: &[i64],
    action: &str,
    author: &str,
    note: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into trueup.alert_action (alert_id, action, author, note) select id, $2, $3, $4 from unnest($1::bigint[]) as acted(id)",
        ids,
        action,
        author,
        note
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the jobs of alerts that users act on, in order.
pub async fn jobs_of(connection: &mut PgConnection, ids: &[i64], incidents: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!(
        "select distinct job_id from trueup.alert where id = any($1) or incident_id = any($2) order by job_id",
        ids,
        incidents
    )
    .fetch_all(connection)
    .await
}
