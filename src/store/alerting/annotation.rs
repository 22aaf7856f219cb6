//! Annotations: events of a model or its data, added by people and programs.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::clock::interval;

/// An event to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewAnnotation<'a> {
    /// `None`: every job.
    pub job: Option<&'a str>,
    pub kind: &'a str,
    /// `None`: now, by the database clock.
    pub starts_at: Option<DateTime<Utc>>,
    /// `None`: a single moment; for an incident, it is still open.
    pub ends_at: Option<DateTime<Utc>>,
    pub note: &'a str,
    /// `None`: the role of the database.
    pub author: Option<&'a str>,
    /// How long alerts are suppressed, counted from the start of the event or from now if that is later.
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

/// Stores an event and returns its start.
pub async fn add(connection: &mut PgConnection, new: NewAnnotation<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"
        insert into trueup.annotation (job, kind, starts_at, ends_at, note, author, suppress_until)
        values ($1, $2, coalesce($3, clock_timestamp()), $4, $5, coalesce($6, current_user),
                greatest($3, clock_timestamp()) + $7::interval)
        returning starts_at
        "#,
        new.job,
        new.kind,
        new.starts_at,
        new.ends_at,
        new.note,
        new.author,
        new.suppress.map(interval)
    )
    .fetch_one(connection)
    .await
}

/// Returns the last events of a job that started after `after` and by `until`, newest first.
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

/// An event that suppresses alerts.
#[derive(Debug, Clone)]
pub struct Suppressing {
    pub kind: String,
    pub until: DateTime<Utc>,
}

/// Returns the event that suppresses the alerts of a job the longest, if one does now.
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
