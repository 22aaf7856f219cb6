//! Several predictions for one label, as the documentation has it.

use crate::docs::{blocks, commands, page};
use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{World, at, hourly, plan_job};

#[tokio::test(flavor = "multi_thread")]
async fn each_lead_time_has_its_own_error_against_one_label() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("leads");
    let mut done = 0;
    for (kind, body) in blocks(&page("lead-times.md")) {
        match kind.as_str() {
            "sql" => db.execute(&body).await,
            "toml" => _ = folder.write("jobs/wind.toml", &body),
            _ => {
                for (line, arguments) in commands(&body) {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let ran = Run::of(folder.trueup(&arguments).env("DATABASE_URL", db.url()).output().unwrap());
                    assert_eq!(ran.code, Some(0), "`{line}`: {}{}", ran.stdout, ran.stderr);
                    done += 1;
                }
            }
        }
    }
    assert_eq!(done, 3);
    // By hand: every forecast of a lead is off by that lead.
    let by_lead =
        "select cohort, round(rmse::numeric, 6)::text, labeled = predictions as complete from trueup.window_history
                   where window_name = 'rolling 24h' and cohort <> 'all' and labeled > 0 order by rmse";
    let lines = db.lines(by_lead).await;
    let expected = ["lead_hours=1 | 1.000000", "lead_hours=6 | 6.000000", "lead_hours=24 | 24.000000"];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{lines:?}");
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    let same = "select count(distinct predictions)::bigint from trueup.window_history where window_name = 'rolling 24h' and cohort <> 'all'";
    assert_eq!(db.scalar::<i64>(same).await, 1, "each lead has as many predictions as the others");
}

const TABLES: &str = "
    create table public.p (at timestamptz not null, lead int not null, predicted float8, version text, region text, seen timestamptz not null, primary key (at, lead));
    create table public.l (at timestamptz primary key, actual float8, seen timestamptz not null);
    insert into public.p select t, k, extract(hour from t) + k, 'v1', 'a', t - k * interval '1 hour'
        from generate_series(timestamptz '2024-05-01Z', '2024-05-02T23:00Z', '1 hour') t, generate_series(1, 6) k;
    insert into public.l select t, extract(hour from t), t + interval '10 minutes'
        from generate_series(timestamptz '2024-05-01Z', '2024-05-02T23:00Z', '1 hour') t;";

fn by_lead() -> String {
    let job =
        hourly("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"5d\"\n[[cohorts]]\nby = [\"lead\"]\n");
    job.replacen("id = \"id\"", "id = [\"at\", \"lead\"]", 1).replacen("id = \"id\"", "id = \"at\"", 1)
}

/// Of each day and lead: predictions, pairs, and what plain SQL says of both.
const BESIDE_SQL: &str = "
    select w.window_start, w.cohort, w.predictions, w.labeled, round(w.mse::numeric, 9)::text from trueup.window_history w
    where w.cohort <> 'all' and w.model_version is null
    except
    select date_trunc('day', p.at, 'UTC'), 'lead=' || p.lead, count(*), count(l.actual),
           round(avg((p.predicted - l.actual) ^ 2)::numeric, 9)::text
    from public.p left join public.l using (at) group by 1, 2";

