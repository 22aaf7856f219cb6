//! Several classes: every metric against scikit-learn through the database, and names of classes in the history.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::support::world::{World, at};

const TABLES: &str = "
    create table public.p (id bigint primary key, at timestamptz not null, queue text, p0 float8, p1 float8, p2 float8, p3 float8, region text,
        seen timestamptz not null);
    create table public.l (id bigint primary key, queue text, seen timestamptz not null);
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);";

fn job(model: &str, rest: &str) -> String {
    format!(
        "[job]\nname = \"tickets\"\n[schedule]\nevery = \"1h\"\n[model]\ntask = \"multiclass\"\n{model}\n\
         [predictions]\ntable = \"public.p\"\nid = \"id\"\nat = \"at\"\nvalue = \"queue\"\narrived_at = \"seen\"\n\
         [labels]\ntable = \"public.l\"\nid = \"id\"\nvalue = \"queue\"\narrived_at = \"seen\"\n\
         [builtin]\noff = [\"all\"]\n\
         [windows]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nhorizon = \"30d\"\nbucket = \"15m\"\n{rest}"
    )
}

const PROBABILITIES: &str =
    "probabilities = { billing = \"p0\", returns = \"p1\", \"técnico\" = \"p2\", 'other, or \"none\"' = \"p3\" }";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_several_classes_equals_scikit_learn() {
    let names = [
        "accuracy",
        "macro_precision",
        "macro_recall",
        "macro_f1",
        "weighted_precision",
        "weighted_recall",
        "weighted_f1",
    ];
    let names: Vec<String> =
        names.iter().chain(&["log_loss", "loss_share"]).map(|name| format!("\"{name}\"")).collect();
    let rest = format!("[[cohorts]]\nby = [\"region\"]\n[metrics]\ninclude = [{}]\n", names.join(", "));
    let world = World::new(TABLES, &job(PROBABILITIES, &rest)).await;
    let fixture: Json = serde_json::from_str(include_str!("fixtures/multiclass.json")).unwrap();
    let classes: Vec<String> = serde_json::from_value(fixture["classes"].clone()).unwrap();
    let mut id = 0;
    for (name, case) in fixture["cases"].as_object().unwrap() {
        let labels: Vec<usize> = serde_json::from_value(case["labels"].clone()).unwrap();
        let probabilities: Vec<Vec<f64>> = serde_json::from_value(case["probabilities"].clone()).unwrap();
        for (label, p) in labels.iter().zip(&probabilities) {
            id += 1;
            let best = (0..4).max_by(|a, b| p[*a].total_cmp(&p[*b])).unwrap();
            world
                .db
                .execute(&format!(
                    "insert into public.p values ({id}, timestamptz '2024-05-01Z' + {id} * interval '1 minute', {}, {}, {}, {}, {}, '{name}', '2024-05-01Z');
                     insert into public.l values ({id}, {}, '2024-05-01Z')",
                    quoted(&classes[best]), p[0], p[1], p[2], p[3], quoted(&classes[*label]),
                ))
                .await;
        }
    }
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    for (name, case) in fixture["cases"].as_object().unwrap() {
        let sql =
            format!("select to_jsonb(h)::text from trueup.classification_history as h where cohort = 'region={name}'");
        let found: BTreeMap<String, Json> = serde_json::from_str(&world.db.scalar::<String>(&sql).await).unwrap();
        for (metric, expected) in case["expected"].as_object().unwrap() {
            let (value, expected) = (found[metric].as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((value - expected).abs() <= 1e-9, "{name} {metric}: {value}, not {expected}");
        }
    }
    let shares: f64 =
        world.db.scalar("select sum(loss_share) from trueup.classification_history where cohort <> 'all'").await;
    assert!((shares - 1.0).abs() < 1e-9);
    let wrong = "select count(*) from (
            select p.queue as decision, l.queue as label, count(*) as pairs from public.p p join public.l l using (id) group by 1, 2) s
        full join (select * from trueup.confusion_history where cohort = 'all') h using (label, decision)
        where h.pairs is distinct from s.pairs";
    assert_eq!(world.db.scalar::<i64>(wrong).await, 0);
    let classes = "select count(*) from trueup.residual_history h join public.p p on p.id::text = h.prediction_key join public.l l on l.id = p.id
                   where (h.predicted_class, h.actual_class) is distinct from (p.queue, l.queue) or h.error is not null";
    assert_eq!(world.db.scalar::<i64>(classes).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn late_labels_revise_and_new_classes_are_named() {
    let world = World::new(
        TABLES,
        &job("", "[[slos]]\nname = \"right\"\ngood = \"decision = label\"\nobjective = 0.9\nperiod = \"7d\"\nburn = \"auto\"\n"),
    )
    .await;
    world
        .db
        .execute(
            "insert into public.p (id, at, queue, seen) select n, timestamptz '2024-05-01Z' + n * interval '1 hour', (array['a', 'b', 'c', null])[n], '2024-05-01Z' from generate_series(1, 4) n;
             insert into public.l values (1, 'a', '2024-05-01Z'), (2, null, '2024-05-01Z'), (4, 'a', '2024-05-01Z')",
        )
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let row =
        "select concat_ws(' ', predictions, labeled, excluded, accuracy, macro_f1) from trueup.classification_history";
    assert_eq!(world.db.scalar::<String>(row).await, "4 1 2 1 1");
    world.db.execute("insert into public.l values (3, 'new', '2024-05-20T10:10Z')").await;
    world.run_at(at("2024-05-20T11:00:00Z")).await;
    assert_eq!(world.db.scalar::<String>(row).await, "4 2 2 0.5 0.3333333333333333");
    let cells =
        world.db.lines("select label, decision, pairs from trueup.confusion_history order by label, decision").await;
    assert_eq!(cells, ["a | a | 1", "new | c | 1"]);
    let good = "select value from trueup.metric_history where metric = 'slo_right'";
    assert!((world.db.scalar::<f64>(good).await - 0.5).abs() < 1e-12);
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_may_be_numbers_of_different_types() {
    let tables = TABLES
        .replace("at timestamptz not null, queue text", "at timestamptz not null, queue int")
        .replace("primary key, queue text", "primary key, queue numeric");
    let world = World::new(&tables, &job("", "")).await;
    world
        .db
        .execute(
            "insert into public.p (id, at, queue, seen) select n, timestamptz '2024-05-01Z' + n * interval '1 hour', n % 3, '2024-05-01Z' from generate_series(1, 9) n;
             insert into public.l select id, (id % 3)::numeric(5, 2), '2024-05-01Z' from public.p",
        )
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    assert_eq!(world.db.scalar::<f64>("select accuracy from trueup.classification_history").await, 1.0);
    assert_eq!(
        world.db.lines("select label, pairs from trueup.confusion_history order by 1").await,
        ["0 | 3", "1 | 3", "2 | 3"]
    );
}
