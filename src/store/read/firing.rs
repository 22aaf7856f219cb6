//! The windows around a firing, as they were known then or are known now, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Alerts whose windows are read: parallel lists.
#[derive(Debug, Clone, Default)]
pub struct Firings {
    pub rules: Vec<String>,
    pub cohorts: Vec<String>,
    pub versions: Vec<Option<String>>,
    /// Ends of the first window of each breach.
    pub since: Vec<DateTime<Utc>>,
    /// Ends of the windows whose verdicts made them fire.
    pub until: Vec<DateTime<Utc>>,
}

/// The newest verdict on a window that made an alert fire.
#[derive(Debug, Clone)]
pub struct NewestVerdictRow {
    /// Index of the alert in the request, from 1.
    pub place: i64,
    pub window_end: DateTime<Utc>,
    pub verdict: String,
    pub value: Option<f64>,
    pub labeled: Option<i64>,
    pub coverage: Option<f64>,
    pub reason: String,
    pub retroactive: bool,
    pub is_final: bool,
}

/// Returns the newest verdict on each window from the first in breach to the one that made the alert fire, in order of time.
pub async fn newest_verdicts(
    connection: &mut PgConnection,
    job: &str,
    of: &Firings,
) -> sqlx::Result<Vec<NewestVerdictRow>> {
    sqlx::query_as!(
        NewestVerdictRow,
        r#"
        select a.place as "place!", v.window_end as "window_end!", v.verdict as "verdict!", v.value, v.labeled, v.coverage,
               v.reason as "reason!", v.retroactive as "retroactive!",
               exists (
                   select from trueup.window_history w
                   where w.job = $1 and w.window_name = v.window_name and w.window_end = v.window_end and w.cohort = a.cohort
                     and coalesce(w.model_version, '') = coalesce(a.model_version, '')
                     and (w.model_version is null) = (a.model_version is null) and w.status = 'final'
               ) as "is_final!"
        from unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) with ordinality
            as a (rule, cohort, model_version, since, until, place)
        cross join lateral (
            select distinct on (h.window_end) h.window_name, h.window_end, h.verdict, h.value, h.labeled, h.coverage, h.reason, h.retroactive
            from trueup.verdict_history h
            where h.job = $1 and h.rule = a.rule and h.cohort = a.cohort
              and coalesce(h.model_version, '') = coalesce(a.model_version, '') and (h.model_version is null) = (a.model_version is null)
              and h.window_end >= a.since and h.window_end <= a.until
            order by h.window_end, h.evaluated_at desc
        ) as v
        order by a.place, v.window_end
        "#,
        job,
        &of.rules,
        &of.cohorts,
        &of.versions as &[Option<String>],
        &of.since,
        &of.until
    )
    .fetch_all(connection)
    .await
}

/// A window, as it was known at a time.
#[derive(Debug, Clone)]
pub struct Moment {
    pub job: String,
    pub window: String,
    pub end: DateTime<Utc>,
    /// `None`: what is known now.
    pub as_of: Option<DateTime<Utc>>,
}

/// Squared error of a cohort in a window.
#[derive(Debug, Clone)]
pub struct ShareRow {
    /// The window, counted back: 0 is the one in question.
    pub age: i64,
    pub cohort: String,
    /// Names of the cohort's dimensions.
    pub dimension: String,
    pub squared_error: f64,
    pub labeled: i64,
}

/// Returns the squared errors of all cohorts in a window and in the `before` windows before it.
pub async fn shares(connection: &mut PgConnection, of: &Moment, before: i64) -> sqlx::Result<Vec<ShareRow>> {
    sqlx::query_as!(
        ShareRow,
        r#"
        with ends as (
            select e.window_end, row_number() over (order by e.window_end desc) - 1 as age
            from (
                select window_end from trueup.window_history
                where job = $1 and window_name = $2 and window_end <= $3 and cohort = 'all' and model_version is null
                order by window_end desc limit $5::bigint + 1
            ) as e
        )
        select ends.age as "age!", w.cohort as "cohort!",
               array_to_string(array(select jsonb_object_keys(w.cohort_values)), ', ') as "dimension!",
               coalesce(w.mse, w.rmse * w.rmse) * w.labeled as "squared_error!", w.labeled as "labeled!"
        from ends
        join trueup.window_revisions w on w.job = $1 and w.window_name = $2 and w.window_end = ends.window_end
        where w.cohort <> 'all' and w.model_version is null and not w.removed and coalesce(w.mse, w.rmse) is not null
          and w.as_of <= coalesce($4, 'infinity'::timestamptz)
          and (w.superseded_as_of is null or w.superseded_as_of > coalesce($4, 'infinity'::timestamptz))
        order by ends.age, w.cohort
        limit 20000
        "#,
        of.job,
        of.window,
        of.end,
        of.as_of,
        before
    )
    .fetch_all(connection)
    .await
}

/// A metric of a cohort in a window.
#[derive(Debug, Clone)]
pub struct MetricRow {
    /// The window, counted back: 0 is the one in question.
    pub age: i64,
    pub metric: String,
    pub value: f64,
}

/// Returns all metrics of a cohort and version in a window and in the `before` windows before it.
pub async fn metrics(
    connection: &mut PgConnection,
    of: &Moment,
    (cohort, version): (&str, Option<&str>),
    before: i64,
) -> sqlx::Result<Vec<MetricRow>> {
    sqlx::query_as!(
        MetricRow,
        r#"
        with ends as (
            select e.window_end, row_number() over (order by e.window_end desc) - 1 as age
            from (
                select window_end from trueup.window_history
                where job = $1 and window_name = $2 and window_end <= $3 and cohort = 'all' and model_version is null
                order by window_end desc limit $5::bigint + 1
            ) as e
        )
        select ends.age as "age!", m.metric as "metric!", m.value as "value!"
        from ends
        join trueup.metric_revisions m on m.job = $1 and m.window_name = $2 and m.window_end = ends.window_end
        where m.cohort = $6 and coalesce(m.model_version, '') = coalesce($7, '') and (m.model_version is null) = ($7::text is null)
          and not m.removed and m.value is not null and m.as_of <= coalesce($4, 'infinity'::timestamptz)
          and (m.superseded_as_of is null or m.superseded_as_of > coalesce($4, 'infinity'::timestamptz))
        order by m.metric, ends.age
        "#,
        of.job,
        of.window,
        of.end,
        of.as_of,
        before,
        cohort,
        version
    )
    .fetch_all(connection)
    .await
}

/// A metric of one version in a window.
#[derive(Debug, Clone)]
pub struct VersionRow {
    pub model_version: String,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
}

/// Returns a metric of all versions of a cohort in a window, the one with the most predictions first.
pub async fn versions(
    connection: &mut PgConnection,
    of: &Moment,
    (cohort, metric): (&str, &str),
    most: i64,
) -> sqlx::Result<Vec<VersionRow>> {
    sqlx::query_as!(
        VersionRow,
        r#"
        select model_version as "model_version!", value, ci_low, ci_high, labeled as "labeled!", predictions as "predictions!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and window_end = $3 and cohort = $5 and metric = $6 and model_version is not null
          and not removed and as_of <= coalesce($4, 'infinity'::timestamptz)
          and (superseded_as_of is null or superseded_as_of > coalesce($4, 'infinity'::timestamptz))
        order by predictions desc, model_version
        limit $7
        "#,
        of.job,
        of.window,
        of.end,
        of.as_of,
        cohort,
        metric,
        most
    )
    .fetch_all(connection)
    .await
}
