//! Runs of jobs, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Selects runs. A page continues after the last run of the one before.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub job: Option<String>,
    /// `due`, `running`, `ok`, `failed` or `skipped`.
    pub state: Option<String>,
    /// `schedule`, `catch_up`, `manual`, `reconcile` or `backfill`.
    pub trigger: Option<String>,
    /// Runs that were due at or after this, and before `to`.
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    /// Runs before this one: when it was due, and its id.
    pub before: Option<(DateTime<Utc>, i64)>,
    pub limit: i64,
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub run_id: i64,
    pub job: String,
    pub scheduled_for: DateTime<Utc>,
    pub trigger: String,
    pub state: String,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub as_of: Option<DateTime<Utc>>,
    pub plan_id: Option<i64>,
    pub attempt: i32,
    pub rows_read: Option<i64>,
    pub buckets_recomputed: Option<i64>,
    pub buckets_repaired: Option<i64>,
    pub windows_written: Option<i64>,
    pub rows_beyond_horizon: Option<i64>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Why it was skipped.
    pub reason: Option<String>,
}

impl RunRow {
    /// Why it failed, or was skipped.
    pub fn why(&self) -> Option<&str> {
        self.failure.as_deref().or(self.reason.as_deref())
    }
}

/// Returns runs, newest first.
pub async fn list(connection: &mut PgConnection, filter: &RunFilter) -> sqlx::Result<Vec<RunRow>> {
    let (at, id) = filter.before.unzip();
    sqlx::query_as!(
        RunRow,
        r#"
        select run_id as "run_id!", job as "job!", scheduled_for as "scheduled_for!", trigger as "trigger!", state as "state!",
               started_at, finished_at, as_of, plan_id, attempt as "attempt!", rows_read, buckets_recomputed, buckets_repaired,
               windows_written, rows_beyond_horizon, failure, reason
        from trueup.run_history
        where ($1::text is null or job = $1) and ($2::text is null or state = $2) and ($3::text is null or trigger = $3)
          and scheduled_for >= coalesce($4, '-infinity'::timestamptz) and scheduled_for < coalesce($5, 'infinity'::timestamptz)
          and ($6::timestamptz is null or (scheduled_for, run_id) < ($6, $7))
        order by scheduled_for desc, run_id desc
        limit $8
        "#,
        filter.job,
        filter.state,
        filter.trigger,
        filter.from,
        filter.to,
        at,
        id,
        filter.limit
    )
    .fetch_all(connection)
    .await
}

/// Returns runs with numbers below `before`, the largest number first. The place in the filter does not count.
pub async fn numbered(
    connection: &mut PgConnection,
    filter: &RunFilter,
    before: Option<i64>,
) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select run_id as "run_id!", job as "job!", scheduled_for as "scheduled_for!", trigger as "trigger!", state as "state!",
               started_at, finished_at, as_of, plan_id, attempt as "attempt!", rows_read, buckets_recomputed, buckets_repaired,
               windows_written, rows_beyond_horizon, failure, reason
        from trueup.run_history
        where ($1::text is null or job = $1) and ($2::text is null or state = $2) and ($3::text is null or trigger = $3)
          and ($4::timestamptz is null or scheduled_for >= $4) and ($5::timestamptz is null or scheduled_for < $5)
          and ($6::bigint is null or run_id < $6)
        order by run_id desc
        limit $7
        "#,
        filter.job,
        filter.state,
        filter.trigger,
        filter.from,
        filter.to,
        before,
        filter.limit
    )
    .fetch_all(connection)
    .await
}

/// Returns the newest runs of each job, oldest first within a job.
pub async fn recent(
    connection: &mut PgConnection,
    jobs: &[String],
    before: Option<DateTime<Utc>>,
    most: i64,
) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select r.run_id as "run_id!", r.job as "job!", r.scheduled_for as "scheduled_for!", r.trigger as "trigger!",
               r.state as "state!", r.started_at, r.finished_at, r.as_of, r.plan_id, r.attempt as "attempt!", r.rows_read,
               r.buckets_recomputed, r.buckets_repaired, r.windows_written, r.rows_beyond_horizon,
               r.failure, r.reason
        from unnest($1::text[]) with ordinality as s (job, place)
        cross join lateral (
            select h.* from trueup.run_history h
            where h.job = s.job and h.scheduled_for < coalesce($2, 'infinity'::timestamptz)
            order by h.scheduled_for desc, h.run_id desc limit $3
        ) as r
        order by s.place, r.scheduled_for, r.run_id
        "#,
        jobs,
        before,
        most
    )
    .fetch_all(connection)
    .await
}

