//! An error budget through time, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// Times that a page shows: evaluations of periods that end after `from` and at or before `to`, as known at `as_of`.
#[derive(Debug, Clone)]
pub struct BudgetRange {
    pub job: String,
    pub slo: String,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub as_of: Option<DateTime<Utc>>,
}

/// An evaluation of an objective.
#[derive(Debug, Clone)]
pub struct EvaluationRow {
    /// `evaluation`, or `adjustment`: a correction by labels that came later, whose counts are differences.
    pub kind: String,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub objective: f64,
    pub bad: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
    pub exhausted_at: Option<DateTime<Utc>>,
    pub evaluated_at: DateTime<Utc>,
    /// An object for each burn rate: `long`, `short`, `factor`, `severity`, `long_burn`, `short_burn`, `verdict`, `reason`.
    pub burn: Json,
}

/// Returns the newest evaluation of a period that ended at or before a time.
pub async fn newest(
    connection: &mut PgConnection,
    (job, slo): (&str, &str),
    until: Option<DateTime<Utc>>,
    as_of: Option<DateTime<Utc>>,
) -> sqlx::Result<Option<EvaluationRow>> {
    sqlx::query_as!(
        EvaluationRow,
        r#"
        select kind as "kind!", period_start as "period_start!", period_end as "period_end!", objective as "objective!",
               bad as "bad!", total as "total!", budget_left, exhausted_at, evaluated_at as "evaluated_at!", burn as "burn!"
        from trueup.slo_history
        where job = $1 and slo = $2 and kind = 'evaluation' and period_end <= coalesce($3, 'infinity'::timestamptz)
          and as_of <= coalesce($4, 'infinity'::timestamptz)
        order by period_end desc, evaluated_at desc
        limit 1
        "#,
        job,
        slo,
        until,
        as_of
    )
    .fetch_optional(connection)
    .await
}

/// Returns the newest evaluations and adjustments of an objective whose periods end in a range, oldest first.
pub async fn evaluations(
    connection: &mut PgConnection,
    (job, slo): (&str, &str),
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    most: i64,
) -> sqlx::Result<Vec<EvaluationRow>> {
    let mut rows = sqlx::query_as!(
        EvaluationRow,
        r#"
        select kind as "kind!", period_start as "period_start!", period_end as "period_end!", objective as "objective!",
               bad as "bad!", total as "total!", budget_left, exhausted_at, evaluated_at as "evaluated_at!", burn as "burn!"
        from trueup.slo_history
        where job = $1 and slo = $2 and ($3::timestamptz is null or period_end > $3) and ($4::timestamptz is null or period_end <= $4)
        order by period_end desc, evaluated_at desc
        limit $5
        "#,
        job,
        slo,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// The rest of a budget at a time.
#[derive(Debug, Clone)]
pub struct LeftRow {
    pub period_end: DateTime<Utc>,
    pub bad: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
}

/// Returns what was left, oldest first: the last evaluation of each of at most `most` equal parts of the range.
pub async fn left(connection: &mut PgConnection, range: &BudgetRange, most: i32) -> sqlx::Result<Vec<LeftRow>> {
    sqlx::query_as!(
        LeftRow,
        r#"
        select distinct on (part) period_end as "period_end!", bad as "bad!", total as "total!", budget_left
        from (
            select h.*, width_bucket(extract(epoch from h.period_end)::float8, extract(epoch from $3::timestamptz)::float8,
                                     extract(epoch from $4::timestamptz)::float8 + 0.001, $6) as part
            from trueup.slo_history h
            where h.job = $1 and h.slo = $2 and h.kind = 'evaluation' and h.period_end > $3 and h.period_end <= $4
              and h.as_of <= coalesce($5, 'infinity'::timestamptz)
        ) as parts
        order by part, period_end desc, evaluated_at desc
        "#,
        range.job,
        range.slo,
        range.from,
        range.to,
        range.as_of,
        most
    )
    .fetch_all(connection)
    .await
}

/// A correction of an earlier evaluation, because labels or predictions of its period changed later.
#[derive(Debug, Clone)]
pub struct AdjustmentRow {
    /// End of the period that was corrected.
    pub period_end: DateTime<Utc>,
    /// Arrivals up to here made the difference.
    pub as_of: DateTime<Utc>,
    /// Change of the number of bad ones.
    pub bad: i64,
    /// Change of the number of all.
    pub total: i64,
}

/// Returns the newest adjustments of a range, oldest first.
pub async fn adjustments(
    connection: &mut PgConnection,
    range: &BudgetRange,
    most: i64,
) -> sqlx::Result<Vec<AdjustmentRow>> {
    let mut rows = sqlx::query_as!(
        AdjustmentRow,
        r#"
        select period_end as "period_end!", as_of as "as_of!", bad as "bad!", total as "total!"
        from trueup.slo_history
        where job = $1 and slo = $2 and kind = 'adjustment' and period_end > $3 and period_end <= $4
          and as_of <= coalesce($5, 'infinity'::timestamptz)
        order by period_end desc, evaluated_at desc
        limit $6
        "#,
        range.job,
        range.slo,
        range.from,
        range.to,
        range.as_of,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// A day of the share of good predictions: as first reported and as known now.
#[derive(Debug, Clone)]
pub struct DayRow {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub first_share: Option<f64>,
    pub first_labeled: Option<i64>,
    pub share: Option<f64>,
    pub labeled: Option<i64>,
    pub is_final: bool,
}

/// Returns the windows of a kind that end in a range, oldest first, at most 400.
pub async fn days(
    connection: &mut PgConnection,
    (job, window, metric): (&str, &str, &str),
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<DayRow>> {
    let mut rows = sqlx::query_as!(
        DayRow,
        r#"
        select window_start as "window_start!", window_end as "window_end!",
               max(value) filter (where first_reported) as first_share, max(labeled) filter (where first_reported) as first_labeled,
               max(value) filter (where superseded_as_of is null and not removed) as share,
               max(labeled) filter (where superseded_as_of is null and not removed) as labeled,
               coalesce(bool_or(status = 'final') filter (where superseded_as_of is null), false) as "is_final!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and metric = $3 and cohort = 'all' and model_version is null
          and window_end > $4 and window_end <= $5 and (first_reported or superseded_as_of is null)
        group by window_start, window_end
        order by window_end desc
        limit 400
        "#,
        job,
        window,
        metric,
        from,
        to
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// Labeled and bad predictions of a cohort.
#[derive(Debug, Clone)]
pub struct CohortRow {
    pub cohort: String,
    pub bad: i64,
    pub total: i64,
}

/// Returns the cohorts with the most bad predictions in the windows of a range, which must not overlap.
pub async fn cohorts(
    connection: &mut PgConnection,
    (job, window, metric): (&str, &str, &str),
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<CohortRow>> {
    sqlx::query_as!(
        CohortRow,
        r#"
        select cohort as "cohort!", sum(labeled - round(coalesce(value, 0) * labeled))::bigint as "bad!", sum(labeled)::bigint as "total!"
        from trueup.metric_history
        where job = $1 and window_name = $2 and metric = $3 and cohort <> 'all' and model_version is null
          and window_start >= $4 and window_end <= $5 and window_end > $4
        group by cohort
        order by 2 desc, cohort
        limit $6
        "#,
        job,
        window,
        metric,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await
}
