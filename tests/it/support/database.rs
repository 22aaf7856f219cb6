//! A fresh database for each test, from a migrated template, on one throw-away Postgres per machine and checkout.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use trueup::postgres::local::{Download, LocalOptions, LocalServer, installed};
use trueup::postgres::{connect, migrate};

/// A database of one test, dropped with it.
pub struct TestDatabase {
    pub pool: PgPool,
    pub name: String,
    pub options: PgConnectOptions,
    is_shared: bool,
}

static SERVER: OnceLock<Server> = OnceLock::new();

struct Server {
    local: LocalServer,
    template: String,
}

impl TestDatabase {
    /// Makes a database with the current schema.
    pub async fn new() -> Self {
        let server = server();
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let sql = format!("create database {name} template {} strategy file_copy", server.template);
        admin(&server.local, &sql).await;
        let options = server.local.options(&name);
        let pool = connect::pool(options.clone(), 8).await.expect("a pool");
        Self { pool, name, options, is_shared: true }
    }

    /// A migrated database on a server of a test's own, which ends with that server.
    pub async fn on(options: PgConnectOptions) -> Self {
        migrate::run(&options).await.expect("a migrated database");
        let pool = connect::pool(options.clone(), 4).await.expect("a pool");
        let name = options.get_database().unwrap_or_default().to_owned();
        Self { pool, name, options, is_shared: false }
    }

    /// The address that a program started by a test is given.
    pub fn url(&self) -> String {
        let socket = self.options.get_socket().expect("a socket").display().to_string();
        // With its port: a program that is started takes what is missing from `PGPORT`.
        let port = self.options.get_port();
        format!("postgres://trueup@localhost:{port}/{}?host={}&sslmode=disable", self.name, socket.replace('/', "%2F"))
    }

    /// Runs statements that set a scene.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connection().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap_or_else(|e| panic!("{e}\n{sql}"));
        connection.close().await.expect("to close");
    }

    /// One value.
    pub async fn scalar<T>(&self, sql: &str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let mut attempts = 10;
        loop {
            match sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await {
                Ok(value) => return value,
                // On a busy machine a connection takes its time.
                Err(sqlx::Error::PoolTimedOut) if attempts > 0 => attempts -= 1,
                // Each connection of the pool may have died with its server.
                Err(sqlx::Error::Io(_) | sqlx::Error::Database(_)) if attempts > 0 && !self.is_shared => attempts -= 1,
                Err(error) => panic!("{error}\n{sql}"),
            }
        }
    }

    /// Rows as text, columns joined by ` | `, for comparing with what is expected.
    pub async fn lines(&self, sql: &str) -> Vec<String> {
        let wrapped = format!(
            "select array_to_string(array(select coalesce(value, '-') from json_each_text(row_to_json(q))), ' | ') from ({sql}) as q"
        );
        sqlx::query_scalar(AssertSqlSafe(wrapped)).fetch_all(&self.pool).await.unwrap_or_else(|e| panic!("{e}\n{sql}"))
    }

    /// A connection as a person would open one, with the server's own settings.
    pub async fn connection(&self) -> PgConnection {
        self.options.clone().connect().await.expect("a connection")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !self.is_shared {
            return;
        }
        let sql = format!("drop database if exists {} with (force)", self.name);
        // A runtime of its own: the test's is about to end.
        let dropped = std::thread::spawn(move || runtime().block_on(admin(&server().local, &sql))).join();
        if dropped.is_err() {
            eprintln!("a test database was not dropped");
        }
    }
}

/// The folder of the shared server: in memory where there is room, because tests write a lot.
pub fn scratch_root() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

fn server() -> &'static Server {
    SERVER.get_or_init(|| std::thread::spawn(|| runtime().block_on(start())).join().expect("the test server"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The programs of the Postgres that is installed, or of one that is fetched where there is none.
pub async fn binaries() -> PathBuf {
    let missing = match installed() {
        Ok(found) => return found,
        Err(missing) => missing,
    };
    let download = Download::new().expect("an archive of Postgres").unwrap_or_else(|| panic!("{missing}"));
    if let Some(found) = download.unpacked() {
        return found;
    }
    eprintln!("no Postgres is installed here: downloading {}", download.words());
    download.fetch(&mut |_, _| {}).await.unwrap_or_else(|error| panic!("{missing}\nThe download failed: {error:#}"))
}

async fn start() -> Server {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    let folder = scratch_root().join(format!("trueup-test-{}-{:x}", uid(), hasher.finish()));
    let guard = PathBuf::from(env!("CARGO_BIN_EXE_trueup"));
    let options = LocalOptions { binaries: binaries().await, guard, throw_away: true, linger: Duration::from_secs(2) };
    let local = LocalServer::start(&folder, options).await.expect("a local Postgres");
    let template = template_name();
    make_template(&local, &template).await;
    Server { local, template }
}

fn uid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").map_or(0, |meta| meta.uid())
}

/// Named by its migrations, so that a changed one makes a new template.
fn template_name() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in migrate::MIGRATOR.iter() {
        migration.checksum.hash(&mut hasher);
    }
    format!("template_{:x}", hasher.finish())
}

/// Made once, under a lock, under another name until it is whole.
async fn make_template(local: &LocalServer, template: &str) {
    let mut connection = local.options("postgres").connect().await.expect("a connection");
    sqlx::query("select pg_advisory_lock(7)").execute(&mut connection).await.expect("the lock");
    let exists: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(template)
        .fetch_one(&mut connection)
        .await
        .expect("an answer");
    if !exists {
        let draft = format!("{template}_draft");
        for sql in [format!("drop database if exists {draft} with (force)"), format!("create database {draft}")] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a draft");
        }
        migrate::run(&local.options(&draft)).await.expect("a migrated template");
        let rename = format!("alter database {draft} rename to {template}");
        sqlx::raw_sql(AssertSqlSafe(rename)).execute(&mut connection).await.expect("a template");
    }
    connection.close().await.expect("to close");
}

async fn admin(local: &LocalServer, sql: &str) {
    let mut connection = local.options("postgres").connect().await.expect("a connection");
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|e| panic!("{e}\n{sql}"));
    connection.close().await.expect("to close");
}
