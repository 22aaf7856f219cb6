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

/// Selects the verdicts on one target of a rule that decide about its alert.
#[derive(Debug, Clone, Copy)]
pub struct RecentQuery<'a> {
    pub rule: &'a str,
    pub fingerprint: &'a str,
    pub cohort: &'a str,
    pub model_version: Option<&'a str>,
    /// Most windows to return.
    pub most: i64,
    /// Windows that ended at or before this do not count.
    pub since: DateTime<Utc>,
}

/// Selects the targets of a rule that had predictions in a window that ended after `since`.
#[derive(Debug, Clone, Copy)]
pub struct KnownQuery<'a> {
    pub rule: &'a str,
    pub fingerprint: &'a str,
    pub since: DateTime<Utc>,
}

/// A target of a rule that had predictions.
#[derive(Debug, Clone)]
pub struct Known {
    /// Index of the query in the request, from 1.
    pub query: i64,
    pub cohort: String,
    pub model_version: Option<String>,
}

/// The latest verdict on one window of one target.
#[derive(Debug, Clone)]
pub struct Recent {
    /// Index of the query in the request, from 1.
    pub query: i64,
    pub window_end: DateTime<Utc>,
    pub breach: bool,
    pub value: Option<f64>,
}

/// Verdicts in one statement: a first run may have millions, more than a message to the server may hold.
const AT_ONCE: usize = 20_000;

