//! What `serve` shows to machines, and how it takes in job files that change.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::peers;
use crate::support::program::{Folder, Process};
use crate::support::world::{TABLES, World, hourly, quarter_hours};

/// A server on a port of its own, and its log.
struct Server {
    process: Process,
    folder: Folder,
    port: u16,
}

impl Server {
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer =
            peers::client().get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(40);
        while !done().await {
            assert!(Instant::now() < deadline, "{what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn server(world: &World, settings: &str, arguments: &[&str]) -> Server {
    let port = peers::free_port();
    let folder = Folder::new("web");
    folder.write("jobs/hourly.toml", &world.job.spec.replace("every = \"1h\"", "every = \"2s\"")).write(
        "trueup.toml",
        &format!("[scheduler]\nlease = \"2s\"\npoll = \"1s\"\n{}", settings.replace("PORT", &port.to_string())),
    );
    let log = std::fs::File::create(folder.0.join("log")).expect("a file");
    let mut command = folder.trueup(&[&["serve"], arguments].concat());
    command.env("DATABASE_URL", world.db.url()).stdout(Stdio::null()).stderr(log);
    let process = Process(command.spawn().expect("a server"));
    let server = Server { process, folder, port };
    server
        .until("it does not listen", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok())
        .await;
    server
}

const RULES: &str = "[windows]\nrolling = [\"6h\"]\nlabel_wait = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n";
const WEB: &str = "[web]\nlisten = \"127.0.0.1:PORT\"\n";

async fn world() -> World {
    let world = World::new(TABLES, &hourly(RULES)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24)).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_numbers_and_there_is_no_cohort_in_them() {
    let world = world().await;
    world.db.execute("update public.p set region = 'c0hort-' || region").await;
    let server = server(&world, WEB, &[]).await;
    let runs = async || server.get("/metrics").await.1.contains("trueup_runs_total{job=\"hourly\",outcome=\"ok\"}");
    server.until("no run was counted", runs).await;
    assert_eq!(server.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(server.get("/readyz").await, (200, "ready\n".to_owned()));
    let (status, text) = server.get("/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "trueup_run_duration_seconds_bucket{job=\"hourly\",le=\"1\"}",
        "trueup_rows_read_total{job=\"hourly\"}",
        "trueup_windows_written_total{job=\"hourly\"}",
        "trueup_job_lag_seconds{job=\"hourly\"}",
        "trueup_job_unfinished_runs{job=\"hourly\"}",
        "trueup_alerts_firing{job=\"hourly\",severity=\"page\"} 0",
        "trueup_outbox_pending 0",
        "trueup_outbox_oldest_seconds 0",
        "trueup_jobs 1",
        "trueup_job_files_broken 0",
    ] {
        assert!(text.contains(name), "`{name}` is not in\n{text}");
    }
    assert!(!text.contains("c0hort"), "{text}");
    // A request by another name is a page in somebody's browser.
    let asked = peers::client()
        .get(format!("http://127.0.0.1:{}/metrics", server.port))
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status().as_u16(), 421);
    if let Some(promtool) = peers::find(&["promtool"]) {
        let mut check = Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut check.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let said = check.wait_with_output().unwrap();
        let words = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success() && words.trim().is_empty(), "{words}");
    }
    let Some(prometheus) = peers::find(&["prometheus"]) else { return };
    let port = peers::free_port();
    server.folder.write("prometheus.yml", &format!("global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: trueup\n    static_configs:\n      - targets: ['127.0.0.1:{}']\n", server.port));
    let mut command = Command::new(prometheus);
    command.arg(format!("--config.file={}", server.folder.0.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", server.folder.0.join("tsdb").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let _prometheus = peers::start(&mut command, port);
    let scraped = async || {
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query=trueup_runs_total{{outcome=%22ok%22}}");
        let Ok(answer) = peers::client().get(url).send().await else { return false };
        let body: serde_json::Value = answer.json().await.unwrap_or_default();
        body.pointer("/data/result/0/value/1")
            .and_then(|value| value.as_str())
            .is_some_and(|value| value.parse::<f64>().is_ok_and(|runs| runs > 0.0))
    };
    server.until("Prometheus does not scrape it", scraped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_address_needs_a_token_and_asks_for_it() {
    let folder = Folder::new("open");
    folder.write("jobs/hourly.toml", &hourly(RULES)).write("trueup.toml", "[web]\nlisten = \"0.0.0.0:9187\"\n");
    let refused = folder.run(&["check"]);
    assert!(refused.code == Some(1) && refused.stdout.contains("open-web"), "{}{}", refused.stdout, refused.stderr);
    let world = world().await;
    let port = peers::free_port();
    let folder = Folder::new("token");
    folder
        .write("token", "s3cret\n")
        .write("jobs/hourly.toml", &world.job.spec)
        .write("trueup.toml", &format!("[web]\nlisten = \"0.0.0.0:{port}\"\ntoken = {{ file = \"token\" }}\n"));
    let mut command = folder.trueup(&["serve"]);
    let _server = Process(
        command.env("DATABASE_URL", world.db.url()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(),
    );
    let url = format!("http://127.0.0.1:{port}/metrics");
    let deadline = Instant::now() + Duration::from_secs(20);
    let without = loop {
        if let Ok(answer) = peers::client().get(&url).send().await {
            break answer.status().as_u16();
        }
        assert!(Instant::now() < deadline, "it does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let with = async |token: &str| peers::client().get(&url).bearer_auth(token).send().await.unwrap().status().as_u16();
    assert_eq!((without, with("s3cre").await, with("s3cret").await), (401, 401, 200));
    // Probes need none, and get a status and no detail.
    for page in ["healthz", "readyz"] {
        let answer = peers::client().get(url.replace("metrics", page)).send().await.unwrap();
        assert!([200, 503].contains(&answer.status().as_u16()));
        assert!(["ok\n", "no\n"].contains(&answer.text().await.unwrap().as_str()), "{page}");
    }
    let told = peers::client().get(url.replace("metrics", "readyz")).bearer_auth("s3cret").send().await.unwrap();
    let words = told.text().await.unwrap();
    assert!(["ready\n", "starting\n"].contains(&words.as_str()), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn job_files_that_change_are_taken_in_and_a_broken_one_keeps_the_last_good() {
    let world = world().await;
    let server = server(&world, WEB, &[]).await;
    let published = async |job: &str| {
        world.db.scalar::<i64>(&format!("select count(*) from trueup.run r join trueup.job j on j.id = r.job_id where j.name = '{job}' and r.state = 'ok'")).await
    };
    server.until("it does not run", async || published("hourly").await > 0).await;
    // A new file, at once.
    let spec = std::fs::read_to_string(server.folder.0.join("jobs/hourly.toml")).unwrap();
    server.folder.write("jobs/second.toml", &spec.replace("name = \"hourly\"", "name = \"second\""));
    server.process.signal("HUP");
    server.until("the new job does not run", async || published("second").await > 0).await;
    // Broken: reported, and the last good goes on. By itself this time.
    server.folder.write(
        "jobs/second.toml",
        &spec.replace("name = \"hourly\"", "name = \"second\"").replace("rolling", "roling"),
    );
    server
        .until("nothing is said", async || {
            server.log().contains("the job file has mistakes; its last good definition is served")
        })
        .await;
    assert!(server.log().contains("did you mean `rolling`"), "{}", server.log());
    let before = published("second").await;
    server.until("the last good does not go on", async || published("second").await > before + 1).await;
    assert!(server.get("/metrics").await.1.contains("trueup_job_files_broken 1"));
    // Gone: it is not run any more.
    std::fs::remove_file(server.folder.0.join("jobs/second.toml")).unwrap();
    server.process.signal("HUP");
    server.until("it is still served", async || server.get("/metrics").await.1.contains("trueup_jobs 1")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = published("second").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(published("second").await <= after + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_json_where_it_is_asked_for_and_systemd_is_told() {
    let world = world().await;
    let folder = Folder::new("notify");
    let socket = folder.0.join("notify.sock");
    let listener = std::os::unix::net::UnixDatagram::bind(&socket).expect("a socket");
    listener.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let mut command = folder.trueup(&["serve", "--log", "json"]);
    command
        .env("DATABASE_URL", world.db.url())
        .env("NOTIFY_SOCKET", &socket)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = Process(command.spawn().expect("a server"));
    let mut told = [0; 100];
    let length = listener.recv(&mut told).expect("a word");
    assert!(String::from_utf8_lossy(&told[..length]).contains("READY=1"));
    let mut lines = BufReader::new(process.0.stderr.take().expect("stderr")).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!((&first["message"], &first["level"], &first["jobs"]), (&"serving".into(), &"INFO".into(), &1.into()));
    process.signal("TERM");
    let length = listener.recv(&mut told).expect("a word");
    assert!(String::from_utf8_lossy(&told[..length]).contains("STOPPING=1"));
    let others: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(others.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{others:?}");
}

/// Away and back: not ready while the database lets nobody in, and ready again without a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_database_is_not_ready_until_it_is_back() {
    let world = world().await;
    let server = server(&world, WEB, &[]).await;
    server.until("it is not ready", async || server.get("/readyz").await.0 == 200).await;
    let name: String = world.db.scalar("select current_database()::text").await;
    // Nobody closes the database that they are in.
    let elsewhere: sqlx::postgres::PgConnectOptions = world.db.url().parse().expect("an address");
    let mut connection = sqlx::ConnectOptions::connect(&elsewhere.database("postgres")).await.expect("a connection");
    let mut execute = async |sql: &str| {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("the statement");
    };
    let close = format!(
        "alter database \"{name}\" allow_connections false;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    );
    execute(&close).await;
    server.until("it says ready without a database", async || server.get("/readyz").await.0 == 503).await;
    assert!(server.get("/readyz").await.1.contains("the database does not answer"));
    execute(&format!("alter database \"{name}\" allow_connections true")).await;
    server.until("it does not come back", async || server.get("/readyz").await.0 == 200).await;
    assert_eq!(server.get("/healthz").await.0, 200);
}

/// A connection that sent something, and waits.
fn half_open(port: u16, sent: &[u8]) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    // One that was closed already is what some of this is about.
    drop(std::io::Write::write_all(&mut stream, sent));
    stream.set_read_timeout(Some(Duration::from_secs(12))).expect("a limit");
    stream
}

/// What comes back until the server closes, and after how long it did.
fn until_closed(mut stream: std::net::TcpStream) -> (String, Duration) {
    let (started, mut answer, mut some) = (Instant::now(), Vec::new(), [0; 4_096]);
    loop {
        match std::io::Read::read(&mut stream, &mut some) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&some[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("it was not closed: {error}"),
        }
    }
    (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_send_nothing_drip_or_send_too_much_are_closed_and_others_are_answered() {
    let world = world().await;
    let server = server(&world, WEB, &[]).await;
    server.until("it is not ready", async || server.get("/readyz").await.0 == 200).await;
    let files = || std::fs::read_dir(format!("/proc/{}/fd", server.process.0.id())).map_or(0, Iterator::count);
    let before = files();
    let started = Instant::now();
    let half: Vec<_> = (0..300).map(|_| half_open(server.port, b"GET /healthz HTTP/1.1\r\nHost: loc")).collect();
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(server.get("/healthz").await.0, 200);
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
    assert!(files() <= before + 70, "{before} files before, {} with 300 half requests", files());
    for stream in half {
        until_closed(stream);
    }
    assert!(started.elapsed() < Duration::from_secs(40), "all are closed after {:?}", started.elapsed());
    // A byte now and then does not keep it open.
    let mut drip = half_open(server.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    let started = Instant::now();
    while std::io::Write::write_all(&mut drip, b"x").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(12), "it drips on");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Nor is a head read that is too long, has too many lines, or a body after it.
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "x: y\r\n".repeat(500));
    for head in [long, many] {
        let (answer, _) = until_closed(half_open(server.port, head.as_bytes()));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    for body in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{body}\r\n\r\n");
        let (answer, _) = until_closed(half_open(server.port, head.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    // A connection that is kept may wait for a few seconds.
    let kept = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (answer, waited) = until_closed(half_open(server.port, kept));
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    assert_eq!(server.get("/readyz").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_only_begins_like_a_known_one_is_refused() {
    let world = world().await;
    let server = server(&world, WEB, &[]).await;
    let status = |host: &str, target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        let (answer, _) = until_closed(half_open(server.port, request.as_bytes()));
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for known in ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]", "[::1]:9187"] {
        assert_eq!(status(&format!("Host: {known}\r\n"), "/healthz"), "200", "{known}");
    }
    for other in [
        "[::1]x",
        "[::1]:x",
        "localhost:80:evil",
        "localhost:evil",
        "kim@localhost",
        "localhost@evil.example",
        "localhost.",
        "localhost.evil.example",
        "evil.example",
        "",
        "127.0.0.1.evil.example",
        "localhost:99999",
    ] {
        assert_eq!(status(&format!("Host: {other}\r\n"), "/healthz"), "421", "{other}");
    }
    assert_eq!(status("Host: localhost\r\nHost: evil.example\r\n", "/healthz"), "421");
    assert_eq!(status("Host: localhost\r\n", "http://evil.example/healthz"), "421");
    assert_eq!(status("Host: localhost\r\n", "http://localhost/healthz"), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_asks_the_database_once_a_second_however_often_it_is_asked() {
    let world = world().await;
    let server = server(&world, WEB, &[]).await;
    server.until("it is not ready", async || server.get("/readyz").await.0 == 200).await;
    let transactions = async || {
        world.db.execute("select pg_stat_clear_snapshot()").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        world
            .db
            .scalar::<i64>(
                "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
            )
            .await
    };
    let before = transactions().await;
    let client = peers::client();
    let url = format!("http://127.0.0.1:{}/readyz", server.port);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, url) = (client.clone(), url.clone());
        asked.spawn(async move {
            for _ in 0..100 {
                assert_eq!(client.get(&url).send().await.expect("an answer").status().as_u16(), 200);
            }
        });
    }
    let started = Instant::now();
    asked.join_all().await;
    // Besides, a runner makes some tens a second by itself.
    let most = 200 + 100 * i64::try_from(started.elapsed().as_secs() + 5).expect("few");
    let made = transactions().await - before;
    assert!(made < most.min(1_900), "2,000 probes made {made} transactions");
}
