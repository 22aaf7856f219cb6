//! Reads ranges of history, for rules that are replayed over them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde_json::Value as Json;
use sqlx::PgConnection;

use crate::store::history::baseline::SampleRow;
use crate::store::history::numbers::Numbers;

/// Selects measurements.
#[derive(Debug, Clone, Copy)]
pub struct SeriesQuery<'a> {
    pub job: &'a str,
    pub window: &'a str,
    /// Windows that end after this …
    pub from: DateTime<Utc>,
    /// … and before this.
    pub until: DateTime<Utc>,
    /// Include cohorts, not only the total.
    pub all_cohorts: bool,
}

/// One revision of a measurement.
#[derive(Debug, Clone)]
pub struct RevisionRow {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    /// When a run first saw it final.
    pub settled_at: Option<DateTime<Utc>>,
    pub cohort: String,
    pub model_version: Option<String>,
    pub as_of: DateTime<Utc>,
    pub sample: SampleRow,
}

/// Calls `look` with every revision of a window's measurements, one by one.
pub async fn each(
    connection: &mut PgConnection,
    asked: SeriesQuery<'_>,
    mut look: impl FnMut(RevisionRow),
) -> sqlx::Result<()> {
    let places = places(connection, asked.job).await?;
    let mut rows = sqlx::query!(
        r#"
        select w.window_start, m.window_end, w.settled_at, t.cohort, t.model_version, m.as_of, m.predictions, m.labeled,
               coalesce(m.excluded, 0) as "excluded!", coalesce(m.duplicates, 0) as "duplicates!",
               coalesce(m.ambiguous, 0) as "ambiguous!", m.metric_set_id, m.numbers as "numbers!: Vec<Option<f64>>"
        from trueup.measurement m
        join trueup.series t on t.id = m.series_id
        join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
        where m.job = $1 and t.job = $1 and t.window_name = $2 and m.window_end > $3 and m.window_end < $4
          and ($5 or t.cohort = 'all') and not m.removed
        "#,
        asked.job,
        asked.window,
        asked.from,
        asked.until,
        asked.all_cohorts
    )
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        // Written after the metric sets were read: skip it as not there yet.
        let Some(places) = places.get(&row.metric_set_id) else { continue };
        look(RevisionRow {
            window_start: row.window_start,
            window_end: row.window_end,
            settled_at: row.settled_at,
            cohort: row.cohort,
            model_version: row.model_version,
            as_of: row.as_of,
            sample: SampleRow {
                target: 1,
                predictions: row.predictions,
                labeled: row.labeled,
                excluded: row.excluded,
                duplicates: row.duplicates,
                ambiguous: row.ambiguous,
                numbers: Numbers::unpack(places, &row.numbers),
                notes: None,
            },
        });
    }
    Ok(())
}

/// Returns the indexes of metrics in each metric set of a job.
async fn places(connection: &mut PgConnection, job: &str) -> sqlx::Result<HashMap<i32, Json>> {
    let rows = sqlx::query!(
        r#"
        select s.id, s.places
        from trueup.metric_set s
        join trueup.plan p on p.id = s.plan_id
        where p.job_id = (select j.id from trueup.job j where j.name = $1)
        "#,
        job
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.places)).collect())
}

/// The newest validation value of a metric and target.
#[derive(Debug, Clone)]
pub struct BaselineRow {
    pub metric: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub value: f64,
}

/// Returns the newest validation values of a job.
pub async fn validation(connection: &mut PgConnection, job: &str) -> sqlx::Result<Vec<BaselineRow>> {
    sqlx::query_as!(
        BaselineRow,
        r#"
        select distinct on (metric, cohort, model_version) metric, cohort, model_version, value
        from trueup.model_baseline where job = $1
        order by metric, cohort, model_version, id desc
        "#,
        job
    )
    .fetch_all(connection)
    .await
}

/// Returns the start and end of each incident of a job.
pub async fn incidents(
    connection: &mut PgConnection,
    job: &str,
) -> sqlx::Result<Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>> {
    let rows = sqlx::query!(
        "select starts_at, ends_at from trueup.annotation where kind = 'incident' and (job is null or job = $1) order by starts_at",
        job
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.starts_at, row.ends_at)).collect())
}

/// Returns the first and the last end of a job's stored windows of this name.
pub async fn span(
    connection: &mut PgConnection,
    job: &str,
    window: &str,
) -> sqlx::Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"
        select min(window_end) as first, max(window_end) as last from trueup.measured_window
        where job = $1 and window_name = $2
        "#,
        job,
        window
    )
    .fetch_one(connection)
    .await?;
    Ok(row.first.zip(row.last))
}
