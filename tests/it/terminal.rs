//! What a terminal, a log or a CSV file gets: hostile data, file names and answers through every command, and nothing of it obeyed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use trueup::text::visible;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Process, Run};

/// A window title, a colour, a hyperlink, a forged line, a C1 sequence, text turned round, and characters of no width.
const HOSTILE: &str = "x\u{1b}]0;pwned\u{7}\u{1b}[31m\u{1b}]8;;http://evil\u{1b}\\\r\nFORGED\t\u{1}\u{7f}\u{9b}2J\u{202e}\u{2066}\u{200b}\u{ad}\u{2028}\u{feff}\u{e0041}\u{180e}";

/// A folder and a database in which everything that can be is [`HOSTILE`].
struct Scene {
    db: TestDatabase,
    folder: Folder,
}

/// A mail server that refuses everything with a hostile answer, until the test ends.
fn hostile_mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = HOSTILE.replace(['\r', '\n'], "");
            // A client that goes away is all the same.
            drop(stream.write_all(b"220 here\r\n"));
            let mut lines = BufReader::new(stream.try_clone().expect("the stream")).lines();
            while let Some(Ok(line)) = lines.next() {
                let ok = line.starts_with("EHLO");
                let said = if ok { "250 here\r\n".to_owned() } else { format!("550 {answer}\r\n") };
                drop(stream.write_all(said.as_bytes()));
            }
        }
    });
    port
}

/// A text as TOML holds it.
fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
    format!("\"{escaped}\"")
}

fn job(name: &str, rest: &str) -> String {
    let hostile = quoted(HOSTILE);
    format!(
        "[job]\nname = \"{name}\"\ndescription = {hostile}\nowner = {hostile}\nrunbook = \"https://runbooks.example.org/x\"\n[schedule]\nevery = \"1h\"\n\
         [predictions]\ntable = \"public.p\"\nid = \"id\"\nat = \"at\"\nvalue = \"predicted\"\nversion = \"version\"\narrived_at = \"seen\"\n{rest}\
         [labels]\ntable = \"public.l\"\nid = \"id\"\nvalue = \"actual\"\narrived_at = \"seen\"\n[windows]\ntumbling = [\"1h\"]\nrolling = [\"6h\"]\nlabel_wait = \"2h\"\n\
         [[cohorts]]\nby = [\"region\"]\n[residuals]\nkeep = \"2d\"\nworst = 3\n\
         [[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 0.5\nseverity = \"page\"\ncohorts = \"each\"\nversions = \"each\"\nowner = {hostile}\nnotify = [\"mail\"]\n"
    )
}

