//! What the documentation says is done as it says it: every command, and every SQL.

use std::time::{Duration, Instant};

use crate::support::database::{TestDatabase, binaries};
use crate::support::program::{Folder, Process, Run};
use crate::support::world::{TABLES, hourly, quarter_hours};

/// Blocks of a kind in a page, in order.
pub(crate) fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("\n```") {
        let after = &rest[start + 4..];
        let Some((kind, body)) = after.split_once('\n') else { break };
        let Some(end) = body.find("\n```") else { break };
        found.push((kind.to_owned(), body[..end].to_owned()));
        rest = &body[end + 4..];
    }
    found
}

/// Words of a line as a shell takes them, without what stands behind `#`.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted && word.is_empty() => break,
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The commands of a block: each line as it is written, with its arguments.
pub(crate) fn commands(body: &str) -> Vec<(&str, Vec<String>)> {
    let lines = body.lines().filter(|line| line.starts_with("trueup "));
    lines.map(|line| (line, words(line).split_off(1))).collect()
}

pub(crate) fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"))).expect("a page")
}

/// Does what a page says, in order: SQL, commands, and the settings that it shows. Returns how many commands there were.
async fn follow(name: &str, db: &TestDatabase, folder: &Folder) -> usize {
    let mut done = 0;
    for (kind, body) in blocks(&page(name)) {
        match kind.as_str() {
            "sql" => db.execute(&body).await,
            "toml" if body.contains("[receivers.") => {
                folder.write("trueup.toml", &body);
            }
            "toml" if body.starts_with("[job]") => {
                let name = body.split("name = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
                folder.write(&format!("jobs/{name}.toml"), &body);
            }
            "sh" => {
                for (line, arguments) in commands(&body) {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let command = folder
                        .trueup(&arguments)
                        .env("DATABASE_URL", db.url())
                        .env("DEAD_MAN_URL", "https://example.org/")
                        .output();
                    let ran = Run::of(command.expect("the program"));
                    assert_eq!(ran.code, Some(0), "{name}: `{line}`: {}{}", ran.stdout, ran.stderr);
                    done += 1;
                }
            }
            _ => {}
        }
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_works_as_it_is_written() {
    let db = TestDatabase::new().await;
    db.execute("drop schema trueup cascade").await;
    let folder = Folder::new("tutorial");
    let done = follow("tutorial.md", &db, &folder).await;
    assert!(done >= 10, "{done} commands");
    // The past that it computes is there, and the alert that it leads to.
    let days = "select count(*) from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and labeled > 0";
    assert!(db.scalar::<i64>(days).await >= 7, "a backfill of a week");
    assert_eq!(db.lines("select rule, state from trueup.alert where state = 'firing'").await, ["rmse-high | firing"]);
}

/// The example of the page is declared, measured and queried as it says, and the numbers that it gives are right.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_classes_works_as_it_is_written() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("classes-page");
    assert_eq!(follow("classes.md", &db, &folder).await, 3);
    let checked = folder.run_on(&db.url(), &["check"]).ok().stdout;
    assert!(checked.contains("`cancelled`") && checked.contains("[unknown-class]"), "{checked}");
    for code in ["few-positives", "idle-threshold", "unusable-scores"] {
        assert!(!checked.contains(code), "{checked}");
    }
    let text = page("classes.md");
    let queries: Vec<String> = blocks(&text)
        .into_iter()
        .filter(|(kind, body)| kind == "sql" && body.starts_with("select"))
        .map(|(_, body)| body)
        .collect();
    assert_eq!(queries.len(), 3);
    for query in &queries {
        assert!(!db.lines(query.trim_end_matches(';')).await.is_empty(), "{query}");
    }
    assert_eq!(db.lines(queries[2].trim_end_matches(';')).await.len(), 10);
    let last = db
        .lines(&format!(
            "select labeled, positive_rate > 0, auc is null from ({}) as q",
            queries[1].trim_end_matches(';')
        ))
        .await;
    assert_eq!(last, ["0 | true | true"], "scores are known before any label");
    // Every reason for which a pair is excluded is one of the view.
    let outcomes = db.lines("select distinct outcome from trueup.residual_history where job = 'loans'").await;
    assert!(outcomes.contains(&"unknown class".to_owned()), "{outcomes:?}");
    // Both examples of scores that are known at once, and the share of amounts, have a value without labels.
    let known = "select count(*) from trueup.metric_history where job = 'loans' and window_name = 'rolling 24h' and labeled = 0
                 and metric in ('positive_rate', 'positive_rate_at_0_3', 'positive_rate_at_0_7', 'score_mean', 'declined_amount')
                 and cohort = 'all' and model_version is null and value is not null";
    assert_eq!(db.scalar::<i64>(known).await, 5);
    // Objectives as the page lists them.
    let job = std::fs::read_to_string(folder.0.join("jobs/loans.toml")).expect("the job");
    let table = text.split("| objective | `good` |").nth(1).expect("objectives");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let goods: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(goods.len(), 3);
    for good in goods {
        folder.write("jobs/loans.toml", &job.replace("good = \"decision = label\"", &format!("good = \"{good}\"")));
        folder.run_on(&db.url(), &["check"]).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operations_and_notifications_say_works() {
    let db = TestDatabase::new().await;
    let folder = Folder::new("operations");
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).expect("a file");
    folder.write("jobs/ro-load.toml", &read("jobs/ro-load.toml")).write("trueup.toml", &read("trueup.toml"));
    db.execute(&read("jobs/data/ro-load.sql")).await;
    // An alert to act on: the made-up load is well within its limit of 250, and not of 50.
    folder.write(
        "jobs/ro-load.toml",
        &read("jobs/ro-load.toml")
            .replace("above = 250.0", "above = 50.0")
            .replace("clear_below = 220.0", "")
            .replace("for = 3 ", "for = 1 ")
            .replace("on_final_only = true", "on_final_only = false")
            .replace("min_coverage = 0.9", "min_coverage = 0.1")
            .replace("min_samples = 90", "min_samples = 10")
            .replace("above = 300.0", "above = 3000.0"),
    );
    let ran = Run::of(
        folder
            .trueup(&["run", "ro-load"])
            .env("DATABASE_URL", db.url())
            .env("TRUEUP_HOOK_SECRET", "whsec_dHJ1ZXVwIGNvbXBvc2Ugc2lnbmluZyBrZXk=")
            .output()
            .unwrap(),
    );
    ran.ok();
    assert!(db.scalar::<i64>("select count(*) from trueup.alert where state = 'firing'").await > 0);
    let settings = read("trueup.toml");
    for name in ["spend.toml", "spend.test.toml"] {
        folder.write(&format!("jobs/{name}"), &read(&format!("jobs/{name}")));
    }
    // What needs a network, or a receiver that is there, says so and ends with 1.
    let mut done = 0;
    for name in ["alerting.md", "notifications.md", "operations.md"] {
        let text = page(name);
        for (kind, body) in blocks(&text) {
            if kind != "sh" {
                continue;
            }
            folder.write("trueup.toml", &settings);
            for (line, arguments) in commands(&body) {
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let ran = Run::of(folder.trueup(&arguments).env("DATABASE_URL", db.url()).output().unwrap());
                let outside = ["trueup notify test", "trueup deliveries retry", "trueup doctor"]
                    .iter()
                    .any(|start| line.starts_with(start));
                assert!(
                    ran.code == Some(0) || (outside && ran.code == Some(1)),
                    "{name}: `{line}`: {}{}",
                    ran.stdout,
                    ran.stderr
                );
                done += 1;
            }
        }
    }
    assert!(done >= 15, "{done} commands");
}

#[test]
fn settings_in_the_documentation_are_right() {
    // Each block is a whole file; those that need a receiver of another block have it.
    let all: Vec<String> = blocks(&page("notifications.md"))
        .into_iter()
        .filter(|(kind, _)| kind == "toml")
        .map(|(_, body)| body)
        .collect();
    assert!(all.len() >= 4);
    let mut whole = all.join("\n");
    whole.push_str("\n[receivers.oncall-hook]\ntype = \"webhook\"\nurl = \"https://example.org/\"\n");
    let folder = Folder::new("settings");
    folder.write("trueup.toml", &whole).write(
        "jobs/ro-load.toml",
        &std::fs::read_to_string(format!("{}/jobs/ro-load.toml", env!("CARGO_MANIFEST_DIR"))).unwrap(),
    );
    let checked = folder.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
}

#[test]
fn pages_that_are_printed_are_current() {
    let folder = Folder::new("pages");
    for (arguments, name) in [
        (["explain", "--errors"], "errors.md"),
        (["explain", "--reference"], "reference.md"),
        (["explain", "--metrics"], "metrics.md"),
    ] {
        let printed = folder.run(&arguments).ok().stdout;
        assert!(
            printed.trim() == page(name).trim(),
            "`trueup {} > docs/{name}` brings it up to date",
            arguments.join(" ")
        );
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    let pages = std::fs::read_dir(root.join("docs")).expect("docs").flatten().map(|entry| entry.path());
    for path in pages.chain(["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name))) {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (start, _) in text.match_indices("](") {
            let link = text[start + 2..].split(')').next().unwrap_or_default();
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let target = path.parent().expect("a folder").join(link.split('#').next().unwrap_or_default());
            assert!(target.exists(), "{}: {link}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked} links");
}

/// The eight jobs of `jobs/`, each over its made-up data.
#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_job_runs_over_its_data() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let db = TestDatabase::new().await;
    let folder = Folder::new("shipped");
    let settings = std::fs::read_to_string(root.join("trueup.toml")).unwrap();
    folder.write("trueup.toml", &settings);
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(root.join("jobs")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(job) = name.strip_suffix(".toml") else { continue };
        let text = std::fs::read_to_string(entry.path()).unwrap();
        folder.write(&format!("jobs/{name}"), &text);
        if !job.ends_with(".test") {
            db.execute(
                &std::fs::read_to_string(root.join(format!("jobs/data/{job}.sql")))
                    .unwrap_or_else(|_| panic!("no data for {job}")),
            )
            .await;
            jobs.push(job.to_owned());
        }
    }
    jobs.sort();
    assert_eq!(jobs, ["canary", "demand-sku", "fraud", "maintenance", "pricing", "ro-load", "spend", "tickets"]);
    let trueup = |arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", db.url()).output().unwrap());
    let checked = trueup(&["check"]).ok();
    assert!(checked.stdout.contains("8 job files checked: 0 errors"), "{}", checked.stdout);
    trueup(&["test"]).ok();
    for job in &jobs {
        trueup(&["run", job]).ok();
        let measured: i64 =
            db.scalar(&format!("select count(*) from trueup.window_history where job = '{job}' and labeled > 0")).await;
        assert!(measured > 0, "{job} measured nothing");
        // Nothing is in them that a person would have to look at first.
        let odd: i64 = db
            .scalar(&format!("select count(*) from trueup.verdict_history where job = '{job}' and verdict = 'error'"))
            .await;
        assert_eq!(odd, 0, "{job}");
    }
    // Labels of three weeks ago are there, those that are neither class are counted, and no rule fires.
    let complete = "select count(*) from trueup.classification_history where job = 'fraud' and status = 'final' and cohort = 'all'
                    and model_version is null and window_name = 'tumbling 1d' and auc > 0.9 and coverage > 0.99 and cost > 1";
    assert!(db.scalar::<i64>(complete).await > 7);
    let disputed = "select count(*) from trueup.residual_history where job = 'fraud' and outcome = 'unknown class'";
    assert!(db.scalar::<i64>(disputed).await > 0);
    let firing = "select count(*) from trueup.alert_history where job = 'fraud' and to_state in ('pending', 'firing')";
    assert_eq!(db.scalar::<i64>(firing).await, 0);
    // Tickets in one language are routed worse than all together, which no rule about the whole would find.
    let firing = db
        .lines("select distinct rule, cohort from trueup.alert_history where job = 'tickets' and to_state = 'firing'")
        .await;
    assert_eq!(firing, ["language-left-behind | language=hu"]);
    let classes = "select count(distinct label) from trueup.confusion_history where job = 'tickets' and label in ('billing', 'delivery', 'returns', 'other')";
    assert_eq!(db.scalar::<i64>(classes).await, 4);
    // The canary is worse than what is in production.
    let firing = db.lines("select distinct rule, model_version from trueup.alert_history where job = 'canary' and to_state in ('pending', 'firing') and rule = 'worse-than-production'").await;
    assert_eq!(firing, ["worse-than-production | v5"]);
}

/// What containers and services are started with is there.
#[test]
fn what_packages_name_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_else(|_| panic!("{name}"));
    let compose = read("docker-compose.yml");
    let mounts: Vec<&str> =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")?.split(':').next()).collect();
    assert_eq!(mounts.len(), 6, "{mounts:?}");
    for mount in mounts {
        assert!(root.join(mount).exists(), "`{mount}` is mounted and not there");
    }
    // Commands that it gives are commands that there are.
    let folder = Folder::new("packages");
    for command in ["migrate", "serve"] {
        assert!(compose.contains(&format!("trueup {command}")), "{command}");
        folder.run(&[command, "--help"]).ok();
    }
    let manifest = read("Cargo.toml");
    let needed = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .and_then(|rest| rest.split('"').next());
    let needed: Vec<u32> = needed.expect("rust-version").split('.').filter_map(|part| part.parse().ok()).collect();
    let image = read("Dockerfile");
    let has = image.split_once("FROM rust:").and_then(|(_, rest)| rest.split('-').next()).expect("a Rust image");
    let has: Vec<u32> = has.split('.').filter_map(|part| part.parse().ok()).collect();
    assert!(has >= needed, "the image has Rust {has:?}, and {needed:?} is needed");
    assert!(image.contains("USER trueup") && image.contains("/usr/local/bin/trueup"));
    let unit = read("deploy/trueup.service");
    for line in ["Type=notify", "ExecStart=/usr/local/bin/trueup", "ExecReload=", "NoNewPrivileges=yes"] {
        assert!(unit.contains(line), "`{line}` is not in the unit");
    }
}

/// What the pages show of job files is right, each part in a job that it is part of, and the fixture passes.
#[test]
fn parts_of_jobs_in_the_documentation_are_right() {
    let toml = |name: &str| -> Vec<String> {
        blocks(&page(name)).into_iter().filter(|(kind, _)| kind == "toml").map(|(_, body)| body).collect()
    };
    let folder = Folder::new("parts");
    folder.write(
        "trueup.toml",
        &format!(
            "{}\n[receivers.oncall]\ntype = \"webhook\"\nurl = \"https://example.org/\"\n",
            toml("operations.md").join("\n")
        ),
    );
    let job = "[windows]\nrolling = [\"1h\", \"24h\"]\ntumbling = [\"1d\"]\n[[cohorts]]\nby = [\"region\"]\n";
    let alert = |name: &str, body: &str| format!("[[alerts]]\nname = \"{name}\"\nwindow = \"rolling 24h\"\n{body}\n");
    let parts = toml("alerting.md");
    let [rule, baseline, several, slo, fixture] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    let bias = alert("bias-high", "metric = \"bias\"\nabove = 9.0\n");
    for (name, part) in [
        ("rule", rule.clone()),
        ("baseline", alert("b", &format!("metric = \"rmse\"\n{baseline}"))),
        ("several", alert("s", several) + &bias),
        ("slo", slo.clone()),
        ("custom", toml("metrics.md").join("\n")),
    ] {
        folder.write("jobs/hourly.toml", &hourly(&format!("{job}{part}")));
        let checked = folder.run(&["check"]);
        assert_eq!(checked.code, Some(0), "{name}: {}{}", checked.stdout, checked.stderr);
    }
    let left_out = ["significant", "cohorts", "versions", "on_final_only"];
    let plain: Vec<&str> = rule.lines().filter(|line| !left_out.iter().any(|key| line.starts_with(key))).collect();
    folder.write("jobs/load.toml", &hourly(&format!("{job}{}\n", plain.join("\n"))).replace("\"hourly\"", "\"load\""));
    folder.write("jobs/load.test.toml", fixture);
    let tested = folder.run(&["test", "jobs/load.test.toml"]);
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
}

/// The commands of the README in their order, on the job that it shows. `init` asks on a terminal; here it takes what it finds.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_readme_work() {
    let db = TestDatabase::new().await;
    db.execute(
        "drop schema trueup cascade;
         create table public.forecast (id bigint primary key, at timestamptz, predicted float8);
         create table public.actual (id bigint primary key, actual float8);
         insert into public.forecast select n, now() - interval '1 day' + n * interval '1 hour', 100 from generate_series(1, 20) n;
         insert into public.actual select id, 90 from public.forecast;",
    )
    .await;
    let folder = Folder::new("readme");
    let readme = std::fs::read_to_string(format!("{}/README.md", env!("CARGO_MANIFEST_DIR"))).expect("the README");
    let mut done = Vec::new();
    for (kind, body) in blocks(&readme) {
        match kind.as_str() {
            "toml" => _ = folder.write("jobs/demand.toml", &body),
            "sh" => {
                for (_, mut arguments) in commands(&body) {
                    let command = arguments[0].clone();
                    if command == "init" {
                        arguments.push("--yes".to_owned());
                    }
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    let mut program = folder.trueup(&arguments);
                    program.env("DATABASE_URL", db.url());
                    if command == "serve" {
                        let log = std::fs::File::create(folder.0.join("log")).expect("a file");
                        let _server = Process(program.stderr(log).spawn().expect("a server"));
                        let deadline = Instant::now() + Duration::from_secs(60);
                        let log = || std::fs::read_to_string(folder.0.join("log")).expect("the log");
                        while !log().contains("serving") {
                            assert!(Instant::now() < deadline, "{}", log());
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    } else {
                        Run::of(program.output().expect("the program")).ok();
                    }
                    done.push(command);
                }
            }
            _ => {}
        }
    }
    assert_eq!(done, ["migrate", "init", "check", "run", "history", "serve"]);
}

/// A backup made by the commands of the page is put into another database, and goes on there.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_as_it_is_written_can_be_restored() {
    let (db, other) = (TestDatabase::new().await, TestDatabase::new().await);
    db.execute(TABLES).await;
    db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
    let folder = Folder::new("backup");
    folder.write("jobs/hourly.toml", &hourly("[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\n"));
    let trueup = |url: String, arguments: &[&str]| {
        Run::of(folder.trueup(arguments).env("DATABASE_URL", url).output().expect("the program")).ok()
    };
    trueup(db.url(), &["run", "hourly", "--at", "2024-05-02T06:00:00Z"]);
    let texts: Vec<String> = blocks(&page("operations.md"))
        .into_iter()
        .filter(|(kind, body)| kind == "text" && body.contains("pg_dump"))
        .map(|(_, body)| body)
        .collect();
    assert_eq!(texts.len(), 1);
    // The programs of the tests' own Postgres: none may be installed.
    let path = format!("{}:{}", binaries().await.display(), std::env::var("PATH").unwrap_or_default());
    let shell = |script: &str, url: String| {
        let ran = std::process::Command::new("sh")
            .args(["-ec", script])
            .current_dir(&folder.0)
            .env("DATABASE_URL", url)
            .env("PATH", &path)
            .output()
            .expect("a shell");
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    shell(&texts[0], db.url());
    other.execute("drop schema trueup cascade").await;
    other.execute(TABLES).await;
    other.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
    let restore = "psql -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f trueup.sql";
    shell(restore, other.url());
    let history = "select window_name, window_end, cohort, revision, labeled, mse from trueup.window_revisions order by 1, 2, 3, 4";
    assert!(db.lines(history).await.len() > 1);
    assert_eq!(db.lines(history).await, other.lines(history).await);
    trueup(other.url(), &["migrate"]);
    trueup(other.url(), &["run", "hourly", "--at", "2024-05-02T07:00:00Z"]);
    assert!(other.lines(history).await.len() > db.lines(history).await.len());
}

/// A promise whose test was renamed or removed is held by nobody.
#[test]
fn every_test_that_holds_a_promise_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/promises.md")).expect("the page");
    let names: Vec<&str> = page.split('`').filter(|word| word.contains("::")).collect();
    assert!(names.len() >= 25, "{names:?}");
    for name in names {
        let (modules, test) = name.rsplit_once("::").expect("a path");
        let file = root.join("tests/it").join(format!("{}.rs", modules.replace("::", "/")));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(text.contains(&format!("fn {test}(")), "there is no test `{name}`");
    }
    let promises = std::fs::read_to_string(root.join("README.md")).expect("the README");
    for number in 1..=10 {
        assert!(
            promises.contains(&format!("\n{number}. **")) && page.contains(&format!("| {number}. ")),
            "promise {number}"
        );
    }
}
