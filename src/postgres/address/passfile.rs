//! Password files: lines of `host:port:database:user:password`, see "The Password File" in the Postgres manual.
//!
//! The driver's own reader is not used: it logs lines that it cannot parse.

use std::path::PathBuf;

use tracing::warn;

use super::Environment;
use super::build::{DEFAULT_PORT, os_user};
use super::parameters::{Origin, Parameters, find};

/// Looks up a password if none is given.
pub(super) fn read(parameters: &mut Parameters, environment: Environment) {
    let own = parameters.get("passfile").map(PathBuf::from);
    let path = own.or_else(|| Some(PathBuf::from(environment("HOME")?).join(".pgpass")));
    let (None, Some(path)) = (parameters.get("password"), path) else { return };
    let Ok(text) = std::fs::read_to_string(&path) else { return };
    if is_open_to_others(&path) {
        warn!(file = %path.display(), "password file ignored because other users can read it; run chmod 600");
        return;
    }
    let found = text.lines().find_map(|line| password(line, &wanted(parameters)));
    if let (Some(password), Some(known)) = (found, find("password")) {
        parameters.set_empty(known, password, Origin::Environment);
    }
}

#[cfg(unix)]
fn is_open_to_others(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &std::path::Path) -> bool {
    false
}

/// Returns the host, port, database and user to match.
fn wanted(parameters: &Parameters) -> [String; 4] {
    let host = parameters.get("host").or_else(|| parameters.get("hostaddr"));
    // A socket in a default folder matches `localhost`.
    let host = host.filter(|host| !["/var/run/postgresql", "/tmp"].contains(host)).unwrap_or("localhost");
    let user = parameters.get("user").map_or_else(os_user, str::to_owned);
    let database = parameters.get("dbname").unwrap_or(&user).to_owned();
    let port = parameters.get("port").map_or_else(|| DEFAULT_PORT.to_string(), str::to_owned);
    [host.to_owned(), port, database, user]
}

/// Returns the password of a line, if its first four fields match.
fn password(line: &str, wanted: &[String; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in wanted {
        let (field, after) = field(rest)?;
        if field != *wanted && rest[..rest.len() - after.len()] != *"*:" {
            return None;
        }
        rest = after;
    }
    Some(unescaped(rest)).filter(|password| !password.is_empty())
}

/// Splits off the field before the next colon; returns it and the rest.
fn field(text: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == ':' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map(|(end, _)| (unescaped(&text[..end]), &text[end + 1..]))
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    plain
}