async fn scene() -> Scene {
    let db = TestDatabase::new().await;
    db.execute(
        "create table public.p (id text, at timestamptz not null, predicted float8, version text, region text, seen timestamptz not null);
         create table public.l (id text primary key, actual float8, seen timestamptz not null);
         create index on public.p (at); create index on public.p (seen); create index on public.l (seen);",
    )
    .await;
    // Two predictions of one key contradict themselves, and are named by it.
    for (rows, copies) in [("generate_series(1, 96)", 1), ("generate_series(1, 2)", 2)] {
        let sql = format!(
            "insert into public.p select $1 || n || 'k{copies}', timestamptz '2024-05-01Z' + n * interval '15 minutes', 100, $1, $1, '2024-05-01Z'
             from {rows} n, generate_series(1, {copies})"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(HOSTILE).execute(&db.pool).await.expect("rows");
    }
    db.execute("insert into public.l select distinct on (id) id, 90, at from public.p order by id; analyze").await;
    let folder = Folder::new("terminal");
    let evil = HOSTILE.replace('/', "");
    folder
        .write("jobs/hourly.toml", &job("hourly", ""))
        .write("broken/broken.toml", &job("broken", "where = \"cast(region as bigint) > 0\"\n"))
        .write(&format!("mistakes/{evil}.toml"), &format!("# {HOSTILE}\n{}", job("x", "odd = 1 # \u{1b}[8m\u{202e}\n")))
        .write(&format!("tests/{evil}.test.toml"), &format!("job = \"../jobs/hourly.toml\"\n[[tests]]\nname = {0}\n[[tests.series]]\nwindow = \"tumbling 1h\"\ncohort = {0}\nend = \"2024-05-01T01:00:00Z\"\nvalues = {{ rmse = \"1x3\" }}\n[[tests.fires]]\nrule = \"high\"\ncohort = {0}\nfrom = \"2024-05-01T01:00:00Z\"\n", quoted(HOSTILE)))
        .write(&format!("{evil}p.csv"), "id,at,predicted\n1,2024-05-01T00:00:00Z,1\n")
        .write(&format!("{evil}l.csv"), "id,actual\n1,1\n1,x\n")
        .write("trueup.toml", &format!("[receivers.mail]\ntype = \"email\"\nto = [\"oncall@example.org\"]\nfrom = \"trueup@example.org\"\nsmtp = {{ host = \"127.0.0.1\", port = {}, tls = \"none\" }}\n", hostile_mail_server()));
    Scene { db, folder }
}

/// What is tried of each command; None for one that this test does not know.
fn arguments(command: &str) -> Option<Vec<Vec<&'static str>>> {
    let evil = || Box::leak(HOSTILE.replace('/', "").into_boxed_str()) as &'static str;
    let file = |name: &str| Box::leak(name.replace("{}", evil()).into_boxed_str()) as &'static str;
    let run = ["run", "hourly", "--at"];
    Some(match command {
        "run" => vec![
            [&run[..], &["2024-05-01T12:00:00Z"]].concat(),
            [&run[..], &["2024-05-01T18:00:00Z"]].concat(),
            [&run[..], &["2024-05-01T20:00:00Z", "--dry-run"]].concat(),
            vec!["run", HOSTILE],
            vec!["--jobs", "broken", "run", "broken"],
            vec![file("mistakes/{}.toml"), "run"],
            vec!["run", file("mistakes/{}.toml")],
        ],
        "annotate" => vec![
            vec!["annotate", "deploy", "--note", HOSTILE, "--at", "2024-05-01T17:00:00Z", "--suppress", "1h"],
            vec!["annotate", HOSTILE],
        ],
        "check" => {
            vec![vec!["check"], vec!["check", "mistakes"], vec!["check", HOSTILE], vec!["check", "--explain", HOSTILE]]
        }
        "migrate" => vec![vec!["migrate"], vec!["migrate", "--print-grants", "--runner", HOSTILE, "--reader", HOSTILE]],
        "doctor" => vec![vec!["doctor"], vec!["doctor", "--jobs", "mistakes"]],
        "backfill" => vec![
            vec!["backfill", "hourly", "--from", "2024-05-01", "--to", "2024-05-02"],
            vec!["backfill", "broken/broken.toml", "--from", "2024-05-01", "--to", "2024-05-02"],
        ],
        "reconcile" => vec![vec!["reconcile", "hourly"], vec!["reconcile", HOSTILE]],
        "history" => {
            vec![vec!["history", "hourly"], vec!["history", "hourly", "--cohort", HOSTILE], vec!["history", HOSTILE]]
        }
        "status" => vec![vec!["status"], vec!["status", "--jobs", "mistakes"]],
        "runs" => vec![vec!["runs"], vec!["runs", "broken"], vec!["runs", HOSTILE]],
        "alerts" => vec![vec!["alerts", "--all"], vec!["alerts", "--job", HOSTILE]],
        "alerts ack" => vec![
            vec!["alerts", "ack", "--incident", "1", "--by", HOSTILE, "--note", HOSTILE],
            vec!["alerts", "ack", HOSTILE],
        ],
        "alerts resolve" => vec![vec!["alerts", "resolve", "1", "--by", HOSTILE, "--note", HOSTILE]],
        "incident" => vec![
            vec!["incident", "--all"],
            vec!["incident", "1"],
            vec!["incident", "1", "--postmortem"],
            vec!["incident", HOSTILE],
        ],
        "route" => vec![
            vec!["route", "--job", "hourly", "--cohort", HOSTILE],
            vec!["route", "--job", "hourly", "--rule", HOSTILE],
        ],
        "notify test" => vec![vec!["notify", "test", "mail"], vec!["notify", "test", HOSTILE]],
        "deliveries" => vec![vec!["deliveries"], vec!["deliveries", "--receiver", HOSTILE]],
        "deliveries retry" => {
            vec![vec!["deliveries", "retry", "--receiver", "mail"], vec!["deliveries", "retry", HOSTILE]]
        }
        "explain" => vec![
            vec!["explain", "hourly"],
            vec!["explain", "broken/broken.toml"],
            vec!["explain", "--metrics"],
            vec!["explain", "--errors"],
            vec!["explain", "--reference"],
            vec!["explain", HOSTILE],
        ],
        "backtest" => vec![vec!["backtest", "hourly"], vec!["backtest", "hourly", "--set", HOSTILE]],
        "suggest" => vec![
            vec!["suggest", "hourly", "--metric", "rmse", "--window", "tumbling 1h"],
            vec!["suggest", "hourly", "--window", HOSTILE],
        ],
        "init" => vec![
            vec!["init", "--csv", file("{}p.csv"), file("{}l.csv")],
            vec!["init", "--yes", "--predictions", HOSTILE],
        ],
        "schema" => vec![vec!["schema"], vec!["schema", HOSTILE]],
        "test" => vec![vec!["test", "tests"], vec!["test", HOSTILE]],
        "baseline set" => vec![vec![
            "baseline",
            "set",
            "hourly",
            "--metric",
            "rmse",
            "--value",
            "1",
            "--version",
            HOSTILE,
            "--cohort",
            HOSTILE,
            "--note",
            HOSTILE,
        ]],
        "silence add" => vec![vec![
            "silence", "add", "--for", "1h", "--reason", HOSTILE, "--author", HOSTILE, "--cohort", HOSTILE, "--rule",
            HOSTILE,
        ]],
        "silence list" => vec![vec!["silence", "list"], vec!["silence", "list", HOSTILE]],
        "silence expire" => vec![vec!["silence", "expire", "1"], vec!["silence", "expire", HOSTILE]],
        // The whole of it is a test of its own, on data that are not anybody's.
        "demo" => vec![vec!["demo", "--stop"], vec!["demo", HOSTILE]],
        "completions" => vec![vec!["completions", "bash"], vec!["completions", "zsh"], vec!["completions", HOSTILE]],
        "man" => vec![vec!["man"], vec!["man", file("jobs/hourly.toml/{}")]],
        "local-postgres-guard" => vec![vec![
            "local-postgres-guard",
            "--folder",
            HOSTILE,
            "--socket",
            "x",
            "--binaries",
            "x",
            "--linger-ms",
            "1",
        ]],
        // Logs of both formats are tested below.
        "serve" => vec![vec!["serve", "--log", HOSTILE], vec!["serve", "--jobs", HOSTILE]],
        // Pages are tested in `pages::`: a browser obeys other characters.
        "web" => vec![vec!["web", "--log", HOSTILE], vec!["web", "--listen", HOSTILE]],
        "links" => vec![vec!["links", "hourly"], vec!["links", HOSTILE]],
        "report" => vec![
            vec!["report"],
            vec!["report", "--format", "md"],
            vec!["report", "--month", HOSTILE],
            vec!["report", "--week", HOSTILE],
        ],
        _ => return None,
    })
}

