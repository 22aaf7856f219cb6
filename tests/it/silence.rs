//! One connection after another goes silent at the same statement: nobody closes anything, nothing is answered any more.
//!
//! `TRUEUP_FAULT_PLACES=1000 cargo test --test it silence -- --nocapture` tries every statement and prints the table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures::stream::{self, StreamExt};
use trueup::commands::demo::receivers::LocalReceiver;

use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::fleet::{Runner, size, until};
use crate::support::proxy::{Act, Hits, Place, Seen};
use crate::support::scene::{self, BUSY};

/// Two places in the pool, and each of them goes silent: a place that is lost for good is seen.
const PLACES: u64 = 2;
/// Longer than anything may take to recover: a message whose sender is gone is leased for a minute. What has not come back by
/// then never does.
const CAP: Duration = Duration::from_secs(120);

/// Both places of the pool go silent, one after the other: each takes twenty seconds for a statement about our own tables, or the
/// limit of a run, and then ticks wait on a machine that may be busy. Measured over all 163 statements: half of them within 9 s,
/// nine of ten within 21 s, all within 31 s, and 30 s more where a message waits for the lease of its sender.
const RECOVERS_WITHIN: Duration = Duration::from_secs(40);

/// What a runner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// One job that is due once a year.
    Idle,
    /// A job every other second, whose alerts fire and end every few seconds.
    Busy,
}

/// A runner at work, with what it works on.
struct Site {
    runner: Runner,
    db: TestDatabase,
    _hook: LocalReceiver,
}

impl Site {
    async fn new(work: Work) -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene::SCENE).await;
        let hook = LocalReceiver::http().await.expect("a receiver");
        let settings = scene::settings(&format!("http://{}/", hook.address), PLACES);
        // Time to be on time again, not to catch up.
        let busy = BUSY.replace("catch_up = \"all\"", "catch_up = \"latest\"");
        let job = match work {
            Work::Idle => busy.replace("every = \"2s\"", "cron = \"0 0 1 1 *\""),
            Work::Busy => busy,
        };
        let runner = Runner::new(&db.options, "silence", &[("jobs/tick.toml", &job), ("trueup.toml", &settings)]);
        Self { runner, db, _hook: hook }
    }

    /// Whether it does what it is for: it looks at the ledger, and publishes on time.
    async fn is_well(&self, work: Work, since: Instant) -> bool {
        let looked =
            |seen: &Seen| seen.answered_at > since && seen.statement.contains("next_due_at <= clock_timestamp()");
        match work {
            Work::Idle => self.runner.proxy.seen().iter().any(looked),
            Work::Busy => self.db.scalar::<bool>(scene::IS_ON_TIME).await,
        }
    }
}

/// How often each statement is asked for, at the start and then within some seconds.
async fn statements(work: Work, watched: Duration) -> BTreeMap<String, (u64, u64)> {
    let mut site = Site::new(work).await;
    site.runner.proxy.record();
    let started = Instant::now();
    site.runner.start();
    until(Duration::from_secs(120), "the runner works", || site.is_well(work, started)).await;
    let warm = Instant::now() + Duration::from_secs(2);
    until(watched * 2, "time to watch", async || warm.elapsed() > watched).await;
    let mut counts = BTreeMap::new();
    for seen in site.runner.proxy.seen() {
        let count: &mut (u64, u64) = counts.entry(without_ids(&seen.statement)).or_default();
        if seen.answered_at < warm { count.0 += 1 } else { count.1 += 1 }
    }
    counts.retain(|statement, _| !statement.starts_with("prepare: "));
    counts
}

/// What came of a silence.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// Seconds from the last silence until the runner is well and the statement is answered again.
    Recovered(f64),
    Never,
    /// The runner did not come to the statement: it depends on chance.
    NotReached,
}