/// Stores verdicts of any number of rules of one run, in order.
pub async fn insert(
    connection: &mut PgConnection,
    (job_id, run_id): (i64, i64),
    verdicts: &[(RuleKey<'_>, &NewVerdict)],
) -> sqlx::Result<()> {
    for some in verdicts.chunks(AT_ONCE) {
        insert_some(connection, (job_id, run_id), some).await?;
    }
    Ok(())
}

async fn insert_some(
    connection: &mut PgConnection,
    (job_id, run_id): (i64, i64),
    verdicts: &[(RuleKey<'_>, &NewVerdict)],
) -> sqlx::Result<()> {
    let rules: Vec<String> = verdicts.iter().map(|(rule, _)| rule.rule.to_owned()).collect();
    let fingerprints: Vec<String> = verdicts.iter().map(|(rule, _)| rule.fingerprint.to_owned()).collect();
    let severities: Vec<String> = verdicts.iter().map(|(rule, _)| rule.severity.to_owned()).collect();
    let cohorts: Vec<String> = verdicts.iter().map(|(_, v)| v.cohort.clone()).collect();
    let versions: Vec<Option<String>> = verdicts.iter().map(|(_, v)| v.model_version.clone()).collect();
    let windows: Vec<Option<i64>> = verdicts.iter().map(|(_, v)| v.window_id).collect();
    let names: Vec<String> = verdicts.iter().map(|(_, v)| v.window_name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = verdicts.iter().map(|(_, v)| v.window_start).collect();
    let ends: Vec<DateTime<Utc>> = verdicts.iter().map(|(_, v)| v.window_end).collect();
    months::add(connection, Monthly::Verdict, &ends).await?;
    let words: Vec<String> = verdicts.iter().map(|(_, v)| v.verdict.to_owned()).collect();
    let values: Vec<Option<f64>> = verdicts.iter().map(|(_, v)| v.value).collect();
    let baselines: Vec<Option<f64>> = verdicts.iter().map(|(_, v)| v.baseline).collect();
    let limits: Vec<Option<f64>> = verdicts.iter().map(|(_, v)| v.limit_value).collect();
    let labeled: Vec<Option<i64>> = verdicts.iter().map(|(_, v)| v.labeled).collect();
    let coverage: Vec<Option<f64>> = verdicts.iter().map(|(_, v)| v.coverage).collect();
    let reasons: Vec<String> = verdicts.iter().map(|(_, v)| v.reason.clone()).collect();
    let retroactive: Vec<bool> = verdicts.iter().map(|(_, v)| v.retroactive).collect();
    sqlx::query!(
        r#"
        insert into trueup.verdict
            (job_id, rule, rule_fingerprint, severity, run_id, cohort, model_version, window_id, window_end, verdict, value,
             limit_value, labeled, coverage, reason, retroactive, window_name, window_start, baseline)
        select $1, v.rule, v.fingerprint, v.severity, $5, v.cohort, v.model_version, v.window_id, v.window_end, v.verdict, v.value,
               v.limit_value, v.labeled, v.coverage, v.reason, v.retroactive, v.window_name, v.window_start, v.baseline
        from unnest($2::text[], $3::text[], $4::text[], $6::text[], $7::text[], $8::bigint[], $9::timestamptz[], $10::text[],
                    $11::float8[], $12::float8[], $13::bigint[], $14::float8[], $15::text[], $16::bool[], $17::text[],
                    $18::timestamptz[], $19::float8[])
            with ordinality
            as v (rule, fingerprint, severity, cohort, model_version, window_id, window_end, verdict, value, limit_value, labeled,
                  coverage, reason, retroactive, window_name, window_start, baseline, place)
        order by v.place
        "#,
        job_id,
        &rules,
        &fingerprints,
        &severities,
        run_id,
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

/// Returns, for each query, the last windows judged ok or breach, newest first.
pub async fn recent(
    connection: &mut PgConnection,
    job_id: i64,
    queries: &[RecentQuery<'_>],
) -> sqlx::Result<Vec<Recent>> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let rules: Vec<String> = queries.iter().map(|query| query.rule.to_owned()).collect();
    let fingerprints: Vec<String> = queries.iter().map(|query| query.fingerprint.to_owned()).collect();
    let cohorts: Vec<String> = queries.iter().map(|query| query.cohort.to_owned()).collect();
    let versions: Vec<Option<String>> = queries.iter().map(|query| query.model_version.map(str::to_owned)).collect();
    let most: Vec<i64> = queries.iter().map(|query| query.most).collect();
    let since: Vec<DateTime<Utc>> = queries.iter().map(|query| query.since).collect();
    // For partition pruning: Postgres opens only the months after it.
    let oldest = since.iter().min().copied().unwrap_or_default();
    sqlx::query_as!(
        Recent,
        r#"
        select t.place as "query!", x.window_end, x.verdict = 'breach' as "breach!", x.value
        from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[]) with ordinality
            as t (rule, fingerprint, cohort, model_version, most, since, place)
        cross join lateral (
            -- Read in the order of the index until enough are found, however many that count for nothing lie between.
            select latest.* from (
                select distinct on (v.window_end) v.window_end, v.verdict, v.value
                from trueup.verdict v
                where v.job_id = $1 and v.rule = t.rule and v.rule_fingerprint = t.fingerprint and v.cohort = t.cohort
                  and coalesce(v.model_version, '') = coalesce(t.model_version, '')
                  and (v.model_version is null) = (t.model_version is null) and not v.retroactive
                  and v.window_end > t.since and v.window_end > $8
                order by v.window_end desc, v.id desc
            ) as latest
            where latest.verdict in ('ok', 'breach')
            order by latest.window_end desc
            limit t.most
        ) as x
        order by t.place, x.window_end desc
        "#,
        job_id,
        &rules,
        &fingerprints,
        &cohorts,
        &versions as &[Option<String>],
        &most,
        &since,
        oldest
    )
    .fetch_all(connection)
    .await
}

/// Returns, for each query, the targets that had predictions.
pub async fn known_targets(
    connection: &mut PgConnection,
    job_id: i64,
    queries: &[KnownQuery<'_>],
) -> sqlx::Result<Vec<Known>> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let rules: Vec<String> = queries.iter().map(|query| query.rule.to_owned()).collect();
    let fingerprints: Vec<String> = queries.iter().map(|query| query.fingerprint.to_owned()).collect();
    let since: Vec<DateTime<Utc>> = queries.iter().map(|query| query.since).collect();
    let oldest = since.iter().min().copied().unwrap_or_default();
    sqlx::query_as!(
        Known,
        r#"
        select distinct t.place as "query!", v.cohort, v.model_version
        from unnest($2::text[], $3::text[], $4::timestamptz[]) with ordinality as t (rule, fingerprint, since, place)
        join trueup.verdict v
            on v.rule = t.rule and v.rule_fingerprint = t.fingerprint and v.window_end > t.since
        where v.job_id = $1 and v.window_end > $5 and v.verdict <> 'no_data'
        "#,
        job_id,
        &rules,
        &fingerprints,
        &since,
        oldest
    )
    .fetch_all(connection)
    .await
}
