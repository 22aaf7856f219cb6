//! A change of the time zone: the history has windows of one alignment, and what stood there before stays among the revisions.

use chrono::TimeDelta;
use trueup::pipeline::backfill::Request;
use trueup::store::history::removal::Old;
use trueup::store::history::retention::{self, Step};

use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

fn job(zone: &str, windows: &str) -> String {
    hourly(&format!(
        "[windows]\ntumbling = [{windows}]\ntimezone = \"{zone}\"\nlabel_wait = \"1d\"\nhorizon = \"7d\"\n"
    ))
}

/// Sixteen days, of which the first run sees fourteen, in the first zone.
async fn world(windows: &str) -> World {
    let world = World::new(TABLES, &job("UTC", windows)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 16)).await;
    world.run_at(at("2024-05-08T00:00:00Z")).await;
    world.run_at(at("2024-05-15T00:00:00Z")).await;
    world
}

/// Pairs of windows that overlap, in the view that has the latest revisions.
const OVERLAPPING: &str = "select one.window_end, two.window_end from trueup.window_history one
    join trueup.window_history two on two.window_name = one.window_name and two.window_end > one.window_end and two.window_start < one.window_end
    where one.cohort = 'all' and one.model_version is null and two.cohort = 'all' and two.model_version is null";

/// Predictions of the last seven days, by the view and by the source.
const LAST_DAYS: &str = "select sum(predictions)::bigint, (select count(*) from public.p where at >= '2024-05-08T21:00Z' and at < '2024-05-15T21:00Z')
    from trueup.window_history where window_end > '2024-05-08T21:00Z' and window_end <= '2024-05-15T21:00Z' and cohort = 'all' and model_version is null";

#[tokio::test(flavor = "multi_thread")]
async fn days_of_another_zone_take_the_place_of_those_before() {
    let mut world = world("\"1d\"").await;
    let before = world.db.lines("select window_end from trueup.window_revisions where revision = 1").await;
    world.job = plan_job(&job("Europe/Bucharest", "\"1d\""));
    world.run_at(at("2024-05-15T22:00:00Z")).await;
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
    assert_eq!(world.db.lines(LAST_DAYS).await, ["672 | 672"]);
    let first: String = world.db.scalar("select min(window_start)::text from trueup.window_history").await;
    assert_eq!(
        first, "2024-04-30 21:00:00+00",
        "days before the horizon are measured again, too: their buckets are there"
    );
    let kept = "select count(*) from trueup.window_revisions where not removed and window_end::time = '00:00' and revision = 1";
    assert_eq!(world.db.scalar::<i64>(kept).await, i64::try_from(before.len()).expect("few"), "first reports stay");

    // What waits for its labels is measured again in the new zone only.
    world.db.execute("update public.l set actual = actual + 1, seen = '2024-05-15T22:30Z' where id % 2 = 0").await;
    world.run_at(at("2024-05-15T23:00:00Z")).await;
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());

    let at_midnight = "select count(*) from trueup.window_history where window_end::time = '00:00'";
    assert_eq!(world.db.scalar::<i64>(at_midnight).await, 0);
    world.job = plan_job(&job("UTC", "\"1d\""));
    // Going back brings back the old days.
    world.run_at(at("2024-05-16T00:00:00Z")).await;
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
    let elsewhere = "select count(*) from trueup.window_history where window_end::time <> '00:00'";
    assert_eq!(world.db.scalar::<i64>(elsewhere).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_that_the_source_forgot_are_measured_in_another_zone_from_buckets() {
    let mut world = world("\"1d\"").await;
    world.db.execute("delete from public.p where at < '2024-05-11T12:00Z'").await;
    world.job = plan_job(&job("America/New_York", "\"1d\""));
    world.run_at(at("2024-05-15T22:00:00Z")).await;
    let old = "select count(*), sum(predictions)::bigint from trueup.window_history
        where cohort = 'all' and model_version is null and window_end <= '2024-05-11T04:00Z'";
    assert_eq!(world.db.lines(old).await, ["11 | 976"]);
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_another_zone_that_the_source_forgot_takes_nobodys_place() {
    let mut world = world("\"1d\"").await;
    world.db.execute("delete from public.p where at < '2024-05-11T12:00Z'").await;
    // Another definition, too: it has no buckets yet, and the source no longer has the rows.
    let other = format!("{}[metrics]\ninclude = [\"mse\", \"mape\"]\n", job("America/New_York", "\"1d\""));
    world.job = plan_job(&other);
    world.run_at(at("2024-05-15T22:00:00Z")).await;
    let old = "select count(*), sum(predictions)::bigint from trueup.window_history
        where cohort = 'all' and model_version is null and window_end <= '2024-05-11T00:00Z'";
    assert_eq!(world.db.lines(old).await, ["10 | 960"], "what was measured stays");
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
    // RunRequest for, history follows the source.
    let range = at("2024-05-01T00:00:00Z")..at("2024-05-15T00:00:00Z");
    world.backfill_with(Request { range, step: Some(TimeDelta::days(1)), accept_loss: true }).await;
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
}

/// Kept when the definition changed, because the source had forgotten them: a later change of the zone alone keeps them, too.
#[tokio::test(flavor = "multi_thread")]
async fn days_that_were_kept_before_stay_when_the_zone_changes_later() {
    for zone in ["Europe/Bucharest", "Africa/Abidjan"] {
        let mut world = world("\"1d\"").await;
        world.db.execute("delete from public.p where at < '2024-05-11T12:00Z'").await;
        let other =
            |zone: &str| plan_job(&format!("{}[metrics]\ninclude = [\"mse\", \"mape\"]\n", job(zone, "\"1d\"")));
        world.job = other("UTC");
        world.run_at(at("2024-05-15T12:00:00Z")).await;
        world.job = other(zone);
        world.run_at(at("2024-05-15T22:00:00Z")).await;
        let old = "select count(*), sum(predictions)::bigint from trueup.window_history
            where cohort = 'all' and model_version is null and window_end <= '2024-05-11T00:00Z'";
        assert_eq!(world.db.lines(old).await, ["10 | 960"], "{zone}");
        assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new(), "{zone}");
    }
}

/// Buckets that were removed for their age measure nothing: days of before stay as they are.
#[tokio::test(flavor = "multi_thread")]
async fn days_whose_buckets_are_gone_stay_in_the_old_zone() {
    let mut world = world("\"1d\"").await;
    let cutoff = at("2024-05-06T00:00:00Z");
    let jobs = ["hourly".to_owned()];
    let old = Old { windows: cutoff, buckets: cutoff, jobs: &jobs, rolling: &[cutoff] };
    let mut connection = world.db.connection().await;
    let removed = retention::prune(&mut connection, Step::Buckets, &old, 100_000).await.expect("a round");
    assert!(removed.is_some_and(|removed| removed.rows > 0), "{removed:?}");
    world.job = plan_job(&job("Europe/Bucharest", "\"1d\""));
    world.run_at(at("2024-05-15T22:00:00Z")).await;
    let old = "select count(*), sum(predictions)::bigint from trueup.window_history
        where cohort = 'all' and model_version is null and window_end <= '2024-05-06T00:00Z'";
    assert_eq!(world.db.lines(old).await, ["5 | 480"]);
    assert_eq!(world.db.lines(OVERLAPPING).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_begin_on_monday_however_they_are_written() {
    for length in ["7d", "1w"] {
        let world = world(&format!("\"{length}\"")).await;
        let days = "select distinct window_name, to_char(window_start, 'Dy') from trueup.window_history";
        assert_eq!(world.db.lines(days).await, [format!("tumbling {length} | Mon")]);
    }
}
