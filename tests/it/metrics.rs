//! The catalogue against scikit-learn and numpy, through the database: summed in buckets, merged over grains and versions.

use std::collections::BTreeMap;

use trueup::metric::column;

use crate::support::world::{TABLES, World, at, hourly};

/// 400 pairs over four days, the numbers of `fixtures/metrics.py`.
async fn world(metrics: &str) -> World {
    let tables = TABLES.replace("predicted float8,", "predicted float8, weight numeric,");
    let toml = hourly(&format!(
        "[windows]\nrolling = [\"5d\"]\nlabel_wait = \"2d\"\nbucket = \"15m\"\n[[cohorts]]\nby = [\"region\"]\n{metrics}"
    ));
    let world = World::new(&tables, &toml).await;
    world.db.execute(
        "insert into public.p (id, at, predicted, weight, version, region, seen)
         select n, timestamptz '2024-05-01Z' + n * interval '13 minutes', a + e, n % 5, 'v' || n % 2, case when n % 3 = 0 then 'a' else 'b' end, '2024-05-01Z'
         from (select n, case when n % 40 = 0 then 0 else n * 37 % 101 - 10 end::float8 as a,
                      (n * 53 % 97 - 48)::float8 / 7.0::float8 * case when n % 50 = 3 then 20 else 1 end::float8 as e from generate_series(0, 399) n) q;
         insert into public.l
         select id, case when id % 40 = 0 then 0 else id * 37 % 101 - 10 end, at + (id % 11) * interval '1 hour' from public.p;"
    ).await;
    world.run_at(at("2024-05-06T00:00:00Z")).await;
    world
}

