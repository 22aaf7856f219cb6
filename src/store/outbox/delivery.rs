//! Messages being delivered: leased by one sender at a time, in order per receiver and topic, with the outcome of each
//! attempt.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::store::clock::interval;

/// A notification that this process may send now.
#[derive(Debug, Clone)]
pub struct Leased {
    pub id: Uuid,
    pub job_id: Option<i64>,
    pub receiver: String,
    pub topic: String,
    pub kind: String,
    pub body: serde_json::Value,
    /// The attempt that is about to be made, from 1.
    pub attempt: i32,
    pub epoch: i32,
    /// Time since its first attempt was due.
    pub waiting: TimeDelta,
    /// True if the receiver answered that it is permanently gone.
    pub is_gone: bool,
    /// For a mail, the final outcomes by address.
    pub recipients: Recipients,
    /// The same for each earlier message of its topic that still waits for some of its addresses.
    pub earlier: Vec<Recipients>,
}

/// Final outcomes by address: `None` if it accepted the message, otherwise why it refused it permanently.
pub type Recipients = BTreeMap<String, Option<String>>;

/// Returns receivers that have a message to send now. Receivers paused after repeated failures are left out.
pub async fn receivers_due(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select distinct n.receiver from trueup.notification n
        left join trueup.receiver_health h on h.receiver = n.receiver
        where n.state = 'pending' and n.next_attempt_at <= clock_timestamp() and (n.lease_until is null or n.lease_until < clock_timestamp())
          and (h.open_until is null or h.open_until <= clock_timestamp())
        "#
    )
    .fetch_all(connection)
    .await
}

/// Leases the next notification of a receiver that was due at `due_by`. With `run_id`, only untried ones that the run caused.
pub async fn lease(
    connection: &mut PgConnection,
    receiver: &str,
    run_id: Option<i64>,
    due_by: DateTime<Utc>,
    lease: TimeDelta,
) -> sqlx::Result<Option<Leased>> {
    let row = sqlx::query!(
        r#"
        with candidate as (
            select n.id
            from trueup.notification n
            where n.receiver = $1 and n.state = 'pending' and n.next_attempt_at <= $4
              and (n.lease_until is null or n.lease_until < clock_timestamp())
              and ($2::bigint is null or (n.run_id = $2 and n.attempt = 0))
              -- In order: nothing overtakes an earlier one about the same. A mail that some of its addresses took waits for
              -- the others alone.
              and not exists (
                  select from trueup.notification earlier
                  where earlier.receiver = n.receiver and earlier.topic = n.topic and earlier.state = 'pending'
                    and earlier.sequence < n.sequence
                    and not exists (select from jsonb_each(earlier.recipients) r where r.value = 'null')
              )
            order by n.sequence
            limit 1
            for update skip locked
        )
        update trueup.notification n
        set lease_until = clock_timestamp() + $3, epoch = n.epoch + 1, attempt = n.attempt + 1,
            first_due_at = coalesce(n.first_due_at, n.next_attempt_at)
        from candidate where n.id = candidate.id
        returning n.id, n.job_id, n.receiver, n.topic, n.kind, n.body, n.attempt, n.epoch,
                  clock_timestamp() - n.first_due_at as "waiting!: sqlx::postgres::types::PgInterval",
                  exists (select from trueup.receiver_health h where h.receiver = n.receiver and h.gone) as "is_gone!",
                  n.recipients as "recipients: Json<Recipients>",
                  (
                      select coalesce(jsonb_agg(earlier.recipients), '[]') from trueup.notification earlier
                      where earlier.receiver = n.receiver and earlier.topic = n.topic and earlier.state = 'pending'
                        and earlier.sequence < n.sequence
                  ) as "earlier!: Json<Vec<Recipients>>"
        "#,
        receiver,
        run_id,
        interval(lease),
        due_by
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Leased {
        id: row.id,
        job_id: row.job_id,
        receiver: row.receiver,
        topic: row.topic,
        kind: row.kind,
        body: row.body,
        attempt: row.attempt,
        epoch: row.epoch,
        waiting: TimeDelta::microseconds(row.waiting.microseconds) + TimeDelta::days(i64::from(row.waiting.days)),
        is_gone: row.is_gone,
        recipients: row.recipients.0,
        earlier: row.earlier.0,
    }))
}

/// Records that an address accepted a mail, or refused it permanently. Returns false if the lease was lost.
pub async fn settle_recipient(
    connection: &mut PgConnection,
    leased: &Leased,
    address: &str,
    refused: Option<&str>,
) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        r#"
        update trueup.notification set recipients = recipients || jsonb_build_object($3::text, $4::text)
        where id = $1 and epoch = $2 and state = 'pending'
        "#,
        leased.id,
        leased.epoch,
        address,
        refused
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Outcome of an attempt.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// Duration of the attempt. Its start is computed back from the database clock.
    pub duration_ms: i64,
    /// `sent`, `retry` or `dead`.
    pub outcome: &'static str,
    pub status_code: Option<i32>,
    pub failure: Option<String>,
    /// True if some of its addresses have accepted it.
    pub is_partly: bool,
    /// For `retry`: how long to wait.
    pub wait: Option<TimeDelta>,
}

