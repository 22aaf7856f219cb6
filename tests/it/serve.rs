//! `serve`: several of them share one ledger, and any of them may die at any moment.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use trueup::commands::demo::receivers::LocalReceiver;
use trueup::store::ledger::schedule;

use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::program::{Folder, Process};
use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

/// A one-second job over a slow view, so that kills hit runs in their middle.
const TICK: &str = r#"
[job]
name = "tick"
[schedule]
every = "1s"
catch_up = "all"
overlap = "5s"
[predictions]
table = "public.slow"
id = "id"
at = "at"
value = "predicted"
arrived_at = "seen"
[labels]
table = "public.l"
id = "id"
value = "actual"
arrived_at = "seen"
[windows]
rolling = ["10s"]
label_wait = "30s"
horizon = "30s"
"#;
const SETTINGS: &str = "[scheduler]\nlease = \"2s\"\npoll = \"1s\"\n";
const TICKS: i64 = 200;
/// Ticks that were due before anything was served.
const MISSED: i64 = 160;

/// One prediction a second around now, labels at once, errors that tell the seconds apart.
const SCENE: &str = "
    create table public.p (id bigint primary key, at timestamptz not null, predicted float8, seen timestamptz not null);
    create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
    insert into public.p select extract(epoch from t)::bigint, t, extract(epoch from t)::bigint % 7, t - interval '1 hour'
        from generate_series(date_trunc('second', now()) - interval '400 seconds', now() + interval '400 seconds', interval '1 second') t;
    insert into public.l select id, 0, at from public.p;
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);
    analyze public.p; analyze public.l;
    create function public.slowly() returns int language plpgsql stable as 'begin perform pg_sleep(0.01); return 1; end';
    create view public.slow as select p.* from public.p as p, (select public.slowly()) as s;";

fn serve(folder: &Folder, db: &TestDatabase) -> Process {
    let mut command = folder.trueup(&["serve"]);
    command.env("DATABASE_URL", db.url()).stdout(Stdio::null()).stderr(Stdio::piped());
    Process(command.spawn().expect("a server"))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_killed_at_random_give_every_tick_exactly_one_result() {
    let db = TestDatabase::new().await;
    db.execute(SCENE).await;
    let folder = Folder::new("serve");
    folder.write("jobs/tick.toml", TICK).write("trueup.toml", SETTINGS);
    db.execute(&format!("insert into trueup.job (name, last_scheduled_for) values ('tick', date_trunc('second', now()) - interval '{MISSED} seconds')")).await;
    let first: DateTime<Utc> = db.scalar("select last_scheduled_for from trueup.job").await;

    let mut servers = [serve(&folder, &db), serve(&folder, &db)];
    let seed = u64::try_from(first.timestamp()).expect("after 1970");
    let mut dice = Dice::new(seed);
    println!("seed {seed}");
    let deadline = Instant::now() + Duration::from_secs(240);
    let mut kills = 0;
    loop {
        let done: i64 = db.scalar("select count(*) from trueup.run where state = 'ok'").await;
        if done >= TICKS {
            break;
        }
        assert!(Instant::now() < deadline, "{done} of {TICKS} ticks are done");
        tokio::time::sleep(Duration::from_millis(150 + dice.roll(900))).await;
        let victim = usize::try_from(dice.roll(2)).expect("0 or 1");
        servers[victim].kill();
        servers[victim] = serve(&folder, &db);
        kills += 1;
    }
    for server in &mut servers {
        server.kill();
    }

    let taken_over: i64 = db.scalar("select count(*) from trueup.run where state = 'ok' and attempt > 1").await;
    println!("{kills} kills, {taken_over} runs taken over");
    assert!(taken_over > 0, "no kill hit a run in its middle");
    let last: DateTime<Utc> = db.scalar("select max(scheduled_for) from trueup.run where state = 'ok'").await;
    let ticks = (last - first).num_seconds();
    let results = db.lines(&format!("select count(*), count(distinct scheduled_for) from trueup.run where state = 'ok' and scheduled_for <= '{last}'")).await;
    assert_eq!(results, [format!("{ticks} | {ticks}")], "each tick has one result, and none is missing");
    assert_eq!(db.scalar::<i64>("select count(*) from trueup.run where state in ('failed', 'skipped')").await, 0);
    // Every tick's window is there once, and says what plain SQL over the source says.
    let wrong = db.lines(&format!(
        "select t, m.labeled, m.mse from generate_series(timestamptz '{first}' + interval '1 second', '{last}', interval '1 second') t
         left join trueup.window_history m on m.window_name = 'rolling 10s' and m.window_end = t and m.cohort = 'all'
         cross join lateral (select count(*) as n, avg(predicted * predicted) as mse from public.p where at >= t - interval '10 seconds' and at < t) as o
         where m.labeled is distinct from o.n or abs(m.mse - o.mse) > 1e-9"
    )).await;
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_a_server_cleanly_and_leaves_no_run_behind() {
    let db = TestDatabase::new().await;
    db.execute(SCENE).await;
    let folder = Folder::new("sigterm");
    folder.write("jobs/tick.toml", TICK).write("trueup.toml", SETTINGS);
    let mut server = serve(&folder, &db);
    let stderr = server.0.stderr.take().expect("stderr");
    let mut lines = BufReader::new(stderr).lines();
    let published = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("run published")));
    assert!(published.is_some(), "it runs the job");
    server.signal("TERM");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = server.0.wait().expect("its end");
    assert_eq!(status.code(), Some(0), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("stopping")), "{rest:?}");
    assert_eq!(db.scalar::<i64>("select count(*) from trueup.run where state = 'running'").await, 0);
}

