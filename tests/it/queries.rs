//! The documented questions to the history, asked; and how the database runs what a job reads.

use std::path::Path;

use chrono::TimeDelta;
use sqlx::Row as _;
use trueup::domain::window::Slice;
use trueup::plan::rollup;
use trueup::plan::source::{SourceFacts, ValueType};
use trueup::sql::pairs::source::Selection;
use trueup::sql::pairs::{bucket, residual};
use trueup::sql::window;
use trueup::warehouse::session::{self, Bind};

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_query_runs_and_answers() {
    let toml = hourly(
        "[windows]\nrolling = [\"24h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nhorizon = \"20d\"\n[residuals]\nkeep = \"9d\"\n\
         [[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 1.5\nnotify = [\"hook\"]\n\
         [[slos]]\nname = \"near\"\ngood = \"abs(error) <= 1.5\"\nobjective = 0.9\nperiod = \"5d\"\nburn = \"2x\"\n",
    )
    .replace("name = \"hourly\"", "name = \"load\"");
    let world = World::new(TABLES, &toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 10)).await;
    // Two versions; a bad day that a late label takes back; values that cannot be averaged.
    world
        .db
        .execute(
            "update public.p set version = case when id % 3 = 0 then 'v2' else 'v1' end;
         update public.l set actual = 90 where id between 300 and 320;
         update public.l set seen = seen + interval '30 hours' where id % 5 = 0;
         update public.p set predicted = 'NaN' where id = 400;",
        )
        .await;
    let mut time = at("2024-05-01T12:00:00Z");
    while time <= at("2024-05-10T12:00:00Z") {
        world.run_at(time).await;
        time += TimeDelta::hours(6);
    }
    world.db.execute("update public.l set actual = 99, seen = '2024-05-10T13:00Z' where id between 300 and 320").await;
    world.run_at(at("2024-05-10T18:00:00Z")).await;

    world.db.execute("insert into trueup.annotation (job, kind, starts_at, ends_at, note) values ('load', 'incident', '2024-05-04Z', '2024-05-05Z', 'a sensor')").await;

    let queries = documented("2024-05-10 18:00+00", 1..=17);
    for (title, sql) in &queries {
        let lines = world.db.lines(sql).await;
        assert!(!lines.is_empty(), "`{title}` has no answer");
    }
    let answer = |number: usize| world.db.lines(&queries[number - 1].1);
    assert_eq!(answer(11).await, ["not finite | 1 | 2024-05-05T03:45:00+00:00 | 2024-05-05T03:45:00+00:00"]);
    assert!(
        answer(14).await[0].starts_with("rmse-high | 1 | 0.0"),
        "the label took the breach back: {:?}",
        answer(14).await
    );
}

/// The queries of the page with these numbers: titles, and SQL that is asked at a moment.
fn documented(moment: &str, numbers: std::ops::RangeInclusive<usize>) -> Vec<(String, String)> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/queries.md")).unwrap();
    let query = |section: &str| {
        let title = section.lines().next().unwrap_or_default();
        let sql = section.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
        let sql = sql.unwrap_or_else(|| panic!("`{title}` has no query")).trim().trim_end_matches(';');
        (title.to_owned(), sql.replace("now()", &format!("timestamptz '{moment}'")))
    };
    let sections = page.split("\n## ").filter(|section| section.starts_with(|c: char| c.is_ascii_digit()));
    let all: Vec<(String, String)> = sections.map(query).collect();
    assert_eq!(all.len(), 23);
    all[numbers.start() - 1..*numbers.end()].to_vec()
}

