//! The storm: three runners, each behind a network of its own, and everything that may go wrong, at random and together.
//!
//! `TRUEUP_STORM_SECONDS=900 cargo test --test it storm -- --nocapture` lets it last; `TRUEUP_SEED` repeats the dice of one.

mod faults;
mod source;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use chrono::Utc;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::Instant;

use crate::support::cluster::Cluster;
use crate::support::database::TestDatabase;
use crate::support::dice::Dice;
use crate::support::fleet::{Runner, size, until};
use crate::support::proxy::lock;
use crate::support::scene;
use crate::support::witness::{Heard, Reply, Witness};
use faults::Done;

const JOBS: [(&str, &str); 6] =
    [("one", "all"), ("two", "all"), ("three", "all"), ("four", "all"), ("five", "latest"), ("six", "none")];

fn job(name: &str, catch_up: &str) -> String {
    format!(
        r#"
[job]
name = "{name}"
[schedule]
every = "{}s"
catch_up = "{catch_up}"
overlap = "10s"
timeout = "30s"
reconcile = "1s"
[predictions]
table = "public.p"
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
rolling = ["6s"]
tumbling = ["10s"]
label_wait = "12s"
horizon = "40s"
[[cohorts]]
by = ["region"]
[[alerts]]
name = "large"
metric = "rmse"
window = "rolling 6s"
above = 10.0
notify = ["hook"]
[builtin]
off = ["all"]
"#,
        scene::EVERY_SECONDS
    )
}

/// Everything that the storm rages over.
struct Storm {
    cluster: Cluster,
    db: TestDatabase,
    runners: Vec<Runner>,
    hook: Witness,
}

impl Storm {
    async fn new(seed: u64) -> Self {
        let cluster = Cluster::start().await;
        let mut admin = cluster.server.options("postgres").connect().await.expect("a connection");
        admin.execute("create database storm").await.expect("a database");
        admin.close().await.expect("to close");
        let db = TestDatabase::on(cluster.server.options("storm")).await;
        db.execute(source::TABLES).await;
        let hook = misbehaving_hook(Dice::new(seed ^ 0x400)).await;
        let settings = scene::settings(&format!("http://{}/", hook.address), 6);
        let jobs: Vec<(String, String)> =
            JOBS.iter().map(|(name, catch_up)| (format!("jobs/{name}.toml"), job(name, catch_up))).collect();
        let mut files: Vec<(&str, &str)> = jobs.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.push(("trueup.toml", &settings));
        let runners = (0..3).map(|_| Runner::new(&db.options, "storm", &files)).collect();
        Self { cluster, db, runners, hook }
    }

    /// Lets everything happen at once, and says what did.
    async fn rage(&mut self, lasts: Duration, seed: u64) -> (Done, u64) {
        self.runners.iter_mut().for_each(Runner::start);
        let end = Instant::now() + lasts;
        let options = self.db.options.clone();
        let [one, two, three] = self.runners.as_mut_slice() else { unreachable!("three runners") };
        let (a, b, c, server, written) = tokio::join!(
            faults::trouble_runner(one, end, Dice::new(seed + 1)),
            faults::trouble_runner(two, end, Dice::new(seed + 2)),
            faults::trouble_runner(three, end, Dice::new(seed + 3)),
            faults::trouble_server(&mut self.cluster, &options, end, Dice::new(seed + 4)),
            source::write(&options, end, Dice::new(seed + 5)),
        );
        let mut done = server;
        for (what, count) in [a, b, c].into_iter().flatten() {
            *done.entry(what).or_default() += count;
        }
        (done, written)
    }

