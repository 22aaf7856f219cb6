//! Errors of single predictions, summed as pages draw them, over the public views.
//!
//! Every statement reads the residuals of the job's current definition. Where there are too many, it reads a sample by the hash of
//! the key: the same predictions in all panels.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// Residuals of a range.
#[derive(Debug, Clone)]
pub struct Scope {
    pub job: String,
    /// Event times from here on.
    pub from: DateTime<Utc>,
    /// Event times before this.
    pub to: DateTime<Utc>,
    /// The cohort as an object of dimensions and values; empty for everything.
    pub cohort: Json,
    /// `None`: all versions.
    pub version: Option<String>,
    /// One of so many keys is read. 1: all of them.
    pub one_in: i64,
}

/// Returns the predictions per second of a kind of window over a range, to estimate how many residuals there are; `None` without windows.
pub async fn rate(connection: &mut PgConnection, of: &Scope, window: &str) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar!(
        r#"
        select avg(predictions / extract(epoch from window_end - window_start))::float8
        from trueup.window_history
        where job = $1 and window_name = $2 and cohort = 'all' and model_version is null and window_end > $3 and window_end <= $4
        "#,
        of.job,
        window,
        of.from,
        of.to
    )
    .fetch_one(connection)
    .await
}

/// Returns a cohort as an object of dimensions and values; `None` if it was never measured.
pub async fn cohort_values(
    connection: &mut PgConnection,
    (job, window): (&str, &str),
    cohort: &str,
) -> sqlx::Result<Option<Json>> {
    sqlx::query_scalar!(
        r#"
        select cohort_values as "cohort_values!" from trueup.window_history
        where job = $1 and window_name = $2 and cohort = $3
        limit 1
        "#,
        job,
        window,
        cohort
    )
    .fetch_optional(connection)
    .await
}

/// Numbers of all errors of a range.
#[derive(Debug, Clone, Default)]
pub struct SummaryRow {
    pub pairs: i64,
    pub bias: Option<f64>,
    pub mse: Option<f64>,
    /// Quantiles 1, 5, 50, 95 and 99 % of the error.
    pub quantiles: Option<Vec<f64>>,
    pub least: Option<f64>,
    pub greatest: Option<f64>,
    /// Least and greatest of both predicted and actual values.
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Pairs in the worst percent, at least one, and their share of the squared error.
    pub worst_pairs: i64,
    pub worst_share: Option<f64>,
}

/// Returns the numbers of all errors.
pub async fn summary(connection: &mut PgConnection, of: &Scope) -> sqlx::Result<SummaryRow> {
    sqlx::query_as!(
        SummaryRow,
        r#"
        with pair as materialized (
            select error, predicted, actual from trueup.residual_history
            where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
              and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
              and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
              and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0)
              and outcome = 'pair'
        ), ranked as (
            select error, row_number() over (order by abs(error) desc) as place, count(*) over () as total from pair
        ), worst as (
            select count(*) as pairs, sum(error * error) as squared from ranked where place <= ceil(total * 0.01)
        )
        select count(*) as "pairs!", avg(error) as bias, avg(error * error) as mse,
               percentile_cont(array[0.01, 0.05, 0.5, 0.95, 0.99]) within group (order by error) as quantiles,
               min(error) as least, max(error) as greatest, least(min(predicted), min(actual)) as low,
               greatest(max(predicted), max(actual)) as high, (select pairs from worst) as "worst_pairs!",
               (select squared from worst) / nullif(sum(error * error), 0) as worst_share
        from pair
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in
    )
    .fetch_one(connection)
    .await
}

/// Pairs whose error is in a bin.
#[derive(Debug, Clone)]
pub struct BinRow {
    /// From `bin * width` to `(bin + 1) * width`.
    pub bin: i64,
    pub pairs: i64,
}

