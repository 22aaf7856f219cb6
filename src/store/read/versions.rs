//! Model versions against each other, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::residuals::Scope;

/// The first window of a version.
#[derive(Debug, Clone)]
pub struct FirstRow {
    pub version: String,
    pub window_start: Option<DateTime<Utc>>,
}

/// Returns the start of the first window, of any of some kinds, in which each version had predictions.
pub async fn first_seen(
    connection: &mut PgConnection,
    (job, windows): (&str, &[String]),
    versions: &[String],
) -> sqlx::Result<Vec<FirstRow>> {
    sqlx::query_as!(
        FirstRow,
        r#"
        select v.version as "version!",
               (select min(first.window_start)
                from unnest($2::text[]) as kind (name)
                cross join lateral (
                    select h.window_start from trueup.window_history h
                    where h.job = $1 and h.window_name = kind.name and h.cohort = 'all' and h.model_version = v.version
                    order by h.window_end limit 1
                ) as first) as window_start
        from unnest($3::text[]) as v (version)
        "#,
        job,
        windows,
        versions
    )
    .fetch_all(connection)
    .await
}

/// Errors of two versions on the predictions that both made.
#[derive(Debug, Clone, Default)]
pub struct SamePairsRow {
    /// Keys that both versions predicted, with a label each.
    pub pairs: i64,
    pub rmse: Option<f64>,
    pub against_rmse: Option<f64>,
    /// Mean of the squared error of the version less that of the other, and the standard deviation of the difference.
    pub difference: Option<f64>,
    pub deviation: Option<f64>,
    /// Keys for which the version has the larger error.
    pub worse: i64,
}

/// Compares a version with another one on the same keys. The version is that of the scope.
pub async fn same_pairs(connection: &mut PgConnection, of: &Scope, against: &str) -> sqlx::Result<SamePairsRow> {
    sqlx::query_as!(
        SamePairsRow,
        r#"
        with pair as materialized (
            select prediction_key, model_version, error from trueup.residual_history
            where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
              and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
              and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and model_version in ($5, $7)
              and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        )
        select count(*) as "pairs!", sqrt(avg(a.error * a.error)) as rmse, sqrt(avg(b.error * b.error)) as against_rmse,
               avg(a.error * a.error - b.error * b.error) as difference,
               stddev_samp(a.error * a.error - b.error * b.error) as deviation,
               count(*) filter (where abs(a.error) > abs(b.error)) as "worse!"
        from pair a
        join pair b using (prediction_key)
        where a.model_version = $5 and b.model_version = $7
        "#,
        of.job,
        of.from,
        of.to,
        of.cohort,
        of.version,
        of.one_in,
        against
    )
    .fetch_one(connection)
    .await
}
