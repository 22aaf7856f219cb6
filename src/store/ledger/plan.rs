//! Plans of a job: their identity, progress, stages and locks, and the raw data that they keep.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use sqlx::PgConnection;

/// A definition of what a job measures.
#[derive(Debug, Clone)]
pub struct PlanRow {
    pub id: i64,
    /// Progress of its residuals and buckets. `None` before its first run, and if another definition published last.
    pub progress: Option<Progress>,
    /// When all of it was last compared with the source.
    pub reconciled_as_of: Option<DateTime<Utc>>,
    /// True if the job's newest measurements are of this plan.
    pub is_current: bool,
    /// True if the plan of the newest measurements reads the same rows; only the measurements of them differ.
    pub reads_the_same: bool,
    /// Expressions are evaluated row by row, because one failed.
    pub guarded: bool,
    /// Time zone of the days that were published last.
    pub timezone: Option<String>,
}

/// Identity and contents of a plan.
#[derive(Debug, Clone, Copy)]
pub struct NewPlan<'a> {
    pub fingerprint: &'a str,
    /// Identifies the rows that it reads.
    pub source: &'a str,
    pub spec: &'a str,
    pub dimensions: &'a [String],
    /// Its expressions are evaluated row by row.
    pub guarded: bool,
    /// Kind of prediction: `regression`, `binary`.
    pub task: &'a str,
}

/// Progress of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Arrivals up to here are in residuals and buckets.
    pub measured_as_of: DateTime<Utc>,
    /// Residuals are complete for buckets from here on.
    pub residual_from: DateTime<Utc>,
    /// Buckets are complete from here on.
    pub built_from: DateTime<Utc>,
}

/// State of a plan that a run reads before it writes.
#[derive(Debug, Clone, Copy)]
pub struct OpenStage {
    /// Greater than that of anything written before. Residuals carry it.
    pub generation: i64,
    /// True if anything was written in a generation between this one and the last published one.
    pub unpublished: bool,
}

/// Registers a plan by fingerprint, or finds it.
pub async fn plan(connection: &mut PgConnection, job_id: i64, new: NewPlan<'_>) -> sqlx::Result<PlanRow> {
    let NewPlan { fingerprint, source, spec, dimensions, guarded, task } = new;
    // A concurrent session may register it; only the next statement sees its row then.
    sqlx::query!(
        r#"
        insert into trueup.plan (job_id, fingerprint, spec, dimensions, source, guarded, row_by_row, task)
        select $1, $2, $3, $4, $5, $6, $6, $7
        where not exists (select from trueup.plan where job_id = $1 and fingerprint = $2)
        on conflict (job_id, fingerprint) do nothing
        "#,
        job_id,
        fingerprint,
        spec,
        dimensions,
        source,
        guarded,
        task
    )
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query!(
        r#"
        select p.id, p.measured_as_of, p.residual_from, p.built_from, p.reconciled_as_of, p.guarded, p.timezone,
               coalesce(j.published_plan_id = p.id, false) as "is_current!", coalesce(before.source = p.source, false) as "reads_the_same!"
        from trueup.plan p
        join trueup.job j on j.id = p.job_id
        left join trueup.plan before on before.id = j.published_plan_id
        where p.job_id = $1 and p.fingerprint = $2
        "#,
        job_id,
        fingerprint
    )
    .fetch_one(connection)
    .await?;
    let progress = match (row.measured_as_of, row.residual_from, row.built_from) {
        (Some(measured_as_of), Some(residual_from), Some(built_from)) => {
            Some(Progress { measured_as_of, residual_from, built_from })
        }
        _ => None,
    };
    Ok(PlanRow {
        id: row.id,
        // Rows that arrived under another definition are not in this plan's buckets: it starts over.
        progress: progress.filter(|_| row.is_current),
        reconciled_as_of: row.reconciled_as_of,
        is_current: row.is_current,
        reads_the_same: row.reads_the_same,
        guarded: row.guarded,
        timezone: row.timezone,
    })
}

/// Analyzes the tables that a first build filled.
pub async fn analyze_built(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("select trueup.analyze_built()").execute(connection).await.map(drop)
}

/// Switches the expressions of a plan to row-by-row evaluation.
pub async fn guard(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<()> {
    sqlx::query!("update trueup.plan set guarded = true where id = $1", plan_id).execute(connection).await.map(drop)
}

/// True if the job's last published plan evaluates its expressions row by row.
pub async fn is_guarded(connection: &mut PgConnection, job: &str) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select p.guarded from trueup.job j join trueup.plan p on p.id = j.published_plan_id where j.name = $1",
        job
    );
    Ok(found.fetch_optional(connection).await?.unwrap_or(false))
}

/// Keeps two runners from writing the residuals, buckets or windows of one plan at the same time, until the transaction ends.
pub async fn lock_stages(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('trueup.plan', $1))", plan_id)
        .fetch_one(connection)
        .await
        .map(drop)
}

/// Lets several runners write windows of one plan at the same time, while none may write its residuals or buckets.
pub async fn lock_stages_shared(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock_shared(hashtextextended('trueup.plan', $1))", plan_id)
        .fetch_one(connection)
        .await
        .map(drop)
}

