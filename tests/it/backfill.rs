//! Backfill beside runs: one writer, the same numbers, nothing lost.

use chrono::{DateTime, TimeDelta, Utc};
use trueup::plan::window::floor;

use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

const JOB: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"2d\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_label_beyond_the_horizon_is_counted_and_brought_in_by_a_backfill() {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 8)).await;
    world.db.execute("update public.l set actual = 0, seen = '2024-05-07T00:30Z' where id = 5").await;
    let mut time = at("2024-05-01T01:00:00Z");
    while time < at("2024-05-07T00:00:00Z") {
        world.run_at(time).await;
        time += chrono::TimeDelta::hours(1);
    }
    let published = world.run_at(at("2024-05-07T01:00:00Z")).await;
    assert_eq!(published.done.rows_beyond_horizon, 1);
    let day = "select revision, labeled from trueup.window_history where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null";
    let before = world.db.lines(day).await;
    assert!(before[0].ends_with("| 95"), "{before:?}");
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-02T00:00:00Z"), None).await;
    assert!(world.db.lines(day).await[0].ends_with("| 96"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_sees_late_commits_and_deletes_and_the_next_run_keeps_them() {
    // A backfill knows all that is known now, so this story is told in the present.
    let now: DateTime<Utc> = Utc::now();
    let today = floor(now, TimeDelta::days(1));
    let yesterday = today - TimeDelta::days(1);
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&quarter_hours(&yesterday.to_rfc3339(), 24)).await;
    world.db.execute("update public.l set seen = seen - interval '1 hour'").await;
    world.run_at(today).await;
    // A commit that came long after its arrival time, and a deleted prediction.
    let late = (yesterday + TimeDelta::hours(2)).to_rfc3339();
    world
        .db
        .execute(&format!(
            "insert into public.p values (9001, '{late}', 100, 'v1', 'a', '{late}'); delete from public.p where id = 90"
        ))
        .await;
    world.run_at(Utc::now()).await;
    let day = "select predictions, labeled from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and model_version is null order by window_end desc limit 1";
    assert_eq!(world.db.lines(day).await, ["96 | 96"], "beyond the overlap a run does not see them");
    world.backfill(yesterday..today, None).await;
    assert_eq!(world.db.lines(day).await, ["96 | 95"], "one came, one went");
    world.db.execute("insert into public.l values (9001, 99, now())").await;
    world.run_at(Utc::now()).await;
    assert_eq!(world.db.lines(day).await, ["96 | 96"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_windows_are_backfilled_at_each_tick_or_step() {
    for (step, expected) in [(None, 24), (Some(chrono::TimeDelta::hours(6)), 4)] {
        let world = World::new(TABLES, &hourly(JOB)).await;
        world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
        world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-02T00:00:00Z"), step).await;
        let windows: i64 = world
            .db
            .scalar("select count(distinct window_end) from trueup.measured_window where window_name = 'rolling 6h'")
            .await;
        assert_eq!(windows, expected, "{step:?}");
    }
}