async fn metrics_of(world: &World, cohort: &str) -> BTreeMap<String, f64> {
    let text: String = world
        .db
        .scalar(&format!(
            "select jsonb_object_agg(metric, value)::text from trueup.metric_history where cohort = '{cohort}' and model_version is null"
        ))
        .await;
    let values: BTreeMap<String, Option<f64>> = serde_json::from_str(&text).unwrap();
    values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn every_metric() -> String {
    let names: Vec<String> = column::wide().map(|metric| format!("\"{}\"", metric.name)).collect();
    format!(
        "[metrics]\ninclude = [{}]\ntolerance = 5.0\nhuber_delta = 3.0\nweight = \"weight\"\n\
         [[metrics.custom]]\nname = \"cost\"\nsum = \"abs(error) * 2\"\n\
         [[metrics.custom]]\nname = \"bias_of_a\"\nsum = \"predicted - actual\"\nper = \"abs(actual)\"\n",
        names.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_equals_scikit_learn_and_numpy() {
    let world = world(&every_metric()).await;
    let expected: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let mut compared = 0;
    for (cohort, expected) in expected {
        let found = metrics_of(&world, &cohort).await;
        for (name, expected) in expected {
            let value = found.get(&name).copied().unwrap_or_else(|| panic!("{cohort} has no {name}"));
            let sketched = name.starts_with('p') && name.ends_with("_error")
                || name.ends_with("ed_mse") && !name.starts_with("weighted");
            let allowed = if sketched { 0.01 } else { 1e-9 };
            assert!(
                (value - expected).abs() <= allowed * expected.abs(),
                "{cohort} {name}: {value}, expected {expected}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * 39);
    let without_reference = ["label_coverage", "label_arrival_rate", "label_latency_p50", "label_latency_p95"];
    let reference = serde_json::from_str::<serde_json::Value>(include_str!("fixtures/metrics.json")).unwrap();
    for metric in column::wide() {
        let there = reference["all"].get(metric.name).is_some() || without_reference.contains(&metric.name);
        assert!(there, "`{}` has no reference value", metric.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn label_latency_and_arrival_are_those_of_the_labels() {
    let world = world(
        "[metrics]\ninclude = [\"label_latency_p50\", \"label_latency_p95\", \"label_coverage\", \"label_arrival_rate\"]\n",
    )
    .await;
    let found = metrics_of(&world, "all").await;
    // Latencies are 0 to 10 hours in turn: the median is 5 h, the 95th percentile 10 h.
    for (name, expected) in [("label_latency_p50", 5.0), ("label_latency_p95", 10.0)] {
        assert!((found[name] / (expected * 3_600.0) - 1.0).abs() < 0.005, "{found:?}");
    }
    assert_eq!((found["label_coverage"], found["label_arrival_rate"]), (1.0, 1.0));
    // Half a day later ten labels of the last day are taken back, and twenty of a day whose labels are due.
    world.db.execute("update public.l set seen = '2025-01-01Z' where id >= 390 or id between 100 and 119; update public.p set seen = '2024-05-06T00:30Z' where id >= 390 or id between 100 and 119").await;
    world.run_at(at("2024-05-06T01:00:00Z")).await;
    let latest = "select value from trueup.metric_history where cohort = 'all' and model_version is null and window_end = '2024-05-06T01:00Z' and metric = ";
    let coverage: f64 = world.db.scalar(&format!("{latest} 'label_coverage'")).await;
    let arrival: f64 = world.db.scalar(&format!("{latest} 'label_arrival_rate'")).await;
    // The window begins an hour later and holds 395 of the predictions; all that are due are those before May 4, 01:00.
    assert!((coverage - (395.0 - 30.0) / 395.0).abs() < 1e-12, "{coverage}");
    let due = 337.0 - 5.0;
    assert!((arrival - (due - 20.0) / due).abs() < 1e-12, "{arrival}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_far_from_zero_keep_their_variance() {
    let world = World::new(
        TABLES,
        &hourly("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nbucket = \"15m\"\n[metrics]\ninclude = [\"error_variance\", \"r2\", \"actual_variance\"]\n"),
    )
    .await;
    world.db.execute(
        "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '10 minutes', 1e9 + n % 7, 'v', 'a', '2024-05-01Z' from generate_series(1, 140) n;
         insert into public.l select id, 1e9 + (id % 7) - (id % 2) * 0.5, '2024-05-01Z' from public.p;"
    ).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    assert!((found["error_variance"] - 0.0625).abs() < 1e-9, "{found:?}");
    // Of 0, 0.5 less for every other: variance of id % 7 - (id % 2) / 2 over 140 values, by the definition.
    let values: Vec<f64> = (1..=140).map(|n| f64::from(n % 7) - f64::from(n % 2) * 0.5).collect();
    let mean = values.iter().sum::<f64>() / 140.0;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 140.0;
    assert!((found["actual_variance"] / variance - 1.0).abs() < 1e-9, "{found:?} {variance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_numeric_corpus_aborts_no_metric() {
    let world = World::new(
        &TABLES.replace("predicted float8,", "predicted float8, weight float8,"),
        &hourly(&format!("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\n{}", every_metric())),
    )
    .await;
    let corpus = [
        "0",
        "-0.0",
        "1",
        "-1",
        "1e-320",
        "-1e-320",
        "1e-200",
        "1e-70",
        "9.9e-71",
        "1e69",
        "-1e69",
        "1e70",
        "1e71",
        "1e154",
        "1e300",
        "-1e300",
        "1.7e308",
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "null",
        "0.1",
        "123456789.123",
    ];
    for (row, predicted) in corpus.iter().enumerate() {
        for (column, actual) in corpus.iter().enumerate() {
            let id = row * corpus.len() + column;
            world.db.execute(&format!(
                "insert into public.p values ({id}, timestamptz '2024-05-01Z' + {id} * interval '1 minute', {predicted}, {actual}, 'v', 'a', '2024-05-01Z');
                 insert into public.l values ({id}, {actual}, '2024-05-01Z')"
            )).await;
        }
    }
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let counts = world.db.lines("select predictions, labeled, excluded from trueup.window_history where cohort = 'all' and model_version is null").await;
    let within = |text: &&&str| text.parse::<f64>().is_ok_and(|value| value.abs() <= 1e70);
    let usable: Vec<f64> = corpus.iter().filter(within).map(|text| text.parse().unwrap()).collect();
    let pairs = usable.iter().flat_map(|p| usable.iter().map(move |a| p - a)).filter(|e: &f64| e.abs() <= 1e70).count();
    let all = corpus.len() * corpus.len();
    assert_eq!(counts, [format!("{all} | {pairs} | {}", all - pairs)]);
    let empty: Vec<String> = world
        .db
        .lines(
            "select metric from trueup.metric_history where cohort = 'all' and model_version is null and value is null",
        )
        .await;
    assert_eq!(empty, ["label_arrival_rate"], "no label is due yet, everything else has a value");
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_percentiles_equal_numpy() {
    let world = world(&every_metric().replace("[metrics]\n", "[metrics]\nexact = true\n")).await;
    let expected: BTreeMap<String, BTreeMap<String, f64>> =
        serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let mut compared = 0;
    for (cohort, expected) in expected {
        let found = metrics_of(&world, &cohort).await;
        for (name, expected) in expected.iter().filter(|(name, _)| name.starts_with('p') && name.ends_with("_error")) {
            assert!(
                (found[name] / expected - 1.0).abs() < 1e-9,
                "{cohort} {name}: {}, expected {expected}",
                found[name]
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * 8);
}

/// A name, and an error for each number from 0 to 1.
type Shape = (&'static str, fn(f64) -> f64);

/// What the sketch promises, through the database: heavy tails, ties, zeros, both signs, and sizes from 1e-60 to 1e60.
#[tokio::test(flavor = "multi_thread")]
async fn sketches_keep_their_promise_on_tails_ties_and_zeros() {
    let names = ["p50", "p90", "p95", "p99"];
    let include: Vec<String> =
        names.iter().flat_map(|p| [format!("\"{p}_abs_error\""), format!("\"{p}_squared_error\"")]).collect();
    let metrics = format!("[metrics]\ninclude = [{}, \"trimmed_mse\", \"winsorised_mse\"]\n", include.join(", "));
    let world = World::new(
        TABLES,
        &hourly(&format!(
            "[windows]\nrolling = [\"1d\"]\nlabel_wait = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n{metrics}"
        )),
    )
    .await;
    // Of each shape 2,000 errors, by a formula that a test in another language could repeat.
    let shapes: [Shape; 6] = [
        ("equal", |_| 0.1),
        ("heavy", |u| (1.0 - u).powf(-2.0)),
        ("ties", |u| (u * 5.0).floor()),
        ("zeros", |u| if u < 0.8 { 0.0 } else { u }),
        ("signs", |u| (u - 0.5) * 1e6),
        ("sizes", |u| 10_f64.powf(u * 120.0 - 60.0)),
    ];
    let mut rows = Vec::new();
    let mut errors: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, shape) in shapes {
        for n in 0..2_000_u32 {
            let error = shape(f64::from(n * 7919 % 2_000) / 2_000.0);
            rows.push(format!("({}, '2024-05-01T10:00Z', {error:e}, 'v1', '{name}', '2024-05-01Z')", rows.len() + 1));
            errors.entry(name).or_default().push(error.abs());
        }
    }
    world
        .db
        .execute(&format!(
            "insert into public.p values {}; insert into public.l select id, 0, at from public.p",
            rows.join(", ")
        ))
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    for (name, sizes) in &mut errors {
        sizes.sort_by(f64::total_cmp);
        let found = metrics_of(&world, &format!("region={name}")).await;
        let quantile = |q: f64| {
            let place = q * (sizes.len() - 1) as f64;
            let (low, high) = (sizes[place.floor() as usize], sizes[place.ceil() as usize]);
            (low + (high - low) * place.fract(), low * low + (high * high - low * low) * place.fract())
        };
        for (metric, q) in names.iter().zip([0.5, 0.9, 0.95, 0.99]) {
            let (size, square) = quantile(q);
            for (metric, exact) in [(format!("{metric}_abs_error"), size), (format!("{metric}_squared_error"), square)]
            {
                let value = found[&metric];
                assert!((value - exact).abs() <= 0.01 * exact, "{name} {metric}: {value}, exactly {exact}");
            }
        }
        let kept = sizes.len() * 95 / 100;
        let sum: f64 = sizes[..kept].iter().map(|size| size * size).sum();
        let rest = (sizes.len() - kept) as f64 * sizes[kept - 1].powi(2);
        for (metric, exact) in
            [("trimmed_mse", sum / kept as f64), ("winsorised_mse", (sum + rest) / sizes.len() as f64)]
        {
            assert!(
                (found[metric] - exact).abs() <= 0.01 * exact,
                "{name} {metric}: {}, exactly {exact}",
                found[metric]
            );
            let (least, greatest) = (sizes[0].powi(2), sizes[sizes.len() - 1].powi(2));
            let within = least * (1.0 - 1e-12)..=greatest * (1.0 + 1e-12);
            assert!(within.contains(&found[metric]), "{name} {metric}: {} beyond the extremes", found[metric]);
        }
    }
}
