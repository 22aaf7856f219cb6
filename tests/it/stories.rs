//! What happens to models, told from the tables to the message: each story on a real Postgres, day by day.

use chrono::{DateTime, TimeDelta, Utc};
use trueup::alerting::run_health;
use trueup::pipeline::execute::{Ended, execute};
use trueup::store::ledger::run;

use crate::support::world::{LEASE, TABLES, World, at, hourly};

const BEGIN: &str = "2024-03-01T00:00:00Z";

/// A job that runs once a day over tumbling days.
fn daily(rest: &str) -> String {
    hourly(&format!("[windows]\ntumbling = [\"1d\"]\nrolling = [\"6h\"]\nlabel_wait = \"1d\"\nhorizon = \"30d\"\n[[cohorts]]\nby = [\"region\"]\n{rest}"))
        .replace("every = \"1h\"", "every = \"1d\"")
        .replace("[schedule]", "notify = [\"mail\"]\n[schedule]")
}

/// A rule over days.
fn rule(name: &str, rest: &str) -> String {
    format!("[[alerts]]\nname = \"{name}\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nnotify = [\"hook\"]\n{rest}\n")
}

/// One prediction an hour for each region, with an error of alternating sign, which may depend on `day` (from 0), `hour` and
/// `region`. `labeled` says which have a label, which comes an hour later.
async fn fill(world: &World, days: i64, regions: i64, error: &str, labeled: &str) {
    world
        .db
        .execute(&format!(
            "create temporary table source as
             select row_number() over () as id, at, day, hour, 'r' || region as region, region as number, n
             from (select timestamptz '{BEGIN}' + n * interval '1 hour' as at, n / 24 as day, n % 24 as hour, n
                   from generate_series(0, {days} * 24 - 1) n) t, generate_series(1, {regions}) region;
             insert into public.p select id, at, 100 + (case when (n + number) % 2 = 0 then 1 else -1 end) * ({error})::float8, 'v1', region, at - interval '1 hour' from source;
             insert into public.l select id, 100, at + interval '1 hour' from source where {labeled};
             drop table source;"
        ))
        .await;
}

fn day(n: i64) -> DateTime<Utc> {
    at(BEGIN) + TimeDelta::days(n)
}

/// Runs at the end of each of the days, a little after its last label.
async fn live(world: &World, days: std::ops::RangeInclusive<i64>) {
    for n in days {
        world.run_at(day(n) + TimeDelta::hours(2)).await;
    }
}

/// Alerts that fired, with the day of the window that decided.
async fn fired(world: &World) -> Vec<String> {
    world
        .db
        .lines(
            "select rule, cohort, to_char(since at time zone 'UTC', 'MM-DD') from trueup.alert_history
             where to_state = 'firing' order by changed_at, rule, cohort",
        )
        .await
}

