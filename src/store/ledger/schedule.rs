//! The due half of the ledger: slots are computed from the last slot, never from the current time.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::store::clock::interval;

/// A job whose next slot may be due, locked by this session.
#[derive(Debug, Clone)]
pub struct Cursor {
    pub job_id: i64,
    pub name: String,
    pub last_scheduled_for: Option<DateTime<Utc>>,
    /// The database clock, the only one that counts.
    pub now: DateTime<Utc>,
}

/// A slot to be inserted into the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub job_id: i64,
    pub scheduled_for: DateTime<Utc>,
    pub trigger: &'static str,
    /// Reason for skipping it, if it is skipped.
    pub skipped: Option<String>,
}

/// New position of a job's schedule.
#[derive(Debug, Clone)]
pub struct Advance {
    pub job_id: i64,
    pub last_scheduled_for: DateTime<Utc>,
    pub next_due_at: Option<DateTime<Utc>>,
}

/// Work that waits for a scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// True if a slot of one of the jobs may be due that is not in the ledger.
    pub slots: bool,
    /// True if a run of one of the jobs may be claimed.
    pub runs: bool,
}

/// Checks, without locking anything, if slots or runs of these jobs wait.
pub async fn waiting(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<Waiting> {
    sqlx::query_as!(
        Waiting,
        r#"
        select exists (
                   select from trueup.job
                   where name = any($1) and (next_due_at is null or next_due_at <= clock_timestamp())
               ) as "slots!",
               exists (
                   select from trueup.run r
                   join trueup.job j on j.id = r.job_id
                   where j.name = any($1) and r.trigger in ('schedule', 'catch_up')
                     and (r.state = 'due' or (r.state = 'running' and r.lease_until < clock_timestamp()))
                     and coalesce(r.not_before, '-infinity') <= clock_timestamp()
               ) as "runs!"
        "#,
        names
    )
    .fetch_one(connection)
    .await
}

/// Returns jobs with a slot or a claimable run that is overdue by `patience` while another session locks their row.
pub async fn locked(connection: &mut PgConnection, names: &[String], patience: TimeDelta) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        with overdue as (
            select j.id, j.name
            from trueup.job j
            where j.name = any($1)
              and (j.next_due_at < clock_timestamp() - $2::interval
                   or exists (
                       select from trueup.run r
                       where r.job_id = j.id and r.trigger in ('schedule', 'catch_up') and r.state = 'running'
                         and r.lease_until < clock_timestamp() - $2::interval
                   ))
        ),
        free as (
            select j.id from trueup.job j where j.id in (select id from overdue) for no key update skip locked
        )
        select name from overdue where id not in (select id from free) order by name
        "#,
        names,
        interval(patience)
    )
    .fetch_all(connection)
    .await
}

/// Locks the jobs that may be due. Skips jobs that another runner has locked.
pub async fn lock_due(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<Cursor>> {
    sqlx::query_as!(
        Cursor,
        r#"
        select id as job_id, name, last_scheduled_for, clock_timestamp() as "now!"
        from trueup.job
        where name = any($1) and (next_due_at is null or next_due_at <= clock_timestamp())
        order by id
        for update skip locked
        "#,
        names
    )
    .fetch_all(connection)
    .await
}

/// Inserts slots into the ledger. Existing slots stay as they are.
pub async fn insert(connection: &mut PgConnection, slots: &[Slot]) -> sqlx::Result<()> {
    let jobs: Vec<i64> = slots.iter().map(|slot| slot.job_id).collect();
    let times: Vec<DateTime<Utc>> = slots.iter().map(|slot| slot.scheduled_for).collect();
    let triggers: Vec<String> = slots.iter().map(|slot| slot.trigger.to_owned()).collect();
    let skipped: Vec<Option<String>> = slots.iter().map(|slot| slot.skipped.clone()).collect();
    sqlx::query!(
        r#"
        insert into trueup.run (job_id, scheduled_for, trigger, state, reason, finished_at)
        select job_id, scheduled_for, trigger, case when reason is null then 'due' else 'skipped' end, reason,
               case when reason is not null then clock_timestamp() end
        from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[]) as slot (job_id, scheduled_for, trigger, reason)
        on conflict (job_id, scheduled_for) where trigger in ('schedule', 'catch_up') do nothing
        "#,
        &jobs,
        &times,
        &triggers,
        &skipped as &[Option<String>]
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Advances the cursors.
pub async fn advance(connection: &mut PgConnection, cursors: &[Advance]) -> sqlx::Result<()> {
    let jobs: Vec<i64> = cursors.iter().map(|cursor| cursor.job_id).collect();
    let last: Vec<DateTime<Utc>> = cursors.iter().map(|cursor| cursor.last_scheduled_for).collect();
    let next: Vec<Option<DateTime<Utc>>> = cursors.iter().map(|cursor| cursor.next_due_at).collect();
    sqlx::query!(
        r#"
        update trueup.job as j
        set last_scheduled_for = c.last, next_due_at = c.next
        from unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) as c (job_id, last, next)
        where j.id = c.job_id
        "#,
        &jobs,
        &last,
        &next as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Records that the jobs are served, and makes schedulers compute their next slot again: the schedule may have changed since the
/// slot was stored. Returns the recorded names. Skips jobs whose row is locked, as by a run that publishes, until the next time:
/// waiting would delay all the others.
pub async fn note_served(connection: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        update trueup.job set next_due_at = null, seen_at = clock_timestamp()
        where id in (select id from trueup.job where name = any($1) order by id for no key update skip locked)
        returning name
        "#,
        names
    )
    .fetch_all(connection)
    .await
}
