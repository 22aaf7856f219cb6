//! Values that rules compare with: past windows, other windows, other versions, and validation values.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::clock::interval;
use crate::store::history::numbers::Numbers;
use crate::store::history::verdict::RuleKey;

/// Targets of a query, as two slices of equal length.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    pub cohorts: &'a [String],
    pub versions: &'a [Option<String>],
}

/// Selects past windows.
#[derive(Debug, Clone, Copy)]
pub struct PastQuery<'a> {
    pub window: &'a str,
    pub metric: &'a str,
    /// Ends to search at or shortly before, nearest first.
    pub ends: &'a [DateTime<Utc>],
    /// How long before such an end a window may have ended.
    pub within: TimeDelta,
    /// Label age at which windows are compared; `None`: their latest revisions count.
    pub age: Option<TimeDelta>,
}

/// A past window of one target.
#[derive(Debug, Clone)]
pub struct PastRow {
    /// Index of the target in the lists, from 1.
    pub target: i64,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub value: Option<f64>,
    pub breach: bool,
}

/// The part of a stored measurement that rules read.
#[derive(Debug, Clone)]
pub struct SampleRow {
    /// Index of the target in the lists, from 1.
    pub target: i64,
    pub predictions: i64,
    pub labeled: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
    pub numbers: Numbers,
    /// Subject of a number, by metric.
    pub notes: Option<serde_json::Value>,
}

/// Returns past windows, nearest first within each target. Windows within an incident are left out.
///
/// With `age`, the revision known at that age counts; for windows measured only later, the first revision.
pub async fn past(
    connection: &mut PgConnection,
    rule: RuleKey<'_>,
    targets: Targets<'_>,
    asked: PastQuery<'_>,
) -> sqlx::Result<Vec<PastRow>> {
    // For partition pruning: Postgres opens only the months in between.
    let Some((first, last)) = asked.ends.iter().min().zip(asked.ends.iter().max()) else { return Ok(Vec::new()) };
    let age = asked.age.unwrap_or(TimeDelta::days(100 * 365));
    sqlx::query_as!(
        PastRow,
        r#"
        select t.place as "target!", w.window_start, w.window_end, m.value, coalesce(v.breach, false) as "breach!"
        from unnest($3::timestamptz[]) with ordinality as e (ends, place)
        cross join lateral (
            select w.window_start, w.window_end
            from trueup.measured_window w
            where w.job = (select j.name from trueup.job j where j.id = $1) and w.window_name = $2 and w.window_end <= e.ends and w.window_end > e.ends - $4::interval
            order by w.window_end desc
            limit 1
        ) as w
        cross join unnest($5::text[], $6::text[]) with ordinality as t (cohort, model_version, place)
        join trueup.series known
            on known.job = (select j.name from trueup.job j where j.id = $1) and known.window_name = $2 and known.cohort = t.cohort
           and coalesce(known.model_version, '') = coalesce(t.model_version, '') and (known.model_version is null) = (t.model_version is null)
        cross join lateral (
            select case $7::text when 'predictions' then m.predictions
                                 when 'labeled' then m.labeled
                                 when 'duplicates' then coalesce(m.duplicates, 0)
                                 when 'ambiguous' then coalesce(m.ambiguous, 0)
                                 when 'coverage' then m.labeled::float8 / nullif(m.predictions, 0)
                                 when 'received' then (m.labeled + coalesce(m.excluded, 0))::float8 / nullif(m.predictions, 0)
                                 else m.numbers[(s.places -> $7::text -> 0)::int] end as value, m.removed
            from trueup.measurement m
            join trueup.metric_set s on s.id = m.metric_set_id
            where m.series_id = known.id and m.window_end = w.window_end and m.window_end > $11 and m.window_end <= $12
            order by m.as_of <= w.window_end + $8::interval desc,
                     case when m.as_of <= w.window_end + $8::interval then -m.revision else m.revision end
            limit 1
        ) as m
        left join lateral (
            select v.verdict = 'breach' as breach
            from trueup.verdict v
            where v.job_id = $1 and v.rule = $9 and v.rule_fingerprint = $10 and v.cohort = t.cohort
              and coalesce(v.model_version, '') = coalesce(t.model_version, '')
              and (v.model_version is null) = (t.model_version is null) and v.window_end = w.window_end
              and v.window_end > $11 and v.window_end <= $12 and not v.retroactive
            order by v.id desc
            limit 1
        ) as v on true
        -- A cohort that is no longer in the window has no number, not the one before.
        where not m.removed and not exists (
            select from trueup.annotation a
            join trueup.job j on j.id = $1
            where a.kind = 'incident' and (a.job is null or a.job = j.name)
              and a.starts_at < w.window_end and coalesce(a.ends_at, 'infinity') > w.window_start
        )
        order by t.place, e.place
        "#,
        rule.job_id,
        asked.window,
        asked.ends,
        interval(asked.within),
        targets.cohorts,
        targets.versions as &[Option<String>],
        asked.metric,
        interval(age),
        rule.rule,
        rule.fingerprint,
        *first - asked.within,
        last
    )
    .fetch_all(connection)
    .await
}

