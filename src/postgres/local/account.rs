//! Postgres refuses to run as root, so a root program starts it under another account.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

/// The account the server runs under when we are root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// Chooses the account for the server. `None` if we are not root: the server runs as our own user.
pub fn choose() -> Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd =
        fs::read_to_string("/etc/passwd").context("could not read `/etc/passwd` to choose an account for Postgres")?;
    ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name)).map(Some).context(
        "Postgres does not run as root, and there is neither a `postgres` nor a `nobody` account to run it under",
    )
}

fn lookup(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(Account { name: name.to_owned(), uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

impl Account {
    /// True if this account may traverse every folder on the way to `path`.
    pub fn reaches(&self, path: &Path) -> bool {
        path.ancestors().all(|folder| match fs::metadata(folder) {
            Ok(meta) => {
                let bits = meta.mode();
                let owner = meta.uid() == self.uid && bits & 0o100 != 0;
                let group = meta.gid() == self.gid && bits & 0o010 != 0;
                owner || group || bits & 0o001 != 0
            }
            // We create missing folders ourselves.
            Err(_) => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:admin:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(lookup(passwd, "postgres"), Some(Account { name: "postgres".into(), uid: 101, gid: 104 }));
        assert_eq!(lookup(passwd, "nobody"), None);
    }
}