/// Opens the first stage of a run or a chunk of a backfill: what it writes belongs to a new generation.
///
/// The caller holds [`lock_stages`].
pub async fn open_stage(connection: &mut PgConnection, plan_id: i64, as_of: DateTime<Utc>) -> sqlx::Result<OpenStage> {
    sqlx::query_as!(
        OpenStage,
        r#"
        update trueup.plan as p
        set generation = p.generation + 1, newest_as_of = greatest(p.newest_as_of, $2), used_at = clock_timestamp()
        from trueup.plan as before
        where p.id = $1 and before.id = p.id
        returning p.generation as "generation!", before.generation > before.published_generation as "unpublished!"
        "#,
        plan_id,
        as_of
    )
    .fetch_one(connection)
    .await
}

/// Counts the cells of a plan.
pub async fn cells(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "cells!" from trueup.cell where plan_id = $1"#, plan_id)
        .fetch_one(connection)
        .await
}

/// A publication of a job.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    pub job_id: i64,
    pub plan_id: i64,
    /// Residuals up to this generation are published.
    pub generation: i64,
    pub timezone: &'a str,
    /// Description of the job for its pages.
    pub about: &'a Json,
}

/// Records the progress of a plan, and the newest `as_of` that the job published.
pub async fn advance(connection: &mut PgConnection, new: Publication<'_>, progress: Progress) -> sqlx::Result<()> {
    let Publication { job_id, plan_id, generation, timezone, about } = new;
    sqlx::query!(
        r#"
        update trueup.plan
        set measured_as_of = greatest(measured_as_of, $2), residual_from = $3, built_from = $4,
            published_generation = greatest(published_generation, $5), timezone = $6
        where id = $1
        "#,
        plan_id,
        progress.measured_as_of,
        progress.residual_from,
        progress.built_from,
        generation,
        timezone
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        update trueup.job set published_as_of = greatest(published_as_of, $2), published_plan_id = $3, about = $4
        where id = $1
        "#,
        job_id,
        progress.measured_as_of,
        plan_id,
        about
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Records that the whole horizon of a plan was compared with the source, or built from it.
pub async fn reconciled(connection: &mut PgConnection, plan_id: i64, as_of: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update trueup.plan set reconciled_as_of = greatest(reconciled_as_of, $2) where id = $1",
        plan_id,
        as_of
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Records that buckets were recomputed, and that windows containing them are due.
pub async fn note_due(
    connection: &mut PgConnection,
    plan_id: i64,
    generation: i64,
    starts: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into trueup.due_bucket (plan_id, generation, bucket_start)
        select distinct $1::bigint, $2::bigint, start from unnest($3::timestamptz[]) as start
        on conflict do nothing
        "#,
        plan_id,
        generation,
        starts
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns buckets whose windows are due.
pub async fn due_buckets(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<Vec<DateTime<Utc>>> {
    sqlx::query_scalar!("select distinct bucket_start from trueup.due_bucket where plan_id = $1 order by 1", plan_id)
        .fetch_all(connection)
        .await
}

/// Clears the due buckets of a plan, once the windows are published.
pub async fn clear_due(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from trueup.due_bucket where plan_id = $1", plan_id).execute(connection).await.map(drop)
}

/// Clears the due buckets of some generations in a range whose windows were all published by a backfill.
pub async fn clear_due_of(
    connection: &mut PgConnection,
    plan_id: i64,
    generations: &[i64],
    range: &std::ops::Range<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from trueup.due_bucket where plan_id = $1 and generation = any($2) and bucket_start >= $3 and bucket_start < $4",
        plan_id,
        generations,
        range.start,
        range.end
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Removes the rows that mark residuals as removed, once the buckets they left are published.
pub async fn purge_removed(connection: &mut PgConnection, plan_id: i64, generation: i64) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from trueup.residual where plan_id = $1 and class = 7 and generation <= $2",
        plan_id,
        generation
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Removes residuals of buckets that start before `before`.
pub async fn prune_residuals(connection: &mut PgConnection, plan_id: i64, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let done = sqlx::query!("delete from trueup.residual where plan_id = $1 and bucket_start < $2", plan_id, before)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Counts the buckets of a grain and their predictions in a range, for a run's record.
pub async fn range_counts(
    connection: &mut PgConnection,
    plan_id: i64,
    grain: i32,
    range: &std::ops::Range<DateTime<Utc>>,
) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"
        select count(distinct b.bucket_start) as "buckets!", coalesce(sum(b.predictions), 0)::bigint as "predictions!"
        from trueup.bucket b
        where b.plan_id = $1 and b.grain = $2 and b.bucket_start >= $3 and b.bucket_start < $4
        "#,
        plan_id,
        grain,
        range.start,
        range.end
    )
    .fetch_one(connection)
    .await?;
    Ok((row.buckets, row.predictions))
}

/// Returns the starts of the buckets of a grain in a range.
pub async fn bucket_starts(
    connection: &mut PgConnection,
    plan_id: i64,
    grain: i32,
    range: &std::ops::Range<DateTime<Utc>>,
) -> sqlx::Result<Vec<DateTime<Utc>>> {
    sqlx::query_scalar!(
        r#"
        select distinct bucket_start from trueup.bucket
        where plan_id = $1 and grain = $2 and bucket_start >= $3 and bucket_start < $4
        order by 1
        "#,
        plan_id,
        grain,
        range.start,
        range.end
    )
    .fetch_all(connection)
    .await
}