/// Returns the latest revision of each target in the newest window of this name that ended after `after` and by `until`.
pub async fn newest(
    connection: &mut PgConnection,
    job_id: i64,
    window: &str,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
    targets: Targets<'_>,
) -> sqlx::Result<Vec<SampleRow>> {
    let rows = sqlx::query!(
        r#"
        select t.place as "target!", m.predictions, m.labeled, coalesce(m.excluded, 0) as "excluded!",
               coalesce(m.duplicates, 0) as "duplicates!", coalesce(m.ambiguous, 0) as "ambiguous!", s.places,
               m.numbers as "numbers!: Vec<Option<f64>>", m.notes
        from (
            select window_end from trueup.measured_window
            where job = (select j.name from trueup.job j where j.id = $1) and window_name = $2 and window_end <= $3 and window_end > $4
            order by window_end desc
            limit 1
        ) as w
        cross join unnest($5::text[], $6::text[]) with ordinality as t (cohort, model_version, place)
        join trueup.series known
            on known.job = (select j.name from trueup.job j where j.id = $1) and known.window_name = $2 and known.cohort = t.cohort
           and coalesce(known.model_version, '') = coalesce(t.model_version, '') and (known.model_version is null) = (t.model_version is null)
        join trueup.measurement m
            on m.series_id = known.id and m.window_end = w.window_end and m.window_end <= $3 and m.window_end > $4
           and not m.removed and m.superseded_as_of is null
        join trueup.metric_set s on s.id = m.metric_set_id
        "#,
        job_id,
        window,
        until,
        after,
        targets.cohorts,
        targets.versions as &[Option<String>]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| SampleRow {
            target: row.target,
            predictions: row.predictions,
            labeled: row.labeled,
            excluded: row.excluded,
            duplicates: row.duplicates,
            ambiguous: row.ambiguous,
            numbers: Numbers::unpack(&row.places, &row.numbers),
            notes: row.notes,
        })
        .collect())
}

/// Returns validation values of targets, each with the index of its target in the lists, from 1.
pub async fn validation(
    connection: &mut PgConnection,
    job: &str,
    metric: &str,
    targets: Targets<'_>,
) -> sqlx::Result<Vec<(i64, f64)>> {
    let rows = sqlx::query!(
        r#"
        select t.place as "target!", b.value
        from unnest($3::text[], $4::text[]) with ordinality as t (cohort, model_version, place)
        cross join lateral (
            select value from trueup.model_baseline b
            where b.job = $1 and b.metric = $2 and b.cohort = t.cohort and b.model_version is not distinct from t.model_version
            order by b.id desc
            limit 1
        ) as b
        "#,
        job,
        metric,
        targets.cohorts,
        targets.versions as &[Option<String>]
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.target, row.value)).collect())
}

/// A validation value to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewBaseline<'a> {
    pub job: &'a str,
    pub metric: &'a str,
    pub cohort: &'a str,
    pub model_version: Option<&'a str>,
    pub value: f64,
    pub note: Option<&'a str>,
}

/// Stores a validation value; the newest counts.
pub async fn set(connection: &mut PgConnection, new: NewBaseline<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into trueup.model_baseline (job, metric, cohort, model_version, value, note) values ($1, $2, $3, $4, $5, $6)",
        new.job,
        new.metric,
        new.cohort,
        new.model_version,
        new.value,
        new.note
    )
    .execute(connection)
    .await
    .map(drop)
}
