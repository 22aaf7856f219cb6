//! Two classes: every metric against scikit-learn through the database, and what odd labels and scores come to.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use trueup::metric::column;

use crate::support::world::{World, at};

const TABLES: &str = "
    create table public.p (
        id bigint primary key, at timestamptz not null, score float8, approved boolean, version text, region text, seen timestamptz not null);
    create table public.l (id bigint primary key, outcome text, seen timestamptz not null);
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);";

/// A job over `public.p` and `public.l`, every hour, with `model` in its section.
fn job(model: &str, rest: &str) -> String {
    format!(
        "[job]\nname = \"credit\"\n[schedule]\nevery = \"1h\"\n[model]\ntask = \"binary\"\n{model}\n\
         [predictions]\ntable = \"public.p\"\nid = \"id\"\nat = \"at\"\nvalue = \"score\"\narrived_at = \"seen\"\n\
         [labels]\ntable = \"public.l\"\nid = \"id\"\nvalue = \"outcome\"\narrived_at = \"seen\"\n\
         [builtin]\noff = [\"all\"]\n{rest}"
    )
}

fn cases() -> BTreeMap<String, Json> {
    serde_json::from_str(include_str!("fixtures/classes.json")).unwrap()
}

fn numbers(of: &Json) -> Vec<f64> {
    of.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Metrics of classes of a cohort, those that have a value.
async fn metrics_of(world: &World, cohort: &str) -> BTreeMap<String, f64> {
    let sql = format!(
        "select to_jsonb(h)::text from trueup.classification_history as h where cohort = '{cohort}' and model_version is null"
    );
    let row: BTreeMap<String, Json> = serde_json::from_str(&world.db.scalar::<String>(&sql).await).unwrap();
    row.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_classes_equals_scikit_learn() {
    let names: Vec<String> =
        column::class_metrics().map(|metric| format!("\"{}\"", metric.name)).collect();
    let toml = job(
        "positive = \"bad\"\nthreshold = 0.5\ncost = { false_positive = 2.0, false_negative = 30.0 }",
        &format!(
            "[windows]\nrolling = [\"1d\"]\nlabel_wait = \"1d\"\nbucket = \"15m\"\n[[cohorts]]\nby = [\"region\"]\n\
             [metrics]\ntop = 0.05\ninclude = [{}]\n",
            names.join(", ")
        ),
    );
    let world = World::new(TABLES, &toml).await;
    let mut id = 0;
    for (name, case) in cases() {
        let rows = numbers(&case["scores"]).into_iter().zip(numbers(&case["labels"])).map(|(score, label)| {
            id += 1;
            format!("({id}, {score:e}, '{}')", if label > 0.5 { "bad" } else { "good" })
        });
        let rows = rows.collect::<Vec<_>>().join(", ");
        world
            .db
            .execute(&format!(
                "create temp table of_case as select * from (values {rows}) as v (id, score, outcome);
                 insert into public.p select id, timestamptz '2024-05-01Z' + id % 1400 * interval '1 minute', score, null, null, '{name}', '2024-05-01Z' from of_case;
                 insert into public.l select id, outcome, '2024-05-01Z' from of_case;
                 drop table of_case"
            ))
            .await;
    }
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let mut compared = 0;
    for (name, case) in cases() {
        let found = metrics_of(&world, &format!("region={name}")).await;
        for (metric, expected) in case["exact"].as_object().unwrap() {
            let expected = expected.as_f64().unwrap();
            let value = found.get(metric).copied().unwrap_or_else(|| panic!("{name} has no {metric}"));
            assert!((value - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{name} {metric}: {value}, not {expected}");
            compared += 1;
        }
        for (metric, expected) in case["binned"].as_object().unwrap() {
            let expected = numbers(expected);
            let value = found.get(metric).copied().unwrap_or_else(|| panic!("{name} has no {metric}"));
            assert!((value - expected[0]).abs() <= expected[1] + 1e-9, "{name} {metric}: {value}, not {expected:?}");
            compared += 1;
        }
        // One class has no ranking, and no correlation.
        if case["binned"].as_object().unwrap().is_empty() {
            for metric in ["auc", "gini", "ks_separation", "mcc", "recall", "pr_auc"] {
                assert_eq!(found.get(metric), None, "{name}");
            }
        }
    }
    assert!(compared > 150, "{compared}");
}
