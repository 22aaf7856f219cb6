//! The folder of a local cluster: what is in it, who uses it, and whether its server runs.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::LocalOptions;
use super::account::Account;

pub const PORT: u16 = 5432;
pub const SUPERUSER: &str = "trueup";
/// A folder with this file was made by us; one without is never changed.
pub const MARKER: &str = "trueup-cluster";
/// While this file is there, the guard lets the server run without users.
pub const KEEP: &str = "keep-running";
/// A socket's path must stay below 108 bytes; the name Postgres adds has 14.
const LONGEST_SOCKET_FOLDER: usize = 90;

pub struct Folder {
    pub root: PathBuf,
    pub data: PathBuf,
    pub socket: PathBuf,
}

/// Where the cluster of a path may be: there, or in a shared place when the server's account cannot reach it.
pub fn places(path: &Path) -> [PathBuf; 2] {
    [path.to_owned(), PathBuf::from("/var/lib/trueup").join(short_hash(path))]
}

fn short_hash(path: &Path) -> String {
    Sha256::digest(path.as_os_str().as_encoded_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl Folder {
    /// Opens or makes the folder. One that has other things in it is refused.
    pub fn open(path: &Path, account: Option<&Account>) -> Result<Self> {
        let [here, shared] = places(path);
        let root = if account.is_none_or(|account| account.reaches(&here)) { here } else { shared };
        claim(&root)?;
        // One name for one folder, however it was reached: a server is known by it.
        let root = fs::canonicalize(&root).with_context(|| format!("could not look at `{}`", root.display()))?;
        let data = root.join("data");
        let socket = socket_folder(&root, account)?;
        own(&root, account, 0o755)?;
        Ok(Self { root, data, socket })
    }

    /// Held while a server is looked for or started, so that two programs do not start two.
    pub fn lock_gate(&self) -> Result<File> {
        let file = lock_file(&self.root.join("gate.lock"))?;
        file.lock().context("could not lock the local Postgres")?;
        Ok(file)
    }

    /// Held, shared, by every user of the server.
    pub fn lock_in_use(&self) -> Result<File> {
        let file = lock_file(&self.root.join("in-use.lock"))?;
        file.lock_shared().context("could not lock the local Postgres")?;
        Ok(file)
    }

    /// Whether a server answers for this folder.
    pub fn is_running(&self) -> bool {
        self.server_pid().is_some() && self.is_ready()
    }

    /// The pid in `postmaster.pid`, if that process is the server of this folder.
    ///
    /// A pid file may outlive its server, and its pid may belong to anything since: another Postgres too.
    pub fn server_pid(&self) -> Option<u32> {
        // No pid file, no server.
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        let output = Command::new("ps").args(["-ww", "-o", "stat=,command=", "-p", &pid.to_string()]).output();
        let command = match output {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            // Without `ps` the kernel's own word is taken.
            Err(_) => fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "),
        };
        // A killed server is still listed, as a zombie, until its parent has looked.
        let zombie = command.trim_start().starts_with('Z');
        (!zombie && command.contains(&*self.data.to_string_lossy())).then_some(pid)
    }

    fn is_ready(&self) -> bool {
        // An unreadable pid file is a server that is not ready.
        let text = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
    }

    /// Makes the cluster, once. It is built aside and moved into place, so that a kill in between leaves nothing half made.
    pub fn make_cluster(&self, binaries: &Path, account: Option<&Account>, throw_away: bool) -> Result<()> {
        if self.data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let draft = self.root.join("data.new");
        for left_over in [&draft, &self.data] {
            remove_tree(left_over)?;
        }
        fs::create_dir(&draft)?;
        own(&draft, account, 0o700)?;
        let mut initdb = command(&binaries.join("initdb"), account);
        initdb.args(["-A", "trust", "-E", "UTF8", "--locale=C", "-U", SUPERUSER, "-D"]).arg(&draft);
        if throw_away {
            initdb.arg("--no-sync");
        }
        let output = initdb.current_dir("/").output().context("could not run initdb")?;
        ensure!(output.status.success(), "initdb failed:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
        fs::rename(&draft, &self.data).context("could not put the new cluster into place")
    }

    /// Starts a guard, which starts the server, and waits until it is ready.
    pub fn launch(&self, options: &LocalOptions, binaries: &Path, account: Option<&Account>) -> Result<()> {
        let mut attempts = 5;
        loop {
            match self.try_launch(options, binaries, account) {
                // The helpers of a server that was killed hold its memory for a moment longer.
                Err(_) if attempts > 1 => std::thread::sleep(Duration::from_millis(300)),
                outcome => return outcome,
            }
            attempts -= 1;
        }
    }

    fn try_launch(&self, options: &LocalOptions, binaries: &Path, account: Option<&Account>) -> Result<()> {
        // A pid file without its server would keep a new one from starting if the pid is in use by something else.
        remove_file(&self.data.join("postmaster.pid"))?;
        self.spawn_guard(options, binaries, account)?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready() {
            if Instant::now() > deadline || self.guard_is_gone() {
                bail!("the local Postgres did not start:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// A server whose guard was killed gets a new guard.
    pub fn adopt_if_unguarded(&self, options: &LocalOptions, binaries: &Path, account: Option<&Account>) -> Result<()> {
        if self.guard_is_gone() { self.spawn_guard(options, binaries, account) } else { Ok(()) }
    }

    fn spawn_guard(&self, options: &LocalOptions, binaries: &Path, account: Option<&Account>) -> Result<()> {
        let mut guard = Command::new(&options.guard);
        guard.arg("local-postgres-guard").arg("--folder").arg(&self.root).arg("--socket").arg(&self.socket);
        guard.arg("--binaries").arg(binaries).arg("--linger-ms").arg(options.linger.as_millis().to_string());
        if options.throw_away {
            guard.arg("--throw-away");
        }
        if let Some(account) = account {
            guard.arg("--uid").arg(account.uid.to_string()).arg("--gid").arg(account.gid.to_string());
        }
        let log = OpenOptions::new().create(true).append(true).open(self.root.join("guard.log"))?;
        // Of its own process group, so that Ctrl-C at the terminal does not take the server away from other users.
        guard.process_group(0).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // The ready mark is only trusted once this guard holds its lock.
        let mut child =
            guard.spawn().with_context(|| format!("could not start the guard `{}`", options.guard.display()))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.guard_is_gone() {
            if let Some(status) = child.try_wait()? {
                bail!("the guard of the local Postgres ended with {status}:\n{}", self.log_tail());
            }
            ensure!(Instant::now() < deadline, "the guard of the local Postgres did not come up:\n{}", self.log_tail());
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nobody waits for the guard: it outlives us on purpose, and becomes init's child.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn guard_is_gone(&self) -> bool {
        // A lock that cannot be looked at is held by somebody.
        lock_file(&self.root.join("guard.lock")).is_ok_and(|file| file.try_lock().is_ok())
    }

    /// The end of both logs.
    fn log_tail(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.root.join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(8)..].join("\n")
        };
        format!("{}\n{}", tail("guard.log"), tail("server.log"))
    }
}

/// Makes the folder ours, or refuses one that is somebody else's.
fn claim(root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("could not create `{}`", root.display()))?;
    let marker = root.join(MARKER);
    if marker.is_file() {
        return Ok(());
    }
    // A program that claims it at the same moment leaves its marker or locks, and nothing else.
    let strange = fs::read_dir(root)?.flatten().map(|entry| entry.file_name()).find(|name| {
        let name = name.to_string_lossy();
        name != MARKER && !name.ends_with(".lock")
    });
    if let (Some(strange), false) = (strange, marker.is_file()) {
        bail!(
            "`{}` was not made by trueup (it holds `{}`): move it away, or choose another folder",
            root.display(),
            strange.to_string_lossy()
        );
    }
    fs::write(
        &marker,
        "This folder holds a private Postgres cluster of trueup. It can be deleted while no trueup runs.\n",
    )
    .with_context(|| format!("could not write `{}`", marker.display()))
}

/// A folder for the socket whose path is short enough: inside, or a private one below the temporary folder.
fn socket_folder(root: &Path, account: Option<&Account>) -> Result<PathBuf> {
    let inside = root.join("socket");
    let folder = if inside.as_os_str().len() <= LONGEST_SOCKET_FOLDER {
        inside
    } else {
        PathBuf::from("/tmp").join(format!(
            "trueup-socket-{}-{}",
            rustix::process::geteuid().as_raw(),
            short_hash(root)
        ))
    };
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("could not create `{}`", folder.display()));
        }
        _ => {}
    }
    own(&folder, account, 0o700)?;
    Ok(folder)
}

/// Gives a folder to the server's account. Fails when it belongs to somebody else, as a planted folder would.
fn own(folder: &Path, account: Option<&Account>, mode: u32) -> Result<()> {
    let problem = || format!("could not prepare `{}` for Postgres", folder.display());
    // A link planted in a shared place would hand whatever it points at to the server's account.
    let meta = fs::symlink_metadata(folder).with_context(problem)?;
    let me = rustix::process::geteuid().as_raw();
    let trusted = meta.uid() == me || account.is_some_and(|account| meta.uid() == account.uid);
    ensure!(meta.is_dir() && trusted, "`{}` belongs to somebody else", folder.display());
    if let Some(account) = account {
        chown(folder, Some(account.uid), Some(account.gid)).with_context(problem)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).with_context(problem)
}

/// A lock file that is never removed: a removed one could be locked twice.
pub fn lock_file(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    opened.with_context(|| format!("could not open `{}`", path.display()))
}

/// A command that runs as the server's account.
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

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes a folder inside of a folder that we made; refuses anything else.
pub fn remove_tree(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let ours = path.parent().is_some_and(|parent| parent.join(MARKER).is_file());
    ensure!(ours, "`{}` was not made by trueup and is not removed", path.display());
    fs::remove_dir_all(path).with_context(|| format!("could not remove `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("trueup-folder-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_folder_with_other_things_is_refused_and_left_alone() {
        let folder = scratch("strange");
        fs::write(folder.join("thesis.txt"), "years of work").unwrap();
        let refused = claim(&folder).unwrap_err().to_string();
        assert!(refused.contains("was not made by trueup") && refused.contains("thesis.txt"), "{refused}");
        assert_eq!(fs::read_to_string(folder.join("thesis.txt")).unwrap(), "years of work");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_what_lies_in_a_marked_folder_is_removed() {
        let folder = scratch("unmarked");
        let data = folder.join("data");
        fs::create_dir_all(&data).unwrap();
        assert!(remove_tree(&data).is_err() && data.exists());
        fs::write(folder.join(MARKER), "").unwrap();
        remove_tree(&data).unwrap();
        assert!(!data.exists() && folder.exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
