//! Finds an installed Postgres that is new enough.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest supported major version.
pub const OLDEST: u32 = 14;

/// No Postgres is installed; the message says how to get one.
#[derive(Debug)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Returns the folder with `initdb` and `postgres` of an installed Postgres.
pub fn find() -> Result<PathBuf, Missing> {
    let mut seen = Vec::new();
    for folder in candidates() {
        if let Some(version) = version_of(&folder) {
            if version >= OLDEST {
                return Ok(folder);
            }
            seen.push(format!("Postgres {version} in {}", folder.display()));
        }
    }
    Err(Missing(advice(&seen)))
}

fn advice(seen: &[String]) -> String {
    let found = if seen.is_empty() { String::new() } else { format!(" (found only {})", seen.join(", ")) };
    format!(
        "no Postgres {OLDEST} or newer is installed here{found}. Install it:\n  \
         Debian, Ubuntu   sudo apt-get install postgresql\n  \
         Fedora           sudo dnf install postgresql-server\n  \
         macOS            brew install postgresql@17\n\
         or use an existing server: export DATABASE_URL=postgres://user@host/database"
    )
}

/// Returns folders to search, the likeliest first.
fn candidates() -> Vec<PathBuf> {
    let on_path =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    let mut folders = Vec::new();
    folders.extend(pg_config_folder());
    for pattern in [
        ("/usr/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
    ] {
        folders.extend(versions_below(Path::new(pattern.0), pattern.1));
    }
    folders.extend(
        ["/usr/pgsql-18/bin", "/usr/pgsql-17/bin", "/usr/pgsql-16/bin", "/usr/pgsql-15/bin", "/usr/pgsql-14/bin"]
            .map(PathBuf::from),
    );
    folders.extend(on_path.into_iter().filter_map(|folder| real_folder(&folder)));
    folders.retain(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file());
    folders
}

/// Resolves the real folder of the `postgres` on PATH: a link on PATH may be far from the other programs.
fn real_folder(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("postgres").canonicalize().ok()?;
    let real = program.parent()?;
    if real.join("initdb").is_file() { Some(real.to_owned()) } else { Some(folder.to_owned()) }
}

fn pg_config_folder() -> Option<PathBuf> {
    // A missing pg_config is common: the other folders are searched.
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    output.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Returns `<root>/<version>/<inner>`, newest first.
fn versions_below(root: &Path, inner: &str) -> Vec<PathBuf> {
    // A missing folder holds no versions.
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number =
                name.trim_start_matches("postgresql").trim_start_matches('@').split('.').next()?.parse().ok()?;
            Some((number, entry.path().join(inner)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

/// Returns the major version of `postgres` in a folder.
pub fn version_of(folder: &Path) -> Option<u32> {
    // A binary that does not run is not a candidate.
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(2)?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_each_system_and_the_way_round() {
        let text = advice(&["Postgres 12 in /x".to_owned()]);
        for part in ["apt-get install", "dnf install", "brew install", "DATABASE_URL", "Postgres 12"] {
            assert!(text.contains(part), "{part}");
        }
    }

    #[test]
    fn what_is_found_runs_and_what_is_missing_is_explained() {
        match find() {
            Ok(folder) => assert!(version_of(&folder).is_some_and(|version| version >= OLDEST)),
            Err(missing) => assert!(missing.to_string().contains("apt-get install")),
        }
    }
}