/// Returns one run.
pub async fn one(connection: &mut PgConnection, run_id: i64) -> sqlx::Result<Option<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select run_id as "run_id!", job as "job!", scheduled_for as "scheduled_for!", trigger as "trigger!", state as "state!",
               started_at, finished_at, as_of, plan_id, attempt as "attempt!", rows_read, buckets_recomputed, buckets_repaired,
               windows_written, rows_beyond_horizon, failure, reason
        from trueup.run_history
        where run_id = $1
        "#,
        run_id
    )
    .fetch_optional(connection)
    .await
}

/// The runs of a job before and after one.
#[derive(Debug, Clone, Default)]
pub struct Neighbors {
    pub before: Option<i64>,
    pub after: Option<i64>,
}

/// Returns the neighbors of a run.
pub async fn neighbors(connection: &mut PgConnection, of: &RunRow) -> sqlx::Result<Neighbors> {
    sqlx::query_as!(
        Neighbors,
        r#"
        select (select run_id from trueup.run_history where job = $1 and (scheduled_for, run_id) < ($2, $3)
                order by scheduled_for desc, run_id desc limit 1) as before,
               (select run_id from trueup.run_history where job = $1 and (scheduled_for, run_id) > ($2, $3)
                order by scheduled_for, run_id limit 1) as after
        "#,
        of.job,
        of.scheduled_for,
        of.run_id
    )
    .fetch_one(connection)
    .await
}

/// A change of an alert that a run made.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    pub alert_id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub from_state: String,
    pub to_state: String,
    pub reason: String,
}

/// Returns what a run changed, from its start on.
pub async fn changes(connection: &mut PgConnection, of: &RunRow, most: i64) -> sqlx::Result<Vec<ChangeRow>> {
    sqlx::query_as!(
        ChangeRow,
        r#"
        select alert_id as "alert_id!", rule as "rule!", severity as "severity!", cohort as "cohort!", model_version,
               from_state as "from_state!", to_state as "to_state!", reason as "reason!"
        from trueup.alert_history
        where job = $1 and run_id = $2
        order by changed_at, alert_id
        limit $3
        "#,
        of.job,
        of.run_id,
        most
    )
    .fetch_all(connection)
    .await
}

/// A notification that a run changed last.
#[derive(Debug, Clone)]
pub struct NoticeRow {
    pub notification_id: uuid::Uuid,
    pub receiver: String,
    pub kind: String,
    pub state: String,
}

/// Returns the notifications that a run changed last.
pub async fn notices(connection: &mut PgConnection, of: &RunRow, most: i64) -> sqlx::Result<Vec<NoticeRow>> {
    sqlx::query_as!(
        NoticeRow,
        r#"
        select notification_id as "notification_id!", receiver as "receiver!", kind as "kind!", state as "state!"
        from trueup.notification_state
        where job = $1 and run_id = $2
        order by sequence
        limit $3
        "#,
        of.job,
        of.run_id,
        most
    )
    .fetch_all(connection)
    .await
}

/// A process that ran jobs lately.
#[derive(Debug, Clone)]
pub struct RunnerRow {
    pub runner: String,
    pub runs: i64,
    pub last_start: DateTime<Utc>,
}

/// Returns the processes that ran jobs in the last seven days, newest first.
pub async fn runners(connection: &mut PgConnection) -> sqlx::Result<Vec<RunnerRow>> {
    sqlx::query_as!(
        RunnerRow,
        r#"
        select runner as "runner!", count(*) as "runs!", max(started_at) as "last_start!"
        from trueup.run_history
        where started_at > clock_timestamp() - interval '7 days' and runner is not null
        group by runner
        order by 3 desc
        limit 100
        "#
    )
    .fetch_all(connection)
    .await
}