/// Two messages for each of two receivers, of which one takes connections and never says a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_other_and_no_stop() {
    let db = TestDatabase::new().await;
    db.execute(SCENE).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_at = silent.local_addr().expect("an address");
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = silent.accept().await {
            held.push(connection);
        }
    });
    let good = LocalReceiver::http().await.expect("a receiver");
    let receiver = |name: &str, address: std::net::SocketAddr| {
        format!(
            "[receivers.{name}]\ntype = \"webhook\"\nurl = \"http://{address}/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n"
        )
    };
    let folder = Folder::new("hangs");
    let settings = format!("{SETTINGS}{}{}", receiver("silent", silent_at), receiver("good", good.address));
    folder.write("jobs/tick.toml", TICK).write("trueup.toml", &settings);
    let body = serde_json::json!({
        "schema": "trueup/v1", "id": "x", "kind": "firing", "reason": "first", "as_of": "2024-05-01T00:00:00Z",
        "job": { "name": "tick", "description": null, "owner": null, "unit": null },
        "rules": [{ "name": "r", "severity": "page", "metric": "rmse", "window": "rolling 10s", "condition": "above 1",
                    "persistence": 1, "runbook": null, "owner": null, "alerts": [], "query": "" }]
    });
    db.execute(&format!(
        "insert into trueup.job (name) values ('tick');
         insert into trueup.run (job_id, scheduled_for, trigger, state, finished_at) select id, now() - interval '1 day', 'schedule', 'ok', now() from trueup.job;
         insert into trueup.notification (id, job_id, run_id, receiver, topic, kind, body)
         select gen_random_uuid(), r.job_id, r.id, receiver, 'topic ' || n, 'firing', '{body}' from trueup.run r, unnest(array['silent', 'good']) receiver, generate_series(1, 2) n"
    ))
    .await;
    let mut server = serve(&folder, &db);
    let deadline = Instant::now() + Duration::from_secs(10);
    while good.book.all().len() < 2 {
        assert!(Instant::now() < deadline, "the good receiver waits for the silent one");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stopping = Instant::now();
    server.signal("TERM");
    assert_eq!(server.0.wait().expect("its end").code(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(30), "the stop took {:?}", stopping.elapsed());
    assert_eq!(
        db.scalar::<i64>("select count(*) from trueup.notification where receiver = 'silent' and state = 'pending'")
            .await,
        2
    );
    held.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_goes_but_for_the_first_report_and_what_counts_now() {
    let world = World::new(TABLES, &hourly("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"2d\"\n[residuals]\nworst = 1\nkeep = \"2d\"\n[[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 5.0\n[[slos]]\nname = \"near\"\ngood = \"abs(error) <= 1.5\"\nobjective = 0.9\nperiod = \"5d\"\nburn = \"2x\"\n")).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24 * 3)).await;
    // A label of the first day comes twice: three revisions.
    for day in ["2024-05-02T00:00:00Z", "2024-05-02T12:00:00Z", "2024-05-03T06:00:00Z"] {
        world.run_at(at(day)).await;
        let seen = day.replace(":00:00Z", ":30:00Z");
        world.db.execute(&format!("update public.l set actual = actual + 1, seen = '{seen}' where id = 10")).await;
    }
    let counts = "select (select count(*) from trueup.window_revisions where revision = 1), (select count(*) from trueup.window_revisions where revision > 1 and superseded_as_of is not null),
        (select count(*) from trueup.verdict_history), (select count(*) from trueup.worst_samples), (select count(*) from trueup.bucket), (select count(*) from trueup.slo_history)";
    let before = world.db.lines(counts).await;
    assert!(!before[0].contains(" 0"), "there is something of each: {before:?}");
    let folder = Folder::new("retention");
    // Due once a year, so that nothing is measured meanwhile; an objective would want more.
    let yearly = world.job.spec.replace("every = \"1h\"", "cron = \"0 0 1 1 *\"");
    folder
        .write("jobs/hourly.toml", yearly.split("[[slos]]").next().expect("the job"))
        .write("trueup.toml", "[retention]\nwindows = \"10d\"\n");
    let views = "select 'latest', h.window_end, h.cohort, h.revision, h.mse from trueup.window_history h
        union all select 'first', r.window_end, r.cohort, r.revision, r.mse from trueup.window_revisions r where r.first_reported order by 1, 2, 3, 4";
    let shown = world.db.lines(views).await;
    let mut server = serve(&folder, &world.db);
    let first: Vec<&str> = before[0].split(" | ").take(1).collect();
    let expected = format!("{} | 0 | 0 | 0 | 0 | 0", first[0]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while world.db.lines(counts).await != [expected.clone()] {
        assert!(Instant::now() < deadline, "{:?}, expected {expected}", world.db.lines(counts).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.db.lines(views).await, shown, "nobody sees another number");
    // The months to come are there already.
    let ahead: i64 = world.db.scalar("select count(*) from pg_inherits where inhrelid = to_regclass('trueup.measurement_' || to_char(now() at time zone 'UTC' + interval '7 days', 'YYYY_MM'))").await;
    assert_eq!(ahead, 1);
    server.signal("TERM");
    assert_eq!(server.0.wait().expect("its end").code(), Some(0));
}

#[test]
fn without_a_database_it_says_what_to_do() {
    let folder = Folder::new("serve-none");
    folder.write("jobs/tick.toml", TICK);
    let run = folder.run(&["serve"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("DATABASE_URL=postgres://") && run.stderr.contains("trueup run"), "{}", run.stderr);
}

/// A run that publishes its first history holds the row of its job for a minute. A runner that starts meanwhile goes on with
/// the others, comes back to that job, and says that it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_row_is_held_holds_back_no_other_and_is_named() {
    let db = TestDatabase::new().await;
    db.execute(
        "insert into trueup.job (name, next_due_at) values ('held', now() - interval '1 hour'), ('free', now() + interval '1 hour')",
    )
    .await;
    let names = ["held".to_owned(), "free".to_owned()];
    let mut holder = db.connection().await;
    sqlx::raw_sql("begin; select from trueup.job where name = 'held' for no key update")
        .execute(&mut holder)
        .await
        .unwrap();
    let mut runner = db.connection().await;
    let patience = chrono::TimeDelta::seconds(30);
    assert_eq!(schedule::note_served(&mut runner, &names).await.unwrap(), ["free"]);
    assert_eq!(schedule::locked(&mut runner, &names, patience).await.unwrap(), ["held"]);
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    assert!(schedule::locked(&mut runner, &names, patience).await.unwrap().is_empty());
    let mut noted = schedule::note_served(&mut runner, &names).await.unwrap();
    noted.sort();
    assert_eq!(noted, ["free", "held"]);
}
