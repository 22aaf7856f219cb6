//! Schedule health: late jobs, due slots that wait, and failed runs without an alert.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

/// Schedule health of a job.
#[derive(Debug, Clone)]
pub struct ScheduleHealth {
    pub job_id: i64,
    /// The newest run, in any state.
    pub run_id: i64,
    /// The newest published tick; before the first, the time when the job was registered.
    pub last_ok: DateTime<Utc>,
    /// True if the job has published.
    pub has_published: bool,
    /// Why the newest run failed, if it did.
    pub failure: Option<String>,
    /// The database clock.
    pub now: DateTime<Utc>,
}

/// Returns the schedule health of a job, or `None` before its first run was due.
pub async fn of_job(connection: &mut PgConnection, job: &str) -> sqlx::Result<Option<ScheduleHealth>> {
    sqlx::query_as!(
        ScheduleHealth,
        r#"
        select j.id as job_id, newest.id as run_id, clock_timestamp() as "now!",
               coalesce(j.published_as_of, j.registered_at) as "last_ok!", j.published_as_of is not null as "has_published!",
               case when newest.state = 'failed' then coalesce(newest.failure, '') end as failure
        from trueup.job j
        cross join lateral (
            select r.id, r.state, r.failure from trueup.run r where r.job_id = j.id order by r.scheduled_for desc limit 1
        ) as newest
        where j.name = $1
        "#,
        job
    )
    .fetch_optional(connection)
    .await
}

/// Returns how long the oldest slot of these jobs has waited for a runner, or `None` if nothing waits.
pub async fn oldest_due(connection: &mut PgConnection, jobs: &[String]) -> sqlx::Result<Option<TimeDelta>> {
    let seconds = sqlx::query_scalar!(
        r#"
        select extract(epoch from clock_timestamp() - min(due))::float8
        from (
            select next_due_at as due from trueup.job where name = any($1)
            union all
            select r.created_at from trueup.run r join trueup.job j on j.id = r.job_id where r.state = 'due' and j.name = any($1)
        ) as waiting
        "#,
        jobs
    )
    .fetch_one(connection)
    .await?;
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of an age")]
    Ok(seconds.map(|seconds| TimeDelta::milliseconds((seconds * 1_000.0) as i64)))
}

/// A scheduled run that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    pub run_id: i64,
    pub scheduled_for: DateTime<Utc>,
    pub failure: String,
}

/// Returns the newest scheduled run of a job, if it failed at least ten seconds ago and no alert of this rule covers it.
pub async fn unreported_failure(
    connection: &mut PgConnection,
    job_id: i64,
    rule: &str,
) -> sqlx::Result<Option<Failure>> {
    sqlx::query_as!(
        Failure,
        r#"
        select r.id as run_id, r.scheduled_for, coalesce(r.failure, '') as "failure!"
        from (
            select * from trueup.run
            where job_id = $1 and state in ('ok', 'failed') and trigger in ('schedule', 'catch_up')
            order by scheduled_for desc, id desc
            limit 1
        ) as r
        where r.state = 'failed' and r.finished_at < clock_timestamp() - interval '10 seconds'
          and not exists (
              select from trueup.alert a
              left join trueup.alert_transition t on t.alert_id = a.id and t.run_id = r.id
              where a.job_id = $1 and a.rule = $2 and (a.state = 'firing' or t.id is not null)
          )
        "#,
        job_id,
        rule
    )
    .fetch_optional(connection)
    .await
}
