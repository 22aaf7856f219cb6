//! Retention: old rows are removed one kind after the other, a few in a transaction. A measurement keeps its first report and
//! its latest revision.
//!
//! Verdicts and evaluations are dropped by month, see [`super::months`]. All other rows are removed one by one: windows and
//! plans that are still needed lie among old ones, and runs, incidents and messages are looked up and updated by id.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::removal::{Old, Removed};
use crate::store::history::{expired, purge, thinning};

/// A kind of row that retention removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Revisions between the first and the latest.
    Revisions,
    /// The largest errors of old windows.
    Samples,
    /// Rolling windows except one a day.
    RollingWindows,
    /// Buckets that no window needs any more.
    Buckets,
    /// Residuals and buckets of replaced plans, and of jobs that no runner knows.
    Purged,
    Messages,
    Incidents,
    /// Transitions and alerts that ended long ago, with the users' actions on them.
    Alerts,
    Silences,
    Runs,
    Backfills,
    /// Plans without any rows left.
    Plans,
}

/// All steps, in the order in which one makes room for the next.
pub const STEPS: [Step; 12] = [
    Step::Revisions,
    Step::Samples,
    Step::RollingWindows,
    Step::Buckets,
    Step::Purged,
    Step::Messages,
    Step::Incidents,
    Step::Alerts,
    Step::Silences,
    Step::Runs,
    Step::Backfills,
    Step::Plans,
];

/// Removes at most `most` rows of a kind, so that no transaction is long. Returns `None` if another runner is pruning.
pub async fn prune(
    connection: &mut PgConnection,
    step: Step,
    old: &Old<'_>,
    most: i64,
) -> sqlx::Result<Option<Removed>> {
    let alone =
        sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtextextended('trueup.retention', 0)) as "alone!""#)
            .fetch_one(&mut *connection)
            .await?;
    if !alone {
        return Ok(None);
    }
    let removed = match step {
        Step::Revisions => Removed::of(thinning::revisions(connection, old, most).await?, most),
        Step::Samples => Removed::of(samples(connection, old.windows, most).await?, most),
        Step::RollingWindows => thinning::windows(connection, old, most).await?,
        Step::Buckets => Removed::of(buckets(connection, old, most).await?, most),
        Step::Purged => purge::plans(connection, most).await?,
        Step::Messages => Removed::of(expired::messages(connection, old.windows, most).await?, most),
        Step::Incidents => Removed::of(expired::incidents(connection, old.windows, most).await?, most),
        Step::Alerts => expired::alerts(connection, old.windows, most).await?,
        Step::Silences => Removed::of(expired::silences(connection, old.windows, most).await?, most),
        Step::Runs => Removed::of(expired::runs(connection, old.windows, most).await?, most),
        Step::Backfills => Removed::of(expired::backfills(connection, old.windows, most).await?, most),
        Step::Plans => Removed::of(purge::empty_plans(connection, old.windows, most).await?, most),
    };
    Ok(Some(removed))
}

async fn samples(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from trueup.worst_sample where (window_id, place) in (
            select s.window_id, s.place from trueup.measured_window w
            join trueup.worst_sample s on s.window_id = w.id
            where w.window_end < $1
            limit $2
        )
        "#,
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn buckets(connection: &mut PgConnection, old: &Old<'_>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
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
    // After a change of the time zone, windows are measured again from the remaining buckets.
    sqlx::query!(
        "update trueup.plan p set built_from = $1 from trueup.job j where j.id = p.job_id and j.name = any($2) and p.built_from < $1",
        old.buckets,
        old.jobs
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
