//! Notifications as shown to users.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A notification, as shown to users.
#[derive(Debug, Clone)]
pub struct DeliveryRow {
    pub id: Uuid,
    pub job: Option<String>,
    pub receiver: String,
    pub kind: String,
    pub state: String,
    pub attempt: i32,
    pub created_at: DateTime<Utc>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub failure: Option<String>,
}

/// Filters of the list of notifications.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub job: Option<String>,
    pub receiver: Option<String>,
    /// `pending`, `sent`, `dead` or `dropped`.
    pub state: Option<String>,
    pub limit: i64,
}

/// A receiver that messages about a job do not reach.
#[derive(Debug, Clone)]
pub struct Undelivered {
    pub receiver: String,
    /// Its answer, or the failure of the last attempt.
    pub failure: String,
}

/// Returns receivers whose newest failed message about a job, within seven days, was given up or refused by an address, and that
/// have not fully accepted a later message.
pub async fn undelivered(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Vec<Undelivered>> {
    sqlx::query_as!(
        Undelivered,
        r#"
        select n.receiver, coalesce(
            (select string_agg(r.key || ' ' || (r.value #>> '{}'), ', ' order by r.key) from jsonb_each(n.recipients) r where r.value <> 'null'),
            (select d.failure from trueup.delivery_attempt d where d.notification_id = n.id order by d.id desc limit 1),
            'given up') as "failure!"
        from (
            select distinct on (n.receiver) n.id, n.receiver, n.sequence, n.created_at, n.recipients
            from trueup.notification n
            where n.job_id = $1 and n.settled_at > clock_timestamp() - interval '7 days'
              and (n.state = 'dead' or jsonb_path_exists(n.recipients, '$.* ? (@ != null)'))
            order by n.receiver, n.sequence desc
        ) as n
        where not exists (
            select from trueup.notification later
            where later.receiver = n.receiver and later.created_at >= n.created_at and later.sequence > n.sequence
              and later.state = 'sent' and not jsonb_path_exists(later.recipients, '$.* ? (@ != null)')
        )
        order by 1
        "#,
        job_id
    )
    .fetch_all(connection)
    .await
}

/// Returns the newest notifications, newest first. Heartbeats are included only if their receiver is in the filter.
pub async fn list(connection: &mut PgConnection, filter: &DeliveryFilter) -> sqlx::Result<Vec<DeliveryRow>> {
    sqlx::query_as!(
        DeliveryRow,
        r#"
        select n.id, j.name as "job?", n.receiver, n.kind, n.state, n.attempt, n.created_at,
               case when n.state = 'pending' then n.next_attempt_at end as next_attempt_at, last.failure as "failure?"
        from trueup.notification n
        left join trueup.job j on j.id = n.job_id
        left join lateral (
            select failure from trueup.delivery_attempt d where d.notification_id = n.id order by d.id desc limit 1
        ) as last on true
        where ($1::text is null or j.name = $1) and ($2::text is null or n.receiver = $2) and ($3::text is null or n.state = $3)
          and ($2 is not null or n.kind <> 'heartbeat')
        order by n.sequence desc
        limit $4
        "#,
        filter.job,
        filter.receiver,
        filter.state,
        filter.limit
    )
    .fetch_all(connection)
    .await
}
