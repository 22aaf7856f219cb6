//! Traces of everything that can change a page, for conditional requests, over the public views.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// State of a job, or of all jobs, in which every change shows.
#[derive(Debug, Clone, Hash)]
pub struct Traces {
    /// Names, states, lateness, publications and runs of the jobs.
    pub jobs: String,
    /// The minute, while a job is not calm or an incident is open: pages then show how long that lasts.
    pub minute: Option<DateTime<Utc>>,
    pub alert: Option<DateTime<Utc>>,
    pub action: Option<i64>,
    pub note: Option<i64>,
    pub annotation: Option<i64>,
    pub silence: Option<i64>,
    pub silence_end: Option<DateTime<Utc>>,
    pub silences_in_force: i64,
    pub notification: Option<i64>,
    pub settled: Option<DateTime<Utc>>,
    /// The database clock.
    pub now: DateTime<Utc>,
}

/// Returns the traces of a job, or of all jobs. Alerts count for a week after their last change: older ones cannot be the newest
/// change of a job that publishes.
pub async fn traces(connection: &mut PgConnection, job: Option<&str>) -> sqlx::Result<Traces> {
    sqlx::query_as!(
        Traces,
        r#"
        with jobs as (
            select job, state, is_late, published_as_of, last_run_state, last_run_scheduled_for, unsure_rule, unacknowledged, about
            from trueup.job_state where $1::text is null or job = $1
        )
        select (select md5(coalesce(string_agg(j::text, '|' order by job), '')) from jobs j) as "jobs!",
               case when exists (select from jobs where state <> 'ok') or exists (
                   select from trueup.incident_history where closed_at is null
               ) then date_trunc('minute', clock_timestamp()) end as minute,
               (select max(changed_at) from trueup.alert_state
                where ($1::text is null or job = $1) and changed_at > clock_timestamp() - interval '7 days') as alert,
               (select max(action_id) from trueup.alert_action_history) as action,
               (select max(note_id) from trueup.incident_note_history) as note,
               (select max(id) from trueup.annotation) as annotation,
               (select max(silence_id) from trueup.silence_history) as silence,
               (select max(ends_at) from trueup.silence_history) as silence_end,
               (select count(*) from trueup.silence_history where in_force and starts_at <= clock_timestamp()) as "silences_in_force!",
               (select max(sequence) from trueup.notification_state where $1::text is null or job = $1) as notification,
               (select max(settled_at) from trueup.notification_state) as settled,
               clock_timestamp() as "now!"
        "#,
        job
    )
    .fetch_one(connection)
    .await
}
