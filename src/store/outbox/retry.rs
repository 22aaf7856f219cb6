//! Requests of users for another attempt.

use sqlx::PgConnection;
use uuid::Uuid;

/// Makes notifications that were given up due again, with the same ids: those in `ids`, or all of a receiver of the last day
/// that no later one has overtaken. Includes mails that some of their addresses refused. Those that wait for their next attempt
/// are tried now. Returns their number.
pub async fn retry(connection: &mut PgConnection, ids: &[Uuid], receiver: Option<&str>) -> sqlx::Result<u64> {
    let retried = sqlx::query!(
        r#"
        update trueup.notification
        set state = 'pending', settled_at = null, next_attempt_at = clock_timestamp(), first_due_at = clock_timestamp(), lease_until = null,
            -- Addresses that refused it are asked again, those that took it are not.
            recipients = (
                select coalesce(jsonb_object_agg(r.key, r.value), '{}') from jsonb_each(recipients) r where r.value = 'null'
            )
        where (id = any($1) or receiver = $2 and created_at > clock_timestamp() - interval '1 day' and not exists (
                  -- What a later message has overtaken would bring back what is over.
                  select from trueup.notification later
                  where later.receiver = notification.receiver and later.topic = notification.topic and later.state = 'sent'
                    and later.sequence > notification.sequence
              )) and kind <> 'heartbeat'
          and (state = 'dead'
               or state = 'sent' and exists (select from jsonb_each(recipients) r where r.value <> 'null')
               or (state = 'pending' and attempt > 0 and (lease_until is null or lease_until < clock_timestamp())))
        "#,
        ids,
        receiver
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        delete from trueup.receiver_health
        where receiver = $2 or receiver in (select receiver from trueup.notification where id = any($1))
        "#,
        ids,
        receiver
    )
    .execute(connection)
    .await?;
    Ok(retried.rows_affected())
}

/// Ends a receiver's pause, so that a user can test it.
pub async fn try_now(connection: &mut PgConnection, receiver: &str) -> sqlx::Result<()> {
    sqlx::query!("update trueup.receiver_health set open_until = null where receiver = $1", receiver)
        .execute(connection)
        .await
        .map(drop)
}
