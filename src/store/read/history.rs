//! Queries behind `history`, `status` and `alerts`, partly over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A filter for [`metrics()`].
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    pub job: String,
    pub metric: Option<String>,
    pub window: Option<String>,
    pub cohort: Option<String>,
    /// Show values as known at this time.
    pub as_of: Option<DateTime<Utc>>,
    pub limit: i64,
}

/// One metric of one measurement.
#[derive(Debug, Clone)]
pub struct MetricRow {
    pub window_name: String,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub cohort: String,
    pub model_version: Option<String>,
    pub metric: String,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub coverage: Option<f64>,
    pub status: String,
    pub revision: i32,
}

/// Returns the newest measurements that match, oldest first.
pub async fn metrics(connection: &mut PgConnection, filter: &HistoryFilter) -> sqlx::Result<Vec<MetricRow>> {
    let mut rows = sqlx::query_as!(
        MetricRow,
        r#"
        select window_name as "window_name!", window_start as "window_start!", window_end as "window_end!",
               cohort as "cohort!", model_version, metric as "metric!", value, ci_low, ci_high, labeled as "labeled!",
               coverage, status as "status!", revision as "revision!"
        -- As of the end of time is as of now.
        from trueup.metric_history_as_of(coalesce($6, 'infinity'::timestamptz))
        where job = $1 and ($2::text is null or metric = $2) and ($3::text is null or window_name = $3)
          and ($4::text is null or cohort = $4)
        order by window_end desc, window_name, cohort, model_version nulls first, metric
        limit $5
        "#,
        filter.job,
        filter.metric,
        filter.window,
        filter.cohort,
        filter.limit,
        filter.as_of
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// Status of a job.
#[derive(Debug, Clone)]
pub struct JobStatus {
    pub job: String,
    pub last_state: Option<String>,
    pub last_scheduled_for: Option<DateTime<Utc>>,
    pub last_failure: Option<String>,
    pub last_ok_as_of: Option<DateTime<Utc>>,
    pub next_due_at: Option<DateTime<Utc>>,
    pub missed: i64,
    pub unfinished: i64,
    pub firing: i64,
    pub undelivered: i64,
}

/// Returns the status of every job in the ledger, by name.
pub async fn status(connection: &mut PgConnection) -> sqlx::Result<Vec<JobStatus>> {
    sqlx::query_as!(
        JobStatus,
        r#"
        select j.name as job, last.state as "last_state?", last.scheduled_for as "last_scheduled_for?", last.failure as last_failure,
               j.published_as_of as last_ok_as_of, j.next_due_at,
               (select count(*) from trueup.run r where r.job_id = j.id and r.state = 'skipped'
                    and r.created_at > clock_timestamp() - interval '7 days') as "missed!",
               (select count(*) from trueup.run r where r.job_id = j.id and r.state in ('due', 'running')) as "unfinished!",
               (select count(*) from trueup.alert a where a.job_id = j.id and a.state = 'firing') as "firing!",
               (select count(*) from trueup.notification n where n.job_id = j.id and n.state = 'pending') as "undelivered!"
        from trueup.job j
        left join lateral (
            select r.state, r.scheduled_for, r.failure from trueup.run r
            where r.job_id = j.id and r.state in ('ok', 'failed')
            order by r.finished_at desc limit 1
        ) as last on true
        order by j.name
        "#
    )
    .fetch_all(connection)
    .await
}

/// Current state of one alert.
#[derive(Debug, Clone)]
pub struct AlertStatus {
    pub id: i64,
    pub job: String,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub changed_at: DateTime<Utc>,
    pub dispatched: bool,
    /// Receivers whose message about it is not delivered yet.
    pub waiting: Vec<String>,
    pub suppressed_by: Option<String>,
    pub acked_by: Option<String>,
    pub incident_id: Option<i64>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
}

/// Returns alerts, open ones first. With `all`, also those that are not open.
pub async fn alerts(connection: &mut PgConnection, job: Option<&str>, all: bool) -> sqlx::Result<Vec<AlertStatus>> {
    sqlx::query_as!(
        AlertStatus,
        r#"
        select a.id, j.name as job, a.rule, a.severity, a.cohort, a.model_version, a.state, a.since, a.changed_at,
               a.dispatched, a.suppressed_by, a.acked_by, a.incident_id,
               array(
                   select t.receiver from trueup.notification_log t
                   where t.alert_id = a.id and exists (
                       select from trueup.notification n where n.id = t.notification_id and n.state in ('pending', 'dead')
                   )
                   order by t.receiver
               ) as "waiting!",
               last.value, last.limit_value
        from trueup.alert a
        join trueup.job j on j.id = a.job_id
        left join lateral (
            select t.value, t.limit_value from trueup.alert_transition t where t.alert_id = a.id order by t.id desc limit 1
        ) as last on true
        where ($1::text is null or j.name = $1) and ($2 or a.state in ('pending', 'firing'))
        order by array_position(array['firing', 'pending', 'resolved', 'inactive'], a.state), a.since, j.name, a.rule, a.cohort
        "#,
        job,
        all
    )
    .fetch_all(connection)
    .await
}

/// Predictions that are left out because of contradictory data.
#[derive(Debug, Clone)]
pub struct Contradiction {
    /// `duplicate prediction` or `ambiguous label`.
    pub outcome: String,
    pub predictions: i64,
    /// A few of their keys.
    pub examples: Vec<String>,
}

/// Returns contradictions among the residuals of a job's current plan.
pub async fn contradictions(connection: &mut PgConnection, job: &str) -> sqlx::Result<Vec<Contradiction>> {
    sqlx::query_as!(
        Contradiction,
        r#"
        select r.outcome as "outcome!", sum(r.copies) as "predictions!", (array_agg(r.prediction_key order by r.prediction_key))[1:3] as "examples!"
        from trueup.residual_history r
        where r.plan_id = (select published_plan_id from trueup.job where name = $1)
          and r.outcome in ('duplicate prediction', 'ambiguous label')
        group by r.outcome
        order by r.outcome
        "#,
        job
    )
    .fetch_all(connection)
    .await
}

/// Filters of the history of a job.
#[derive(Debug, Clone)]
pub struct Known {
    pub windows: Vec<String>,
    pub metrics: Vec<String>,
    pub cohorts: Vec<String>,
}

/// Maximum number of names listed per kind.
const MOST_NAMES: i64 = 50;

/// Returns names in the newest windows of a job, or `None` if there is no such job.
pub async fn known(connection: &mut PgConnection, job: &str) -> sqlx::Result<Option<Known>> {
    sqlx::query_as!(
        Known,
        r#"
        with newest as (
            select distinct on (w.window_name) w.window_name, w.window_end from trueup.measured_window w
            where w.job = $1 order by w.window_name, w.window_end desc
        ), measured as (
            select t.cohort, s.places
            from newest n
            join trueup.measurement m on m.job = $1 and m.window_end = n.window_end
            join trueup.series t on t.id = m.series_id and t.window_name = n.window_name
            join trueup.metric_set s on s.id = m.metric_set_id
        )
        select array(select window_name from newest order by 1) as "windows!",
               array(select distinct jsonb_object_keys(places) from measured order by 1) as "metrics!",
               array(select distinct cohort from measured order by 1 limit $2) as "cohorts!"
        from trueup.job j where j.name = $1
        "#,
        job,
        MOST_NAMES
    )
    .fetch_optional(connection)
    .await
}

/// A run, as shown to users.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub job: String,
    pub scheduled_for: DateTime<Utc>,
    pub state: String,
    pub seconds: Option<f64>,
    pub rows_read: Option<i64>,
    pub windows_written: Option<i64>,
    /// Why it failed or was skipped, or its trigger if it was not scheduled.
    pub why: Option<String>,
}

/// Returns the newest runs, newest first.
pub async fn runs(connection: &mut PgConnection, job: Option<&str>, limit: i64) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select job as "job!", scheduled_for as "scheduled_for!", state as "state!",
               extract(epoch from finished_at - started_at)::float8 as seconds, rows_read, windows_written,
               coalesce(failure, reason, case when trigger <> 'schedule' then trigger end) as why
        from trueup.run_history
        where $1::text is null or job = $1
        order by scheduled_for desc, run_id desc
        limit $2
        "#,
        job,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Returns the last values of a job's rmse, oldest first, over all cohorts and versions, for the window name that ended last.
pub async fn recent_errors(connection: &mut PgConnection, job: &str, most: i64) -> sqlx::Result<Vec<Option<f64>>> {
    let mut values = sqlx::query_scalar!(
        r#"
        select coalesce(h.rmse, sqrt(h.mse)) as value
        from trueup.window_history h
        where h.job = $1 and h.window_name = (
            select window_name from trueup.measured_window where job = $1 order by window_end desc, window_name limit 1
          )
          and h.cohort = 'all' and h.model_version is null
        order by h.window_end desc
        limit $2
        "#,
        job,
        most
    )
    .fetch_all(connection)
    .await?;
    values.reverse();
    Ok(values)
}
