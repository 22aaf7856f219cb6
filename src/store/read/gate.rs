//! The newest verdicts of a rule, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The latest verdict of a rule on one cohort and version.
#[derive(Debug, Clone)]
pub struct NewestVerdictRow {
    pub cohort: String,
    pub model_version: Option<String>,
    pub window_end: DateTime<Utc>,
    pub verdict: String,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub labeled: Option<i64>,
    pub reason: String,
}

/// Returns the latest verdict on each target in the newest window that the rule judged; with a version, on that version alone.
/// Older windows do not count: a cohort that disappeared would keep its last verdict forever.
pub async fn newest_verdicts(
    connection: &mut PgConnection,
    (job, rule): (&str, &str),
    version: Option<&str>,
    most: i64,
) -> sqlx::Result<Vec<NewestVerdictRow>> {
    sqlx::query_as!(
        NewestVerdictRow,
        r#"
        select cohort as "cohort!", model_version, window_end as "window_end!", verdict as "verdict!", value, limit_value, labeled,
               reason as "reason!"
        from (
            select distinct on (v.cohort, v.model_version) v.*
            from trueup.verdict_history v
            where v.job = $1 and v.rule = $2 and ($3::text is null or v.model_version = $3)
              and v.window_end = (select max(n.window_end) from trueup.verdict_history n where n.job = $1 and n.rule = $2)
            order by v.cohort, v.model_version, v.evaluated_at desc
        ) as newest
        order by cohort <> 'all', cohort, model_version nulls first
        limit $4
        "#,
        job,
        rule,
        version,
        most
    )
    .fetch_all(connection)
    .await
}
