//! Storage used by history, by table and by job, and its growth.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A table with its months, indexes and TOAST data.
#[derive(Debug, Clone)]
pub struct TableSize {
    pub name: String,
    pub bytes: i64,
    /// The server's last estimate.
    pub rows: i64,
}

/// Returns the size of each table, largest first. Queries the file system and the catalog, and reads no table.
pub async fn tables(connection: &mut PgConnection) -> sqlx::Result<Vec<TableSize>> {
    sqlx::query_as!(
        TableSize,
        r#"
        select coalesce(p.relname, c.relname)::text as "name!", sum(pg_total_relation_size(c.oid))::bigint as "bytes!",
               sum(greatest(c.reltuples, 0)) ::bigint as "rows!"
        from pg_class c
        left join pg_inherits i on i.inhrelid = c.oid
        left join pg_class p on p.oid = i.inhparent
        where c.relnamespace = 'trueup'::regnamespace and c.relkind = 'r'
        group by 1
        order by 2 desc, 1
        "#
    )
    .fetch_all(connection)
    .await
}

/// Stored rows of a job.
#[derive(Debug, Clone)]
pub struct JobSize {
    pub job: String,
    /// All stored measurements.
    pub measurements: i64,
    /// Measurements of windows that ended in the last days: tumbling, and rolling.
    pub recent_tumbling: i64,
    pub recent_rolling: i64,
    /// Number of rolling windows that ended in the last days, and of their distinct names.
    pub recent_windows: i64,
    pub rolling_names: i64,
}

/// Returns the measurements of each job, by name. With `exact` they are counted; otherwise they are taken from the server's
/// statistics, which omit jobs that are small compared with the others. Those of the last days are always counted, by an index.
pub async fn jobs(connection: &mut PgConnection, since: DateTime<Utc>, exact: bool) -> sqlx::Result<Vec<JobSize>> {
    sqlx::query_as!(
        JobSize,
        r#"
        with estimated as (
            select of_job.name, sum(month.reltuples * of_job.share)::bigint as measurements
            from pg_inherits i
            join pg_class month on month.oid = i.inhrelid and month.reltuples > 0
            join pg_stats s on s.schemaname = 'trueup' and s.tablename = month.relname and s.attname = 'job'
            cross join lateral unnest(s.most_common_vals::text::text[], s.most_common_freqs) as of_job (name, share)
            where i.inhparent = 'trueup.measurement'::regclass and not $2
            group by of_job.name
        ), counted as (
            select m.job as name, count(*) as measurements from trueup.measurement m where $2 group by m.job
        )
        select j.name as "job!", coalesce(counted.measurements, estimated.measurements, 0) as "measurements!",
               recent.tumbling as "recent_tumbling!", recent.rolling as "recent_rolling!",
               windows.windows as "recent_windows!", windows.names as "rolling_names!"
        from trueup.job j
        left join estimated on estimated.name = j.name
        left join counted on counted.name = j.name
        cross join lateral (
            select count(*) filter (where t.window_name not like 'rolling %') as tumbling,
                   count(*) filter (where t.window_name like 'rolling %') as rolling
            from trueup.measurement m
            join trueup.series t on t.id = m.series_id
            where m.job = j.name and m.window_end > $1
        ) as recent
        cross join lateral (
            select count(*) as windows, count(distinct w.window_name) as names
            from trueup.measured_window w
            where w.job = j.name and w.window_end > $1 and w.window_name like 'rolling %'
        ) as windows
        order by j.name
        "#,
        since,
        exact
    )
    .fetch_all(connection)
    .await
}
