//! Measurements. One is never overwritten: what changed becomes a new revision beside the old.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;
use sqlx::types::Json as SqlJson;

/// A measurement to be stored.
#[derive(Debug, Clone)]
pub struct NewMeasurement {
    pub window_id: i64,
    pub window_end: DateTime<Utc>,
    pub cohort: String,
    pub cohort_values: Json,
    pub model_version: Option<String>,
    pub predictions: i64,
    pub labeled: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
    pub metrics: Json,
    pub intervals: Json,
    /// Decimal text.
    pub digest: String,
}

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub struct Publisher {
    pub run_id: i64,
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
}

/// A measurement that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub window_id: i64,
    pub cohort: String,
    pub model_version: Option<String>,
    /// 1 is the first report.
    pub revision: i32,
}

/// Windows that were measured together.
#[derive(Debug, Clone)]
pub struct Batch {
    ids: Vec<i64>,
    /// The first and the last end: Postgres opens only the months in between.
    first: DateTime<Utc>,
    last: DateTime<Utc>,
}

impl Batch {
    /// Of ids and ends of windows. None without any.
    pub fn new(windows: impl IntoIterator<Item = (i64, DateTime<Utc>)>) -> Option<Self> {
        let (ids, ends): (Vec<i64>, Vec<DateTime<Utc>>) = windows.into_iter().unzip();
        Some(Self { first: *ends.iter().min()?, last: *ends.iter().max()?, ids })
    }
}

/// Writes what differs from the latest revision, and says what that was. `windows` are all that were measured.
pub async fn publish(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    measurements: &[NewMeasurement],
) -> sqlx::Result<Vec<Written>> {
    supersede(connection, publisher, windows, measurements).await?;
    let mut written = insert(connection, publisher, windows, measurements).await?;
    written.extend(bury(connection, publisher, windows).await?);
    Ok(written)
}

