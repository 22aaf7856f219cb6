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

/// The rooms that each room may import. Nouns (`domain`, `text`, `metric`) are below everything, readers above.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("text", &[]),
    ("chart", &["domain", "text"]),
    ("metric", &["domain"]),
    ("spec", &["text"]),
    ("plan", &["domain", "metric", "spec"]),
    ("sql", &["domain", "metric", "plan"]),
    ("postgres", &[]),
    ("warehouse", &["domain", "metric", "plan", "postgres", "spec", "sql"]),
    ("evaluate", &["domain", "metric", "plan"]),
    ("notify", &["chart", "domain", "text"]),
    ("store", &[]),
    ("dispatch", &["notify", "postgres", "store", "warehouse"]),
    ("alerting", &["dispatch", "domain", "evaluate", "metric", "notify", "plan", "postgres", "store", "warehouse"]),
    ("pipeline", &["alerting", "dispatch", "domain", "metric", "notify", "plan", "postgres", "store", "warehouse"]),
    ("settings", &["domain", "notify", "plan", "spec", "text"]),
    ("telemetry", &["postgres", "store"]),
    (
        "web",
        &["chart", "dispatch", "domain", "evaluate", "notify", "postgres", "settings", "store", "telemetry", "text"],
    ),
    (
        "scheduler",
        &["alerting", "dispatch", "domain", "notify", "pipeline", "plan", "postgres", "spec", "store", "telemetry"],
    ),
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
    assert_eq!(files, ["src/warehouse/session.rs"]);
}

/// One way out for each stream, which makes visible what it writes: a command cannot forget it.
#[test]
fn only_the_files_that_make_data_visible_write_to_a_terminal() {
    let doors = ["src/commands/output/mod.rs", "src/commands/output/log.rs"];
    for (path, text) in sources("src") {
        let prints = ["println!", "print!(", "stdout()", "stderr()", "io::stdout", "io::stderr"];
        // Whether somebody is there to be asked or shown colours may be looked at anywhere.
        let text = text.replace("io::stderr().is_terminal()", "").replace("use_stderr()", "");
        let prints = prints.iter().find(|word| text.contains(**word));
        let is_door = doors.contains(&path.to_str().expect("a name"));
        assert!(prints.is_none() || is_door, "{} writes by itself: {prints:?}", path.display());
        let draws = text.contains("ProgressBar");
        assert!(!draws || path.ends_with("commands/output/progress.rs"), "{} draws by itself", path.display());
    }
}