/// Returns the errors in bins of a width. Errors beyond the first and last bin are counted in these.
pub async fn errors(
    connection: &mut PgConnection,
    of: &Scope,
    (width, first, last): (f64, i64, i64),
) -> sqlx::Result<Vec<BinRow>> {
    sqlx::query_as!(
        BinRow,
        r#"
        select greatest($8, least($9, floor(error / $7)))::bigint as "bin!", count(*) as "pairs!"
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        group by 1
        order by 1
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        width,
        first as f64,
        last as f64
    )
    .fetch_all(connection)
    .await
}

/// Pairs in a cell of predicted by actual.
#[derive(Debug, Clone)]
pub struct CellRow {
    pub predicted_cell: i64,
    pub actual_cell: i64,
    pub pairs: i64,
}

/// Returns pairs by predicted and actual value, in cells of a width from a value on.
pub async fn cells(
    connection: &mut PgConnection,
    of: &Scope,
    (low, width, count): (f64, f64, i64),
) -> sqlx::Result<Vec<CellRow>> {
    sqlx::query_as!(
        CellRow,
        r#"
        select least($9 - 1, floor((predicted - $7) / $8))::bigint as "predicted_cell!",
               least($9 - 1, floor((actual - $7) / $8))::bigint as "actual_cell!", count(*) as "pairs!"
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        group by 1, 2
        order by 1, 2
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        low,
        width,
        count as f64
    )
    .fetch_all(connection)
    .await
}

/// Errors of one hour of a weekday.
#[derive(Debug, Clone)]
pub struct HourRow {
    /// 1 is Monday, 7 is Sunday.
    pub weekday: i32,
    pub hour: i32,
    pub pairs: i64,
    pub bias: f64,
    pub mse: f64,
}

/// Returns errors by hour and weekday of the event, in a zone.
pub async fn hours(connection: &mut PgConnection, of: &Scope, zone: &str) -> sqlx::Result<Vec<HourRow>> {
    sqlx::query_as!(
        HourRow,
        r#"
        select extract(isodow from event_at at time zone $7)::int as "weekday!", extract(hour from event_at at time zone $7)::int as "hour!",
               count(*) as "pairs!", avg(error) as "bias!", avg(error * error) as "mse!"
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        group by 1, 2
        order by 1, 2
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        zone
    )
    .fetch_all(connection)
    .await
}

/// Mean error of the pairs of one time slice.
#[derive(Debug, Clone)]
pub struct SliceRow {
    pub bucket_start: DateTime<Utc>,
    pub bias: f64,
    pub pairs: i64,
}

/// Returns the mean error of the newest time slices, oldest first.
pub async fn slices(connection: &mut PgConnection, of: &Scope, most: i64) -> sqlx::Result<Vec<SliceRow>> {
    let mut rows = sqlx::query_as!(
        SliceRow,
        r#"
        select bucket_start as "bucket_start!", avg(error) as "bias!", count(*) as "pairs!"
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        group by bucket_start
        order by bucket_start desc
        limit $7
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// Predictions that are not averaged, by reason.
#[derive(Debug, Clone)]
pub struct LeftOutRow {
    pub outcome: String,
    pub predictions: i64,
    /// The newest of their keys.
    pub keys: Vec<String>,
}

/// Returns predictions that are not averaged, by reason, with a few keys.
pub async fn left_out(connection: &mut PgConnection, of: &Scope, keys: i64) -> sqlx::Result<Vec<LeftOutRow>> {
    sqlx::query_as!(
        LeftOutRow,
        r#"
        with left_out as (
            select outcome, copies, prediction_key, row_number() over (partition by outcome order by event_at desc, prediction_key) as place
            from trueup.residual_history
            where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
              and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
              and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
              and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0)
              and outcome <> 'pair'
        )
        select outcome as "outcome!", sum(copies)::bigint as "predictions!",
               array_agg(prediction_key order by place) filter (where place <= $7) as "keys!"
        from left_out
        group by outcome
        order by 2 desc, 1
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        keys
    )
    .fetch_all(connection)
    .await
}
