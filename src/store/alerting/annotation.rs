//! What happened to a model or its data, as people and programs say.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::ledger::run::interval;

/// An event to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewAnnotation<'a> {
    /// None: every job.
    pub job: Option<&'a str>,
    pub kind: &'a str,
    /// None: now, by the database clock.
    pub starts_at: Option<DateTime<Utc>>,
    /// None: a moment; of an incident: it lasts.
    pub ends_at: Option<DateTime<Utc>>,
    pub note: &'a str,
    /// How long from then on, or from now if that is later, alerts tell nobody.
    pub suppress: Option<TimeDelta>,
}

/// An event.
#[derive(Debug, Clone)]
pub struct AnnotationRow {
    pub kind: String,
    pub starts_at: DateTime<Utc>,
    pub note: String,
    pub author: String,
}

/// Stores an event and says when it was.
pub async fn add(connection: &mut PgConnection, new: NewAnnotation<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"
        insert into trueup.annotation (job, kind, starts_at, ends_at, note, suppress_until)
        values ($1, $2, coalesce($3, clock_timestamp()), $4, $5, greatest($3, clock_timestamp()) + $6::interval)
        returning starts_at
        "#,
        new.job,
        new.kind,
        new.starts_at,
        new.ends_at,
        new.note,
        new.suppress.map(interval)
    )
    .fetch_one(connection)
    .await
}

/// The last events of a job before a time, newest first; none that is older than `after`.
pub async fn before(
    connection: &mut PgConnection,
    job: &str,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<AnnotationRow>> {
    sqlx::query_as!(
        AnnotationRow,
        r#"
        select kind, starts_at, note, author from trueup.annotation
        where (job is null or job = $1) and starts_at > $2 and starts_at <= $3
        order by starts_at desc, id desc
        limit $4
        "#,
        job,
        after,
        until,
        most
    )
    .fetch_all(connection)
    .await
}

/// An event that keeps alerts from telling.
#[derive(Debug, Clone)]
pub struct Suppressing {
    pub kind: String,
    pub until: DateTime<Utc>,
}

/// The event that keeps the alerts of a job from telling the longest, if one does now.
pub async fn suppressing(connection: &mut PgConnection, job: &str) -> sqlx::Result<Option<Suppressing>> {
    sqlx::query_as!(
        Suppressing,
        r#"
        select kind, suppress_until as "until!" from trueup.annotation
        where (job is null or job = $1) and suppress_until > clock_timestamp() and starts_at <= clock_timestamp()
        order by suppress_until desc
        limit 1
        "#,
        job
    )
    .fetch_optional(connection)
    .await
}
