//! Runners of a test, each in a folder of its own and behind a proxy of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;

use super::program::{Folder, Process};
use super::proxy::Proxy;

/// One `serve`, which may be killed and started again.
pub struct Runner {
    pub folder: Folder,
    pub proxy: Proxy,
    process: Option<Process>,
    pid: Arc<AtomicU32>,
    environment: Vec<(String, String)>,
}

impl Runner {
    /// A runner of these files that is not started yet.
    pub fn new(options: &PgConnectOptions, name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Folder::new(name);
        for (path, text) in files {
            folder.write(path, text);
        }
        let proxy = Proxy::start(options);
        Self { folder, proxy, process: None, pid: Arc::default(), environment: Vec::new() }
    }

    /// With these in its environment.
    pub fn with(mut self, environment: &[(&str, &str)]) -> Self {
        self.environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self
    }

    pub fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.0.join("serve.log")).expect("a log");
        let mut command = self.folder.trueup(&["serve"]);
        if let Some(other) = std::env::var_os("TRUEUP_FAULT_PROGRAM") {
            // Another build, to compare: the same folder and arguments.
            command = rebased(&command, &other);
        }
        command.env("DATABASE_URL", self.proxy.url()).envs(self.environment.iter().map(|(key, value)| (key, value)));
        command.stdout(Stdio::null()).stderr(log);
        let process = Process(command.spawn().expect("a runner"));
        self.pid.store(process.0.id(), Ordering::SeqCst);
        self.process = Some(process);
    }

    /// Where its process id is found by whoever kills it later.
    pub fn victim(&self) -> Victim {
        Victim(Arc::clone(&self.pid))
    }

    /// As `kill -9` would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again if it has ended. Says whether it had.
    pub fn revive(&mut self) -> bool {
        let has_ended = self.process.as_mut().is_none_or(|process| process.0.try_wait().expect("a process").is_some());
        if has_ended {
            self.kill();
            self.start();
        }
        has_ended
    }

    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("a runner that was started").signal(name);
    }

    /// Asks it to stop. How long that took and its exit code; None: it had not ended by then, and was killed.
    pub async fn terminate(&mut self, within: Duration) -> Option<(Duration, Option<i32>)> {
        let asked = Instant::now();
        self.signal("TERM");
        let mut process = self.process.take().expect("a runner that was started");
        while asked.elapsed() < within {
            if let Some(status) = process.0.try_wait().expect("a process") {
                return Some((asked.elapsed(), status.code()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// What it has logged last.
    pub fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("serve.log")).unwrap_or_default()
    }
}

fn rebased(command: &Command, program: &OsStr) -> Command {
    let mut other = Command::new(program);
    other.args(command.get_args()).current_dir(command.get_current_dir().expect("a folder")).env("NO_COLOR", "1");
    other
}

/// A process that a rule of a proxy, or a receiver, may stop or kill on the spot.
#[derive(Clone)]
pub struct Victim(Arc<AtomicU32>);

impl Victim {
    pub fn kill(&self) {
        self.send(Signal::KILL);
    }

    pub fn freeze(&self) {
        self.send(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.send(Signal::CONT);
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.0.load(Ordering::SeqCst)).ok().and_then(Pid::from_raw);
        // It may have ended by itself; its id is not reused before it was waited for.
        let _sent = pid.map(|pid| kill_process(pid, signal));
    }
}

/// Waits until something holds. Fails with words of its own when it does not in time.
pub async fn until<F: Future<Output = bool>>(within: Duration, what: &str, holds: impl Fn() -> F) -> Duration {
    until_or(within, || what.to_owned(), holds).await
}

/// The same, with words that are found when it failed: what a log says by then.
pub async fn until_or<F: Future<Output = bool>>(
    within: Duration,
    what: impl Fn() -> String,
    holds: impl Fn() -> F,
) -> Duration {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < within, "not within {} s: {}", within.as_secs(), what());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}

/// A number that the environment may raise: what CI does in seconds a release does for hours.
pub fn size(variable: &str, in_ci: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(in_ci)
}