/// Three weeks of scores every quarter of an hour; labels come after 30 hours.
#[tokio::test(flavor = "multi_thread")]
async fn every_documented_query_about_classes_answers_what_the_source_says() {
    let toml = "[job]\nname = \"fraud\"\n[schedule]\nevery = \"1h\"\n[model]\ntask = \"binary\"\npositive = \"fraud\"\nthresholds = [0.3, 0.7]\n\
        [predictions]\ntable = \"public.p\"\nid = \"id\"\nat = \"at\"\nvalue = \"score\"\narrived_at = \"seen\"\n\
        [labels]\ntable = \"public.l\"\nid = \"id\"\nvalue = \"outcome\"\narrived_at = \"seen\"\n\
        [windows]\nrolling = [\"1h\"]\ntumbling = [\"1d\", \"1w\"]\nbucket = \"15m\"\nlabel_wait = \"36h\"\nhorizon = \"30d\"\n\
        [[cohorts]]\nby = [\"country\"]\n[builtin]\noff = [\"all\"]\n\
        [metrics]\ninclude = [\"auc\", \"precision\", \"recall\", \"ece\", \"positive_rate\", \"score_mean\"]\n";
    let tables = "
        create table public.p (id bigint primary key, at timestamptz not null, score float8 not null, country text not null, seen timestamptz not null);
        create table public.l (id bigint primary key, outcome text not null, seen timestamptz not null);
        create index on public.p (at); create index on public.p (seen); create index on public.l (seen);
        insert into public.p select n, at, (n * 7919 % 1009) / 1009.0, (array['DE', 'FR'])[1 + n % 2], at
            from generate_series(0, 2100) n, lateral (select timestamptz '2024-05-01Z' + n * interval '15 minutes' as at) as t;
        insert into public.l select id, case when id * 104729 % 1013 < score * 1013 then 'fraud' else 'fine' end, at + interval '30 hours' from public.p;";
    let world = World::new(tables, toml).await;
    for moment in ["2024-05-13T10:00:00Z", "2024-05-15T10:00:00Z", "2024-05-22T10:00:00Z"] {
        world.run_at(at(moment)).await;
    }
    let queries = documented("2024-05-22 10:00+00", 18..=23);
    for (title, sql) in &queries {
        assert!(!world.db.lines(sql).await.is_empty(), "`{title}` has no answer");
    }
    // Each answer of the page, with the columns that the source can give, and the same of the source.
    let pairs = "(select p.*, outcome = 'fraud' as bad, score >= 0.5 as declined, l.seen as known from public.p p join public.l l using (id)) as q";
    let known = "known <= timestamptz '2024-05-22T10:00Z'";
    let yesterday = "at >= '2024-05-21Z' and at < '2024-05-22Z'";
    let week = "at >= '2024-05-13Z' and at < '2024-05-20Z'";
    let area = |when: &str| {
        format!(
            "select avg((b.score > g.score)::int + 0.5 * (b.score = g.score)::int) from {pairs_b} join {pairs_g} on b.bad and not g.bad
             where b.at >= '2024-05-12Z' and b.at < '2024-05-13Z' and g.at >= '2024-05-12Z' and g.at < '2024-05-13Z' and b.known <= '{when}' and g.known <= '{when}'",
            pairs_b = pairs.replace("as q", "as b"),
            pairs_g = pairs.replace("as q", "as g")
        )
    };
    for (number, columns, source) in [
        (
            18,
            "cohort, true_positives::int, false_positives::int, false_negatives::int, true_negatives::int",
            format!(
                "select 'country=' || country, count(*) filter (where bad and declined), count(*) filter (where not bad and declined),
                        count(*) filter (where bad and not declined), count(*) filter (where not bad and not declined)
                 from {pairs} where {known} and {yesterday} group by 1 order by 1"
            ),
        ),
        (
            19,
            "round(first_reported::numeric, 2), round(now::numeric, 2), labels_then < labels_now",
            format!("select round(({})::numeric, 2), round(({})::numeric, 2), true", area("2024-05-13T10:00Z"), area("2024-05-22T10:00Z")),
        ),
        (
            20,
            "pairs, round(mean_score::numeric, 6), round(observed_rate::numeric, 6), status",
            format!(
                "select count(*), round(avg(score)::numeric, 6), round(avg(bad::int), 6), 'final'
                 from {pairs} where {week} group by floor(score * 10) order by floor(score * 10)"
            ),
        ),
        (
            21,
            "window_start::date, round(precision::numeric, 6)",
            format!(
                "select date_trunc('week', at, 'UTC')::date, round(avg(bad::int), 6) from {pairs}
                 where declined and at < '2024-05-20Z' group by 1 having avg(bad::int) < 0.8 order by 1 desc"
            ),
        ),
        (
            22,
            "round(positive_rate::numeric, 6), round(week_before::numeric, 6), labeled",
            format!(
                "select round(avg(declined::int) filter (where at >= '2024-05-22T09:00Z' and at < '2024-05-22T10:00Z'), 6),
                        round(avg(declined::int) filter (where at >= '2024-05-15T09:00Z' and at < '2024-05-15T10:00Z'), 6), 0 from {pairs}"
            ),
        ),
        (
            23,
            "round(threshold::numeric, 1), positive_decisions::int, round(precision::numeric, 6), round(recall::numeric, 6)",
            format!(
                "select t / 10.0, count(*), round(avg(bad::int), 6), round(count(*) filter (where bad) / max(all_bad)::numeric, 6)
                 from generate_series(0, 9) t, (select *, count(*) filter (where bad) over () as all_bad from {pairs} where {week}) as q
                 where floor(score * 10) >= t group by t order by t"
            ),
        ),
    ] {
        let (title, sql) = &queries[number - 18];
        let chosen = match number {
            19 => " where window_start = '2024-05-12Z'",
            _ => "",
        };
        let found = world.db.lines(&format!("select {columns} from ({sql}) as answer{chosen}")).await;
        let number_of = |lines: Vec<String>| lines.iter().map(|line| line.replace(".0 |", " |")).collect::<Vec<_>>();
        let expected = world.db.lines(&source.replace("t / 10.0", "round(t / 10.0, 1)")).await;
        assert_eq!(number_of(found), number_of(expected), "`{title}`");
    }
    // Shares of all predictions at the other thresholds of the job.
    let rates = world
        .db
        .lines(
            "select metric, round(value::numeric, 6) from trueup.metric_history where job = 'fraud' and window_name = 'tumbling 1w'
             and cohort = 'all' and model_version is null and metric like 'positive_rate_at_%' and window_end = '2024-05-20Z' order by 1",
        )
        .await;
    let source = format!(
        "select 'positive_rate_at_0_' || t, round(avg((score >= t / 10.0)::int), 6) from public.p, unnest(array[3, 7]) as t where {week} group by t order by t"
    );
    assert_eq!(rates, world.db.lines(&source).await);
}

