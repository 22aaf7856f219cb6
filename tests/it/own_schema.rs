//! Everything of trueup's is in the schema `trueup`: beside another application, without rights on `public`, in any encoding.

use sqlx::postgres::PgConnectOptions;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, hourly, quarter_hours};

/// An empty database on the shared server. `how` is what stands behind its name in `create database`.
async fn empty(how: &str) -> TestDatabase {
    let mut db = TestDatabase::new().await;
    db.pool.close().await;
    let name = db.name.clone();
    let admin = trueup::postgres::connect::pool(db.options.clone().database("postgres"), 1).await.expect("a pool");
    for sql in [format!("drop database {name} with (force)"), format!("create database {name} {how}")] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&admin).await.expect("a database");
    }
    admin.close().await;
    db.pool = trueup::postgres::connect::pool(db.options.clone(), 4).await.expect("a pool");
    db
}

fn run(folder: &Folder, db: &TestDatabase, arguments: &[&str]) -> Run {
    folder.run_on(&db.url(), arguments)
}

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\n[metrics]\ninclude = [\"mse\", \"rmse\"]\n";

async fn measures(db: &TestDatabase, folder: &Folder, job: &str) {
    folder.write("jobs/hourly.toml", job);
    run(folder, db, &["migrate"]).ok();
    run(folder, db, &["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).ok();
    assert!(run(folder, db, &["doctor"]).stdout.contains("up to date"));
    let labeled: i64 = db.scalar("select sum(labeled)::bigint from trueup.window_history where cohort = 'all'").await;
    assert!(labeled > 0);
}

async fn fill(db: &TestDatabase) {
    db.execute(TABLES).await;
    db.execute(&quarter_hours("2024-05-01T00:00:00Z", 192)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_application_that_migrates_with_the_same_library_is_left_alone() {
    let db = empty("").await;
    fill(&db).await;
    // What the library of the other application has made, with a version of its own.
    db.execute(
        "create table public._sqlx_migrations (version bigint primary key, description text not null, installed_on timestamptz not null default now(),
             success boolean not null, checksum bytea not null, execution_time bigint not null);
         insert into public._sqlx_migrations values (20240101000000, 'users', now(), true, '\\x00', 1)",
    )
    .await;
    let folder = Folder::new("own-beside");
    measures(&db, &folder, &hourly(WINDOWS)).await;
    let theirs = db.lines("select version, description from public._sqlx_migrations").await;
    assert_eq!(theirs, ["20240101000000 | users"]);
    let status = run(&folder, &db, &["status"]).ok();
    assert!(!status.stderr.contains("newer"), "{}", status.stderr);
    // Nothing of ours is anywhere else.
    let outside = "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   where n.nspname not in ('trueup', 'public', 'information_schema') and n.nspname !~ '^pg_'";
    assert_eq!(db.lines(outside).await, Vec::<String>::new());
    let in_public =
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1";
    assert_eq!(db.lines(in_public).await, ["_sqlx_migrations", "l", "p"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_public_schema_will_do() {
    let db = empty("").await;
    fill(&db).await;
    db.execute("alter schema public rename to shop").await;
    measures(&db, &Folder::new("own-no-public"), &hourly(WINDOWS).replace("public.", "shop.")).await;
}

/// An administrator made the schema; the role may create nothing else anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_owns_nothing_but_the_schema_can_migrate_and_run() {
    let db = empty("").await;
    fill(&db).await;
    let role = format!("own_{}", &db.name[5..13]);
    for owns in [true, false] {
        let make = if owns {
            format!("create schema trueup authorization {role}")
        } else {
            format!("create schema trueup; grant create, usage on schema trueup to {role}")
        };
        db.execute(&format!(
            "drop schema if exists trueup cascade; create role {role} login; {make}; revoke all on schema public from public;
             revoke all on database {0} from public; grant connect on database {0} to {role};
             grant usage on schema public to {role}; grant select on public.p, public.l to {role}",
            db.name
        ))
        .await;
        let url = db.url().replace("trueup@", &format!("{role}@"));
        let folder = Folder::new("own-role");
        folder.write("jobs/hourly.toml", &hourly(WINDOWS));
        folder.run_on(&url, &["migrate"]).ok();
        folder.run_on(&url, &["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).ok();
        db.execute(&format!("drop owned by {role} cascade; drop role {role}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_a_record_of_its_migrations_is_left_as_it_is() {
    let db = TestDatabase::new().await;
    db.execute("drop table trueup._sqlx_migrations").await;
    let run = run(&Folder::new("own-unrecorded"), &db, &["migrate"]);
    assert!(run.code != Some(0) && run.stderr.contains("no record of its migrations"), "{}", run.stderr);
    assert!(db.scalar::<bool>("select to_regclass('trueup.job') is not null").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_migrate_at_once_all_succeed() {
    let db = empty("").await;
    let options: Vec<PgConnectOptions> = std::iter::repeat_n(db.options.clone(), 6).collect();
    let all = options.iter().map(trueup::postgres::migrate::run);
    for done in futures::future::join_all(all).await {
        done.expect("a migrated schema");
    }
}

/// Databases of old installations hold one byte a letter, or whatever bytes they were given.
#[tokio::test(flavor = "multi_thread")]
async fn other_encodings_than_utf_8_keep_their_letters() {
    for (encoding, city) in [
        ("LATIN1", "'Zürich'"),
        ("LATIN2", "'Łódź'"),
        ("WIN1251", "'Киев'"),
        ("EUC_JP", "'東京'"),
        ("SQL_ASCII", "'Zürich'"),
    ] {
        let db = empty(&format!("encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'")).await;
        fill(&db).await;
        db.execute(&format!("update public.p set region = {city} where id % 2 = 0")).await;
        let cohorts = "[[cohorts]]\nby = [\"region\"]\n";
        // Every metric has its comment in the views; a unit is shown squared.
        let job = hourly(&format!("{WINDOWS}{cohorts}"));
        let folder = Folder::new("own-encoding");
        measures(&db, &folder, &job).await;
        let cohort = format!("region={}", city.trim_matches('\''));
        let seen: i64 =
            db.scalar(&format!("select count(*) from trueup.window_history where cohort = '{cohort}'")).await;
        assert!(seen > 0, "{encoding}");
        let shown = run(&folder, &db, &["history", "hourly", "--metric", "rmse", "--cohort", &cohort]).ok();
        assert!(shown.stdout.contains(city.trim_matches('\'')), "{encoding}: {}", shown.stdout);
    }
}

/// What the encoding cannot hold is named at its place by `check`, and fails the run with words that say so.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_job_that_the_encoding_cannot_hold_are_named() {
    let db = empty("encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'").await;
    fill(&db).await;
    let folder = Folder::new("own-text");
    let job = hourly(WINDOWS);
    let described = |text: &str| job.replace("[job]\n", &format!("[job]\ndescription = \"{text}\"\n"));
    measures(&db, &folder, &described("Prévision à Zürich")).await;
    folder.write("jobs/hourly.toml", &described("東京 ≥ Zürich"));
    let checked = run(&folder, &db, &["check"]);
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    for words in ["error[text-encoding]", "is LATIN1, which lacks `東`, `京`, `≥`", "jobs/hourly.toml:3:"] {
        assert!(checked.stdout.contains(words), "{words}: {}", checked.stdout);
    }
    let ran = run(&folder, &db, &["run", "hourly", "--at", "2024-05-03T07:00:00Z"]);
    assert!(ran.stderr.contains("the encoding of the database cannot represent a character"), "{}", ran.stderr);
}
