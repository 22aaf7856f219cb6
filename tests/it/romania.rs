//! Real input: the Romanian load of 2023 and 2024, compared with values computed by scikit-learn.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::Row;

use crate::support::data;
use crate::support::world::{World, at};

const JOB: &str = r#"
[job]
name = "ro-load"
[schedule]
every = "6h"
[predictions]
table = "public.load_forecast"
id = "prediction_id"
at = "interval_start"
value = "forecast_mw"
version = "model_version"
arrived_at = "inserted_at"
where = "environment = 'prod'"
[labels]
table = "public.load_actual"
id = "prediction_id"
value = "actual_mw"
arrived_at = "labeled_at"
[windows]
tumbling = ["1d", "1mo"]
label_wait = "2d"
horizon = "35d"
[metrics]
include = ["mse", "rmse", "mae", "bias", "mape", "smape", "rmsle", "r2", "max_abs_error", "p50_abs_error", "p99_abs_error",
           "p90_squared_error", "p95_squared_error"]
[[cohorts]]
by = [{ name = "utc_hour", expr = "extract(hour from interval_start at time zone 'UTC')" }]
"#;

/// Reference values of one row, by column name.
struct Reference {
    predictions: i64,
    labeled: i64,
    /// By name; None where there was no label, or nothing is defined.
    metrics: BTreeMap<&'static str, Option<f64>>,
}

/// Exact to rounding.
const EXACT: [&str; 9] = ["mse", "rmse", "mae", "bias", "mape", "smape", "rmsle", "r2", "max_abs_error"];
/// Within 1 %, from the histogram.
const SKETCHED: [&str; 4] = ["p50_abs_error", "p99_abs_error", "p90_squared_error", "p95_squared_error"];

/// (window name, start, cohort) to reference values.
type Oracle = BTreeMap<Key, Reference>;
type Key = (String, DateTime<Utc>, String);

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_equals_scikit_learn_in_every_row() {
    let (world, oracle) = scene(JOB).await;
    world.backfill(at("2022-12-01T00:00:00Z")..at("2025-01-01T00:00:00Z"), None).await;
    compare(&world, &oracle).await;
    let again = world.backfill(at("2022-12-01T00:00:00Z")..at("2025-01-01T00:00:00Z"), None).await;
    assert_eq!(again.windows_written, 0, "a second backfill writes no new revision");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_years_walked_tick_by_tick_give_the_same_numbers() {
    // Sums only: histograms are merged the same way, and make three thousand runs twice as long.
    let exact = JOB.lines().filter(|line| !line.contains("p90_squared_error")).collect::<Vec<_>>().join("\n");
    let exact = exact.replace("\"p50_abs_error\", \"p99_abs_error\",", "]");
    let (world, mut oracle) = scene(&exact).await;
    for reference in oracle.values_mut() {
        reference.metrics.retain(|name, _| EXACT.contains(name));
    }
    let end = oracle.keys().map(|key| key.1).max().expect("rows") + TimeDelta::days(34);
    let mut tick = oracle.keys().map(|key| key.1).min().expect("rows") + TimeDelta::hours(6);
    let mut read = 0;
    let mut most = 0;
    while tick <= end {
        let published = world.run_at(tick).await;
        read += published.done.rows_read;
        most = most.max(published.done.rows_read);
        tick += TimeDelta::hours(6);
    }
    compare(&world, &oracle).await;
    // The incremental path really ran: each row was read a few times, and no run read more than a few days of them.
    let rows: i64 = world.db.scalar("select count(*) from public.load_forecast").await;
    assert!(read < 4 * rows, "{read} rows were read for {rows} predictions");
    assert!(most < 4 * 96, "one run read {most} rows");
    let revised: i64 = world.db.scalar("select count(*) from trueup.window_revisions where revision > 1").await;
    assert!(revised > 0, "labels that came after a window's end revised it");
}

/// The real two years and their reference values; without them, a month of made-up rows and values recomputed here.
async fn scene(job: &str) -> (World, Oracle) {
    let world = World::new("", job).await;
    let oracle = match data::folder() {
        Some(folder) => {
            data::load_forecasts(&world.db, &data::gunzip(&folder.join("data/ro_load_2023_2024.csv.gz"))).await;
            let text =
                std::fs::read_to_string(folder.join("oracle/ro_load_2023_2024_metrics.csv")).expect("reference values");
            read_oracle(&text)
        }
        None => {
            let csv = made_up_csv();
            data::load_forecasts(&world.db, &csv).await;
            recompute(&csv)
        }
    };
    (world, oracle)
}

fn read_oracle(text: &str) -> Oracle {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let place =
        |name: &str| header.iter().position(|column| *column == name).unwrap_or_else(|| panic!("no column {name}"));
    let mut oracle = Oracle::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let (window, cohort) = match (cells[place("window")], cells[place("cohort")]) {
            ("1d tumbling", "") => ("tumbling 1d", "all".to_owned()),
            ("1mo tumbling", "") => ("tumbling 1mo", "all".to_owned()),
            // The reference writes two digits, `extract` as many as it takes.
            ("1mo tumbling", hour) => {
                let number: u32 = hour.trim_start_matches("utc_hour=").parse().expect("an hour");
                ("tumbling 1mo", format!("utc_hour={number}"))
            }
            other => panic!("an unknown row {other:?}"),
        };
        let reference = Reference {
            predictions: cells[place("predictions")].parse().expect("a count"),
            labeled: cells[place("labeled")].parse().expect("a count"),
            metrics: EXACT.iter().chain(&SKETCHED).map(|name| (*name, cells[place(name)].parse().ok())).collect(),
        };
        oracle.insert((window.to_owned(), at(cells[place("window_start")]), cohort), reference);
    }
    assert!(oracle.len() > 1_000, "the reference has {} rows", oracle.len());
    oracle
}

