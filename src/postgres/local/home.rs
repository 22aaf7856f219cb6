//! The open folder of a local cluster: files in it are opened through the handle, never through a link.
//!
//! A root program runs the server under another account, which must not choose where root writes. So we take ownership of
//! the folder and the files in it; only `data` and `socket` belong to the account.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::account::Account;
use super::entry::{AS_ITSELF, folder_of_account, me, open_folder, remove_entry, take, unlink};

/// A folder with this file was created by us; one without it is never changed.
pub const MARKER: &str = "trueup-cluster";
/// A longer log is rotated when it is opened; one older log is kept.
const LONGEST_LOG: u64 = 8 << 20;
/// Bytes at the end of a log that an error message may quote from.
const TAIL: i64 = 16 << 10;

/// A folder that we own.
pub struct Home {
    path: PathBuf,
    handle: OwnedFd,
    /// Owner of `data` and `socket`, and of all files that an earlier version created.
    account: Option<Account>,
}

impl Home {
    /// Opens or creates the folder. One with foreign content is refused.
    pub fn open(path: &Path, account: Option<&Account>) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("could not create `{}`", path.display()))?;
        let home = Self::enter(path, account)?;
        home.claim()?;
        home.take()?;
        Ok(home)
    }

    /// Opens an existing folder; `None` if it is missing or not ours.
    pub fn existing(path: &Path, account: Option<&Account>) -> Result<Option<Self>> {
        if !path.is_dir() {
            return Ok(None);
        }
        let home = Self::enter(path, account)?;
        if !home.has(MARKER)? {
            return Ok(None);
        }
        home.take()?;
        Ok(Some(home))
    }

    /// Opens a folder without changing it.
    fn enter(path: &Path, account: Option<&Account>) -> Result<Self> {
        let problem = || format!("could not open `{}`", path.display());
        let link = fs::symlink_metadata(path).with_context(problem)?;
        let trusted = !link.is_symlink() || link.uid() == 0 || link.uid() == me().as_raw();
        ensure!(trusted, "`{}` is a link that another user created: remove it", path.display());
        // One canonical path for each folder: the server is identified by it.
        let path = fs::canonicalize(path).with_context(problem)?;
        let handle = open_folder(CWD, &path, &path)?;
        Ok(Self { path, handle, account: account.cloned() })
    }

    /// Takes ownership of the folder, so that no other user can add files from now on.
    fn take(&self) -> Result<()> {
        take(&self.handle, &self.path, self.account.as_ref(), None, 0o755)
    }

    /// Marks the folder as ours. Fails if it has foreign content.
    fn claim(&self) -> Result<()> {
        if self.has(MARKER)? {
            return Ok(());
        }
        // A program that claims it at the same moment creates only the marker and locks.
        let strange = fs::read_dir(&self.path)?.flatten().map(|entry| entry.file_name()).find(|name| {
            let name = name.to_string_lossy();
            name != MARKER && !name.ends_with(".lock")
        });
        if let (Some(strange), false) = (strange, self.has(MARKER)?) {
            bail!(
                "`{}` was not created by trueup (it holds `{}`): move it away, or choose another folder",
                self.path.display(),
                strange.to_string_lossy()
            );
        }
        let text =
            "This folder holds a private Postgres cluster of trueup. It can be deleted while trueup is not running.\n";
        std::io::Write::write_all(&mut self.file(MARKER)?, text.as_bytes())
            .with_context(|| format!("could not write `{}`", self.path.join(MARKER).display()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens one of our files to read and write; creates it if missing.
    ///
    /// Lock files are never removed: two programs could lock the removed file and its successor.
    pub fn file(&self, name: &str) -> Result<File> {
        self.opened(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a log to append to. A long one is first renamed to `<name>.1`, replacing the previous one.
    pub fn log(&self, name: &str) -> Result<File> {
        let log = self.opened(name, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND)?;
        if log.metadata()?.len() <= LONGEST_LOG {
            return Ok(log);
        }
        self.rename(name, &format!("{name}.1"))?;
        self.opened(name, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND)
    }

    /// Returns the last lines of a log, for an error message; empty if it cannot be read.
    pub fn log_tail(&self, name: &str) -> String {
        let mut end = Vec::new();
        let read = self.opened(name, OFlags::RDONLY).and_then(|mut log| {
            let start = log.metadata()?.len().saturating_sub(TAIL.unsigned_abs());
            log.seek(SeekFrom::Start(start))?;
            Ok(log.take(TAIL.unsigned_abs()).read_to_end(&mut end)?)
        });
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<&str> = text.lines().collect();
        // The failure itself is being reported; a missing log adds nothing.
        read.map_or(String::new(), |_| lines[lines.len().saturating_sub(8)..].join("\n"))
    }

    /// True if there is a regular file of this name, not a link.
    pub fn has(&self, name: &str) -> Result<bool> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(FileType::from_raw_mode(found.st_mode) == FileType::RegularFile),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("could not inspect `{}`", self.path.join(name).display())),
        }
    }

    /// Removes a file. For a link, removes the link and not its target.
    pub fn remove(&self, name: &str) -> Result<()> {
        unlink(self.handle.as_fd(), name)
            .with_context(|| format!("could not remove `{}`", self.path.join(name).display()))
    }

    /// Renames an entry within the folder.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)
            .with_context(|| format!("could not rename `{}` to `{to}`", self.path.join(from).display()))
    }

    /// Opens a subfolder owned by the account; creates it if missing.
    pub fn folder_of_account(&self, name: &str) -> Result<OwnedFd> {
        folder_of_account(self.handle.as_fd(), Path::new(name), &self.path.join(name), self.account.as_ref())
    }

    /// Reads the first bytes of a file that the account wrote; `None` if it is missing or not a regular file.
    pub fn read_of_account(&self, folder: &str, name: &str) -> Option<String> {
        const MOST: u64 = 4_096;
        let inside = open_folder(&self.handle, Path::new(folder), &self.path.join(folder)).ok()?;
        let file = rustix::fs::openat(inside, name, OFlags::RDONLY | AS_ITSELF, Mode::empty()).ok()?;
        let file = File::from(file);
        let mut text = String::new();
        file.metadata().ok()?.is_file().then(|| file.take(MOST).read_to_string(&mut text))?.ok()?;
        Some(text)
    }

    /// Removes a file that the account wrote.
    pub fn remove_of_account(&self, folder: &str, name: &str) -> Result<()> {
        let path = self.path.join(folder);
        let inside = open_folder(&self.handle, Path::new(folder), &path)?;
        unlink(inside.as_fd(), name).with_context(|| format!("could not remove `{}`", path.join(name).display()))
    }

    /// Removes a subfolder with its contents, if it exists. Refuses a link; for links below, removes only the links.
    pub fn remove_tree(&self, name: &str) -> Result<()> {
        let problem = || format!("could not remove `{}`", self.path.join(name).display());
        ensure!(self.has(MARKER)?, "`{}` was not created by trueup: nothing in it is removed", self.path.display());
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            found => {
                let is_folder = FileType::from_raw_mode(found.with_context(problem)?.st_mode) == FileType::Directory;
                ensure!(is_folder, "`{}` is a link or not a folder: remove it", self.path.join(name).display());
            }
        }
        remove_entry(self.handle.as_fd(), name.as_bytes()).with_context(problem)
    }

    fn opened(&self, name: &str, how: OFlags) -> Result<File> {
        let path = self.path.join(name);
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match rustix::fs::openat(&self.handle, name, how | AS_ITSELF, mode) {
            Err(Errno::LOOP) => {
                bail!("`{}` is a link, which trueup never creates: check who created it, and remove it", path.display())
            }
            opened => File::from(opened.with_context(|| format!("could not open `{}`", path.display()))?),
        };
        let meta = file.metadata()?;
        // A hard link to the file may be anywhere.
        ensure!(
            meta.is_file() && meta.nlink() == 1,
            "`{}` is not a file that trueup created: remove it",
            path.display()
        );
        take(&file, &path, self.account.as_ref(), None, 0o600)?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder below the temporary one, removed with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("trueup-home-test-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_folder_with_other_things_is_refused_and_left_alone() {
        let scratch = Scratch::new("strange");
        fs::write(scratch.0.join("thesis.txt"), "years of work").unwrap();
        let refused = Home::open(&scratch.0, None).err().expect("a refusal").to_string();
        assert!(refused.contains("was not created by trueup") && refused.contains("thesis.txt"), "{refused}");
        assert_eq!(fs::read_to_string(scratch.0.join("thesis.txt")).unwrap(), "years of work");
    }

    #[test]
    fn only_what_lies_in_a_marked_folder_is_removed_and_of_a_link_only_the_link() {
        let (scratch, outside) = (Scratch::new("tree"), Scratch::new("outside"));
        fs::write(outside.0.join("thesis.txt"), "years of work").unwrap();
        let home = Home::open(&scratch.0, None).unwrap();
        fs::create_dir_all(scratch.0.join("data/deep/er")).unwrap();
        symlink(&outside.0, scratch.0.join("data/deep/link")).unwrap();
        fs::remove_file(scratch.0.join(MARKER)).unwrap();
        assert!(home.remove_tree("data").is_err() && scratch.0.join("data").exists());
        fs::write(scratch.0.join(MARKER), "").unwrap();
        home.remove_tree("data").unwrap();
        home.remove_tree("data").unwrap();
        assert!(!scratch.0.join("data").exists() && scratch.0.exists());
        symlink(&outside.0, scratch.0.join("data")).unwrap();
        assert!(home.remove_tree("data").is_err());
        assert_eq!(fs::read_to_string(outside.0.join("thesis.txt")).unwrap(), "years of work");
    }

    #[test]
    fn no_file_is_opened_through_a_link_a_second_name_or_a_pipe() {
        let (scratch, outside) = (Scratch::new("links"), Scratch::new("target"));
        let home = Home::open(&scratch.0, None).unwrap();
        let target = outside.0.join("secret");
        fs::write(&target, "mine").unwrap();
        symlink(&target, scratch.0.join("soft")).unwrap();
        symlink(outside.0.join("new"), scratch.0.join("dangling")).unwrap();
        fs::hard_link(&target, scratch.0.join("hard")).unwrap();
        fs::create_dir(scratch.0.join("folder")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(scratch.0.join("pipe")).status().unwrap().success());
        for name in ["soft", "dangling", "hard", "folder", "pipe"] {
            for opened in [home.file(name), home.log(name)] {
                let refused = format!("{:#}", opened.err().unwrap_or_else(|| panic!("`{name}` was opened")));
                assert!(refused.contains(name), "{refused}");
            }
            assert_eq!(home.log_tail(name), "");
        }
        assert!(!home.has("soft").unwrap() && !home.has("dangling").unwrap());
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert!(!outside.0.join("new").exists());
        symlink(&outside.0, scratch.0.join("data")).unwrap();
        assert!(home.folder_of_account("data").is_err() && home.read_of_account("data", "secret").is_none());
        assert!(home.remove_of_account("data", "secret").is_err() && target.exists());
    }

    #[test]
    fn a_long_log_is_put_aside_and_one_older_is_kept() {
        let scratch = Scratch::new("logs");
        let home = Home::open(&scratch.0, None).unwrap();
        for turn in 0..3 {
            let log = home.log("server.log").unwrap();
            assert_eq!(log.metadata().unwrap().len(), 0, "turn {turn} begins an empty one");
            log.set_len(LONGEST_LOG + 1).unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["server.log", "server.log.1", MARKER]);
    }
}
