//! Predictions with large errors, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

use super::residuals::Scope;
use super::window::WindowKey;

/// A prediction with a large error.
#[derive(Debug, Clone)]
pub struct SampleRow {
    pub prediction_key: String,
    pub model_version: Option<String>,
    pub event_at: DateTime<Utc>,
    pub predicted: f64,
    pub actual: f64,
    pub label_at: Option<DateTime<Utc>>,
}

/// Returns the samples with the largest errors that were kept with a window.
pub async fn kept_samples(
    connection: &mut PgConnection,
    key: &WindowKey,
    cohort_values: &Json,
    most: i64,
) -> sqlx::Result<Vec<SampleRow>> {
    sqlx::query_as!(
        SampleRow,
        r#"
        select prediction_key as "prediction_key!", model_version, event_at as "event_at!", predicted as "predicted!", actual as "actual!",
               label_at
        from trueup.worst_samples
        where job = $1 and window_name = $2 and window_end = $3 and dimensions @> $4::jsonb
          and ($5::text is null or model_version = $5)
        order by place
        limit $6
        "#,
        key.job,
        key.window,
        key.end,
        cohort_values,
        key.version,
        most
    )
    .fetch_all(connection)
    .await
}

/// Returns the pairs of a range with the largest errors, as the residuals have them now.
pub async fn worst(connection: &mut PgConnection, of: &Scope, most: i64) -> sqlx::Result<Vec<SampleRow>> {
    sqlx::query_as!(
        SampleRow,
        r#"
        select prediction_key as "prediction_key!", model_version, event_at as "event_at!", predicted as "predicted!", actual as "actual!",
               label_at
        from trueup.residual_history
        where job = $1 and plan_id = (select plan_id from trueup.plan_history where job = $1 and is_current)
          and bucket_start > $2::timestamptz - interval '25 hours' and bucket_start < $3 and event_at >= $2 and event_at < $3
          and ($4::jsonb = '{}' or dimensions @> $4::jsonb) and ($5::text is null or model_version = $5)
          and ($6::bigint = 1 or mod(hashtextextended(prediction_key, 0), $6) = 0) and outcome = 'pair'
        order by abs(error) desc, prediction_key
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
    .await
}
