//! Compares plain SQL and trueup, in one run on one database: `cargo bench --bench speed` (1 M rows), `… -- 10000000`.
//!
//! Every baseline writes its result to a temporary table: Postgres drops a join whose columns are not read, and would be timed
//! for work that it did not do. Times of trueup cover the whole process, including its start and connection.
//!
//! Another job over the same tables has run before, so its rows stand beside, and autovacuum is off: nobody analyzes or vacuums
//! trueup's tables, as on a busy server in the minutes after a first build. Tables of the source are analyzed.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use trueup::postgres::local::{LocalDatabase, LocalOptions, LocalServer};
use trueup::postgres::migrate;
use trueup::store::clock;
use trueup::store::ledger::job;
use trueup::store::ledger::run as ledger_run;
use trueup::store::ledger::run::End;
use trueup::store::ledger::schedule::{self, Slot};

const DAYS: i64 = 30;
const COHORTS: i64 = 50;
/// Minutes between runs, and in a bucket: 0.02 % of the labels arrive in that time.
const CADENCE: i64 = 10;
/// Jobs that are due in the same minute.
const JOBS: usize = 1_000;
/// Ticks that are run after the first build; the median counts.
const TICKS: usize = 7;

const JOB: &str = r#"
[job]
name = "bench"
[schedule]
every = "10m"
timeout = "1h"
[predictions]
table = "public.prediction"
id = "id"
at = "at"
value = "predicted"
arrived_at = "seen"
[labels]
table = "public.label"
id = "id"
value = "actual"
arrived_at = "seen"
[windows]
rolling = ["24h", "30d"]
tumbling = ["1d"]
bucket = "10m"
label_wait = "2d"
horizon = "7d"
[[cohorts]]
by = ["region"]
[metrics]
include = ["mse", "rmse", "mae"]
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rows = std::env::args().skip(1).find_map(|word| word.parse::<i64>().ok()).unwrap_or(1_000_000);
    let root = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let folder = root.join(format!("trueup-bench-{}", std::process::id()));
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_trueup"));
    let server = LocalServer::start(&folder, LocalOptions::throw_away(guard)?).await?;
    let mut admin = server.options("postgres").connect().await?;
    for statement in ["alter system set autovacuum = off", "select pg_reload_conf()"] {
        sqlx::raw_sql(statement).execute(&mut admin).await?;
    }
    drop(admin);
    let small = measure(&server, &folder, rows / 10).await?;
    let large = measure(&server, &folder, rows).await?;
    print_table(&small, &large);
    let jobs = ledger(&server).await?;
    println!(
        "{JOBS} jobs due at once: each claimed once and ended, {:.2} ms a job for the ledger",
        jobs.as_secs_f64() * 1_000.0 / JOBS as f64
    );
    drop(server);
    // Our own job files and locks remain after the guard has exited.
    std::thread::sleep(Duration::from_secs(1));
    std::fs::remove_dir_all(&folder).context("could not remove the benchmark's folder")
}

/// Results for one size.
struct Measured {
    rows: i64,
    arrivals: i64,
    naive: Duration,
    bare: Duration,
    build: Duration,
    tick: Duration,
    /// A scheduled run when a tenth of the labels arrive.
    thin_tick: Duration,
    memory_kib: u64,
}

async fn measure(server: &LocalServer, folder: &Path, rows: i64) -> Result<Measured> {
    println!("{rows} predictions: making tables");
    server.drop_database(LocalDatabase::Main).await?;
    server.ensure_database(LocalDatabase::Main).await?;
    let options = server.options(LocalDatabase::Main.name());
    migrate::run(&options).await?;
    let mut connection = options.connect().await?;
    let end: DateTime<Utc> = "2025-06-01T00:00:00Z".parse()?;
    make_tables(&mut connection, rows, end).await?;
    let jobs = folder.join("jobs");
    std::fs::create_dir_all(&jobs)?;
    for name in ["neighbor", "bench"] {
        std::fs::write(jobs.join(format!("{name}.toml")), JOB.replace("bench", name))?;
    }

    println!("{rows} predictions: plain SQL");
    let naive = timed(&mut connection, &naive_sql(end)).await?;
    let bare = timed(&mut connection, &bare_sql(end)).await?;
    println!("{rows} predictions: trueup, beside the rows of another job");
    let first = end - TimeDelta::minutes(CADENCE * i64::try_from(TICKS)?);
    let socket = server.socket().display().to_string().replace('/', "%2F");
    let url = format!("postgres://trueup@localhost/trueup?host={socket}&sslmode=disable");
    run(folder, "neighbor", &url, first)?;
    let (build, mut memory_kib) = run(folder, "bench", &url, first)?;
    let (tick, memory) = ticks(folder, &url, first)?;
    memory_kib = memory_kib.max(memory);
    check(&mut connection).await?;
    let arrivals: i64 = sqlx::query_scalar("select count(*) from public.label where seen > $1 and seen <= $2")
        .bind(end - TimeDelta::minutes(CADENCE))
        .bind(end)
        .fetch_one(&mut connection)
        .await?;
    // Delays nine of ten labels by a year, so that as many arrive as with a tenth of the rows.
    sqlx::query("update public.label set seen = seen + interval '1 year' where seen > $1 and id % 10 <> 0")
        .bind(end)
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("vacuum analyze public.label").execute(&mut connection).await?;
    // Past the overlap with the previous ticks.
    run(folder, "bench", &url, end + TimeDelta::minutes(2 * CADENCE))?;
    let (thin_tick, _) = ticks(folder, &url, end + TimeDelta::minutes(2 * CADENCE))?;
    Ok(Measured { rows, arrivals, naive, bare, build, tick, thin_tick, memory_kib })
}

