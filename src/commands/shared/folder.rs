//! Contents of a jobs folder: job files, rule tests, and files that look like jobs but are not. One bad file never keeps the
//! others from being read.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::commands::user_error;

/// Maximum depth of sub-folders, since links may form a cycle.
const DEEPEST: usize = 8;
/// Maximum size of a job file in bytes. A longer file is something else.
const LONGEST: u64 = 1 << 20;
/// The settings file is not a job and may be in the same folder.
const SETTINGS: &str = "trueup.toml";

/// Files found below a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::commands) struct Listing {
    /// Job files, sorted; reading them may still fail.
    pub jobs: Vec<PathBuf>,
    /// Tests of rules, sorted.
    pub fixtures: Vec<PathBuf>,
    /// Files that look like jobs but are not read, with the reason, sorted.
    pub passed_over: Vec<String>,
}

/// Changes when a file is written or replaced, or when its permissions change.
pub(in crate::commands) type Stamp = Option<(u64, i64, i64, u64)>;

/// Lists the files below a path. For a file, lists that file.
pub(in crate::commands) fn list(path: &Path) -> Result<Listing> {
    let mut found = Listing::default();
    if path.is_file() {
        let of = if is_fixture(path) { &mut found.fixtures } else { &mut found.jobs };
        of.push(path.to_owned());
        return Ok(found);
    }
    let what = if path.extension().is_some() { "job file" } else { "jobs folder" };
    let entries = fs::read_dir(path)
        .map_err(|error| user_error(format!("could not read the {what} `{}`: {error}", path.display())))?;
    let mut seen = BTreeSet::from_iter(fs::canonicalize(path));
    entries.for_each(|entry| look(entry.map(|entry| entry.path()), DEEPEST, &mut seen, &mut found));
    keep_one_path_per_file(&mut found.jobs);
    found.jobs.sort();
    found.fixtures.sort();
    found.passed_over.sort();
    Ok(found)
}

/// Keeps one path, the shortest, of a listed file that links also reach: it is one job, not two with the same name.
fn keep_one_path_per_file(jobs: &mut Vec<PathBuf>) {
    jobs.sort_by_cached_key(|path| (path.components().count(), path.clone()));
    let files = jobs.iter().filter(|path| !path.is_symlink()).filter_map(|path| fs::canonicalize(path).ok());
    let files = files.collect::<BTreeSet<_>>();
    let mut kept = BTreeSet::new();
    jobs.retain(|path| fs::canonicalize(path).map_or(true, |file| !files.contains(&file) || kept.insert(file)));
}

/// Returns the stamp of a file; `None` if it is missing or cannot be inspected.
pub(in crate::commands) fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.ctime(), file.ctime_nsec(), file.len()))
}

fn is_fixture(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(".test.toml"))
}

fn look(entry: std::io::Result<PathBuf>, deep: usize, seen: &mut BTreeSet<PathBuf>, found: &mut Listing) {
    let path = match entry {
        Ok(path) => path,
        Err(error) => return found.passed_over.push(format!("an entry of the jobs folder could not be read: {error}")),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if name == SETTINGS {
        return;
    }
    if is_hidden_or_draft(&name) {
        // Jobs are not expected in `..data` of a mounted volume or in `.git`.
        if name.contains(".toml") {
            let why = "is ignored: it is hidden, or a temporary file of an editor";
            found.passed_over.push(format!("`{}` {why}", path.display()));
        }
        return;
    }
    if path.is_dir() {
        return look_below(&path, deep, seen, found);
    }
    match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
        Some("toml") if is_fixture(&path) => found.fixtures.push(path),
        Some("toml") => found.jobs.push(path),
        _ if looks_like_a_job(&name) => {
            found.passed_over.push(format!("`{}` is not read: job files are named NAME.toml", path.display()));
        }
        _ => {}
    }
}

fn look_below(path: &Path, deep: usize, seen: &mut BTreeSet<PathBuf>, found: &mut Listing) {
    // A link back to a folder that was already visited.
    if fs::canonicalize(path).is_ok_and(|real| !seen.insert(real)) {
        return;
    }
    match fs::read_dir(path) {
        Ok(entries) if deep > 0 => {
            entries.for_each(|entry| look(entry.map(|entry| entry.path()), deep - 1, seen, found));
        }
        Ok(_) => found.passed_over.push(format!("`{}` is not searched: it is nested too deeply", path.display())),
        Err(error) => found.passed_over.push(format!("`{}` could not be searched: {error}", path.display())),
    }
}

/// True for hidden files and for editor leftovers: locks, backups and drafts. The name is in lower case.
fn is_hidden_or_draft(name: &str) -> bool {
    let drafts = [".swp", ".swo", ".tmp", ".bak", ".orig", ".rej", ".save"];
    name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || drafts.iter().any(|ending| name.ends_with(ending))
}

/// True for endings that people give to declarations, and for `.toml` not at the end. The name is in lower case.
fn looks_like_a_job(name: &str) -> bool {
    let endings = [".yaml", ".yml", ".json", ".tml", ".ini", ".conf", ".hcl"];
    name.contains(".toml") || endings.iter().any(|ending| name.ends_with(ending))
}

/// The text of a file; or its lossy text, the byte offset of the error, and the reason.
pub(in crate::commands) type Read = std::result::Result<String, (String, usize, String)>;

/// Reads the text of a file.
pub(in crate::commands) fn read(path: &Path) -> Read {
    let refused = |why: String| Err((String::new(), 0, why));
    let kind = match fs::metadata(path) {
        Ok(kind) => kind,
        Err(_) if path.is_symlink() => return refused("it is a link to a file that does not exist".to_owned()),
        Err(error) => return refused(error.to_string()),
    };
    // Opening a pipe would wait for its writer.
    if !kind.is_file() {
        return refused("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return refused(error.to_string());
    }
    if bytes.len() as u64 > LONGEST {
        return refused(format!("it is larger than {} KiB", LONGEST / 1024));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        (shown, at, "it is not UTF-8 text".to_owned())
    })
}
