//! Times at which alerts fired, and what final labels said later, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Selects firings.
#[derive(Debug, Clone, Default)]
pub struct FiringFilter {
    pub jobs: Vec<String>,
    pub rule: Option<String>,
    pub severity: Option<String>,
    pub cohort: Option<String>,
    pub version: Option<String>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub limit: i64,
}

/// One firing of an alert, from its beginning to its end.
#[derive(Debug, Clone)]
pub struct FiringRow {
    pub job: String,
    pub rule: String,
    pub alert_id: i64,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    /// End of the first window of the breach.
    pub since: Option<DateTime<Utc>>,
    pub fired_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_because: Option<String>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub incident_id: Option<i64>,
    pub acked_at: Option<DateTime<Utc>>,
    pub acked_by: Option<String>,
    /// `useful` or `false_alarm`, as a user marked it.
    pub mark: Option<String>,
    /// The newest verdict of each window that made it fire, retroactive ones included.
    pub verdicts: Vec<String>,
}

/// Returns the newest firings whose window ended in a range, newest first. Those of runs and deliveries have no window; their
/// own time counts.
pub async fn list(connection: &mut PgConnection, filter: &FiringFilter) -> sqlx::Result<Vec<FiringRow>> {
    sqlx::query_as!(
        FiringRow,
        r#"
        select h.job as "job!", h.rule as "rule!", h.alert_id as "alert_id!", h.severity as "severity!", h.cohort as "cohort!",
               h.model_version, h.since, h.changed_at as "fired_at!", ended.changed_at as "ended_at?", ended.reason as "ended_because?",
               h.value, h.limit_value, incident.incident_id as "incident_id?", acked.acted_at as "acked_at?", acked.author as "acked_by?",
               mark.kind as "mark?", coalesce(judged.verdicts, '{}') as "verdicts!"
        from trueup.alert_history h
        left join lateral (
            select e.changed_at, e.reason from trueup.alert_history e
            where e.alert_id = h.alert_id and e.changed_at > h.changed_at and e.from_state = 'firing' and e.to_state <> 'firing'
            order by e.changed_at limit 1
        ) as ended on true
        left join lateral (
            select x.acted_at, x.author from trueup.alert_action_history x
            where x.alert_id = h.alert_id and x.action = 'acknowledged' and x.acted_at >= h.changed_at
              and x.acted_at <= coalesce(ended.changed_at, 'infinity')
            order by x.acted_at limit 1
        ) as acked on true
        left join lateral (
            select e.incident_id from trueup.incident_evidence_history e
            where e.alert_id = h.alert_id and e.frozen_at <= coalesce(ended.changed_at, 'infinity')
            order by e.frozen_at desc limit 1
        ) as incident on true
        left join lateral (
            select n.kind from trueup.incident_note_history n
            where n.incident_id = incident.incident_id and n.kind in ('useful', 'false_alarm')
              and (n.alert_id is null or n.alert_id = h.alert_id)
            order by n.note_id desc limit 1
        ) as mark on true
        left join lateral (
            select array_agg(newest.verdict order by newest.window_end) as verdicts
            from (
                select distinct on (v.window_end) v.window_end, v.verdict
                from trueup.verdict_history v
                where v.job = h.job and v.rule = h.rule and v.cohort = h.cohort and v.model_version is not distinct from h.model_version
                  and v.window_end >= h.since and v.window_end <= coalesce((h.evidence ->> 'window_end')::timestamptz, h.since)
                order by v.window_end, v.evaluated_at desc
                limit 200
            ) as newest
        ) as judged on true
        where h.job = any($1) and ($2::text is null or h.rule = $2) and ($3::text is null or h.severity = $3)
          and ($4::text is null or h.cohort = $4) and ($5::text is null or h.model_version = $5)
          and h.to_state = 'firing' and h.from_state <> 'firing' and coalesce((h.evidence ->> 'window_end')::timestamptz, h.since, h.changed_at) > $6
          and coalesce((h.evidence ->> 'window_end')::timestamptz, h.since, h.changed_at) <= $7
        order by h.changed_at desc, h.alert_id desc
        limit $8
        "#,
        &filter.jobs,
        filter.rule,
        filter.severity,
        filter.cohort,
        filter.version,
        filter.from,
        filter.to,
        filter.limit
    )
    .fetch_all(connection)
    .await
}

