//! Silences: the alerts that users suppressed, for how long and why.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::clock::interval;

/// A silence to store. A field that is `None` matches everything.
#[derive(Debug, Clone, Copy)]
pub struct NewSilence<'a> {
    pub job: Option<&'a str>,
    pub rule: Option<&'a str>,
    pub cohort: Option<&'a str>,
    pub severity: Option<&'a str>,
    pub lasts: TimeDelta,
    pub reason: &'a str,
    pub author: &'a str,
}

/// A silence.
#[derive(Debug, Clone)]
pub struct SilenceRow {
    pub id: i64,
    pub job: Option<String>,
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub severity: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub reason: String,
    pub author: String,
    pub in_force: bool,
}

/// Stores a silence that begins now, by the database clock.
pub async fn add(connection: &mut PgConnection, new: NewSilence<'_>) -> sqlx::Result<(i64, DateTime<Utc>)> {
    let row = sqlx::query!(
        r#"
        insert into trueup.silence (job, rule, cohort, severity, ends_at, reason, author)
        values ($1, $2, $3, $4, clock_timestamp() + $5::interval, $6, $7)
        returning id, ends_at
        "#,
        new.job,
        new.rule,
        new.cohort,
        new.severity,
        interval(new.lasts),
        new.reason,
        new.author
    )
    .fetch_one(connection)
    .await?;
    Ok((row.id, row.ends_at))
}

/// Returns silences that are in force; with `all`, also expired ones.
pub async fn list(connection: &mut PgConnection, all: bool) -> sqlx::Result<Vec<SilenceRow>> {
    sqlx::query_as!(
        SilenceRow,
        r#"
        select id, job, rule, cohort, severity, starts_at, ends_at, reason, author, ends_at > clock_timestamp() as "in_force!"
        from trueup.silence
        where $1 or ends_at > clock_timestamp()
        order by ends_at desc, id desc
        "#,
        all
    )
    .fetch_all(connection)
    .await
}

/// Ends a silence now. Returns false if the id is unknown or the silence has expired.
pub async fn expire(connection: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    let ended = sqlx::query!(
        "update trueup.silence set ends_at = clock_timestamp() where id = $1 and ends_at > clock_timestamp()",
        id
    )
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Returns silences that overlap `[from, until)`, expired ones included.
pub async fn between(
    connection: &mut PgConnection,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> sqlx::Result<Vec<SilenceRow>> {
    sqlx::query_as!(
        SilenceRow,
        r#"
        select id, job, rule, cohort, severity, starts_at, ends_at, reason, author, ends_at > clock_timestamp() as "in_force!"
        from trueup.silence
        where starts_at < $2 and ends_at > $1
        order by starts_at, id
        "#,
        from,
        until
    )
    .fetch_all(connection)
    .await
}
