//! What is removed when it is old. Of a measurement the first report stays, which is what was believed, and the latest
//! revision, which is what is true: no view shows another number of a window because it is old.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// What one round removed, in rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    pub revisions: u64,
    pub samples: u64,
    pub buckets: u64,
    /// Messages that were settled long ago.
    pub messages: u64,
}

impl Removed {
    /// Whether there may be more.
    pub fn is_full(self, most: i64) -> bool {
        let most = most.unsigned_abs();
        [self.revisions, self.samples, self.buckets, self.messages].into_iter().any(|rows| rows >= most)
    }
}

/// What is old enough to go.
#[derive(Debug, Clone)]
pub struct Old<'a> {
    /// Windows that ended before this.
    pub windows: DateTime<Utc>,
    /// Buckets of these jobs that end before this: no window needs them any more.
    pub buckets: DateTime<Utc>,
    pub jobs: &'a [String],
}

/// Removes the revisions between the first and the latest and the worst samples of old windows, old buckets and old messages. At most `most` rows of each, so that
/// no transaction is long. None when another runner is at it. Verdicts go by months, see [`super::months`].
pub async fn prune(connection: &mut PgConnection, old: &Old<'_>, most: i64) -> sqlx::Result<Option<Removed>> {
    let alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended('trueup.retention', 0)) as "alone!""#)
            .fetch_one(&mut *connection)
            .await?;
    if !alone {
        return Ok(None);
    }
    let revisions = sqlx::query!(
        r#"
        delete from trueup.measurement m
        using (
            select window_id, window_end, cohort, model_version, revision from trueup.measurement
            where window_end < $1 and revision > 1 and superseded_as_of is not null
            limit $2
        ) as old
        where m.window_id = old.window_id and m.cohort = old.cohort and coalesce(m.model_version, '') = coalesce(old.model_version, '')
          and (m.model_version is null) = (old.model_version is null) and m.revision = old.revision
          and m.window_end = old.window_end and m.window_end < $1
        "#,
        old.windows,
        most
    )
    .execute(&mut *connection)
    .await?;
    let samples = sqlx::query!(
        r#"
        delete from trueup.worst_sample where (window_id, place) in (
            select s.window_id, s.place from trueup.measured_window w
            join trueup.worst_sample s on s.window_id = w.id
            where w.window_end < $1
            limit $2
        )
        "#,
        old.windows,
        most
    )
    .execute(&mut *connection)
    .await?;
    let buckets = sqlx::query!(
        r#"
        delete from trueup.bucket where ctid = any(array(
            -- A coarse bucket goes when all of it is old.
            select b.ctid
            from trueup.job j
            join trueup.plan p on p.job_id = j.id
            join trueup.bucket b on b.plan_id = p.id
            where j.name = any($3) and b.bucket_start + b.grain * interval '1 second' < $1
            limit $2
        ))
        "#,
        old.buckets,
        most,
        old.jobs
    )
    .execute(&mut *connection)
    .await?;
    // A heartbeat is of no interest a day later, a reminder a week later; what told of alerts stays as long as windows do.
    let messages = sqlx::query!(
        r#"
        with old as (
            select id from trueup.notification
            where kind in ('heartbeat', 'test') and settled_at < clock_timestamp() - interval '1 day'
               or body ->> 'reason' = 'repeat' and settled_at < clock_timestamp() - interval '7 days'
               or settled_at < $2
            limit $1
        ), attempts as (
            delete from trueup.delivery_attempt where notification_id in (select id from old)
        )
        delete from trueup.notification where id in (select id from old)
        "#,
        most,
        old.windows
    )
    .execute(connection)
    .await?;
    Ok(Some(Removed {
        revisions: revisions.rows_affected(),
        samples: samples.rows_affected(),
        buckets: buckets.rows_affected(),
        messages: messages.rows_affected(),
    }))
}