/// Executes scheduled runs after a time. Returns the median of their times, and their peak memory.
fn ticks(folder: &Path, url: &str, after: DateTime<Utc>) -> Result<(Duration, u64)> {
    let mut times = Vec::new();
    let mut most = 0;
    for n in 1..=TICKS {
        let (time, memory) = run(folder, "bench", url, after + TimeDelta::minutes(CADENCE * i64::try_from(n)?))?;
        times.push(time);
        most = most.max(memory);
    }
    times.sort();
    Ok((times[TICKS / 2], most))
}

/// Measures how long the ledger takes to hand out a run of each of many jobs, and to record its end.
async fn ledger(server: &LocalServer) -> Result<Duration> {
    let mut connection = server.options(LocalDatabase::Main.name()).connect().await?;
    let names: Vec<String> = (0..JOBS).map(|n| format!("due-{n}")).collect();
    let slot = clock::now(&mut connection).await?;
    let mut slots = Vec::new();
    for name in &names {
        let job = job::register(&mut connection, name).await?;
        slots.push(Slot { job_id: job.id, scheduled_for: slot, trigger: "schedule", skipped: None });
    }
    schedule::insert(&mut connection, &slots).await?;
    let started = Instant::now();
    let mut claimed = BTreeSet::new();
    while let Some(claim) = ledger_run::claim_next(&mut connection, &names, "bench", TimeDelta::seconds(30)).await? {
        ledger_run::finish_without(&mut connection, &claim, End::Skipped("a benchmark")).await?;
        ensure!(claimed.insert(claim.job), "a run was claimed twice");
    }
    ensure!(claimed.len() == names.len(), "{} of {} runs were claimed", claimed.len(), names.len());
    Ok(started.elapsed())
}

