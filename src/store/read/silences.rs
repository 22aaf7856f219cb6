//! Silences and the alerts that they mute, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A silence.
#[derive(Debug, Clone)]
pub struct SilenceRow {
    pub silence_id: i64,
    pub job: Option<String>,
    pub rule: Option<String>,
    pub cohort: Option<String>,
    pub severity: Option<String>,
    pub starts_at: DateTime<Utc>,
    pub ends_at: DateTime<Utc>,
    pub reason: String,
    pub author: String,
    pub in_force: bool,
}

/// Selects silences. `None` admits everything.
#[derive(Debug, Clone, Default)]
pub struct SilenceFilter {
    pub in_force: Option<bool>,
    /// Silences that name this job.
    pub job: Option<String>,
    /// With a job: also silences that name none.
    pub with_general: bool,
    /// Only smaller numbers.
    pub before: Option<i64>,
    pub limit: i64,
}

/// Returns silences, the newest first.
pub async fn list(connection: &mut PgConnection, filter: &SilenceFilter) -> sqlx::Result<Vec<SilenceRow>> {
    sqlx::query_as!(
        SilenceRow,
        r#"
        select silence_id as "silence_id!", job, rule, cohort, severity, starts_at as "starts_at!", ends_at as "ends_at!",
               reason as "reason!", author as "author!", in_force as "in_force!"
        from trueup.silence_history
        where ($1::boolean is null or in_force = $1) and ($2::text is null or job = $2 or $3 and job is null)
          and ($4::bigint is null or silence_id < $4)
        order by silence_id desc
        limit $5
        "#,
        filter.in_force,
        filter.job,
        filter.with_general,
        filter.before,
        filter.limit
    )
    .fetch_all(connection)
    .await
}

/// An alert and a time in which it fired.
#[derive(Debug, Clone)]
pub struct FiredRow {
    pub alert_id: i64,
    pub job: String,
    pub rule: String,
    pub severity: String,
    pub cohort: String,
    pub model_version: Option<String>,
    pub fired_at: DateTime<Utc>,
    /// `None`: it fires still.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Returns at most `most` firings that overlap a range, the newest first. One that began more than 90 days before it is left
/// out, unless it fires still.
pub async fn firings(
    connection: &mut PgConnection,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    most: i64,
) -> sqlx::Result<Vec<FiredRow>> {
    sqlx::query_as!(
        FiredRow,
        r#"
        select h.alert_id as "alert_id!", h.job as "job!", h.rule as "rule!", h.severity as "severity!", h.cohort as "cohort!",
               h.model_version, h.changed_at as "fired_at!", ended.changed_at as "ended_at?"
        from trueup.alert_history h
        join trueup.alert_state a on a.alert_id = h.alert_id
        left join lateral (
            select n.changed_at from trueup.alert_history n
            where n.alert_id = h.alert_id and n.changed_at > h.changed_at and n.from_state = 'firing' and n.to_state <> 'firing'
            order by n.changed_at limit 1
        ) as ended on true
        where h.to_state = 'firing' and h.from_state <> 'firing' and h.changed_at < $2
          and (h.changed_at >= $1::timestamptz - interval '90 days' or a.state = 'firing')
          and coalesce(ended.changed_at, 'infinity') > $1
        order by h.changed_at desc
        limit $3
        "#,
        from,
        until,
        most
    )
    .fetch_all(connection)
    .await
}
