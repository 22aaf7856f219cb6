//! The database goes away, in all the ways that it can: no tick is lost, nothing fails for good, nothing is written twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::fleet::{Runner, size, until};
use crate::support::proxy::{Act, Hits, Mode, Place, Welcome};
use crate::support::scene::{self, BUSY};
use crate::support::witness::{Reply, Witness};

/// Promise 3, for a connection that is lost with a word: the next attempt is a few seconds away.
const RESUMES_WITHIN: Duration = Duration::from_secs(10);
/// Promise 3, for one that goes silent: twenty seconds for a statement about our own tables, and the next attempt.
const RESUMES_AFTER_SILENCE: Duration = Duration::from_secs(35);
/// Longer than anything takes, catching up on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(150);

/// Two runners of one job over a database that goes away.
struct Site {
    db: TestDatabase,
    runners: Vec<Runner>,
    _hook: Witness,
}

impl Site {
    async fn started(count: usize) -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene::SCENE).await;
        let hook = Witness::http(|_, _| Reply::Take).await;
        let settings = scene::settings(&format!("http://{}/", hook.address), 4);
        let files = [("jobs/tick.toml", BUSY), ("trueup.toml", settings.as_str())];
        let mut runners: Vec<Runner> = (0..count).map(|_| Runner::new(&db.options, "outage", &files)).collect();
        runners.iter_mut().for_each(Runner::start);
        let site = Self { db, runners, _hook: hook };
        site.resumes("after the start").await;
        site
    }

    /// Waits until something is published, then until nothing is left to catch up. How long the first took.
    async fn resumes(&self, when: &str) -> Duration {
        let what = || {
            let logs: Vec<String> = self.runners.iter().map(Runner::last_words).collect();
            format!("promise 3: the runners publish on time {when}\n{}", logs.join("\n\n"))
        };
        let took = scene::resumed(&self.db, PATIENCE, what).await;
        scene::published_anew(&self.db, PATIENCE, what).await;
        took
    }

    /// The same, and the first may not take longer than promised, with what a run takes on this machine.
    async fn resumes_within(&self, promised: Duration, when: &str) -> Duration {
        let took = self.resumes(when).await;
        let bound = promised + scene::slowest_run(&self.db).await;
        assert!(took <= bound, "promise 3: resumes within {bound:.1?} {when}, not {took:.1?}");
        took
    }

    /// No tick is lost, doubled or failed, and what was published is what plain SQL says.
    async fn check(mut self) {
        for runner in &mut self.runners {
            let ended = runner.terminate(Duration::from_secs(60)).await;
            assert!(ended.is_some_and(|(_, code)| code == Some(0)), "SIGTERM ends a runner cleanly: {ended:?}");
        }
        let wrong = scene::lost_or_doubled(&self.db).await;
        assert!(wrong.is_empty(), "promises 1 and 2: ticks lost, doubled or without an end: {wrong:?}");
        let failed =
            self.db.lines("select scheduled_for, failure from trueup.run where state in ('failed', 'skipped')").await;
        assert!(failed.is_empty(), "promise 2: an outage fails no tick for good: {failed:?}");
        let different = self.db.lines(scene::DIFFERENT).await;
        assert!(different.is_empty(), "promise 5: history equals a recompute: {different:?}");
        let idle: i64 = self.db.scalar("select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'").await;
        assert_eq!(idle, 0, "no session is left in a transaction");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_terminated_again_and_again_lose_no_tick() {
    let site = Site::started(2).await;
    let wanted = size("TRUEUP_FAULT_SESSIONS", 60);
    let mut ended = 0;
    while ended < wanted {
        let sessions: Vec<String> =
            site.runners.iter().flat_map(|runner| runner.proxy.sessions()).map(|pid| pid.to_string()).collect();
        let kill = format!(
            "select count(*) filter (where pg_terminate_backend(pid)) from unnest('{{{}}}'::int[]) pid where random() < 0.5",
            sessions.join(",")
        );
        ended += site.db.scalar::<i64>(&kill).await.unsigned_abs();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = site.resumes_within(RESUMES_WITHIN, "after the last session was terminated").await;
    println!("{ended} sessions terminated, publishing again after {:.1} s", took.as_secs_f64());
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_neither_lost_nor_made_twice() {
    let site = Site::started(1).await;
    let proxy = &site.runners[0].proxy;
    let faults = [
        (Place::Answer, Act::Delay(Duration::from_secs(2))),
        (Place::Answer, Act::Reset),
        (Place::Request, Act::Reset),
        (Place::Answer, Act::Close),
        (Place::Answer, Act::HalfClose),
        (Place::Answer, Act::Swallow),
        (Place::Request, Act::Swallow),
    ];
    for (place, act) in faults {
        for skip in 0..size("TRUEUP_FAULT_TRIALS", 1) {
            let hits = proxy.at(place, "COMMIT", skip, 1, act);
            until(PATIENCE, "the runner commits", async || hits.count() > 0).await;
        }
        let promised = if act == Act::Swallow { RESUMES_AFTER_SILENCE } else { RESUMES_WITHIN };
        let took = site.resumes_within(promised, &format!("after {act:?} at the {place:?} of a COMMIT")).await;
        println!("COMMIT, {place:?}, {act:?}: publishing again after {:.1} s", took.as_secs_f64());
    }
    proxy.heal();
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_go_silent_are_given_up_with_and_without_a_close() {
    let site = Site::started(2).await;
    for loses_fin in [false, true] {
        for _ in 0..size("TRUEUP_FAULT_TRIALS", 1) {
            for runner in &site.runners {
                runner.proxy.lose_fin(loses_fin);
                runner.proxy.all(Mode::Silent);
            }
            let took = site.resumes_within(RESUMES_AFTER_SILENCE, "after all connections went silent").await;
            println!("all silent, close {}: {:.1} s", if loses_fin { "lost" } else { "seen" }, took.as_secs_f64());
        }
    }
    for runner in &site.runners {
        // Sessions whose end the server never saw: none of them may hold a lock or a transaction.
        runner.proxy.heal();
    }
    let stale = "select coalesce(string_agg(query, '; '), '') from pg_stat_activity where datname = current_database()
        and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '5 seconds'";
    let began = Instant::now();
    loop {
        let open: String = site.db.scalar(stale).await;
        if open.is_empty() {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "promise 3: a session that was cut off stays in a transaction after: {open}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_connections_and_says_nothing_delays_only_until_it_speaks() {
    let site = Site::started(1).await;
    let proxy = &site.runners[0].proxy;
    // An attempt to connect that was under way when the server spoke again stays silent: it is given up like a statement.
    for (welcome, promised) in [(Welcome::Silence, RESUMES_AFTER_SILENCE), (Welcome::Refuse, RESUMES_WITHIN)] {
        let before = proxy.accepted();
        proxy.welcome(welcome);
        proxy.all(Mode::Reset);
        until(PATIENCE, "the runner tries to connect", async || proxy.accepted() > before + 2).await;
        proxy.heal();
        let took = site.resumes_within(promised, &format!("after {welcome:?}")).await;
        println!("{welcome:?}: publishing again after {:.1} s", took.as_secs_f64());
    }
    site.check().await;
}

/// A connection through a slow network: everything is late, nothing breaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_loses_nothing() {
    let site = Site::started(2).await;
    for runner in &site.runners {
        runner.proxy.delay(Duration::from_millis(15));
    }
    let until_slot: String = site.db.scalar("select (clock_timestamp() + interval '6 seconds')::text").await;
    let passed =
        format!("select coalesce(max(scheduled_for) > '{until_slot}', false) from trueup.run where state = 'ok'");
    until(Duration::from_secs(60), "promise 2: ticks are published", || site.db.scalar::<bool>(&passed)).await;
    for runner in &site.runners {
        runner.proxy.heal();
    }
    site.resumes("after the network is fast again").await;
    site.check().await;
}

/// How often runners say that they try, while they cannot: an outage must not become a storm.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_met_with_few_attempts() {
    let site = Site::started(1).await;
    let proxy = &site.runners[0].proxy;
    proxy.welcome(Welcome::Refuse);
    proxy.all(Mode::Reset);
    let before = proxy.accepted();
    let began = Instant::now();
    until(Duration::from_secs(30), "time passes", async || began.elapsed() > Duration::from_secs(8)).await;
    let rate = f64::from(u32::try_from(proxy.accepted() - before).expect("small")) / began.elapsed().as_secs_f64();
    println!("{rate:.1} attempts to connect a second");
    proxy.heal();
    site.resumes("after the outage").await;
    assert!(rate <= 20.0, "promise 11: {rate:.1} attempts to connect a second");
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_that_changes_while_the_database_is_silent_is_taken_in_after_it() {
    let site = Site::started(1).await;
    let proxy = &site.runners[0].proxy;
    // The statement that enters changed jobs is the one that goes unanswered.
    let hits = proxy.at(Place::Request, "insert into trueup.job", 0, 1, Act::SilenceAll);
    let second = BUSY.replace("name = \"tick\"", "name = \"second\"");
    site.runners[0].folder.write("jobs/second.toml", &second);
    site.runners[0].signal("HUP");
    until(PATIENCE, "the changed jobs are entered", async || hits.count() > 0).await;
    let published = "select exists (select from trueup.run r join trueup.job j on j.id = r.job_id where j.name = 'second' and r.state = 'ok')";
    let took =
        until(Duration::from_secs(60), "promise 3: the changed job is served", || site.db.scalar::<bool>(published))
            .await;
    println!("served {:.1} s after the silence", took.as_secs_f64());
    site.resumes("after the change").await;
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_runner_within_its_grace_whatever_hangs() {
    // Twenty-five seconds, and what a busy machine needs to end a process.
    const GRACE: Duration = Duration::from_secs(28);
    type Hang = fn(&Runner) -> Option<Arc<Hits>>;
    let hangs: [(&str, Hang); 4] = [
        ("everything", |runner| {
            runner.proxy.all(Mode::Silent);
            None
        }),
        ("everything and each new connection", |runner| {
            runner.proxy.welcome(Welcome::Silence);
            runner.proxy.all(Mode::Silent);
            None
        }),
        ("the end of a run", |runner| {
            Some(runner.proxy.at(Place::Request, "set state = 'ok', finished_at", 0, 9, Act::Silence))
        }),
        ("the entering of jobs", |runner| {
            let hits = runner.proxy.at(Place::Request, "insert into trueup.job", 0, 9, Act::Silence);
            runner.folder.write("jobs/second.toml", &BUSY.replace("name = \"tick\"", "name = \"second\""));
            runner.signal("HUP");
            Some(hits)
        }),
    ];
    let each = hangs.map(|(what, hang)| async move {
        let mut site = Site::started(1).await;
        if let Some(hits) = hang(&site.runners[0]) {
            until(PATIENCE, &format!("{what} hangs"), async || hits.count() > 0).await;
        }
        let ended = site.runners[0].terminate(GRACE).await;
        println!("{what} hangs: {ended:?}");
        (what, ended)
    });
    for (what, ended) in futures::future::join_all(each).await {
        assert!(ended.is_some(), "SIGTERM ends a runner within its grace although {what} hangs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_waits_for_a_database_that_is_not_there_yet() {
    let db = TestDatabase::new().await;
    db.execute(scene::SCENE).await;
    let settings = scene::settings("http://127.0.0.1:9/", 4);
    let mut runner = Runner::new(&db.options, "early", &[("jobs/tick.toml", BUSY), ("trueup.toml", &settings)]);
    runner.proxy.welcome(Welcome::Refuse);
    runner.start();
    until(Duration::from_secs(30), "it tries again", async || runner.proxy.accepted() > 3).await;
    runner.proxy.heal();
    until(Duration::from_secs(30), "promise 3: it serves once the database is there", || {
        db.scalar::<bool>(scene::IS_ON_TIME)
    })
    .await;
}
