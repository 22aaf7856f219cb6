//! Three runners are killed at every commit and at every external effect: before the runner knows of it, and right after.
//!
//! The places are found while the runners work: the first time that a place is come to, the process that came to it dies.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::fleet::{Runner, Victim, size, until};
use crate::support::proxy::{Act, Moment, Place, lock};
use crate::support::scene::{self, BUSY};
use crate::support::witness::{Heard, Reply, Witness};

/// The places where a process has died, each as often as wanted.
#[derive(Clone)]
struct Places {
    died: Arc<Mutex<Vec<String>>>,
    times: usize,
    /// From here on nobody dies any more.
    closed: Arc<AtomicBool>,
}

impl Places {
    fn new() -> Self {
        let times = usize::try_from(size("TRUEUP_FAULT_TRIALS", 1)).expect("small");
        Self { died: Arc::default(), times, closed: Arc::default() }
    }

    /// Whether a process is still to die here. It is counted at once.
    fn claims(&self, place: &str) -> bool {
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        let mut died = lock(&self.died);
        let is_new = died.iter().filter(|one| *one == place).count() < self.times;
        if is_new {
            died.push(place.to_owned());
        }
        is_new
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    fn count(&self) -> usize {
        lock(&self.died).len()
    }

    fn distinct(&self) -> BTreeSet<String> {
        lock(&self.died).iter().cloned().collect()
    }
}

/// So many ticks without a death, and there is no place left to die at.
const QUIET_TICKS: i64 = 6;

/// Three runners of one job, whose receivers are seen from inside.
struct Three {
    db: TestDatabase,
    runners: Vec<Runner>,
    hook: Witness,
    mail: Vec<Witness>,
}

impl Three {
    /// `at` is asked at each external effect, with the number of the runner that caused it.
    async fn new(at: impl Fn(usize, &str, Heard) + Send + Sync + Clone + 'static) -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene::SCENE).await;
        let by_path = at.clone();
        let hook = Witness::http(move |path, heard| {
            by_path(path.trim_start_matches('/').parse().expect("the number of a runner"), "webhook", heard);
            Reply::Take
        })
        .await;
        let (mut runners, mut mail) = (Vec::new(), Vec::new());
        for n in 0..3 {
            let at = at.clone();
            let server = Witness::smtp(move |_, heard| {
                at(n, "mail", heard);
                Reply::Take
            })
            .await;
            let settings = format!(
                "{}[receivers.mail]\ntype = \"email\"\nto = [\"a@example.org\"]\nfrom = \"b@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n",
                scene::settings(&format!("http://{}/{n}", hook.address), 4),
                server.address.port()
            );
            let job = BUSY.replace("notify = [\"hook\"]", "notify = [\"hook\", \"mail\"]");
            runners.push(Runner::new(&db.options, "three", &[("jobs/tick.toml", &job), ("trueup.toml", &settings)]));
            mail.push(server);
        }
        Self { db, runners, hook, mail }
    }

    async fn published(&self) -> i64 {
        self.db.scalar("select count(*) from trueup.run where state = 'ok'").await
    }

