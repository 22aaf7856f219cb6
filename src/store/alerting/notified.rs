//! Notification log: which alerts each receiver counts as firing.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A receiver that was notified that an alert fires.
#[derive(Debug, Clone)]
pub struct Notified {
    pub alert_id: i64,
    pub receiver: String,
    /// Notification group.
    pub topic: String,
    /// The first notification.
    pub notification_id: Uuid,
    pub escalated: bool,
    /// When the notification went out, or will.
    pub notified_at: DateTime<Utc>,
}

/// Returns the notification log of a job's alerts.
pub async fn of_job(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Vec<Notified>> {
    sqlx::query_as!(
        Notified,
        r#"
        select t.alert_id, t.receiver, t.topic, t.notification_id, t.escalated,
               greatest(t.notified_at, coalesce(n.first_due_at, n.next_attempt_at)) as "notified_at!"
        from trueup.notification_log t
        join trueup.alert a on a.id = t.alert_id
        left join trueup.notification n on n.id = t.notification_id
        where a.job_id = $1
        order by t.alert_id, t.receiver
        "#,
        job_id
    )
    .fetch_all(connection)
    .await
}

/// Records that a message notifies a receiver of these firing alerts. An entry that exists keeps its first
/// notification.
pub async fn add(
    connection: &mut PgConnection,
    alerts: &[i64],
    receiver: &str,
    topic: &str,
    notification: Uuid,
    escalated: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.notification_log (alert_id, receiver, topic, notification_id, escalated)
        select id, $2, $3, $4, $5 from unnest($1::bigint[]) as news(id)
        on conflict (alert_id, receiver) do nothing
        "#,
        alerts,
        receiver,
        topic,
        notification,
        escalated
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Removes entries: the receiver is notified that these alerts ended.
pub async fn remove(connection: &mut PgConnection, alerts: &[i64], receiver: &str) -> sqlx::Result<()> {
    sqlx::query!("delete from trueup.notification_log where alert_id = any($1) and receiver = $2", alerts, receiver)
        .execute(connection)
        .await
        .map(drop)
}
