//! Time from events to their labels, over the public views.

use sqlx::PgConnection;

use super::residuals::{BinRow, Scope};

/// Time from event to label.
#[derive(Debug, Clone, Default)]
pub struct LatencyRow {
    pub labels: i64,
    /// Quantiles 50, 95 and 99 %, in seconds.
    pub quantiles: Option<Vec<f64>>,
    pub greatest: Option<f64>,
}

/// Returns how long labels take. Labels that were known before the event took no time.
pub async fn latency(connection: &mut PgConnection, of: &Scope) -> sqlx::Result<LatencyRow> {
    sqlx::query_as!(
        LatencyRow,
        r#"
        with label as (
            select greatest(extract(epoch from label_at - event_at)::float8, 0) as seconds from trueup.residual_history
            where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
              and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
              and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
              and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0)
              and label_at is not null
        )
        select count(*) as "labels!", percentile_cont(array[0.5, 0.95, 0.99]) within group (order by seconds) as quantiles,
               max(seconds) as greatest
        from label
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

/// Returns label latencies in bins of a width in seconds. Longer ones are counted in the last bin.
pub async fn latencies(
    connection: &mut PgConnection,
    of: &Scope,
    (width, last): (f64, i64),
) -> sqlx::Result<Vec<BinRow>> {
    sqlx::query_as!(
        BinRow,
        r#"
        select least($8, floor(greatest(extract(epoch from label_at - event_at)::float8, 0) / $7))::bigint as "bin!", count(*) as "pairs!"
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and label_at is not null
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
        last as f64
    )
    .fetch_all(connection)
    .await
}
