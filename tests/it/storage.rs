//! How much room the history takes, and what of it goes when it is old.

use chrono::TimeDelta;
use sqlx::Connection as _;
use trueup::store::history::removal::Old;
use trueup::store::history::retention::{self, STEPS, Step};

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, VIEWS, World, at, hourly, plan_job, quarter_hours};

/// A job as people run it: two rolling windows and days, three regions, the usual metrics with their intervals, two rules and an
/// objective.
const TYPICAL: &str = r#"
[windows]
rolling = ["1h", "24h"]
tumbling = ["1d"]
bucket = "15m"
label_wait = "6h"
horizon = "2d"
[metrics]
include = ["mse", "rmse", "mae", "bias"]
[[cohorts]]
by = ["region"]
[[alerts]]
name = "high"
metric = "rmse"
window = "rolling 24h"
above = 50.0
cohorts = "each"
[[alerts]]
name = "biased"
metric = "bias"
window = "rolling 1h"
above = 50.0
[[slos]]
name = "near"
good = "abs(error) <= 10"
objective = 0.9
period = "5d"
burn = "2x"
"#;

/// Three days and a half of predictions, one every minute, with errors of all sizes and labels half an hour to two hours late.
const MINUTES: &str = "
    insert into public.p
    select n, timestamptz '2024-05-01Z' + n * interval '1 minute', 100 + 20 * sin(n / 97.0), 'v1',
           (array['north', 'south', 'west'])[1 + n % 3], timestamptz '2024-04-30Z' + n * interval '1 minute'
    from generate_series(0, 60 * 90) as n;
    insert into public.l
    select id, predicted + 7 * sin(id / 3.0) + 3 * cos(id * id), at + interval '30 minutes' + (id % 90) * interval '1 minute'
    from public.p;
    analyze public.p; analyze public.l;";

