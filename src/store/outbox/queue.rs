//! The outbox: notifications to be sent, written together with their cause. A message may change until its first attempt.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::store::clock::interval;

/// A notification to be sent.
#[derive(Debug, Clone)]
pub struct NewNotification {
    pub id: Uuid,
    /// `None` if it is about no job.
    pub job_id: Option<i64>,
    /// The run that caused it; `None` if no run did.
    pub run_id: Option<i64>,
    pub receiver: String,
    /// Later messages of a topic wait for earlier ones.
    pub topic: String,
    pub kind: &'static str,
    pub body: Json,
    /// Earliest time to send it. `None`: now.
    pub due: Option<DateTime<Utc>>,
}

/// A message that was not attempted yet: changes are merged into it.
#[derive(Debug, Clone)]
pub struct Open {
    pub id: Uuid,
    pub body: Json,
}

/// Returns the open message of a group to a receiver, locked until the transaction ends.
pub async fn open(connection: &mut PgConnection, receiver: &str, topic: &str) -> sqlx::Result<Option<Open>> {
    sqlx::query_as!(
        Open,
        r#"
        select id, body from trueup.notification
        where receiver = $1 and topic = $2 and state = 'pending' and attempt = 0 and kind in ('firing', 'resolved')
        order by sequence desc
        limit 1
        for update
        "#,
        receiver,
        topic
    )
    .fetch_optional(connection)
    .await
}

/// Returns the creation time of the last message of a group to a receiver that was not dropped.
pub async fn last_of_group(
    connection: &mut PgConnection,
    receiver: &str,
    topic: &str,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"
        select created_at from trueup.notification
        where receiver = $1 and topic = $2 and state <> 'dropped' and kind in ('firing', 'resolved')
        order by sequence desc
        limit 1
        "#,
        receiver,
        topic
    )
    .fetch_optional(connection)
    .await
}

/// True if a message of a group waits for a receiver, tried or not.
pub async fn is_waiting(connection: &mut PgConnection, receiver: &str, topic: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from trueup.notification where receiver = $1 and topic = $2 and state = 'pending' and kind in ('firing', 'resolved')
              -- A mail that waits for one full mailbox keeps nothing from the others.
              and not exists (select from jsonb_each(recipients) r where r.value = 'null')
        ) as "waiting!"
        "#,
        receiver,
        topic
    )
    .fetch_one(connection)
    .await
}

/// Inserts a notification into the outbox, not to be sent before `due`.
pub async fn enqueue(connection: &mut PgConnection, new: &NewNotification) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body, next_attempt_at)
        values ($1, $2, $3, $4, $5, $6, $7, coalesce($8, clock_timestamp()))
        "#,
        new.id,
        new.job_id,
        new.run_id,
        new.receiver,
        new.topic,
        new.kind,
        new.body,
        new.due
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Changes an open message. It goes out as scheduled, or at `due` if that is sooner.
pub async fn rewrite(connection: &mut PgConnection, new: &NewNotification) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.notification
        set kind = $2, body = $3, run_id = coalesce($4, run_id), next_attempt_at = least(next_attempt_at, $5)
        where id = $1
        "#,
        new.id,
        new.kind,
        new.body,
        new.run_id,
        new.due
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Drops an open message, because it is obsolete.
pub async fn discard(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("update trueup.notification set state = 'dropped', settled_at = clock_timestamp() where id = $1", id)
        .execute(connection)
        .await
        .map(drop)
}

/// The last message of a group, if it announced the end of all its alerts.
#[derive(Debug, Clone)]
pub struct Ended {
    pub job_id: Option<i64>,
    pub topic: String,
    pub body: Json,
}

/// Returns resolved messages that a receiver first got less than `lately` ago, and last at least `every` ago.
pub async fn ended_lately(
    connection: &mut PgConnection,
    receiver: &str,
    lately: TimeDelta,
    every: TimeDelta,
) -> sqlx::Result<Vec<Ended>> {
    sqlx::query_as!(
        Ended,
        r#"
        select last.job_id, last.topic, last.body
        from (
            select distinct on (topic) job_id, topic, body, kind, state, created_at, (body ->> 'as_of')::timestamptz as ended_at
            from trueup.notification
            where receiver = $1 and created_at > clock_timestamp() - $2::interval
            order by topic, sequence desc
        ) as last
        where last.kind = 'resolved' and last.state = 'sent' and last.created_at <= clock_timestamp() - $3::interval
          -- Each copy is as old as what it tells.
          and exists (
              select from trueup.notification first
              where first.receiver = $1 and first.topic = last.topic and first.created_at > clock_timestamp() - $2::interval
                and first.kind = 'resolved' and first.run_id is not null
          )
        "#,
        receiver,
        interval(lately),
        interval(every)
    )
    .fetch_all(connection)
    .await
}

/// Returns the age of the oldest notification that should have been delivered by now.
pub async fn oldest_due(connection: &mut PgConnection) -> sqlx::Result<Option<TimeDelta>> {
    let seconds = sqlx::query_scalar!(
        r#"
        select extract(epoch from max(clock_timestamp() - coalesce(first_due_at, next_attempt_at)))::float8
        from trueup.notification where state = 'pending' and kind <> 'heartbeat'
        "#
    )
    .fetch_one(connection)
    .await?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of an age")]
    Ok(seconds.map(|seconds| TimeDelta::milliseconds((seconds * 1_000.0) as i64)))
}
