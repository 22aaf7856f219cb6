//! Thins old measurements: keeps the first and the latest revision, and one rolling window a day.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::store::history::removal::{Old, Removed};

/// Removes revisions between the first and the latest, for old windows and for thinned rolling windows.
pub(crate) async fn revisions(connection: &mut PgConnection, old: &Old<'_>, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        delete from trueup.measurement m
        using (
            select b.series_id, b.window_end, b.revision
            from trueup.measurement b
            join trueup.series t on t.id = b.series_id
            left join unnest($3::text[], $4::timestamptz[]) as r (job, before) on r.job = b.job and t.window_name like 'rolling %'
            where b.window_end < greatest($1, r.before) and b.window_end < $5 and b.revision > 1 and b.superseded_as_of is not null
            limit $2
        ) as old
        where m.series_id = old.series_id and m.window_end = old.window_end and m.window_end < $5
          and m.revision = old.revision
        "#,
        old.windows,
        most,
        old.jobs,
        old.rolling,
        old.rolling.iter().copied().max().unwrap_or(old.windows).max(old.windows)
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// A rolling window with its measurements is a few dozen rows.
const ROWS_OF_A_WINDOW: i64 = 10;

/// Removes rolling windows that are older than their job's limit, except the last of each UTC day.
///
/// Windows on which an alert of an incident fired or ended stay. So do windows that are not final yet: the next run would store
/// them again as first reports.
pub(crate) async fn windows(connection: &mut PgConnection, old: &Old<'_>, most: i64) -> sqlx::Result<Removed> {
    let at_once = (most / ROWS_OF_A_WINDOW).max(1);
    // Locked before their measurements are deleted: windows that a backfill is writing are skipped, and a backfill that comes
    // later waits and creates them again.
    let doomed = sqlx::query!(
        r#"
        with held as materialized (
            select a.job_id, a.about -> 'rule' ->> 'window' as window_name, moment.window_end
            from trueup.alert a
            join trueup.alert_transition t on t.alert_id = a.id
            cross join lateral (values (t.since), ((t.evidence ->> 'window_end')::timestamptz)) as moment (window_end)
            where exists (select from trueup.incident_evidence e where e.alert_id = a.id)
        )
        select w.id, w.job, w.window_name, w.window_end
        from unnest($1::text[], $2::timestamptz[]) as r (job, before)
        join trueup.measured_window w
            on w.job = r.job and w.window_end < date_trunc('day', r.before, 'UTC') and w.window_name like 'rolling %'
        where (w.settled_at is not null or (w.finalized_at is not null and w.judged_at is null))
          and exists (
              select from trueup.measured_window later
              where later.job = w.job and later.window_name = w.window_name and later.window_end > w.window_end
                and later.window_end < date_trunc('day', w.window_end, 'UTC') + interval '24 hours'
          )
          and not exists (
              select from held
              where held.job_id = w.job_id and held.window_name = w.window_name and held.window_end = w.window_end
          )
        limit $3
        for update of w skip locked
        "#,
        old.jobs,
        old.rolling,
        at_once
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<i64> = doomed.iter().map(|window| window.id).collect();
    let jobs: Vec<String> = doomed.iter().map(|window| window.job.clone()).collect();
    let names: Vec<String> = doomed.iter().map(|window| window.window_name.clone()).collect();
    let ends: Vec<DateTime<Utc>> = doomed.iter().map(|window| window.window_end).collect();
    let Some((first, last)) = ends.iter().min().zip(ends.iter().max()) else { return Ok(Removed::default()) };
    sqlx::query!("delete from trueup.worst_sample where window_id = any($1)", &ids).execute(&mut *connection).await?;
    let measurements = sqlx::query!(
        r#"
        delete from trueup.measurement m
        using unnest($1::text[], $2::text[], $3::timestamptz[]) as w (job, window_name, window_end)
        join trueup.series t on t.job = w.job and t.window_name = w.window_name
        where m.job = w.job and m.window_end = w.window_end and m.series_id = t.id and m.window_end between $4 and $5
        "#,
        &jobs,
        &names,
        &ends,
        first,
        last
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from trueup.measured_window where id = any($1)", &ids).execute(connection).await?;
    let removed = Removed::of(ids.len() as u64, at_once);
    Ok(Removed { rows: removed.rows + measurements.rows_affected(), ..removed })
}