/// Messages, in the order in which they were put into the outbox.
async fn told(world: &World) -> Vec<String> {
    world
        .db
        .lines("select kind, receiver, body #>> '{rules,0,name}', jsonb_array_length(body #> '{rules,0,alerts}') from trueup.notification order by sequence")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sudden_jump_pages_and_says_what_is_usual() {
    let rules = rule("jump", "above_baseline = \"100%\"\nbaseline = { windows = 14 }\nseverity = \"page\"");
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 20, 1, "case when day = 15 then 30 else 10 + day % 2 end", "true").await;
    live(&world, 1..=18).await;
    assert_eq!(fired(&world).await, ["jump | all | 03-17"]);
    assert_eq!(
        world.db.lines("select verdict, value, limit_value, baseline from trueup.verdict_history where window_end = '2024-03-17Z'").await,
        ["breach | 30 | 21 | 10.5"]
    );
    assert_eq!(
        world.db.lines("select verdict, reason from trueup.verdict_history where window_end = '2024-03-02Z'").await,
        ["insufficient | 0 past windows to compare with, 7 needed"]
    );
    assert_eq!(told(&world).await, ["firing | hook | jump | 1", "resolved | hook | jump | 1"]);
    let after = world.db.lines("select baseline from trueup.verdict_history where window_end = '2024-03-18Z'").await;
    assert_eq!(after, ["10.5"], "the bad day is not what is usual afterwards");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_drift_is_a_ticket_and_not_a_page() {
    let rules = rule("jump", "above_baseline = \"100%\"\nseverity = \"page\"")
        + &rule("drift", "above_baseline = \"30%\"\nbaseline = { windows = 20 }\nfor = 3\nseverity = \"ticket\"");
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 40, 1, "10 + 0.4 * day", "true").await;
    live(&world, 1..=38).await;
    let fired = fired(&world).await;
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert!(fired[0].starts_with("drift | all"), "{fired:?}");
    assert_eq!(world.db.lines("select distinct rule, severity from trueup.alert_history").await, ["drift | ticket"]);
    let told = told(&world).await;
    assert!(!told.is_empty() && told.iter().all(|line| line.contains("| drift |")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_bad_nights_of_one_cohort() {
    let rules = rule("night", "above = 20.0\nfor = 3\ncohorts = { region = \"r2\" }");
    let world = World::new(TABLES, &daily(&rules)).await;
    // Two bad days, a good one, three bad ones.
    fill(&world, 10, 2, "case when region = 'r2' and day in (1, 2, 4, 5, 6) then 40 else 5 end", "true").await;
    live(&world, 1..=9).await;
    assert_eq!(fired(&world).await, ["night | region=r2 | 03-06"]);
    assert_eq!(
        world.db.lines("select to_state, reason from trueup.alert_history order by changed_at").await,
        [
            "pending | 1 of 3 windows in breach",
            "inactive | the newest window is ok",
            "pending | 1 of 3 windows in breach",
            "firing | 3 windows in a row are in breach",
            "resolved | the newest window is ok again",
        ]
    );
}

const BUILT_IN: &str = "[builtin]\noff = [\"run-late\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn when_labels_stop_there_is_one_alert_and_it_is_about_labels() {
    let rules =
        rule("high", "above = 20.0\nmin_coverage = 0.5\nseverity = \"page\"") + &rule("collapse", "below = 5.0");
    let world = World::new(TABLES, &daily(&format!("{BUILT_IN}{rules}"))).await;
    fill(&world, 12, 2, "10", "day < 6").await;
    live(&world, 1..=11).await;
    assert_eq!(told(&world).await, ["firing | mail | labels-stopped | 1"], "{:?}", fired(&world).await);
    let state = "select rule, state, dispatched from trueup.alert order by rule";
    assert_eq!(
        world.db.lines(state).await,
        ["coverage-low | firing | false", "labels-late | firing | false", "labels-stopped | firing | true"]
    );
    // The labels come after all.
    world.db.execute("insert into public.l select id, 100, '2024-03-12T12:00Z' from public.p where id not in (select id from public.l)").await;
    world.run_at(day(12) + TimeDelta::hours(2)).await;
    assert_eq!(world.db.lines("select distinct state from trueup.alert").await, ["resolved"]);
    assert_eq!(
        told(&world).await[1..],
        ["resolved | mail | labels-stopped | 1"],
        "what was never told has no end to tell"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_is_low_because_labels_are_missing_is_not_believed() {
    let rules = rule("collapse", "below = 5.0\non_final_only = true\nseverity = \"page\"");
    let world = World::new(TABLES, &daily(&format!("{BUILT_IN}{rules}"))).await;
    // From day 5 on only the small errors get a label.
    fill(&world, 10, 4, "case when region = 'r1' then 1 else 20 end", "day < 5 or region = 'r1'").await;
    live(&world, 1..=9).await;
    assert_eq!(told(&world).await, ["firing | mail | coverage-low | 1"]);
    let reason =
        world.db.lines("select reason from trueup.alert_history where rule = 'collapse' and to_state = 'firing'").await;
    assert_eq!(reason, ["the newest window is in breach; suppressed while coverage-low fires"]);
    // The coverage comes back, the error stays: now it is told.
    world.db.execute("insert into public.l select id, predicted, '2024-03-10T12:00Z' from public.p where id not in (select id from public.l)").await;
    world.run_at(day(10) + TimeDelta::hours(2)).await;
    assert_eq!(told(&world).await[1..], ["firing | hook | collapse | 1", "resolved | mail | coverage-low | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cohort_of_forty_is_broken_while_the_total_looks_fine() {
    let rules = rule("total", "above = 10.0") + &rule("cohort", "above = 10.0\ncohorts = \"each\"");
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 4, 40, "case when region = 'r17' and day >= 2 then 30 else 2 end", "true").await;
    live(&world, 1..=3).await;
    assert_eq!(fired(&world).await, ["cohort | region=r17 | 03-04"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_that_stops_is_no_data_and_a_new_one_has_no_baseline_yet() {
    let rules = rule("cohort", "above_baseline = \"50%\"\nbaseline = { windows = 5, min = 3 }\ncohorts = \"each\"");
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 9, 3, "10", "true").await;
    world.db.execute("delete from public.p where region = 'r2' and at >= '2024-03-06Z'; delete from public.p where region = 'r3' and at < '2024-03-06Z'").await;
    live(&world, 1..=7).await;
    let verdicts =
        "select cohort, verdict, reason from trueup.verdict_history where window_end = '2024-03-07Z' order by cohort";
    assert_eq!(
        world.db.lines(verdicts).await,
        [
            "region=r1 | ok | within the limit",
            "region=r2 | no_data | no predictions in the window, unlike before",
            "region=r3 | insufficient | 0 past windows to compare with, 3 needed",
        ]
    );
    assert!(fired(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_of_last_week_pages_nobody() {
    let rules = rule("high", "above = 20.0\nseverity = \"page\"");
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 14, 1, "10", "true").await;
    live(&world, 1..=12).await;
    world.db.execute("update public.l set actual = 500, seen = '2024-03-13T12:00Z' where id in (select id from public.p where at >= '2024-03-05Z' and at < '2024-03-08Z')").await;
    world.run_at(day(13) + TimeDelta::hours(2)).await;
    assert!(told(&world).await.is_empty() && fired(&world).await.is_empty());
    assert_eq!(
        world.db.lines("select distinct verdict, retroactive from trueup.verdict_history where window_end between '2024-03-06Z' and '2024-03-08Z' and verdict = 'breach'").await,
        ["breach | true"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_the_night_pages_nobody_when_the_same_hour_is_what_is_usual() {
    let six_hours = |name: &str, rest: &str| {
        rule(name, &format!("above_baseline = \"50%\"\n{rest}")).replace("tumbling 1d", "rolling 6h")
    };
    let rules = six_hours("seasonal", "baseline = { kind = \"seasonal\", weeks = 2, min = 2 }")
        + &six_hours("rolling", "baseline = { windows = 8 }");
    let toml = daily(&rules).replace("every = \"1d\"", "every = \"6h\"");
    let world = World::new(TABLES, &toml).await;
    fill(&world, 22, 1, "case when hour < 6 then 30 else 5 end", "true").await;
    for n in 1..=84 {
        world.run_at(at(BEGIN) + TimeDelta::hours(6 * n) + TimeDelta::minutes(30)).await;
    }
    let fired = fired(&world).await;
    assert!(!fired.is_empty() && fired.iter().all(|line| line.starts_with("rolling")), "{fired:?}");
    assert!(
        world
            .db
            .scalar::<i64>("select count(*) from trueup.verdict_history where rule = 'seasonal' and verdict = 'ok'")
            .await
            > 20
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_and_an_excluded_time_are_not_what_is_usual() {
    let rules = rule(
        "jump",
        "above_baseline = 5.0\nbaseline = { windows = 5, min = 3, exclude = [{ from = \"2024-03-03T00:00:00Z\", to = \"2024-03-04T00:00:00Z\" }] }",
    );
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 10, 1, "case when day in (2, 4) then 90 else 10 end", "true").await;
    world.db.execute("insert into trueup.annotation (job, kind, starts_at, ends_at) values ('hourly', 'incident', '2024-03-05T10:00Z', '2024-03-05T12:00Z')").await;
    live(&world, 1..=9).await;
    let last = world.db.lines("select baseline from trueup.verdict_history where window_end = '2024-03-10Z'").await;
    assert_eq!(last, ["10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_compared_with_its_validation_value_and_with_another_version() {
    let rules =
        rule("validated", "above_baseline = \"20%\"\nbaseline = { kind = \"validation\" }\nversions = \"each\"")
            + &rule(
                "canary",
                "above_baseline = \"20%\"\nbaseline = { kind = \"version\", version = \"v1\" }\nversions = \"each\"",
            );
    let world = World::new(TABLES, &daily(&rules)).await;
    fill(&world, 3, 2, "case when region = 'r2' then 13 else 10 end", "true").await;
    world.db.execute("update public.p set version = 'v2' where region = 'r2'; insert into trueup.model_baseline (job, metric, model_version, value) values ('hourly', 'rmse', 'v2', 99), ('hourly', 'rmse', 'v2', 12)").await;
    live(&world, 1..=2).await;
    let verdicts = "select rule, model_version, verdict, limit_value, baseline from trueup.verdict_history where window_end = '2024-03-03Z' order by 1, 2";
    assert_eq!(
        world.db.lines(verdicts).await,
        ["canary | v2 | breach | 12 | 10", "validated | v1 | insufficient | - | -", "validated | v2 | ok | 14.4 | 12",]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_two_conditions_needs_both() {
    let both = "[[alerts]]\nname = \"both\"\nwindow = \"tumbling 1d\"\nnotify = [\"hook\"]\nall = [{ metric = \"rmse\", above = 20.0 }, { metric = \"rmse\", window = \"rolling 6h\", above = 20.0 }]\n";
    let world = World::new(TABLES, &daily(both).replace("every = \"1d\"", "every = \"6h\"")).await;
    // On day 2 only the last hours are good again.
    fill(&world, 5, 1, "case when day = 2 and hour < 18 or day = 3 then 40 else 10 end", "true").await;
    for n in 1..=18 {
        world.run_at(at(BEGIN) + TimeDelta::hours(6 * n)).await;
    }
    assert_eq!(fired(&world).await, ["both | all | 03-05"]);
    let reason = world.db.lines("select reason from trueup.verdict_history where window_end = '2024-03-04Z'").await;
    assert_eq!(reason, ["rmse: above the limit; rmse: within the limit"]);
}

const SLO: &str = "[[slos]]\nname = \"within-5\"\ngood = \"abs(error) <= 5\"\nobjective = 0.9\nperiod = \"10d\"\nburn = [{ long = \"2d\", short = \"1d\", factor = 2.0, severity = \"ticket\" }]\nnotify = [\"hook\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_bad_while_silenced_spends_the_budget_unless_the_objective_says_otherwise() {
    let slos = SLO.to_owned()
        + &SLO.replace("within-5", "heard").replace("notify", "silenced_spends = false\nnotify")
        + "[[slos]]\nname = \"days\"\nmetric = \"mae\"\nwindow = \"tumbling 1d\"\nbelow = 2.0\nobjective = 0.5\nperiod = \"10d\"\nsilenced_spends = false\nburn = [{ long = \"2d\", short = \"1d\", factor = 1.5, severity = \"ticket\" }]\n";
    let world = World::new(TABLES, &daily(&slos)).await;
    fill(&world, 14, 2, "case when region = 'r2' and day >= 6 and hour % 3 < 2 then 9 else 1 end", "true").await;
    // Days 6 to 8, for every alert of the job; and day 10, for one rule only.
    world.db.execute("insert into trueup.silence (job, rule, starts_at, ends_at, reason, author) values ('hourly', null, '2024-03-07Z', '2024-03-10Z', 'meters', 'kim'), ('hourly', 'jump', '2024-03-11Z', '2024-03-12Z', 'meters', 'kim')").await;
    live(&world, 1..=13).await;
    let newest = "select distinct on (slo) slo, good, bad, total from trueup.slo_history where kind = 'evaluation' order by slo, evaluated_at desc";
    assert_eq!(
        world.db.lines(newest).await,
        ["days | 4 | 3 | 7", "heard | 286 | 50 | 336", "within-5 | 382 | 98 | 480"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_budget_burns_and_a_correction_is_booked_beside_it() {
    let world = World::new(TABLES, &daily(SLO)).await;
    // 24 predictions an hour and region; from day 6 on every third of region 2 is bad: a sixth of all.
    fill(&world, 14, 2, "case when region = 'r2' and day >= 6 and hour % 3 < 2 then 9 else 1 end", "true").await;
    live(&world, 1..=13).await;
    // Mature two hours into day 13 is what is before two o'clock of day 12: 240 hours x 2, of which 6 days x 16 and 2 are bad.
    let newest = "select good, bad, total, round(budget_left::numeric, 6), burn -> 0 ->> 'verdict', round((burn -> 0 ->> 'long_burn')::numeric, 6), shift
         from trueup.slo_history where kind = 'evaluation' order by evaluated_at desc limit 1";
    assert_eq!(world.db.lines(newest).await, ["382 | 98 | 480 | -1.041667 | breach | 3.333333 | 1 day"]);
    assert_eq!(fired(&world).await.len(), 1);
    let text = world.db.lines("select body #>> '{rules,0,alerts,0,note}' from trueup.notification").await;
    assert!(text[0].contains("of the error budget of 10d remains; at the current rate it is exhausted in"), "{text:?}");
    // Half of the bad ones turn out to be good.
    world.db.execute("update public.l set actual = p.predicted, seen = '2024-03-14T12:00Z' from public.p p where p.id = l.id and p.region = 'r2' and p.at >= '2024-03-07Z' and p.at < '2024-03-10Z'").await;
    world.run_at(day(14) + TimeDelta::hours(2)).await;
    assert_eq!(
        world.db.lines("select good, bad, total from trueup.slo_history where kind = 'adjustment'").await,
        ["48 | -48 | 0"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_can_be_what_an_objective_counts() {
    let slo = "[[slos]]\nname = \"good-days\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nbelow = 20.0\nobjective = 0.7\nperiod = \"10d\"\nburn = [{ long = \"4d\", short = \"2d\", factor = 1.5, severity = \"ticket\" }]\nnotify = [\"hook\"]\n";
    let world = World::new(TABLES, &daily(slo)).await;
    fill(&world, 14, 1, "case when day in (3, 9, 10) then 40 else 10 end", "true").await;
    live(&world, 1..=13).await;
    let newest = "select good, total, round((burn -> 0 ->> 'long_burn')::numeric, 4), burn -> 0 ->> 'verdict' from trueup.slo_history where period_end = '2024-03-12Z' limit 1";
    assert_eq!(world.db.lines(newest).await, ["7 | 10 | 1.6667 | breach"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_told_once_and_its_recovery_too() {
    let world = World::new(TABLES, &daily(BUILT_IN)).await;
    fill(&world, 4, 1, "1", "true").await;
    live(&world, 1..=1).await;
    world.db.execute("alter table public.l rename column actual to moved").await;
    for n in 2..=3 {
        let due = format!(
            "insert into trueup.run (job_id, scheduled_for, trigger) select id, '{}', 'schedule' from trueup.job",
            day(n)
        );
        world.db.execute(&due).await;
        let mut connection = world.db.pool.acquire().await.unwrap();
        let claim = run::claim_next(&mut connection, &["hourly".to_owned()], "test", LEASE).await.unwrap().unwrap();
        drop(connection);
        let ended = execute(&world.db.pool, &world.job, &claim, day(n), LEASE, &world.routing).await;
        assert!(matches!(ended, Ended::Failed(_)), "{ended:?}");
    }
    assert_eq!(told(&world).await, ["firing | mail | run-failed | 1"]);
    let text = world.db.lines("select body #>> '{rules,0,alerts,0,note}' from trueup.notification").await;
    assert!(text[0].contains("no column `actual` in the labels table"), "{text:?}");
    world.delivered().await;
    world.db.execute("alter table public.l rename column moved to actual").await;
    live(&world, 3..=3).await;
    assert_eq!(told(&world).await[1..], ["resolved | mail | run-failed | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_run_is_late_once_whoever_watches() {
    let world = World::new(TABLES, &daily("[builtin]\noff = [\"no-predictions\"]\n")).await;
    let two_days_ago = Utc::now() - TimeDelta::days(2);
    world.run_at(two_days_ago).await;
    let jobs = [&world.job];
    let (one, other) = tokio::join!(
        run_health::late(&world.db.pool, &jobs, &world.routing),
        run_health::late(&world.db.pool, &jobs, &world.routing)
    );
    let found: Vec<String> = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(found, ["hourly"], "by one of them");
    assert!(run_health::late(&world.db.pool, &jobs, &world.routing).await.unwrap().is_empty());
    assert_eq!(told(&world).await, ["firing | mail | run-late | 1"]);
    world.delivered().await;
    world.run_at(Utc::now() - TimeDelta::minutes(1)).await;
    assert_eq!(told(&world).await[1..], ["resolved | mail | run-late | 1"]);
    assert!(run_health::late(&world.db.pool, &jobs, &world.routing).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_that_stop_are_told_and_their_return_too() {
    let rules = rule("few", "below = 20.0").replace("metric = \"rmse\"", "metric = \"predictions\"");
    let world = World::new(TABLES, &daily(&format!("[builtin]\noff = [\"run-late\"]\n{rules}"))).await;
    fill(&world, 10, 1, "1", "true").await;
    world.db.execute("delete from public.p where at >= '2024-03-05Z' and at < '2024-03-07Z'").await;
    live(&world, 1..=9).await;
    let fired = fired(&world).await;
    assert!(fired.contains(&"few | all | 03-06".to_owned()), "{fired:?}");
    assert!(fired.iter().any(|line| line.starts_with("no-predictions | all")), "{fired:?}");
    assert_eq!(
        world.db.lines("select distinct state from trueup.alert where rule in ('few', 'no-predictions')").await,
        ["resolved"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_catches_up_learns_nothing_from_breaches_it_just_found() {
    let rules = rule("jump", "above_baseline = \"100%\"\nbaseline = { windows = 7, min = 3 }");
    let error = "case when day >= 8 then 30 else 10 end";
    let (steady, late) = (World::new(TABLES, &daily(&rules)).await, World::new(TABLES, &daily(&rules)).await);
    for world in [&steady, &late] {
        fill(world, 16, 1, error, "true").await;
    }
    live(&steady, 1..=15).await;
    live(&late, 1..=8).await;
    live(&late, 15..=15).await;
    let verdicts = "select window_end, verdict, baseline from trueup.verdict_history where window_end >= '2024-03-10Z' and not retroactive order by 1";
    let (expected, found) = (steady.db.lines(verdicts).await, late.db.lines(verdicts).await);
    assert_eq!(found, expected);
    assert!(found.iter().all(|line| line.contains("breach | 10")), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_ok_does_not_end_an_alert_whose_labels_went_away() {
    let world = World::new(TABLES, &daily(&rule("high", "above = 20.0"))).await;
    fill(&world, 6, 1, "case when day = 3 then 40 else 10 end", "true").await;
    live(&world, 1..=4).await;
    assert_eq!(world.db.lines("select state from trueup.alert").await, ["firing"]);
    world.db.execute("update public.l set actual = null, seen = '2024-03-05T04:00Z' where id in (select id from public.p where at >= '2024-03-04Z')").await;
    world.run_at(day(4) + TimeDelta::hours(5)).await;
    assert_eq!(
        world
            .db
            .lines("select verdict from trueup.verdict_history where window_end = '2024-03-05Z' order by evaluated_at")
            .await,
        ["breach", "no_data"]
    );
    assert_eq!(world.db.lines("select state from trueup.alert").await, ["firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_of_a_version_that_was_replaced_is_closed() {
    let world = World::new(TABLES, &daily(&rule("each", "above = 20.0\nversions = \"each\""))).await;
    fill(&world, 30, 1, "case when day < 8 then 40 else 10 end", "true").await;
    world.db.execute("update public.p set version = 'v2' where at >= '2024-03-09Z'").await;
    live(&world, 1..=12).await;
    assert_eq!(world.db.lines("select model_version, state from trueup.alert").await, ["v1 | firing"]);
    live(&world, 13..=20).await;
    assert_eq!(
        world
            .db
            .lines("select model_version, to_state, reason from trueup.alert_history order by changed_at desc limit 1")
            .await,
        ["v1 | resolved | no predictions for a long time"]
    );
    assert_eq!(told(&world).await.len(), 2, "and who was told knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_meaning_of_good_is_another_objective() {
    let mut world = World::new(TABLES, &daily(SLO)).await;
    fill(&world, 8, 1, "9", "true").await;
    live(&world, 1..=5).await;
    world.job = crate::support::world::plan_job(&daily(&SLO.replace("<= 5", "<= 50")));
    live(&world, 6..=7).await;
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.slo_history where kind = 'adjustment'").await, 0);
}
