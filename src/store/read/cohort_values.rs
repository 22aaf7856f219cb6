//! One metric of all cohorts, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A metric of all cohorts of one kind of window.
#[derive(Debug, Clone)]
pub struct CohortSelector {
    pub job: String,
    pub window: String,
    pub metric: String,
    /// `None`: all versions together.
    pub version: Option<String>,
    /// Windows that end after this.
    pub from: DateTime<Utc>,
    /// Windows that end at or before this.
    pub to: DateTime<Utc>,
    /// Show what was known at this time. `None`: what is known now.
    pub as_of: Option<DateTime<Utc>>,
}

/// The value of one cohort in one window.
#[derive(Debug, Clone)]
pub struct CohortRow {
    pub cohort: String,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub status: String,
    pub revision: i32,
    /// Share of the squared error of the window.
    pub share: Option<f64>,
}

/// Returns the values of all cohorts by window and name, at most `most` of them.
pub async fn values(connection: &mut PgConnection, of: &CohortSelector, most: i64) -> sqlx::Result<Vec<CohortRow>> {
    sqlx::query_as!(
        CohortRow,
        r#"
        select r.cohort as "cohort!", r.window_start as "window_start!", r.window_end as "window_end!", r.value, r.ci_low, r.ci_high,
               r.labeled as "labeled!", r.predictions as "predictions!",
               case when r.finalized_at <= coalesce($7, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!",
               r.revision as "revision!", s.value as "share?"
        from trueup.metric_revisions r
        left join trueup.metric_revisions s
            on s.job = r.job and s.window_name = r.window_name and s.window_end = r.window_end and s.cohort = r.cohort
           and s.model_version is not distinct from r.model_version and s.revision = r.revision and s.metric in ('squared_error_share', 'loss_share')
        where r.job = $1 and r.window_name = $2 and r.metric = $3
          and coalesce(r.model_version, '') = coalesce($4, '') and (r.model_version is null) = ($4::text is null)
          and r.window_end > $5 and r.window_end <= $6 and not r.removed
          and r.as_of <= coalesce($7, 'infinity'::timestamptz)
          and (r.superseded_as_of is null or r.superseded_as_of > coalesce($7, 'infinity'::timestamptz))
        order by r.window_end, r.cohort <> 'all', r.cohort
        limit $8
        "#,
        of.job,
        of.window,
        of.metric,
        of.version,
        of.from,
        of.to,
        of.as_of,
        most
    )
    .fetch_all(connection)
    .await
}