/// Records an attempt, and settles the notification or schedules its next attempt. Returns false if the lease was lost.
pub async fn record(connection: &mut PgConnection, leased: &Leased, attempted: &Attempted) -> sqlx::Result<bool> {
    let next = sqlx::query_scalar!(
        r#"
        insert into trueup.delivery_attempt
            (notification_id, attempt, attempted_at, duration_ms, outcome, status_code, failure, next_attempt_at)
        values ($1, $2, clock_timestamp() - $3::bigint * interval '1 millisecond', $3, $4, $5, $6,
                case when $4 = 'retry' then clock_timestamp() + $7::interval end)
        returning next_attempt_at
        "#,
        leased.id,
        leased.attempt,
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

/// Health of a receiver after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Well,
    Failed,
    Gone,
}

/// Records the health of a receiver after an attempt. After `tolerated` failures in a row it is paused for `pause`, twice as long
/// after each further failure, up to `longest`. Returns the end of the pause.
pub async fn note_health(
    connection: &mut PgConnection,
    receiver: &str,
    outcome: Health,
    tolerated: i32,
    (pause, longest): (TimeDelta, TimeDelta),
) -> sqlx::Result<Option<DateTime<Utc>>> {
    match outcome {
        Health::Well => {
            // Most receivers are healthy: then there is nothing to write.
            let was_troubled = sqlx::query!("delete from trueup.receiver_health where receiver = $1", receiver)
                .execute(&mut *connection)
                .await?;
            if was_troubled.rows_affected() > 0 {
                // Makes messages that wait for a later attempt due now.
                sqlx::query!(
                    r#"
                    update trueup.notification set next_attempt_at = clock_timestamp()
                    where receiver = $1 and state = 'pending' and attempt > 0 and lease_until is null
                    "#,
                    receiver
                )
                .execute(connection)
                .await?;
            }
            Ok(None)
        }
        Health::Gone => {
            sqlx::query!(
                r#"
                insert into trueup.receiver_health (receiver, failures, gone) values ($1, 1, true)
                on conflict (receiver) do update set gone = true, changed_at = clock_timestamp()
                "#,
                receiver
            )
            .execute(connection)
            .await?;
            Ok(None)
        }
        Health::Failed => {
            sqlx::query_scalar!(
                r#"
                insert into trueup.receiver_health as known (receiver, failures) values ($1, 1)
                on conflict (receiver) do update
                set failures = known.failures + 1, changed_at = clock_timestamp(),
                    open_until = case when known.failures + 1 >= $2
                        then clock_timestamp() + least($3::interval * (2 ^ least(known.failures + 1 - $2, 20)), $4::interval) end
                returning open_until
                "#,
                receiver,
                tolerated,
                interval(pause),
                interval(longest)
            )
            .fetch_one(connection)
            .await
        }
    }
}

/// A message that did not reach its receiver in time.
#[derive(Debug, Clone)]
pub struct Overdue {
    pub id: Uuid,
    pub receiver: String,
    pub body: serde_json::Value,
    /// Failure of the last attempt, if there was one.
    pub failure: Option<String>,
}

/// Returns firing messages without a fallback yet that have waited longer than `patience` for a receiver that fails or is in
/// `unusable`, or were given up or refused by an address. Locks them until the transaction ends.
pub async fn overdue(
    connection: &mut PgConnection,
    fallback: &str,
    unusable: &[String],
    patience: TimeDelta,
) -> sqlx::Result<Vec<Overdue>> {
    sqlx::query_as!(
        Overdue,
        r#"
        select n.id, n.receiver, n.body, (
                   select d.failure from trueup.delivery_attempt d where d.notification_id = n.id order by d.id desc limit 1
               ) as failure
        from trueup.notification n
        where n.kind = 'firing' and n.receiver <> $1 and n.fallback_at is null and (
              n.state = 'pending' and coalesce(n.first_due_at, n.next_attempt_at) < clock_timestamp() - $3::interval
              and (n.attempt > 0 or n.receiver = any($2)
                   or exists (select from trueup.receiver_health h where h.receiver = n.receiver and h.failures > 0))
              or n.state = 'dead' and n.settled_at > clock_timestamp() - interval '1 day'
              or n.state = 'sent' and n.settled_at > clock_timestamp() - interval '1 day'
                 and exists (select from jsonb_each(n.recipients) r where r.value <> 'null')
        )
        order by n.sequence
        limit 100
        for update of n skip locked
        "#,
        fallback,
        unusable,
        interval(patience)
    )
    .fetch_all(connection)
    .await
}

/// Sends the fallback receiver, once, a message that could not be delivered to another receiver. The fallback receiver is
/// notified of the end of these alerts too.
pub async fn fall_back(
    connection: &mut PgConnection,
    overdue: &Overdue,
    id: Uuid,
    fallback: &str,
    body: &serde_json::Value,
    alerts: &[i64],
) -> sqlx::Result<()> {
    // A group of its own: no other message may be merged into the fallback.
    sqlx::query!(
        r#"
        with noted as (
            update trueup.notification set fallback_at = clock_timestamp() where id = $1 and fallback_at is null
            returning job_id, run_id, topic, kind
        ), copied as (
            insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body)
            select $2, job_id, run_id, $3, 'fallback/' || topic, kind, $4 from noted
            returning id, topic
        )
        insert into trueup.notification_log (alert_id, receiver, topic, notification_id)
        select a.id, $3, copied.topic, copied.id
        from copied
        join trueup.alert a on a.id = any($5) and a.state = 'firing'
        on conflict (alert_id, receiver) do nothing
        "#,
        overdue.id,
        id,
        fallback,
        body,
        alerts
    )
    .execute(connection)
    .await
    .map(drop)
}
