//! Jobs of the ledger: who serves them, and the lock of their row.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A job in the ledger.
#[derive(Debug, Clone)]
pub struct JobRow {
    pub id: i64,
    /// The newest published `as_of`.
    pub published_as_of: Option<DateTime<Utc>>,
    /// True if a runner reported within the last hour that it knows the job.
    pub is_seen: bool,
}

/// Registers a job by name, or finds it.
pub async fn register(connection: &mut PgConnection, name: &str) -> sqlx::Result<JobRow> {
    if let Some(known) = find(connection, name).await? {
        return Ok(known);
    }
    // A concurrent session may register it; only the next statement sees its row then.
    sqlx::query!("insert into trueup.job (name) values ($1) on conflict (name) do nothing", name)
        .execute(&mut *connection)
        .await?;
    find(connection, name).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn find(connection: &mut PgConnection, name: &str) -> sqlx::Result<Option<JobRow>> {
    sqlx::query_as!(
        JobRow,
        r#"
        select id, published_as_of, seen_at > clock_timestamp() - interval '1 hour' as "is_seen!"
        from trueup.job where name = $1
        "#,
        name
    )
    .fetch_optional(connection)
    .await
}

/// Records that a runner knows these jobs: their raw data is needed.
pub async fn seen(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.job set seen_at = clock_timestamp()
        where name = any($1) and seen_at < clock_timestamp() - interval '1 hour'
        "#,
        names
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Like [`seen`], for many jobs at once. Skips locked rows: the run that locks a job knows it.
pub async fn seen_unless_locked(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.job set seen_at = clock_timestamp()
        where id in (
            select id from trueup.job where name = any($1) and seen_at < clock_timestamp() - interval '1 hour'
            order by id for no key update skip locked
        )
        "#,
        names
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns jobs that no runner has known for two weeks.
pub async fn forgotten(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!("select name from trueup.job where seen_at < clock_timestamp() - interval '14 days'")
        .fetch_all(connection)
        .await
}

/// Returns the newest published `as_of`, and locks the job's row until the transaction ends.
pub async fn lock_published(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select published_as_of from trueup.job where id = $1 for no key update", job_id)
        .fetch_one(connection)
        .await
}

/// Locks a job's row. Returns false if a run is publishing: the caller tries again later.
pub async fn try_lock(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<bool> {
    let row = sqlx::query!("select id from trueup.job where id = $1 for no key update skip locked", job_id)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Returns the newest `as_of` with which anything of the job's plans was written.
pub async fn newest_as_of(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!(
        "select max(newest_as_of) from trueup.plan where job_id = $1 and measured_as_of is not null",
        job_id
    )
    .fetch_one(connection)
    .await
}
