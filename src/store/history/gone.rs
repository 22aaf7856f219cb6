//! Buckets that history keeps although the source no longer has their rows.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Amount of data that a bucket or window holds or lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub predictions: i64,
    /// Pairs that are averaged.
    pub labeled: i64,
}

/// Amounts that the source no longer has and history keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The first and the last bucket.
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub lost: Amount,
}

/// A bucket, and the amount that the source lacks.
pub type Loss = (DateTime<Utc>, Amount);

/// A bucket with its amount, as read.
struct Row {
    bucket_start: DateTime<Utc>,
    predictions: i64,
    labeled: i64,
}

fn by_start(rows: Vec<Row>) -> BTreeMap<DateTime<Utc>, Amount> {
    let amount = |row: Row| (row.bucket_start, Amount { predictions: row.predictions, labeled: row.labeled });
    rows.into_iter().map(amount).collect()
}

/// Returns the amount in each bucket of a range.
pub async fn amounts(
    connection: &mut PgConnection,
    plan_id: i64,
    grain: i32,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<BTreeMap<DateTime<Utc>, Amount>> {
    sqlx::query_as!(
        Row,
        r#"
        select bucket_start, sum(predictions)::bigint as "predictions!", sum(labeled)::bigint as "labeled!"
        from trueup.bucket
        where plan_id = $1 and grain = $2 and bucket_start >= $3 and bucket_start < $4
        group by bucket_start
        "#,
        plan_id,
        grain,
        range.start,
        range.end
    )
    .fetch_all(connection)
    .await
    .map(by_start)
}

/// Returns losses of buckets in a range that were taken as corrections, a little at a time.
pub async fn corrected(
    connection: &mut PgConnection,
    plan_id: i64,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<BTreeMap<DateTime<Utc>, Amount>> {
    sqlx::query_as!(
        Row,
        r#"
        select bucket_start, predictions, labeled from trueup.gone_bucket
        where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and gone_at is null
        "#,
        plan_id,
        range.start,
        range.end
    )
    .fetch_all(connection)
    .await
    .map(by_start)
}

/// Returns the buckets of a range that are kept although the source lacks their rows.
pub async fn kept(
    connection: &mut PgConnection,
    plan_id: i64,
    range: &Range<DateTime<Utc>>,
) -> sqlx::Result<BTreeSet<DateTime<Utc>>> {
    let starts = sqlx::query_scalar!(
        r#"
        select bucket_start from trueup.gone_bucket
        where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and gone_at is not null
        "#,
        plan_id,
        range.start,
        range.end
    )
    .fetch_all(connection)
    .await?;
    Ok(starts.into_iter().collect())
}

/// Records losses. With `gone_at`, the buckets are kept as they are; without, they followed the source and losses add up.
pub async fn note(
    connection: &mut PgConnection,
    plan_id: i64,
    gone_at: Option<DateTime<Utc>>,
    losses: &[Loss],
) -> sqlx::Result<()> {
    let starts: Vec<DateTime<Utc>> = losses.iter().map(|(start, _)| *start).collect();
    let predictions: Vec<i64> = losses.iter().map(|(_, lost)| lost.predictions).collect();
    let labeled: Vec<i64> = losses.iter().map(|(_, lost)| lost.labeled).collect();
    sqlx::query!(
        r#"
        insert into trueup.gone_bucket as g (plan_id, bucket_start, predictions, labeled, gone_at)
        select $1, l.start, greatest(l.predictions, 0), greatest(l.labeled, 0), $2
        from unnest($3::timestamptz[], $4::bigint[], $5::bigint[]) as l (start, predictions, labeled)
        on conflict (plan_id, bucket_start) do update
        set predictions = case when excluded.gone_at is null and g.gone_at is null then g.predictions else 0 end + excluded.predictions,
            labeled = case when excluded.gone_at is null and g.gone_at is null then g.labeled else 0 end + excluded.labeled,
            gone_at = case when excluded.gone_at is null then null else coalesce(g.gone_at, excluded.gone_at) end
        "#,
        plan_id,
        gone_at,
        &starts,
        &predictions,
        &labeled
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Forgets the kept buckets of a range unless they are in `except`: the source has them again, or the loss was accepted. Unmarks
/// windows that no longer contain one.
pub async fn forget(
    connection: &mut PgConnection,
    plan_id: i64,
    range: &Range<DateTime<Utc>>,
    except: &[DateTime<Utc>],
) -> sqlx::Result<()> {
    let forgotten = sqlx::query_scalar!(
        r#"
        delete from trueup.gone_bucket
        where plan_id = $1 and bucket_start >= $2 and bucket_start < $3 and gone_at is not null and bucket_start <> all($4)
        returning bucket_start
        "#,
        plan_id,
        range.start,
        range.end,
        except
    )
    .fetch_all(&mut *connection)
    .await?;
    let (Some(first), Some(last)) = (forgotten.iter().min(), forgotten.iter().max()) else { return Ok(()) };
    sqlx::query!(
        r#"
        update trueup.measured_window w set source_gone_at = null
        from trueup.plan p
        where p.id = $1 and w.job_id = p.job_id and w.source_gone_at is not null and w.window_end > $2 and w.window_start <= $3
          and not exists (
              select from trueup.gone_bucket g
              where g.plan_id = $1 and g.gone_at is not null and g.bucket_start >= w.window_start and g.bucket_start < w.window_end
          )
        "#,
        plan_id,
        *first,
        *last
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Marks windows of a job that contain a bucket missing from the source.
pub async fn mark_windows(connection: &mut PgConnection, plan_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.measured_window w set source_gone_at = gone.at
        from (
            select w.id, min(g.gone_at) as at
            from (
                select min(bucket_start) as first, max(bucket_start) as last
                from trueup.gone_bucket where plan_id = $1 and gone_at is not null
            ) as reach
            join trueup.plan p on p.id = $1
            join trueup.measured_window w
                on w.job_id = p.job_id and w.source_gone_at is null and w.window_end > reach.first and w.window_start <= reach.last
            join trueup.gone_bucket g
                on g.plan_id = $1 and g.gone_at is not null and g.bucket_start >= w.window_start and g.bucket_start < w.window_end
            group by w.id
        ) as gone
        where w.id = gone.id
        "#,
        plan_id
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Marks windows that keep measurements of an earlier definition of the job, or of an earlier state of the source.
pub async fn mark(connection: &mut PgConnection, windows: &[i64], gone_at: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update trueup.measured_window set source_gone_at = $2 where id = any($1) and source_gone_at is null",
        windows,
        gone_at
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Unmarks the windows of a job that overlap a range: the current state of the source was accepted.
pub async fn unmark(connection: &mut PgConnection, job_id: i64, range: &Range<DateTime<Utc>>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update trueup.measured_window set source_gone_at = null
        where job_id = $1 and source_gone_at is not null and window_end > $2 and window_start < $3
        "#,
        job_id,
        range.start,
        range.end
    )
    .execute(connection)
    .await
    .map(drop)
}

/// Returns the total of all kept buckets since a time, or `None` if there are none.
pub async fn standing(
    connection: &mut PgConnection,
    plan_id: i64,
    since: DateTime<Utc>,
) -> sqlx::Result<Option<Standing>> {
    let row = sqlx::query!(
        r#"
        select min(bucket_start) as first, max(bucket_start) as last,
               coalesce(sum(predictions), 0)::bigint as "predictions!", coalesce(sum(labeled), 0)::bigint as "labeled!"
        from trueup.gone_bucket where plan_id = $1 and gone_at is not null and bucket_start >= $2
        "#,
        plan_id,
        since
    )
    .fetch_one(connection)
    .await?;
    let lost = Amount { predictions: row.predictions, labeled: row.labeled };
    Ok(row.first.zip(row.last).map(|(first, last)| Standing { first, last, lost }))
}

/// Returns the amounts in the latest revisions of windows, over all cohorts and versions, in the order of the arguments; `None`
/// for a window that was not measured.
pub async fn stored(
    connection: &mut PgConnection,
    job: &str,
    names: &[String],
    ends: &[DateTime<Utc>],
) -> sqlx::Result<Vec<Option<Amount>>> {
    let rows = sqlx::query!(
        r#"
        select m.predictions as "predictions?", m.labeled as "labeled?"
        from unnest($2::text[], $3::timestamptz[]) with ordinality as asked (name, ends, place)
        left join trueup.series t
            on t.job = $1 and t.window_name = asked.name and t.cohort = 'all' and t.model_version is null
        left join trueup.measurement m
            on m.series_id = t.id and m.window_end = asked.ends and m.superseded_as_of is null and not m.removed
        order by asked.place
        "#,
        job,
        names,
        ends
    )
    .fetch_all(connection)
    .await?;
    let amount = |predictions, labeled| Amount { predictions, labeled };
    Ok(rows.into_iter().map(|row| Some(amount(row.predictions?, row.labeled?))).collect())
}
