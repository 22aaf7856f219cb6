//! All jobs as they are now, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// The moment of a page.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The database clock.
    pub now: DateTime<Utc>,
    pub open_incidents: i64,
}

/// Returns the moment that this transaction sees.
pub async fn moment(connection: &mut PgConnection) -> sqlx::Result<Moment> {
    sqlx::query_as!(
        Moment,
        r#"
        select clock_timestamp() as "now!",
               (select count(*) from trueup.incident_history where closed_at is null) as "open_incidents!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// Returns the dimensions whose values appear only in SQL, of all jobs.
pub async fn hidden(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select distinct d.name as "name!"
        from trueup.job_about j
        cross join lateral jsonb_array_elements_text(coalesce(j.about -> 'hidden', '[]')) as d (name)
        "#
    )
    .fetch_all(connection)
    .await
}

/// A job as it is now.
#[derive(Debug, Clone, Default)]
pub struct JobRow {
    pub job: String,
    /// `firing`, `late`, `unsure`, `pending` or `ok`.
    pub state: String,
    /// True if no run has published for two intervals; a job that fires may be late, too.
    pub is_late: bool,
    pub pages: i64,
    pub tickets: i64,
    pub infos: i64,
    pub pending: i64,
    pub unacknowledged: i64,
    pub firing_since: Option<DateTime<Utc>>,
    pub unsure_rule: Option<String>,
    pub unsure_reason: Option<String>,
    pub last_run_state: Option<String>,
    pub last_run_failure: Option<String>,
    pub published_as_of: Option<DateTime<Utc>>,
    pub next_due_at: Option<DateTime<Utc>>,
    /// Description, as its last publication wrote it.
    pub about: Json,
}

/// Returns all jobs, or one, by name.
pub async fn jobs(connection: &mut PgConnection, job: Option<&str>) -> sqlx::Result<Vec<JobRow>> {
    sqlx::query_as!(
        JobRow,
        r#"
        select job as "job!", state as "state!", is_late as "is_late!", pages as "pages!", tickets as "tickets!", infos as "infos!", pending as "pending!",
               unacknowledged as "unacknowledged!", firing_since, unsure_rule, unsure_reason, last_run_state as "last_run_state?",
               last_run_failure, published_as_of, next_due_at, about as "about!"
        from trueup.job_state
        where $1::text is null or job = $1
        order by job
        "#,
        job
    )
    .fetch_all(connection)
    .await
}

/// A metric of a job, as the overview shows it.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    pub jobs: Vec<String>,
    pub windows: Vec<String>,
    pub metrics: Vec<String>,
}

/// A value of an overview's series.
#[derive(Debug, Clone)]
pub struct RecentRow {
    pub job: String,
    pub window_name: String,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub coverage: Option<f64>,
    pub status: String,
}

/// Returns the newest values of one metric of each job over everything, oldest first within a job.
pub async fn recent(connection: &mut PgConnection, shown: &Shown, most: i64) -> sqlx::Result<Vec<RecentRow>> {
    sqlx::query_as!(
        RecentRow,
        r#"
        select s.job as "job!", s.window_name as "window_name!", m.window_end as "window_end!", m.value, m.ci_low, m.ci_high, m.labeled as "labeled!", m.coverage,
               m.status as "status!"
        from unnest($1::text[], $2::text[], $3::text[]) as s (job, window_name, metric)
        cross join lateral (
            select h.window_end, h.value, h.ci_low, h.ci_high, h.labeled, h.coverage, h.status
            from trueup.metric_history h
            where h.job = s.job and h.window_name = s.window_name and h.metric = s.metric and h.cohort = 'all'
              and h.model_version is null
            order by h.window_end desc
            limit $4
        ) as m
        order by s.job, s.window_name, m.window_end
        "#,
        &shown.jobs,
        &shown.windows,
        &shown.metrics,
        most
    )
    .fetch_all(connection)
    .await
}

/// The newest evaluation of an objective.
#[derive(Debug, Clone)]
pub struct BudgetRow {
    pub job: String,
    pub slo: String,
    pub objective: f64,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub good: i64,
    pub bad: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub burn: Json,
    /// Budget that was left about a day before.
    pub left_before: Option<f64>,
}

/// Returns the newest evaluation of each objective.
pub async fn budgets(connection: &mut PgConnection, jobs: &[String], slos: &[String]) -> sqlx::Result<Vec<BudgetRow>> {
    sqlx::query_as!(
        BudgetRow,
        r#"
        select s.job as "job!", s.slo as "slo!", e.objective as "objective!", e.period_start as "period_start!",
               e.period_end as "period_end!", e.good as "good!", e.bad as "bad!", e.total as "total!", e.budget_left, e.exhausted_at,
               e.burn as "burn!", before.budget_left as "left_before?"
        from unnest($1::text[], $2::text[]) as s (job, slo)
        cross join lateral (
            select h.* from trueup.slo_history h
            where h.job = s.job and h.slo = s.slo and h.kind = 'evaluation'
            order by h.period_end desc, h.evaluated_at desc limit 1
        ) as e
        left join lateral (
            select h.budget_left from trueup.slo_history h
            where h.job = s.job and h.slo = s.slo and h.kind = 'evaluation' and h.period_end <= e.period_end - interval '1 day'
            order by h.period_end desc, h.evaluated_at desc limit 1
        ) as before on true
        order by s.job, s.slo
        "#,
        jobs,
        slos
    )
    .fetch_all(connection)
    .await
}

/// An alert that fires.
#[derive(Debug, Clone)]
pub struct FiringRow {
    pub job: String,
    pub alert_id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub since: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub acked_by: Option<String>,
    pub incident_id: Option<i64>,
}

/// Returns the alerts that fire of a job, or of all jobs, severe ones first within a job.
pub async fn firing(connection: &mut PgConnection, job: Option<&str>, most: i64) -> sqlx::Result<Vec<FiringRow>> {
    sqlx::query_as!(
        FiringRow,
        r#"
        select job as "job!", alert_id as "alert_id!", rule as "rule!", severity as "severity!", cohort as "cohort!", model_version, since,
               value as "value?", limit_value as "limit_value?", acked_by, incident_id
        from trueup.alert_state
        where ($1::text is null or job = $1) and state = 'firing'
        order by job, array_position(array['page', 'ticket', 'info'], severity), since, rule, cohort, alert_id
        limit $2
        "#,
        job,
        most
    )
    .fetch_all(connection)
    .await
}
