//! A Postgres of a test's own, which may be stopped, killed and filled without disturbing any other test.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use trueup::postgres::local::{LocalOptions, LocalServer};

use super::database::binaries;
use super::fleet::until;
use super::program::Folder;

/// A server that ends with this.
pub struct Cluster {
    pub server: LocalServer,
    pub folder: Folder,
}

impl Cluster {
    pub async fn start() -> Self {
        let folder = Folder::new("cluster");
        let server = serve(&folder).await;
        Self { server, folder }
    }

    /// The folder of the server itself.
    fn root(&self) -> PathBuf {
        self.folder.0.join("postgres")
    }

    /// Its data, which belong to its account.
    pub fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    fn postmaster(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.root().join("data/postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    /// Ends the server: `INT` is a fast shutdown, `QUIT` an immediate one.
    pub async fn stop(&self, signal: Signal) {
        let pid = self.postmaster().expect("a server");
        kill_process(pid, signal).expect("to stop the server");
        until(Duration::from_secs(30), "the server ends", async || test_kill_process(pid).is_err()).await;
    }

    pub async fn start_again(&mut self) {
        self.server = serve(&self.folder).await;
    }
}

async fn serve(folder: &Folder) -> LocalServer {
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_trueup"));
    let options =
        LocalOptions { binaries: binaries().await, guard, throw_away: true, linger: Duration::from_millis(300) };
    LocalServer::start(&folder.0.join("postgres"), options).await.expect("a Postgres")
}

/// Ends a backend as the kernel does when memory is short: the whole server recovers from a crash.
pub fn kill_backend(pid: i32) {
    // It may have ended by itself.
    let _sent = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
}
