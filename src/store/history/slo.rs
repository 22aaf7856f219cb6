//! Evaluations of objectives: the remaining error budget.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

use crate::store::history::months::{self, Monthly};

/// An evaluation, or a correction of an earlier one.
#[derive(Debug, Clone)]
pub struct NewEvaluation<'a> {
    pub job_id: i64,
    pub run_id: i64,
    pub slo: &'a str,
    pub fingerprint: &'a str,
    /// `evaluation` or `adjustment`.
    pub kind: &'static str,
    pub as_of: DateTime<Utc>,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub objective: f64,
    pub good: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub burn: Json,
}

/// The last evaluation of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub good: i64,
    pub total: i64,
}

/// A window that an objective counts.
#[derive(Debug, Clone)]
pub struct WindowValue {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub value: Option<f64>,
}

/// Returns the last evaluation of an objective under its current definition.
pub async fn last(
    connection: &mut PgConnection,
    job_id: i64,
    slo: &str,
    fingerprint: &str,
) -> sqlx::Result<Option<Last>> {
    sqlx::query_as!(
        Last,
        r#"
        select period_start, period_end, good, total from trueup.slo_evaluation
        where job_id = $1 and slo = $2 and fingerprint = $3 and kind = 'evaluation'
        -- Periods end later and later: the newest month has it.
        order by period_end desc, id desc limit 1
        "#,
        job_id,
        slo,
        fingerprint
    )
    .fetch_optional(connection)
    .await
}

/// Stores an evaluation.
pub async fn insert(connection: &mut PgConnection, new: &NewEvaluation<'_>) -> sqlx::Result<()> {
    months::add(connection, Monthly::SloEvaluation, &[new.period_end]).await?;
    sqlx::query!(
        r#"
        insert into trueup.slo_evaluation
            (job_id, run_id, slo, fingerprint, kind, as_of, period_start, period_end, objective, good, total, budget_left, exhausted_at, burn)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        "#,
        new.job_id,
        new.run_id,
        new.slo,
        new.fingerprint,
        new.kind,
        new.as_of,
        new.period_start,
        new.period_end,
        new.objective,
        new.good,
        new.total,
        new.budget_left,
        new.exhausted_at,
        new.burn
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the metric of every window of this name within `[from, until)`, over all cohorts and versions, as known now.
pub async fn window_values(
    connection: &mut PgConnection,
    job_id: i64,
    window: &str,
    metric: &str,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<WindowValue>> {
    sqlx::query_as!(
        WindowValue,
        r#"
        select w.window_start as start, m.window_end as "end",
               case $3::text when 'predictions' then m.predictions
                             when 'labeled' then m.labeled
                             when 'duplicates' then coalesce(m.duplicates, 0)
                             when 'ambiguous' then coalesce(m.ambiguous, 0)
                             when 'coverage' then m.labeled::float8 / nullif(m.predictions, 0)
                             when 'received' then (m.labeled + coalesce(m.excluded, 0))::float8 / nullif(m.predictions, 0)
                             else m.numbers[(s.places -> $3::text -> 0)::int] end as value
        from trueup.measurement m
        join trueup.series t on t.id = m.series_id
        join trueup.measured_window w on w.job = m.job and w.window_name = t.window_name and w.window_end = m.window_end
        join trueup.metric_set s on s.id = m.metric_set_id
        where t.job = (select j.name from trueup.job j where j.id = $1) and t.window_name = $2
          -- A window ends after it starts.
          and m.window_end > $4 and m.window_end <= $5 and w.window_start >= $4
          and t.cohort = 'all' and t.model_version is null and m.superseded_as_of is null and not m.removed
        order by m.window_end
        "#,
        job_id,
        window,
        metric,
        from,
        until
    )
    .fetch_all(connection)
    .await
}