/// A verdict of a rule on a window, with the verdict by later labels if there is one.
#[derive(Debug, Clone)]
pub struct StripRow {
    pub window_start: DateTime<Utc>,
    pub window_end: DateTime<Utc>,
    pub window_name: String,
    pub verdict: Option<String>,
    pub later_verdict: Option<String>,
    pub value: Option<f64>,
    pub limit_value: Option<f64>,
    pub reason: String,
}

/// A rule on a cohort and version.
#[derive(Debug, Clone)]
pub struct StripFilter {
    pub job: String,
    pub rule: String,
    pub cohort: String,
    pub version: Option<String>,
    /// Windows that end after this; `None`: the newest.
    pub from: Option<DateTime<Utc>>,
    pub to: Option<DateTime<Utc>>,
    pub limit: i64,
}

/// Returns the verdicts on the newest windows of a range, oldest first: the last one given at its time, and the last retroactive one.
pub async fn strip(connection: &mut PgConnection, of: &StripFilter) -> sqlx::Result<Vec<StripRow>> {
    let mut rows = sqlx::query_as!(
        StripRow,
        r#"
        select window_start as "window_start!", window_end as "window_end!", window_name as "window_name!",
               (array_agg(verdict order by evaluated_at desc) filter (where not retroactive))[1] as verdict,
               (array_agg(verdict order by evaluated_at desc) filter (where retroactive))[1] as later_verdict,
               (array_agg(value order by evaluated_at desc))[1] as value,
               (array_agg(limit_value order by evaluated_at desc))[1] as limit_value,
               (array_agg(reason order by evaluated_at desc))[1] as "reason!"
        from trueup.verdict_history
        where job = $1 and rule = $2 and cohort = $3
          and coalesce(model_version, '') = coalesce($4, '') and (model_version is null) = ($4::text is null)
          and window_end > coalesce($5, '-infinity'::timestamptz) and window_end <= coalesce($6, 'infinity'::timestamptz)
        group by window_start, window_end, window_name
        order by window_end desc
        limit $7
        "#,
        of.job,
        of.rule,
        of.cohort,
        of.version,
        of.from,
        of.to,
        of.limit
    )
    .fetch_all(connection)
    .await?;
    rows.reverse();
    Ok(rows)
}

/// Targets of a rule that have alerts.
#[derive(Debug, Clone)]
pub struct TargetRow {
    pub cohort: String,
    pub model_version: Option<String>,
    pub severity: String,
    pub state: String,
}

/// Returns the alerts of a rule, firing ones first.
pub async fn targets(connection: &mut PgConnection, job: &str, rule: &str, most: i64) -> sqlx::Result<Vec<TargetRow>> {
    sqlx::query_as!(
        TargetRow,
        r#"
        select cohort as "cohort!", model_version, severity as "severity!", state as "state!"
        from trueup.alert_state
        where job = $1 and rule = $2
        order by (state = 'firing') desc, (state = 'pending') desc, (cohort = 'all') desc, changed_at desc
        limit $3
        "#,
        job,
        rule,
        most
    )
    .fetch_all(connection)
    .await
}

/// Returns a cohort and version that a rule judges: everything, if it judges that, else any of its newest window.
pub async fn judged_target(
    connection: &mut PgConnection,
    job: &str,
    rule: &str,
) -> sqlx::Result<Option<(String, Option<String>)>> {
    let row = sqlx::query!(
        r#"
        select cohort as "cohort!", model_version
        from trueup.verdict_history
        where job = $1 and rule = $2
        order by window_end desc, (cohort = 'all') desc, cohort, model_version
        limit 1
        "#,
        job,
        rule
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.cohort, row.model_version)))
}

/// Returns the names of rules that have alerts of a job, those without a definition now included.
pub async fn rules(connection: &mut PgConnection, job: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select distinct rule as "rule!" from trueup.alert_state where job = $1 order by 1 limit 200"#,
        job
    )
    .fetch_all(connection)
    .await
}
