//! Every setting changes an outcome; settings of rules are in `alerts`, of labels in `values`.

use chrono::TimeDelta;
use rstest::rstest;
use trueup::domain::schedule::CatchUp;
use trueup::scheduler::due_slots;
use trueup::store::ledger::schedule::Cursor;

use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const ALL: &str = "where cohort = 'all' and model_version is null";

async fn ran(toml: &str, time: &str) -> World {
    let world = World::new(TABLES, toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    world.run_at(at(time)).await;
    world
}

fn windows(rest: &str) -> String {
    hourly(&format!("[windows]\ntumbling = [\"1d\"]\n{rest}"))
}

#[rstest]
#[case::default("", "1d", "provisional")]
#[case::short("label_wait = \"1h\"", "1h", "final")]
#[tokio::test(flavor = "multi_thread")]
async fn label_wait_decides_when_a_window_is_final(#[case] setting: &str, #[case] _wait: &str, #[case] expected: &str) {
    let world = ran(&windows(setting), "2024-05-02T02:00:00Z").await;
    let status = format!("select status from trueup.window_history {ALL} and window_start = '2024-05-01Z'");
    assert_eq!(world.db.lines(&status).await, [expected]);
}

#[rstest]
#[case::seen("2h", 97)]
#[case::missed("10m", 96)]
#[tokio::test(flavor = "multi_thread")]
async fn overlap_decides_how_late_a_commit_may_be(#[case] overlap: &str, #[case] expected: i64) {
    let toml = windows("").replace("every = \"1h\"", &format!("every = \"1h\"\noverlap = \"{overlap}\""));
    let world = ran(&toml, "2024-05-02T02:00:00Z").await;
    world
        .db
        .execute("insert into public.p values (9001, '2024-05-01T20:00Z', 100, 'v1', 'a', '2024-05-02T01:00Z')")
        .await;
    world.run_at(at("2024-05-02T03:00:00Z")).await;
    let count = format!("select predictions from trueup.window_history {ALL} and window_start = '2024-05-01Z'");
    assert_eq!(world.db.scalar::<i64>(&count).await, expected);
}

#[rstest]
#[case::short("3h", 3 * 4 + 5)]
#[case::long("24h", 24 * 4 + 5)]
#[tokio::test(flavor = "multi_thread")]
async fn keep_decides_how_many_residuals_there_are(#[case] keep: &str, #[case] expected: i64) {
    let toml = format!("{}[residuals]\nkeep = \"{keep}\"\n", windows("bucket = \"15m\"\n"));
    let world = ran(&toml, "2024-05-02T12:00:00Z").await;
    world.run_at(at("2024-05-02T13:00:00Z")).await;
    // Predictions are known an hour ahead, so the next hour is there too; its last quarter-hour is at 13:45+15m. And the
    // first bucket is that of the overlap, which the next run reads once more.
    let kept: i64 = world.db.scalar("select count(*) from trueup.residual").await;
    assert!((kept - expected).abs() <= 1, "{kept} residuals are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_label_of_a_bucket_without_residuals_is_computed_from_the_source() {
    let toml = format!("{}[residuals]\nkeep = \"1h\"\n", windows("label_wait = \"2h\"\nhorizon = \"3d\"\n"));
    let world = ran(&toml, "2024-05-02T12:00:00Z").await;
    world.db.execute("update public.l set actual = 0, seen = '2024-05-02T12:30Z' where id = 40").await;
    world.run_at(at("2024-05-02T13:00:00Z")).await;
    let row = world
        .db
        .lines(&format!(
            "select revision, labeled, mse from trueup.window_history {ALL} and window_start = '2024-05-01Z'"
        ))
        .await;
    assert_eq!(row, [format!("2 | 96 | {}", (95.0 + 10_000.0) / 96.0)]);
}

#[rstest]
#[case::utc("UTC", "2024-05-01T00:00:00+00:00")]
#[case::bucharest("Europe/Bucharest", "2024-04-30T21:00:00+00:00")]
#[tokio::test(flavor = "multi_thread")]
async fn the_zone_decides_where_a_day_begins(#[case] zone: &str, #[case] expected: &str) {
    let world = ran(&windows(&format!("timezone = \"{zone}\"")), "2024-05-02T02:00:00Z").await;
    let start = world.db.lines(&format!("select min(window_start) from trueup.window_history {ALL}")).await;
    assert_eq!(start, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_are_as_small_as_they_are_told() {
    for (setting, expected) in [("bucket = \"15m\"", 900), ("bucket = \"1h\"", 3_600), ("", 3_600)] {
        assert_eq!(plan_job(&windows(setting)).windows.bucket, TimeDelta::seconds(expected), "{setting}");
    }
    let nepal = plan_job(&windows("timezone = \"Asia/Kathmandu\""));
    assert_eq!(nepal.windows.bucket, TimeDelta::minutes(15), "its days begin at a quarter past");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_longer_than_its_timeout_fails_and_the_next_is_not_kept_from_running() {
    let toml =
        windows("").replace("every = \"1h\"", "every = \"1h\"\ntimeout = \"1s\"").replace("public.p", "public.slow");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24)).await;
    world
        .db
        .execute("create function public.slowly(bigint) returns bigint language plpgsql stable as 'begin perform pg_sleep(0.2); return $1; end';
             create view public.slow as select p.* from public.p as p, lateral (select public.slowly(p.id)) as s (slow) where s.slow is not null")
        .await;
    let ended = world.try_run_at(at("2024-05-02T00:00:00Z")).await;
    assert!(matches!(ended, Ok(trueup::pipeline::execute::Ended::Failed(_))), "{ended:?}");
    let rows = world.db.lines("select state, failure from trueup.run_history").await;
    assert_eq!(rows, ["failed | a statement took longer than `schedule.timeout` (SQLSTATE 57014)"]);
    world.db.execute("create or replace view public.slow as select * from public.p").await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
}

#[rstest]
#[case::all("all", &["run 01:00", "run 02:00", "run 03:00"])]
#[case::latest("latest", &["skip 01:00", "skip 02:00", "run 03:00"])]
#[case::none("none", &["skip 01:00", "skip 02:00", "skip 03:00"])]
fn catch_up_decides_what_becomes_of_missed_slots(#[case] policy: &str, #[case] expected: &[&str]) {
    let job = plan_job(&windows("").replace("every = \"1h\"", &format!("every = \"1h\"\ncatch_up = \"{policy}\"")));
    let cursor = Cursor {
        job_id: 1,
        name: "hourly".into(),
        last_scheduled_for: Some(at("2024-05-01T00:00:00Z")),
        now: at("2024-05-01T03:20:00Z"),
    };
    let (slots, advance) = due_slots(&job, &cursor, TimeDelta::seconds(32));
    let found: Vec<String> = slots
        .iter()
        .map(|slot| {
            format!("{} {}", if slot.skipped.is_some() { "skip" } else { "run" }, slot.scheduled_for.format("%H:%M"))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(advance.last_scheduled_for, at("2024-05-01T03:00:00Z"));
    assert_eq!(advance.next_due_at, Some(at("2024-05-01T04:00:00Z")));
}

#[test]
fn a_slot_on_time_runs_under_every_policy_and_a_new_job_has_missed_nothing() {
    for policy in ["all", "latest", "none"] {
        let job = plan_job(&windows("").replace("every = \"1h\"", &format!("every = \"1h\"\ncatch_up = \"{policy}\"")));
        assert!(matches!(
            (policy, job.schedule.catch_up),
            ("all", CatchUp::All) | ("latest", CatchUp::Latest) | ("none", CatchUp::None)
        ));
        let mut cursor = Cursor {
            job_id: 1,
            name: "hourly".into(),
            last_scheduled_for: Some(at("2024-05-01T00:00:00Z")),
            now: at("2024-05-01T01:00:01Z"),
        };
        let (slots, _) = due_slots(&job, &cursor, TimeDelta::seconds(32));
        assert!(slots.len() == 1 && slots[0].skipped.is_none() && slots[0].trigger == "schedule", "{policy} {slots:?}");
        cursor.last_scheduled_for = None;
        let (slots, advance) = due_slots(&job, &cursor, TimeDelta::seconds(32));
        assert!(slots.is_empty());
        assert_eq!(advance.next_due_at, Some(at("2024-05-01T02:00:00Z")));
    }
}
