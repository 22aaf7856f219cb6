//! A machine without Postgres: one is fetched, compared with its checksum, unpacked and used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use trueup::postgres::local::Download;

use crate::support::database::binaries;
use crate::support::program::{Folder, Run};

/// The programs, libraries and shared files of the Postgres that is installed, in one archive.
async fn archive() -> &'static Path {
    static MADE: OnceCell<Folder> = OnceCell::const_new();
    let made = MADE.get_or_init(async || {
        let bin = binaries().await.canonicalize().expect("its folder");
        let share = Command::new(bin.join("pg_config")).arg("--sharedir").output().expect("pg_config").stdout;
        let share = PathBuf::from(String::from_utf8(share).expect("a path").trim()).canonicalize().expect("a folder");
        let folder = Folder::new("archive");
        let root = bin.parent().expect("a folder");
        // Above both: the programs find the shared files by their relative path. Postgres may itself be an unpacked archive.
        let top = root.ancestors().find(|above| share.starts_with(above)).expect("a common folder");
        let inner = |path: &Path| path.strip_prefix(top).expect("below the common folder").to_owned();
        let packed = Command::new("tar")
            .args(["--exclude=bitcode", "-czf"])
            .arg(folder.0.join("postgres.tar.gz"))
            .arg("-C")
            .arg(top)
            .args([inner(root), inner(&share)])
            .status()
            .expect("tar");
        assert!(packed.success());
        folder
    });
    Box::leak(made.await.0.join("postgres.tar.gz").into_boxed_path())
}

fn checksum(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).expect("a file")).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A mirror with the archive, and what it says its checksum is. Returns the archive's address.
async fn mirror(sha256: Option<String>) -> String {
    let bytes = std::fs::read(archive().await).expect("the archive");
    let checksum = move || async move { sha256.ok_or(StatusCode::NOT_FOUND) };
    let routes = Router::new()
        .route("/postgres.tar.gz", get(move || async move { bytes.clone() }))
        .route("/postgres.tar.gz.sha256", get(checksum));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/postgres.tar.gz", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("a mirror") });
    address
}

