//! History is kept in months: made when they are needed, read only where they are asked for, dropped when they are old.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use trueup::store::history::months::{self, Monthly};

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

const JOB: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n\
    [[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 5.0\n\
    [[slos]]\nname = \"near\"\ngood = \"abs(error) <= 1.5\"\nobjective = 0.9\nperiod = \"5d\"\nburn = \"2x\"\n";

/// Three days around the end of a month, measured as they come.
async fn around_the_end_of_may() -> World {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&quarter_hours("2024-05-30T00:00:00Z", 24 * 5)).await;
    for day in ["2024-05-31T01:00:00Z", "2024-06-01T01:00:00Z", "2024-06-02T01:00:00Z", "2024-06-03T01:00:00Z"] {
        world.run_at(at(day)).await;
    }
    world
}

const MONTHS: &str =
    "select c.relname, pg_get_expr(c.relpartbound, c.oid) from pg_inherits i join pg_class c on c.oid = i.inhrelid
    join pg_class p on p.oid = i.inhparent where p.relkind = 'p' order by 1";

#[tokio::test(flavor = "multi_thread")]
async fn runs_make_the_months_that_they_write_to_and_no_others() {
    let world = around_the_end_of_may().await;
    let (may, june) = (
        "'2024-05-01 00:00:00+00') TO ('2024-06-01 00:00:00+00'",
        "'2024-06-01 00:00:00+00') TO ('2024-07-01 00:00:00+00'",
    );
    let expected: Vec<String> = ["measurement", "slo_evaluation", "verdict"]
        .iter()
        .flat_map(|table| {
            [("05", may), ("06", june)]
                .map(|(month, range)| format!("{table}_2024_{month} | FOR VALUES FROM ({range})"))
        })
        .collect();
    assert_eq!(world.db.lines(MONTHS).await, expected);
    // A window that ends as the month begins is of the new month: windows are told by their ends.
    let first: String = world.db.scalar("select min(window_end)::text from trueup.measurement_2024_06").await;
    assert!(first.starts_with("2024-06-01 00:00:00"), "{first}");
    // A backfill makes the months it needs as well, verdicts it has none.
    world
        .db
        .execute("insert into public.p values (900001, '2024-03-30T01:00Z', 1, 'v1', 'a', '2024-03-30T00:00Z')")
        .await;
    world.backfill(at("2024-03-30T00:00:00Z")..at("2024-04-02T00:00:00Z"), None).await;
    let more = world.db.lines(MONTHS).await;
    let made: Vec<&str> =
        more.iter().filter(|line| !expected.contains(line)).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(made, ["measurement_2024_03", "measurement_2024_04"]);
}

/// What Postgres did to answer, as it would with more rows than these.
async fn explained(world: &World, sql: &str) -> String {
    let mut connection = world.db.connection().await;
    connection.execute("set enable_seqscan = off; set enable_bitmapscan = off").await.unwrap();
    let sql = format!("explain (analyze, costs off, timing off, summary off) {sql}");
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_some_days_reads_their_month_and_no_other() {
    let world = around_the_end_of_may().await;
    // Relative to now, as people ask: the days from 1 June, 06:00.
    let ago = (chrono::Utc::now() - at("2024-06-01T06:00:00Z")).num_seconds();
    let relative = format!("job = 'hourly' and window_end > now() - interval '{ago} seconds'");
    let plan = explained(&world, &format!("select * from trueup.window_history where {relative}")).await;
    assert!(plan.contains("Subplans Removed: 1") && !plan.contains("_2024_05"), "{plan}");
    let june = "job = 'hourly' and window_end > '2024-06-01T06:00Z' and window_end < '2024-06-03T00:00Z'";
    for (view, parent) in [
        ("window_history", "measurement"),
        ("window_revisions", "measurement"),
        ("metric_history", "measurement"),
        ("metric_revisions", "measurement"),
        ("metric_history_as_of('2024-07-01Z')", "measurement"),
        ("verdict_history", "verdict"),
    ] {
        let plan = explained(&world, &format!("select * from trueup.{view} where {june}")).await;
        assert!(plan.contains(&format!("{parent}_2024_06")), "{view}: {plan}");
        assert!(!plan.contains("_2024_05"), "{view}: {plan}");
    }
    let budget = "select * from trueup.slo_history where job = 'hourly' and period_end >= '2024-06-02Z'";
    let plan = explained(&world, budget).await;
    assert!(plan.contains("slo_evaluation_2024_06") && !plan.contains("_2024_05"), "{plan}");
    // A cohort in a kind of window is found by its names, and only its rows are read; windows are looked up only for their state.
    let newest = "select rmse from trueup.window_history where job = 'hourly' and window_name = 'tumbling 1d' and cohort = 'all' and model_version is null order by window_end desc limit 1";
    let plan = explained(&world, newest).await;
    assert!(plan.contains("Index Scan using series_is_unique"), "{plan}");
    assert!(plan.contains("Index Cond: (series_id = t.id)") && !plan.contains("Seq Scan on measurement"), "{plan}");
    assert!(!plan.contains("measured_window"), "{plan}");
    // The newest windows of a job are the first of an index.
    let newest = "select rmse from trueup.window_history where job = 'hourly' order by window_end desc limit 1";
    let plan = explained(&world, newest).await;
    assert!(!plan.contains("Sort") && plan.contains("never executed"), "{plan}");
    assert!(!plan.contains("measured_window"), "{plan}");
    let newest = "select window_name, metric, value, status from trueup.metric_history_as_of('infinity') where job = 'hourly' order by window_end desc, window_name, cohort, model_version nulls first, metric limit 10";
    let plan = explained(&world, newest).await;
    assert!(plan.contains("Presorted Key: m_1.window_end") || plan.contains("Presorted Key: m.window_end"), "{plan}");
    assert!(plan.contains("never executed"), "the older month is not read: {plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runners_that_need_the_same_month_at_once_make_it_once() {
    let world = World::new(TABLES, &hourly(JOB)).await;
    let moments = [at("2031-01-31T23:59:59Z"), at("2031-02-01T00:00:00Z"), at("2031-02-15T00:00:00Z")];
    let mut making = Vec::new();
    for _ in 0..8 {
        let mut connection = world.db.connection().await;
        making.push(tokio::spawn(async move {
            let mut transaction = connection.begin().await?;
            months::add(&mut transaction, Monthly::Measurement, &moments).await?;
            // Whoever made it may be cut off: then the next one makes it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            transaction.commit().await
        }));
    }
    for task in making {
        task.await.unwrap().unwrap();
    }
    let made = world.db.lines("select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relname like 'measurement_2031%' order by 1").await;
    assert!(
        made.iter().filter(|name| !name.contains("idx")).eq(["measurement_2031_01", "measurement_2031_02"].iter()),
        "{made:?}"
    );
    // Nothing else is made by this function, whoever calls it.
    let mut connection = world.db.connection().await;
    for (call, said) in [
        ("add_months('run', array[now()])", "run is not kept in months"),
        ("add_months(null, array[now()])", "is not kept in months"),
        ("add_months('verdict', array['infinity'::timestamptz])", "months are from 1900 to 2999"),
        ("add_months('verdict', array['12044-01-01'::timestamptz])", "months are from 1900 to 2999"),
        ("drop_months('measurement', now())", "measurement keeps its months"),
    ] {
        let refused = connection.execute(AssertSqlSafe(format!("select trueup.{call}"))).await;
        assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(said)), "{call}: {refused:?}");
    }
    let made: i64 =
        world.db.scalar("select trueup.add_months('verdict', array[null, '2031-01-01'::timestamptz])::bigint").await;
    assert_eq!(made, 1);
}

/// Old measurements may be archived; then nothing writes a first report of them for the second time.
#[tokio::test(flavor = "multi_thread")]
async fn windows_of_a_month_that_was_detached_are_not_measured_anew() {
    let world = around_the_end_of_may().await;
    let folder = Folder::new("detached");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let backfill = || {
        let arguments = ["backfill", "hourly", "--from", "2024-05-30", "--to", "2024-05-31"];
        Run::of(folder.trueup(&arguments).env("DATABASE_URL", world.db.url()).output().unwrap())
    };
    let detach = "alter table trueup.measurement detach partition trueup.measurement_2024_05";
    world.db.execute(detach).await;
    // The present goes on.
    world.run_at(at("2024-06-03T06:00:00Z")).await;
    for statement in ["", "alter table trueup.measurement_2024_05 rename to archive"] {
        world.db.execute(statement).await;
        let refused = backfill();
        assert!(refused.code == Some(2) && refused.stderr.contains("detached from the history"), "{}", refused.stderr);
    }
    world.db.execute("alter table trueup.archive rename to measurement_2024_05; alter table trueup.measurement attach partition trueup.measurement_2024_05 for values from ('2024-05-01Z') to ('2024-06-01Z')").await;
    backfill().ok();
    let firsts = world.db.lines("select count(*), count(distinct (window_name, window_end, cohort, model_version)) from trueup.window_revisions where first_reported and window_end < '2024-06-01Z'").await;
    let both: Vec<&str> = firsts[0].split(" | ").collect();
    assert!(both[0] == both[1] && both[0] != "0", "{firsts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_that_somebody_reads_is_dropped_later_and_holds_nobody_up() {
    let world = around_the_end_of_may().await;
    let july = at("2024-07-01T00:00:00Z");
    let mut reader = world.db.connection().await;
    let mut reading = reader.begin().await.unwrap();
    reading.execute("select count(*) from trueup.verdict").await.unwrap();
    let mut connection = world.db.connection().await;
    let started = Instant::now();
    let refused = months::drop_before(&mut connection, Monthly::Verdict, july).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("lock timeout")));
    assert!(started.elapsed() < Duration::from_secs(60), "it did not wait for the reader to end");
    let kept: i64 = world.db.scalar("select count(*) from trueup.verdict_history").await;
    assert!(kept > 0);
    reading.commit().await.unwrap();

    // The month of the moment itself is not over.
    let mut drop_before = async |table, before| months::drop_before(&mut connection, table, before).await;
    assert_eq!(drop_before(Monthly::Verdict, at("2024-06-30T23:00:00Z")).await.unwrap(), 1);
    let left = "select distinct date_trunc('month', window_end at time zone 'UTC')::date from trueup.verdict_history";
    assert_eq!(world.db.lines(left).await, ["2024-06-01"]);
    for (table, months) in [(Monthly::Verdict, 1), (Monthly::SloEvaluation, 2)] {
        assert_eq!(drop_before(table, july).await.unwrap(), months);
    }
    let kept = world.db.lines("select (select count(*) from trueup.verdict_history), (select count(*) from trueup.slo_history), (select count(*) > 0 from trueup.window_history)").await;
    assert_eq!(kept, ["0 | 0 | true"]);
    // The next run goes on.
    world.run_at(at("2024-06-04T01:00:00Z")).await;
    assert!(world.db.scalar::<i64>("select count(*) from trueup.verdict_history").await > 0);
}
