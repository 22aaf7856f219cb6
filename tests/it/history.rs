//! What is kept, what is revised, and what a run may see.

use chrono::TimeDelta;
use trueup::metric::column;
use trueup::pipeline::enter::Refused;

use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const WINDOWS: &str = r#"
[windows]
rolling = ["6h"]
tumbling = ["1d"]
label_wait = "2d"
horizon = "10d"
"#;

const DAY_ONE: &str = "select revision, status, labeled, predictions, mse from trueup.window_revisions
    where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null order by revision";

/// Three days of predictions with an error of 1; the label of number 10 is missing.
async fn world(windows: &str) -> World {
    let world = World::new(TABLES, &hourly(windows)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 6)).await;
    world.db.execute("delete from public.l where id = 10").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_three_days_late_is_revision_two_beside_the_first_report() {
    let alert = r#"
[[alerts]]
name = "mse-high"
metric = "mse"
window = "tumbling 1d"
above = 50.0
notify = ["hook"]
"#;
    let world = world(&format!("{WINDOWS}{alert}")).await;
    // An hour after midnight all labels of the day but the late one are there.
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    assert_eq!(world.db.lines(DAY_ONE).await, ["1 | provisional | 95 | 96 | 1"]);
    world.run_at(at("2024-05-04T01:00:00Z")).await;
    assert_eq!(world.db.lines(DAY_ONE).await, ["1 | final | 95 | 96 | 1"]);

    // 1 + (100 - 2)²: the mean over 96 pairs is (95 + 98²) / 96.
    world.db.execute("insert into public.l values (10, 2, '2024-05-04T02:15Z')").await;
    let published = world.run_at(at("2024-05-04T03:00:00Z")).await;
    let expected = (95.0 + 98.0 * 98.0) / 96.0;
    assert_eq!(
        world.db.lines(DAY_ONE).await,
        ["1 | final | 95 | 96 | 1".to_owned(), format!("2 | final | 96 | 96 | {expected}")]
    );
    let first: f64 = world.db.scalar("select mse from trueup.window_revisions where first_reported and window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null").await;
    assert_eq!(first, 1.0);
    // Each says how old its labels were: an hour after the end of the day, and two days and three hours.
    let ages = world.db.lines("select label_age from trueup.window_revisions where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and model_version is null order by revision").await;
    assert_eq!(ages, ["01:00:00", "2 days 03:00:00"]);
    let believed: f64 = world.db.scalar("select value from trueup.metric_history_as_of('2024-05-04T02:59Z') where metric = 'mse' and window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null").await;
    assert_eq!(believed, 1.0, "what was believed before the label came");

    // The past is worse than the limit, and nobody is told of it.
    assert!(published.transitions.is_empty(), "{:?}", published.transitions);
    let verdicts = world.db.lines("select verdict, retroactive from trueup.verdict_history where window_start = '2024-05-01Z' order by evaluated_at").await;
    assert_eq!(verdicts, ["ok | false", "breach | true"]);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.notification").await, 0);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.alert_history").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn running_the_same_time_again_changes_nothing() {
    let world = world(WINDOWS).await;
    let time = at("2024-05-03T05:00:00Z");
    world.run_at(time).await;
    let all = "select window_name, window_end, cohort, model_version, revision, mse, labeled, status from trueup.window_revisions order by 1, 2, 3, 4, 5";
    let before = world.db.lines(all).await;
    let again = world.run_at(time).await;
    assert_eq!(again.done.windows_written, 0);
    assert_eq!(world.db.lines(all).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_sees_only_what_had_arrived_and_only_moves_forward() {
    let world = world(WINDOWS).await;
    world.run_at(at("2024-05-02T12:10:00Z")).await;
    // The last bucket boundary is 12:00; labels of 11:45 and 11:30+ arrive at 12:15 and 12:00.
    let window = "select window_end, predictions, labeled from trueup.window_history where window_name = 'rolling 6h' and cohort = 'all' and model_version is null";
    assert_eq!(world.db.lines(window).await, ["2024-05-02T12:00:00+00:00 | 24 | 23"]);
    let refused = world.try_run_at(at("2024-05-02T12:00:00Z")).await;
    assert!(matches!(refused, Err(Refused::AlreadyPublished { .. })), "{refused:?}");
    let refused = world.try_run_at(chrono::Utc::now() + TimeDelta::hours(1)).await;
    assert!(matches!(refused, Err(Refused::InTheFuture { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_window_is_stored_when_first_evaluated_and_once_more_when_final() {
    let world = world(WINDOWS).await;
    let window = "select revision, status, labeled from trueup.window_revisions where window_name = 'rolling 6h' and window_end = '2024-05-01T06:00Z' and cohort = 'all' and model_version is null order by revision";
    world.run_at(at("2024-05-01T06:00:00Z")).await;
    assert_eq!(
        world.db.lines(window).await,
        ["1 | provisional | 22"],
        "labels of the last half hour, and the missing one, are not there yet"
    );
    world.run_at(at("2024-05-01T07:00:00Z")).await;
    assert_eq!(world.db.lines(window).await, ["1 | provisional | 22"], "not before it is final");
    world.run_at(at("2024-05-03T06:00:00Z")).await;
    assert_eq!(world.db.lines(window).await, ["1 | provisional | 22", "2 | final | 23"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_label_a_changed_event_time_and_a_new_version_are_followed() {
    let world = world(WINDOWS).await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    // A label is corrected, a prediction moves from the first day to the second.
    world
        .db
        .execute(
            "update public.l set actual = 90, seen = '2024-05-02T01:30Z' where id = 20;
         update public.p set at = '2024-05-02T00:05Z', seen = '2024-05-02T01:30Z' where id = 30;",
        )
        .await;
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    let expected = (93.0 + 100.0) / 94.0;
    assert_eq!(world.db.lines(DAY_ONE).await.last(), Some(&format!("2 | provisional | 94 | 95 | {expected}")));
    world.run_at(at("2024-05-03T01:00:00Z")).await;
    let second: i64 = world.db.scalar("select predictions from trueup.window_history where window_name = 'tumbling 1d' and window_start = '2024-05-02Z' and cohort = 'all' and model_version is null").await;
    assert_eq!(second, 97);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_that_vanishes_is_noted_and_not_kept_stale() {
    let world = world(&format!("{WINDOWS}\n[[cohorts]]\nby = [\"region\"]\n")).await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    world
        .db
        .execute(
            "update public.p set region = 'c', seen = '2024-05-02T01:30Z' where region = 'b' and at < '2024-05-02Z'",
        )
        .await;
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    let now = "select cohort, predictions from trueup.window_history where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and model_version is null order by 1";
    assert_eq!(world.db.lines(now).await, ["all | 96", "region=a | 48", "region=c | 48"]);
    let all = "select revision, removed, predictions from trueup.window_revisions where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and model_version is null and cohort = 'region=b' order by 1";
    assert_eq!(world.db.lines(all).await, ["1 | false | 48", "2 | true | 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_starts_a_new_plan_and_keeps_the_history() {
    let mut world = world(WINDOWS).await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    let filtered = hourly(WINDOWS).replace("[labels]", "where = \"region = 'a'\"\n[labels]");
    world.job = plan_job(&filtered);
    world.run_at(at("2024-05-02T02:00:00Z")).await;
    let rows = world.db.lines("select revision, predictions, dense_rank() over (order by plan_id) from trueup.window_revisions where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null order by revision").await;
    assert_eq!(rows, ["1 | 96 | 1", "2 | 48 | 2"]);
    let mixed: i64 = world.db.scalar("select count(*) from (select bucket_start from trueup.bucket b join trueup.cell c on c.id = b.cell_id group by grain, bucket_start, b.plan_id, dimensions, model_version having count(*) > 1 or min(b.plan_id) <> min(c.plan_id)) q").await;
    assert_eq!(mixed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_every_public_view_is_described() {
    let world = World::new(TABLES, &hourly(WINDOWS)).await;
    let bare = world.db.lines(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
         where c.relnamespace = 'trueup'::regnamespace and c.relkind = 'v' and col_description(c.oid, a.attnum) is null
         union all select relname, '(view)' from pg_class where relnamespace = 'trueup'::regnamespace and relkind = 'v' and obj_description(oid) is null",
    ).await;
    assert!(bare.is_empty(), "{bare:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_have_the_columns_that_analysts_rely_on() {
    let world = World::new(TABLES, &hourly(WINDOWS)).await;
    let contract = [
        (
            "window_history",
            "job, window_name, window_start, window_end, cohort, cohort_values, model_version, status, revision, computed_at, run_id, predictions, labeled, excluded, coverage, mse, mse_ci_low, mse_ci_high, rmse, rmse_ci_low, rmse_ci_high, mae, bias, mape, smape, rmsle, r2, p50_abs_error, label_latency_p50, label_latency_p95, extra",
        ),
        (
            "metric_history",
            "job, window_name, window_start, window_end, cohort, model_version, metric, value, ci_low, ci_high, labeled, coverage, status, revision, computed_at",
        ),
        ("window_revisions", "revision, first_reported, mse, label_age"),
        ("metric_revisions", "revision, first_reported, metric, value, label_age"),
        (
            "verdict_history",
            "job, rule, severity, cohort, model_version, window_name, window_start, window_end, verdict, value, limit_value, baseline, labeled, coverage, reason, retroactive, run_id, evaluated_at",
        ),
        (
            "alert_history",
            "job, rule, severity, cohort, model_version, from_state, to_state, reason, value, limit_value, since, changed_at, evidence",
        ),
        (
            "run_history",
            "job, scheduled_for, trigger, state, started_at, finished_at, as_of, rows_read, buckets_recomputed, windows_written, failure",
        ),
        (
            "delivery_history",
            "notification_id, receiver, kind, job, attempt, attempted_at, outcome, status_code, failure, next_attempt_at",
        ),
    ];
    for (view, columns) in contract {
        world.db.lines(&format!("select {columns} from trueup.{view}")).await;
    }
    // A reader may look at the views and at nothing else.
    world.db.execute("set role trueup_reader; select count(*) from trueup.window_history; reset role;").await;
    let denied =
        sqlx::raw_sql("set role trueup_reader; select count(*) from trueup.measurement").execute(&world.db.pool).await;
    assert!(denied.is_err(), "a reader may not read tables");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_samples_of_a_window_outlive_its_residuals() {
    let windows = WINDOWS.replace("label_wait = \"2d\"", "label_wait = \"1d\"");
    let world =
        world(&format!("{windows}[residuals]\nkeep = \"30h\"\nworst = 2\n[[cohorts]]\nby = [\"region\"]\n")).await;
    world
        .db
        .execute("update public.l set actual = 40 where id = 20; update public.l set actual = 150 where id = 30")
        .await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    let day = "select place, prediction_key, error, dimensions from trueup.worst_samples where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' order by place";
    let expected = [r#"1 | 20 | 60 | {"region": "a"}"#, r#"2 | 30 | -50 | {"region": "a"}"#];
    assert_eq!(world.db.lines(day).await, expected);
    for hours in 1..72 {
        world.run_at(at("2024-05-02T01:00:00Z") + TimeDelta::hours(hours)).await;
    }
    assert_eq!(
        world.db.lines("select count(*) from trueup.residual_history where event_at < '2024-05-02Z'").await,
        ["0"]
    );
    assert_eq!(world.db.lines(day).await, expected);
}

/// The wide views have a column of every metric in the catalogue, which says what each holds.
#[tokio::test(flavor = "multi_thread")]
async fn the_wide_views_have_the_columns_of_the_catalogue() {
    let world = World::new(TABLES, &hourly(WINDOWS)).await;
    let described = |view: &str| {
        format!(
            "select a.attname, col_description(a.attrelid, a.attnum) from pg_attribute a where a.attrelid = 'trueup.{view}'::regclass and a.attnum > 0 order by a.attnum"
        )
    };
    let wanted: Vec<String> =
        column::columns().iter().map(|column| format!("{} | {}", column.name, column.comment)).collect();
    for of in ["window_revisions", "window_history"] {
        let found = world.db.lines(&described(of)).await;
        let found: Vec<&String> = found.iter().filter(|line| wanted.contains(line)).collect();
        let hint = format!(
            "add a migration that makes the views anew, with\n{}and `extra` as\n{}",
            column::select_list(),
            column::extra()
        );
        assert_eq!(found.len(), wanted.len(), "{of}: {hint}");
    }
    let of_classes: Vec<String> =
        column::class_columns().iter().map(|column| format!("{} | {}", column.name, column.comment)).collect();
    let found = world.db.lines(&described("classification_history")).await;
    let missing: Vec<&String> = of_classes.iter().filter(|line| !found.contains(line)).collect();
    assert!(missing.is_empty(), "a migration must bring classification_history up to date: {missing:#?}");
    // Each holds its own number, and `extra` what is not in the catalogue.
    let names: Vec<&str> = column::wide().map(|metric| metric.name).collect();
    // A number for each, then one of the job's own, then two bounds that all share.
    let own = names.len() + 1;
    let places: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(place, name)| format!("\"{name}\": [{}, {}, {}]", place + 1, own + 1, own + 2))
        .collect();
    let numbers: Vec<String> = (0..names.len()).map(|place| place.to_string()).collect();
    world.run_at(at("2024-05-01T00:00:00Z")).await;
    world
        .db
        .execute(&format!(
            "insert into trueup.measured_window (job_id, job, window_name, window_start, window_end) values (1, 'hourly', 'w', '2024-05-01Z', '2024-05-02Z');
             insert into trueup.series (job_id, job, window_name, cohort, cohort_values) values (1, 'hourly', 'w', 'all', '{{}}');
             insert into trueup.metric_set (plan_id, places) values (1, '{{{}, \"own\": [{own}]}}');
             insert into trueup.measurement (window_end, run_id, as_of, predictions, labeled, digest_hash, series_id, metric_set_id, revision, job, numbers)
             select '2024-05-02Z', 1, '2024-05-02Z', 1, 1, 0, (select max(id) from trueup.series), (select max(id) from trueup.metric_set), 1, 'hourly', array[{}, 99, -1, -2]",
            places.join(", "),
            numbers.join(", ")
        ))
        .await;
    let row: String =
        world.db.scalar("select to_jsonb(h)::text from trueup.window_history h where window_name = 'w'").await;
    let row: serde_json::Value = serde_json::from_str(&row).unwrap();
    for (place, metric) in column::wide().enumerate() {
        assert_eq!(row[metric.name].as_f64(), Some(place as f64), "{}", metric.name);
        let bound = |side: &str| row[format!("{}_ci_{side}", metric.name)].as_f64();
        let bounds = metric.interval.map_or((None, None), |_| (Some(-1.0), Some(-2.0)));
        assert_eq!((bound("low"), bound("high")), bounds, "{}", metric.name);
    }
    assert_eq!(row["extra"], serde_json::json!({ "own": 99 }));
}