#[tokio::test(flavor = "multi_thread")]
async fn a_label_counts_for_every_prediction_that_shares_it() {
    let world = World::new(TABLES, &by_lead()).await;
    world.run_at(at("2024-05-03T00:00:00Z")).await;
    let counted = "select count(*), min(predictions), max(predictions), min(labeled) from trueup.window_history where cohort <> 'all' and model_version is null";
    assert_eq!(world.db.lines(counted).await, ["12 | 24 | 24 | 24"]);
    assert_eq!(world.db.lines(BESIDE_SQL).await, Vec::<String>::new());
    // A label that changes late revises all six of its predictions; one that goes takes them back when history is computed again.
    world.db.execute("update public.l set actual = 100, seen = '2024-05-03T00:30Z' where at = '2024-05-01T12:00Z';
        insert into public.p select at, 7, predicted + 1, version, region, '2024-05-03T00:40Z' from public.p where lead = 6").await;
    world.run_at(at("2024-05-03T01:00:00Z")).await;
    assert_eq!(world.db.lines(BESIDE_SQL).await, Vec::<String>::new());
    let revised = "select count(*) from trueup.window_history where cohort like 'lead=%' and model_version is null and revision > 1 and window_start = '2024-05-01Z'";
    assert_eq!(world.db.scalar::<i64>(revised).await, 6);
    world.db.execute("delete from public.l where at = '2024-05-02T12:00Z'").await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-03T00:00:00Z"), None).await;
    assert_eq!(world.db.lines(BESIDE_SQL).await, Vec::<String>::new());
    assert_eq!(
        world
            .db
            .scalar::<i64>("select count(*) from trueup.window_history where cohort = 'lead=7' and model_version is null and labeled = 23")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_a_key_that_predictions_do_not_begin_with_are_refused_with_what_to_write() {
    let world = World::new(TABLES, &by_lead()).await;
    let folder = Folder::new("leads-order");
    folder.write("jobs/hourly.toml", &by_lead().replacen("[\"at\", \"lead\"]", "[\"lead\", \"at\"]", 1));
    let refused = folder.run_on(&world.db.url(), &["check"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stdout.contains("write id = [\"at\", \"lead\"]"), "{}", refused.stdout);
    folder.write("jobs/hourly.toml", &by_lead());
    folder.run_on(&world.db.url(), &["check"]).ok();
    plan_job(&by_lead());
}

/// A table that is partitioned by time can have no unique index on its key alone: the user vouches for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_vouched_for_is_read_like_one_with_an_index_and_refused_where_it_is_not_unique() {
    let tables = "create table public.p (id bigint not null, at timestamptz not null, predicted float8, version text, region text, seen timestamptz not null) partition by range (at);
        create table public.p_all partition of public.p default;
        create table public.l (id bigint not null, actual float8, seen timestamptz not null); create index on public.p (id); create index on public.l (id);";
    let toml = hourly("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"1000d\"\n");
    let vouched = toml.replace("arrived_at = \"seen\"", "arrived_at = \"seen\"\nunique = true");
    let fill = "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '15 minutes', 1, 'v1', 'a', '2024-05-01Z' from generate_series(0, 191) n;
        insert into public.l select id, 0, at from public.p";
    let history = "select window_end, cohort, model_version, predictions, labeled, mse from trueup.window_history order by 1, 2, 3";
    let mut seen = Vec::new();
    for job in [&toml, &vouched] {
        let world = World::new(tables, job).await;
        world.db.execute(fill).await;
        world.run_at(at("2024-05-02T12:00:00Z")).await;
        world.db.execute("update public.l set actual = 2, seen = '2024-05-02T13:30Z' where id < 50").await;
        world.run_at(at("2024-05-03T14:00:00Z")).await;
        seen.push(world.db.lines(history).await);
        let folder = Folder::new("vouched");
        folder.write("jobs/hourly.toml", job);
        let check = || folder.run_on(&world.db.url(), &["check"]);
        assert_eq!(check().stdout.contains("[no-unique-key]"), job == &toml, "{}", check().stdout);
        assert!(!check().stdout.contains("[not-unique]"));
        world.db.execute("insert into public.p select * from public.p where id < 3; insert into public.l select * from public.l where id < 2").await;
        let refused = check();
        assert_eq!(
            refused.stdout.contains("error[not-unique]: 3 keys occur in several rows"),
            job == &vouched,
            "{}",
            refused.stdout
        );
        assert_eq!(refused.stdout.matches("[not-unique]").count(), if job == &vouched { 2 } else { 0 });
        let ran = folder.run_on(&world.db.url(), &["run", "hourly", "--at", "2024-05-05T00:00:00Z"]);
        assert_eq!(ran.code == Some(0), job == &toml, "{}{}", ran.stdout, ran.stderr);
        assert!(job == &toml || ran.stderr.contains("unique = true"), "{}", ran.stderr);
        let filled =
            folder.run_on(&world.db.url(), &["backfill", "hourly", "--from", "2024-05-01", "--to", "2024-05-03"]);
        assert_eq!(filled.code == Some(0), job == &toml, "{}{}", filled.stdout, filled.stderr);
    }
    // Sent twice between two comparisons: said, and no reason to evaluate an expression row by row.
    let filtered = vouched.replacen("version = \"version\"", "where = \"predicted > 0\"", 1);
    let world = World::new(tables, &filtered).await;
    world.db.execute(fill).await;
    world.run_at(at("2024-05-02T12:00:00Z")).await;
    world.db.execute("insert into public.p select id, at, predicted, version, region, '2024-05-02T12:30Z' from public.p where id = 7; update public.p set seen = '2024-05-02T12:30Z' where id = 7").await;
    let folder = Folder::new("vouched-later");
    folder.write("jobs/hourly.toml", &filtered);
    let ran = folder.run_on(&world.db.url(), &["run", "hourly", "--at", "2024-05-02T13:00:00Z"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("1 keys occur in several rows"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(world.db.lines("select guarded from trueup.plan").await, ["false"]);
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].len() >= 4, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_that_share_a_key_are_named_by_check_and_counted_in_no_cohort_of_one_of_them() {
    let world = World::new(
        &TABLES.replace(", primary key (at, lead)", ""),
        &by_lead().replacen("[\"at\", \"lead\"]", "\"at\"", 1),
    )
    .await;
    let folder = Folder::new("shared-key");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let checked = folder.run_on(&world.db.url(), &["check"]);
    let words = "warning[repeated-key]: 288 of the newest 288 predictions share their key with another";
    assert!(checked.stdout.contains(words), "{}", checked.stdout);
    world.run_at(at("2024-05-03T00:00:00Z")).await;
    let cohorts = "select cohort, predictions, labeled, duplicates from trueup.window_history
        where window_start = '2024-05-01Z' and model_version is null order by 1";
    assert_eq!(world.db.lines(cohorts).await, ["all | 144 | 0 | 144", "lead=(null) | 144 | 0 | 144"]);
}
