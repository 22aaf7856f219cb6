//! Folders and files by handle: opened without following links, given to an owner, and removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::account::Account;

/// Open flags: do not follow links, close on exec, do not block on a pipe.
pub const AS_ITSELF: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// Opens a folder owned by the account, or by us if there is none. Creates it if missing; refuses it if another user owns it.
pub fn folder_of_account(
    parent: BorrowedFd<'_>,
    name: &Path,
    shown: &Path,
    account: Option<&Account>,
) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).with_context(|| format!("could not create `{}`", shown.display())),
    }
    let folder = open_folder(parent, name, shown)?;
    take(&folder, shown, account, account, 0o700)?;
    Ok(folder)
}

/// Opens a folder that is not a link.
pub fn open_folder(parent: impl AsFd, name: &Path, shown: &Path) -> Result<OwnedFd> {
    match rustix::fs::openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | AS_ITSELF, Mode::empty()) {
        Err(Errno::LOOP | Errno::NOTDIR) => bail!("`{}` is a link or not a folder: remove it", shown.display()),
        opened => opened.with_context(|| format!("could not open `{}`", shown.display())),
    }
}

/// Gives an open file or folder to an owner: the account or us. One of the two must own it already.
pub fn take(
    opened: impl AsFd,
    shown: &Path,
    account: Option<&Account>,
    owner: Option<&Account>,
    mode: u32,
) -> Result<()> {
    let problem = || format!("could not prepare `{}` for Postgres", shown.display());
    let now = rustix::fs::fstat(&opened).with_context(problem)?;
    let known = now.st_uid == me().as_raw() || account.is_some_and(|account| now.st_uid == account.uid);
    ensure!(known, "`{}` belongs to another user (uid {})", shown.display(), now.st_uid);
    let (uid, gid) =
        owner.map_or((me(), rustix::process::getegid()), |owner| (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid)));
    if now.st_uid != uid.as_raw() {
        rustix::fs::fchown(&opened, Some(uid), Some(gid)).with_context(problem)?;
    }
    rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode)).with_context(problem)
}

pub fn me() -> Uid {
    rustix::process::geteuid()
}

pub fn unlink(folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Removes a file, a link, or a folder with its contents.
pub fn remove_entry(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // A folder: Linux returns the first, other systems the second.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let folder = rustix::fs::openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | AS_ITSELF, Mode::empty())?;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            remove_entry(folder.as_fd(), name)?;
        }
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