#[test]
fn only_the_edges_read_the_clock_or_the_environment() {
    for (path, text) in sources("src") {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let rooms = ["domain", "text", "chart", "metric", "spec", "plan", "sql", "evaluate", "store", "warehouse"];
        let pure = rooms.contains(&room(&path).as_str()) || path.starts_with("src/notify/policy");
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

/// The module path of a file below `src`: `plan::rule` for `src/plan/rule.rs`.
fn module(path: &Path) -> Vec<String> {
    let parts = path.components().skip(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let mut parts = parts.map(|part| part.trim_end_matches(".rs").to_owned()).collect::<Vec<_>>();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Every path of a text from `crate` or `super` on, with braces expanded: `crate::a::{b, c::d}` is two paths.
fn paths(text: &str) -> Vec<Vec<String>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    fn walk(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
        let name = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        let mut at = name.len();
        let path = if name.is_empty() { prefix.to_vec() } else { [prefix, &[name]].concat() };
        let rest = &text[at..];
        if let Some(next) = rest.strip_prefix("::") {
            if let Some(inner) = next.strip_prefix('{') {
                let mut inside = 0;
                loop {
                    inside += inner[inside..].len() - inner[inside..].trim_start_matches([' ', '\n', ',']).len();
                    if inner[inside..].is_empty() || inner[inside..].starts_with('}') {
                        return at + 3 + inside + 1;
                    }
                    let before = inside;
                    inside += walk(&inner[inside..], &path, found);
                    if let Some(alias) = inner[inside..].strip_prefix(" as ") {
                        inside += 4 + alias.find([',', '}', '\n']).unwrap_or(alias.len());
                    }
                    inside += usize::from(inside == before);
                }
            }
            at += 2;
            return at + walk(&text[at..], &path, found);
        }
        found.push(path);
        at
    }
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            // The middle of `super::super::x` is walked from its beginning.
            let inside = text[..at].ends_with(is_name) || text[..at].ends_with("::");
            if !inside {
                walk(&text[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Files that may use each other: a grammar is recursive, and its reader and printer are divided by kinds of nodes.
const RECURSIVE: &[&str] = &["plan::syntax::"];

#[test]
fn no_two_files_import_each_other_not_even_by_way_of_others() {
    let files = sources("src").into_iter().filter(|(path, _)| !path.ends_with("lib.rs") && !path.ends_with("main.rs"));
    let texts = files
        .map(|(path, text)| (module(&path), text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()))
        .collect::<std::collections::BTreeMap<_, _>>();
    let file_of =
        |path: &[String]| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|part| texts.contains_key(part));
    let mut imports = std::collections::BTreeMap::new();
    for (mine, text) in &texts {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let mut targets = std::collections::BTreeSet::new();
        for path in paths(&code) {
            let climbs = path.iter().take_while(|part| *part == "super").count();
            let base = if path[0] == "crate" { &[][..] } else { &mine[..mine.len().saturating_sub(climbs)] };
            let rest = &path[climbs.max(1)..];
            // What a folder declares for its files is in its `mod.rs`.
            let target = file_of(&[base, rest].concat()).filter(|target| !mine.starts_with(target));
            targets.extend(target);
        }
        imports.insert(mine.clone(), targets);
    }
    assert!(imports.values().map(std::collections::BTreeSet::len).sum::<usize>() > 500, "the imports were not read");
    let mut circles = Vec::new();
    for start in imports.keys() {
        let (mut seen, mut open) = (std::collections::BTreeSet::new(), imports[start].iter().collect::<Vec<_>>());
        while let Some(next) = open.pop() {
            if seen.insert(next) {
                open.extend(&imports[next]);
            }
        }
        let name = start.join("::");
        if seen.contains(start) && !RECURSIVE.iter().any(|room| name.starts_with(room)) {
            circles.push(name);
        }
    }
    assert!(circles.is_empty(), "these files are part of a circle of imports: {circles:#?}");
}

/// Words of `docs/STYLE.md` that comments do not use, each with what is written instead.
const BANNED: &[(&str, &str)] = &[
    ("anew", "again"),
    ("for ever", "forever"),
    ("whoever", "the user, operator or caller"),
    ("whatever", "any, or the noun"),
    ("somebody", "the user, operator or receiver"),
    ("anybody", "anyone, or the noun"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("told", "notified"),
    ("put off", "deferred"),
    ("held back", "suppressed"),
];

/// Words that begin a clause in place of a noun.
const CLAUSES: &[&str] = &["What ", "Whatever ", "Whoever ", "Whether ", "Which ", "Who "];

/// A comment and the line on which it begins.
fn comments(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let words = ["//!", "///", "//"].iter().find_map(|marker| line.strip_prefix(marker));
        match (words, found.last_mut()) {
            (Some(words), Some((_, comment))) if is_open => comment.extend([" ", words.trim()]),
            (Some(words), _) => found.push((number + 1, words.trim().to_owned())),
            (None, _) => {}
        }
        is_open = words.is_some();
    }
    found
}

#[test]
fn comments_use_the_words_of_the_style_guide() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        for (line, comment) in comments(&text) {
            let mut say = |why: String| wrong.push(format!("{}:{line}: {why}: {comment}", path.display()));
            let words = comment.split(|c: char| !c.is_ascii_alphabetic()).collect::<Vec<_>>().join(" ").to_lowercase();
            for (word, instead) in BANNED {
                if format!(" {words} ").contains(&format!(" {word} ")) {
                    say(format!("`{word}` (write {instead})"));
                }
            }
            let sentences = comment.split(". ").map(str::trim_start);
            if let Some(clause) = sentences.flat_map(|s| CLAUSES.iter().filter(move |c| s.starts_with(**c))).next() {
                say(format!("a sentence begins with `{}`", clause.trim_end()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} comments:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_snapshot_belongs_to_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let mut count = 0;
    for entry in fs::read_dir(root.join("snapshots")).expect("the snapshots").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".snap") else { continue };
        let mut parts = name.splitn(3, "__").skip(1);
        let (file, name) = (parts.next().expect("a file"), parts.next().expect("a name"));
        let source = fs::read_to_string(root.join(format!("{file}.rs"))).expect("the tests of a snapshot");
        // A function, a case, or `message_{kind}` with a kind of a list.
        let plain = name.strip_prefix("settings_").unwrap_or(name).trim_end_matches("-2");
        let kind = plain.split_once('_').map_or(plain, |(_, kind)| kind);
        let named = [format!("fn {plain}("), format!("case::{plain}("), format!("\"{kind}\"")];
        assert!(named.iter().any(|name| source.contains(name)), "no test of {file}.rs has the snapshot `{name}`");
        count += 1;
    }
    assert!(count > 100, "the snapshots were not found");
}