fn facts(sharded: bool) -> SourceFacts {
    SourceFacts {
        relabeled_by: None,
        predicted: ValueType::Plain,
        actual: ValueType::Plain,
        predictions_unique: true,
        sharded,
        predictions_indexed: true,
        labels_unique: true,
        key_is_integer: true,
        guards: None,
    }
}

/// What a sharded database runs where its rows are, and what it refuses.
#[test]
fn a_sharded_source_is_read_in_the_form_that_its_servers_take() {
    let metrics = "[metrics]\ninclude = [\"mse\", \"p90_abs_error\", \"label_latency_p50\"]\n";
    let job = plan_job(&hourly(&format!("[windows]\nrolling = [\"24h\"]\n[[cohorts]]\nby = [\"region\"]\n{metrics}")));
    let build = |sharded| bucket::from_source(&job, &facts(sharded), Selection::Range).to_string();
    // A `with` of an insert that holds the read is run by itself, and all its rows are moved; so is a second read.
    assert!(!build(true).contains("by_name as (") && build(true).matches("\"public\".\"p\"").count() == 1);
    assert!(build(false).contains("by_name as ("));
    let arrivals = |sharded| residual::upsert(&job, &facts(sharded), Selection::Arrivals).to_string();
    // Keys of arrivals are found by each server for itself, and not sent to all.
    assert!(!arrivals(true).contains("touched") && arrivals(true).contains("union all"));
    assert!(arrivals(false).contains("touched"));
    // Fences and places of rows stand only in what is over tables of ours.
    let read = |sql: &str| sql.split("), wanted as (").next().unwrap_or_default().to_owned();
    assert!(!read(&arrivals(true)).contains("offset 0") && !read(&build(true)).contains("offset 0"));
    assert!(!residual::retiring(&job, &facts(true)).as_str().contains("ctid"));
    assert!(!residual::retire_keys().as_str().contains("public"));
}

