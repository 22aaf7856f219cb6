//! What changes under a job's feet: rows of the source, its own definition, a backfill beside it. Nothing stale stays.

use chrono::{DateTime, TimeDelta, Utc};
use trueup::pipeline::backfill::{self, Request};
use trueup::pipeline::enter::{Refused, RunRequest, enter};
use trueup::pipeline::execute::{Ended, leased};
use trueup::pipeline::run_job;
use trueup::plan::rule::CohortChoice;

use crate::support::world::{LEASE, TABLES, VIEWS, World, at, hourly, plan_job, quarter_hours};

const WINDOWS: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"3d\"\n[residuals]\nkeep = \"1d\"\n";

/// What the last run says of the newest rolling window, all cohorts and versions.
const NEWEST: &str = "select cohort, model_version, predictions, labeled, mse from trueup.window_history
    where window_name = 'rolling 6h' and window_end = (select max(window_end) from trueup.window_history where window_name = 'rolling 6h')
    order by 1, 2 nulls first";

async fn world(more: &str) -> World {
    let world = World::new(TABLES, &hourly(&format!("{WINDOWS}{more}"))).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 4)).await;
    world
}

fn hour(n: i64) -> DateTime<Utc> {
    at("2024-05-02T00:00:00Z") + TimeDelta::hours(n)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_that_changes_its_version_leaves_the_old_one() {
    let world = world("").await;
    world.run_at(hour(0)).await;
    world.db.execute("update public.p set version = 'v2', seen = '2024-05-02T00:30Z' where at >= '2024-05-01T22:00Z' and at < '2024-05-02Z'").await;
    world.run_at(hour(1)).await;
    assert_eq!(
        world.db.lines(NEWEST).await,
        ["all | - | 24 | 23 | 1", "all | v1 | 16 | 15 | 1", "all | v2 | 8 | 8 | 1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_that_moves_far_back_or_out_of_the_filter_is_gone_from_where_it_was() {
    let mut world = world("").await;
    world.job = plan_job(&hourly(WINDOWS).replace("[labels]", "where = \"region <> 'x'\"\n[labels]"));
    world.run_at(hour(0)).await;
    // Number 95 goes to where residuals are no longer kept; number 96 is filtered away.
    world.db.execute("update public.p set at = '2024-04-30T10:00Z', seen = '2024-05-02T00:30Z' where id = 95; update public.p set region = 'x', seen = '2024-05-02T00:30Z' where id = 96").await;
    world.run_at(hour(1)).await;
    assert_eq!(world.db.lines(NEWEST).await[0], "all | - | 22 | 21 | 1");
    assert_eq!(
        world.db.scalar::<i64>("select count(*) from trueup.residual where class = 7").await,
        0,
        "nothing is left"
    );
    let moved: i64 = world.db.scalar("select sum(predictions)::bigint from trueup.bucket where grain = 3600 and bucket_start = '2024-04-30T10:00Z'").await;
    assert_eq!(moved, 1);
}

/// Drops a run while it waits for the job's row, which it needs to publish and for nothing before.
async fn cut_off_before_it_publishes<T>(world: &World, run: impl Future<Output = T>) {
    let mut holder = world.db.pool.begin().await.expect("a transaction");
    sqlx::query("select id from trueup.job for no key update").execute(&mut *holder).await.expect("the job's row");
    let waits = async {
        let waiting =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        while world.db.scalar::<i64>(waiting).await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = run => panic!("the run ended while the job's row was locked"),
        () = waits => {}
    }
    holder.rollback().await.expect("the end of the transaction");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_the_same_time_sees_what_was_committed_in_between() {
    let world = world("").await;
    world.run_at(hour(0)).await;
    world.run_at(hour(1)).await;
    // Committed late: it arrived before the run's time and was not there yet.
    world
        .db
        .execute("insert into public.p values (9001, '2024-05-02T00:10Z', 100, 'v1', 'a', '2024-05-02T00:55Z')")
        .await;
    world.run_at(hour(1)).await;
    let predictions: i64 = world.db.scalar("select sum(predictions)::bigint from trueup.bucket where grain = 3600 and bucket_start = '2024-05-02T00:00Z'").await;
    assert_eq!(predictions, 5);
    // And one that a run which was cut off had read already.
    world
        .db
        .execute("insert into public.p values (9002, '2024-05-02T00:11Z', 100, 'v1', 'a', '2024-05-02T00:56Z')")
        .await;
    let claim = enter(&world.db.pool, &world.job, RunRequest::RunAt(hour(1)), "test", LEASE).await.unwrap().unwrap();
    let run = run_job(&world.db.pool, &world.job, &claim, hour(1), &world.routing);
    cut_off_before_it_publishes(&world, run).await;
    world
        .db
        .execute("update trueup.run set lease_until = clock_timestamp() - interval '1 second' where state = 'running'")
        .await;
    world.run_at(hour(1)).await;
    let predictions: i64 = world.db.scalar("select sum(predictions)::bigint from trueup.bucket where grain = 3600 and bucket_start = '2024-05-02T00:00Z'").await;
    assert_eq!(predictions, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn event_times_that_no_calendar_knows_stop_nothing() {
    let world = world("").await;
    world.db.execute("insert into public.p values (9001, '290000-01-01Z', 1, 'v1', 'a', '2024-05-01Z'), (9002, 'infinity', 1, 'v1', 'a', '2024-05-01Z'), (9003, '4000-01-01 BC', 1, 'v1', 'a', '2024-05-01Z')").await;
    world.run_at(hour(0)).await;
    world.db.execute("insert into public.p values (9004, '290000-01-01Z', 1, 'v1', 'a', '2024-05-02T00:30Z'), (9005, '-infinity', 1, 'v1', 'a', '2024-05-02T00:30Z')").await;
    world.run_at(hour(1)).await;
    assert_eq!(world.db.lines(NEWEST).await[0], "all | - | 24 | 23 | 1");
}

const RULE: &str = "[[alerts]]\nname = \"r\"\nmetric = \"mse\"\nwindow = \"rolling 6h\"\nabove = 0.5\nseverity = \"page\"\nnotify = [\"hook\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_just_before_a_run_does_not_keep_it_from_judging() {
    let yesterday = at(&(Utc::now() - TimeDelta::days(1)).format("%Y-%m-%dT00:00:00Z").to_string());
    let now = trueup::domain::window::floor(Utc::now(), TimeDelta::hours(1));
    let world = World::new(TABLES, &hourly(&format!("{WINDOWS}{RULE}"))).await;
    world.db.execute(&quarter_hours(&yesterday.to_rfc3339(), 49)).await;
    world.db.execute("update public.l set seen = seen - interval '2 hours'").await;
    world.run_at(now - TimeDelta::hours(1)).await;
    let judged = "select count(distinct window_end) from trueup.verdict_history where cohort = 'all'";
    assert_eq!(world.db.scalar::<i64>(judged).await, 1);
    world.backfill(yesterday..Utc::now() + TimeDelta::minutes(1), None).await;
    // A scheduled tick is always a little older than the backfill that came just before it.
    let claim = scheduled(&world, now).await;
    let ended =
        trueup::pipeline::execute::execute(&world.db.pool, &world.job, &claim, now, LEASE, &world.routing).await;
    assert!(matches!(ended, Ended::Ok(_)), "{ended:?}");
    assert_eq!(
        world.db.scalar::<i64>(judged).await,
        2,
        "the new window was judged although the backfill had stored it"
    );
    let revisions: i32 = world.db.scalar("select max(revision) from trueup.window_revisions").await;
    assert_eq!(revisions, 1, "and what the backfill knew was not taken back");
}

/// A claim as a scheduler makes it.
async fn scheduled(world: &World, at: DateTime<Utc>) -> trueup::store::ledger::run::Claim {
    world
        .db
        .execute(&format!(
            "insert into trueup.run (job_id, scheduled_for, trigger) select id, '{at}', 'schedule' from trueup.job"
        ))
        .await;
    let mut connection = world.db.pool.acquire().await.unwrap();
    trueup::store::ledger::run::claim_next(&mut connection, &["hourly".to_owned()], "test", LEASE)
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_before_what_a_backfill_has_seen_is_refused() {
    let world = world("").await;
    world.run_at(hour(0)).await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-02T00:00:00Z"), None).await;
    let refused = world.try_run_at(hour(5)).await;
    assert!(matches!(refused, Err(Refused::AlreadyPublished { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_in_the_past_sees_nothing_that_a_backfill_left() {
    let world = world("").await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-03T00:00:00Z"), None).await;
    let published = world.run_at(hour(0)).await;
    let labeled = |window: &str| {
        let found = published.measurements.iter().find(|m| m.window == window && m.model_version.is_none());
        found.map(|m| m.sample.counts.labeled)
    };
    // Labels come half an hour after the event: the last of the day is not known at midnight.
    assert_eq!(labeled("rolling 6h"), Some(23));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_rule_closes_its_alert_and_says_so_to_who_was_told() {
    let mut world = world(RULE).await;
    world.run_at(hour(0)).await;
    assert_eq!(world.db.lines("select state from trueup.alert").await, ["firing"]);
    world.job = plan_job(&hourly(WINDOWS));
    world.run_at(hour(1)).await;
    assert_eq!(
        world.db.lines("select to_state, reason from trueup.alert_history order by changed_at").await,
        ["firing | the newest window is in breach", "resolved | the job no longer has a rule for it"]
    );
    let told = world.db.lines("select kind, receiver, body -> 'rules' -> 0 -> 'alerts' -> 0 ->> 'closed', body -> 'rules' -> 0 -> 'alerts' -> 0 ->> 'state' from trueup.notification order by sequence").await;
    assert_eq!(
        told,
        ["firing | hook | - | firing", "resolved | hook | the job no longer has a rule for it | resolved"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_ends_an_alert_that_is_within_it_now() {
    let mut world = world(RULE).await;
    world.run_at(hour(0)).await;
    world.job = plan_job(&hourly(&format!("{WINDOWS}{}", RULE.replace("above = 0.5", "above = 5.0"))));
    world.run_at(hour(1)).await;
    assert_eq!(
        world.db.lines("select to_state from trueup.alert_history order by changed_at").await,
        ["firing", "resolved"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_judges_other_cohorts_now_closes_the_alerts_of_the_old_ones() {
    let mut world = world(&format!("[[cohorts]]\nby = [\"region\"]\n{RULE}")).await;
    world.run_at(hour(0)).await;
    world.job.rules[0].cohorts = CohortChoice::Each;
    world.run_at(hour(1)).await;
    assert_eq!(
        world.db.lines("select cohort, state from trueup.alert order by cohort").await,
        ["all | resolved", "region=a | firing", "region=b | firing"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_window_than_before_is_built_from_further_back() {
    let mut world = world("").await;
    world.run_at(hour(24)).await;
    world.job = plan_job(&hourly(&WINDOWS.replace("\"6h\"", "\"6h\", \"5d\"").replace("\"3d\"", "\"5d\"")));
    world.run_at(hour(25)).await;
    let long = "select window_start, predictions from trueup.window_history where window_name = 'rolling 5d' and cohort = 'all' and model_version is null";
    assert_eq!(world.db.lines(long).await, ["2024-04-28T01:00:00+00:00 | 196"], "49 hours of four predictions");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_arrival_times_a_window_whose_rows_were_deleted_is_noted_as_gone() {
    let toml = hourly(WINDOWS).replace("arrived_at = \"seen\"\n", "");
    let mut world = World::new(TABLES, &toml).await;
    world.job.windows.shrink = 1.0;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24)).await;
    world.run_at(hour(0)).await;
    world.db.execute("delete from public.p").await;
    world.run_at(hour(1)).await;
    let day = world.db.lines("select revision, removed, predictions from trueup.window_revisions where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null order by revision").await;
    assert_eq!(day, ["1 | false | 96", "2 | true | 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_time_zone_gives_other_days_and_mixes_nothing() {
    let mut world = world("").await;
    world.run_at(hour(0)).await;
    world.job = plan_job(&hourly(&WINDOWS.replace("[windows]", "[windows]\ntimezone = \"Europe/Bucharest\"")));
    for n in 1..=30 {
        world.run_at(hour(n)).await;
    }
    let days = world.db.lines("select window_start, predictions, status from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and model_version is null and predictions > 0 order by 1").await;
    assert_eq!(
        days,
        ["2024-04-30T21:00:00+00:00 | 84 | final", "2024-05-01T21:00:00+00:00 | 96 | provisional"],
        "the day in UTC has given way to those in Bucharest"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_may_use_the_views_and_the_history_as_of_and_nothing_else() {
    let world = world("").await;
    world.run_at(hour(0)).await;
    let as_reader = |sql: &str| format!("set role trueup_reader; {sql}; reset role");
    for view in VIEWS.into_iter().chain(["metric_history_as_of(now())"]) {
        world.db.execute(&as_reader(&format!("select count(*) from trueup.{view}"))).await;
    }
    let mut connection = world.db.connection().await;
    sqlx::raw_sql("set role trueup_reader").execute(&mut connection).await.unwrap();
    for table in ["run", "measurement", "bucket", "residual", "notification"] {
        let sql = format!("select from trueup.{table}");
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await;
        assert!(refused.is_err_and(|e| e.to_string().contains("permission denied")), "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_that_was_cut_off_repaired_is_published_by_the_next() {
    let mut world = World::new(TABLES, &hourly(WINDOWS)).await;
    world.job.schedule.reconcile = TimeDelta::days(900);
    let today = trueup::domain::window::floor(Utc::now(), TimeDelta::days(1));
    let yesterday = today - TimeDelta::days(1);
    world.db.execute(&quarter_hours(&yesterday.to_rfc3339(), 24)).await;
    world.db.execute("update public.l set seen = seen - interval '1 hour'").await;
    world.run_at(today).await;
    // Only a comparison with the source finds these: no arrival time tells of them.
    world.db.execute("delete from public.l where id between 40 and 47; delete from public.p where id = 96").await;
    let claim = enter(&world.db.pool, &world.job, RunRequest::Reconcile, "test", LEASE).await.unwrap().unwrap();
    const LABELED: &str = "select sum(labeled)::bigint from trueup.bucket where grain = 3600";
    let before: i64 = world.db.scalar(LABELED).await;
    let run = run_job(&world.db.pool, &world.job, &claim, claim.scheduled_for, &world.routing);
    cut_off_before_it_publishes(&world, run).await;
    assert_ne!(before, world.db.scalar::<i64>(LABELED).await, "the repair is committed");
    world
        .db
        .execute("update trueup.run set lease_until = clock_timestamp() - interval '1 second' where state = 'running'")
        .await;
    world.run_at(Utc::now()).await;
    let day = format!(
        "select predictions, labeled from trueup.window_history where window_name = 'tumbling 1d' and window_start = '{yesterday}' and cohort = 'all' and model_version is null"
    );
    assert_eq!(world.db.lines(&day).await, ["95 | 87"]);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.due_bucket").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_types_are_refused_before_they_are_compared() {
    let world = World::new(&TABLES.replace("public.l (id bigint", "public.l (id numeric"), &hourly(WINDOWS)).await;
    let ended = world.try_run_at(hour(0)).await.unwrap();
    let Ended::Failed(failure) = ended else { panic!("{ended:?}") };
    assert!(failure.to_string().contains("`id` is numeric and `id` of the predictions is int8"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_message_is_about_the_window_that_decided() {
    // The newest window has too few labels to say anything; the one that became final is in breach.
    let rule = RULE.replace("above = 0.5", "above = 0.5\nmin_coverage = 0.9");
    let windows = WINDOWS.replace("label_wait = \"1d\"", "label_wait = \"6h\"");
    let world = World::new(TABLES, &hourly(&format!("{windows}{rule}"))).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 2)).await;
    world.db.execute("update public.l set seen = seen + interval '5 hours'").await;
    for n in 0..8 {
        world.run_at(hour(n)).await;
    }
    let told = world.db.lines("select a ->> 'value', a ->> 'status', a ->> 'window_end' from trueup.notification cross join lateral (select body #> '{rules,0,alerts,0}' as a) as worst").await;
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("1.0 | final | 2024-05-02T0"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_buckets_of_any_length_loses_nothing_at_its_chunks() {
    let toml =
        hourly("[windows]\nrolling = [\"50m\"]\nlabel_wait = \"1d\"\n").replace("every = \"1h\"", "every = \"50m\"");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-04-01T00:00:00Z", 24 * 40)).await;
    world.backfill(at("2024-04-01T00:00:00Z")..at("2024-05-10T00:00:00Z"), None).await;
    let rows: i64 = world.db.scalar("select sum(predictions)::bigint from trueup.bucket where grain = 3000").await;
    let covered: i64 = world
        .db
        .scalar("select count(*) from public.p where at < (select max(window_end) from trueup.measured_window)")
        .await;
    assert!((0..4).contains(&(rows - covered)), "{rows} of {covered} predictions are in buckets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cohort_per_customer_is_refused_with_what_to_do() {
    let world = world("[[cohorts]]\nby = [\"region\"]\n").await;
    world.db.execute("insert into public.p select 1000000 + n, '2024-05-01T12:00Z', 1, 'v1', 'customer ' || n, '2024-05-01Z' from generate_series(1, 100001) n; analyze public.p").await;
    let ended = world.try_run_at(hour(0)).await.unwrap();
    let Ended::Failed(failure) = ended else { panic!("{ended:?}") };
    assert!(failure.to_string().contains("100003 combinations, and the limit is 100000"), "{failure}");
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.cell").await, 0, "nothing is left of it");
    // Nor does a backfill leave them behind, which would keep every later run from its work.
    world.db.execute("update public.p set at = '2024-03-01Z' where id >= 1000000").await;
    world.run_at(hour(0)).await;
    let claim = enter(&world.db.pool, &world.job, RunRequest::Backfill, "test", LEASE).await.unwrap().unwrap();
    let request =
        Request { range: at("2024-02-28T00:00:00Z")..at("2024-03-02T00:00:00Z"), step: None, accept_loss: false };
    let mut report = |_| {};
    let work = backfill::run(&world.db.pool, &world.job, &claim, &request, &mut report);
    let refused = leased(&world.db.pool, &claim, LEASE, work).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("the limit is 100000"), "{refused}");
    assert!(world.db.scalar::<i64>("select count(*) from trueup.cell").await < 100);
}
