//! Promises kept over a long range, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A metric of one kind of window of some jobs; the three lists have one entry per job.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    pub jobs: Vec<String>,
    pub windows: Vec<String>,
    pub metrics: Vec<String>,
}

/// A window with its value now and as first reported.
#[derive(Debug, Clone)]
pub struct DayRow {
    pub job: String,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub labeled: i64,
    pub first_reported: Option<f64>,
}

/// Returns the windows that end in a range, oldest first within a job, at most `most` of each.
pub async fn days(
    connection: &mut PgConnection,
    chosen: &Chosen,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<DayRow>> {
    sqlx::query_as!(
        DayRow,
        r#"
        select s.job as "job!", m.window_end as "window_end!", m.value as "value?", m.labeled as "labeled!",
               m.first_reported as "first_reported?"
        from unnest($1::text[], $2::text[], $3::text[]) as s (job, window_name, metric)
        cross join lateral (
            select h.window_end, max(h.value) filter (where h.superseded_as_of is null and not h.removed) as value,
                   coalesce(max(h.labeled) filter (where h.superseded_as_of is null and not h.removed), 0) as labeled,
                   max(h.value) filter (where h.first_reported) as first_reported
            from trueup.metric_revisions h
            where h.job = s.job and h.window_name = s.window_name and h.metric = s.metric and h.cohort = 'all'
              and h.model_version is null and h.window_end > $4 and h.window_end <= $5
              and (h.first_reported or h.superseded_as_of is null)
            group by h.window_end
            order by h.window_end desc
            limit $6
        ) as m
        order by s.job, m.window_end
        "#,
        &chosen.jobs,
        &chosen.windows,
        &chosen.metrics,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await
}

/// The sum of a mean, weighed by labels, over the windows of a range.
#[derive(Debug, Clone)]
pub struct PooledRow {
    pub job: String,
    pub cohort: String,
    /// `sum(value * labeled)`.
    pub weighed: f64,
    pub labeled: i64,
}

/// Returns, for each job, the sums of everything and of the cohorts with the largest ones. Windows must not overlap.
pub async fn pooled(
    connection: &mut PgConnection,
    chosen: &Chosen,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<PooledRow>> {
    sqlx::query_as!(
        PooledRow,
        r#"
        select s.job as "job!", m.cohort as "cohort!", m.weighed as "weighed!", m.labeled as "labeled!"
        from unnest($1::text[], $2::text[], $3::text[]) as s (job, window_name, metric)
        cross join lateral (
            select h.cohort, sum(h.value * h.labeled) as weighed, sum(h.labeled)::bigint as labeled
            from trueup.metric_history h
            where h.job = s.job and h.window_name = s.window_name and h.metric = s.metric and h.model_version is null
              and h.window_end > $4 and h.window_end <= $5 and h.value is not null
            group by h.cohort
            order by (h.cohort = 'all') desc, 2 desc
            limit $6
        ) as m
        order by s.job, (m.cohort = 'all') desc, m.weighed desc
        "#,
        &chosen.jobs,
        &chosen.windows,
        &chosen.metrics,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await
}

/// The evaluation of an objective at the end of a range.
#[derive(Debug, Clone)]
pub struct PromiseRow {
    pub job: String,
    pub period_end: DateTime<Utc>,
    pub objective: f64,
    pub good: i64,
    pub total: i64,
    pub budget_left: Option<f64>,
}

/// Returns the last evaluation of each objective whose period ended in a range.
pub async fn promises(
    connection: &mut PgConnection,
    (jobs, slos): (&[String], &[String]),
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<PromiseRow>> {
    sqlx::query_as!(
        PromiseRow,
        r#"
        select s.job as "job!", e.period_end as "period_end!", e.objective as "objective!", e.good as "good!", e.total as "total!",
               e.budget_left
        from unnest($1::text[], $2::text[]) as s (job, slo)
        cross join lateral (
            select h.* from trueup.slo_history h
            where h.job = s.job and h.slo = s.slo and h.kind = 'evaluation' and h.period_end > $3 and h.period_end <= $4
            order by h.period_end desc, h.evaluated_at desc limit 1
        ) as e
        order by s.job
        "#,
        jobs,
        slos,
        from,
        to
    )
    .fetch_all(connection)
    .await
}

/// How often a rule was kept.
#[derive(Debug, Clone)]
pub struct KeptRow {
    pub job: String,
    /// Windows whose newest verdict is ok.
    pub ok: i64,
    /// Windows whose newest verdict is breach.
    pub breach: i64,
}

/// Returns, for one rule of each job, on how many windows of a range it was kept, by the newest verdicts on all that it judges.
pub async fn kept(
    connection: &mut PgConnection,
    (jobs, rules): (&[String], &[String]),
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<KeptRow>> {
    sqlx::query_as!(
        KeptRow,
        r#"
        select s.job as "job!", count(*) filter (where v.verdict = 'ok') as "ok!", count(*) filter (where v.verdict = 'breach') as "breach!"
        from unnest($1::text[], $2::text[]) as s (job, rule)
        cross join lateral (
            select distinct on (h.window_end, h.cohort, h.model_version) h.verdict from trueup.verdict_history h
            where h.job = s.job and h.rule = s.rule and h.window_end > $3 and h.window_end <= $4
            order by h.window_end, h.cohort, h.model_version, h.evaluated_at desc
        ) as v
        group by s.job
        "#,
        jobs,
        rules,
        from,
        to
    )
    .fetch_all(connection)
    .await
}
