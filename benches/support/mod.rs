//! A large history in a Postgres of its own: twenty jobs, 41 cohorts, two versions and both together, thirteen months of daily and of
//! rolling windows, each measured twice.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use trueup::postgres::local::{LocalDatabase, LocalOptions, LocalServer};
use trueup::postgres::migrate;

/// Start of the day after the newest measured one.
pub const END: &str = "2026-11-20 00:00+00";
const DAYS: i64 = 396;
const JOBS: i64 = 20;
/// 40 cohorts and `all`, each with two versions and without, in two revisions.
const ROWS_OF_A_WINDOW: i64 = 41 * 3 * 2;

/// A server with a large history. Its folder is in memory where there is room.
pub struct LargeHistory {
    server: LocalServer,
    folder: PathBuf,
}

impl LargeHistory {
    /// Starts a server, and creates a history of about `wanted` measurements.
    pub async fn build(wanted: i64) -> Result<Self> {
        let root = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let folder = root.join(format!("trueup-bench-{}", std::process::id()));
        let guard = PathBuf::from(env!("CARGO_BIN_EXE_trueup"));
        let server = LocalServer::start(&folder, LocalOptions::throw_away(guard)?).await?;
        server.ensure_database(LocalDatabase::Main).await?;
        let history = Self { server, folder };
        migrate::run(&history.options()).await?;
        let mut connection = history.options().connect().await?;
        let started = Instant::now();
        println!("making about {wanted} measurements");
        make(&mut connection, wanted).await?;
        let rows: i64 =
            sqlx::query_scalar("select count(*) from trueup.measurement").fetch_one(&mut connection).await?;
        println!("{rows} measurements and their verdicts, made in {:.0} s\n", started.elapsed().as_secs_f64());
        Ok(history)
    }

    pub fn options(&self) -> PgConnectOptions {
        self.server.options(LocalDatabase::Main.name())
    }

    /// Stops the server, and removes its files.
    pub fn remove(self) -> Result<()> {
        drop(self.server);
        // Files that remain after the guard has exited.
        std::thread::sleep(Duration::from_secs(1));
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).context("could not remove the benchmark's folder")?;
        }
        Ok(())
    }
}

/// Creates a history of about `wanted` measurements: the number of rolling windows follows from it.
async fn make(connection: &mut PgConnection, wanted: i64) -> Result<()> {
    let windows_of_a_job = (wanted / (JOBS * ROWS_OF_A_WINDOW)).max(DAYS + 1);
    let every = DAYS * 86_400 / (windows_of_a_job - DAYS);
    for sql in [
        "set synchronous_commit = off".to_owned(),
        format!("insert into trueup.job (name) select case when n = 1 then 'load' else 'job-' || n end from generate_series(1, {JOBS}) as n"),
        "insert into trueup.plan (job_id, fingerprint, spec, source, dimensions) select id, 'f', '', '', array['region'] from trueup.job".to_owned(),
        "insert into trueup.run (job_id, plan_id, scheduled_for, trigger, state, finished_at) select id, id, now(), 'schedule', 'ok', now() from trueup.job".to_owned(),
        format!("select trueup.add_months(t, array(select generate_series(timestamptz '{END}' - interval '{DAYS} days', '{END}', interval '1 day')))
            from (values ('measurement'), ('verdict')) as v (t)"),
        format!("insert into trueup.measured_window (job_id, job, window_name, window_start, window_end, finalized_at)
            select j.id, j.name, w.name, w.ends - interval '1 day', w.ends, w.ends + interval '2 days'
            from trueup.job as j
            cross join (
                select 'tumbling 1d' as name, generate_series(timestamptz '{END}' - interval '{DAYS} days', '{END}', interval '1 day') as ends
                union all
                select 'rolling 24h', generate_series(timestamptz '{END}' - interval '{DAYS} days', '{END}', interval '{every} seconds')
            ) as w"),
        "insert into trueup.series (job_id, job, window_name, cohort, cohort_values, model_version)
            select j.id, j.name, w.name, c.cohort, c.dims, v.version
            from trueup.job as j
            cross join (values ('rolling 24h'), ('tumbling 1d')) as w (name)
            cross join (select 'all' as cohort, '{}'::jsonb as dims union all select 'region=r' || n, jsonb_build_object('region', 'r' || n) from generate_series(1, 40) as n) as c
            cross join (values (null), ('v1'), ('v2')) as v (version)".to_owned(),
        format!("insert into trueup.metric_set (plan_id, places) select id, '{PLACES}' from trueup.plan"),
        "insert into trueup.verdict (job_id, rule, rule_fingerprint, severity, cohort, window_id, window_name, window_start, window_end, verdict, value,
                limit_value, labeled, coverage, reason, retroactive, run_id)
            select w.job_id, 'rmse-high', 'f', 'page', c, w.id, w.window_name, w.window_start, w.window_end,
                case when w.id % 50 = 0 then 'breach' else 'ok' end, 1, 2, 900, 0.9, 'x', false, w.job_id
            from trueup.measured_window as w, (select 'all' as c union all select 'region=r' || n from generate_series(1, 10) as n) as c
            where w.window_name like 'roll%'".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    // Job by job, so that no transaction is as large as the whole history.
    for job in 1..=JOBS {
        sqlx::query(MEASUREMENTS).bind(job).execute(&mut *connection).await?;
        println!("  {job} of {JOBS} jobs");
    }
    sqlx::raw_sql("vacuum analyze").execute(connection).await?;
    Ok(())
}

/// Ten metrics, three with an interval.
const PLACES: &str = r#"{"mse": [1, 11, 12], "rmse": [2, 13, 14], "mae": [3, 15, 16], "bias": [4], "mape": [5], "r2": [6], "p50_abs_error": [7],
    "p90_squared_error": [8], "label_latency_p50": [9], "label_latency_p95": [10]}"#;

/// Measurements of a job: a first report and a revision for each cohort and version.
const MEASUREMENTS: &str = "insert into trueup.measurement (window_end, run_id, as_of, predictions, labeled, digest_hash, superseded_as_of, series_id,
                metric_set_id, revision, job, numbers)
            select w.window_end, w.job_id, w.window_end + (r - 1) * interval '2 days', 1000, 900 + r * 20, w.id * 7919 + r,
                case r when 1 then w.window_end + interval '2 days' end, t.id, s.id, r, w.job,
                array[x * x, x, x * 0.8, x * 0.1, x / 100, 0.9, x * 0.6, x * x * 2.6, 3600, 36000, x * x * 0.9, x * x * 1.1, x * 0.95, x * 1.05, x * 0.75, x * 0.85]
            from trueup.measured_window as w
            join trueup.series as t on t.job = w.job and t.window_name = w.window_name
            join trueup.metric_set as s on s.plan_id = w.job_id
            cross join generate_series(1, 2) as r
            cross join lateral (select 10 + abs(hashint8(w.id) % 100 + hashtext(t.cohort) % 100) / 10.0 + r * 0.01 as x) as x
            where w.job_id = $1";
