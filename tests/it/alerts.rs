//! From verdicts to alerts: each setting of a rule changes an outcome.

use rstest::rstest;

use crate::support::world::{TABLES, World, at, hourly, plan_job};

/// Hourly windows; hour `n` of the day has 4 predictions with the n-th of these errors. Labels arrive at once.
fn toml(rule: &str) -> String {
    hourly(&format!(
        "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nnotify = [\"hook\"]\n{rule}"
    ))
}

async fn world(rule: &str, errors: &[f64]) -> World {
    let world = World::new(TABLES, &toml(rule)).await;
    for (hour, error) in errors.iter().enumerate() {
        world.db.execute(&format!(
            "insert into public.p select {hour} * 10 + n, timestamptz '2024-05-01Z' + {hour} * interval '1 hour' + n * interval '10 minutes', {error},
                 (array['v1', 'v2'])[1 + n % 2], (array['a', 'b'])[1 + n % 2], '2024-05-01Z' from generate_series(1, 4) n;
             insert into public.l select id, 0, at from public.p where id / 10 = {hour};"
        )).await;
    }
    world
}

/// States that the alert of `all` went through, run by run.
async fn story(world: &World, hours: u32) -> Vec<String> {
    for hour in 1..=hours {
        world.run_at(at("2024-05-01T00:00:00Z") + chrono::TimeDelta::hours(i64::from(hour))).await;
    }
    world
        .db
        .lines("select to_state, since, value from trueup.alert_history where cohort = 'all' order by changed_at")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_pending_then_firing_then_resolved() {
    let world = world("above = 5.0\nfor = 2\nseverity = \"page\"", &[1.0, 9.0, 8.0, 7.0, 2.0, 9.0, 1.0]).await;
    assert_eq!(
        story(&world, 7).await,
        [
            "pending | 2024-05-01T02:00:00+00:00 | 9",
            "firing | 2024-05-01T02:00:00+00:00 | 8",
            "resolved | 2024-05-01T02:00:00+00:00 | 2",
            "pending | 2024-05-01T06:00:00+00:00 | 9",
            "inactive | 2024-05-01T06:00:00+00:00 | 1",
        ]
    );
    let told = world.db.lines("select kind, receiver, topic, body #>> '{rules,0,runbook}', body #>> '{rules,0,alerts,0,value}', body #>> '{rules,0,severity}' from trueup.notification order by sequence").await;
    assert_eq!(
        told,
        [
            "firing | hook | hourly | https://runbooks.example.org/hourly | 8.0 | page",
            "resolved | hook | hourly | https://runbooks.example.org/hourly | 2.0 | page"
        ]
    );
    assert_eq!(
        world.db.scalar::<i64>("select count(*) from trueup.verdict_history where cohort = 'all'").await,
        7,
        "passes are kept too"
    );
}

/// The verdicts on `all` of one hour with an error of 9, under one setting.
#[rstest]
#[case::above("above = 5.0", "breach")]
#[case::far_above("above = 50.0", "ok")]
#[case::below("below = 10.0", "breach")]
#[case::not_below("below = 5.0", "ok")]
#[case::enough_samples("above = 5.0\nmin_samples = 4", "breach")]
#[case::too_few_samples("above = 5.0\nmin_samples = 5", "insufficient")]
#[case::enough_coverage("above = 5.0\nmin_coverage = 1.0", "breach")]
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_changes_the_verdict(#[case] rule: &str, #[case] expected: &str) {
    let world = world(rule, &[9.0]).await;
    story(&world, 1).await;
    assert_eq!(world.db.lines("select verdict from trueup.verdict_history where cohort = 'all'").await, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn low_coverage_is_insufficient_and_neither_opens_nor_closes() {
    let world = world("above = 5.0\nmin_coverage = 0.9", &[9.0, 1.0, 1.0]).await;
    world.db.execute("delete from public.l where id in (11, 12)").await;
    assert_eq!(story(&world, 2).await.len(), 1, "fired by the first hour, and not resolved by the second");
    assert_eq!(story_more(&world, 3).await, ["firing", "resolved"]);
    let verdicts = world
        .db
        .lines("select verdict, reason from trueup.verdict_history where cohort = 'all' order by window_end")
        .await;
    assert_eq!(
        verdicts,
        ["breach | above the limit", "insufficient | coverage 0.500, 0.900 needed", "ok | within the limit"]
    );
}

async fn story_more(world: &World, hour: i64) -> Vec<String> {
    world.run_at(at("2024-05-01T00:00:00Z") + chrono::TimeDelta::hours(hour)).await;
    world.db.lines("select to_state from trueup.alert_history where cohort = 'all' order by changed_at").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_labels_there_is_no_data_and_never_calm() {
    let world = world("above = 5.0", &[9.0, 1.0]).await;
    world.db.execute("delete from public.l where id / 10 = 1").await;
    story(&world, 3).await;
    let verdicts = world
        .db
        .lines("select verdict, reason from trueup.verdict_history where cohort = 'all' order by window_end")
        .await;
    assert_eq!(
        verdicts,
        [
            "breach | above the limit",
            "no_data | no usable labels in the window",
            "no_data | no predictions in the window"
        ]
    );
    assert_eq!(world.db.lines("select state from trueup.alert where cohort = 'all'").await, ["firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_final_only_waits_until_labels_had_their_time() {
    let world = world("above = 5.0\non_final_only = true", &[9.0, 9.0, 9.0, 9.0]).await;
    story(&world, 2).await;
    // Windows before the first prediction are final, and have no data.
    let judged = "select window_end, verdict from trueup.verdict_history where cohort = 'all' and verdict <> 'no_data'";
    assert!(world.db.lines(judged).await.is_empty());
    story_more(&world, 3).await;
    let judged = world.db.lines(judged).await;
    assert_eq!(judged, ["2024-05-01T01:00:00+00:00 | breach"]);
}

#[rstest]
#[case::total("", &["all | -"])]
#[case::each("cohorts = \"each\"", &["region=a | -", "region=b | -"])]
#[case::one("cohorts = { region = \"b\" }", &["region=b | -"])]
#[case::versions("versions = \"each\"", &["all | v1", "all | v2"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_judges_the_cohorts_and_versions_it_names(#[case] choice: &str, #[case] expected: &[&str]) {
    let world = world(&format!("above = 5.0\n{choice}"), &[9.0]).await;
    story(&world, 1).await;
    assert_eq!(
        world.db.lines("select cohort, model_version from trueup.verdict_history order by 1, 2").await,
        expected
    );
    let told = world.db.lines("select jsonb_array_length(body #> '{rules,0,alerts}') from trueup.notification").await;
    assert_eq!(told, [expected.len().to_string()], "one message for all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_judges_only_the_newest_window() {
    let world = world("above = 5.0", &[9.0, 9.0, 1.0]).await;
    world.run_at(at("2024-05-01T03:00:00Z")).await;
    assert_eq!(
        world.db.lines("select window_end, verdict from trueup.verdict_history where cohort = 'all'").await,
        ["2024-05-01T03:00:00+00:00 | ok"]
    );
    assert_eq!(
        world
            .db
            .scalar::<i64>("select count(*) from trueup.window_history where cohort = 'all' and model_version is null")
            .await,
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_become_due_together_are_judged_in_order_and_the_last_state_is_told() {
    let world = world("above = 5.0\nfor = 2", &[1.0, 9.0, 9.0, 9.0, 1.0]).await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world.run_at(at("2024-05-01T05:00:00Z")).await;
    let verdicts =
        world.db.lines("select verdict from trueup.verdict_history where cohort = 'all' order by window_end").await;
    assert_eq!(verdicts, ["ok", "breach", "breach", "breach", "ok"]);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.notification").await, 0, "it is calm now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_rule_starts_anew() {
    let mut world = world("above = 5.0\nfor = 2", &[9.0, 9.0, 9.0]).await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world.job = plan_job(&toml("above = 6.0\nfor = 2"));
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    assert_eq!(
        world.db.lines("select state from trueup.alert where cohort = 'all'").await,
        ["pending"],
        "one breach of the new rule, not two"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_of_the_newest_window_can_end_an_alert() {
    let world = world("above = 5.0", &[9.0]).await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world.db.execute("update public.l set actual = 9, seen = '2024-05-01T01:30Z'").await;
    assert_eq!(story_more(&world, 2).await, ["firing", "resolved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_moves_no_alert() {
    let world = world("above = 5.0", &[9.0, 9.0]).await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-01T02:00:00Z"), None).await;
    assert_eq!(
        world.db.scalar::<i64>("select count(*) from trueup.window_history").await,
        2 * 3 * 2 + 2,
        "both hours, all and two regions, together and by version"
    );
    assert_eq!(world.db.scalar::<i64>("select (select count(*) from trueup.verdict) + (select count(*) from trueup.alert) + (select count(*) from trueup.notification)").await, 0);
}
