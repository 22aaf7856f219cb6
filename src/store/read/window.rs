//! One window: all its metrics, then and now, and its parts, over the public views.

use chrono::{DateTime, Utc};
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