async fn recovery(work: Work, statement: &str, recurs: bool) -> Outcome {
    let mut site = Site::new(work).await;
    site.runner.proxy.record();
    let started = Instant::now();
    if recurs {
        site.runner.start();
        until(Duration::from_secs(120), "the runner works", || site.is_well(work, started)).await;
    }
    let hits = silence(&site.runner, statement, if recurs { PLACES } else { 1 });
    if !recurs {
        site.runner.start();
    }
    let began = Instant::now();
    while hits.count() == 0 {
        if began.elapsed() > CAP {
            return Outcome::NotReached;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let deadline = Instant::now() + CAP * 2;
    while Instant::now() < deadline {
        let last = hits.last().expect("a hit");
        if last.elapsed() > CAP {
            break;
        }
        let answered = |seen: &Seen| seen.answered_at > last && without_ids(&seen.statement) == statement;
        let is_answered = !recurs || site.runner.proxy.seen().iter().any(answered);
        if is_answered && hits.count() >= if recurs { PLACES } else { 1 } && site.is_well(work, last).await {
            return Outcome::Recovered(last.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Outcome::Never
}

fn silence(runner: &Runner, statement: &str, times: u64) -> Arc<Hits> {
    let hits = Arc::new(Hits::default());
    let (mine, wanted, mut left) = (Arc::clone(&hits), statement.to_owned(), times);
    runner.proxy.rule(move |moment| {
        if moment.place != Place::Request || left == 0 || without_ids(moment.statement) != wanted {
            return Act::Pass;
        }
        left -= 1;
        mine.hit();
        Act::Silence
    });
    hits
}

/// The driver asks for types and tables by their numbers, which differ from one database to the next.
fn without_ids(statement: &str) -> String {
    let words = statement.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    let is_id = |word: &str| word.len() > 4 && word.bytes().take(4).all(|byte| byte.is_ascii_digit());
    words.map(|word| if is_id(word) { "#," } else { word }).collect()
}

/// Tries statements, several at a time, and prints what was found. Those that did not recover in time.
async fn table(work: Work, most: usize) -> Vec<String> {
    let seed = size("TRUEUP_SEED", Utc::now().timestamp_micros().unsigned_abs());
    let mut dice = Dice::new(seed);
    let found = statements(work, Duration::from_secs(if work == Work::Busy { 20 } else { 15 })).await;
    let mut places: Vec<(String, bool)> = found.into_iter().map(|(sql, (_, later))| (sql, later > 1)).collect();
    while places.len() > most {
        places.swap_remove(dice.index(places.len()));
    }
    println!("{work:?}: {} statements, seed {seed}", places.len());
    let results: Vec<(String, bool, Outcome)> = stream::iter(places)
        .map(|(sql, recurs)| async move {
            let outcome = recovery(work, &sql, recurs).await;
            (sql, recurs, outcome)
        })
        .buffer_unordered(3)
        .collect()
        .await;
    let mut late = Vec::new();
    for (sql, recurs, outcome) in results {
        let shown = match outcome {
            Outcome::Recovered(seconds) => format!("{seconds:.1}"),
            Outcome::Never => "never".to_owned(),
            Outcome::NotReached => "not reached".to_owned(),
        };
        let line = format!("| {} | {} | {shown} |", if recurs { "loop" } else { "start" }, short(&sql));
        println!("{line}");
        if matches!(outcome, Outcome::Recovered(seconds) if seconds > bound(&sql).as_secs_f64())
            || outcome == Outcome::Never
        {
            late.push(line);
        }
    }
    late
}

/// A message whose sender went silent is sent again once its lease of a minute has run out.
fn bound(sql: &str) -> Duration {
    let is_delivery =
        ["delivery_attempt", "receiver_health", "update trueup.notification"].iter().any(|part| sql.contains(part));
    if is_delivery { RECOVERS_WITHIN + Duration::from_secs(60) } else { RECOVERS_WITHIN }
}

fn short(sql: &str) -> String {
    sql.chars().take(110).collect::<String>().replace('|', "/")
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_at_any_statement_of_an_idle_or_busy_runner_passes() {
    let most = usize::try_from(size("TRUEUP_FAULT_PLACES", 3)).expect("small");
    // Those of an idle runner are a part of what a busy one asks, with less to wake it up.
    let (idle, busy) = tokio::join!(table(Work::Idle, most), table(Work::Busy, most));
    let late = [idle, busy].concat();
    assert!(late.is_empty(), "promise 3: silence at a statement stops nothing for longer:\n{}", late.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_runner_asks_at_most_five_statements_a_second() {
    let mut site = Site::new(Work::Idle).await;
    site.runner.proxy.record();
    let started = Instant::now();
    site.runner.start();
    until(Duration::from_secs(120), "the runner works", || site.is_well(Work::Idle, started)).await;
    let warm = Instant::now() + Duration::from_secs(3);
    let watched = Duration::from_secs(size("TRUEUP_FAULT_SECONDS", 12));
    until(watched * 2, "time to watch", async || warm.elapsed() > watched).await;
    let seen: Vec<_> = site.runner.proxy.seen().into_iter().filter(|seen| seen.answered_at > warm).collect();
    let seconds = warm.elapsed().as_secs_f64();
    let count = |of: &dyn Fn(&str) -> bool| {
        f64::from(u32::try_from(seen.iter().filter(|seen| of(&seen.statement)).count()).expect("small")) / seconds
    };
    // A ping of an idle connection asks for nothing.
    let (asked, pings) = (count(&|sql| sql != "ping"), count(&|sql| sql == "ping"));
    let parts: usize =
        seen.iter().filter(|seen| seen.statement != "ping").map(|seen| seen.statement.split(';').count()).sum();
    let parts = f64::from(u32::try_from(parts).expect("small")) / seconds;
    println!("an idle runner asks {asked:.1} times a second, with {parts:.1} statements, and pings {pings:.1} times");
    assert!(asked <= 5.0, "promise 11: an idle runner asks {asked:.1} times a second");
}

/// The kernel's list of connections names the timer that runs for each: 2 is that of keepalives.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn keepalives_watch_every_connection_to_the_server() {
    let mut site = Site::new(Work::Idle).await;
    site.runner.proxy.record();
    let started = Instant::now();
    site.runner.start();
    until(Duration::from_secs(120), "the runner works", || site.is_well(Work::Idle, started)).await;
    let port = site.runner.proxy.port();
    let timers = || -> Vec<String> {
        let listed = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's list");
        let lines = listed.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let established = lines.filter(|fields| fields[2].ends_with(&format!(":{port:04X}")) && fields[3] == "01");
        established.map(|fields| fields[5].split(':').next().unwrap_or_default().to_owned()).collect()
    };
    // While data are under way another timer stands in its place.
    until(Duration::from_secs(30), "every connection has the timer of keepalives", || async {
        let timers = timers();
        !timers.is_empty() && timers.iter().all(|timer| timer == "02")
    })
    .await;
}

/// All connections go silent within a moment, as when a network is cut: most are being given back, or idle.
#[tokio::test(flavor = "multi_thread")]
async fn silence_while_connections_are_given_back_takes_no_place_in_the_pool() {
    let mut site = Site::new(Work::Busy).await;
    site.runner.start();
    until(Duration::from_secs(120), "the runner works", || site.is_well(Work::Busy, Instant::now())).await;
    for round in 0..size("TRUEUP_FAULT_TRIALS", 2) {
        // A session that a run has changed is reset when it is given back.
        let hits = site.runner.proxy.at(Place::Request, "pg_advisory_unlock_all", 0, PLACES, Act::Silence);
        until(CAP, "every place of the pool is given back", async || hits.count() == PLACES).await;
        let took =
            scene::published_anew(&site.db, CAP, || "promise 3: the runner publishes on time again".to_owned()).await;
        println!("round {round}: on time again after {:.1} s", took.as_secs_f64());
    }
}
