//! One window: all its metrics, then and now, and its parts, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// A metric of a window: as first reported, and as it counts.
#[derive(Debug, Clone)]
pub struct MetricRow {
    pub metric: String,
    pub first_value: Option<f64>,
    pub first_ci_low: Option<f64>,
    pub first_ci_high: Option<f64>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub first_labeled: i64,
    pub labeled: i64,
    pub predictions: i64,
    pub revision: i32,
    pub status: String,
    pub computed_at: DateTime<Utc>,
}

/// One window of a kind, cohort and version.
#[derive(Debug, Clone)]
pub struct WindowKey {
    pub job: String,
    pub window: String,
    pub end: DateTime<Utc>,
    pub cohort: String,
    /// `None`: all versions together.
    pub version: Option<String>,
    /// Show what was known at this time. `None`: what is known now.
    pub as_of: Option<DateTime<Utc>>,
}

/// Returns all metrics of a window by name.
pub async fn metrics(connection: &mut PgConnection, key: &WindowKey) -> sqlx::Result<Vec<MetricRow>> {
    sqlx::query_as!(
        MetricRow,
        r#"
        with mine as (
            select r.* from trueup.metric_revisions r
            where r.job = $1 and r.window_name = $2 and r.window_end = $3 and r.cohort = $4
              and coalesce(r.model_version, '') = coalesce($5, '') and (r.model_version is null) = ($5::text is null)
              and r.as_of <= coalesce($6, 'infinity'::timestamptz)
        )
        select n.metric as "metric!", f.value as first_value, f.ci_low as first_ci_low, f.ci_high as first_ci_high,
               n.value, n.ci_low, n.ci_high, coalesce(f.labeled, n.labeled) as "first_labeled!", n.labeled as "labeled!",
               n.predictions as "predictions!", n.revision as "revision!",
               case when n.finalized_at <= coalesce($6, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!",
               n.computed_at as "computed_at!"
        from mine n
        left join mine f on f.metric = n.metric and f.first_reported
        where not n.removed and (n.superseded_as_of is null or n.superseded_as_of > coalesce($6, 'infinity'::timestamptz))
        order by n.metric
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version,
        key.as_of
    )
    .fetch_all(connection)
    .await
}

/// A window without its metrics: counts, state and definition.
#[derive(Debug, Clone)]
pub struct FactsRow {
    pub start: DateTime<Utc>,
    /// The cohort as an object; empty for everything and for the rest beyond the top cohorts.
    pub cohort_values: Json,
    pub status: String,
    pub revision: i32,
    pub labeled: i64,
    pub predictions: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
    pub as_of: DateTime<Utc>,
    pub finalized_at: Option<DateTime<Utc>>,
    pub source_gone_at: Option<DateTime<Utc>>,
    pub plan_id: i64,
}

/// Returns the revision of a window that counts; `None` if it was not measured.
pub async fn facts(connection: &mut PgConnection, key: &WindowKey) -> sqlx::Result<Option<FactsRow>> {
    sqlx::query_as!(
        FactsRow,
        r#"
        select window_start as "start!", cohort_values as "cohort_values!",
               case when finalized_at <= coalesce($6, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!",
               revision as "revision!", labeled as "labeled!", predictions as "predictions!", excluded as "excluded!",
               coalesce(duplicates, 0) as "duplicates!", coalesce(ambiguous, 0) as "ambiguous!", as_of as "as_of!", finalized_at,
               source_gone_at, plan_id as "plan_id!"
        from trueup.window_revisions
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $4
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
          and as_of <= coalesce($6, 'infinity'::timestamptz)
          and (superseded_as_of is null or superseded_as_of > coalesce($6, 'infinity'::timestamptz)) and not removed
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version,
        key.as_of
    )
    .fetch_optional(connection)
    .await
}

/// The ends of the windows before and after one, of the same kind, cohort and version.
#[derive(Debug, Clone, Default)]
pub struct Neighbors {
    pub previous: Option<DateTime<Utc>>,
    pub next: Option<DateTime<Utc>>,
}

/// Returns the neighbors of a window.
pub async fn neighbors(connection: &mut PgConnection, key: &WindowKey) -> sqlx::Result<Neighbors> {
    sqlx::query_as!(
        Neighbors,
        r#"
        select (select window_end from trueup.window_history
                where job = $1 and window_name = $2 and cohort = $3 and window_end < $5
                  and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
                order by window_end desc limit 1) as previous,
               (select window_end from trueup.window_history
                where job = $1 and window_name = $2 and cohort = $3 and window_end > $5
                  and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
                order by window_end limit 1) as next
        "#,
        key.job,
        key.window,
        key.cohort,
        key.version,
        key.end
    )
    .fetch_one(connection)
    .await
}

/// A revision of one metric of a window.
#[derive(Debug, Clone)]
pub struct AgeRow {
    pub revision: i32,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    /// Seconds from the end of the window to the moment it was measured.
    pub age_seconds: f64,
    pub as_of: DateTime<Utc>,
    /// Null if the run is older than runs are kept.
    pub run_id: Option<i64>,
    pub removed: bool,
}

/// Returns the revisions of a metric in their order.
pub async fn revisions(connection: &mut PgConnection, key: &WindowKey, metric: &str) -> sqlx::Result<Vec<AgeRow>> {
    sqlx::query_as!(
        AgeRow,
        r#"
        select revision as "revision!", value, ci_low, ci_high, labeled as "labeled!", predictions as "predictions!",
               extract(epoch from label_age)::float8 as "age_seconds!", as_of as "as_of!", run_id, removed as "removed!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $4 and metric = $7
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
          and as_of <= coalesce($6, 'infinity'::timestamptz)
        order by revision
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version,
        key.as_of,
        metric
    )
    .fetch_all(connection)
    .await
}

/// A verdict about a window, with the run that gave it.
#[derive(Debug, Clone)]
pub struct JudgedRow {
    pub rule: String,
    pub severity: String,
    pub verdict: String,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub labeled: Option<i64>,
    pub reason: String,
    pub retroactive: bool,
    pub run_id: Option<i64>,
    pub evaluated_at: DateTime<Utc>,
}

/// Returns the verdicts about a window in the order in which they were given.
pub async fn verdicts(connection: &mut PgConnection, key: &WindowKey, most: i64) -> sqlx::Result<Vec<JudgedRow>> {
    sqlx::query_as!(
        JudgedRow,
        r#"
        select rule as "rule!", severity as "severity!", verdict as "verdict!", value, limit_value, labeled, reason as "reason!",
               retroactive as "retroactive!", run_id, evaluated_at as "evaluated_at!"
        from trueup.verdict_history
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $4
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
          and evaluated_at <= coalesce($6, 'infinity'::timestamptz)
        order by evaluated_at, rule
        limit $7
        "#,
        key.job,
        key.window,
        key.end,
        key.cohort,
        key.version,
        key.as_of,
        most
    )
    .fetch_all(connection)
    .await
}

/// A run that measured or judged a window.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub run_id: i64,
    pub trigger: String,
    pub state: String,
    pub scheduled_for: DateTime<Utc>,
    pub as_of: Option<DateTime<Utc>>,
    pub plan_id: Option<i64>,
    pub rows_read: Option<i64>,
}

/// Returns runs by number.
pub async fn runs(connection: &mut PgConnection, job: &str, numbers: &[i64]) -> sqlx::Result<Vec<RunRow>> {
    sqlx::query_as!(
        RunRow,
        r#"
        select run_id as "run_id!", trigger as "trigger!", state as "state!", scheduled_for as "scheduled_for!", as_of, plan_id, rows_read
        from trueup.run_history
        where job = $1 and run_id = any($2)
        order by run_id
        "#,
        job,
        numbers
    )
    .fetch_all(connection)
    .await
}
