//! Measured windows and their progress.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::months::{self, Monthly};

/// A stored window.
#[derive(Debug, Clone)]
pub struct WindowRow {
    pub id: i64,
    pub name: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// True if a run has measured it, not only a backfill.
    pub judged: bool,
    /// True if a run has seen it final.
    pub settled: bool,
}

/// Returns stored windows of a job that end at or before `until` and that no run has seen final.
///
/// Leaves out windows that only a backfill measured and found final: they wait for nothing.
pub async fn waiting(connection: &mut PgConnection, job_id: i64, until: DateTime<Utc>) -> sqlx::Result<Vec<WindowRow>> {
    sqlx::query_as!(
        WindowRow,
        r#"
        select id, window_name as name, window_start as start, window_end as "end", judged_at is not null as "judged!",
               settled_at is not null as "settled!"
        from trueup.measured_window
        where job_id = $1 and settled_at is null and window_end <= $2 and (finalized_at is null or judged_at is not null)
        order by window_end
        "#,
        job_id,
        until
    )
    .fetch_all(connection)
    .await
}

/// Returns the start of the oldest stored window of a job.
pub async fn first_start(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select min(window_start) from trueup.measured_window where job_id = $1", job_id)
        .fetch_one(connection)
        .await
}

/// Returns those of these windows that are stored already.
pub async fn stored(
    connection: &mut PgConnection,
    job_id: i64,
    names: &[String],
    ends: &[DateTime<Utc>],
) -> sqlx::Result<Vec<WindowRow>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as!(
        WindowRow,
        r#"
        select w.id, w.window_name as name, w.window_start as start, w.window_end as "end", w.judged_at is not null as "judged!",
               w.settled_at is not null as "settled!"
        from unnest($2::text[], $3::timestamptz[]) as asked (name, ends)
        join trueup.measured_window w
            on w.job = (select j.name from trueup.job j where j.id = $1) and w.window_name = asked.name and w.window_end = asked.ends
        "#,
        job_id,
        names,
        ends
    )
    .fetch_all(connection)
    .await
}

/// Records that a run measured these windows, and that windows that ended at or before `final_until` are final for good.
/// Windows of an earlier definition, which no run measures any more, become final as they are.
pub async fn settle(
    connection: &mut PgConnection,
    job_id: i64,
    windows: &[i64],
    as_of: DateTime<Utc>,
    final_until: DateTime<Utc>,
) -> sqlx::Result<()> {
    if !windows.is_empty() {
        sqlx::query!(
            "update trueup.measured_window set judged_at = $2 where id = any($1) and judged_at is null",
            windows,
            as_of
        )
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query!(
        "update trueup.measured_window set settled_at = $2, finalized_at = coalesce(finalized_at, $2)
         where job_id = $1 and settled_at is null and window_end <= $3",
        job_id,
        as_of,
        final_until
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Stores windows, and returns their ids in the given order. Creates the months of their measurements.
pub async fn upsert(
    connection: &mut PgConnection,
    job_id: i64,
    names: &[String],
    starts: &[DateTime<Utc>],
    ends: &[DateTime<Utc>],
) -> sqlx::Result<Vec<i64>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // Before the windows: a window without its month means that the month was dropped.
    months::add(connection, Monthly::Measurement, ends).await?;
    sqlx::query_scalar!(
        r#"
        with asked as (
            select * from unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) with ordinality as a (name, starts, ends, place)
        ), made as (
            insert into trueup.measured_window (job_id, job, window_name, window_start, window_end)
            select $1, (select j.name from trueup.job j where j.id = $1), name, starts, ends from asked
            on conflict (job, window_name, window_end) do update set window_start = excluded.window_start
            returning id, window_name, window_end
        )
        select made.id as "id!" from asked join made on made.window_name = asked.name and made.window_end = asked.ends
        order by asked.place
        "#,
        job_id,
        names,
        starts,
        ends
    )
    .fetch_all(connection)
    .await
}

/// Marks windows as final. A final window keeps the time when it first became final.
pub async fn finalize(connection: &mut PgConnection, windows: &[i64], as_of: DateTime<Utc>) -> sqlx::Result<()> {
    if windows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update trueup.measured_window set finalized_at = $2 where id = any($1) and finalized_at is null",
        windows,
        as_of
    )
    .execute(connection)
    .await
    .map(drop)
}
