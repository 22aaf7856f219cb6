//! Purges raw data that is no longer needed: of replaced plans, and of jobs that no runner knows. It may be personal data.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::removal::Removed;

/// Plans checked in one round.
const PLANS: i64 = 20;

/// Removes residuals, buckets and cells of one plan that was replaced a day ago, or whose job no runner has known for two weeks.
///
/// A day, because an interrupted backfill resumes from its buckets for some hours. Two weeks, so that a job that is run by hand
/// or by another scheduler each week keeps them. Measurements stay.
pub(crate) async fn plans(connection: &mut PgConnection, most: i64) -> sqlx::Result<Removed> {
    let plans = sqlx::query!(
        r#"
        select p.id, p.job_id, coalesce(j.published_plan_id = p.id, true) as "is_current!"
        from trueup.plan p
        join trueup.job j on j.id = p.job_id
        where p.used_at < clock_timestamp() - interval '1 day'
          and (j.published_plan_id <> p.id or j.seen_at < clock_timestamp() - interval '14 days')
          and (p.measured_as_of is not null
               or exists (select from trueup.residual r where r.plan_id = p.id)
               or exists (select from trueup.bucket b where b.plan_id = p.id)
               or exists (select from trueup.due_bucket d where d.plan_id = p.id)
               or exists (select from trueup.gone_bucket g where g.plan_id = p.id)
               or exists (select from trueup.cell c where c.plan_id = p.id))
        -- Some may be in use, and stay so for long: another round looks at others.
        order by random()
        limit $1
        "#,
        PLANS
    )
    .fetch_all(&mut *connection)
    .await?;
    for plan in plans {
        if close(connection, plan.id, plan.job_id, plan.is_current).await? {
            let rows = empty(connection, plan.id, most).await?;
            // More may remain of this plan or the next.
            return Ok(Removed { rows, more: true });
        }
    }
    Ok(Removed::default())
}

/// Resets the progress of a plan, so that its next run builds everything from the source. Returns false if the plan is in use.
///
/// A run reads the progress of its plan before it locks the plan. If the plan is the job's current one, the job's row is locked
/// here: the run's first statement about the job waits for it, and the run then reads the progress that was reset. A run of any
/// other plan starts from the source regardless of the row.
async fn close(connection: &mut PgConnection, plan_id: i64, job_id: i64, is_current: bool) -> sqlx::Result<bool> {
    let locked = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('trueup.plan', $1)) as "locked!""#,
        plan_id
    )
    .fetch_one(&mut *connection)
    .await?;
    if !locked {
        return Ok(false);
    }
    if is_current {
        let job = sqlx::query!("select id from trueup.job where id = $1 for update skip locked", job_id);
        if job.fetch_optional(&mut *connection).await?.is_none() {
            return Ok(false);
        }
    }
    let closed = sqlx::query!(
        r#"
        update trueup.plan p
        set measured_as_of = null, residual_from = null, built_from = null, reconciled_as_of = null
        from trueup.job j
        where p.id = $1 and j.id = p.job_id and p.used_at < clock_timestamp() - interval '1 day'
          and case when $2 then coalesce(j.published_plan_id, p.id) = p.id and j.seen_at < clock_timestamp() - interval '14 days'
                   else j.published_plan_id <> p.id end
        "#,
        plan_id,
        is_current
    )
    .execute(&mut *connection)
    .await?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    // An interrupted backfill would resume from buckets that no longer exist.
    sqlx::query!(
        "update trueup.backfill set finished_at = clock_timestamp() where plan_id = $1 and finished_at is null",
        plan_id
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// Removes the raw data of a plan, `most` rows at a time. Cells go last: residuals and buckets are read with them.
async fn empty(connection: &mut PgConnection, plan_id: i64, most: i64) -> sqlx::Result<u64> {
    let mut rows = sqlx::query!("delete from trueup.due_bucket where plan_id = $1", plan_id)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    rows += sqlx::query!("delete from trueup.gone_bucket where plan_id = $1", plan_id)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    rows += sqlx::query!(
        "delete from trueup.residual where ctid = any(array(select ctid from trueup.residual where plan_id = $1 limit $2))",
        plan_id,
        most
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    rows += sqlx::query!(
        "delete from trueup.bucket where ctid = any(array(select ctid from trueup.bucket where plan_id = $1 limit $2))",
        plan_id,
        most
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if rows == 0 {
        rows += sqlx::query!(
            "delete from trueup.cell where ctid = any(array(select ctid from trueup.cell where plan_id = $1 limit $2))",
            plan_id,
            most
        )
        .execute(connection)
        .await?
        .rows_affected();
    }
    Ok(rows)
}

/// Removes plans that were last used before `before` and measured nothing: none of their rows is left, and no history refers to
/// them.
pub(crate) async fn empty_plans(connection: &mut PgConnection, before: DateTime<Utc>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from trueup.plan where id = any(array(
            select p.id
            from trueup.plan p
            join trueup.job j on j.id = p.job_id
            where p.used_at < $1 and p.measured_as_of is null and j.published_plan_id is distinct from p.id
              and not exists (select from trueup.metric_set s where s.plan_id = p.id)
              and not exists (select from trueup.worst_sample s where s.plan_id = p.id)
              and not exists (select from trueup.residual r where r.plan_id = p.id)
              and not exists (select from trueup.bucket b where b.plan_id = p.id)
              and not exists (select from trueup.cell c where c.plan_id = p.id)
              and not exists (select from trueup.gone_bucket g where g.plan_id = p.id)
              and not exists (select from trueup.backfill b where b.plan_id = p.id)
            limit $2
        ))
        "#,
        before,
        most
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
