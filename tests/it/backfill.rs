//! Backfill beside runs: one writer, the same numbers, nothing lost.

use chrono::{DateTime, TimeDelta, Utc};
use trueup::domain::window::floor;

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

/// Decades without a prediction cost nothing; a window that is stored there is looked at, since the source may have lost it.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_from_long_before_the_first_prediction_measures_what_there_is() {
    let toml = hourly("[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\n");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-05-01T06:00:00Z", 48)).await;
    let (from, to) = (at("1990-01-01T00:00:00Z"), at("2024-05-04T00:00:00Z"));
    let count = async || world.db.scalar::<i64>("select count(*) from trueup.measured_window").await;
    world.backfill(from..to, None).await;
    // Three days, of which one holds the first prediction in its middle, and an hourly tick each.
    let windows = count().await;
    assert!((66..=72).contains(&windows), "{windows}");
    let first: String = world
        .db
        .scalar("select min(window_start)::text from trueup.measured_window where window_name = 'tumbling 1d'")
        .await;
    assert!(first.starts_with("2024-05-01 00:00:00"), "{first}");
    world.db.execute("delete from public.p where at < '2024-05-02Z'").await;
    let request = trueup::pipeline::backfill::Request { range: from..to, step: None, accept_loss: true };
    world.backfill_with(request).await;
    let left = world.db.lines("select window_start::date from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and model_version is null").await;
    assert_eq!(left, ["2024-05-02", "2024-05-03"]);
    // Without a prediction there is nothing to measure.
    world.db.execute("truncate public.p; truncate public.l; truncate trueup.measured_window cascade").await;
    world.backfill(from..to, None).await;
    assert_eq!(count().await, 0);
}
