//! One metric through time, with what rules said of it and what happened meanwhile, over the public views.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// A metric of one kind of window, cohort and version.
#[derive(Debug, Clone)]
pub struct Selector {
    pub job: String,
    pub window: String,
    pub metric: String,
    pub cohort: String,
    /// `None`: all versions together.
    pub version: Option<String>,
    /// Windows that end after this.
    pub from: DateTime<Utc>,
    /// Windows that end at or before this.
    pub to: DateTime<Utc>,
    /// Show what was known at this time. `None`: what is known now.
    pub as_of: Option<DateTime<Utc>>,
}

/// A revision of one window: the one that counts, or the first report.
#[derive(Debug, Clone)]
pub struct RevisionRow {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub status: String,
    pub revision: i32,
    /// True for the revision that counts; a first report that was superseded is listed besides.
    pub counts: bool,
    pub removed: bool,
    pub is_kept: bool,
}

/// Returns the start of the range of the newest `most` windows over everything, and the newest end; `None` without any.
pub async fn newest(
    connection: &mut PgConnection,
    (job, window): (&str, &str),
    until: Option<DateTime<Utc>>,
    most: i64,
) -> sqlx::Result<Option<(DateTime<Utc>, DateTime<Utc>)>> {
    let row = sqlx::query!(
        r#"
        select min(window_start) as first_start, min(window_end) as first_end, max(window_end) as last_end
        from (
            select window_start, window_end from trueup.window_history
            where job = $1 and window_name = $2 and cohort = 'all' and model_version is null
              and window_end <= coalesce($3, 'infinity'::timestamptz)
            order by window_end desc limit $4
        ) as newest
        "#,
        job,
        window,
        until,
        most
    )
    .fetch_one(connection)
    .await?;
    Ok(row.first_end.zip(row.last_end))
}

/// Returns, for each window of the range, the revision that counts and the first report, in order of time: at most `most` rows.
pub async fn revisions(connection: &mut PgConnection, of: &Selector, most: i64) -> sqlx::Result<Vec<RevisionRow>> {
    sqlx::query_as!(
        RevisionRow,
        r#"
        select window_start as "window_start!", window_end as "window_end!", value, ci_low, ci_high, labeled as "labeled!",
               predictions as "predictions!",
               case when finalized_at <= coalesce($8, 'infinity'::timestamptz) then 'final' else 'provisional' end as "status!",
               revision as "revision!", removed as "removed!", source_gone_at is not null as "is_kept!",
               (as_of <= coalesce($8, 'infinity'::timestamptz)
                and (superseded_as_of is null or superseded_as_of > coalesce($8, 'infinity'::timestamptz))) as "counts!"
        from trueup.metric_revisions
        where job = $1 and window_name = $2 and metric = $3 and cohort = $4
          and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
          and window_end > $6 and window_end <= $7
          and (first_reported or superseded_as_of is null or $8::timestamptz is not null)
          and as_of <= coalesce($8, 'infinity'::timestamptz)
          and (first_reported or superseded_as_of is null or superseded_as_of > coalesce($8, 'infinity'::timestamptz))
        order by window_end, revision
        limit $9
        "#,
        of.job,
        of.window,
        of.metric,
        of.cohort,
        of.version,
        of.from,
        of.to,
        of.as_of,
        most
    )
    .fetch_all(connection)
    .await
}

/// A verdict of a rule on a window.
#[derive(Debug, Clone)]
pub struct VerdictRow {
    pub rule: String,
    pub severity: String,
    pub window_end: DateTime<Utc>,
    pub verdict: String,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub baseline: Option<f64>,
    pub labeled: Option<i64>,
    pub reason: String,
    pub retroactive: bool,
    pub evaluated_at: DateTime<Utc>,
}

/// Returns the verdicts of some rules on the windows of a range, in the order in which they were given.
pub async fn verdicts(connection: &mut PgConnection, of: &Selector, rules: &[String]) -> sqlx::Result<Vec<VerdictRow>> {
    sqlx::query_as!(
        VerdictRow,
        r#"
        select rule as "rule!", severity as "severity!", window_end as "window_end!", verdict as "verdict!", value, limit_value,
               baseline, labeled, reason as "reason!", retroactive as "retroactive!", evaluated_at as "evaluated_at!"
        from trueup.verdict_history
        where job = $1 and rule = any($2) and cohort = $3
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
          and window_end > $5 and window_end <= $6 and evaluated_at <= coalesce($7, 'infinity'::timestamptz)
        order by window_end, evaluated_at
        "#,
        of.job,
        rules,
        of.cohort,
        of.version,
        of.from,
        of.to,
        of.as_of
    )
    .fetch_all(connection)
    .await
}

/// A change of state of an alert.
#[derive(Debug, Clone)]
pub struct TransitionRow {
    pub alert_id: i64,
    pub rule: String,
    pub from_state: String,
    pub to_state: String,
    pub since: Option<DateTime<Utc>>,
    pub reason: String,
    pub changed_at: DateTime<Utc>,
    /// End of the window whose verdict changed it.
    pub window_end: Option<DateTime<Utc>>,
}

/// Returns the changes of the alerts of some rules on one cohort and version, in order of time.
pub async fn transitions(
    connection: &mut PgConnection,
    of: &Selector,
    rules: &[String],
) -> sqlx::Result<Vec<TransitionRow>> {
    sqlx::query_as!(
        TransitionRow,
        r#"
        select alert_id as "alert_id!", rule as "rule!", from_state as "from_state!", to_state as "to_state!", since,
               reason as "reason!", changed_at as "changed_at!", (evidence ->> 'window_end')::timestamptz as window_end
        from trueup.alert_history
        where job = $1 and rule = any($2) and cohort = $3
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
          and changed_at <= coalesce($5, 'infinity'::timestamptz)
        order by alert_id, changed_at
        "#,
        of.job,
        rules,
        of.cohort,
        of.version,
        of.as_of
    )
    .fetch_all(connection)
    .await
}