fn download(archive: &str, cache: &Folder) -> Download {
    Download::of(Some(archive), &cache.0).expect("an archive").expect("a download")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_fetched_once_compared_and_unpacked() {
    let cache = Folder::new("cache");
    let right = format!("{}  postgres.tar.gz\n", checksum(archive().await));
    let address = mirror(Some(right)).await;
    let wanted = download(&address, &cache);
    assert_eq!(wanted.unpacked(), None);
    let seen = Mutex::new(Vec::new());
    let bin = wanted.fetch(&mut |done, of| seen.lock().expect("a lock").push((done, of))).await.expect("a Postgres");
    let version = Command::new(bin.join("postgres")).arg("--version").output().expect("the program");
    assert!(version.status.success());
    let seen = seen.into_inner().expect("a lock");
    assert!(seen.len() > 1 && seen.last().is_some_and(|(done, of)| done == of), "progress is reported");
    assert_eq!(download(&address, &cache).unpacked(), Some(bin), "the next time it is there");
    let left: Vec<_> = std::fs::read_dir(&cache.0).expect("the cache").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 1, "nothing is left of the download: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_what_its_checksum_says_is_not_used() {
    let cache = Folder::new("cache-wrong");
    let address = mirror(Some("0".repeat(64))).await;
    let refused = download(&address, &cache).fetch(&mut |_, _| {}).await.expect_err("a wrong checksum");
    assert!(refused.to_string().contains("does not match its checksum"), "{refused:#}");
    // Beside a file it counts as well.
    let beside = Folder::new("beside");
    let path = beside.0.join("postgres.tar.gz");
    std::fs::copy(archive().await, &path).expect("a copy");
    beside.write("postgres.tar.gz.sha256", &"f".repeat(64));
    let refused = download(path.to_str().expect("a path"), &cache).fetch(&mut |_, _| {}).await;
    assert!(refused.expect_err("a wrong checksum").to_string().contains("checksum"));
    assert_eq!(std::fs::read_dir(&cache.0).expect("the cache").count(), 0, "nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_hold_no_postgres_are_refused_with_the_reason() {
    let (cache, folder) = (Folder::new("cache-strange"), Folder::new("strange"));
    folder.write("text.tar.gz", "no archive").write("hello", "world");
    let packed =
        Command::new("tar").current_dir(&folder.0).args(["-czf", "other.tar.gz", "hello"]).status().expect("tar");
    assert!(packed.success());
    for (name, words) in [
        ("text.tar.gz", "could not be unpacked"),
        ("other.tar.gz", "contains no folder with `initdb`"),
        ("missing.tar.gz", "could not read"),
    ] {
        let path = folder.0.join(name);
        let refused = match Download::of(path.to_str(), &cache.0) {
            Ok(found) => found.expect("a download").fetch(&mut |_, _| {}).await.map(drop),
            Err(error) => Err(error),
        };
        let refused = format!("{:#}", refused.expect_err(name));
        assert!(refused.contains(words), "{name}: {refused}");
    }
    // Nobody listens there: said with the address.
    let closed = download("http://127.0.0.1:1/postgres.tar.gz", &cache).fetch(&mut |_, _| {}).await;
    let closed = format!("{:#}", closed.expect_err("nobody"));
    assert!(closed.contains("could not fetch http://127.0.0.1:1/") && closed.contains("refused"), "{closed}");
}

/// Runs the program where no Postgres is to be seen: in a mount namespace with nothing in its places.
fn without_postgres(folder: &Folder, archive: Option<&str>, arguments: &str) -> Option<Run> {
    let hide = "for place in /usr/lib/postgresql /usr/local/opt /opt/homebrew/opt; do [ -d $place ] && mount -t tmpfs none $place; done; \
                for program in /usr/bin/pg_config /usr/local/bin/pg_config; do [ -e $program ] && mount --bind /dev/null $program; done";
    let script = format!("{hide}; exec {} {arguments}", env!("CARGO_BIN_EXE_trueup"));
    let mut command = Command::new("unshare");
    // Root's own rights suffice; anybody else is root in a namespace of their own.
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    command.args([flags, "--", "sh", "-c", &script]).current_dir(&folder.0);
    command.env_remove("DATABASE_URL").env("PATH", "/usr/bin:/bin").env("XDG_CACHE_HOME", folder.0.join("cache"));
    match archive {
        Some(archive) => command.env("TRUEUP_POSTGRES_ARCHIVE", archive),
        None => command.env_remove("TRUEUP_POSTGRES_ARCHIVE"),
    };
    let allowed = Command::new("unshare").args([flags, "--", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !allowed.is_ok_and(|run| run.status.success()) {
        println!("no mount namespace can be had here: Postgres could not be hidden");
        return None;
    }
    Some(Run::of(command.output().expect("the program")))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_on_a_machine_without_postgres() {
    let folder = Folder::new("no-postgres");
    let address = mirror(Some(checksum(archive().await))).await;
    let Some(run) = without_postgres(&folder, Some(&address), "migrate") else { return };
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("downloading http://127.0.0.1"), "{}", run.stderr);
    // From the cache, whatever the mirror does now; and a path instead of an address.
    let again = without_postgres(&folder, Some(&address), "status").expect("a namespace");
    assert_eq!(again.code, Some(0), "{}{}", again.stdout, again.stderr);
    assert!(!again.stderr.contains("downloading"), "{}", again.stderr);
    let other = Folder::new("no-postgres-path");
    let path = archive().await.to_str().expect("a path");
    let run = without_postgres(&other, Some(path), "migrate").expect("a namespace");
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_that_nobody_agreed_to() {
    let folder = Folder::new("no-consent");
    let Some(run) = without_postgres(&folder, None, "migrate") else { return };
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    for words in ["no Postgres 14 or newer is installed here", "apt-get install", "DATABASE_URL", "trueup demo"] {
        assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
    }
    assert!(!folder.0.join("cache").exists());
    // Where the net is closed, the demo says what else can be done.
    let run = without_postgres(&folder, Some("http://127.0.0.1:1/postgres.tar.gz"), "demo").expect("a namespace");
    assert_eq!(run.code, Some(1), "{}{}", run.stdout, run.stderr);
    for words in ["The download failed", "TRUEUP_POSTGRES_ARCHIVE", "apt-get install"] {
        assert!(run.stderr.contains(words), "`{words}` is not in {}", run.stderr);
    }
}
