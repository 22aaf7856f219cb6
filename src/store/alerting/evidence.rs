//! Evidence that is frozen with an incident: the numbers around the moment an alert fired.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::baseline::Targets;

/// One window of a series.
#[derive(Debug, Clone)]
pub struct PointRow {
    /// Index of the target in the request, from 1.
    pub target: i64,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub coverage: Option<f64>,
    pub label_latency_p50: Option<f64>,
}

/// Returns a metric of targets in the last `most` windows of this name that ended by `until`, oldest first.
pub async fn series(
    connection: &mut PgConnection,
    job_id: i64,
    (window, metric): (&str, &str),
    targets: Targets<'_>,
    until: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<Vec<PointRow>> {
    sqlx::query_as!(
        PointRow,
        r#"
        select t.place as "target!", w.window_end,
               case $3::text when 'predictions' then m.predictions
                             when 'labeled' then m.labeled
                             when 'duplicates' then coalesce(m.duplicates, 0)
                             when 'ambiguous' then coalesce(m.ambiguous, 0)
                             when 'coverage' then m.labeled::float8 / nullif(m.predictions, 0)
                             when 'received' then (m.labeled + coalesce(m.excluded, 0))::float8 / nullif(m.predictions, 0)
                             else m.numbers[(s.places -> $3::text -> 0)::int] end as value,
               m.numbers[(s.places -> $3::text -> 1)::int] as ci_low, m.numbers[(s.places -> $3::text -> 2)::int] as ci_high,
               m.labeled, m.labeled::float8 / nullif(m.predictions, 0) as coverage,
               m.numbers[(s.places -> 'label_latency_p50' -> 0)::int] as label_latency_p50
        from (
            select window_end from trueup.measured_window
            where job = (select j.name from trueup.job j where j.id = $1) and window_name = $2 and window_end <= $4
            order by window_end desc
            limit $5
        ) as w
        cross join unnest($6::text[], $7::text[]) with ordinality as t (cohort, model_version, place)
        join trueup.series known
            on known.job = (select j.name from trueup.job j where j.id = $1) and known.window_name = $2 and known.cohort = t.cohort
           and coalesce(known.model_version, '') = coalesce(t.model_version, '') and (known.model_version is null) = (t.model_version is null)
        join trueup.measurement m
            on m.series_id = known.id and m.window_end = w.window_end and m.window_end <= $4
           and not m.removed and m.superseded_as_of is null
        join trueup.metric_set s on s.id = m.metric_set_id
        order by t.place, w.window_end
        "#,
        job_id,
        window,
        metric,
        until,
        most,
        targets.cohorts,
        targets.versions as &[Option<String>]
    )
    .fetch_all(connection)
    .await
}

/// One cohort or version of a window.
#[derive(Debug, Clone)]
pub struct PartRow {
    pub cohort: String,
    pub model_version: Option<String>,
    pub value: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
}

/// Returns cohorts and versions of one window: cohort `all` first, then those with the largest squared error.
pub async fn parts(
    connection: &mut PgConnection,
    job_id: i64,
    (window, metric): (&str, &str),
    window_end: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<Vec<PartRow>> {
    sqlx::query_as!(
        PartRow,
        r#"
        select t.cohort, t.model_version,
               case $3::text when 'predictions' then m.predictions
                             when 'labeled' then m.labeled
                             when 'duplicates' then coalesce(m.duplicates, 0)
                             when 'ambiguous' then coalesce(m.ambiguous, 0)
                             when 'coverage' then m.labeled::float8 / nullif(m.predictions, 0)
                             when 'received' then (m.labeled + coalesce(m.excluded, 0))::float8 / nullif(m.predictions, 0)
                             else m.numbers[(s.places -> $3::text -> 0)::int] end as value,
               m.labeled, m.predictions
        from trueup.measurement m
        join trueup.series t on t.id = m.series_id
        join trueup.metric_set s on s.id = m.metric_set_id
        where m.job = (select j.name from trueup.job j where j.id = $1) and t.window_name = $2 and m.window_end = $4
          and not m.removed and m.superseded_as_of is null
        order by t.cohort <> 'all',
                 coalesce(m.numbers[(s.places -> 'mse' -> 0)::int], m.numbers[(s.places -> 'rmse' -> 0)::int] ^ 2) * m.labeled desc nulls last,
                 t.cohort, t.model_version nulls first
        limit $5
        "#,
        job_id,
        window,
        metric,
        window_end,
        most
    )
    .fetch_all(connection)
    .await
}

/// A prediction with a large error.
#[derive(Debug, Clone)]
pub struct SampleRow {
    pub prediction_key: String,
    pub model_version: Option<String>,
    pub event_at: DateTime<Utc>,
    pub predicted: Option<f64>,
    pub actual: Option<f64>,
    pub label_at: Option<DateTime<Utc>>,
}

/// Returns the largest errors of a time range, as far as its residuals are kept.
pub async fn worst_residuals(
    connection: &mut PgConnection,
    plan_id: i64,
    (start, end): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<SampleRow>> {
    sqlx::query_as!(
        SampleRow,
        r#"
        select key as prediction_key, nullif(model_version, '') as model_version, event_at, predicted, actual, label_at
        from trueup.residual
        where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and class = 0
        order by abs(predicted - actual) desc, key
        limit $4
        "#,
        plan_id,
        start,
        end,
        most
    )
    .fetch_all(connection)
    .await
}
