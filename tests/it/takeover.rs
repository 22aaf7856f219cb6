//! A runner that stops in the middle of a run, without dying and without a word, keeps the run no longer than its lease.
//!
//! `TRUEUP_FAULT_TRIALS=20 cargo test --test it takeover -- --nocapture` prints the times of twenty freezes.

use std::sync::Arc;
use std::time::Duration;

use trueup::commands::demo::receivers::LocalReceiver;

use crate::support::database::TestDatabase;
use crate::support::fleet::{Runner, size, until};
use crate::support::proxy::{Act, Hits, Mode, Place};
use crate::support::scene::{self, BUSY, LEASE_SECONDS, POLL_SECONDS};

/// Promise 3, and the second that its test may take to see it.
fn bound() -> f64 {
    f64::from(i32::try_from(LEASE_SECONDS + POLL_SECONDS + 1).expect("small"))
}

/// Two runners of one job, of which the first can be made to stop.
struct Pair {
    db: TestDatabase,
    victim: Runner,
    other: Runner,
    _hook: LocalReceiver,
}

impl Pair {
    async fn new() -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene::SCENE).await;
        let hook = LocalReceiver::http().await.expect("a receiver");
        let settings = scene::settings(&format!("http://{}/", hook.address), 4);
        let files = [("jobs/tick.toml", BUSY), ("trueup.toml", settings.as_str())];
        let victim = Runner::new(&db.options, "victim", &files);
        let other = Runner::new(&db.options, "other", &files);
        Self { db, victim, other, _hook: hook }
    }

    async fn is_on_time(&self) -> bool {
        self.db.scalar::<bool>(scene::IS_ON_TIME).await
    }

    /// Stops the first runner when it comes to a statement of a run of its own.
    fn freeze_at(&self, place: Place, fragment: &'static str) -> Arc<Hits> {
        let hits = Arc::new(Hits::default());
        let (mine, process) = (Arc::clone(&hits), self.victim.victim());
        self.victim.proxy.rule(move |moment| {
            if moment.place == place && moment.statement.contains(fragment) && mine.count() == 0 {
                process.freeze();
                mine.hit();
            }
            Act::Pass
        });
        hits
    }

    /// Seconds by the database clock from now until another runner has claimed the run that is running now.
    async fn takeover(&self) -> (f64, f64) {
        let (run, since): (i64, f64) = {
            let row = self.db.lines("select id, extract(epoch from clock_timestamp()) from trueup.run where state = 'running' order by scheduled_for limit 1").await;
            let (run, since) = row.first().expect("a run under way").split_once(" | ").expect("two columns");
            (run.parse().expect("an id"), since.parse().expect("a time"))
        };
        let ended = format!("select state in ('ok', 'skipped') from trueup.run where id = {run}");
        until(Duration::from_secs(90), "another runner ends the run", || self.db.scalar::<bool>(&ended)).await;
        let claimed: f64 =
            self.db.scalar(&format!("select extract(epoch from started_at)::float8 from trueup.run where id = {run}")).await;
        let finished: f64 =
            self.db.scalar(&format!("select extract(epoch from finished_at)::float8 from trueup.run where id = {run}")).await;
        (claimed - since, finished - since)
    }
}

/// Where a run can be stopped: before it reads, in each of its three transactions, and between them.
const MOMENTS: [(Place, &str); 5] = [
    (Place::Passed, "set state = 'ok', finished_at"),
    (Place::Passed, "pg_advisory_xact_lock"),
    (Place::Request, "set state = 'ok', finished_at"),
    (Place::Passed, "select set_config('statement_timeout'"),
    (Place::Passed, "update trueup.job set published_as_of"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_frozen_runner_is_taken_over_within_lease_and_poll() {
    let mut pair = Pair::new().await;
    pair.other.start();
    let trials = size("TRUEUP_FAULT_TRIALS", 3);
    let mut times = Vec::new();
    for trial in 0..trials {
        let (place, fragment) = MOMENTS[usize::try_from(trial).expect("small") % MOMENTS.len()];
        let hits = pair.freeze_at(place, fragment);
        pair.victim.start();
        until(Duration::from_secs(60), &format!("the victim comes to `{fragment}`"), async || hits.count() > 0).await;
        let (claimed, finished) = pair.takeover().await;
        println!("frozen at `{fragment}`: claimed by another after {claimed:.1} s, published after {finished:.1} s");
        times.push(claimed);
        pair.victim.signal("CONT");
        until(Duration::from_secs(30), "the runners publish on time", || pair.is_on_time()).await;
        pair.victim.kill();
    }
    let lost = pair.db.lines(scene::LOST_OR_DOUBLED).await;
    let late: Vec<_> = times.iter().filter(|seconds| **seconds > bound()).collect();
    assert!(late.is_empty(), "promise 3: taken over within {} s, not {late:?}", bound());
    assert!(lost.iter().all(|line| !line.contains("| 0") && !line.contains("| 2")), "promise 1: one result per tick: {lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_connection_was_cut_off_without_a_word_is_taken_over_within_lease_and_poll() {
    let mut pair = Pair::new().await;
    pair.other.start();
    pair.victim.start();
    let mut times = Vec::new();
    for _ in 0..size("TRUEUP_FAULT_TRIALS", 2) {
        // The machine is gone: its connections are open at the server, and nobody closes them.
        pair.victim.proxy.lose_fin(true);
        let hits = pair.victim.proxy.at(Place::Passed, "set state = 'ok', finished_at", 0, 1, Act::SilenceAll);
        until(Duration::from_secs(60), "the victim is about to commit", async || hits.count() > 0).await;
        pair.victim.kill();
        times.push(pair.takeover().await.0);
        pair.victim.proxy.all(Mode::Close);
        pair.victim.proxy.heal();
        pair.victim.start();
        until(Duration::from_secs(30), "the runners publish on time", || pair.is_on_time()).await;
    }
    println!("claimed by another after {times:.1?} s");
    let late: Vec<_> = times.iter().filter(|seconds| **seconds > bound()).collect();
    assert!(late.is_empty(), "promise 3: taken over within {} s, not {late:?}", bound());
}