/// Creates predictions spread evenly over the days, known an hour ahead; 95 % get a label, evenly over the two days after.
async fn make_tables(connection: &mut PgConnection, rows: i64, end: DateTime<Utc>) -> Result<()> {
    let sql = format!(
        "create table public.prediction (id bigint primary key, at timestamptz not null, predicted float8 not null, region text not null, seen timestamptz not null);
         create table public.label (id bigint primary key, actual float8 not null, seen timestamptz not null);
         insert into public.prediction
         select n, t, 100 + n % 17, 'region-' || abs(hashint8(n) % {COHORTS}), t - interval '1 hour'
         from (select n, timestamptz '{end}' - interval '{DAYS} days' + n * (interval '{DAYS} days' / {rows}) as t from generate_series(1, {rows}) n) as q;
         insert into public.label
         select id, predicted + hashint8(id + 1) % 1000 / 100.0, at + abs(hashint8(id + 2) % 172800) * interval '1 second'
         from public.prediction where id % 20 <> 0;
         create index on public.prediction (at); create index on public.prediction (seen); create index on public.label (seen);
         vacuum analyze public.prediction; vacuum analyze public.label; set max_parallel_workers_per_gather = 0;"
    );
    for statement in sql.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the query that an analyst would schedule: every window of the job from the source, each time. For tumbling windows,
/// only the days that labels may still change.
fn naive_sql(end: DateTime<Utc>) -> String {
    let window = |name: &str, from: &str, end_of: &str, by: &str| {
        format!(
            "select '{name}' as window_name, {end_of} as window_end, region, count(*) as predictions, count(actual) as labeled,
                    avg((predicted - actual) ^ 2) as mse, sqrt(avg((predicted - actual) ^ 2)) as rmse, avg(abs(predicted - actual)) as mae
             from public.prediction p left join (select * from public.label where seen <= '{end}') l using (id)
             where p.at >= {from} and p.at < '{end}' group by grouping sets (({by}), ({by}{comma}region))",
            comma = if by.is_empty() { "" } else { ", " },
        )
    };
    let now = format!("timestamptz '{end}'");
    let day = "date_trunc('day', p.at at time zone 'UTC')";
    format!(
        "create temporary table naive as {} union all {} union all {}",
        window("rolling 24h", &format!("{now} - interval '24 hours'"), &now, ""),
        window("rolling 30d", &format!("{now} - interval '30 days'"), &now, ""),
        window(
            "tumbling 1d",
            &format!("date_trunc('day', ({now} - interval '2 days') at time zone 'UTC') at time zone 'UTC'"),
            &format!("({day} + interval '1 day') at time zone 'UTC'"),
            day
        ),
    )
}

/// Returns the minimum that any first build must do: one pass, sums by ten minutes and cohort.
fn bare_sql(end: DateTime<Utc>) -> String {
    format!(
        "create temporary table bare as
         select date_bin('10 minutes', p.at, 'epoch') as bucket, region, count(*) as predictions, count(actual) as labeled,
                sum(predicted - actual) as e, sum(abs(predicted - actual)) as abs_e, sum((predicted - actual) ^ 2) as e2, sum((predicted - actual) ^ 4) as e4
         from public.prediction p left join (select * from public.label where seen <= '{end}') l using (id)
         where p.at < '{end}' group by 1, 2"
    )
}

async fn timed(connection: &mut PgConnection, sql: &str) -> Result<Duration> {
    let started = Instant::now();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(started.elapsed())
}

/// Times one `trueup run`, from process start to its end, and returns its peak memory too.
fn run(folder: &Path, job: &str, url: &str, at: DateTime<Utc>) -> Result<(Duration, u64)> {
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trueup"))
        .current_dir(folder)
        .args(["run", job, "--at", &at.to_rfc3339()])
        .env("DATABASE_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut memory = 0;
    let status = loop {
        // The file disappears with the process; earlier readings count.
        if let Ok(text) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let peak =
                text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
            memory = memory.max(peak.unwrap_or(0));
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    ensure!(status.success(), "the run of {at} failed");
    Ok((started.elapsed(), memory))
}

/// Checks that the numbers are the same; otherwise the times mean nothing.
async fn check(connection: &mut PgConnection) -> Result<()> {
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from naive n
         left join trueup.window_history h on h.job = 'bench' and h.window_name = n.window_name and h.window_end = n.window_end
              and h.cohort = coalesce('region=' || n.region, 'all')
         where h.predictions is distinct from n.predictions or h.labeled is distinct from n.labeled or abs(h.mse / n.mse - 1) > 1e-9",
    )
    .fetch_one(connection)
    .await?;
    ensure!(wrong == 0, "{wrong} measurements differ from plain SQL");
    Ok(())
}

fn print_table(small: &Measured, large: &Measured) {
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1_000.0);
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    println!("\n{:<58} {:>14} {:>14}", "", format!("{} rows", small.rows), format!("{} rows", large.rows));
    let row = |name: &str, value: &dyn Fn(&Measured) -> String| {
        println!("{name:<58} {:>14} {:>14}", value(small), value(large))
    };
    row("naive SQL: the same windows, by cohort and in total", &|m| ms(m.naive));
    row("bare SQL: one pass, ten-minute sums by cohort", &|m| ms(m.bare));
    row("trueup: first build and first run, process included", &|m| ms(m.build));
    row("trueup: a scheduled run, process included (median)", &|m| ms(m.tick));
    row("labels that arrived for it", &|m| m.arrivals.to_string());
    row("scheduled run: times faster than naive SQL", &|m| format!("{:.0}", ratio(m.naive, m.tick)));
    row("first build: times the bare pass", &|m| format!("{:.2}", ratio(m.build, m.bare)));
    row("memory of the runner, peak", &|m| format!("{} MiB", m.memory_kib / 1_024));
    println!(
        "\na scheduled run takes {:.2} times as long with 10 times the rows and 10 times the arrivals, {:.2} times with the same \
         arrivals ({} against {})",
        ratio(large.tick, small.tick),
        ratio(large.thin_tick, small.tick),
        ms(large.thin_tick),
        ms(small.tick),
    );
}
