//! `/api/v1`: its numbers are those of the views, its answers are those of its document, and nobody reads it without the token.

mod acts;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::pages::classes;
use crate::support::peers;
use crate::support::program::{Folder, Process};
use crate::support::world::{TABLES, World, at, hourly, plan_job};

const JOB: &str = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[cohorts]]\nby = [\"region\"]\n\
    [[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\nnotify = [\"mail\"]\n\
    [[slos]]\nname = \"near\"\ngood = \"abs(error) <= 5\"\nobjective = 0.5\nperiod = \"2d\"\n\
    burn = [{ long = \"6h\", short = \"2h\", factor = 1.0, severity = \"ticket\" }]\nnotify = [\"hook\"]\n";

/// Region of half of the predictions.
const HOSTILE: &str = "=cmd|' /C calc'!A0<script>";

/// Pages over a history, with a token.
struct Server {
    _process: Process,
    folder: Folder,
    port: u16,
}

impl Server {
    async fn start(world: &World) -> Self {
        let (folder, port) = (Folder::new("api"), peers::free_port());
        folder
            .write("token", "s3cret\n")
            .write("trueup.toml", &format!("[web]\nlisten = \"127.0.0.1:{port}\"\ntoken = {{ file = \"token\" }}\n"));
        let mut command = folder.trueup(&["web"]);
        command.env("DATABASE_URL", world.db.url()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process(command.spawn().expect("a server"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "it does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { _process: process, folder, port }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn ask(&self, path: &str) -> reqwest::RequestBuilder {
        peers::client().get(self.url(&format!("/api/v1{path}"))).bearer_auth("s3cret")
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.ask(path).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("text");
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    async fn json(&self, path: &str) -> Json {
        serde_json::from_str(&self.text(path).await).expect("JSON")
    }

    /// Status and reason of a refusal, which must be a problem.
    async fn refusal(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("text");
        assert_eq!(headers["content-type"], "application/problem+json", "{status}: {text}");
        let problem: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!(problem["status"], status, "{text}");
        if status == 401 {
            assert_eq!(headers["www-authenticate"], "Bearer");
        }
        (status, problem["detail"].as_str().unwrap_or_default().to_owned())
    }

    async fn decision(&self, query: &str) -> Json {
        self.json(&format!("/jobs/hourly/gate?{query}")).await["data"].clone()
    }

    /// Signs a user in.
    async fn cookie(&self, name: &str) -> String {
        trueup::notify::transport::http::install_tls();
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let signed_in = client
            .post(self.url("/login"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("name={name}&token=s3cret&next=%2F"))
            .send()
            .await
            .expect("an answer");
        let cookie = signed_in.headers()["set-cookie"].to_str().expect("text");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    /// Addresses that `trueup links` prints, by their use.
    fn links(&self) -> std::collections::BTreeMap<String, String> {
        let printed = self.folder.run(&["links", "hourly"]).ok().stdout;
        let lines = printed.lines().skip(1).filter_map(|line| line.split_once(','));
        lines.map(|(name, address)| (name.to_owned(), address.trim().to_owned())).collect()
    }
}

/// Two hours: in the first the error is 9, in the second 1; the first alert fires until `02:00`.
async fn world() -> World {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&format!(
        "insert into public.p select h * 10 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '5 minutes', 9 - 8 * h, 'v1',
             case n % 2 when 0 then 'a' else '{}' end, '2024-05-01Z' from generate_series(0, 1) h, generate_series(1, 8) n;
         insert into public.l select id, 0, at from public.p;",
        HOSTILE.replace('\'', "''")
    )).await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world
}

/// The job counts as published just now.
const ON_TIME: &str = "update trueup.job set published_as_of = clock_timestamp()";

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_numbers_of_the_views() {
    let world = world().await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    let server = Server::start(&world).await;
    let series = server.json("/jobs/hourly/series?metric=rmse&window=tumbling-1h").await;
    let values: Vec<(Option<&str>, Option<f64>)> = series
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["window_end"].as_str(), entry["value"].as_f64()))
        .collect();
    // The errors of the two hours are 9 and 1 by construction.
    let expected = [(Some("2024-05-01T01:00:00Z"), Some(9.0)), (Some("2024-05-01T02:00:00Z"), Some(1.0))];
    assert_eq!(values, expected);
    let sql = "select value from trueup.metric_history where metric = 'rmse' and window_name = 'tumbling 1h' and cohort = 'all' order by window_end limit 1";
    assert_eq!(series[0]["value"].as_f64(), Some(world.db.scalar::<f64>(sql).await));
    assert_eq!((&series[0]["verdict"], &series[1]["verdict"]), (&"breach".into(), &"ok".into()));
    assert_eq!((series[0]["limit"].as_f64(), series[0]["labeled"].as_i64()), (Some(5.0), Some(8)));
    let csv = server.text("/jobs/hourly/series.csv?metric=rmse&window=tumbling-1h").await;
    let cells: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((cells[1], cells[2], cells[5], cells[13]), ("2024-05-01T01:00:00Z", "9", "8", "breach"));
    assert!(server.text("/jobs/hourly/series.svg?metric=rmse&window=tumbling-1h").await.starts_with("<svg "));
    let picture = server.ask("/jobs/hourly/series.png?metric=rmse&window=tumbling-1h").send().await.unwrap();
    assert!(picture.bytes().await.unwrap().starts_with(b"\x89PNG"));

    let cohorts = server.json("/jobs/hourly/cohorts?metric=rmse&window=tumbling-1h").await;
    let names: Vec<&str> = cohorts.as_array().unwrap().iter().filter_map(|entry| entry["cohort"].as_str()).collect();
    assert!(names.len() == 3 && names[0] == "all" && names.contains(&"region=a"), "{names:?}");
    let sums: i64 = cohorts.as_array().unwrap()[1..].iter().filter_map(|entry| entry["labeled"].as_i64()).sum();
    assert_eq!(sums, 8);
    let window = server.json("/jobs/hourly/windows/tumbling-1h/2024-05-01T01:00:00Z").await;
    let rmse = window["metrics"].as_array().unwrap().iter().find(|metric| metric["metric"] == "rmse").unwrap();
    assert_eq!((rmse["value"].as_f64(), rmse["first_reported"].as_f64()), (Some(9.0), Some(9.0)));
    let jobs = server.json("/jobs").await;
    assert_eq!((&jobs[0]["job"], &jobs[0]["owner"]), (&"hourly".into(), &"team@example.org".into()));
    let incidents = server.json("/incidents").await;
    assert_eq!(incidents[0]["rules"], serde_json::json!(["r"]));
    let id = &incidents[0]["incident_id"];
    let detail = server.json(&format!("/incidents/{id}")).await;
    assert_eq!(
        (detail["firings"][0]["value"].as_f64(), detail["firings"][0]["limit"].as_f64()),
        (Some(9.0), Some(5.0))
    );
    assert_eq!(server.json("/runs?limit=1").await.as_array().unwrap().len(), 1);
    let first = server.ask("/runs?limit=1").send().await.unwrap();
    let next = first.headers()["link"].to_str().unwrap().to_owned();
    let query = next.trim_start_matches('<').split('>').next().unwrap();
    let (newest, older) = (server.json("/runs?limit=1").await, server.json(&format!("/runs{query}")).await);
    assert!(newest[0]["run_id"].as_i64() > older[0]["run_id"].as_i64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_fails_on_breaches_waits_on_silence_and_passes_on_good_windows() {
    let world = world().await;
    let server = Server::start(&world).await;
    let links = server.links();
    let hook = async |name: &str, query: &str| {
        let url = server.url(&format!("{}{query}", links[name]));
        peers::client().post(url).json(&serde_json::json!({"name": "x"})).send().await.unwrap().status().as_u16()
    };
    let (promotion, rollback) = ("Flagger confirm-promotion", "Flagger rollback");
    // The alert fires, although the job is late.
    let failed = server.decision("rule=r").await;
    assert_eq!((&failed["decision"], &failed["ok"]), (&"fail".into(), &false.into()));
    assert_eq!((failed["value"].as_f64(), failed["limit"].as_f64()), (Some(9.0), Some(5.0)));
    assert_eq!((hook(promotion, "?rule=r").await, hook(rollback, "?rule=r").await), (403, 200));
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    let late = server.decision("rule=r").await;
    assert_eq!(late["decision"], "wait");
    assert!(late.get("ok").is_none() && late.get("value").is_none() && late.get("limit").is_none(), "{late}");
    assert_eq!((hook(promotion, "?rule=r").await, hook(rollback, "?rule=r").await), (403, 403));
    world.db.execute(ON_TIME).await;
    let passed = server.decision("rule=r").await;
    assert_eq!(
        (&passed["decision"], &passed["ok"], passed["value"].as_f64()),
        (&"pass".into(), &true.into(), Some(1.0))
    );
    assert_eq!((hook(promotion, "?rule=r").await, hook(rollback, "?rule=r").await), (200, 403));
    let unknown_version = server.decision("rule=r&version=v9").await;
    assert_eq!(unknown_version["decision"], "wait", "{unknown_version}");
    // The budget: of 16 predictions 8 are bad, which is all that an objective of 50 % allows.
    let budget = server.json("/jobs/hourly/budget/near").await;
    let spent = server.decision("slo=near").await;
    assert_eq!(spent["value"], budget["left"], "{budget}");
    // Faults of any kind never roll back.
    for query in ["", "?rule=x", "?rule=r&slo=near", "?rule=r&unknown=1", "?rule=r&against=v1", "?slo=near&version=v1"]
    {
        assert_eq!(hook(rollback, query).await, 403, "{query}");
        let refused = server.ask(&format!("/jobs/hourly/gate{query}")).send().await.unwrap().status().as_u16();
        assert!([400, 404].contains(&refused), "{query}: {refused}");
    }
    let forged = server.url("/api/v1/gate/hourly/AAAA/rollback?rule=r");
    assert_eq!(server.refusal(peers::client().post(forged)).await.0, 403);
    let of_another_job = links[rollback].replace("/hourly/", "/other/");
    assert_eq!(server.refusal(peers::client().post(server.url(&of_another_job))).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_the_api_without_the_token_a_session_or_a_signature() {
    let world = world().await;
    let server = Server::start(&world).await;
    let bare = |path: &str| peers::client().get(server.url(path));
    for path in [
        "/api/v1/jobs",
        "/api/v1/openapi.json",
        "/api/v1/nothing",
        "/api/v1/incidents.atom",
        "/api/v1/badge/hourly.svg",
    ] {
        assert_eq!(server.refusal(bare(path)).await.0, 401, "{path}");
        assert_eq!(server.refusal(bare(path).bearer_auth("s3cre")).await, (401, "the token is not right".to_owned()));
    }
    let cookie = server.cookie("kim").await;
    assert_eq!(bare("/api/v1/jobs").header("cookie", &cookie).send().await.unwrap().status().as_u16(), 200);
    let links = server.links();
    let badge = bare(&links["badge"]).send().await.unwrap();
    assert_eq!((badge.status().as_u16(), &badge.headers()["content-type"]), (200, &"image/svg+xml".parse().unwrap()));
    assert_eq!(badge.headers()["cache-control"], "private, max-age=300");
    let drawing = badge.text().await.unwrap();
    assert!(drawing.contains("hourly: firing") && drawing.len() <= 1_024, "{drawing}");
    let other = links["badge"].replace("hourly.svg", "other.svg");
    assert_eq!(server.refusal(bare(&other)).await.0, 403, "the signature is of one job");
    let feed = bare(&links["feed of all incidents"]).send().await.unwrap().text().await.unwrap();
    assert!(feed.contains("<title>open: page of hourly: r</title>"), "{feed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_say_what_to_write_and_hostile_names_stay_data() {
    let world = world().await;
    let server = Server::start(&world).await;
    for (path, status, words) in [
        ("/jobs?onwer=x", 400, "did you mean `owner`?"),
        ("/jobs?tz=UTC", 400, "unknown parameter `tz`"),
        ("/jobs?state=fire", 400, "must be one of firing, unsure"),
        ("/jobs/hourly/series?from=yesterday", 400, "is not a time"),
        ("/jobs/hourly/series?metric=rmes", 404, "has no metric `rmes`"),
        ("/jobs/nothing", 404, "no job `nothing`"),
        ("/jobs/%3Cscript%3E", 404, "no job"),
        ("/jobs/hourly/windows/tumbling-1h/noon", 404, "The end of a window is a time"),
        ("/jobs/hourly/windows/tumbling-1h/2020-01-01T00:00:00Z", 404, "no such window"),
        ("/incidents/999999", 404, "no such incident"),
        ("/incidents/x", 404, "no such incident"),
        ("/runs?limit=0", 400, "from 1 to 1000"),
        ("/nothing", 404, "openapi.json lists all"),
        ("/jobs/hourly/series?cohort=a%00b", 400, "NUL"),
        ("/jobs/%00", 400, "NUL"),
        ("/jobs/%FF", 400, ""),
    ] {
        let (given, said) = server.refusal(server.ask(path)).await;
        assert!(given == status && said.contains(words), "{path}: {given} {said}");
    }
    let url = server.url("/api/v1/jobs");
    assert_eq!(server.refusal(peers::client().post(&url).bearer_auth("s3cret")).await.0, 405);
    // Data that a spreadsheet would run, and a drop of a table that stays text.
    let csv = server.text("/jobs/hourly/cohorts.csv?metric=rmse&window=tumbling-1h").await;
    assert!(csv.lines().skip(1).all(|line| line.trim_start_matches('"').starts_with(['a', 'r'])), "{csv}");
    let drop = "/jobs/hourly/series?cohort=%27%3B%20drop%20table%20trueup.job%3B%20--";
    assert_eq!(server.json(drop).await, serde_json::json!([]));
    let long = format!("/jobs/hourly/series?cohort={}", "x".repeat(10_000));
    assert_eq!(server.json(&long).await, serde_json::json!([]));
    let listed = world.db.scalar::<i64>("select count(*) from trueup.job").await;
    assert_eq!(listed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_answer_is_a_304_until_anything_changes() {
    let world = world().await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    world.db.execute(ON_TIME).await;
    // A calm job: no duration is shown, so that nothing but a change changes the tag.
    world.db.execute("update trueup.incident set closed_at = clock_timestamp() where closed_at is null").await;
    let server = Server::start(&world).await;
    let tag = async |path: &str| {
        let answer = server.ask(path).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        assert_eq!(answer.headers()["cache-control"], "private, no-cache");
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    let status = async |path: &str, tag: &str| {
        server.ask(path).header("if-none-match", tag).send().await.unwrap().status().as_u16()
    };
    let paths = ["/jobs", "/jobs/hourly", "/jobs/hourly/series", "/incidents"];
    for change in [
        "insert into trueup.silence (job, starts_at, ends_at, reason, author) values ('hourly', now(), now() + interval '1 hour', 'x', 'kim')",
        "insert into trueup.annotation (job, kind, starts_at, note, author) values ('hourly', 'deploy', now(), 'v2', 'kim')",
        // A job that stops publishing is late, without any row that changes.
        "update trueup.job set published_as_of = '2024-05-01T02:00:00Z'",
    ] {
        let mut tags = Vec::new();
        for path in paths {
            let known = tag(path).await;
            assert_eq!(status(path, &known).await, 304, "{path}");
            assert_eq!(status(path, "\"other\"").await, 200, "{path}");
            tags.push((path, known));
        }
        assert_ne!(tags[0].1, tags[1].1, "a tag is of one address");
        world.db.execute(change).await;
        for (path, known) in tags {
            assert_eq!(status(path, &known).await, 200, "{path} after {change}");
        }
    }
    let past = server.ask("/jobs/hourly/series?as_of=2024-05-01T01:30:00Z").send().await.unwrap();
    assert_eq!(past.headers()["cache-control"], "private, max-age=3600");
    let relative = server.ask("/jobs/hourly/series?as_of=now-1d").send().await.unwrap();
    assert_eq!(relative.headers()["cache-control"], "private, no-cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_page_is_a_304_for_the_same_user() {
    let world = world().await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    world.db.execute(ON_TIME).await;
    world.db.execute("update trueup.incident set closed_at = clock_timestamp() where closed_at is null").await;
    let server = Server::start(&world).await;
    let (kim, lee) = (server.cookie("kim").await, server.cookie("lee").await);
    let ask = async |path: &str, cookie: &str, tag: &str| {
        let request = peers::client().get(server.url(path)).header("cookie", cookie).header("if-none-match", tag);
        let answer = request.send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), tag, answer.text().await.unwrap())
    };
    for path in ["/", "/jobs/hourly"] {
        let (status, tag, text) = ask(path, &kim, "\"none\"").await;
        assert!(status == 200 && text.contains("hourly"), "{path}: {status}");
        let (status, same, text) = ask(path, &kim, &tag).await;
        assert_eq!((status, &same, text.as_str()), (304, &tag, ""), "{path}");
        assert_eq!(ask(path, &lee, &tag).await.0, 200, "the page carries the name of its user");
    }
}

/// The paths of the document with parameters that exist.
fn concrete(path: &str) -> String {
    let of_classes = ["/confusion", "/calibration", "/coverage", "/gaps", "/groups"];
    let is_of_classes = of_classes.iter().any(|part| path.starts_with(&format!("/jobs/{{job}}{part}")));
    path.replace("{job}", if is_of_classes { "credit" } else { "hourly" })
        .replace("{window}", "tumbling-1h")
        .replace("{end}", "2024-05-01T01:00:00Z")
        .replace("{slo}", "near")
        .replace("{id}", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() {
    let mut world = world().await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    classes::fill(&world).await;
    let hourly = std::mem::replace(&mut world.job, plan_job(&classes::credit("\"region\"")));
    world.run_at(at("2025-05-02T00:00:00Z")).await;
    world.job = hourly;
    world.db.execute("insert into trueup.annotation (job, kind, starts_at, ends_at, note, author) values ('hourly', 'deploy', now(), now(), 'v2', 'kim')").await;
    world.db.execute("insert into trueup.silence (job, starts_at, ends_at, reason, author) values ('hourly', now(), now() + interval '1 hour', 'x', 'kim')").await;
    let server = Server::start(&world).await;
    let document = server.json("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.set_default_draft(boon::Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource("mem:///openapi.json", document.clone()).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut checked = 0;
    for (path, operations) in paths {
        let Some(operation) = operations.get("get") else { continue };
        let query = if path.ends_with("/gate") { "?rule=r" } else { "" };
        let answer = server.ask(&format!("{}{query}", concrete(path))).send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        assert!(operation["responses"]["200"]["content"].get(&kind).is_some(), "{path} answers {kind}");
        if kind != "application/json" {
            continue;
        }
        let place = format!("/paths/{}/get/responses/200/content/application~1json/schema", path.replace('/', "~1"));
        let schema = compiler
            .compile(&format!("mem:///openapi.json#{}", place.replace('{', "%7B").replace('}', "%7D")), &mut schemas);
        let schema = schema.unwrap_or_else(|error| panic!("{path}: {error}"));
        let content: Json = answer.json().await.unwrap();
        let is_empty = content.as_array().is_some_and(Vec::is_empty);
        assert!(!is_empty, "{path} answers nothing, so nothing is checked");
        schemas.validate(&content, schema).unwrap_or_else(|error| panic!("{path}: {error}\n{content}"));
        checked += 1;
    }
    assert!(checked >= 14, "{checked} answers");
    for path in ["/jobs", "/jobs/{job}/series.svg", "/badge/{job}.svg", "/incidents.atom", "/gate/{job}/{k}/rollback"] {
        assert!(paths.contains_key(path), "{path} is not in the document");
    }
    if let Some(python) = peers::python_with("schemathesis") {
        fuzz(&python, &server);
    }
}

/// Schemathesis makes up requests from the document, and compares the answers with it.
fn fuzz(python: &std::path::Path, server: &Server) {
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                  response_headers_conformance,ignored_auth";
    let ran = Command::new(python)
        .args(["-m", "schemathesis.cli", "run", &server.url("/api/v1/openapi.json"), "--checks", checks])
        .args(["--header", "Authorization: Bearer s3cret", "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "10", "--seed", "7", "--generation-database", "none", "--no-color"])
        .current_dir(&server.folder.0)
        .output()
        .expect("schemathesis");
    let said = String::from_utf8_lossy(&ran.stdout);
    let end: String = said.chars().rev().take(4_000).collect::<Vec<_>>().into_iter().rev().collect();
    assert!(ran.status.success(), "{end}{}", String::from_utf8_lossy(&ran.stderr));
}

/// Value of a key in an example: the rest of its line, without quotes around it.
fn value_of(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(&format!("{key}:")));
    line.unwrap_or_else(|| panic!("no `{key}`")).trim().trim_matches(['"', '\'']).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_for_rollouts_fit_the_answers() {
    let read = |name: &str| {
        std::fs::read_to_string(format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"))).expect("an example")
    };
    let world = world().await;
    let server = Server::start(&world).await;
    let fail = server.json("/jobs/hourly/gate?rule=r").await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    let wait = server.json("/jobs/hourly/gate?rule=r").await;
    world.db.execute(ON_TIME).await;
    let pass = server.json("/jobs/hourly/gate?rule=r").await;
    let argo = read("argo-rollouts.yaml");
    let path = value_of(&argo, "jsonPath");
    let place = path.strip_prefix("{$").and_then(|path| path.strip_suffix('}')).expect("a path").replace('.', "/");
    // The conditions compare one field with one word.
    let holds = |condition: &str, answer: &Json| {
        let (field, word) = condition.split_once(" == ").expect("a comparison");
        let field = field.strip_prefix("result.").expect("a field of the result");
        answer.pointer(&place).expect("the data")[field].as_str() == Some(word.trim_matches('"'))
    };
    let (success, failure) = (value_of(&argo, "successCondition"), value_of(&argo, "failureCondition"));
    let judged = |answer: &Json| (holds(&success, answer), holds(&failure, answer));
    assert_eq!((judged(&pass), judged(&fail), judged(&wait)), ((true, false), (false, true), (false, false)));
    let address =
        |text: &str| text.replace("https://trueup.example.org", "").replace("JOB", "hourly").replace("RULE", "r");
    let url = address(&value_of(&argo, "url")).replace("{{args.version}}", "v1");
    assert_eq!(server.json(url.strip_prefix("/api/v1").expect("a path")).await["data"]["decision"], "wait");
    // Flagger sends no headers: its addresses are those that `trueup links` prints.
    let links = server.links();
    let key = links["Flagger rollback"].split('/').nth(5).expect("a key").to_owned();
    let flagger = address(&read("flagger.yaml")).replace("KEY", &key);
    let hooks: Vec<&str> = flagger.lines().filter_map(|line| line.trim().strip_prefix("url: ")).collect();
    assert_eq!(hooks.len(), 2);
    for (hook, expected) in hooks.iter().zip([200, 403]) {
        let asked =
            peers::client().post(server.url(hook)).json(&serde_json::json!({"name": "x"})).send().await.unwrap();
        assert_eq!(asked.status().as_u16(), expected, "{hook}");
    }
    for name in ["grafana-infinity.yaml", "backstage.yaml"] {
        let example = address(&read(name));
        let paths = example.lines().filter_map(|line| line.split("/api/v1").nth(1));
        let paths: Vec<&str> = paths.map(|path| path.split(['"', '\'', ' ', ')']).next().unwrap_or_default()).collect();
        assert!(!paths.is_empty(), "{name} has no address");
        for path in paths.into_iter().filter(|path| !path.is_empty()) {
            let path = path.replace("${__from}", "1714521600000").replace("${__to}", "1714608000000");
            server.text(&path).await;
        }
    }
}
