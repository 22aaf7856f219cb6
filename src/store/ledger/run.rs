//! The running half of the ledger: claims, leases and epochs. The database clock decides, and the epoch is the fence.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};

use crate::store::clock::interval;

/// A run that this runner has claimed.
#[derive(Debug, Clone)]
pub struct Claim {
    pub run_id: i64,
    pub job_id: i64,
    pub job: String,
    pub scheduled_for: DateTime<Utc>,
    /// `schedule`, `catch_up`, `manual`, `reconcile` or `backfill`.
    pub trigger: String,
    /// Identity of a claim, which a publish must match.
    pub epoch: i32,
    /// Number of claims, including this one.
    pub attempt: i32,
    /// Number of claims taken over from a runner whose lease expired.
    pub takeovers: i32,
    /// Duration of the claim, unless it is renewed.
    pub lease_ms: i64,
}

impl Claim {
    /// True if a caller waits for it: no other runner takes such a run over, so it is not given back.
    pub fn is_manual(&self) -> bool {
        matches!(self.trigger.as_str(), "manual" | "reconcile" | "backfill")
    }

    /// Returns the duration of the claim, unless it is renewed.
    pub fn lease(&self) -> TimeDelta {
        TimeDelta::milliseconds(self.lease_ms)
    }
}

/// Counts of a finished run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    pub rows_read: i64,
    pub rows_beyond_horizon: i64,
    pub buckets_recomputed: i64,
    /// Buckets that differed from the source; `None` if the run did not compare them.
    pub buckets_repaired: Option<i64>,
    pub windows_written: i64,
}

/// Claims the oldest run of these jobs that is due or whose lease expired. Runs of a job are claimed one at a time, in order.
///
/// Uses two statements in one transaction: the second sees commits from before the first got its locks, such as a manual run
/// entered in between.
pub async fn claim_next(
    connection: &mut PgConnection,
    jobs: &[String],
    claimer: &str,
    lease: TimeDelta,
) -> sqlx::Result<Option<Claim>> {
    let mut transaction = connection.begin().await?;
    let candidate = sqlx::query_scalar!(
        r#"
        select r.id
        from trueup.run r
        join trueup.job j on j.id = r.job_id
        where j.name = any($1)
          and r.trigger in ('schedule', 'catch_up')
          and (r.state = 'due' or (r.state = 'running' and r.lease_until < clock_timestamp()))
          and coalesce(r.not_before, '-infinity') <= clock_timestamp()
          and not exists (
              -- Ticks of a job run in order, and never beside a manual run.
              select from trueup.run o
              where o.job_id = r.job_id and o.id <> r.id and o.state in ('due', 'running')
                and case when o.trigger in ('schedule', 'catch_up') then o.scheduled_for < r.scheduled_for
                         else o.trigger in ('manual', 'reconcile') and o.state = 'running' and o.lease_until >= clock_timestamp() end
          )
        order by r.scheduled_for
        limit 1
        -- The job's row is locked too: whoever enters a manual run locks it first.
        for update of r, j skip locked
        "#,
        jobs
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(candidate) = candidate else {
        transaction.rollback().await?;
        return Ok(None);
    };
    let claim = sqlx::query_as!(
        Claim,
        r#"
        update trueup.run r
        set state = 'running', epoch = r.epoch + 1, attempt = r.attempt + 1,
            takeovers = r.takeovers + (r.state = 'running')::int, claimed_by = $2, started_at = clock_timestamp(),
            lease_until = clock_timestamp() + $3
        from trueup.job j
        where r.id = $1 and j.id = r.job_id
          and not exists (
              select from trueup.run o
              where o.job_id = r.job_id and o.trigger in ('manual', 'reconcile') and o.state = 'running' and o.lease_until >= clock_timestamp()
          )
        returning r.id as run_id, r.job_id, j.name as job, r.scheduled_for, r.trigger, r.epoch, r.attempt, r.takeovers,
                  (extract(epoch from $3::interval) * 1000)::bigint as "lease_ms!"
        "#,
        candidate,
        claimer,
        interval(lease)
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(claim)
}

/// Enters a manual run or backfill into the ledger and claims it, unless another run of the job is under way.
///
/// The caller holds the lock on the job's row.
pub async fn claim_manual(
    connection: &mut PgConnection,
    job_id: i64,
    scheduled_for: DateTime<Utc>,
    trigger: &str,
    claimer: &str,
    lease: TimeDelta,
) -> sqlx::Result<Option<Claim>> {
    sqlx::query_as!(
        Claim,
        r#"
        insert into trueup.run (job_id, scheduled_for, trigger, state, epoch, attempt, claimed_by, started_at, lease_until)
        select j.id, $2, $3, 'running', 1, 1, $4, clock_timestamp(), clock_timestamp() + $5
        from trueup.job j
        where j.id = $1 and not exists (
            select from trueup.run o
            where o.job_id = j.id and o.state = 'running' and o.lease_until >= clock_timestamp()
              and (o.trigger = 'backfill') = ($3 = 'backfill')
        )
        returning id as run_id, job_id, (select name from trueup.job where id = $1) as "job!", scheduled_for, trigger, epoch, attempt, takeovers,
                  (extract(epoch from $5::interval) * 1000)::bigint as "lease_ms!"
        "#,
        job_id,
        scheduled_for,
        trigger,
        claimer,
        interval(lease)
    )
    .fetch_optional(connection)
    .await
}

/// Fails manual runs and backfills whose lease expired: no runner takes them over.
pub async fn fail_expired(connection: &mut PgConnection, job_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.run
        set state = 'failed', failure = 'its runner ended before it was done', finished_at = clock_timestamp(), lease_until = null
        where job_id = $1 and trigger in ('manual', 'reconcile', 'backfill') and state = 'running' and lease_until < clock_timestamp()
        "#,
        job_id
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Extends a lease. Returns false if it is lost.
pub async fn renew(connection: &mut PgConnection, claim: &Claim, lease: TimeDelta) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        update trueup.run set lease_until = clock_timestamp() + $3
        where id = $1 and epoch = $2 and state = 'running' and lease_until >= clock_timestamp()
        "#,
        claim.run_id,
        claim.epoch,
        interval(lease)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// True if the claim is still valid.
pub async fn holds(connection: &mut PgConnection, claim: &Claim) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from trueup.run
            where id = $1 and epoch = $2 and state = 'running' and lease_until >= clock_timestamp()
        ) as "holds!"
        "#,
        claim.run_id,
        claim.epoch
    )
    .fetch_one(connection)
    .await
}

