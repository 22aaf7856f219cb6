//! A runner that stops in the middle of a run, without dying and without a word, keeps the run no longer than its lease.
//!
//! `TRUEUP_FAULT_TRIALS=20 cargo test --test it takeover -- --nocapture` prints the times of twenty freezes.

use std::sync::Arc;
use std::time::Duration;

use trueup::commands::demo::receivers::LocalReceiver;

use crate::support::database::TestDatabase;
use crate::support::fleet::{Runner, size, until};
use crate::support::peers;
use crate::support::proxy::{Act, Hits, Mode, Place};
use crate::support::scene::{self, BUSY, LEASE_SECONDS, POLL_SECONDS};

/// Longer than anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Promise 3, with a second for the program to start in, and what a run takes on this machine just now.
async fn bound(db: &TestDatabase) -> f64 {
    let promised = f64::from(i32::try_from(LEASE_SECONDS + POLL_SECONDS).expect("small"));
    promised + 1.0 + scene::slowest_run(db).await.as_secs_f64()
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

    async fn is_on_time(&self) {
        scene::published_anew(&self.db, PATIENCE, || "promise 3: the runners publish on time".to_owned()).await;
    }

    /// One result per tick, and each is what plain SQL says.
    async fn check(&self) {
        let wrong = scene::lost_or_doubled(&self.db).await;
        assert!(wrong.is_empty(), "promises 1 and 2: ticks lost, doubled or without an end: {wrong:?}");
        let different = self.db.lines(scene::DIFFERENT).await;
        assert!(different.is_empty(), "promise 5: history equals a recompute: {different:?}");
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

    /// Starts the other runner. Seconds by the database clock from now until it has claimed, and published, the run that the
    /// first one holds.
    async fn takeover(&mut self) -> (f64, f64) {
        let (run, since): (i64, f64) = {
            let row = self.db.lines("select id, extract(epoch from clock_timestamp()) from trueup.run where state = 'running' order by scheduled_for limit 1").await;
            let (run, since) = row.first().expect("a run under way").split_once(" | ").expect("two columns");
            (run.parse().expect("an id"), since.parse().expect("a time"))
        };
        self.other.start();
        let ended = format!("select state in ('ok', 'skipped') from trueup.run where id = {run}");
        until(Duration::from_secs(90), "another runner ends the run", || self.db.scalar::<bool>(&ended)).await;
        let claimed: f64 = self
            .db
            .scalar(&format!("select extract(epoch from started_at)::float8 from trueup.run where id = {run}"))
            .await;
        let finished: f64 = self
            .db
            .scalar(&format!("select extract(epoch from finished_at)::float8 from trueup.run where id = {run}"))
            .await;
        (claimed - since, finished - since)
    }
}

/// Where a run can be stopped: before it reads, in each of its three transactions, and between them.
const MOMENTS: [(Place, &str); 5] = [
    (Place::Answer, "set state = 'ok', finished_at"),
    (Place::Answer, "pg_advisory_xact_lock"),
    (Place::Request, "set state = 'ok', finished_at"),
    (Place::Answer, "set_config('statement_timeout', $1"),
    (Place::Answer, "update trueup.job set published_as_of"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_frozen_runner_is_taken_over_within_lease_and_poll() {
    let mut pair = Pair::new().await;
    pair.victim.start();
    let mut times = Vec::new();
    for trial in 0..size("TRUEUP_FAULT_TRIALS", 3) {
        pair.is_on_time().await;
        let (place, fragment) = MOMENTS[usize::try_from(trial).expect("small") % MOMENTS.len()];
        let hits = pair.freeze_at(place, fragment);
        until(PATIENCE, &format!("the victim comes to `{fragment}`"), async || hits.count() > 0).await;
        let (claimed, finished) = pair.takeover().await;
        println!("frozen at `{fragment}`: claimed by another after {claimed:.1} s, published after {finished:.1} s");
        times.push(finished);
        // It goes on where it was, and must not publish what another has published.
        pair.victim.victim().thaw();
        pair.is_on_time().await;
        pair.other.terminate(PATIENCE).await;
    }
    pair.check().await;
    check_times(times, bound(&pair.db).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_connection_was_cut_off_without_a_word_is_taken_over_within_lease_and_poll() {
    let mut pair = Pair::new().await;
    let mut times = Vec::new();
    for _ in 0..size("TRUEUP_FAULT_TRIALS", 2) {
        pair.victim.start();
        pair.is_on_time().await;
        // The machine is gone: its connections are open at the server, and nobody closes them.
        pair.victim.proxy.lose_fin(true);
        let hits = pair.victim.proxy.at(Place::Passed, "set state = 'ok', finished_at", 0, 1, Act::SilenceAll);
        until(PATIENCE, "the victim is about to commit", async || hits.count() > 0).await;
        pair.victim.kill();
        times.push(pair.takeover().await.1);
        pair.victim.proxy.all(Mode::Close);
        pair.victim.proxy.heal();
        pair.is_on_time().await;
        pair.other.terminate(PATIENCE).await;
    }
    pair.check().await;
    check_times(times, bound(&pair.db).await);
}

/// Transactions outside a run: entering what is due, and claiming it. Each holds the row of the job.
const LEDGER: [&str; 2] =
    ["update trueup.job as j set last_scheduled_for", "update trueup.run r set state = 'running'"];

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_freezes_while_it_enters_or_claims_ticks_holds_none_back() {
    let mut pair = Pair::new().await;
    pair.victim.start();
    let mut times = Vec::new();
    for fragment in LEDGER {
        pair.is_on_time().await;
        let hits = pair.freeze_at(Place::Answer, fragment);
        until(PATIENCE, &format!("the victim comes to `{fragment}`"), async || hits.count() > 0).await;
        pair.other.start();
        let took = scene::resumed(&pair.db, PATIENCE, || "promise 3: another runner publishes".to_owned()).await;
        println!("frozen at `{fragment}`: another publishes after {:.1} s", took.as_secs_f64());
        times.push(took.as_secs_f64());
        pair.victim.victim().thaw();
        pair.is_on_time().await;
        pair.other.terminate(PATIENCE).await;
    }
    pair.check().await;
    // A tick may have to become due first.
    check_times(times, bound(&pair.db).await + f64::from(scene::EVERY_SECONDS));
}

fn check_times(mut times: Vec<f64>, bound: f64) {
    times.sort_by(f64::total_cmp);
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{} takeovers: published by another after {median:.1} s (median), {worst:.1} s (worst)", times.len());
    assert!(worst <= bound, "promise 3: resumed within {bound:.1} s, not {times:.1?}");
}

/// Correctness depends on the clock of the database only: one runner lives an hour ahead, or behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_runner_whose_clock_is_wrong_by_an_hour_loses_and_doubles_nothing() {
    let Some(library) = peers::library("faketime/libfaketime.so.1") else { return };
    for offset in ["+3600s", "-3600s"] {
        let mut pair = Pair::new().await;
        let preload = library.display().to_string();
        // Timers count on the monotonic clock, which no wrong setting of the time changes.
        let environment =
            [("LD_PRELOAD", preload.as_str()), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        pair.victim = pair.victim.with(&environment);
        pair.victim.start();
        pair.other.start();
        scene::published_anew(&pair.db, PATIENCE, || "promise 4: both publish on time".to_owned()).await;
        // The one with the wrong clock works alone for a while, and its work is taken over when it dies.
        pair.other.kill();
        scene::published_anew(&pair.db, PATIENCE, || "promise 4: the wrong clock publishes on time".to_owned()).await;
        let delivered = "select exists (select from trueup.delivery_attempt)";
        until(PATIENCE, "promise 8: a message is delivered", || pair.db.scalar::<bool>(delivered)).await;
        let shown: i64 = pair.db.scalar("select abs(extract(epoch from max(d.attempted_at) - clock_timestamp()))::bigint from trueup.delivery_attempt d").await;
        pair.victim.kill();
        pair.other.start();
        scene::published_anew(&pair.db, PATIENCE, || "promise 4: the right clock publishes on time".to_owned()).await;
        pair.other.kill();
        assert!(shown < 300, "promise 4: with a clock that is {offset} off, deliveries are dated {shown} s off");
        pair.check().await;
        let ahead: i64 = pair.db.scalar("select count(*) from trueup.run where scheduled_for > clock_timestamp() or finished_at > clock_timestamp() + interval '1 second'").await;
        assert_eq!(ahead, 0, "promise 4: no time in the ledger is of a runner's clock");
    }
}