/// Ends the latest revisions that differ from what was measured, or whose cohort is no longer there.
async fn supersede(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    measurements: &[NewMeasurement],
) -> sqlx::Result<()> {
    let ids: Vec<i64> = measurements.iter().map(|m| m.window_id).collect();
    let cohorts: Vec<String> = measurements.iter().map(|m| m.cohort.clone()).collect();
    let versions: Vec<Option<String>> = measurements.iter().map(|m| m.model_version.clone()).collect();
    let predictions: Vec<i64> = measurements.iter().map(|m| m.predictions).collect();
    let labeled: Vec<i64> = measurements.iter().map(|m| m.labeled).collect();
    let excluded: Vec<i64> = measurements.iter().map(|m| m.excluded).collect();
    let digests: Vec<String> = measurements.iter().map(|m| m.digest.clone()).collect();
    sqlx::query!(
        r#"
        with measured as (
            select window_id, cohort, model_version, predictions, labeled, excluded, digest::numeric as digest
            from unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[])
                as m (window_id, cohort, model_version, predictions, labeled, excluded, digest)
        )
        update trueup.measurement as old
        set superseded_as_of = $2
        where old.window_id = any($1) and old.window_end between $11 and $12 and old.superseded_as_of is null
          -- What a backfill that knew more has written is not taken back.
          and old.as_of <= $2
          -- Compared by digest and counts, never by floats: their sums depend on the order of the rows.
          and not exists (
              select from measured m
              where m.window_id = old.window_id and m.cohort = old.cohort and m.model_version is not distinct from old.model_version
                and m.digest = old.digest and m.predictions = old.predictions and m.labeled = old.labeled
                and m.excluded = old.excluded and not old.removed and old.plan_id = $10
          )
          -- A cohort that was gone and still is needs no second note.
          and not (old.removed and not exists (
              select from measured m
              where m.window_id = old.window_id and m.cohort = old.cohort and m.model_version is not distinct from old.model_version
          ))
        "#,
        &windows.ids,
        publisher.as_of,
        &ids,
        &cohorts,
        &versions as &[Option<String>],
        &predictions,
        &labeled,
        &excluded,
        &digests,
        publisher.plan_id,
        windows.first,
        windows.last
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Inserts every measurement that has no latest revision now.
async fn insert(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &Batch,
    measurements: &[NewMeasurement],
) -> sqlx::Result<Vec<Written>> {
    let ids: Vec<i64> = measurements.iter().map(|m| m.window_id).collect();
    let ends: Vec<DateTime<Utc>> = measurements.iter().map(|m| m.window_end).collect();
    let cohorts: Vec<String> = measurements.iter().map(|m| m.cohort.clone()).collect();
    let values: Vec<SqlJson<Json>> = measurements.iter().map(|m| SqlJson(m.cohort_values.clone())).collect();
    let versions: Vec<Option<String>> = measurements.iter().map(|m| m.model_version.clone()).collect();
    let counts = |pick: fn(&NewMeasurement) -> i64| measurements.iter().map(pick).collect::<Vec<i64>>();
    let metrics: Vec<SqlJson<Json>> = measurements.iter().map(|m| SqlJson(m.metrics.clone())).collect();
    let intervals: Vec<SqlJson<Json>> = measurements.iter().map(|m| SqlJson(m.intervals.clone())).collect();
    let digests: Vec<String> = measurements.iter().map(|m| m.digest.clone()).collect();
    sqlx::query_as!(
        Written,
        r#"
        insert into trueup.measurement
            (window_id, job, window_name, window_start, window_end, cohort, cohort_values, model_version, revision, predictions,
             labeled, excluded, duplicates, ambiguous, metrics, intervals, digest, plan_id, run_id, as_of)
        select m.window_id, w.job, w.window_name, w.window_start, w.window_end, m.cohort, m.cohort_values, m.model_version,
               1 + coalesce((select max(old.revision) from trueup.measurement old
                             where old.window_id = m.window_id and old.window_end = m.window_end
                               and old.window_end between $17 and $18 and old.cohort = m.cohort
                               and old.model_version is not distinct from m.model_version), 0),
               m.predictions, m.labeled, m.excluded, m.duplicates, m.ambiguous, m.metrics, m.intervals, m.digest::numeric,
               $2, $1, $3
        from unnest($4::bigint[], $5::text[], $6::jsonb[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[],
                    $11::bigint[], $12::bigint[], $13::jsonb[], $14::jsonb[], $15::text[], $16::timestamptz[])
            as m (window_id, cohort, cohort_values, model_version, predictions, labeled, excluded, duplicates, ambiguous,
                  metrics, intervals, digest, window_end)
        join trueup.measured_window w on w.id = m.window_id
        where not exists (
            select from trueup.measurement latest
            where latest.window_id = m.window_id and latest.window_end = m.window_end and latest.window_end between $17 and $18
              and latest.cohort = m.cohort
              and latest.model_version is not distinct from m.model_version and latest.superseded_as_of is null
        )
        returning window_id, cohort, model_version, revision
        "#,
        publisher.run_id,
        publisher.plan_id,
        publisher.as_of,
        &ids,
        &cohorts,
        &values as &[SqlJson<Json>],
        &versions as &[Option<String>],
        &counts(|m| m.predictions),
        &counts(|m| m.labeled),
        &counts(|m| m.excluded),
        &counts(|m| m.duplicates),
        &counts(|m| m.ambiguous),
        &metrics as &[SqlJson<Json>],
        &intervals as &[SqlJson<Json>],
        &digests,
        &ends,
        windows.first,
        windows.last
    )
    .fetch_all(connection)
    .await
}

/// Notes that cohorts are no longer there: a last revision that says so, instead of a number that went stale.
async fn bury(connection: &mut PgConnection, publisher: Publisher, windows: &Batch) -> sqlx::Result<Vec<Written>> {
    sqlx::query_as!(
        Written,
        r#"
        insert into trueup.measurement
            (window_id, job, window_name, window_start, window_end, cohort, cohort_values, model_version, revision, predictions,
             labeled, excluded, duplicates, ambiguous, metrics, intervals, digest, removed, plan_id, run_id, as_of)
        select distinct on (old.window_id, old.cohort, old.model_version)
               old.window_id, old.job, old.window_name, old.window_start, old.window_end, old.cohort, old.cohort_values,
               old.model_version, old.revision + 1, 0, 0, 0, 0, 0, '{}', '{}', 0, true, $2, $1, $3
        from trueup.measurement old
        where old.window_id = any($4) and old.window_end between $5 and $6 and not exists (
            select from trueup.measurement latest
            where latest.window_id = old.window_id and latest.window_end = old.window_end and latest.window_end between $5 and $6
              and latest.cohort = old.cohort
              and latest.model_version is not distinct from old.model_version and latest.superseded_as_of is null
        )
        order by old.window_id, old.cohort, old.model_version, old.revision desc
        returning window_id, cohort, model_version, revision
        "#,
        publisher.run_id,
        publisher.plan_id,
        publisher.as_of,
        &windows.ids,
        windows.first,
        windows.last
    )
    .fetch_all(connection)
    .await
}

/// Keeps the largest errors of windows, from their residuals. What was kept of these windows before is replaced.
pub async fn keep_worst(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &[i64],
    starts: &[DateTime<Utc>],
    ends: &[DateTime<Utc>],
    most: i64,
) -> sqlx::Result<()> {
    sqlx::query!("delete from trueup.worst_sample where window_id = any($1)", windows)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        r#"
        insert into trueup.worst_sample
            (window_id, place, prediction_key, model_version, dimensions, event_at, predicted, actual, label_at, plan_id, as_of)
        select w.id, r.place, r.key, nullif(r.model_version, ''), c.dimensions, r.event_at, r.predicted, r.actual, r.label_at, $1, $2
        from unnest($3::bigint[], $4::timestamptz[], $5::timestamptz[]) as w (id, starts, ends)
        cross join lateral (
            select r.*, row_number() over (order by abs(r.predicted - r.actual) desc, r.key)::int as place
            from trueup.residual r
            where r.plan_id = $1 and r.bucket_start >= w.starts and r.bucket_start < w.ends and r.class = 0
            order by abs(r.predicted - r.actual) desc, r.key
            limit $6
        ) as r
        join trueup.cell c on c.id = r.cell_id
        "#,
        publisher.plan_id,
        publisher.as_of,
        windows,
        starts,
        ends,
        most
    )
    .execute(connection)
    .await
    .map(drop)
}