    /// Waits until every job is on time, every window final and every message settled. How long the first took.
    async fn calm_down(&mut self) -> Duration {
        let now: String = self.db.scalar("select clock_timestamp()::text").await;
        let on_time = format!(
            "select coalesce(bool_and(last > '{now}'), false) and count(*) = {} from
             (select max(scheduled_for) as last from trueup.run where state = 'ok' group by job_id) as q",
            JOBS.len()
        );
        let patience = Duration::from_secs(240);
        let took =
            until(patience, "promise 3: every job publishes on time again", || self.db.scalar::<bool>(&on_time)).await;
        let settled = format!(
            "select not exists (select from trueup.measured_window where finalized_at is null and window_end <= '{now}')
                and not exists (select from trueup.notification where state = 'pending' and created_at <= '{now}')"
        );
        until(patience, "promises 2 and 8: windows are final and messages settled", async || {
            // As if time had passed: a lease of some seconds is that of a sender that died, and waits for retries are long.
            self.db.execute("update trueup.notification set lease_until = null where lease_until < clock_timestamp() + interval '55 seconds';
                update trueup.notification set next_attempt_at = clock_timestamp() where state = 'pending' and lease_until is null and next_attempt_at > clock_timestamp() + interval '2 seconds';
                update trueup.receiver_health set open_until = null").await;
            self.db.scalar::<bool>(&settled).await
        })
        .await;
        let missing = scene::unreported(&self.db, &now).await;
        assert!(
            missing.is_empty(),
            "promise 8: every firing was delivered, or ended before anything went out: {missing:?}"
        );
        took
    }

    async fn number(&self, sql: &str) -> i64 {
        self.db.scalar(sql).await
    }

    async fn check_ledger(&self) {
        let wrong = scene::lost_or_doubled(&self.db).await;
        assert!(wrong.is_empty(), "promises 1 and 2: ticks lost, doubled or without an end: {wrong:?}");
        let failed = self.db.lines("select failure, count(*) from trueup.run where state = 'failed' group by 1").await;
        // A column that is gone, and a source that is locked for longer than a run may take, are the job's own failures.
        let strange: Vec<_> = failed
            .iter()
            .filter(|line| !line.contains("predicted") && !line.contains("42703") && !line.contains("does not match"))
            .collect();
        println!("failed: {failed:?}");
        assert!(strange.is_empty(), "promise 2: an outage fails no tick for good: {strange:?}");
        let unexplained =
            self.number("select count(*) from trueup.run where state = 'skipped' and coalesce(reason, '') = ''").await;
        assert_eq!(unexplained, 0, "promise 2: a skipped tick has a reason");
        let idle = self.number("select count(*) from pg_stat_activity where datname = 'storm' and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '3 seconds'").await;
        assert_eq!(idle, 0, "no session is left in a transaction");
    }

    async fn check_history(&self) {
        let different = self.db.lines(source::DIFFERENT).await;
        assert!(different.is_empty(), "promise 5: final windows equal plain SQL: {different:#?}");
        // The comparison can fail: a label that changes unseen is a difference.
        self.db
            .execute("update public.l set actual = actual + 1, seen = seen - interval '1 day' where id % 3 = 0")
            .await;
        assert!(!self.db.lines(source::DIFFERENT).await.is_empty(), "what was compared is not empty");
        let twice = self.db.lines("select job, window_name, window_end, cohort from trueup.window_history group by 1, 2, 3, 4 having count(*) > 1").await;
        assert!(twice.is_empty(), "promise 7: no window is stored twice: {twice:?}");
    }

    async fn check_messages(&self) {
        let taken = self.hook.taken();
        let sent = self.db.lines("select id from trueup.notification where state = 'sent'").await;
        let never: Vec<_> = sent.iter().filter(|id| !taken.contains_key(*id)).collect();
        assert!(never.is_empty(), "promise 8: no message counts as sent that was not received: {never:?}");
        let changed: Vec<_> = taken.iter().filter(|(_, bodies)| bodies.iter().any(|body| body != &bodies[0])).collect();
        assert!(changed.is_empty(), "promise 8: a repeat carries the same id and says the same: {changed:?}");
        let known = self.db.lines("select id from trueup.notification").await;
        let strange: Vec<_> = taken.keys().filter(|id| !known.contains(id)).collect();
        assert!(strange.is_empty(), "promise 8: each id is one of the outbox: {strange:?}");
    }

    async fn print(&self, done: &Done, written: u64, back: Duration) {
        let table = done.iter().map(|(what, count)| format!("| {what} | {count} |")).collect::<Vec<_>>().join("\n");
        println!("| done to it | n |\n|---|---|\n{table}\n| writes to the source | {written} |");
        let taken = self.hook.taken();
        let repeats: usize = taken.values().map(|bodies| bodies.len() - 1).sum();
        let found = self.db.lines(
            "select count(*) as ticks, count(*) filter (where state = 'ok') as ok, count(*) filter (where state = 'skipped') as skipped,
                count(*) filter (where state = 'failed') as failed, sum(takeovers) as taken_over,
                (select count(*) from trueup.window_history w join trueup.measured_window m using (job, window_name, window_end)
                    where w.cohort = 'all' and m.finalized_at is not null) as windows,
                (select count(*) from trueup.alert_transition where to_state = 'firing') as firings
             from trueup.run where trigger in ('schedule', 'catch_up')").await;
        println!("| ticks / ok / skipped / failed / taken over / final windows compared / firings | {} |", found[0]);
        println!("| messages received / again | {} / {repeats} |", taken.len());
        println!("| every job on time again after | {:.1} s |", back.as_secs_f64());
    }
}

/// A webhook of which one request in seven goes wrong.
async fn misbehaving_hook(dice: Dice) -> Witness {
    let dice = Arc::new(Mutex::new(dice));
    Witness::http(move |_, heard| {
        if heard == Heard::Answered {
            return Reply::Take;
        }
        match lock(&dice).roll(40) {
            0 => Reply::Status(500),
            1 => Reply::Status(503),
            2 => Reply::Status(429),
            3 => Reply::Close,
            4 => Reply::TakeAndClose,
            5 => Reply::Hang(Duration::from_secs(17)),
            _ => Reply::Take,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_runners_in_a_storm_lose_double_and_miscount_nothing() {
    let seed = size("TRUEUP_SEED", Utc::now().timestamp().unsigned_abs());
    let lasts = Duration::from_secs(size("TRUEUP_STORM_SECONDS", 90));
    println!("{} s, seed {seed}", lasts.as_secs());
    let mut storm = Storm::new(seed).await;
    let (done, written) = storm.rage(lasts, seed).await;
    let back = storm.calm_down().await;
    storm.print(&done, written, back).await;
    for runner in &mut storm.runners {
        let ended = runner.terminate(Duration::from_secs(60)).await;
        assert!(ended.is_some_and(|(_, code)| code == Some(0)), "SIGTERM ends a runner cleanly: {ended:?}");
    }
    storm.check_ledger().await;
    storm.check_history().await;
    storm.check_messages().await;
}
