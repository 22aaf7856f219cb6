//! Removes rows that are older than windows are kept: messages, incidents, alerts, silences, runs, backfills.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::removal::Removed;

/// Removes messages that were settled before this time. Heartbeats go after a day, repeats after a week; messages about
/// changes of alerts stay as long as windows.
pub(crate) async fn messages(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with old as (
            select id from trueup.notification
            where kind in ('heartbeat', 'test') and settled_at < clock_timestamp() - interval '1 day'
               or body ->> 'reason' = 'repeat' and settled_at < clock_timestamp() - interval '7 days'
               or settled_at < $2
            limit $1
        ), attempts as (
            delete from trueup.delivery_attempt where notification_id in (select id from old)
        )
        delete from trueup.notification where id in (select id from old)
        "#,
        most,
        before
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes incidents that were closed before `before`, with their evidence and notes.
pub(crate) async fn incidents(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with old as (
            select id from trueup.incident where closed_at < $1 limit $2
        ), evidence as (
            delete from trueup.incident_evidence where incident_id in (select id from old)
        ), notes as (
            delete from trueup.incident_note where incident_id in (select id from old)
        ), alerts as (
            update trueup.alert set incident_id = null where incident_id in (select id from old)
        )
        delete from trueup.incident where id in (select id from old)
        "#,
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes transitions older than `before`, except the last of each alert, and alerts that ended before it and belong to no kept
/// incident, with the users' actions on them.
pub(crate) async fn alerts(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<Removed> {
    let transitions = sqlx::query!(
        r#"
        delete from trueup.alert_transition where id = any(array(
            select t.id
            from trueup.alert_transition t
            where t.changed_at < $1
              and exists (select from trueup.alert_transition later where later.alert_id = t.alert_id and later.id > t.id)
              and not exists (
                  select from trueup.incident_evidence e
                  join trueup.incident i on i.id = e.incident_id
                  where e.alert_id = t.alert_id and t.changed_at between i.opened_at - interval '1 day' and coalesce(i.closed_at, 'infinity')
              )
            limit $2
        ))
        "#,
        before,
        most
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let alerts = sqlx::query!(
        r#"
        with old as (
            select a.id
            from trueup.alert a
            where a.state in ('inactive', 'resolved') and a.changed_at < $1 and a.incident_id is null
              and not exists (select from trueup.incident_evidence e where e.alert_id = a.id)
              and not exists (select from trueup.notification_log t where t.alert_id = a.id)
            limit $2
            for update skip locked
        ), transitions as (
            delete from trueup.alert_transition where alert_id in (select id from old)
        ), actions as (
            delete from trueup.alert_action where alert_id in (select id from old)
        )
        delete from trueup.alert where id in (select id from old)
        "#,
        before,
        most
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(Removed { rows: transitions + alerts, more: transitions.max(alerts) >= most.unsigned_abs() })
}

/// Removes silences that ended before `before`.
pub(crate) async fn silences(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from trueup.silence where id = any(array(select id from trueup.silence where ends_at < $1 limit $2))",
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes runs that ended before `before`, except the newest of each job, and due ticks of jobs that no runner knows any more.
pub(crate) async fn runs(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from trueup.run where id = any(array(
            select r.id
            from trueup.job j
            join trueup.run r on r.job_id = j.id and r.scheduled_for < $1
            where (r.finished_at < $1 or (r.state = 'due' and j.seen_at < clock_timestamp() - interval '14 days'))
              and exists (select from trueup.run newer where newer.job_id = r.job_id and newer.scheduled_for > r.scheduled_for)
            limit $2
        ))
        "#,
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Removes backfills that ended before `before`.
pub(crate) async fn backfills(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from trueup.backfill where id = any(array(select id from trueup.backfill where finished_at < $1 limit $2))",
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