/// Bytes of a table, and of all months of it, with indexes.
fn bytes_of(table: &str) -> String {
    format!(
        "select pg_total_relation_size('trueup.{table}') + coalesce((select sum(pg_total_relation_size(m.inhrelid)) from pg_inherits m where m.inhparent = 'trueup.{table}'::regclass), 0)::bigint"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_measurement_takes_at_most_350_bytes_with_its_share_of_the_indexes() {
    let toml = hourly(TYPICAL).replace("every = \"1h\"", "every = \"15m\"");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(MINUTES).await;
    let first = at("2024-05-02T00:00:00Z");
    for quarter in 0..240 {
        world.run_at(first + TimeDelta::minutes(15 * quarter)).await;
        if quarter % 12 == 11 {
            // As autovacuum does: what a revision leaves behind is room for the next.
            for table in ["measurement", "measured_window"] {
                world.db.execute(&format!("vacuum trueup.{table}")).await;
            }
        }
    }
    let rows: i64 = world.db.scalar("select count(*) from trueup.window_revisions").await;
    let mut each = Vec::new();
    for table in ["measurement", "measured_window", "series", "metric_set"] {
        let bytes: i64 = world.db.scalar(&bytes_of(table)).await;
        println!("{table}: {bytes} bytes, {} a measurement", bytes / rows);
        each.push(bytes / rows);
    }
    let all: i64 = each.iter().sum();
    println!("{rows} measurements, {all} bytes each with all that they refer to");
    for table in ["measured_window", "verdict", "run", "slo_evaluation", "bucket", "residual"] {
        let rows: i64 = world.db.scalar(&format!("select count(*) from trueup.{table}")).await;
        let bytes: i64 = world.db.scalar(&bytes_of(table)).await;
        println!("{table}: {rows} rows, {} bytes each", bytes / rows.max(1));
    }
    assert!(rows > 7_000, "{rows}");
    assert!(each[0] <= 350, "{} bytes a measurement", each[0]);
    // Of these the share gets smaller as there are more: a window, a series and a metric set have many measurements.
    assert!(all <= 420, "{all} bytes a measurement with all that it refers to");
}

/// A job with a window of six hours and days, a rule that fires, and a region.
const KEPT: &str = r#"
[windows]
rolling = ["6h"]
tumbling = ["1d"]
bucket = "15m"
label_wait = "2h"
horizon = "1d"
[[cohorts]]
by = ["region"]
[[alerts]]
name = "r"
metric = "rmse"
window = "rolling 6h"
above = 5.0
notify = ["hook"]
"#;

/// Everything old, as a runner that serves the job removes it at a time. Returns how many rows went.
async fn retire(world: &World, rolling: &str, step: Step) -> u64 {
    let mut connection = world.db.connection().await;
    let old = Old {
        windows: at("2023-01-01T00:00:00Z"),
        buckets: at("2023-01-01T00:00:00Z"),
        jobs: &["hourly".to_owned()],
        rolling: &[at(rolling)],
    };
    let mut rows = 0;
    loop {
        let mut transaction = connection.begin().await.unwrap();
        // A few at a time: what is cut off between two of these transactions is what a kill leaves.
        let removed = retention::prune(&mut transaction, step, &old, 20).await.unwrap().expect("no other runner");
        transaction.commit().await.unwrap();
        rows += removed.rows;
        if !removed.more {
            return rows;
        }
    }
}

/// Three days of runs, one an hour; in the night of the second day the error is 41 for an hour.
async fn three_days() -> World {
    let world = World::new(TABLES, &hourly(KEPT)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    world.db.execute("update public.l set actual = 59 where id between 100 and 103").await;
    for hour in 0..=72 {
        world.run_at(at("2024-05-01T00:00:00Z") + TimeDelta::hours(hour)).await;
    }
    world
}

const ROLLING: &str = "select window_end, cohort, model_version, revision, status, rmse, labeled from trueup.window_revisions where window_name = 'rolling 6h' order by 1, 2, 3, 4";

#[tokio::test(flavor = "multi_thread")]
async fn of_old_rolling_windows_one_a_day_stays_and_those_of_incidents() {
    let world = three_days().await;
    let fired = world.db.lines("select distinct (evidence ->> 'window_end')::timestamptz from trueup.alert_history where to_state in ('firing', 'resolved') order by 1").await;
    assert_eq!(fired.len(), 2, "it fired and ended: {fired:?}");
    let before = world.db.lines(ROLLING).await;
    let days = "select * from trueup.window_revisions where window_name = 'tumbling 1d' order by window_end, cohort, model_version, revision";
    let tumbling = world.db.lines(days).await;
    // Half a day does not count: it has not ended.
    assert!(retire(&world, "2024-05-03T12:00:00Z", Step::RollingWindows).await > 100);
    let after = world.db.lines(ROLLING).await;
    let kept = |line: &&String| {
        let end = line.split(" | ").next().unwrap_or_default().to_owned();
        end.starts_with("2024-05-03") || end.starts_with("2024-05-04") || end.contains("T23:00") || fired.contains(&end)
    };
    let expected: Vec<&String> = before.iter().filter(kept).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), expected, "with all their revisions, and the numbers of before");
    assert!(after.iter().any(|line| line.starts_with("2024-05-01T23:00") && line.contains("| 2 | final")));
    assert_eq!(world.db.lines(days).await, tumbling);
    let lost = "select count(*) from trueup.window_revisions where window_start is null";
    assert_eq!(world.db.scalar::<i64>(lost).await, 0, "every measurement has its window");
    assert_eq!(retire(&world, "2024-05-03T12:00:00Z", Step::RollingWindows).await, 0, "nothing is left to do");

    // The next runs measure none of them again, not even with a label that comes late.
    world.db.execute("update public.l set actual = 80, seen = '2024-05-03T23:30Z' where id between 150 and 160").await;
    world.run_at(at("2024-05-04T01:00:00Z")).await;
    let thinned = after.iter().filter(|line| !line.starts_with("2024-05-04")).cloned().collect::<Vec<_>>();
    let again = world.db.lines(ROLLING).await;
    assert_eq!(
        again.iter().filter(|line| line.as_str() < "2024-05-03").count(),
        thinned.iter().filter(|line| line.as_str() < "2024-05-03").count()
    );
    // A backfill does what it is asked for, and the next retention thins again.
    world.backfill(at("2024-05-02T00:00:00Z")..at("2024-05-02T06:00:00Z"), None).await;
    assert!(world.db.lines(ROLLING).await.len() > again.len());
    assert!(retire(&world, "2024-05-03T12:00:00Z", Step::RollingWindows).await > 0);
    let ends = "select count(distinct window_end) from trueup.window_history where window_name = 'rolling 6h' and window_end < '2024-05-03Z'";
    assert_eq!(world.db.scalar::<i64>(ends).await, 2 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_window_that_waits_to_become_final_is_not_thinned() {
    let world = World::new(TABLES, &hourly(&KEPT.replace("label_wait = \"2h\"", "label_wait = \"1d\""))).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 2)).await;
    for hour in [6, 7, 8] {
        world.run_at(at("2024-05-01T00:00:00Z") + TimeDelta::hours(hour)).await;
    }
    let before = world.db.lines(ROLLING).await;
    assert_eq!(retire(&world, "2024-06-01T00:00:00Z", Step::RollingWindows).await, 0);
    assert_eq!(world.db.lines(ROLLING).await, before);
    // Once they are final, they go; and their last report was of the revision that they had waited for.
    world.run_at(at("2024-05-02T10:00:00Z")).await;
    assert!(retire(&world, "2024-06-01T00:00:00Z", Step::RollingWindows).await > 0);
    let firsts = "select window_end, count(*) from trueup.window_revisions where window_name = 'rolling 6h' and first_reported and cohort = 'all' and model_version is null group by 1 order by 1";
    assert_eq!(world.db.lines(firsts).await, ["2024-05-01T08:00:00+00:00 | 1", "2024-05-02T10:00:00+00:00 | 1"]);
}

const RAW: &str = "select (select count(*) from trueup.residual where plan_id = 1), (select count(*) from trueup.bucket where plan_id = 1), (select count(*) from trueup.cell where plan_id = 1)";

/// As if a day had gone by since the plan was used.
const A_DAY_LATER: &str = "update trueup.plan set used_at = used_at - interval '25 hours'";

#[tokio::test(flavor = "multi_thread")]
async fn raw_data_of_a_replaced_definition_go_and_going_back_to_it_builds_them_anew() {
    let mut world = World::new(TABLES, &hourly(KEPT)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    let first = world.job.clone();
    world.job = plan_job(&hourly(KEPT).replace("[labels]", "where = \"region = 'a'\"\n[labels]"));
    world.run_at(at("2024-05-02T03:00:00Z")).await;
    assert_eq!(retire(&world, "2024-05-01T00:00:00Z", Step::Purged).await, 0, "it was in use a moment ago");
    world.db.execute(A_DAY_LATER).await;
    let current = "select (select count(*) from trueup.residual where plan_id = 2), (select count(*) from trueup.bucket where plan_id = 2)";
    let untouched = world.db.lines(current).await;
    let history = world
        .db
        .lines(
            "select * from trueup.window_revisions order by window_name, window_end, cohort, model_version, revision",
        )
        .await;
    assert!(retire(&world, "2024-05-01T00:00:00Z", Step::Purged).await > 50);
    assert_eq!(world.db.lines(RAW).await, ["0 | 0 | 0"]);
    assert_eq!(world.db.lines(current).await, untouched, "what is in force is not touched");
    assert_eq!(world.db.lines("select * from trueup.window_revisions order by window_name, window_end, cohort, model_version, revision").await, history);

    // Back to the first definition, with what came meanwhile; beside it a job that was never away.
    world.job = first;
    world.db.execute("update public.l set actual = 70, seen = '2024-05-02T03:30Z' where id = 100").await;
    world.run_at(at("2024-05-02T04:00:00Z")).await;
    world.run_at(at("2024-05-03T01:00:00Z")).await;
    let expected = World::new(TABLES, &hourly(KEPT)).await;
    expected.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    expected.db.execute("update public.l set actual = 70, seen = '2024-05-02T03:30Z' where id = 100").await;
    expected.run_at(at("2024-05-03T01:00:00Z")).await;
    let newest = "select window_name, cohort, model_version, predictions, labeled, mse, rmse from trueup.window_history where window_end in ('2024-05-02Z', '2024-05-03Z', '2024-05-03T01:00Z') order by window_name, window_end, cohort, model_version";
    assert_eq!(world.db.lines(newest).await, expected.db.lines(newest).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_data_of_a_job_that_nobody_runs_go_and_a_run_after_that_is_right() {
    let world = World::new(TABLES, &hourly(KEPT)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    world.db.execute(A_DAY_LATER).await;
    assert_eq!(retire(&world, "2024-05-01T00:00:00Z", Step::Purged).await, 0, "a runner has just known it");
    world.db.execute("update trueup.job set seen_at = seen_at - interval '15 days'").await;
    // While a run has the plan, or is about to, nothing is removed.
    let mut running = world.db.connection().await;
    let mut holding = running.begin().await.unwrap();
    trueup::store::ledger::plan::lock_stages(&mut holding, 1).await.unwrap();
    assert_eq!(retire(&world, "2024-05-01T00:00:00Z", Step::Purged).await, 0);
    holding.commit().await.unwrap();
    assert!(retire(&world, "2024-05-01T00:00:00Z", Step::Purged).await > 50);
    assert_eq!(world.db.lines(RAW).await, ["0 | 0 | 0"]);
    assert!(world.db.scalar::<i64>("select count(*) from trueup.window_history").await > 0, "history stays");

    // A label of the day comes late: a run that trusted buckets would find none of the others.
    world.db.execute("update public.l set actual = 70, seen = '2024-05-02T01:30Z' where id = 50").await;
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    let day = "select revision, predictions, labeled, mse from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and model_version is null and window_end = '2024-05-02Z'";
    let expected = (95.0 + 30.0 * 30.0) / 96.0;
    assert_eq!(world.db.lines(day).await, [format!("2 | 96 | 96 | {expected}")]);
    let seen: bool = world.db.scalar("select seen_at > clock_timestamp() - interval '1 minute' from trueup.job").await;
    assert!(seen, "a run says that it knows the job");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_old_as_windows_may_be_goes_and_what_is_open_stays() {
    let world = three_days().await;
    let counts = "select (select count(*) from trueup.run), (select count(*) from trueup.incident), (select count(*) from trueup.incident_evidence), (select count(*) from trueup.alert_transition), (select count(*) from trueup.alert), (select count(*) from trueup.silence)";
    world.db.execute("insert into trueup.silence (ends_at, starts_at, reason, author) values (now() - interval '1 day', now() - interval '2 days', 'x', 'y'), (now() + interval '1 day', now(), 'x', 'y')").await;
    let mut connection = world.db.connection().await;
    let later = chrono::Utc::now() + TimeDelta::seconds(1);
    let old = Old { windows: later, buckets: later, jobs: &[], rolling: &[] };
    for step in STEPS {
        while retention::prune(&mut connection, step, &old, 20).await.unwrap().expect("no other runner").more {}
    }
    // The newest run; the alert ended, and nothing of it is open; one silence holds.
    assert_eq!(world.db.lines(counts).await, ["1 | 0 | 0 | 0 | 0 | 1"]);
    for view in VIEWS {
        world.db.lines(&format!("select * from trueup.{view}")).await;
    }
    assert!(world.db.scalar::<i64>("select count(*) from trueup.window_history where run_id is not null").await > 0);
    world.run_at(at("2024-05-04T01:00:00Z")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_takes_room_and_how_fast_it_grows() {
    let world = World::new(TABLES, &hourly(KEPT)).await;
    let start = (chrono::Utc::now() - TimeDelta::days(2)).format("%Y-%m-%dT00:00:00Z").to_string();
    world.db.execute(&quarter_hours(&start, 24 * 2)).await;
    for hour in 1..=8 {
        world.run_at(at(&start) + TimeDelta::hours(24 + hour)).await;
    }
    let folder = Folder::new("storage");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let status = |arguments: &[&str]| {
        let all = [&["status", "--storage"], arguments].concat();
        Run::of(folder.trueup(&all).env("DATABASE_URL", world.db.url()).output().unwrap()).ok().stdout
    };
    let rows: serde_json::Value = serde_json::from_str(&status(&["--output", "json"])).unwrap();
    let of = |key: &str, name: &str| rows.as_array().unwrap().iter().find(|row| row[key] == name).cloned().unwrap();
    let job = of("job", "hourly");
    let measurements: i64 = world.db.scalar("select count(*) from trueup.measurement").await;
    assert_eq!(job["rows"], measurements);
    // All tables of the schema are its own.
    let all: i64 = rows
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["job"].is_null())
        .filter_map(|row| row["bytes"].as_i64())
        .sum();
    assert!((job["bytes"].as_i64().unwrap() - all).abs() <= 1, "{job} of {all}");
    let expected: i64 = world.db.scalar("select sum(pg_total_relation_size(c.oid))::bigint from pg_class c where relnamespace = 'trueup'::regnamespace and relkind = 'r'").await;
    assert_eq!(all, expected);
    let (a_day, a_year) = (job["bytes_a_day"].as_i64().unwrap(), job["forecast_1y"].as_i64().unwrap());
    assert!(a_day > 0 && a_year > a_day * 80 && a_year < a_day * 365, "{job}");
    folder.write("trueup.toml", "[retention]\nrolling = \"400d\"\n");
    let more: serde_json::Value = serde_json::from_str(&status(&["--output", "json"])).unwrap();
    let whole = more[0]["forecast_1y"].as_i64().unwrap();
    assert!((whole - a_day * 365).abs() < 1_000 && whole > a_year, "all of it stays for a year: {whole}");
    let table = status(&[]);
    assert!(table.contains("measurement") && table.contains("kB") && table.contains("bytes a day"), "{table}");
}
