//! Two classes: every metric against scikit-learn through the database, and what odd labels and scores come to.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use trueup::metric::column;
use trueup::metric::task::Applies;

use crate::support::database::TestDatabase;
use crate::support::program::Folder;
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
    equals_scikit_learn(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rankings_from_all_pairs_equal_scikit_learn_without_a_bound() {
    equals_scikit_learn(true).await;
}

/// Compares every metric; with `exact` those from the order of scores are equal, too.
async fn equals_scikit_learn(exact: bool) {
    let names: Vec<String> = column::class_metrics()
        .filter(|metric| metric.task != Applies::Multiclass)
        .map(|metric| format!("\"{}\"", metric.name))
        .collect();
    let toml = job(
        "positive = \"bad\"\nthreshold = 0.5\ncost = { false_positive = 2.0, false_negative = 30.0 }",
        &format!(
            "[windows]\nrolling = [\"1d\"]\nlabel_wait = \"1d\"\nbucket = \"15m\"\n[[cohorts]]\nby = [\"region\"]\n\
             [metrics]\nexact = {exact}\ntop = 0.05\ninclude = [{}]\n",
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
            assert!(
                (value - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                "{name} {metric}: {value}, not {expected}"
            );
            compared += 1;
        }
        for (metric, expected) in case["binned"].as_object().unwrap() {
            let expected = numbers(expected);
            let value = found.get(metric).copied().unwrap_or_else(|| panic!("{name} has no {metric}"));
            // A regression stops when it is close enough, on both sides.
            let close = if metric.starts_with("calibration") { 1e-3 } else { 1e-9 };
            let allowed = if exact { close } else { expected[1] + 1e-9 };
            assert!((value - expected[0]).abs() <= allowed, "{name} {metric}: {value}, not {expected:?}");
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

/// Predictions at five-minute steps from the first of May: scores as SQL, and labels as SQL, null for none.
async fn insert(world: &World, rows: &[(&str, &str)]) {
    for (n, (score, label)) in rows.iter().enumerate() {
        let id = n + 1;
        let sql = format!(
            "insert into public.p (id, at, score, seen) values ({id}, timestamptz '2024-05-01Z' + {id} * interval '5 minutes', {score}, '2024-05-01Z')"
        );
        world.db.execute(&sql).await;
        if !label.is_empty() {
            world.db.execute(&format!("insert into public.l values ({id}, {label}, '2024-05-01Z')")).await;
        }
    }
}

const DAY: &str = "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nbucket = \"15m\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn odd_labels_and_scores_are_excluded_and_counted() {
    let include =
        "[metrics]\ninclude = [\"precision\", \"recall\", \"auc\", \"log_loss\", \"positive_rate\", \"score_p50\"]\n";
    let world = World::new(TABLES, &job("", &format!("{DAY}{include}"))).await;
    insert(
        &world,
        &[
            ("0.9", "'yes'"),
            ("0.5", "'no'"),
            ("0.2", "'t'"),
            ("0.1", "'0'"),
            ("0.7", "'maybe'"),
            ("1.2", "'yes'"),
            ("-0.1", "'no'"),
            ("'NaN'", "'yes'"),
            ("'Infinity'", "'no'"),
            ("null", "'yes'"),
            ("0.6", "null"),
            ("0.8", ""),
            ("null", ""),
        ],
    )
    .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    let expected = [
        ("predictions", 13.0),
        ("labeled", 4.0),
        ("excluded", 7.0),
        ("true_positives", 1.0),
        ("false_positives", 1.0),
        ("false_negatives", 1.0),
        ("true_negatives", 1.0),
        // Usable scores: 0.9, 0.5, 0.2, 0.1, 0.7, 0.6 and 0.8, of which five reach 0.5.
        ("positive_rate", 5.0 / 7.0),
        ("unusable_scores", 6.0),
        ("auc", 0.75),
    ];
    for (name, expected) in expected {
        assert!((found[name] - expected).abs() < 1e-12, "{name}: {found:?}");
    }
    assert!((found["score_p50"] - 0.6).abs() <= 0.0005);
    let outcomes = world
        .db
        .lines("select outcome, count(*)::text from trueup.residual_history group by outcome order by outcome")
        .await;
    let expected =
        ["not finite | 2", "null value | 2", "out of range | 2", "pair | 4", "unknown class | 1", "unlabeled | 2"];
    assert_eq!(outcomes, expected);
    let worst = "select count(*) from trueup.window_revisions where predictions < labeled + excluded";
    assert_eq!(world.db.scalar::<i64>(worst).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_every_type_are_read_as_classes() {
    let columns = [
        ("boolean", "", "true", "false", "null"),
        ("integer", "", "1", "0", "7"),
        ("numeric", "", "1.00", "0", "'NaN'"),
        ("float4", "", "1", "0", "'Infinity'"),
        ("text", "positive = \"it's \\\\ bad\"\nnegative = [\"good\"]", "$$it's \\ bad$$", "'good'", "'neither'"),
        ("outcome", "positive = [\"charged_back\", \"stolen\"]", "'stolen'", "'fine'", "null"),
        ("char(4)", "positive = \"ab\"\nnegative = \"cd\"", "'ab'", "'cd'", "'x'"),
    ];
    for (kind, model, positive, negative, odd) in columns {
        let tables = format!(
            "create type outcome as enum ('charged_back', 'stolen', 'fine');{}",
            TABLES.replace("outcome text", &format!("outcome {kind}"))
        );
        let world =
            World::new(&tables, &job(model, &format!("{DAY}[metrics]\ninclude = [\"precision\", \"recall\"]\n"))).await;
        insert(&world, &[("0.9", positive), ("0.6", negative), ("0.4", positive), ("0.3", negative), ("0.5", odd)])
            .await;
        world.run_at(at("2024-05-02T00:00:00Z")).await;
        let found = metrics_of(&world, "all").await;
        let counts = [("labeled", 4.0), ("excluded", 1.0), ("precision", 0.5), ("recall", 0.5)];
        assert!(counts.iter().all(|(name, expected)| found[*name] == *expected), "{kind}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_are_measured_before_any_label_and_late_labels_revise() {
    let include = "[metrics]\ninclude = [\"positive_rate\", \"recall\"]\n";
    let model = "positive = \"bad\"\nthreshold = 0.8\nthresholds = [0.3, 0.95]";
    let world = World::new(TABLES, &job(model, &format!("{DAY}horizon = \"30d\"\n{include}"))).await;
    insert(&world, &[("0.9", ""), ("0.8", ""), ("0.31", ""), ("0.1", "")]).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let first = metrics_of(&world, "all").await;
    let rates = ["positive_rate", "labeled"].map(|name| first[name]);
    assert_eq!((rates, first.get("recall")), ([0.5, 0.0], None), "{first:?}");
    let at_other =
        "select string_agg(metric || ' ' || value || ' ' || (ci_low < value and value < ci_high), ', ' order by metric)
                    from trueup.metric_history where metric like 'positive_rate_at%'";
    let rates: String = world.db.scalar(at_other).await;
    assert_eq!(rates, "positive_rate_at_0_3 0.75 true, positive_rate_at_0_95 0 false");
    // Three weeks later two labels are there.
    world
        .db
        .execute("insert into public.l values (1, 'bad', '2024-05-22T10:10Z'), (4, 'bad', '2024-05-22T10:10Z')")
        .await;
    world.run_at(at("2024-05-22T10:15:00Z")).await;
    let now = metrics_of(&world, "all").await;
    assert_eq!(["positive_rate", "recall", "labeled"].map(|name| now[name]), [0.5, 0.5, 2.0], "{now:?}");
    let revisions = "select string_agg(coalesce(extra ->> 'recall', 'none'), ', ' order by revision) from trueup.window_revisions where cohort = 'all'";
    assert_eq!(world.db.scalar::<String>(revisions).await, "none, 0.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_may_be_a_column_and_rows_without_labels_count() {
    let rest = format!(
        "{DAY}[metrics]\ninclude = [\"precision\", \"positive_rate\"]\n\
         [[metrics.custom]]\nname = \"high_scores\"\nsum = \"(score > 0.6)::int\"\nover = \"rows\"\n\
         [[metrics.custom]]\nname = \"right\"\nsum = \"(decision = label)::int\"\n\
         [[slos]]\nname = \"right-decisions\"\ngood = \"decision = label\"\nobjective = 0.9\nperiod = \"7d\"\nburn = \"auto\"\n"
    );
    let world = World::new(TABLES, &job("positive = \"bad\"\ndecision = \"approved\"", &rest)).await;
    insert(&world, &[("0.9", "'bad'"), ("0.7", "'good'"), ("0.5", "'bad'"), ("0.3", ""), ("0.8", "")]).await;
    world.db.execute("update public.p set approved = id in (1, 3, 4) where id <> 2").await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    assert_eq!(["precision", "positive_rate"].map(|name| found[name]), [1.0, 3.0 / 5.0], "{found:?}");
    let own = "select string_agg(metric || ' ' || round(value::numeric, 3), ', ' order by metric) from trueup.metric_history where metric in ('high_scores', 'right', 'slo_right_decisions')";
    let own: String = world.db.scalar(own).await;
    assert_eq!(own, "high_scores 0.600, right 1.000, slo_right_decisions 1.000");
    // A decision that is taken back is found like any other change of a prediction.
    world.db.execute("update public.p set approved = false, seen = '2024-05-02T00:30Z' where id in (3, 4)").await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    assert_eq!(["precision", "positive_rate"].map(|name| found[name]), [1.0, 1.0 / 5.0], "{found:?}");
    assert_eq!(found["false_negatives"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scores_that_are_no_probabilities_are_ranked() {
    let world = World::new(
        TABLES,
        &job(
            "positive = \"bad\"\nscores = \"any\"\nthreshold = 400.0",
            &format!("{DAY}[metrics]\ninclude = [\"auc\", \"precision\", \"score_p50\", \"loss_share\"]\n"),
        ),
    )
    .await;
    insert(&world, &[("712", "'bad'"), ("-3", "'good'"), ("500", "'good'"), ("601.5", "'bad'"), ("1e71", "'bad'")])
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    let values = ["auc", "labeled", "excluded", "unusable_scores", "loss_share"].map(|name| found[name]);
    assert_eq!(values, [1.0, 4.0, 1.0, 1.0, 1.0], "{found:?}");
    assert!((found["precision"] - 2.0 / 3.0).abs() < 1e-12 && (found["score_p50"] / 550.0 - 1.0).abs() < 0.005);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_of_classes_add_up() {
    let world = World::new(TABLES, &job("positive = \"bad\"", &format!("{DAY}[[cohorts]]\nby = [\"region\"]\n"))).await;
    world
        .db
        .execute(
            "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '4 minutes', (n * 37 % 101) / 100.0, null, null, 'r' || n % 3, '2024-05-01Z' from generate_series(1, 300) n;
             insert into public.l select id, case when id * 53 % 97 < score * 97 then 'bad' else 'good' end, '2024-05-01Z' from public.p where id % 10 > 0",
        )
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    for wrong in [
        "h.true_positives + h.false_negatives <> (select sum(pairs) from trueup.confusion_history c where (c.cohort, c.label) = (h.cohort, 'positive'))",
        "h.labeled <> (select sum(pairs) from trueup.confusion_history c where c.cohort = h.cohort)",
        "h.labeled <> (select sum(pairs) from trueup.calibration_history c where c.cohort = h.cohort)",
        "abs(h.ece * h.labeled - (select sum(abs(mean_score - observed_rate) * pairs) from trueup.calibration_history c where c.cohort = h.cohort)) > 1e-9",
        "h.ece_by_chance is null",
    ] {
        let sql = format!("select count(*) from trueup.classification_history h where {wrong}");
        assert_eq!(world.db.scalar::<i64>(&sql).await, 0, "{wrong}");
    }
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.classification_history").await, 4);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.calibration_history where pairs > 0").await, 40);
    // The bins are no metrics of their own.
    let bins = "select count(*) from trueup.metric_revisions where metric like 'calibration%'";
    assert_eq!(world.db.scalar::<i64>(bins).await, 0);
    let source = "select sum(pairs)::bigint - (select count(*) from public.p p join public.l l using (id) where p.score >= 0.5 and l.outcome = 'bad')
                  from trueup.confusion_history where (cohort, label, decision) = ('all', 'positive', 'positive')";
    assert_eq!(world.db.scalar::<i64>(source).await, 0);
}

/// What `check` says about data of 60 predictions.
async fn checked(label_type: &str, model: &str, score: &str, label: &str) -> String {
    let db = TestDatabase::new().await;
    db.execute(&TABLES.replace("outcome text", &format!("outcome {label_type}"))).await;
    db.execute(&format!(
        "insert into public.p (id, at, score, seen) select n, now() - n * interval '1 hour', {score}, now() from generate_series(1, 60) n;
         insert into public.l select id, {label}, now() from public.p, lateral (select id as n) as q"
    ))
    .await;
    let folder = Folder::new("classes");
    let metrics = if model.is_empty() { "[metrics]\ninclude = [\"mse\"]\n" } else { "" };
    let toml = job(model, &format!("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\n{metrics}"));
    let toml = if model.is_empty() { toml.replace("[model]\ntask = \"binary\"\n", "") } else { toml };
    folder.write("jobs/credit.toml", &toml);
    let checked = folder.run_on(&db.url(), &["check"]);
    assert_eq!(checked.code, Some(0), "{}", checked.stdout);
    checked.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_scores_and_labels_that_do_not_fit() {
    let cases = [
        ("int", "", "n / 61.0", "n % 2", "[classes-as-numbers]", "all of the newest 60 labels are 0 or 1"),
        ("text", "positive = \"bad\"", "n / 50.0", "'bad'", "[unusable-scores]", "10 of the newest 60 scores"),
        (
            "text",
            "positive = \"bad\"\nnegative = \"good\"",
            "n / 61.0",
            "case when n < 4 then 'b' || n else 'bad' end",
            "[unknown-class]",
            "`b1`, `b2`, `b3`",
        ),
        (
            "text",
            "positive = \"bad\"\nthreshold = 0.9",
            "0.2",
            "'bad'",
            "[idle-threshold]",
            "all of the newest 60 scores are below the threshold 0.9",
        ),
        (
            "text",
            "positive = \"bad\"",
            "n / 61.0",
            "case when n % 6 = 0 then 'bad' else 'good' end",
            "[few-positives]",
            "holds about 4 positive labels (16.67 %",
        ),
    ];
    for (label_type, model, score, label, code, words) in cases {
        let said = checked(label_type, model, score, label).await;
        assert!(said.contains(code) && said.contains(words), "{said}");
    }
    let said = checked("boolean", "threshold = 0.5", "(n % 60) / 60.0", "true").await;
    assert!(!said.contains("[idle") && !said.contains("[un"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_between_groups_is_a_metric_that_names_them_and_fires_like_any_other() {
    let rest = format!(
        "{DAY}[[cohorts]]\nby = [\"region\"]\n[metrics]\ninclude = [\"recall\", \"positive_rate\"]\n\
         [[fairness]]\nby = \"region\"\nmetrics = [\"tpr_gap\", \"fpr_gap\", \"selection_ratio\", \"ece_gap\"]\nmin_group = 30\n\
         [[alerts]]\nname = \"unequal\"\nmetric = \"tpr_gap\"\nwindow = \"tumbling 1d\"\nabove = 0.2\n\
         [[alerts]]\nname = \"miscalibrated\"\nmetric = \"ece_gap\"\nwindow = \"tumbling 1d\"\nabove = 0.9\n"
    );
    let world = World::new(TABLES, &job("positive = \"bad\"", &rest)).await;
    // Recall is 0.5 in `a`, 0.75 in `b`, which is larger, and 0 in `c`, which is too small to count.
    world
        .db
        .execute(
            "insert into public.p
             select n, timestamptz '2024-05-01Z' + n * interval '5 minutes',
                    case when n <= 80 then case when n % 2 = 0 then 0.9 else 0.1 end when n <= 200 then case when n % 4 > 0 then 0.8 else 0.2 end else 0.3 end,
                    null, null, case when n <= 80 then 'a' when n <= 200 then 'b' else 'c' end, '2024-05-01Z'
             from generate_series(1, 220) n;
             insert into public.l select id, case when id % 8 < 4 then 'bad' else 'good' end, '2024-05-01Z' from public.p",
        )
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = world
        .db
        .lines(
            "select metric, round(value::numeric, 4), ci_low < value and value < ci_high, note from trueup.metric_history
             where metric in ('tpr_gap', 'fpr_gap', 'selection_ratio') and value is not null order by metric",
        )
        .await;
    let expected = [
        "fpr_gap | 0.2500 | true | region=a has 0.5000, and region=b has 0.7500",
        "selection_ratio | 0.6667 | - | region=a has 0.5000, and region=b has 0.7500",
        "tpr_gap | 0.2500 | true | region=a has 0.5000, and region=b has 0.7500",
    ];
    assert_eq!(found, expected);
    // The same by hand.
    let by_hand = "with r as (select region, avg((score >= 0.5)::int) as recall from public.p join public.l using (id) where outcome = 'bad' and region <> 'c' group by region)
                   select round(max(recall) - min(recall), 4)::text from r";
    assert_eq!(world.db.scalar::<String>(by_hand).await, "0.2500");
    let alerts = world.db.lines("select rule, cohort, state from trueup.alert order by rule").await;
    assert_eq!(alerts, ["unequal | all | firing"]);
    let evidence: String = world.db.scalar("select string_agg(evidence::text, ' ') from trueup.alert_transition").await;
    assert!(evidence.contains("region=a has 0.5000"), "{evidence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn which_decisions_get_labels_is_measured() {
    let include = "[metrics]\ninclude = [\"ece\", \"coverage_of_positive\", \"coverage_of_negative\"]\n";
    let world = World::new(TABLES, &job("positive = \"bad\"", &format!("{DAY}{include}"))).await;
    insert(
        &world,
        &[
            ("0.95", "'bad'"),
            ("0.9", "'good'"),
            ("0.55", ""),
            ("0.45", ""),
            ("0.41", "'bad'"),
            ("0.02", ""),
            ("1", "'bad'"),
        ],
    )
    .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let found = metrics_of(&world, "all").await;
    assert!(
        (found["coverage_of_positive"] - 0.75).abs() < 1e-12
            && (found["coverage_of_negative"] - 1.0 / 3.0).abs() < 1e-12
    );
    let bands = world
        .db
        .lines("select bin, pairs, predictions from trueup.calibration_history where predictions > 0 order by bin")
        .await;
    assert_eq!(bands, ["1 | 0 | 1", "5 | 1 | 2", "6 | 0 | 1", "10 | 3 | 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_on_scores_fire_before_labels_and_a_cohort_is_held_against_the_whole() {
    let rest = format!(
        "{DAY}[[cohorts]]\nby = [\"region\"]\n[metrics]\ninclude = [\"positive_rate\", \"accuracy\"]\n\
         [[alerts]]\nname = \"many\"\nmetric = \"positive_rate\"\nwindow = \"tumbling 1d\"\nabove = 0.4\n\
         [[alerts]]\nname = \"worse-here\"\nmetric = \"accuracy\"\nwindow = \"tumbling 1d\"\ncohorts = \"each\"\nbelow_baseline = 0.2\nbaseline = {{ kind = \"whole\" }}\nmin_samples = 1\n"
    );
    let world = World::new(TABLES, &job("positive = \"bad\"", &rest)).await;
    world
        .db
        .execute(
            "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '10 minutes', (n % 2)::float8, null, null, case when n <= 40 then 'a' else 'b' end, '2024-05-01Z' from generate_series(1, 60) n",
        )
        .await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let firing = "select rule, cohort from trueup.alert where state = 'firing' order by rule, cohort";
    assert_eq!(world.db.lines(firing).await, ["many | all"]);
    // All right in `a`, and a quarter of them in `b`.
    world
        .db
        .execute("insert into public.l select id, case when (id % 2 = 1) = (region = 'a' or id % 4 = 1) then 'bad' else 'good' end, '2024-05-02T00:10Z' from public.p")
        .await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    assert_eq!(world.db.lines(firing).await, ["many | all", "worse-here | region=b"]);
    let limits = world.db.lines("select value, limit_value from trueup.alert_transition t join trueup.alert a on a.id = t.alert_id where a.rule = 'worse-here'").await;
    // 45 of 60 are right on the whole, and the limit is 0.2 below that.
    assert_eq!(limits, ["0.25 | 0.55"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_stand_in_for_the_outcome_are_named_in_the_alert() {
    let rest = format!(
        "{DAY}[metrics]\ninclude = [\"recall\", \"ece\"]\n\
         [[alerts]]\nname = \"missed\"\nmetric = \"recall\"\nwindow = \"tumbling 1d\"\nbelow = 0.9\nmin_samples = 1\n\
         [[alerts]]\nname = \"uncalibrated\"\nmetric = \"ece\"\nwindow = \"tumbling 1d\"\nabove = 0.1\nmin_samples = 1\n"
    );
    let toml = job("positive = \"bad\"", &rest).replace("[labels]\n", "[labels]\nproxy = true\n");
    let world = World::new(TABLES, &toml).await;
    insert(&world, &[("0.2", "'bad'"), ("0.9", "'bad'"), ("0.4", "'good'")]).await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    let notes = world.db.lines("select a.rule, t.evidence ->> 'note' from trueup.alert_transition t join trueup.alert a on a.id = t.alert_id order by 1").await;
    assert_eq!(notes[0], "missed | Its labels stand in for the true outcome; look for a second signal.");
    assert!(notes[1].starts_with("uncalibrated | Scores no longer mean what they say"), "{notes:?}");
    let about: String =
        world.db.scalar("select (about ->> 'task') || ' ' || (about ->> 'proxy') from trueup.job_about").await;
    assert_eq!(about, "binary true");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_suggested_below_where_more_is_better() {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    db.execute(
        "insert into public.p select n, date_trunc('day', now()) - interval '60 days' + n * interval '20 minutes', (n * 37 % 101) / 100.0, null, null, null, now() - interval '1 day' from generate_series(1, 4300) n;
         insert into public.l select id, case when (score >= 0.5) <> (id % (7 + id / 72 % 5) = 0) then 'bad' else 'good' end, now() - interval '1 day' from public.p",
    )
    .await;
    let folder = Folder::new("suggest-classes");
    let rest = "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"90d\"\n[metrics]\ninclude = [\"accuracy\"]\n\
                [[alerts]]\nname = \"low\"\nmetric = \"accuracy\"\nwindow = \"tumbling 1d\"\nbelow = 0.5\nmin_samples = 1\n";
    folder.write("jobs/credit.toml", &job("positive = \"bad\"", rest));
    folder.run_on(&db.url(), &["migrate"]).ok();
    folder.run_on(&db.url(), &["run", "credit"]).ok();
    let said = folder.run_on(&db.url(), &["suggest", "credit"]).ok();
    let all = format!("{}{}", said.stdout, said.stderr);
    assert!(all.contains("below = 0.") && all.contains("below_baseline = \"") && !all.contains("above"), "{all}");
}
