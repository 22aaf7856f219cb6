//! PgBouncer between trueup and its database: sessions of its own work, sessions that are shared are refused at once.

use std::time::{Duration, Instant};

use sqlx::ConnectOptions as _;

use crate::support::bouncer::Bouncer;
use crate::support::database::TestDatabase;
use crate::support::fleet::until_or;
use crate::support::program::{Folder, Process, Run};
use crate::support::world::{TABLES, hourly};

const ROWS: &str = "
    insert into public.p select n, date_trunc('hour', now()) - n * interval '10 min', n % 7, 'a', 'x', now() - interval '3 h'
    from generate_series(7, 300) as n;
    insert into public.l select id, id % 5, now() - interval '2 h' from public.p";

async fn scene(rest: &str) -> (TestDatabase, Folder) {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    db.execute(ROWS).await;
    let folder = Folder::new("pooler");
    folder.write("jobs/hourly.toml", &hourly(rest));
    (db, folder)
}

/// Runs a command through a pooler. None of them may take long.
fn through(bouncer: &Bouncer, folder: &Folder, arguments: &[&str]) -> Run {
    let start = Instant::now();
    let run = Run::of(folder.trueup(arguments).env("DATABASE_URL", bouncer.url()).output().unwrap());
    assert!(start.elapsed() < Duration::from_secs(30), "{arguments:?} took {:?}", start.elapsed());
    run
}

const WINDOWS: &str = "[windows]\ntumbling = [\"1h\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_through_a_pooler_that_lends_sessions() {
    let (db, folder) = scene(WINDOWS).await;
    db.execute("drop schema trueup cascade; drop table if exists public._sqlx_migrations").await;
    let Some(bouncer) = Bouncer::start(&db.options, "pool_mode = session") else { return };
    for arguments in [
        &["migrate"][..],
        &["migrate"],
        &["check"],
        &["run", "hourly"],
        &["run", "hourly"],
        &["backfill", "hourly", "--from", "2026-01-01", "--to", "2026-01-03"],
        &["reconcile", "hourly"],
        &["status"],
        &["history", "hourly"],
        &["doctor"],
    ] {
        let run = through(&bouncer, &folder, arguments);
        assert!(run.code == Some(0) || arguments == ["doctor"], "{arguments:?}: {}{}", run.stdout, run.stderr);
        assert!(!run.stderr.contains("startup parameter"), "{}", run.stderr);
    }
    let windows: i64 = db.scalar("select count(*) from trueup.window_history where labeled > 0").await;
    assert!(windows > 40, "{windows} windows");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_works_through_a_pooler_that_lends_sessions() {
    let (db, folder) = scene(WINDOWS).await;
    let Some(bouncer) = Bouncer::start(&db.options, "pool_mode = session") else { return };
    folder.write("jobs/hourly.toml", &hourly(WINDOWS).replace("every = \"1h\"", "every = \"2s\""));
    let mut command = folder.trueup(&["serve"]);
    let to = std::fs::File::create(folder.0.join("log")).unwrap();
    let serve = Process(command.env("DATABASE_URL", bouncer.url()).stderr(to).spawn().unwrap());
    let log = || std::fs::read_to_string(folder.0.join("log")).unwrap();
    let what = || format!("five runs through the pooler: {}", log());
    until_or(Duration::from_secs(30), what, async || {
        db.scalar::<i64>("select count(*) from trueup.run where state = 'ok'").await >= 5
    })
    .await;
    drop(serve);
    let log = log();
    assert!(!log.contains("ERROR") && !log.contains("prepared statement"), "{log}");
    let failed: i64 = db.scalar("select count(*) from trueup.run where state = 'failed'").await;
    assert_eq!(failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_refused_by_every_command_at_once() {
    let (db, folder) = scene(WINDOWS).await;
    for mode in ["transaction", "statement"] {
        for settings in ["", "server_round_robin = 1", "ignore_startup_parameters = extra_float_digits,options"] {
            let Some(bouncer) = Bouncer::start(&db.options, &format!("pool_mode = {mode}\n{settings}")) else { return };
            for arguments in [
                &["migrate"][..],
                &["check"],
                &["run", "hourly"],
                &["backfill", "hourly", "--from", "2026-01-01", "--to", "2026-01-03"],
                &["serve"],
                &["status"],
                &["doctor"],
            ] {
                let run = through(&bouncer, &folder, arguments);
                assert_eq!(run.code, Some(1), "{mode} {arguments:?}: {}{}", run.stdout, run.stderr);
                let said = format!("{}{}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(said.contains("pool_mode = session"), "{mode} {arguments:?}: {said}");
                assert!(!said.contains("prepared statement"), "{said}");
            }
        }
    }
    let runs: i64 = db.scalar("select count(*) from trueup.run").await;
    assert_eq!(runs, 0, "nothing was begun");
}

/// Other clients of the same pooler take sessions between our questions.
#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_sessions_is_recognised_while_others_use_it() {
    let (db, _folder) = scene(WINDOWS).await;
    let Some(bouncer) = Bouncer::start(&db.options, "pool_mode = transaction") else { return };
    let others: Vec<_> = (0..6).map(|_| tokio::spawn(busy(bouncer.url()))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let options = trueup::postgres::address::options(&bouncer.url()).unwrap();
    let mut missed = 0;
    for _ in 0..50 {
        missed += u32::from(trueup::postgres::pooler::connect(&options).await.is_ok());
    }
    others.iter().for_each(tokio::task::JoinHandle::abort);
    println!("{missed} of 50 connections were not recognised");
    assert_eq!(missed, 0);
    // The server itself is never mistaken for one.
    for _ in 0..50 {
        trueup::postgres::pooler::connect(&db.options).await.unwrap();
    }
}

async fn busy(url: String) {
    let options = trueup::postgres::address::options(&url).unwrap();
    let mut connection = options.connect().await.unwrap();
    loop {
        sqlx::raw_sql("select count(*) from generate_series(1, 2000)").execute(&mut connection).await.unwrap();
    }
}