/// The form of the statements that a sharded database gets, on one that is not: first build, arrivals, labels that come late
/// and very late, rows that change under the rug, and a backfill.
#[tokio::test(flavor = "multi_thread")]
async fn the_form_for_a_sharded_source_gives_the_same_history() {
    let toml = hourly(
        "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\nlabel_wait = \"12h\"\nhorizon = \"5d\"\n[residuals]\nkeep = \"6h\"\n[[cohorts]]\nby = [\"region\"]\n[metrics]\ninclude = [\"mse\", \"mae\", \"p90_abs_error\"]\n",
    );
    let (plain, sharded) = (World::new(TABLES, &toml).await, World::new(TABLES, &toml).await);
    // As much of the extension as is asked for.
    let extension = "insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) values (99999, 'citus', 10, 2200, false, '0')";
    sharded.db.execute(extension).await;
    sharded
        .db
        .execute("create table public.citus_tables (table_name regclass, citus_table_type text, distribution_column text, colocation_id int); insert into public.citus_tables values ('public.p', 'distributed', 'id', 1), ('public.l', 'distributed', 'id', 1)")
        .await;
    let mut histories = Vec::new();
    for world in [&plain, &sharded] {
        world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 3)).await;
        world.db.execute("update public.l set seen = seen + interval '20 hours' where id % 7 = 0").await;
        for hour in [26, 27, 30, 31, 50, 51] {
            if hour == 51 {
                world.db.execute("update public.p set region = 'new' where id between 100 and 103; update public.l set actual = 90 where id = 150; delete from public.l where id = 151").await;
            }
            world.run_at(at("2024-05-01T00:00:00Z") + TimeDelta::hours(hour)).await;
        }
        // A day after the last time, all of it is compared with the source.
        let last = world.run_at(at("2024-05-04T03:00:00Z")).await;
        assert!(last.done.buckets_repaired > Some(0), "{:?}", last.done);
        let cells = "select c.dimensions::text, c.model_version, c.hash::text from trueup.cell c order by 1, 2";
        let history = "select window_name, window_end, cohort, model_version, revision, status, predictions, labeled, mse, p90_abs_error from trueup.window_revisions order by 1, 2, 3, 4, 5";
        histories.push((world.db.lines(cells).await, world.db.lines(history).await));
    }
    assert!(histories[0].1.len() > 40, "{}", histories[0].1.len());
    assert_eq!(histories[0], histories[1]);
    // `explain` shows what runs.
    let folder = Folder::new("sharded");
    folder.write("jobs/hourly.toml", &toml);
    for (world, is_sharded) in [(&plain, false), (&sharded, true)] {
        let explained = folder.run_on(&world.db.url(), &["explain", "hourly", "--analyze"]).ok().stdout;
        assert_eq!(explained.contains("-- 1b. Keys of residuals"), is_sharded, "{explained}");
    }
    // `check` says where rows of one key are not together.
    let checked = || folder.run_on(&sharded.db.url(), &["check"]).stdout;
    assert!(!checked().contains("colocated") && !checked().contains("not-on-the-key"), "{}", checked());
    for (change, code) in [
        ("update public.citus_tables set colocation_id = 2 where table_name = 'public.l'::regclass", "[not-colocated]"),
        (
            "update public.citus_tables set distribution_column = 'at' where table_name = 'public.p'::regclass",
            "[not-on-the-key]",
        ),
        ("delete from public.citus_tables where table_name = 'public.l'::regclass", "[not-colocated]"),
    ] {
        sharded.db.execute(change).await;
        assert!(checked().contains(code), "{change}: {}", checked());
    }
    // The extension alone shards nothing.
    sharded.db.execute("truncate public.citus_tables").await;
    let explained = folder.run_on(&sharded.db.url(), &["explain", "hourly"]).ok().stdout;
    assert!(explained.contains("-- 1. Labels into the residuals"), "{explained}");
}

