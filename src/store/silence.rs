//! Silences: what people muted, for how long and why.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::run::interval;

/// A silence to be stored. What is None is not asked for.
#[derive(Debug, Clone, Copy)]
pub struct NewSilence<'a> {
    pub job: Option<&'a str>,
    pub rule: Option<&'a str>,
    pub cohort: Option<&'a str>,
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
        insert into trueup.silence (job, rule, cohort, ends_at, reason, author)
        values ($1, $2, $3, clock_timestamp() + $4::interval, $5, $6)
        returning id, ends_at
        "#,
        new.job,
        new.rule,
        new.cohort,
        interval(new.lasts),
        new.reason,
        new.author
    )
    .fetch_one(connection)
    .await?;
    Ok((row.id, row.ends_at))
}

/// Silences that are in force; with `all`, also those that are over.
pub async fn list(connection: &mut PgConnection, all: bool) -> sqlx::Result<Vec<SilenceRow>> {
    sqlx::query_as!(
        SilenceRow,
        r#"
        select id, job, rule, cohort, starts_at, ends_at, reason, author, ends_at > clock_timestamp() as "in_force!"
        from trueup.silence
        where $1 or ends_at > clock_timestamp()
        order by ends_at desc, id desc
        "#,
        all
    )
    .fetch_all(connection)
    .await
}

/// Ends a silence now. False when there is none of that number, or it is over.
pub async fn expire(connection: &mut PgConnection, id: i64) -> sqlx::Result<bool> {
    let ended = sqlx::query!(
        "update trueup.silence set ends_at = clock_timestamp() where id = $1 and ends_at > clock_timestamp()",
        id
    )
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Cohorts of a rule that are silenced now, with until when and why: None stands for all of them.
pub async fn of_rule(
    connection: &mut PgConnection,
    job: &str,
    rule: &str,
) -> sqlx::Result<Vec<(Option<String>, DateTime<Utc>, String)>> {
    let rows = sqlx::query!(
        r#"
        select cohort, ends_at, reason from trueup.silence
        where (job is null or job = $1) and (rule is null or rule = $2) and ends_at > clock_timestamp()
        order by ends_at desc
        "#,
        job,
        rule
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.cohort, row.ends_at, row.reason)).collect())
}
