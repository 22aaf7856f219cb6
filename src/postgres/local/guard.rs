//! The guard: a small process that runs the server and stops it after its last user exits.
//!
//! It needs no signal from the users: their shared lock on `in-use.lock` is released when they exit, even after kill -9.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::account::Account;
use super::folder::{self, Folder};

/// Command-line options of the guard.
#[derive(Debug, Clone)]
pub struct GuardOptions {
    pub folder: PathBuf,
    pub socket: PathBuf,
    pub binaries: PathBuf,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub throw_away: bool,
    pub linger: Duration,
}

/// Time limit for an orderly stop: the last checkpoint writes all dirty buffers.
const LONGEST_STOP: Duration = Duration::from_secs(120);

/// Runs until the server stops. Starts the server unless it is already running.
pub fn run(options: &GuardOptions) -> Result<()> {
    let account = options.uid.zip(options.gid).map(|(uid, gid)| Account { name: String::new(), uid, gid });
    let folder = Folder::of_guard(&options.folder, options.socket.clone(), account.clone())?;
    let alone = folder.alone()?;
    ensure!(lock_soon(&alone), "another guard is already running");
    let mut server = match folder.server_pid() {
        Some(_) => None,
        None => Some(start_server(&folder, options, account.as_ref())?),
    };
    let in_use = folder.in_use()?;
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let ended = match &mut server {
            Some(child) => child.try_wait()?.is_some(),
            None => folder.server_pid().is_none(),
        };
        if ended {
            return Ok(());
        }
        if in_use.try_lock().is_ok() && wants_to_stop(&folder, &in_use, options.linger)? {
            return stop(&folder, server, options);
        }
    }
}

/// Takes a lock that other programs take briefly to test if there is a guard.
fn lock_soon(file: &File) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while file.try_lock().is_err() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// True if the server still has no users after the grace period. `in_use` is then locked exclusively.
fn wants_to_stop(folder: &Folder, in_use: &File, linger: Duration) -> Result<bool> {
    in_use.unlock()?;
    std::thread::sleep(linger);
    if folder.is_kept()? {
        return Ok(false);
    }
    Ok(in_use.try_lock().is_ok())
}

fn start_server(folder: &Folder, options: &GuardOptions, account: Option<&Account>) -> Result<Child> {
    let log = folder.server_log()?;
    let mut server = folder::command(&options.binaries.join("postgres"), account);
    server.arg("-D").arg(&folder.data).arg("-k").arg(&folder.socket).args(["-p", &folder::PORT.to_string()]);
    let mut settings =
        vec!["listen_addresses=", "max_connections=200", "timezone=UTC", "log_timezone=UTC", "logging_collector=off"];
    let buffers = format!("shared_buffers={}MB", buffers_mb());
    settings.push(&buffers);
    if options.throw_away {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum_naptime=5s"]);
    }
    for setting in settings {
        server.args(["-c", setting]);
    }
    server.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    server.spawn().context("could not start the local Postgres")
}

/// Returns a quarter of the memory, as the Postgres manual recommends, from 128 to 1,024 MB. It is allocated on use.
fn buffers_mb() -> u64 {
    // If the kernel does not report it, the server's own default applies.
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    total.map_or(128, |kib| (kib / 4 / 1_024).clamp(128, 1_024))
}

/// Stops the server in order and removes its data if they are throw-away. `in-use` stays locked meanwhile.
fn stop(folder: &Folder, server: Option<Child>, options: &GuardOptions) -> Result<()> {
    // The pid of a server that we started is known; for another it is in the pid file.
    if let Some(pid) = server.as_ref().map(Child::id).or_else(|| folder.server_pid()) {
        folder.interrupt(pid)?;
    }
    match server {
        Some(mut child) => {
            child.wait()?;
        }
        None => {
            let deadline = Instant::now() + LONGEST_STOP;
            while folder.server_pid().is_some() {
                ensure!(Instant::now() < deadline, "the local Postgres did not stop");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    if options.throw_away { folder.remove_data() } else { Ok(()) }
}