/// How Postgres runs what a scheduled run reads, on tables of 60,000 rows whose newest quarter-hour is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_run_finds_its_rows_by_index() {
    let world = World::new(TABLES, &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n")).await;
    let start = chrono::Utc::now() - TimeDelta::hours(15_000);
    world.db.execute(&quarter_hours(&start.format("%Y-%m-%dT%H:00:00Z").to_string(), 15_000)).await;
    let folder = Folder::new("explain");
    folder.write("jobs/hourly.toml", &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n"));
    let explained =
        Run::of(folder.trueup(&["explain", "hourly"]).env("DATABASE_URL", world.db.url()).output().unwrap()).ok();
    let steps: Vec<&str> = explained.stdout.split("\n-- ").filter(|step| step.starts_with("Plan:")).collect();
    assert_eq!(steps.len(), 8, "{}", explained.stdout);
    for (step, plan) in steps.iter().enumerate() {
        let first_build = step == 7;
        let reads_all = plan.contains("Seq Scan on p ") || plan.contains("Seq Scan on l ");
        assert!(first_build || !reads_all, "step {step} reads a whole table:\n{plan}");
    }
    assert!(steps[0].contains("Index Scan using l_") && !steps[0].contains(" on p "), "labels alone:\n{}", steps[0]);
    assert!(steps[1].contains("Index Scan using p_") && steps[1].contains("Index Scan using l_"), "{}", steps[1]);
    assert!(steps[7].contains("Hash"), "the first build joins once, by a hash:\n{}", steps[7]);
}

/// A job that the statistics do not know yet, beside a table full of others: nobody analyses, nobody vacuums.
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_after_a_first_build_is_looked_up_by_key_whatever_the_statistics_say() {
    let world = World::new(TABLES, &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"60d\"\n")).await;
    world.db.execute("alter table trueup.residual set (autovacuum_enabled = off)").await;
    world.db.execute("insert into trueup.residual (plan_id, key, model_version, bucket_start, cell_id, event_at, class, copies, digest, as_of, generation)
        select 900 + n % 10, n::text, '', timestamptz '2024-05-01Z' + n * interval '1 minute', 900 + n % 10, timestamptz '2024-05-01Z' + n * interval '1 minute', 1, 1, 0, '2024-05-01Z', 1
        from generate_series(1, 150000) n; analyze trueup.residual").await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 1_000)).await;
    world.run_at(at("2024-06-11T00:00:00Z")).await;
    world.db.execute("update public.p set seen = '2024-06-11T00:30:00Z' where id > 1000; update public.p set version = 'v2' where id between 3901 and 3910").await;
    let facts = facts(false);
    let plan: i64 = world.db.scalar("select id from trueup.plan").await;
    let binds =
        [Bind::Id(plan), Bind::Time(at("2024-06-11T01:00:00Z")), Bind::Time(at("2024-06-11T00:10:00Z")), Bind::Id(9)];
    let mut pages = Vec::new();
    for _ in 0..2 {
        let mut connection = world.db.connection().await;
        let mut transaction = sqlx::Connection::begin(&mut connection).await.expect("a transaction");
        let rows = session::plan_of(&mut transaction, &residual::retire(&world.job, &facts), &binds, true)
            .await
            .expect("a plan");
        transaction.rollback().await.expect("its end");
        let text: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let read = text.iter().find_map(|line| line.split("shared hit=").nth(1)).expect("buffers");
        pages.push(read.split_whitespace().next().and_then(|n| n.parse::<i64>().ok()).expect("a number"));
        assert!(text[0].contains("rows=10 ") || text.iter().any(|line| line.contains("rows=10 ")), "{text:#?}");
        // The second time the statistics know the plan.
        world.db.execute("analyze trueup.residual").await;
    }
    println!("pages read by a plan that nobody knows, and by one that is known: {pages:?}");
    assert!(pages[0] <= pages[1] * 3, "{pages:?}");
}

/// A runner that was down for a day finds a day of arrivals beside the rows of other jobs, in tables that nobody vacuums or analyses, and
/// catches up within the time that a run has.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_was_down_for_a_day_catches_up_within_its_timeout() {
    let rest =
        "[windows]\nrolling = [\"24h\"]\ntumbling = [\"1h\"]\nlabel_wait = \"3d\"\n[[cohorts]]\nby = [\"region\"]\n";
    let toml = hourly(rest).replace("every = \"1h\"", "every = \"1h\"\ntimeout = \"60s\"");
    let world = World::new(TABLES, &toml).await;
    world.db.execute("alter table trueup.residual set (autovacuum_enabled = off); alter table trueup.bucket set (autovacuum_enabled = off); alter table trueup.cell set (autovacuum_enabled = off)").await;
    world.db.execute("insert into trueup.residual (plan_id, key, model_version, bucket_start, cell_id, event_at, class, copies, digest, as_of, generation)
        select 900 + n % 10, n::text, '', timestamptz '2024-05-01Z' + n * interval '1 second', 900 + n % 10, timestamptz '2024-05-01Z' + n * interval '1 second', 1, 1, 0, '2024-05-01Z', 1
        from generate_series(1, 200000) n").await;
    // A prediction every ten seconds; versions of some change while the runner is down.
    world.db.execute("insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '10 seconds', 1, 'v1', 'r' || n % 20, timestamptz '2024-05-01Z' + n * interval '10 seconds' from generate_series(0, 25919) n;
        insert into public.l select id, id % 3, seen + interval '2 hours' from public.p").await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    world
        .db
        .execute("update public.p set version = 'v2', seen = '2024-05-02T12:00Z' where id % 50 = 0 and id < 8000")
        .await;
    world.run_at(at("2024-05-03T00:00:00Z")).await;
    let counted = "select predictions, labeled from trueup.window_history where window_name = 'rolling 24h' and window_end = '2024-05-03Z' and cohort = 'all' and model_version is null";
    assert_eq!(world.db.lines(counted).await, ["8640 | 7921"]);
    let left = "select count(*) from trueup.residual_history where model_version = 'v2'";
    assert_eq!(world.db.scalar::<i64>(left).await, 160);
}

/// A first build that fills much has the planner look at it before it publishes.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_first_build_is_analysed() {
    let world = World::new(TABLES, &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"60d\"\n")).await;
    world.db.execute("alter table trueup.residual set (autovacuum_enabled = off); alter table trueup.bucket set (autovacuum_enabled = off)").await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 1_400)).await;
    let known = "select count(*) from pg_stats where schemaname = 'trueup' and tablename in ('residual', 'bucket') and attname = 'plan_id'";
    assert_eq!(world.db.scalar::<i64>(known).await, 0);
    world.run_at(at("2024-06-29T00:00:00Z")).await;
    assert_eq!(world.db.scalar::<i64>(known).await, 2);
}

