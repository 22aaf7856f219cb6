//! Progress of backfills.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// An unfinished backfill.
#[derive(Debug, Clone)]
pub struct BackfillRow {
    pub id: i64,
    pub as_of: DateTime<Utc>,
    pub done_until: DateTime<Utc>,
}

/// Identity of a backfill: the same request continues where an earlier one stopped.
#[derive(Debug, Clone, Copy)]
pub struct BackfillRequest {
    pub plan_id: i64,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub step_ms: Option<i64>,
}

/// Continues an unfinished backfill of the same request, if one began after `begun_after`. The rest of it sees the
/// present state of the source.
pub async fn resume(
    connection: &mut PgConnection,
    asked: BackfillRequest,
    begun_after: DateTime<Utc>,
    as_of: DateTime<Utc>,
) -> sqlx::Result<Option<BackfillRow>> {
    sqlx::query_as!(
        BackfillRow,
        r#"
        update trueup.backfill set as_of = $6
        where id = (
            select id from trueup.backfill
            where plan_id = $1 and from_at = $2 and to_at = $3 and step_ms is not distinct from $4 and finished_at is null
              and begun_at > $5
            order by id desc limit 1
        )
        returning id, as_of, done_until
        "#,
        asked.plan_id,
        asked.from,
        asked.to,
        asked.step_ms,
        begun_after,
        as_of
    )
    .fetch_optional(connection)
    .await
}

/// Begins a backfill.
pub async fn begin(
    connection: &mut PgConnection,
    asked: BackfillRequest,
    as_of: DateTime<Utc>,
    start: DateTime<Utc>,
) -> sqlx::Result<BackfillRow> {
    sqlx::query_as!(
        BackfillRow,
        r#"
        insert into trueup.backfill (plan_id, from_at, to_at, step_ms, as_of, done_until) values ($1, $2, $3, $4, $5, $6)
        returning id, as_of, done_until
        "#,
        asked.plan_id,
        asked.from,
        asked.to,
        asked.step_ms,
        as_of,
        start
    )
    .fetch_one(connection)
    .await
}

/// Records that windows up to an end are done.
pub async fn advance(connection: &mut PgConnection, id: i64, done_until: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update trueup.backfill set done_until = $2 where id = $1", id, done_until)
        .execute(connection)
        .await
        .map(drop)
}

/// Records that a backfill is finished.
pub async fn finish(connection: &mut PgConnection, id: i64) -> sqlx::Result<()> {
    sqlx::query!("update trueup.backfill set finished_at = clock_timestamp() where id = $1", id)
        .execute(connection)
        .await
        .map(drop)
}
