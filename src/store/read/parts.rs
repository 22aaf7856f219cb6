//! The cohorts and versions of one window, over the public views.

use sqlx::PgConnection;

use super::window::WindowKey;

/// A part of a window: a cohort of all versions, or a version of everything.
#[derive(Debug, Clone)]
pub struct PartRow {
    pub cohort: String,
    pub model_version: Option<String>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    /// Share of the squared error of the whole window; of everything, that is 1. Null where the job measures neither mse nor rmse.
    pub squared_share: Option<f64>,
}

/// Returns the parts of a window: everything, then cohorts and versions, the largest share of squared error first.
pub async fn parts(
    connection: &mut PgConnection,
    key: &WindowKey,
    metric: &str,
    most: i64,
) -> sqlx::Result<Vec<PartRow>> {
    sqlx::query_as!(
        PartRow,
        r#"
        with counted as (
            select r.cohort, r.model_version, r.metric, r.value, r.ci_low, r.ci_high, r.labeled, r.predictions
            from trueup.metric_revisions r
            where r.job = $1 and r.window_name = $2 and r.window_end = $3 and r.metric in ($4, 'mse', 'rmse')
              and r.as_of <= coalesce($5, 'infinity'::timestamptz)
              and (r.superseded_as_of is null or r.superseded_as_of > coalesce($5, 'infinity'::timestamptz)) and not r.removed
              and (r.model_version is null or r.cohort = 'all')
        ), part as (
            select cohort, model_version, max(value) filter (where metric = $4) as value, max(ci_low) filter (where metric = $4) as ci_low,
                   max(ci_high) filter (where metric = $4) as ci_high, max(labeled) as labeled, max(predictions) as predictions,
                   max(labeled) * coalesce(max(value) filter (where metric = 'mse'),
                                           power(max(value) filter (where metric = 'rmse'), 2)) as squared
            from counted
            group by cohort, model_version
        )
        select p.cohort as "cohort!", p.model_version, p.value, p.ci_low, p.ci_high, p.labeled as "labeled!", p.predictions as "predictions!",
               p.squared / nullif(whole.squared, 0) as squared_share
        from part p
        left join part whole on whole.cohort = 'all' and whole.model_version is null
        order by p.cohort <> 'all' or p.model_version is not null, p.model_version is not null, squared_share desc nulls last, p.labeled desc,
                 p.cohort, p.model_version
        limit $6
        "#,
        key.job,
        key.window,
        key.end,
        metric,
        key.as_of,
        most
    )
    .fetch_all(connection)
    .await
}
