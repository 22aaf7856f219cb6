//! The commands as a person types them: exit code, stdout, stderr.

use std::path::Path;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, hourly, quarter_hours};

const JOB: &str = "[windows]\nrolling = [\"6h\"]\ntumbling = [\"1d\"]\n";

async fn scene() -> (TestDatabase, Folder) {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
    let folder = Folder::new("cli");
    folder.write("jobs/hourly.toml", &hourly(JOB));
    (db, folder)
}

fn run(folder: &Folder, db: &TestDatabase, arguments: &[&str]) -> Run {
    folder.run_on(&db.url(), arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ten_line_job_of_the_readme_checks_runs_and_shows_its_history() {
    let (db, folder) = scene().await;
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let job = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a job in the README");
    db.execute("create table public.forecast (id bigint primary key, at timestamptz, predicted float8); create table public.actual (id bigint primary key, actual float8);
        insert into public.forecast select id, now() - interval '1 day' + n * interval '1 hour', 100 from (select n as id, n from generate_series(1, 20) n) q;
        insert into public.actual select id, 90 from public.forecast;").await;
    let folder = {
        folder.write("jobs/hourly.toml", job);
        folder
    };
    let checked = run(&folder, &db, &["check"]).ok();
    assert!(checked.stdout.contains("1 job file checked: 0 errors"), "{}", checked.stdout);
    let ran = run(&folder, &db, &["run", "demand"]).ok();
    assert!(ran.stdout.contains("rolling 24h"), "{}{}", ran.stdout, ran.stderr);
    let history = run(&folder, &db, &["history", "demand", "--metric", "rmse", "--output", "csv"]).ok();
    assert!(history.stdout.lines().count() > 1 && history.stdout.contains(",rmse,10,"), "{}", history.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_can_be_replayed_looked_at_and_queried() {
    let (db, folder) = scene().await;
    let dry = run(&folder, &db, &["run", "hourly", "--at", "2024-05-02T06:00:00Z", "--dry-run"]).ok();
    assert!(
        dry.stdout.contains("rolling 6h") && dry.stderr.contains("nothing was written or sent"),
        "{}{}",
        dry.stdout,
        dry.stderr
    );
    assert_eq!(db.scalar::<i64>("select (select count(*) from trueup.run) + (select count(*) from trueup.bucket) + (select count(*) from trueup.plan)").await, 0);
    let ran = run(&folder, &db, &["run", "hourly", "--at", "2024-05-02T06:00:00Z"]).ok();
    assert!(ran.stderr.contains("hourly as of 2024-05-02 06:00:00 UTC"), "{}", ran.stderr);
    let json: serde_json::Value = serde_json::from_str(
        &run(
            &folder,
            &db,
            &["history", "hourly", "--output", "json", "--metric", "mse", "--window", "tumbling 1d", "--cohort", "all"],
        )
        .ok()
        .stdout,
    )
    .unwrap();
    assert_eq!(json[0]["value"], serde_json::json!(1.0));
    assert_eq!(json[0]["status"], "provisional");
    let older = run(&folder, &db, &["run", "hourly", "--at", "2024-05-02"]);
    assert_eq!(older.code, Some(1));
    assert!(older.stderr.contains("has already been measured as of 2024-05-02T06:00:00+00:00"), "{}", older.stderr);
    let future = run(&folder, &db, &["run", "hourly", "--at", "2999-01-01"]);
    assert_eq!(
        (future.code, future.stderr.contains("the time is in the future: the clock of the database says")),
        (Some(1), true)
    );
    let backfill = run(&folder, &db, &["backfill", "hourly", "--from", "2024-05-01", "--to", "2024-05-03"]).ok();
    assert!(backfill.stdout.contains("192 predictions read"), "{}", backfill.stdout);
    let status = run(&folder, &db, &["status", "--output", "csv"]).ok();
    assert!(status.stdout.contains("hourly,ok,"), "{}", status.stdout);
    assert_eq!(run(&folder, &db, &["alerts"]).ok().stdout.trim(), "no alert is open");
    let explained = run(&folder, &db, &["explain", "hourly"]).ok();
    for words in ["insert into trueup.residual", "Index Scan", "buckets     1h", "mean squared error", "runs next   "] {
        assert!(explained.stdout.contains(words), "`{words}` is not in\n{}", explained.stdout);
    }
    let analyzed = run(&folder, &db, &["explain", "hourly", "--analyze"]).ok();
    assert!(analyzed.stdout.contains("actual time="), "{}", analyzed.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_says_which_alerts_changed_for_whom() {
    let (db, folder) = scene().await;
    let rules = [("together", ""), ("apart", "versions = \"each\"\n")].map(|(name, versions)| {
        format!("[[alerts]]\nname = \"{name}\"\nmetric = \"rmse\"\nwindow = \"rolling 6h\"\nabove = 0.5\n{versions}")
    });
    folder.write("jobs/hourly.toml", &hourly(&format!("{JOB}{}", rules.join(""))));
    let ran = run(&folder, &db, &["run", "hourly", "--at", "2024-05-02T06:00:00Z"]).ok();
    let said: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("alert ")).collect();
    assert_eq!(
        said,
        ["alert `together` for all: inactive -> firing", "alert `apart` for all, version v1: inactive -> firing"],
        "{}",
        ran.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_who_is_told_of_rules_and_of_budgets() {
    let (db, folder) = scene().await;
    let objective = "[[slos]]\nname = \"within-5\"\ngood = \"abs(error) <= 5\"\nobjective = 0.99\nperiod = \"30d\"\nburn = \"auto\"\n";
    folder.write("jobs/hourly.toml", &format!("{}{objective}", hourly(JOB)));
    folder.write(
        "trueup.toml",
        "[routing]\nfallback = \"desk\"\n[receivers.desk]\ntype = \"webhook\"\nurl = \"https://example.org/\"\n",
    );
    let explained = run(&folder, &db, &["explain", "hourly"]).ok().stdout;
    for words in
        ["within-5: 99 % of predictions with abs(error) <= 5, over 30d", "within-5/1d (ticket): ", "; notifies desk"]
    {
        assert!(explained.contains(words), "`{words}` is not in\n{explained}");
    }
    assert!(!explained.contains("  , "), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_compares_with_the_database() {
    let (db, folder) = scene().await;
    folder.write(
        "jobs/hourly.toml",
        &hourly(&format!("{JOB}[[cohorts]]\nby = [\"region\"]\n"))
            .replace("value = \"predicted\"", "value = \"predictd\"")
            .replace("at = \"at\"", "at = \"at\"\nwhere = \"regio = 'a'\"")
            .replace("by = [\"region\"]", "by = [{ name = \"r\", expr = \"upper(rgion)\" }]"),
    );
    let checked = run(&folder, &db, &["check"]);
    assert_eq!(checked.code, Some(1));
    // All of them at once, each at its place.
    for (column, near, line) in
        [("predictd", "predicted", "value = "), ("regio", "region", "where = "), ("rgion", "region", "by = ")]
    {
        let found = format!("error[no-column]: there is no column `{column}`");
        let finding = checked.stdout.split_once(&found).unwrap_or_else(|| panic!("{}", checked.stdout)).1;
        let finding = finding.split("\nerror[").next().unwrap_or_default();
        assert!(finding.contains(&format!("did you mean `{near}`?")) && finding.contains(line), "{column}: {finding}");
    }
    folder.write("jobs/hourly.toml", &hourly(JOB));
    let size = run(&folder, &db, &["check"]).ok().stdout;
    assert!(
        size.contains("the first run reads those of its windows, later runs read rows that arrived since the last one"),
        "{size}"
    );
    // Not compared, and said so; what is no job file; what is not there.
    let alone = folder.run(&["check"]).ok().stderr;
    assert!(alone.contains("the jobs were not compared with a database; set DATABASE_URL"), "{alone}");
    let unreached = folder.run(&["check", "--database", "postgres://nobody@127.0.0.1:1/none"]);
    assert_eq!(unreached.code, Some(2));
    let unreachable = unreached.stderr;
    assert!(
        unreachable.contains("not compared with the database") && unreachable.matches("os error").count() <= 1,
        "{unreachable}"
    );
    folder.write("jobs/hourly.test.toml", "job = \"hourly\"\n");
    let tests = folder.run(&["check", "jobs/hourly.test.toml"]);
    assert!(
        tests.code == Some(1) && tests.stderr.contains("run them with `trueup test jobs/hourly.test.toml`"),
        "{}",
        tests.stderr
    );
    let nowhere = folder.run(&["check", "jobs/none.toml"]);
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("could not read the job file"), "{}", nowhere.stderr);
    db.execute("alter table public.p alter at type timestamp").await;
    folder.write("jobs/hourly.toml", &hourly(JOB));
    let checked = run(&folder, &db, &["check"]);
    assert!(checked.stdout.contains("error[no-timezone]: `at` is timestamp, not timestamptz"), "{}", checked.stdout);
    let ran = run(&folder, &db, &["run", "hourly"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("not timestamptz"), "{}", ran.stderr);
    assert_eq!(db.lines("select state from trueup.run_history").await, ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_what_the_tables_do_not_have() {
    let (db, folder) = scene().await;
    let with =
        |change: (&str, &str)| hourly(&format!("{JOB}[[cohorts]]\nby = [\"region\"]\n")).replace(change.0, change.1);
    let found = |text: String| {
        folder.write("jobs/hourly.toml", &text);
        run(&folder, &db, &["check"]).stdout
    };
    db.execute(
        "create table public.keyed (id text primary key, actual float8, seen timestamptz not null);
         create table public.copied as select * from public.p;
         create table public.many as select id, at, predicted, version, id::text || region as region, seen from public.p
             union all select 1000 + n, '2024-05-01Z', 1, 'v1', n::text, '2024-05-01Z' from generate_series(1, 2000) n;
         create table public.slow as select id, actual, seen + interval '3 days' as seen from public.l;
         create view public.nothing as select * from public.p where false;
         analyze",
    )
    .await;
    for (change, code, words) in [
        (("public.p\"", "public.q\""), "error[no-table]", "the table does not exist"),
        (("value = \"predicted\"", "value = \"region\""), "error[not-a-number]", "`region` is text, not a number"),
        (("public.l\"", "public.keyed\""), "error[key-types]", "replace `table` with"),
        (("public.p\"", "public.copied\""), "warning[no-unique-key]", "no unique index guarantees"),
        (("public.p\"", "public.copied\""), "warning[no-index]", "create index concurrently on \"public\".\"copied\""),
        (("public.p\"", "public.many\""), "warning[many-cohorts]", "more than 1000 values"),
        (("public.l\"", "public.slow\""), "warning[short-label-wait]", "windows are final after 1d"),
    ] {
        let shown = found(with(change));
        assert!(shown.contains(code) && shown.contains(words), "{code}: {shown}");
    }
    let right = with(("", ""));
    folder.write("jobs/again.toml", &right);
    let twice = found(right);
    assert!(twice.contains("error[repeated-job]: the job `hourly` is also declared in `jobs/again.toml`"), "{twice}");
    std::fs::remove_file(folder.0.join("jobs/again.toml")).expect("to remove it");
    // More columns than are carried beside a pair.
    let columns = (0..70).map(|n| format!("c{n}")).collect::<Vec<_>>().join(" + ");
    let many = found(with(("[windows]", &format!("[[metrics.custom]]\nname = \"m\"\nsum = \"{columns}\"\n[windows]"))));
    assert!(many.contains("error[too-many-columns]"), "{many}");
    // Several labels of a key, and nothing says which is the latest.
    let unclear =
        found(with(("arrived_at = \"seen\"\n[labels]", "[labels]")).replace("public.l\"", "public.slow\"").replacen(
            "arrived_at = \"seen\"\n[windows]",
            "[windows]",
            1,
        ));
    assert!(unclear.contains("warning[no-unique-key]: no unique index guarantees one label per key"), "{unclear}");
    // A secret that is not set here, and health that everybody could ask for.
    folder.write("trueup.toml", "[receivers.hook]\ntype = \"webhook\"\nurl = { env = \"NOT_SET_ANYWHERE\" }\n");
    let secret = found(with(("", "")));
    assert!(secret.contains("warning[unusable-receiver]"), "{secret}");
    folder.write("trueup.toml", "[web]\nlisten = \"0.0.0.0:9187\"\n");
    let open = found(with(("", "")));
    assert!(open.contains("error[open-web]"), "{open}");
}

#[test]
fn the_shipped_job_and_settings_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new("shipped");
    let settings = std::fs::read_to_string(root.join("trueup.toml")).unwrap();
    folder.write("trueup.toml", &settings);
    let jobs = root.join("jobs");
    let mut command = folder.trueup(&["check", jobs.to_str().unwrap()]);
    let checked =
        Run::of(command.env("TRUEUP_HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").output().unwrap()).ok();
    assert!(checked.stdout.ends_with("0 errors, 0 warnings\n"), "{}", checked.stdout);
}

#[test]
fn the_published_example_checks_without_an_error() {
    let folder = Folder::new("example");
    match crate::support::data::folder() {
        Some(data) => {
            for (from, to) in [("examples/ro-load.toml", "jobs/ro-load.toml"), ("examples/trueup.toml", "trueup.toml")]
            {
                folder.write(to, &std::fs::read_to_string(data.join(from)).unwrap());
            }
        }
        // The shipped job and settings stand in.
        None => {
            for file in ["jobs/ro-load.toml", "trueup.toml"] {
                let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
                folder.write(file, &text);
            }
        }
    }
    let mut command = folder.trueup(&["check", "--output", "json"]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let checked = Run::of(command.env("TRUEUP_HOOK_SECRET", secret).output().unwrap()).ok();
    assert_eq!(checked.stdout.trim(), "[]", "neither errors nor warnings");
}

#[test]
fn mistakes_of_usage_exit_with_1_and_say_what_to_do() {
    let folder = Folder::new("usage");
    folder.write("jobs/hourly.toml", &hourly(JOB));
    for (arguments, words) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["run"][..], "required arguments were not provided"),
        (&["run", "hourly", "--at", "yesterday"][..], "write a time with its offset"),
        (&["run", "hurly"][..], "did you mean `hourly`?"),
        (&["check", "nowhere"][..], "could not read the jobs folder"),
        (&["--config", "nowhere.toml", "check"][..], "could not read settings file"),
        (&["--database-url", "mysql://x", "status"][..], "not a postgres:// address"),
        (&["backfill", "hourly", "--from", "2024-01-02", "--to", "2024-01-01"][..], "must be before"),
    ] {
        let run = folder.run(arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
    let help = folder.run(&["--help"]).ok();
    for command in
        ["check", "migrate", "run", "backfill", "reconcile", "serve", "history", "status", "alerts", "explain", "demo"]
    {
        assert!(help.stdout.contains(command), "{command}");
    }
    assert!(!help.stdout.contains("guard"));
}

#[test]
fn an_unreachable_database_is_our_side_and_shows_no_password() {
    let folder = Folder::new("unreachable");
    let mut command = folder.trueup(&["status"]);
    let run = Run::of(command.env("DATABASE_URL", "postgres://user:s3cret@127.0.0.1:1/db").output().unwrap());
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("could not connect to the database at 127.0.0.1:1") && !run.stderr.contains("s3cret"),
        "{}",
        run.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_schema_is_told_to_be_migrated() {
    let (db, folder) = scene().await;
    db.execute("drop schema trueup cascade").await;
    let before = run(&folder, &db, &["status"]);
    assert_eq!(before.code, Some(1));
    assert!(before.stderr.contains("trueup migrate`"), "{}", before.stderr);
    run(&folder, &db, &["migrate"]).ok();
    run(&folder, &db, &["migrate"]).ok();
    run(&folder, &db, &["status"]).ok();
}

#[test]
fn the_page_of_metrics_is_what_the_program_prints() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let printed = Folder::new("metrics").run(&["explain", "--metrics"]).ok().stdout;
    assert_eq!(printed, page, "run `cargo run -- explain --metrics >docs/metrics.md`");
    for metric in trueup::metric::catalogue() {
        assert!(page.contains(&format!("| `{}` |", metric.name)), "{}", metric.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_finds_what_no_arrival_time_tells_of() {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    let now = chrono::Utc::now();
    let start = now - chrono::TimeDelta::hours(30);
    db.execute(&quarter_hours(&start.format("%Y-%m-%dT%H:00:00Z").to_string(), 24)).await;
    let folder = Folder::new("reconcile");
    folder.write("jobs/hourly.toml", &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n"));
    run(&folder, &db, &["run", "hourly"]).ok();
    let same = run(&folder, &db, &["reconcile", "hourly"]).ok();
    assert!(same.stderr.contains("history agrees with the source"), "{}", same.stderr);
    db.execute("delete from public.l where id = 50; update public.p set predicted = 50 where id = 60").await;
    let repaired = run(&folder, &db, &["reconcile", "hourly"]).ok();
    assert!(repaired.stderr.contains("2 buckets differed"), "{}", repaired.stderr);
    assert_eq!(
        db.lines("select trigger, state, buckets_repaired from trueup.run_history order by run_id").await,
        ["manual | ok | -", "reconcile | ok | 0", "reconcile | ok | 2"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_in_the_data_are_named_with_a_few_of_their_keys() {
    let db = TestDatabase::new().await;
    db.execute(&TABLES.replace("id bigint primary key", "id bigint not null")).await;
    db.execute(&quarter_hours("2024-05-01T00:00:00Z", 24)).await;
    db.execute("insert into public.p select * from public.p where id in (70, 71); insert into public.l select id, 5, seen from public.l where id = 80").await;
    let folder = Folder::new("contradictions");
    folder.write(
        "jobs/hourly.toml",
        &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n"),
    );
    let ran = run(&folder, &db, &["run", "hourly", "--at", "2024-05-02"]).ok();
    assert!(ran.stderr.contains("4 predictions are left out (duplicate prediction), such as 70, 71"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 predictions are left out (ambiguous label), such as 80"), "{}", ran.stderr);
    let residuals = db.lines("select prediction_key, model_version, dimensions, error, outcome, copies from trueup.residual_history where prediction_key in ('70', '80', '81') order by 1").await;
    assert_eq!(
        residuals,
        [
            "70 | v1 | {\"region\": \"a\"} | - | duplicate prediction | 2",
            "80 | v1 | {\"region\": \"a\"} | - | ambiguous label | 1",
            "81 | v1 | {\"region\": \"b\"} | 1 | pair | 1"
        ]
    );
    // Of a job that keeps no residuals, or none so old, the source is asked.
    let no_arrivals =
        hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n").replace("arrived_at = \"seen\"\n", "");
    folder.write("jobs/all.toml", &no_arrivals.replace("\"hourly\"", "\"all\""));
    folder.write(
        "jobs/short.toml",
        &hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n[residuals]\nkeep = \"1h\"\n")
            .replace("\"hourly\"", "\"short\""),
    );
    for job in ["all", "short"] {
        let ran = run(&folder, &db, &["run", job, "--at", "2024-05-02"]).ok();
        for words in [
            "4 predictions are left out (duplicate prediction), such as 70, 71",
            "1 predictions are left out (ambiguous label), such as 80",
        ] {
            assert!(ran.stderr.contains(words), "{job}: {}", ran.stderr);
        }
    }
    // Whoever runs it unattended gets a ticket, with the query that names the keys.
    let told = hourly("[windows]\nrolling = [\"24h\"]\nlabel_wait = \"1d\"\n[builtin]\noff = [\"no-predictions\"]\n");
    folder.write("jobs/told.toml", &told.replace("\"hourly\"", "\"told\""));
    run(&folder, &db, &["run", "told", "--at", "2024-05-02"]).ok();
    let fired = db.lines("select rule, severity, to_state, value from trueup.alert_history where job = 'told'").await;
    assert_eq!(fired, ["contradictions | ticket | firing | 4"]);
    let query: String = db.scalar("select evidence ->> 'query' from trueup.alert_history where job = 'told'").await;
    assert_eq!(db.lines(query.trim_end_matches(';')).await.len(), 3, "{query}");
    let lacking = run(&folder, &db, &["check"]).ok();
    assert!(lacking.stdout.contains("create index concurrently on \"public\".\"l\" (\"id\")"), "{}", lacking.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_job_runs_as_it_is() {
    let db = TestDatabase::new().await;
    let start: chrono::DateTime<chrono::Utc> = "2024-05-01T00:00:00Z".parse().unwrap();
    let mut csv = "interval_start,forecast_mw,actual_mw\n".to_owned();
    for n in 0..4 * 96_i32 {
        let time = (start + chrono::TimeDelta::minutes(15 * i64::from(n))).to_rfc3339();
        csv.push_str(&format!("{time},{},{}\n", 6_000 + n % 96, 6_000 + n % 96 - n % 7));
    }
    crate::support::data::load_forecasts(&db, &csv).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Folder::new("ro-load");
    for file in ["trueup.toml", "jobs/ro-load.toml"] {
        folder.write(file, &std::fs::read_to_string(root.join(file)).unwrap());
    }
    let ran = Run::of(
        folder
            .trueup(&["run", "ro-load", "--at", "2024-05-04T00:00:00Z", "--output", "csv"])
            .env("DATABASE_URL", db.url())
            .env("TRUEUP_HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .output()
            .unwrap(),
    )
    .ok();
    assert!(ran.stdout.contains("imbalance_cost_eur") && ran.stdout.contains("daypart=night"), "{}", ran.stdout);
    // |error| is 0 to 6 in turn: 3 on average, a quarter of an hour of it, at 40 €/MWh.
    let cost: f64 = db.scalar("select value from trueup.metric_history where metric = 'imbalance_cost_eur' and window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null").await;
    assert!((cost - 30.0).abs() < 1.5, "{cost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_status_and_alerts_fit_80_columns_and_show_how_the_error_went() {
    let (db, folder) = scene().await;
    for hour in [6, 12, 18] {
        run(&folder, &db, &["run", "hourly", "--at", &format!("2024-05-02T{hour:02}:00:00Z")]).ok();
    }
    let status = run(&folder, &db, &["status"]).ok().stdout;
    assert!(status.contains("███"), "a line of the error:\n{status}");
    let runs = run(&folder, &db, &["runs", "hourly"]).ok().stdout;
    assert_eq!(runs.matches(" ok ").count(), 3, "{runs}");
    for text in [&status, &runs] {
        let widest =
            text.lines().filter(|line| !line.contains(": ")).map(|line| line.chars().count()).max().unwrap_or_default();
        assert!(widest <= 80, "{widest} columns:\n{text}");
    }
    assert!(!runs.is_empty() && !status.contains("no file in"), "{status}");
    // Its file goes, and another cannot be read: nobody knows which job that is. Then it can.
    let spec = std::fs::read_to_string(folder.0.join("jobs/hourly.toml")).expect("the job");
    std::fs::remove_file(folder.0.join("jobs/hourly.toml")).expect("to remove it");
    folder.write("jobs/other.toml", "[job");
    assert!(!run(&folder, &db, &["status"]).ok().stderr.contains("no file in"));
    folder.write("jobs/other.toml", &spec.replace("\"hourly\"", "\"other\""));
    let gone = run(&folder, &db, &["status"]).ok().stderr;
    assert!(gone.contains("hourly: no file in `jobs` declares it"), "{gone}");
    folder.write("jobs/hourly.toml", &spec);
    // Watched: it is shown again and again until it is stopped.
    let mut command = folder.trueup(&["status", "--watch"]);
    command.env("DATABASE_URL", db.url()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("the program");
    let mut shown = std::io::BufReader::new(child.stdout.take().expect("stdout"));
    let (mut seen, mut line) = (0, String::new());
    while seen < 2 {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut shown, &mut line).expect("text") > 0, "it ended");
        seen += usize::from(line.contains("███"));
    }
    child.kill().expect("to kill");
    child.wait().expect("to wait");
}

#[test]
fn findings_are_there_for_other_programs_too() {
    let folder = Folder::new("formats");
    folder.write("jobs/hourly.toml", &hourly(JOB).replace("rolling", "roling"));
    let sarif = folder.run(&["check", "--output", "sarif"]);
    assert_eq!(sarif.code, Some(1));
    let sarif: serde_json::Value = serde_json::from_str(&sarif.stdout).expect("JSON");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(
        (&sarif["version"], &result["ruleId"], &result["level"]),
        (&"2.1.0".into(), &"unknown-key".into(), &"error".into())
    );
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "jobs/hourly.toml");
    let rules: Vec<&str> = sarif["runs"][0]["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|rule| rule["id"].as_str())
        .collect();
    assert!(rules.contains(&"unknown-key"));
    let github = folder.run(&["check", "--output", "github"]).stdout;
    assert!(
        github.starts_with("::error file=jobs/hourly.toml,line=") && github.contains("did you mean `rolling`"),
        "{github}"
    );
    let elsewhere = folder.run(&["schema", "--output", "sarif"]);
    assert!(
        elsewhere.code == Some(1) && elsewhere.stderr.contains("are output formats of `check`"),
        "{}",
        elsewhere.stderr
    );
    let explained = folder.run(&["check", "--explain", "no-runbook"]).ok().stdout;
    assert!(explained.contains("A page without a runbook"), "{explained}");
    let unknown = folder.run(&["check", "--explain", "no-runbok"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("did you mean `no-runbook`"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_history_does_not_have_are_named() {
    let (db, folder) = scene().await;
    let asked = |arguments: &[&str]| {
        let ran = run(&folder, &db, &[&["history"], arguments].concat());
        assert_eq!(ran.code, Some(1), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stderr
    };
    assert!(asked(&["hourly"]).contains("no job has run yet"));
    run(&folder, &db, &["run", "hourly", "--at", "2024-05-02T06:00:00Z"]).ok();
    for (arguments, words) in [
        (&["nope"][..], "known jobs: hourly"),
        (&["hourly", "--window", "rolling 5h"], "did you mean `rolling 6h`?"),
        (&["hourly", "--metric", "rsme"], "did you mean `rmse`?"),
        (&["hourly", "--cohort", "region=moon"], "it has all"),
    ] {
        let said = asked(arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    let shown = run(&folder, &db, &["history", "hourly", "--metric", "rmse"]).ok().stdout;
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let lines = run(&folder, &db, &["backfill", "hourly", "--from", "2024-05-01", "--to", "2024-05-02T06:00:00Z"]);
    lines.ok();
    let shown = run(&folder, &db, &["history", "hourly", "--metric", "rmse", "--window", "rolling 6h"]).ok().stdout;
    assert!(shown.contains(" rmse, rolling 6h, all") && shown.contains('█'), "{shown}");
}

#[test]
fn shells_can_complete_and_man_can_show() {
    let folder = Folder::new("shell");
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.run(&["completions", shell]).ok().stdout;
        assert!(script.contains("trueup") && script.contains("backtest"), "{shell}");
    }
    let page = folder.run(&["man"]).ok().stdout;
    assert!(page.contains(".TH trueup 1") && page.contains("backfill"), "{page}");
    // Every page that it refers to is there.
    folder.run(&["man", "pages/man1"]).ok();
    let referred: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("trueup\\-")?.split_once('(')).map(|(name, _)| name).collect();
    assert!(referred.len() > 20, "{referred:?}");
    for name in referred {
        let file = folder.0.join(format!("pages/man1/trueup-{}.1", name.replace('\\', "")));
        assert!(std::fs::read_to_string(&file).is_ok_and(|text| text.contains(".TH")), "{}", file.display());
    }
    folder.write("file", "");
    let refused = folder.run(&["man", "file/man1"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("could not write manual pages"), "{}", refused.stderr);
}
