//! Cohorts through time, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::series::Selector;

/// The end of a window in a range, and how many there are.
#[derive(Debug, Clone)]
pub struct EndRow {
    pub window_end: DateTime<Utc>,
    pub total: i64,
}

/// Returns ends of windows of a range, oldest first: all of them, or of more than `most` one of so many, the newest included.
pub async fn ends(connection: &mut PgConnection, of: &Selector, most: i64) -> sqlx::Result<Vec<EndRow>> {
    sqlx::query_as!(
        EndRow,
        r#"
        select window_end as "window_end!", total as "total!"
        from (
            select window_end, row_number() over (order by window_end desc) as place, count(*) over () as total
            from trueup.window_revisions
            where job = $1 and window_name = $2 and cohort = 'all' and model_version is null and window_end > $3 and window_end <= $4
              and revision = 1 and as_of <= coalesce($5, 'infinity'::timestamptz)
        ) as ended
        where (place - 1) % ((total + $6 - 1) / $6) = 0
        order by window_end
        "#,
        of.job,
        of.window,
        of.from,
        of.to,
        of.as_of,
        most
    )
    .fetch_all(connection)
    .await
}

/// A cohort over several windows.
#[derive(Debug, Clone)]
pub struct CohortRow {
    pub cohort: String,
    /// The rest beyond the top cohorts.
    pub is_other: bool,
    pub labeled: i64,
    /// Share of the squared error of everything. Null where the job measures neither mse nor rmse.
    pub squared_share: Option<f64>,
}

/// Returns everything, the rest and the cohorts of some dimensions, by their share of squared error over some windows. Everything
/// comes first, and the rest last.
///
/// `others` are the names of the rests to list. Without `by`, cohorts of all dimensions are listed.
pub async fn ranked(
    connection: &mut PgConnection,
    of: &Selector,
    ends: &[DateTime<Utc>],
    by: Option<&[String]>,
    most: i64,
) -> sqlx::Result<Vec<CohortRow>> {
    sqlx::query_as!(
        CohortRow,
        r#"
        with part as (
            select cohort, cohort <> 'all' and cohort_values = '{}' as is_other, sum(labeled)::bigint as labeled,
                   sum(labeled * coalesce(mse, rmse * rmse)) as squared
            from trueup.window_revisions
            where job = $1 and window_name = $2 and window_end = any($3) and model_version is null and not removed
              and as_of <= coalesce($4, 'infinity'::timestamptz)
              and (superseded_as_of is null or superseded_as_of > coalesce($4, 'infinity'::timestamptz))
              and ($5::text[] is null or cohort = 'all'
                   or array(select jsonb_object_keys(cohort_values) order by 1) = array(select unnest($5::text[]) order by 1)
                   or cohort = array_to_string(array(select name || '=other' from unnest($5::text[]) as name), ', '))
            group by cohort, cohort <> 'all' and cohort_values = '{}'
        ), placed as (
            select cohort, is_other, labeled, squared,
                   row_number() over (partition by is_other, cohort = 'all' order by squared desc nulls last, labeled desc, cohort) as place
            from part
        )
        select p.cohort as "cohort!", p.is_other as "is_other!", p.labeled as "labeled!",
               p.squared / nullif((select squared from part where cohort = 'all'), 0) as squared_share
        from placed p
        where p.cohort = 'all' or p.is_other or p.place <= $6
        order by p.cohort <> 'all', p.is_other, p.place
        "#,
        of.job,
        of.window,
        ends,
        of.as_of,
        by,
        most
    )
    .fetch_all(connection)
    .await
}

/// A metric of one cohort or version in one window.
#[derive(Debug, Clone)]
pub struct CellRow {
    pub cohort: String,
    pub model_version: Option<String>,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub status: String,
}

/// Returns a metric of some cohorts, all versions together, in some windows.
pub async fn cells(
    connection: &mut PgConnection,
    of: &Selector,
    ends: &[DateTime<Utc>],
    cohorts: &[String],
) -> sqlx::Result<Vec<CellRow>> {
    sqlx::query_as!(
        CellRow,
        r#"
        select cohort as "cohort!", model_version, window_start as "window_start!", window_end as "window_end!", value, ci_low, ci_high,
               labeled as "labeled!", predictions as "predictions!",
               case when finalized_at <= coalesce($6, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and metric = $3 and window_end = any($4) and cohort = any($5) and model_version is null
          and not removed and as_of <= coalesce($6, 'infinity'::timestamptz)
          and (superseded_as_of is null or superseded_as_of > coalesce($6, 'infinity'::timestamptz))
        order by window_end, cohort
        "#,
        of.job,
        of.window,
        of.metric,
        ends,
        cohorts,
        of.as_of
    )
    .fetch_all(connection)
    .await
}

/// Returns a metric of each version of one cohort in some windows, and of all versions together.
pub async fn versions(
    connection: &mut PgConnection,
    of: &Selector,
    ends: &[DateTime<Utc>],
) -> sqlx::Result<Vec<CellRow>> {
    sqlx::query_as!(
        CellRow,
        r#"
        select cohort as "cohort!", model_version, window_start as "window_start!", window_end as "window_end!", value, ci_low, ci_high,
               labeled as "labeled!", predictions as "predictions!",
               case when finalized_at <= coalesce($6, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and metric = $3 and window_end = any($4) and cohort = $5
          and not removed and as_of <= coalesce($6, 'infinity'::timestamptz)
          and (superseded_as_of is null or superseded_as_of > coalesce($6, 'infinity'::timestamptz))
        order by window_end, model_version nulls first
        limit 20000
        "#,
        of.job,
        of.window,
        of.metric,
        ends,
        of.cohort,
        of.as_of
    )
    .fetch_all(connection)
    .await
}
