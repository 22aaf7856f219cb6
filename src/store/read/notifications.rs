//! Notifications, their attempts and their receivers, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;
use uuid::Uuid;

/// Selects notifications. A page continues below the last sequence of the one before.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    pub job: Option<String>,
    pub receiver: Option<String>,
    /// `pending`, `sent`, `dead` or `dropped`.
    pub state: Option<String>,
    pub before: Option<i64>,
    pub limit: i64,
}

/// A notification as it is now.
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
    pub run_id: Option<i64>,
    /// The failure of the newest attempt.
    pub failure: Option<String>,
}

/// Returns notifications, newest first. Heartbeats are included only if their receiver is in the filter.
pub async fn list(connection: &mut PgConnection, filter: &NotificationFilter) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"
        select n.notification_id as "notification_id!", n.sequence as "sequence!", n.job, n.receiver as "receiver!", n.kind as "kind!",
               n.state as "state!", n.attempt as "attempt!", n.created_at as "created_at!", n.settled_at, n.next_attempt_at, n.run_id,
               last.failure as "failure?"
        from trueup.notification_state n
        left join lateral (
            select d.failure from trueup.delivery_history d where d.notification_id = n.notification_id
            order by d.attempted_at desc limit 1
        ) as last on true
        where ($1::text is null or n.job = $1) and ($2::text is null or n.receiver = $2) and ($3::text is null or n.state = $3)
          and ($2 is not null or n.kind <> 'heartbeat') and ($4::bigint is null or n.sequence < $4)
        order by n.sequence desc
        limit $5
        "#,
        filter.job,
        filter.receiver,
        filter.state,
        filter.before,
        filter.limit
    )
    .fetch_all(connection)
    .await
}

/// A notification with its text.
#[derive(Debug, Clone)]
pub struct Notification {
    pub row: NotificationRow,
    /// As `trueup schema webhook` describes it.
    pub body: Json,
    /// Of a mail: addresses that took it (null) or refused it (why).
    pub recipients: Json,
    pub fallback_at: Option<DateTime<Utc>>,
}

/// Returns one notification.
pub async fn one(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Notification>> {
    let row = sqlx::query!(
        r#"
        select notification_id as "notification_id!", sequence as "sequence!", job, receiver as "receiver!", kind as "kind!",
               state as "state!", attempt as "attempt!", created_at as "created_at!", settled_at, next_attempt_at, run_id,
               body as "body!", recipients as "recipients!", fallback_at
        from trueup.notification_state
        where notification_id = $1
        "#,
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Notification {
        row: NotificationRow {
            notification_id: row.notification_id,
            sequence: row.sequence,
            job: row.job,
            receiver: row.receiver,
            kind: row.kind,
            state: row.state,
            attempt: row.attempt,
            created_at: row.created_at,
            settled_at: row.settled_at,
            next_attempt_at: row.next_attempt_at,
            run_id: row.run_id,
            failure: None,
        },
        body: row.body,
        recipients: row.recipients,
        fallback_at: row.fallback_at,
    }))
}

/// An attempt to deliver a notification.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    pub attempt: i32,
    pub attempted_at: DateTime<Utc>,
    pub outcome: String,
    pub status_code: Option<i32>,
    pub failure: Option<String>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<i64>,
}

/// Returns the newest attempts of a notification, newest first.
pub async fn attempts(connection: &mut PgConnection, id: Uuid, most: i64) -> sqlx::Result<Vec<AttemptRow>> {
    sqlx::query_as!(
        AttemptRow,
        r#"
        select attempt as "attempt!", attempted_at as "attempted_at!", outcome as "outcome!", status_code, failure, next_attempt_at,
               duration_ms
        from trueup.delivery_history
        where notification_id = $1
        order by attempted_at desc
        limit $2
        "#,
        id,
        most
    )
    .fetch_all(connection)
    .await
}

/// A receiver to which something was enqueued lately.
#[derive(Debug, Clone)]
pub struct ReceiverRow {
    pub receiver: String,
    pub pending: i64,
    /// When the oldest pending notification was enqueued.
    pub oldest_pending: Option<DateTime<Utc>>,
    pub last_sent: Option<DateTime<Utc>>,
    pub dead: i64,
    /// Failed attempts in a row.
    pub failures: i32,
    /// Nothing is sent to it before this time.
    pub open_until: Option<DateTime<Utc>>,
    /// It answered that it is gone for good.
    pub is_gone: bool,
}

/// Returns the receivers of the last 30 days, by name.
pub async fn receivers(connection: &mut PgConnection) -> sqlx::Result<Vec<ReceiverRow>> {
    sqlx::query_as!(
        ReceiverRow,
        r#"
        select n.receiver as "receiver!", n.pending as "pending!", n.oldest_pending, n.last_sent, n.dead as "dead!",
               coalesce(h.failures, 0) as "failures!", h.open_until as "open_until?", coalesce(h.gone, false) as "is_gone!"
        from (
            select receiver, count(*) filter (where state = 'pending') as pending,
                   min(created_at) filter (where state = 'pending') as oldest_pending,
                   max(settled_at) filter (where state = 'sent') as last_sent, count(*) filter (where state = 'dead') as dead
            from trueup.notification_state
            where created_at > clock_timestamp() - interval '30 days' or state = 'pending'
            group by receiver
        ) as n
        left join trueup.receiver_state h on h.receiver = n.receiver
        order by 1
        limit 200
        "#
    )
    .fetch_all(connection)
    .await
}