    /// Starts again whoever has died, until as many places were found as expected and nobody dies any more.
    async fn work_until_nobody_dies(&mut self, places: &Places, expected: usize) {
        let deadline = Instant::now() + Duration::from_secs(60 + 180 * size("TRUEUP_FAULT_TRIALS", 1));
        let (mut deaths, mut since) = (0, 0);
        while self.published().await < since + QUIET_TICKS || places.distinct().len() < expected {
            assert!(Instant::now() < deadline, "promise 3: the runners go on; died at {:#?}", places.distinct());
            if places.count() > deaths {
                deaths = places.count();
                since = self.published().await;
            }
            for runner in &mut self.runners {
                runner.revive();
            }
            // An attempt takes milliseconds here: a lease of some seconds is that of a sender that died.
            self.db.execute("update trueup.notification set lease_until = clock_timestamp() where lease_until < clock_timestamp() + interval '57 seconds'").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the dying, lets the outbox empty, stops, and compares what is left with what was promised.
    async fn check(mut self, places: &Places) {
        places.close();
        for runner in &mut self.runners {
            runner.revive();
        }
        let now: String = self.db.scalar("select clock_timestamp()::text").await;
        // A sender that died keeps its message for a minute.
        until(Duration::from_secs(90), "promise 8: every message is settled", || async {
            self.db.scalar::<bool>("select not exists (select from trueup.notification where state = 'pending')").await
        })
        .await;
        let missing = scene::unreported(&self.db, &now).await;
        assert!(
            missing.is_empty(),
            "promise 8: each firing is delivered, or ended before anything went out: {missing:?}"
        );
        for runner in &mut self.runners {
            runner.kill();
        }
        self.check_ledger().await;
        self.check_messages().await;
    }

    async fn check_ledger(&self) {
        let wrong = scene::lost_or_doubled(&self.db).await;
        assert!(wrong.is_empty(), "promises 1 and 2: ticks lost, doubled or without an end: {wrong:?}");
        let ends = self.db.lines("select state, coalesce(failure, reason, '') , count(*) from trueup.run where state in ('failed', 'skipped') group by 1, 2").await;
        assert!(ends.is_empty(), "promise 2: a kill fails or skips no tick: {ends:?}");
        let different = self.db.lines(scene::DIFFERENT).await;
        assert!(different.is_empty(), "promise 5: history equals a recompute: {different:?}");
        let windows: i64 = self.db.scalar("select count(*) from trueup.window_history where cohort = 'all'").await;
        assert!(windows >= self.published().await, "promise 5: every tick has a window");
        let takeovers: i64 = self.db.scalar("select coalesce(sum(takeovers), 0)::bigint from trueup.run").await;
        println!("{} ticks, {windows} windows compared, {takeovers} runs taken over", self.published().await);
    }

    async fn check_messages(&self) {
        let mut taken = self.hook.taken();
        for server in &self.mail {
            for (id, mut bodies) in server.taken() {
                taken.entry(id).or_default().append(&mut bodies);
            }
        }
        let sent = self.db.lines("select id from trueup.notification where state = 'sent'").await;
        let missing: Vec<_> = sent.iter().filter(|id| !taken.contains_key(*id)).collect();
        assert!(missing.is_empty(), "promise 8: no message counts as sent that nobody received: {missing:?}");
        let known = self.db.lines("select id from trueup.notification").await;
        let strange: Vec<_> = taken.keys().filter(|id| !known.contains(id)).collect();
        assert!(strange.is_empty(), "promise 8: a repeat carries the id of the first: {strange:?}");
        let changed: Vec<_> =
            taken.iter().filter(|(_, bodies)| bodies.iter().any(|body| !same(body, &bodies[0]))).collect();
        assert!(changed.is_empty(), "promise 8: a repeat says the same: {changed:?}");
        let repeats: usize = taken.values().map(|bodies| bodies.len() - 1).sum();
        println!("{} messages received, {repeats} of them again", taken.len());
    }
}

/// Mail carries a date and boundaries that differ; its text is what counts. A webhook is compared whole.
fn same(one: &str, other: &str) -> bool {
    let subject = |text: &str| text.lines().find(|line| line.starts_with("Subject:")).map(str::to_owned);
    if subject(one).is_some() { subject(one) == subject(other) } else { one == other }
}

/// Kills the runner of a proxy at each commit that it has not died at yet.
fn kill_at_commits(runner: &Runner, places: &Places, at: Place) {
    let (victim, places) = (runner.victim(), places.clone());
    runner.proxy.rule(move |moment: &Moment<'_>| {
        let Some(writer) = moment.committed.filter(|_| moment.place == at) else { return Act::Pass };
        if !places.claims(&writer.chars().take(120).collect::<String>()) {
            return Act::Pass;
        }
        victim.kill();
        // The process may live for an instant more: the answer must not reach it.
        Act::Swallow
    });
}

/// At least so many different transactions make a run, its messages and their records.
const COMMITS: usize = 12;

async fn killed_at_every_commit(at: Place) {
    let mut three = Three::new(|_, _, _| {}).await;
    let places = Places::new();
    for runner in &mut three.runners {
        kill_at_commits(runner, &places, at);
        runner.start();
    }
    three.work_until_nobody_dies(&places, COMMITS).await;
    println!("killed at {} commits ({at:?}): {:#?}", places.count(), places.distinct());
    let takeovers = three.db.scalar::<i64>("select coalesce(sum(takeovers), 0)::bigint from trueup.run").await;
    assert!(takeovers > 0, "no kill hit a run in its middle");
    three.check(&places).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_at_a_commit_before_it_knows_of_it_loses_nothing() {
    killed_at_every_commit(Place::Answer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_right_after_a_commit_loses_nothing() {
    killed_at_every_commit(Place::Passed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_at_an_external_effect_repeats_it_with_the_same_id() {
    let places = Places::new();
    let victims: Arc<Mutex<Vec<Victim>>> = Arc::default();
    let (mine, theirs) = (places.clone(), Arc::clone(&victims));
    let mut three = Three::new(move |runner, receiver, heard| {
        if mine.claims(&format!("{receiver} {heard:?}")) {
            lock(&theirs)[runner].kill();
        }
    })
    .await;
    *lock(&victims) = three.runners.iter().map(Runner::victim).collect();
    for runner in &mut three.runners {
        // The record of what was sent: it never reaches the server.
        let (victim, places) = (runner.victim(), places.clone());
        runner.proxy.rule(move |moment| {
            let is_record = moment.statement.starts_with("insert into trueup.delivery_attempt");
            if moment.place == Place::Request && is_record && places.claims("the record of an attempt") {
                victim.kill();
                return Act::Swallow;
            }
            Act::Pass
        });
        runner.start();
    }
    // Received and answered, by webhook and by mail, and the record of one.
    three.work_until_nobody_dies(&places, 5).await;
    println!("killed at {:?}", places.distinct());
    three.check(&places).await;
}
