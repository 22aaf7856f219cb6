//! Every value has a defined state: counted, averaged or excluded, and never a failed run.

use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\n";
const DAY: &str = "2024-05-01";
const COUNTS: &str = "select predictions, labeled, excluded, duplicates, ambiguous from trueup.window_history where cohort = 'all' and model_version is null";

/// A day with the given (predicted, actual) pairs as SQL values.
async fn measured(types: (&str, &str), pairs: &[(&str, &str)]) -> World {
    let tables = TABLES
        .replace("predicted float8", &format!("predicted {}", types.0))
        .replace("actual float8", &format!("actual {}", types.1));
    let world = World::new(&tables, &hourly(WINDOWS)).await;
    for (n, (predicted, actual)) in pairs.iter().enumerate() {
        world
            .db
            .execute(&format!(
                "insert into public.p values ({n}, '{DAY}T{:02}:00Z', {predicted}, 'v1', 'a', '{DAY}Z')",
                n % 24
            ))
            .await;
        if *actual != "missing" {
            world.db.execute(&format!("insert into public.l values ({n}, {actual}, '{DAY}Z')")).await;
        }
    }
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn floats_that_are_no_numbers_are_counted_and_never_averaged() {
    let world = measured(
        ("float8", "float8"),
        &[
            ("3", "1"),
            ("'NaN'", "1"),
            ("1", "'NaN'"),
            ("'Infinity'", "1"),
            ("1", "'-Infinity'"),
            ("null", "1"),
            ("1", "null"),
            ("1e308", "-1e308"),
            ("1e80", "0"),
            ("1e-200", "0"),
            ("5e-324", "0"),
            ("1", "missing"),
            ("null", "missing"),
        ],
    )
    .await;
    assert_eq!(world.db.lines(COUNTS).await, ["13 | 3 | 8 | 0 | 0"]);
    // Errors 2, 1e-200 (0 in powers) and 5e-324 (0 in powers).
    let mse: f64 =
        world.db.scalar("select mse from trueup.window_history where cohort = 'all' and model_version is null").await;
    assert_eq!(mse, 4.0 / 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn numerics_beyond_float8_are_excluded_and_not_fatal() {
    let huge = format!("1{}", "0".repeat(400));
    let tiny = format!("0.{}1", "0".repeat(400));
    let world = measured(
        ("numeric", "numeric"),
        &[("2.5", "1.5"), (&huge, "1"), (&format!("-{huge}"), "1"), ("1", "'NaN'"), (&tiny, "0"), ("1e71", "0")],
    )
    .await;
    assert_eq!(world.db.lines(COUNTS).await, ["6 | 2 | 4 | 0 | 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn integers_are_cast_before_they_are_subtracted() {
    let world =
        measured(("int2", "int8"), &[("32767", "-9223372036854775808"), ("-32768", "9223372036854775807")]).await;
    assert_eq!(world.db.lines(COUNTS).await, ["2 | 2 | 0 | 0 | 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_predictions_and_no_label_has_a_row_without_metrics() {
    let world = measured(("float8", "float8"), &[("1", "missing"), ("2", "missing")]).await;
    let row = world.db.lines("select predictions, labeled, coverage, mse, rmse, rmse_ci_low from trueup.window_history where cohort = 'all' and model_version is null").await;
    assert_eq!(row, ["2 | 0 | 0 | - | - | -"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_1e8_costs_no_digits() {
    let pairs: Vec<(String, String)> = (0..20).map(|n| (format!("1e8 + {n} * 1e-3"), "1e8".to_owned())).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(p, a)| (p.as_str(), a.as_str())).collect();
    let world = measured(("float8", "float8"), &pairs).await;
    let mse: f64 =
        world.db.scalar("select mse from trueup.window_history where cohort = 'all' and model_version is null").await;
    let expected = (0..20).map(|n| (1e8 + f64::from(n) * 1e-3 - 1e8).powi(2)).sum::<f64>() / 20.0;
    assert!((mse / expected - 1.0).abs() < 1e-12, "{mse} {expected}");
}

/// Two labels for prediction 1 (first 1, then 3) and none unique by index.
async fn duplicates(on_duplicate: &str, second_seen: &str) -> World {
    let tables = TABLES.replace("public.l (id bigint primary key", "public.l (id bigint not null");
    let toml = hourly(WINDOWS).replace("[windows]", &format!("on_duplicate = \"{on_duplicate}\"\n[windows]"));
    let world = World::new(&tables, &toml).await;
    world.db.execute(&format!(
        "insert into public.p values (1, '{DAY}T01:00Z', 5, 'v1', 'a', '{DAY}Z'), (2, '{DAY}T02:00Z', 5, 'v1', 'a', '{DAY}Z');
         insert into public.l values (1, 4, '{DAY}T03:00Z'), (1, 2, '{second_seen}'), (2, 4, '{DAY}T03:00Z');"
    )).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn several_labels_of_one_prediction_follow_the_declared_policy() {
    let later = "2024-05-01T04:00Z";
    for (policy, seen, expected) in [
        ("latest", later, "2 | 2 | 0 | 0 | 0 | 5"),
        ("first", later, "2 | 2 | 0 | 0 | 0 | 1"),
        ("error", later, "2 | 1 | 1 | 0 | 1 | 1"),
        // Known at the same moment and different: nothing says which is right.
        ("latest", "2024-05-01T03:00Z", "2 | 1 | 1 | 0 | 1 | 1"),
    ] {
        let world = duplicates(policy, seen).await;
        let counts = COUNTS.replace(" from trueup", ", mse from trueup");
        assert_eq!(world.db.lines(&counts).await, [expected], "{policy} {seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_predictions_of_one_key_are_a_data_failure_with_a_count() {
    let tables = TABLES.replace("public.p (\n        id bigint primary key", "public.p (\n        id bigint");
    let world = World::new(&tables, &hourly(WINDOWS)).await;
    world.db.execute(&format!(
        "insert into public.p values (1, '{DAY}T01:00Z', 5, 'v1', 'a', '{DAY}Z'), (1, '{DAY}T09:00Z', 6, 'v1', 'a', '{DAY}Z'),
             (1, '{DAY}T01:00Z', 7, 'v2', 'a', '{DAY}Z'), (2, '{DAY}T01:00Z', 5, null, 'a', '{DAY}Z'), (null, '{DAY}T01:00Z', 5, null, 'a', '{DAY}Z');
         insert into public.l values (1, 4, '{DAY}Z'), (2, 4, '{DAY}Z');"
    )).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    // One label serves two versions; the doubled key of v1 is left out; a row without a key pairs with nothing.
    let rows = world.db.lines("select model_version, predictions, labeled, excluded, duplicates from trueup.window_history where cohort = 'all' order by 1 nulls first").await;
    assert_eq!(rows, ["- | 4 | 2 | 2 | 2", "(null) | 1 | 1 | 0 | 0", "v1 | 2 | 0 | 2 | 2", "v2 | 1 | 1 | 0 | 0"]);
    // The same when the copies arrive one after the other.
    world
        .db
        .execute(&format!("insert into public.p values (2, '{DAY}T02:00Z', 9, null, 'a', '2024-05-02T00:30Z')"))
        .await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    let rows = world.db.lines("select predictions, labeled, duplicates from trueup.window_history where cohort = 'all' and model_version is null").await;
    assert_eq!(rows, ["5 | 1 | 4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_and_missing_cohort_values_are_only_values() {
    let toml = hourly(&format!("{WINDOWS}[[cohorts]]\nby = [\"region\"]\n"));
    let world = World::new(TABLES, &toml).await;
    let hostile = ["'; drop table trueup.run; --", "a=b, c", "other", "(null)", "", "x\r\ny", "<script>"];
    for (n, value) in hostile.iter().enumerate() {
        let escaped = value.replace('\'', "''");
        world.db.execute(&format!("insert into public.p values ({n}, '{DAY}T01:00Z', 5, 'v1', '{escaped}', '{DAY}Z'); insert into public.l values ({n}, 4, '{DAY}Z');")).await;
    }
    world.db.execute(&format!(
        "insert into public.p values (100, '{DAY}T01:00Z', 5, 'v1', null, '{DAY}Z'), (101, '{DAY}T01:00Z', 5, 'v1', repeat('x', 10000), '{DAY}Z'),
             (102, '{DAY}T01:00Z', 5, 'v1', repeat('ü', 9999) || 'y', '{DAY}Z');
         insert into public.l values (100, 4, '{DAY}Z'), (101, 4, '{DAY}Z'), (102, 4, '{DAY}Z');"
    )).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let cohorts = world.db.lines("select cohort from trueup.window_history where model_version is null and length(cohort) < 60 order by cohort collate \"C\"").await;
    assert_eq!(
        cohorts,
        [
            "all",
            "region=\"\"",
            "region=\"(null)\"",
            "region=\"a=b, c\"",
            "region=\"other\"",
            "region=\"x\\r\\ny\"",
            "region='; drop table trueup.run; --",
            "region=(null)",
            "region=<script>"
        ]
    );
    let longest: i32 = world.db.scalar("select max(octet_length(cohort)) from trueup.window_history").await;
    assert!(longest < 200, "{longest}");
    let sum: i64 = world.db.scalar("select sum(predictions)::bigint from trueup.window_history where model_version is null and cohort <> 'all'").await;
    assert_eq!(sum, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cohorts_beyond_the_top_are_kept_exactly_as_other() {
    let toml = hourly(&format!("{WINDOWS}[[cohorts]]\nby = [\"region\"]\ntop = 2\n"));
    let world = World::new(TABLES, &toml).await;
    // Region r1 has one prediction, r2 two, … r5 five, with errors equal to the region's number.
    world.db.execute(&format!(
        "insert into public.p select r * 100 + n, '{DAY}T01:00Z', r, 'v1', 'r' || r, '{DAY}Z' from generate_series(1, 5) r, generate_series(1, r) n;
         insert into public.l select id, 0, '{DAY}Z' from public.p;"
    )).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let rows = world.db.lines("select cohort, predictions, mse * labeled as sse from trueup.window_history where model_version is null order by predictions").await;
    assert_eq!(rows, ["region=r4 | 4 | 64", "region=r5 | 5 | 125", "region=other | 6 | 36", "all | 15 | 225"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dimensions_have_one_identity_whatever_the_order() {
    let toml = |by: &str| hourly(&format!("{WINDOWS}[[cohorts]]\nby = [{by}]\n"));
    for by in [
        "\"region\", { name = \"hour\", expr = \"extract(hour from at at time zone 'UTC')\" }",
        "{ name = \"hour\", expr = \"extract(hour from at at time zone 'UTC')\" }, \"region\"",
    ] {
        let world = World::new(TABLES, &toml(by)).await;
        world.db.execute(&format!("insert into public.p values (1, '{DAY}T07:00Z', 5, 'v1', 'a', '{DAY}Z')")).await;
        world.run_at(at("2024-05-02T00:00:00Z")).await;
        let rows = world
            .db
            .lines(
                "select cohort, cohort_values from trueup.window_history where model_version is null order by cohort",
            )
            .await;
        assert_eq!(rows, ["all | {}", "hour=7, region=a | {\"hour\": \"7\", \"region\": \"a\"}"], "{by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_have_several_columns_and_a_source_may_be_a_query() {
    let toml = hourly(WINDOWS)
        .replace("table = \"public.p\"\nid = \"id\"", "query = \"select entity, slot, at, predicted, version, seen from public.p2 where slot > 0\"\nid = [\"entity\", \"slot\"]")
        .replace("table = \"public.l\"\nid = \"id\"", "table = \"public.l2\"\nid = [\"who\", \"slot\"]");
    let scene = format!(
        "create table public.p2 (entity text, slot int, at timestamptz, predicted float8, version text, seen timestamptz);
         create table public.l2 (who text, slot int, actual float8, seen timestamptz);
         insert into public.p2 values ('a', 1, '{DAY}T01:00Z', 3, 'v', '{DAY}Z'), ('a', 2, '{DAY}T01:00Z', 5, 'v', '{DAY}Z'), ('b', 1, '{DAY}T01:00Z', 1, 'v', '{DAY}Z'), ('b', 0, '{DAY}T01:00Z', 99, 'v', '{DAY}Z');
         insert into public.l2 values ('a', 1, 1, '{DAY}Z'), ('a', 2, 1, '{DAY}Z'), ('c', 1, 0, '{DAY}Z');"
    );
    let world = World::new(&scene, &toml).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let row =
        "select predictions, labeled, mse from trueup.window_history where cohort = 'all' and model_version is null";
    assert_eq!(world.db.lines(row).await, ["3 | 2 | 10"]);
    world.db.execute("insert into public.l2 values ('b', 1, 1, '2024-05-02T00:30Z')").await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    assert_eq!(world.db.lines(row).await, [format!("3 | 3 | {}", 20.0 / 3.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_arrival_times_every_run_rereads_its_reach_and_sees_deletes() {
    let toml = hourly(WINDOWS).replace("arrived_at = \"seen\"\n", "");
    let world = World::new(TABLES, &toml).await;
    assert!(!world.job.is_incremental());
    world.db.execute(&format!(
        "insert into public.p select n, '{DAY}T01:00Z', n, 'v1', 'a', now() from generate_series(1, 4) n; insert into public.l values (1, 0, now()), (2, 0, now());"
    )).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let row = "select revision, predictions, labeled, mse from trueup.window_revisions where cohort = 'all' and model_version is null order by revision";
    assert_eq!(world.db.lines(row).await, ["1 | 4 | 2 | 2.5"]);
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    assert_eq!(world.db.lines(row).await.len(), 1, "nothing changed, nothing is written");
    world.db.execute("delete from public.p where id = 4; insert into public.l values (3, 0, now())").await;
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    assert_eq!(world.db.lines(row).await.last(), Some(&format!("2 | 3 | 3 | {}", 14.0 / 3.0)));
}

/// Ticks every five minutes over buckets of an hour: a rolling window ends at the last boundary, and most ticks bring no new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_may_be_coarser_than_the_cadence() {
    let toml = hourly("[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nbucket = \"1h\"\n")
        .replace("every = \"1h\"", "every = \"5m\"");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
    for minute in 0..30 {
        world.run_at(at("2024-05-02T10:45:00Z") + chrono::TimeDelta::minutes(5 * minute)).await;
    }
    let windows = world.db.lines("select window_start, window_end, predictions, revision from trueup.window_history where window_name = 'rolling 6h' and cohort = 'all' and model_version is null order by 2").await;
    // Labels come half an hour after their event: the last pairs of a window do in a later tick, which does not measure it again.
    let expected: Vec<String> = ["04", "05", "06", "07"]
        .iter()
        .zip(["10", "11", "12", "13"])
        .map(|(from, to)| format!("2024-05-02T{from}:00:00+00:00 | 2024-05-02T{to}:00:00+00:00 | 24 | "))
        .collect();
    assert_eq!(windows.len(), 4, "{windows:?}");
    for (window, expected) in windows.iter().zip(&expected) {
        assert!(window.starts_with(expected), "{window}: {expected}");
    }
    let ticks: i64 = world.db.scalar("select count(*) from trueup.run where state = 'ok'").await;
    assert_eq!(ticks, 30);
}