/// A first build fills tables, and the next run may come before the server has looked at them.
#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_look_their_cells_up_by_key_whatever_the_statistics_say() {
    let world = World::new(
        TABLES,
        &hourly("[windows]\nrolling = [\"24h\"]\nbucket = \"15m\"\n[[cohorts]]\nby = [\"region\"]\n"),
    )
    .await;
    world.db.execute("alter table trueup.bucket set (autovacuum_enabled = off)").await;
    // Sixty cells in each quarter-hour of ten days.
    world.db.execute("insert into trueup.bucket (plan_id, grain, bucket_start, cell_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of)
        select 1, 900, timestamptz '2024-05-01Z' + n * interval '15 minutes', cell, 1, 1, 0, 0, 0, array_fill(1::float8, array[9]), 1, '2024-05-11Z'
        from generate_series(0, 959) n, generate_series(1, 60) cell").await;
    let starts: Vec<_> = (0..200).map(|n| at("2024-05-01T00:00:00Z") + TimeDelta::hours(n)).collect();
    let cells: Vec<i64> = (0..200).map(|n| 1 + n % 60).collect();
    let binds = [Bind::Id(1), Bind::Times(&starts), Bind::Number(900), Bind::Number(3_600), Bind::Ids(&cells)];
    let sql = bucket::roll_up(&world.job, bucket::Extent::Cells);
    let mut connection = world.db.connection().await;
    let plan = session::plan_of(&mut connection, &sql, &binds, true).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(!plan.contains("Filter: (bucket_start") && !plan.contains("Seq Scan on bucket"), "{plan}");
    let written: i64 =
        world.db.scalar("select count(*) from trueup.bucket where grain = 3600 and predictions = 4").await;
    assert_eq!(written, 200);
}

