//! The folder of a local cluster: its files, its users' locks, and the state of its server.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::CWD;
use sha2::{Digest, Sha256};

use super::account::Account;
use super::home::Home;
use super::{LocalOptions, entry};

pub const PORT: u16 = 5432;
pub const SUPERUSER: &str = "trueup";
const SERVER_LOG: &str = "server.log";
const GUARD_LOG: &str = "guard.log";
/// While this file exists, the guard lets the server run without users.
pub const KEEP: &str = "keep-running";
/// A socket's path must stay below 108 bytes; Postgres appends a name of 14.
const LONGEST_SOCKET_FOLDER: usize = 90;

pub struct Folder {
    home: Home,
    pub data: PathBuf,
    pub socket: PathBuf,
    /// Account that the server runs as; `None`: our own.
    account: Option<Account>,
}

/// Folders where the cluster of a path may be: the path itself, or a shared folder if the server's account cannot reach it.
pub fn places(path: &Path) -> [PathBuf; 2] {
    [path.to_owned(), PathBuf::from("/var/lib/trueup").join(short_hash(path))]
}

fn short_hash(path: &Path) -> String {
    Sha256::digest(path.as_os_str().as_encoded_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl Folder {
    /// Opens or creates the folder. One with foreign content is refused.
    pub fn open(path: &Path, account: Option<Account>) -> Result<Self> {
        let [here, shared] = places(path);
        let root = if account.as_ref().is_none_or(|account| account.reaches(&here)) { here } else { shared };
        let home = Home::open(&root, account.as_ref())?;
        let socket = socket_folder(&home, account.as_ref())?;
        Ok(Self { data: home.path().join("data"), socket, home, account })
    }

    /// Opens the folder of a guard; the program that started the guard has already created it.
    pub fn of_guard(root: &Path, socket: PathBuf, account: Option<Account>) -> Result<Self> {
        let home = Home::existing(root, account.as_ref())?;
        let home = home.with_context(|| format!("`{}` is not a folder of trueup", root.display()))?;
        Ok(Self { data: home.path().join("data"), socket, home, account })
    }

    pub fn root(&self) -> &Path {
        self.home.path()
    }

    /// Taken while a server is searched for or started, so that two programs do not start two.
    pub fn lock_gate(&self) -> Result<File> {
        let file = self.home.file("gate.lock")?;
        file.lock().context("could not lock the local Postgres")?;
        Ok(file)
    }

    /// Taken, shared, by every user of the server.
    pub fn lock_in_use(&self) -> Result<File> {
        let file = self.in_use()?;
        file.lock_shared().context("could not lock the local Postgres")?;
        Ok(file)
    }

    /// Opens the file of the users' lock without locking it.
    pub fn in_use(&self) -> Result<File> {
        self.home.file("in-use.lock")
    }

    /// Opens the file of the guard's lock without locking it.
    pub fn alone(&self) -> Result<File> {
        self.home.file("guard.lock")
    }

    /// Opens the log for the server's stderr: the server gets the open file and cannot choose another.
    pub fn server_log(&self) -> Result<File> {
        self.home.log(SERVER_LOG)
    }

    /// Keeps the server running after its last user exits.
    pub fn keep_running(&self) -> Result<()> {
        self.home.file(KEEP).map(drop)
    }

    /// True if the server is to keep running without users.
    pub fn is_kept(&self) -> Result<bool> {
        self.home.has(KEEP)
    }

    /// True if this folder's server runs and is ready.
    pub fn is_running(&self) -> bool {
        self.server_pid().is_some() && self.is_ready()
    }

    /// Returns the pid in `postmaster.pid`, if that process is the server of this folder.
    ///
    /// A pid file may outlive its server, and its pid may be reused by any process, even another Postgres. The account can
    /// write any number there, so the process must also belong to the account.
    pub fn server_pid(&self) -> Option<u32> {
        // No pid file, no server.
        let pid: u32 = self.pid_file()?.lines().next()?.trim().parse().ok()?;
        let format = ["-ww", "-o", "uid=,stat=,command=", "-p"];
        // Without `ps` no server is found; a new one would then report that the data is in use.
        let output = Command::new("ps").args(format).arg(pid.to_string()).output().ok()?;
        let process = String::from_utf8_lossy(&output.stdout).into_owned();
        let (uid, rest) = process.trim_start().split_once(' ')?;
        let owner = self.account.as_ref().map_or(rustix::process::geteuid().as_raw(), |account| account.uid);
        // A killed server stays listed as a zombie until its parent reaps it.
        let is_zombie = rest.trim_start().starts_with('Z');
        let is_server = uid.parse() == Ok(owner) && !is_zombie && rest.contains(&*self.data.to_string_lossy());
        is_server.then_some(pid)
    }

    fn pid_file(&self) -> Option<String> {
        self.home.read_of_account("data", "postmaster.pid")
    }

    fn is_ready(&self) -> bool {
        // If the pid file is unreadable, the server is not ready.
        self.pid_file().is_some_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
    }

    /// Interrupts a server as its account: if the pid was reused, no other account's process is signalled.
    pub fn interrupt(&self, pid: u32) -> Result<()> {
        let mut kill = command(Path::new("/bin/sh"), self.account.as_ref());
        kill.args(["-c", "kill -INT \"$1\"", "sh", &pid.to_string()]).current_dir("/").stderr(Stdio::null());
        // A server that has just exited cannot be signalled and need not be: the caller waits for its exit anyway.
        kill.status().map(drop).context("could not stop the local Postgres")
    }

    /// Removes the data of a server that has stopped.
    pub fn remove_data(&self) -> Result<()> {
        self.home.remove_tree("data")
    }

    /// Creates the cluster, once. It is built under another name and moved into place, so that a kill leaves no partial cluster.
    pub fn make_cluster(&self, binaries: &Path, throw_away: bool) -> Result<()> {
        const DRAFT: &str = "data.new";
        if self.data.join("PG_VERSION").is_file() {
            return self.home.folder_of_account("data").map(drop);
        }
        for left_over in [DRAFT, "data"] {
            self.home.remove_tree(left_over)?;
        }
        self.home.folder_of_account(DRAFT)?;
        let mut initdb = command(&binaries.join("initdb"), self.account.as_ref());
        initdb.args(["-A", "trust", "-E", "UTF8", "--locale=C", "-U", SUPERUSER, "-D"]).arg(self.root().join(DRAFT));
        if throw_away {
            initdb.arg("--no-sync");
        }
        let output = initdb.current_dir("/").output().context("could not run initdb")?;
        ensure!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        self.home.rename(DRAFT, "data")
    }

    /// Starts a guard, which starts the server, and waits until it is ready.
    pub fn launch(&self, options: &LocalOptions, binaries: &Path) -> Result<()> {
        let mut attempts = 5;
        loop {
            match self.try_launch(options, binaries) {
                // The child processes of a killed server keep its shared memory for a moment longer.
                Err(_) if attempts > 1 => std::thread::sleep(Duration::from_millis(300)),
                outcome => return outcome,
            }
            attempts -= 1;
        }
    }

    fn try_launch(&self, options: &LocalOptions, binaries: &Path) -> Result<()> {
        // A stale pid file would keep a new server from starting if another process has its pid.
        self.home.remove_of_account("data", "postmaster.pid")?;
        self.spawn_guard(options, binaries)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready() {
            if Instant::now() > deadline || self.guard_is_gone()? {
                bail!("the local Postgres did not start:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Starts a new guard for a server whose guard was killed.
    pub fn adopt_if_unguarded(&self, options: &LocalOptions, binaries: &Path) -> Result<()> {
        if self.guard_is_gone()? { self.spawn_guard(options, binaries) } else { Ok(()) }
    }

    fn spawn_guard(&self, options: &LocalOptions, binaries: &Path) -> Result<()> {
        let mut guard = Command::new(&options.guard);
        guard.arg("local-postgres-guard").arg("--folder").arg(self.root()).arg("--socket").arg(&self.socket);
        guard.arg("--binaries").arg(binaries).arg("--linger-ms").arg(options.linger.as_millis().to_string());
        if options.throw_away {
            guard.arg("--throw-away");
        }
        if let Some(account) = &self.account {
            guard.arg("--uid").arg(account.uid.to_string()).arg("--gid").arg(account.gid.to_string());
        }
        let log = self.home.log(GUARD_LOG)?;
        // In its own process group, so that Ctrl-C at the terminal does not stop the server under other users.
        guard.process_group(0).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // The ready mark is trusted only once this guard has its lock.
        let mut child =
            guard.spawn().with_context(|| format!("could not start the guard `{}`", options.guard.display()))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.guard_is_gone()? {
            if let Some(status) = child.try_wait()? {
                bail!("the guard of the local Postgres exited with {status}:\n{}", self.log_tail());
            }
            ensure!(Instant::now() < deadline, "the guard of the local Postgres did not start:\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        // The guard outlives us on purpose and becomes init's child; the thread only reaps it if it exits before us.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn guard_is_gone(&self) -> Result<bool> {
        Ok(self.alone()?.try_lock().is_ok())
    }

    /// Returns the end of both logs.
    fn log_tail(&self) -> String {
        format!("{}\n{}", self.home.log_tail(GUARD_LOG), self.home.log_tail(SERVER_LOG))
    }
}

/// Returns a folder for the socket with a short enough path: inside the home, or a private one in `/tmp`.
fn socket_folder(home: &Home, account: Option<&Account>) -> Result<PathBuf> {
    let inside = home.path().join("socket");
    if inside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        home.folder_of_account("socket")?;
        return Ok(inside);
    }
    let me = rustix::process::geteuid().as_raw();
    let aside = PathBuf::from("/tmp").join(format!("trueup-socket-{me}-{}", short_hash(home.path())));
    // Any user can put a link of that name into `/tmp`, so the owner is checked.
    entry::folder_of_account(CWD, &aside, &aside, account)?;
    Ok(aside)
}

/// Returns a command that runs as the server's account.
pub fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    // Variables of the caller's own Postgres must not reach ours.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command
}
