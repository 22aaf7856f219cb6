//! What a server does to its clients: it restarts, crashes, runs out of connections or disk, or takes no writes.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::support::cluster::{Cluster, kill_backend};
use crate::support::database::TestDatabase;
use crate::support::fleet::{Runner, size, until};
use crate::support::program::Folder;
use crate::support::proxy::Mode;
use crate::support::scene::{self, BUSY};

/// Promise 3, for a server that was away: a runner tries again after at most ten seconds.
const RESUMES_WITHIN: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(150);

/// A server of its own, and a runner at work on it.
struct Site {
    runner: Runner,
    db: TestDatabase,
    cluster: Cluster,
}

impl Site {
    async fn new() -> Self {
        Self::on(Cluster::start().await, None).await
    }

    async fn on(cluster: Cluster, tablespace: Option<&str>) -> Self {
        let mut admin = cluster.server.options("postgres").connect().await.expect("a connection");
        if let Some(location) = tablespace {
            run(&mut admin, &format!("create tablespace small location '{location}'")).await;
        }
        let place = if tablespace.is_some() { " tablespace small" } else { "" };
        run(&mut admin, &format!("create database work template template0{place}")).await;
        admin.close().await.expect("to close");
        let db = TestDatabase::on(cluster.server.options("work")).await;
        db.execute(scene::SCENE).await;
        let settings = scene::settings("http://127.0.0.1:9/", 4);
        let mut runner = Runner::new(&db.options, "server", &[("jobs/tick.toml", BUSY), ("trueup.toml", &settings)]);
        runner.start();
        let site = Self { runner, db, cluster };
        site.resumes("after the start").await;
        site
    }

    async fn resumes(&self, when: &str) -> Duration {
        let what = || format!("promise 3: the runner publishes on time {when}\n{}", self.runner.last_words());
        let took = scene::resumed(&self.db, PATIENCE, what).await;
        scene::published_anew(&self.db, PATIENCE, what).await;
        took
    }

    async fn check(&self) {
        let wrong = scene::lost_or_doubled(&self.db).await;
        assert!(wrong.is_empty(), "promises 1 and 2: ticks lost, doubled or without an end: {wrong:?}");
        let failed =
            self.db.lines("select scheduled_for, failure from trueup.run where state in ('failed', 'skipped')").await;
        assert!(failed.is_empty(), "promise 2: trouble of the server fails no tick for good: {failed:?}");
        let different = self.db.lines(scene::DIFFERENT).await;
        assert!(different.is_empty(), "promise 5: history equals a recompute: {different:?}");
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_crashes_costs_no_tick() {
    let mut site = Site::new().await;
    for _ in 0..size("TRUEUP_FAULT_TRIALS", 1) {
        for (how, signal) in [("fast", Signal::INT), ("immediate", Signal::QUIT), ("kill -9", Signal::KILL)] {
            site.cluster.stop(signal).await;
            site.cluster.start_again().await;
            let took = site.resumes(&format!("after a restart ({how})")).await;
            println!("restart ({how}): publishing again after {:.1} s", took.as_secs_f64());
            assert!(took < RESUMES_WITHIN, "promise 3: resumes within {RESUMES_WITHIN:?}, not {took:?}");
        }
        kill_backend(*site.runner.proxy.sessions().first().expect("a session"));
        let took = site.resumes("after a backend was killed").await;
        println!("backend killed: publishing again after {:.1} s", took.as_secs_f64());
        assert!(took < RESUMES_WITHIN, "promise 3: resumes within {RESUMES_WITHIN:?}, not {took:?}");
    }
    site.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_costs_no_tick() {
    let site = Site::new().await;
    let mut hogs = hog(&site).await;
    site.runner.proxy.all(Mode::Reset);
    // What the runner has lost is taken before it can come back.
    hogs.extend(hog(&site).await);
    let before = site.runner.proxy.accepted();
    until(PATIENCE, "the runner is refused", async || site.runner.proxy.accepted() > before + 3).await;
    println!("{} connections held", hogs.len());
    drop(hogs);
    let took = site.resumes("after connections became free").await;
    println!("connections free: publishing again after {:.1} s", took.as_secs_f64());
    site.check().await;
}

/// Takes every connection that the server has.
async fn hog(site: &Site) -> Vec<PgConnection> {
    let mut hogs = Vec::new();
    loop {
        match site.cluster.server.options("postgres").connect().await {
            Ok(connection) => hogs.push(connection),
            Err(error) => {
                let code = error.as_database_error().and_then(|refused| refused.code()).map(|code| code.into_owned());
                assert_eq!(code.as_deref(), Some("53300"), "{error}");
                return hogs;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_costs_no_tick() {
    let site = Site::new().await;
    let mut admin = site
        .db
        .options
        .clone()
        .options([("default_transaction_read_only", "off")])
        .connect()
        .await
        .expect("a connection");
    for round in 0..size("TRUEUP_FAULT_TRIALS", 1) {
        run(&mut admin, "alter system set default_transaction_read_only = on; ").await;
        run(&mut admin, "select pg_reload_conf()").await;
        let refused = async || {
            site.runner.log().matches("25006").count() + site.runner.log().matches("read-only").count()
                > usize::try_from(round).expect("small")
        };
        until(PATIENCE, "a write of the runner is refused", refused).await;
        run(&mut admin, "alter system reset default_transaction_read_only").await;
        run(&mut admin, "select pg_reload_conf()").await;
        let took = site.resumes("after writes are taken again").await;
        println!("read only: publishing again after {:.1} s", took.as_secs_f64());
    }
    site.check().await;
}

/// A file system in memory that ends with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// None, with a word, where mounting is not allowed.
    fn mount(path: &std::path::Path) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder");
        let mounted =
            std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=40m", "tmpfs"]).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path.to_owned()));
        }
        println!("mounting needs root and the right to: a full disk is not tested on this machine");
        None
    }

    /// A folder in it that the account of the server owns.
    fn tablespace(&self, like: &std::path::Path) -> String {
        use std::os::unix::fs::MetadataExt as _;
        let owner = std::fs::metadata(like).expect("the data of a server");
        let folder = self.0.join("tablespace");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::os::unix::fs::chown(&folder, Some(owner.uid()), Some(owner.gid())).expect("to give it away");
        folder.display().to_string()
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("ballast")).expect("a file");
        while file.write_all(&[0; 65_536]).is_ok() {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("to make room");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server may hold files in it for a moment longer.
        let ended = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{} was not unmounted", self.0.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_tick() {
    let mount = Folder::new("disk");
    let Some(disk) = SmallDisk::mount(&mount.0.join("small")) else { return };
    let cluster = Cluster::start().await;
    let tablespace = disk.tablespace(&cluster.data());
    let site = Site::on(cluster, Some(&tablespace)).await;
    for _ in 0..size("TRUEUP_FAULT_TRIALS", 1) {
        let before = site.runner.log().matches("53100").count();
        disk.fill();
        until(PATIENCE, "a write of the runner finds the disk full", async || {
            site.runner.log().matches("53100").count() > before
        })
        .await;
        disk.empty();
        let took = site.resumes("after there is room again").await;
        println!("disk full: publishing again after {:.1} s", took.as_secs_f64());
    }
    site.check().await;
}