/// Something that happened to the model or its data.
#[derive(Debug, Clone)]
pub struct AnnotationRow {
    /// `None`: all jobs.
    pub job: Option<String>,
    pub kind: String,
    pub starts_at: DateTime<Utc>,
    pub ends_at: Option<DateTime<Utc>>,
    pub note: String,
    pub author: String,
}

/// Returns the newest annotations that overlap a range, oldest first: of a job those of all jobs as well.
pub async fn annotations(
    connection: &mut PgConnection,
    job: Option<&str>,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    most: i64,
) -> sqlx::Result<Vec<AnnotationRow>> {
    let mut rows = sqlx::query_as!(
        AnnotationRow,
        r#"
        select job, kind, starts_at, ends_at, note, author
        from trueup.annotation
        where ($1::text is null or job is null or job = $1)
          and ($2::timestamptz is null or coalesce(ends_at, starts_at) >= $2) and ($3::timestamptz is null or starts_at <= $3)
        order by starts_at desc, id desc
        limit $4
        "#,
        job,
        from,
        to,
        most
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// A silence that covered a part of a range.
#[derive(Debug, Clone)]
pub struct QuietRow {
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
}

/// Returns the silences of a job that overlap a range. A star in a pattern stands for any text.
pub async fn silences(
    connection: &mut PgConnection,
    job: &str,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> sqlx::Result<Vec<QuietRow>> {
    sqlx::query_as!(
        QuietRow,
        r#"
        select rule, cohort, starts_at as "starts_at!", ends_at as "ends_at!"
        from trueup.silence_history
        where (job is null or job = $1) and starts_at < $3 and ends_at > $2
        order by starts_at
        limit 200
        "#,
        job,
        from,
        to
    )
    .fetch_all(connection)
    .await
}

/// The first report and the final value of a window that is finished.
#[derive(Debug, Clone)]
pub struct FinishedRow {
    pub first_value: f64,
    pub final_value: f64,
}

/// Returns the newest finished windows before a time whose first report had a value, for the usual correction.
pub async fn finished(connection: &mut PgConnection, of: &Selector, most: i64) -> sqlx::Result<Vec<FinishedRow>> {
    sqlx::query_as!(
        FinishedRow,
        r#"
        select f.value as "first_value!", l.value as "final_value!"
        from (
            select window_end, value from trueup.metric_history
            where job = $1 and window_name = $2 and metric = $3 and cohort = $4
              and coalesce(model_version, '') = coalesce($5, '') and (model_version is null) = ($5::text is null)
              and status = 'final' and value is not null and window_end <= $6
            order by window_end desc limit $7
        ) as l
        join trueup.metric_revisions f
            on f.job = $1 and f.window_name = $2 and f.metric = $3 and f.cohort = $4
           and coalesce(f.model_version, '') = coalesce($5, '') and (f.model_version is null) = ($5::text is null)
           and f.window_end = l.window_end and f.first_reported
        where f.value > 0
        "#,
        of.job,
        of.window,
        of.metric,
        of.cohort,
        of.version,
        of.to,
        most
    )
    .fetch_all(connection)
    .await
}

/// Names that the filters of a job's pages offer.
#[derive(Debug, Clone)]
pub struct Names {
    pub cohorts: Vec<String>,
    pub versions: Vec<String>,
}

/// Returns cohorts and versions of the newest window of a kind, at most `most` of each.
pub async fn names(
    connection: &mut PgConnection,
    (job, window): (&str, &str),
    end: DateTime<Utc>,
    most: i64,
) -> sqlx::Result<Names> {
    sqlx::query_as!(
        Names,
        r#"
        with measured as (
            select cohort, model_version, labeled from trueup.window_history
            where job = $1 and window_name = $2 and window_end = $3
        )
        select array(select cohort from measured group by cohort order by cohort <> 'all', max(labeled) desc, cohort limit $4) as "cohorts!",
               array(select model_version from measured where model_version is not null
                     group by model_version order by max(labeled) desc, model_version limit $4) as "versions!"
        "#,
        job,
        window,
        end,
        most
    )
    .fetch_one(connection)
    .await
}

/// An alert that is open now.
#[derive(Debug, Clone)]
pub struct OpenAlertRow {
    pub alert_id: i64,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub acked_by: Option<String>,
    pub suppressed_by: Option<String>,
    pub incident_id: Option<i64>,
    pub about: Json,
}

/// Returns the open alerts of a job, firing and severe ones first.
pub async fn open_alerts(connection: &mut PgConnection, job: &str) -> sqlx::Result<Vec<OpenAlertRow>> {
    sqlx::query_as!(
        OpenAlertRow,
        r#"
        select alert_id as "alert_id!", rule as "rule!", severity as "severity!", cohort as "cohort!", model_version,
               state as "state!", since, value as "value?", limit_value as "limit_value?", acked_by, suppressed_by, incident_id,
               about as "about!"
        from trueup.alert_state
        where job = $1 and state in ('firing', 'pending')
        order by state, array_position(array['page', 'ticket', 'info'], severity), since, rule, cohort
        limit 500
        "#,
        job
    )
    .fetch_all(connection)
    .await
}