/// Every command of the command line, those with subcommands too where they do something by themselves.
fn commands() -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<(String, clap::Command)> = vec![(String::new(), trueup::cli::Cli::command())];
    while let Some((name, command)) = open.pop() {
        if !name.is_empty() && !command.is_subcommand_required_set() {
            found.push(name.clone());
        }
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        open.extend(below.map(|below| (format!("{name} {}", below.get_name()).trim().to_owned(), below.clone())));
    }
    found
}

/// What a terminal would obey or hide of an output, and whether data began a line of it.
fn obeyed(what: &[&str], said: &str) -> Option<String> {
    let documents = ["completions", "man", "explain", "report", "csv"].iter().any(|word| what.contains(word));
    let allowed = |c: char| c == '\n' || (c == '\t' && documents);
    let seen: String = said.chars().filter(|c| !allowed(*c)).collect();
    if visible::has_hidden(&seen) {
        let hidden: String = seen.chars().filter(|c| visible::has_hidden(&c.to_string())).collect();
        return Some(format!("{what:?} printed {hidden:?}"));
    }
    // A break within HTML begins no line of the page; Markdown and everything else is read by lines.
    let is_html = what.contains(&"report") && !what.contains(&"md");
    let forged = said.lines().any(|line| line.starts_with("FORGED")) && !what.contains(&"csv") && !is_html;
    forged.then(|| format!("{what:?} let data begin a line"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_prints_what_a_terminal_obeys_or_hides() {
    let scene = scene().await;
    let mut known: Vec<String> = commands();
    // In an order in which each finds what those before it made.
    let first = ["run", "annotate", "alerts ack", "silence add", "baseline set"];
    known.sort_by_key(|name| (first.iter().position(|one| one == name).unwrap_or(first.len()), name.clone()));
    let (mut escaped, mut printed, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for command in &known {
        let tried = arguments(command)
            .unwrap_or_else(|| panic!("`{command}` is new: say here what it can print of hostile data"));
        for given in &tried {
            for output in ["table", "json", "csv", "sarif", "github"] {
                let all = [&given[..], &["--output", output]].concat();
                let mut program = scene.folder.trueup(&all);
                let run = Run::of(program.env("DATABASE_URL", scene.db.url()).output().unwrap());
                let said = format!("{}\n{}", run.stdout, run.stderr);
                assert!(!said.contains("panicked"), "{all:?}: {said}");
                wrong.extend(obeyed(&all, &said));
                if output == "json" && run.code == Some(0) && run.stdout.starts_with(['[', '{']) {
                    assert_json(&all, &run.stdout);
                }
                printed += 1;
                if said.contains("pwned") {
                    escaped.insert(command.clone());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{printed} outputs of {} commands; data were shown by {escaped:?}", known.len());
    // That hostile data came so far is what this test is about.
    for command in [
        "run",
        "backtest",
        "incident",
        "history",
        "alerts",
        "alerts ack",
        "alerts resolve",
        "check",
        "silence list",
        "explain",
        "route",
        "test",
        "init",
        "notify test",
    ] {
        assert!(escaped.contains(command), "`{command}` showed none of the data: {escaped:?}");
    }
}

/// Lossless: whoever parses it has the characters of the data.
fn assert_json(what: &[&str], text: &str) {
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        let value = value.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        let inner = value.to_string();
        assert!(!inner.contains("\\\\x1b") && !inner.contains("\\\\u{"), "{what:?} lost characters: {inner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_serve_shows_hostile_data_in_both_formats_and_obeys_none() {
    let scene = scene().await;
    let evil = HOSTILE.replace('/', "");
    scene.folder.write("broken/hourly.toml", &job("hourly", "").replace("every = \"1h\"", "every = \"1s\""));
    for format in ["text", "json"] {
        std::fs::remove_file(scene.folder.0.join(format!("broken/{evil}.toml"))).ok();
        let log = std::fs::File::create(scene.folder.0.join("log")).expect("a file");
        let mut program = scene.folder.trueup(&["serve", "--jobs", "broken", "--log", format]);
        program
            .env("DATABASE_URL", scene.db.url())
            .env("TRUEUP_LOG", "debug,sqlx=debug")
            .stdout(Stdio::null())
            .stderr(log);
        let server = Process(program.spawn().expect("a server"));
        let said = || std::fs::read_to_string(scene.folder.0.join("log")).expect("UTF-8");
        let until = |what: &str| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !said().contains(what) {
                assert!(Instant::now() < deadline, "`{what}` is not in\n{}", said());
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        until("serving");
        // A file with mistakes and a name, and a run whose failure quotes the data.
        scene.folder.write(&format!("broken/{evil}.toml"), &job("worse", "odd = 1\n"));
        server.signal("HUP");
        until("has mistakes");
        until("pwned");
        std::thread::sleep(Duration::from_secs(2));
        drop(server);
        assert_eq!(obeyed(&["serve", format], &said()), None);
        if format == "json" {
            let lines = said();
            assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{lines}");
        }
    }
}