/// Ends a run as ok: the fence of its publishing transaction. Returns false if the claim is lost; then nothing may be published.
pub async fn finish_ok(
    connection: &mut PgConnection,
    claim: &Claim,
    plan_id: i64,
    as_of: DateTime<Utc>,
    done: Done,
) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        r#"
        update trueup.run
        set state = 'ok', finished_at = clock_timestamp(), lease_until = null, plan_id = $3, as_of = $4, rows_read = $5,
            rows_beyond_horizon = $6, buckets_recomputed = $7, windows_written = $8, buckets_repaired = $9, failure = null
        where id = $1 and epoch = $2 and state = 'running' and lease_until >= clock_timestamp()
        "#,
        claim.run_id,
        claim.epoch,
        plan_id,
        as_of,
        done.rows_read,
        done.rows_beyond_horizon,
        done.buckets_recomputed,
        done.windows_written,
        done.buckets_repaired
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// End of a run that publishes nothing.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// Failed, with the error.
    Failed(&'a str),
    /// Skipped, with the reason.
    Skipped(&'a str),
}

/// Ends a run that publishes nothing. Returns false if the claim is lost.
pub async fn finish_without(connection: &mut PgConnection, claim: &Claim, end: End<'_>) -> sqlx::Result<bool> {
    let (state, failure, reason) = match end {
        End::Failed(failure) => ("failed", Some(failure), None),
        End::Skipped(reason) => ("skipped", None, Some(reason)),
    };
    let updated = sqlx::query!(
        r#"
        update trueup.run
        set state = $3, failure = $4, reason = coalesce($5, reason), finished_at = clock_timestamp(), lease_until = null
        where id = $1 and epoch = $2 and state = 'running'
        "#,
        claim.run_id,
        claim.epoch,
        state,
        failure,
        reason
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Gives a run back, to be claimed again after `after`.
pub async fn give_back(connection: &mut PgConnection, claim: &Claim, after: TimeDelta) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        r#"
        update trueup.run set state = 'due', lease_until = null, not_before = clock_timestamp() + $3
        where id = $1 and epoch = $2 and state = 'running'
        "#,
        claim.run_id,
        claim.epoch,
        interval(after)
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Gives back all scheduled runs that a runner has claimed, when it stops before they have ended.
pub async fn give_back_all(connection: &mut PgConnection, claimer: &str) -> sqlx::Result<u64> {
    let updated = sqlx::query!(
        "update trueup.run set state = 'due', lease_until = null where claimed_by = $1 and state = 'running' \
         and trigger in ('schedule', 'catch_up')",
        claimer
    )
    .execute(connection)
    .await?;
    Ok(updated.rows_affected())
}

/// True if a server session still works for its client: it runs a statement, or has waited for the next one for less
/// than `patience`. A session that ended, or whose answer never arrived, does not.
pub async fn is_working(connection: &mut PgConnection, session: i32, patience: TimeDelta) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from pg_stat_activity
            where pid = $1 and (state in ('active', 'disabled') or state is null or state_change > clock_timestamp() - $2::interval)
        ) as "working!"
        "#,
        session,
        interval(patience)
    )
    .fetch_one(connection)
    .await
}