/// 31 days of quarter-hours, one actual in 50 missing.
fn made_up_csv() -> String {
    let start = at("2024-01-01T00:00:00Z");
    let mut csv = "interval_start,forecast_mw,actual_mw\n".to_owned();
    for n in 0..31 * 96_i32 {
        let forecast = 6_000 + (n * 37) % 900;
        let actual = if n % 50 == 7 { String::new() } else { (forecast + (n * 53) % 401 - 180).to_string() };
        csv.push_str(&format!(
            "{},{forecast},{actual}\n",
            (start + TimeDelta::minutes(15 * i64::from(n))).to_rfc3339()
        ));
    }
    csv
}

/// The same numbers by plain arithmetic, sharing no code with the engine.
fn recompute(csv: &str) -> Oracle {
    let mut groups: BTreeMap<Key, (i64, Vec<f64>)> = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let time = at(cells[0]);
        let error = cells[2].parse::<f64>().ok().map(|actual| cells[1].parse::<f64>().expect("a forecast") - actual);
        let day = DateTime::from_timestamp(time.timestamp().div_euclid(86_400) * 86_400, 0).expect("a day");
        let month = at("2024-01-01T00:00:00Z");
        let hour = format!("utc_hour={}", time.timestamp().rem_euclid(86_400) / 3_600);
        for key in [
            ("tumbling 1d", day, "all".to_owned()),
            ("tumbling 1mo", month, "all".to_owned()),
            ("tumbling 1mo", month, hour),
        ] {
            let group = groups.entry((key.0.to_owned(), key.1, key.2)).or_default();
            group.0 += 1;
            group.1.extend(error);
        }
    }
    groups
        .into_iter()
        .map(|(key, (predictions, errors))| {
            let n = errors.len() as f64;
            let mse = errors.iter().map(|e| e * e).sum::<f64>() / n;
            let mae = errors.iter().map(|e| e.abs()).sum::<f64>() / n;
            let bias = errors.iter().sum::<f64>() / n;
            let values = [("mse", mse), ("rmse", mse.sqrt()), ("mae", mae), ("bias", bias)];
            let metrics =
                values.into_iter().map(|(name, value)| (name, (!errors.is_empty()).then_some(value))).collect();
            (key, Reference { predictions, labeled: errors.len() as i64, metrics })
        })
        .collect()
}

/// Every reference row is in the history with its counts exactly, its metrics to 1e-9 and its percentiles to 1 %.
async fn compare(world: &World, oracle: &Oracle) {
    let rows = sqlx::query(
        "select window_name, window_start, cohort, predictions, labeled from trueup.window_history where model_version is null",
    )
    .fetch_all(&world.db.pool)
    .await
    .expect("the history");
    let counts: BTreeMap<Key, (i64, i64)> =
        rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), (row.get(3), row.get(4)))).collect();
    let rows = sqlx::query(
        "select window_name, window_start, cohort, metric, value from trueup.metric_history where model_version is null",
    )
    .fetch_all(&world.db.pool)
    .await
    .expect("the history");
    let values: BTreeMap<(Key, String), Option<f64>> =
        rows.iter().map(|row| (((row.get(0), row.get(1), row.get(2)), row.get(3)), row.get(4))).collect();
    for (key, reference) in oracle {
        let counted = counts.get(key).unwrap_or_else(|| panic!("{key:?} is not in the history"));
        assert_eq!(*counted, (reference.predictions, reference.labeled), "counts of {key:?}");
        for (name, expected) in &reference.metrics {
            // Where an actual is 0 scikit-learn divides by the smallest float there is; here such pairs are left out.
            if *name == "mape" && expected.is_some_and(|value| value > 1e6) {
                continue;
            }
            let found = values.get(&(key.clone(), (*name).to_owned())).copied().flatten();
            match (found, *expected) {
                (Some(found), Some(expected)) => {
                    let scale = expected.abs().max(if *name == "bias" { 1.0 } else { 0.0 });
                    let allowed = if SKETCHED.contains(name) { 0.01 } else { 1e-9 };
                    let close = (found - expected).abs() <= allowed * scale;
                    assert!(close, "{name} of {key:?}: {found}, expected {expected}");
                }
                (found, expected) => assert_eq!(found, expected, "{name} of {key:?}"),
            }
        }
    }
}
