//! Verdicts of rules on windows, passes included.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::months::{self, Monthly};

/// A verdict to be stored.
#[derive(Debug, Clone)]
pub struct NewVerdict {
    pub cohort: String,
    pub model_version: Option<String>,
    /// `None` if it is not about one measured window.
    pub window_id: Option<i64>,
    pub window_name: String,
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub verdict: &'static str,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub baseline: Option<f64>,
    pub labeled: Option<i64>,
    pub coverage: Option<f64>,
    pub reason: String,
    pub retroactive: bool,
}

/// The rule that was evaluated, and the run that did it.
#[derive(Debug, Clone, Copy)]
pub struct RuleKey<'a> {
    pub job_id: i64,
    pub run_id: i64,
    pub rule: &'a str,
    pub fingerprint: &'a str,
    pub severity: &'a str,
}

/// The latest verdict on one window of one target.
#[derive(Debug, Clone)]
pub struct Recent {
    /// Index of the target in the request, from 1.
    pub target: i64,
    pub window_end: DateTime<Utc>,
    pub breach: bool,
    pub value: Option<f64>,
}

/// Stores verdicts of one rule.
pub async fn insert(connection: &mut PgConnection, rule: RuleKey<'_>, verdicts: &[NewVerdict]) -> sqlx::Result<()> {
    let cohorts: Vec<String> = verdicts.iter().map(|v| v.cohort.clone()).collect();
    let versions: Vec<Option<String>> = verdicts.iter().map(|v| v.model_version.clone()).collect();
    let windows: Vec<Option<i64>> = verdicts.iter().map(|v| v.window_id).collect();
    let names: Vec<String> = verdicts.iter().map(|v| v.window_name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = verdicts.iter().map(|v| v.window_start).collect();
    let ends: Vec<DateTime<Utc>> = verdicts.iter().map(|v| v.window_end).collect();
    months::add(connection, Monthly::Verdict, &ends).await?;
    let words: Vec<String> = verdicts.iter().map(|v| v.verdict.to_owned()).collect();
    let values: Vec<Option<f64>> = verdicts.iter().map(|v| v.value).collect();
    let baselines: Vec<Option<f64>> = verdicts.iter().map(|v| v.baseline).collect();
    let limits: Vec<Option<f64>> = verdicts.iter().map(|v| v.limit_value).collect();
    let labeled: Vec<Option<i64>> = verdicts.iter().map(|v| v.labeled).collect();
    let coverage: Vec<Option<f64>> = verdicts.iter().map(|v| v.coverage).collect();
    let reasons: Vec<String> = verdicts.iter().map(|v| v.reason.clone()).collect();
    let retroactive: Vec<bool> = verdicts.iter().map(|v| v.retroactive).collect();
    sqlx::query!(
        r#"
        insert into trueup.verdict
            (job_id, rule, rule_fingerprint, severity, run_id, cohort, model_version, window_id, window_end, verdict, value,
             limit_value, labeled, coverage, reason, retroactive, window_name, window_start, baseline)
        select $1, $2, $3, $4, $5, v.cohort, v.model_version, v.window_id, v.window_end, v.verdict, v.value, v.limit_value,
               v.labeled, v.coverage, v.reason, v.retroactive, v.window_name, v.window_start, v.baseline
        from unnest($6::text[], $7::text[], $8::bigint[], $9::timestamptz[], $10::text[], $11::float8[], $12::float8[],
                    $13::bigint[], $14::float8[], $15::text[], $16::bool[], $17::text[], $18::timestamptz[], $19::float8[])
            with ordinality
            as v (cohort, model_version, window_id, window_end, verdict, value, limit_value, labeled, coverage, reason, retroactive,
                  window_name, window_start, baseline, place)
        order by v.place
        "#,
        rule.job_id,
        rule.rule,
        rule.fingerprint,
        rule.severity,
        rule.run_id,
        &cohorts,
        &versions as &[Option<String>],
        &windows as &[Option<i64>],
        &ends,
        &words,
        &values as &[Option<f64>],
        &limits as &[Option<f64>],
        &labeled as &[Option<i64>],
        &coverage as &[Option<f64>],
        &reasons,
        &retroactive,
        &names,
        &starts,
        &baselines as &[Option<f64>]
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the last `count` windows judged ok or breach that ended after `since`, newest first, for each target of a rule.
pub async fn recent(
    connection: &mut PgConnection,
    rule: RuleKey<'_>,
    cohorts: &[String],
    versions: &[Option<String>],
    count: i64,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<Recent>> {
    sqlx::query_as!(
        Recent,
        r#"
        select t.place as "target!", x.window_end, x.verdict = 'breach' as "breach!", x.value
        from unnest($4::text[], $5::text[]) with ordinality as t (cohort, model_version, place)
        cross join lateral (
            -- Read in the order of the index until enough are found, however many that count for nothing lie between.
            select latest.* from (
                select distinct on (v.window_end) v.window_end, v.verdict, v.value
                from trueup.verdict v
                where v.job_id = $1 and v.rule = $2 and v.rule_fingerprint = $3 and v.cohort = t.cohort
                  and coalesce(v.model_version, '') = coalesce(t.model_version, '')
                  and (v.model_version is null) = (t.model_version is null) and not v.retroactive and v.window_end > $7
                order by v.window_end desc, v.id desc
            ) as latest
            where latest.verdict in ('ok', 'breach')
            order by latest.window_end desc
            limit $6::bigint
        ) as x
        order by t.place, x.window_end desc
        "#,
        rule.job_id,
        rule.rule,
        rule.fingerprint,
        cohorts,
        versions as &[Option<String>],
        count,
        since
    )
    .fetch_all(connection)
    .await
}

/// Returns targets of a rule that had predictions in a window that ended after `since`.
pub async fn known_targets(
    connection: &mut PgConnection,
    rule: RuleKey<'_>,
    since: DateTime<Utc>,
) -> sqlx::Result<Vec<(String, Option<String>)>> {
    let rows = sqlx::query!(
        r#"
        select distinct cohort, model_version from trueup.verdict
        where job_id = $1 and rule = $2 and rule_fingerprint = $3 and window_end > $4 and verdict <> 'no_data'
        "#,
        rule.job_id,
        rule.rule,
        rule.fingerprint,
        since
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.cohort, row.model_version)).collect())
}