/// Long windows are merged from whole months, days and hours, and are as right as short ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_a_year_reads_a_hundred_buckets() {
    let windows = "[windows]\nrolling = [\"24h\", \"365d\"]\nbucket = \"15m\"\nlabel_wait = \"1d\"\n";
    let world = World::new(TABLES, &hourly(windows)).await;
    // A prediction every quarter-hour of 400 days, whose error grows.
    world.db.execute("insert into public.p select n, timestamptz '2023-04-01Z' + n * interval '15 minutes', n / 1000.0, 'v1', 'a', '2023-04-01Z' from generate_series(0, 38399) n;
        insert into public.l select id, 0, seen from public.p; analyze public.p; analyze public.l").await;
    let now = at("2024-05-04T13:45:00Z");
    world.run_at(now).await;
    let oracle = "select w.name, count(*)::bigint, sqrt(avg(p.predicted ^ 2)) from (values ('rolling 24h', interval '24 hours'), ('rolling 365d', interval '8760 hours')) as w (name, long)
        join public.p as p on p.at >= timestamptz '2024-05-04T13:45Z' - w.long and p.at < '2024-05-04T13:45Z' group by 1 order by 1";
    let expected: Vec<(String, i64, f64)> = sqlx::query_as(oracle).fetch_all(&world.db.pool).await.unwrap();
    let history = "select window_name, labeled, rmse from trueup.window_history where window_end = '2024-05-04T13:45Z' and cohort = 'all' and model_version is null order by 1";
    let found: Vec<(String, i64, f64)> = sqlx::query_as(history).fetch_all(&world.db.pool).await.unwrap();
    assert_eq!((expected.len(), found.len()), (2, 2));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((&found.0, found.1), (&expected.0, expected.1));
        assert!((found.2 / expected.2 - 1.0).abs() < 1e-9, "{found:?}, expected {expected:?}");
    }
    let mut connection = world.db.connection().await;
    let mut read = Vec::new();
    for days in [1, 365] {
        let slice = Slice { start: now - TimeDelta::days(days), end: now };
        let parts = rollup::cover(slice, &rollup::grains(&world.job.windows));
        let numbers = vec![0; parts.len()];
        let grains: Vec<i32> = parts.iter().map(|part| part.grain).collect();
        let (starts, ends): (Vec<_>, Vec<_>) = parts.iter().map(|part| (part.start, part.end)).unzip();
        let due = vec![true; parts.len()];
        let binds = [
            Bind::Id(1),
            Bind::Numbers(&numbers),
            Bind::Numbers(&grains),
            Bind::Times(&starts),
            Bind::Times(&ends),
            Bind::Flags(&due),
        ];
        let plan = session::plan_of(&mut connection, &window::merge(&world.job), &binds, true).await.unwrap();
        let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let bucket = lines.iter().position(|line| line.contains(" on bucket ")).expect("a look at buckets");
        let joined =
            lines[..bucket].iter().rfind(|line| line.contains("Nested Loop")).expect("for each part of a window");
        let rows = joined.split(" rows=").nth(1).and_then(|rest| rest.split(' ').next()).expect("how many");
        read.push(rows.parse::<u64>().expect("a count"));
    }
    // Of 35,040 quarter-hours.
    assert!(read[0] > 20 && read[0] < 40 && read[1] > read[0] && read[1] < 130, "of a day and of a year: {read:?}");
}
