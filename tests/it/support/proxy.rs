//! A TCP proxy in front of the test's Postgres that breaks connections at a chosen statement, as networks do.
//!
//! It runs on a thread and a runtime of its own: a test that waits does not stall it, and it stalls no test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::{oneshot, watch};

use super::link;

/// When a rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A request has come and was not forwarded yet.
    Request,
    /// Its answer has come and was not passed on yet.
    Answer,
    /// Its answer was passed on.
    Passed,
}

/// What a rule decides about.
pub struct Moment<'a> {
    pub place: Place,
    /// The statement, in one line.
    pub statement: &'a str,
    /// The statement that wrote last, where an answer says that its transaction committed.
    pub committed: Option<&'a str>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Pass,
    Delay(Duration),
    /// This message never arrives; the connection stays as it is.
    Swallow,
    /// Nothing of this connection arrives any more, either way, and nobody closes it.
    Silence,
    /// The same for all connections that are open now.
    SilenceAll,
    Reset,
    /// Both ends are closed in order.
    Close,
    /// The client sees the end; the server does not.
    HalfClose,
}

/// How one connection is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Open,
    Silent,
    Reset,
    Close,
    HalfClosed,
}

/// What happens to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Welcome {
    #[default]
    Serve,
    Refuse,
    /// It is taken, and never answered.
    Silence,
}

type Rule = Box<dyn FnMut(&Moment<'_>) -> Act + Send>;

/// A statement that passed, and when its answer did.
#[derive(Debug, Clone)]
pub struct Seen {
    pub statement: String,
    pub answered_at: Instant,
}

#[derive(Default)]
pub(super) struct Shared {
    rule: Mutex<Option<Rule>>,
    pub(super) modes: Mutex<BTreeMap<u64, watch::Sender<Mode>>>,
    pub(super) sessions: Mutex<BTreeMap<u64, i32>>,
    pub(super) welcome: Mutex<Welcome>,
    pub(super) loses_fin: AtomicBool,
    delay_ms: AtomicU64,
    recording: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    pub(super) accepted: AtomicU64,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Asks the rule, and counts what is seen.
    pub(super) fn decide(&self, moment: &Moment<'_>) -> Act {
        if moment.place == Place::Passed && self.recording.load(Ordering::Relaxed) {
            let statement = moment.statement.to_owned();
            lock(&self.seen).push(Seen { statement, answered_at: Instant::now() });
        }
        let act = lock(&self.rule).as_mut().map_or(Act::Pass, |rule| rule(moment));
        if act == Act::SilenceAll {
            self.set_all(Mode::Silent);
        }
        act
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))
    }

    fn set_all(&self, mode: Mode) {
        for sender in lock(&self.modes).values() {
            sender.send_replace(mode);
        }
    }
}

/// A proxy in front of one server. Its connections end with it.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    database: String,
    user: String,
    _end: oneshot::Sender<()>,
}

impl Proxy {
    /// Listens on a port of its own, in front of the server that these options name.
    pub fn start(options: &PgConnectOptions) -> Self {
        let socket = options.get_socket().expect("a server with a socket");
        let upstream: PathBuf = socket.join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let (end, ended) = oneshot::channel();
        let mine = Arc::clone(&shared);
        std::thread::spawn(move || link::run(listener, upstream, mine, ended));
        let database = options.get_database().unwrap_or("postgres").to_owned();
        Self { shared, port, database, user: options.get_username().to_owned(), _end: end }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that a runner is given.
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}?sslmode=disable", self.user, self.port, self.database)
    }

    /// Asks a rule about each request and each answer, in place of the rule before.
    pub fn rule(&self, rule: impl FnMut(&Moment<'_>) -> Act + Send + 'static) {
        *lock(&self.shared.rule) = Some(Box::new(rule));
    }

    /// Acts at the n-th to the last of `times` moments whose statement contains a fragment.
    pub fn at(&self, place: Place, fragment: &str, skip: u64, times: u64, act: Act) -> Arc<Hits> {
        let hits = Arc::new(Hits::default());
        let (mine, fragment, mut matched) = (Arc::clone(&hits), fragment.to_owned(), 0);
        self.rule(move |moment| {
            if moment.place != place || !moment.statement.contains(&fragment) {
                return Act::Pass;
            }
            matched += 1;
            if matched <= skip || matched > skip + times {
                return Act::Pass;
            }
            mine.hit();
            act
        });
        hits
    }

    /// Lets everything pass again. A connection that is silent stays silent.
    pub fn heal(&self) {
        *lock(&self.shared.rule) = None;
        *lock(&self.shared.welcome) = Welcome::Serve;
        self.shared.loses_fin.store(false, Ordering::Relaxed);
        self.delay(Duration::ZERO);
    }

    /// Treats every connection that is open now like this.
    pub fn all(&self, mode: Mode) {
        self.shared.set_all(mode);
    }

    pub fn welcome(&self, welcome: Welcome) {
        *lock(&self.shared.welcome) = welcome;
    }

    /// Whether the server learns that a client closed a silent connection.
    pub fn lose_fin(&self, loses: bool) {
        self.shared.loses_fin.store(loses, Ordering::Relaxed);
    }

    /// Everything takes this much longer, each way.
    pub fn delay(&self, each_way: Duration) {
        let ms = u64::try_from(each_way.as_millis()).expect("a short delay");
        self.shared.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Keeps what passes from now on.
    pub fn record(&self) {
        lock(&self.shared.seen).clear();
        self.shared.recording.store(true, Ordering::Relaxed);
    }

    /// What has passed since [`Proxy::record`].
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Process ids of the sessions that are open through it.
    pub fn sessions(&self) -> Vec<i32> {
        lock(&self.shared.sessions).values().copied().collect()
    }

    /// Connections that were ever made.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

/// How often a rule has acted, and when it did last.
#[derive(Default)]
pub struct Hits {
    count: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Hits {
    pub fn hit(&self) {
        *lock(&self.last) = Some(Instant::now());
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    pub fn last(&self) -> Option<Instant> {
        *lock(&self.last)
    }
}
