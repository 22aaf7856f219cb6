//! The rules of the house that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(below: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside").to_owned(), text));
            }
        }
    }
    found
}

/// The room a file stands in: the first folder or file below `src`.
fn room(path: &Path) -> String {
    let part = path.components().nth(1).expect("a file in src").as_os_str().to_string_lossy().into_owned();
    part.trim_end_matches(".rs").to_owned()
}

/// What each room may import. `spec → plan → measure → store → evaluate → notify`; no stage imports the store.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("visible", &[]),
    ("spec", &["visible"]),
    ("plan", &["spec"]),
    ("measure", &["plan", "spec"]),
    ("store", &[]),
    ("evaluate", &["plan"]),
    ("notify", &["plan", "evaluate"]),
    ("postgres", &[]),
    ("settings", &["spec", "plan", "notify"]),
    ("pipeline", &["spec", "plan", "measure", "store", "evaluate", "notify", "postgres"]),
    ("outbox", &["notify", "store", "postgres"]),
    ("web", &["scheduler", "store", "postgres"]),
    ("scheduler", &["plan", "notify", "pipeline", "outbox", "store", "postgres"]),
];

#[test]
fn imports_follow_the_data() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let mine = room(&path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(room, _)| *room == mine) else {
            assert!(["main", "lib", "cli", "commands"].contains(&mine.as_str()), "`{mine}` is a room without rules");
            continue;
        };
        for (start, _) in text.match_indices("crate::") {
            let target: String =
                text[start + 7..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if !target.is_empty() && target != mine && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{} imports `{target}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sql_that_is_not_checked_at_compile_time_is_sent_from_one_file() {
    let files: Vec<String> = sources("src")
        .into_iter()
        .filter(|(_, text)| text.contains("AssertSqlSafe("))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert_eq!(files, ["src/measure/session.rs"]);
}

/// One way out for each stream, which makes visible what it writes: a command cannot forget it.
#[test]
fn only_the_files_that_make_data_visible_write_to_a_terminal() {
    let doors = ["src/commands/output.rs", "src/commands/log.rs"];
    for (path, text) in sources("src") {
        let prints = ["println!", "print!(", "stdout()", "stderr()", "io::stdout", "io::stderr"];
        // Whether somebody is there to be asked or shown colours may be looked at anywhere.
        let text = text.replace("io::stderr().is_terminal()", "").replace("use_stderr()", "");
        let prints = prints.iter().find(|word| text.contains(**word));
        let is_door = doors.contains(&path.to_str().expect("a name"));
        assert!(prints.is_none() || is_door, "{} writes by itself: {prints:?}", path.display());
        let draws = text.contains("ProgressBar");
        assert!(!draws || path.ends_with("commands/progress.rs"), "{} draws by itself", path.display());
    }
}

#[test]
fn only_the_edges_read_the_clock_or_the_environment() {
    for (path, text) in sources("src") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let pure = ["spec", "plan", "evaluate", "store", "measure"].contains(&room(&path).as_str());
        let impure =
            ["Utc::now", "Instant::now", "SystemTime", "env::var", "thread_rng"].iter().any(|word| code.contains(word));
        assert!(!(pure && impure), "{} reads the clock or the environment", path.display());
    }
}

#[test]
fn nothing_is_left_open() {
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        for word in
            [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("#[ig", "nore"), concat!("FIX", "ME")]
        {
            assert!(!text.contains(word), "{} has `{word}`", path.display());
        }
    }
}

/// What `serve` borrows has a bounded life: only `postgres::held` takes connections for it. A command that hangs is ended by
/// the person who waits for it.
#[test]
fn connections_of_serve_are_borrowed_in_one_place() {
    for (path, text) in sources("src") {
        let allowed = ["commands", "postgres"].contains(&room(&path).as_str());
        let takes = [".acquire()", "pool.begin(", "pool).begin("].iter().any(|word| text.contains(word));
        assert!(!takes || allowed, "{} takes a connection without a limit", path.display());
    }
}
