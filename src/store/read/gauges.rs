//! State of the ledger in numbers, for Prometheus.

use sqlx::PgConnection;

/// The ledger at one moment.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    pub jobs: Vec<JobGauges>,
    /// Messages that are not delivered yet.
    pub pending: i64,
    /// Time that the oldest overdue message has waited.
    pub oldest_seconds: Option<f64>,
}

/// One job at one moment.
#[derive(Debug, Clone)]
pub struct JobGauges {
    pub name: String,
    /// Age of the newest published `as_of`.
    pub lag_seconds: Option<f64>,
    pub unfinished: i64,
    pub pages: i64,
    pub tickets: i64,
    pub infos: i64,
}

/// Reads all gauges.
pub async fn read(connection: &mut PgConnection, jobs: &[String]) -> sqlx::Result<Gauges> {
    let jobs = sqlx::query_as!(
        JobGauges,
        r#"
        select j.name, extract(epoch from clock_timestamp() - j.published_as_of)::float8 as lag_seconds,
               (select count(*) from trueup.run r where r.job_id = j.id and r.state in ('due', 'running')) as "unfinished!",
               count(a.id) filter (where a.severity = 'page') as "pages!", count(a.id) filter (where a.severity = 'ticket') as "tickets!",
               count(a.id) filter (where a.severity = 'info') as "infos!"
        from trueup.job j
        left join trueup.alert a on a.job_id = j.id and a.state = 'firing'
        where j.name = any($1)
        group by j.id
        order by j.name
        "#,
        jobs
    )
    .fetch_all(&mut *connection)
    .await?;
    let outbox = sqlx::query!(
        r#"
        select count(*) as "pending!",
               extract(epoch from max(clock_timestamp() - coalesce(first_due_at, next_attempt_at)))::float8 as oldest_seconds
        from trueup.notification where state = 'pending' and kind <> 'heartbeat'
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(Gauges { jobs, pending: outbox.pending, oldest_seconds: outbox.oldest_seconds })
}
