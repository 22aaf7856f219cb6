//! What happened to a model or its data, as people and programs say.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

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
        insert into trueup.annotation (job, kind, starts_at, ends_at, note)
        values ($1, $2, coalesce($3, clock_timestamp()), $4, $5)
        returning starts_at
        "#,
        new.job,
        new.kind,
        new.starts_at,
        new.ends_at,
        new.note
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
