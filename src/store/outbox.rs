//! The outbox: intents to tell, leased by whoever sends them, in order per receiver and topic.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::run::interval;

/// A notification to be sent.
#[derive(Debug, Clone)]
pub struct NewNotification {
    pub id: Uuid,
    pub job_id: i64,
    pub run_id: i64,
    pub receiver: String,
    /// What it is about: later ones about the same wait for earlier ones.
    pub topic: String,
    pub kind: &'static str,
    pub body: Json,
}

/// A notification that this process may send now.
#[derive(Debug, Clone)]
pub struct Leased {
    pub id: Uuid,
    pub receiver: String,
    pub kind: String,
    pub body: Json,
    /// The attempt that is about to be made, from 1.
    pub attempt: i32,
    pub epoch: i32,
    pub created_at: DateTime<Utc>,
}

/// What an attempt came to.
#[derive(Debug, Clone)]
pub struct Attempted {
    pub attempted_at: DateTime<Utc>,
    pub duration_ms: i64,
    /// `sent`, `retry` or `dead`.
    pub outcome: &'static str,
    pub status_code: Option<i32>,
    pub failure: Option<String>,
    /// For `retry`: how long to wait.
    pub wait: Option<TimeDelta>,
}

/// Puts a notification into the outbox.
pub async fn enqueue(connection: &mut PgConnection, new: &NewNotification) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body) values ($1, $2, $3, $4, $5, $6, $7)",
        new.id,
        new.job_id,
        new.run_id,
        new.receiver,
        new.topic,
        new.kind,
        new.body
    )
    .execute(connection)
    .await
    .map(drop)
}

/// What each receiver was last told is firing, about one topic: `(receiver, body)`.
pub async fn last_firing(connection: &mut PgConnection, job_id: i64, topic: &str) -> sqlx::Result<Vec<(String, Json)>> {
    let rows = sqlx::query!(
        r#"
        select distinct on (receiver) receiver, body from trueup.notification
        where job_id = $1 and topic = $2 and kind = 'firing'
        order by receiver, sequence desc
        "#,
        job_id,
        topic
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.receiver, row.body)).collect())
}

/// Receivers whose last message about a topic says that it fires.
pub async fn knowing(connection: &mut PgConnection, job_id: i64, topic: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select receiver from (
            select distinct on (receiver) receiver, kind from trueup.notification
            where job_id = $1 and topic = $2
            order by receiver, sequence desc
        ) as last
        where kind = 'firing'
        "#,
        job_id,
        topic
    )
    .fetch_all(connection)
    .await
}

/// Receivers that something can be sent to now.
pub async fn receivers_due(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select distinct receiver from trueup.notification
        where state = 'pending' and next_attempt_at <= clock_timestamp() and (lease_until is null or lease_until < clock_timestamp())
        "#
    )
    .fetch_all(connection)
    .await
}

/// Leases the next notification of a receiver that was due at `due_by`. With `run_id`, only what that run caused and was not tried yet.
pub async fn lease(
    connection: &mut PgConnection,
    receiver: &str,
    run_id: Option<i64>,
    due_by: DateTime<Utc>,
    lease: TimeDelta,
) -> sqlx::Result<Option<Leased>> {
    sqlx::query_as!(
        Leased,
        r#"
        with candidate as (
            select n.id
            from trueup.notification n
            where n.receiver = $1 and n.state = 'pending' and n.next_attempt_at <= $4
              and (n.lease_until is null or n.lease_until < clock_timestamp())
              and ($2::bigint is null or (n.run_id = $2 and n.attempt = 0))
              -- In order: nothing overtakes an earlier one about the same.
              and not exists (
                  select from trueup.notification earlier
                  where earlier.receiver = n.receiver and earlier.topic = n.topic and earlier.state = 'pending'
                    and earlier.sequence < n.sequence
              )
            order by n.sequence
            limit 1
            for update skip locked
        )
        update trueup.notification n
        set lease_until = clock_timestamp() + $3, epoch = n.epoch + 1, attempt = n.attempt + 1
        from candidate where n.id = candidate.id
        returning n.id, n.receiver, n.kind, n.body, n.attempt, n.epoch, n.created_at
        "#,
        receiver,
        run_id,
        interval(lease),
        due_by
    )
    .fetch_optional(connection)
    .await
}

/// Records an attempt and settles the notification, or says when it is tried again. False when the lease was lost.
pub async fn record(connection: &mut PgConnection, leased: &Leased, attempted: &Attempted) -> sqlx::Result<bool> {
    let next = sqlx::query_scalar!(
        r#"
        insert into trueup.delivery_attempt
            (notification_id, attempt, attempted_at, duration_ms, outcome, status_code, failure, next_attempt_at)
        values ($1, $2, $3, $4, $5, $6, $7, case when $5 = 'retry' then clock_timestamp() + $8::interval end)
        returning next_attempt_at
        "#,
        leased.id,
        leased.attempt,
        attempted.attempted_at,
        attempted.duration_ms,
        attempted.outcome,
        attempted.status_code,
        attempted.failure,
        attempted.wait.map(interval)
    )
    .fetch_one(&mut *connection)
    .await?;
    let updated = sqlx::query!(
        r#"
        update trueup.notification
        set state = case $3 when 'retry' then 'pending' else $3 end, lease_until = null,
            next_attempt_at = coalesce($4, next_attempt_at),
            settled_at = case when $3 <> 'retry' then clock_timestamp() end
        where id = $1 and epoch = $2 and state = 'pending'
        "#,
        leased.id,
        leased.epoch,
        attempted.outcome,
        next
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}
