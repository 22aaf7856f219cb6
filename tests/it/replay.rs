//! `backtest`, `suggest`, `baseline set` and `test`, as people use them.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::TimeDelta;
use trueup::alerting;
use trueup::evaluate::replay::{self, AsOf};
use trueup::plan::rule::Rule;

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

/// Sixty days of tumbling days with an error of about 10, of which three days are bad; labels of one of them come a day late.
async fn world() -> (World, Folder) {
    let toml = hourly(
        "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nhorizon = \"40d\"\n[[cohorts]]\nby = [\"region\"]\n\
         [[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 20.0\n\
         [[alerts]]\nname = \"each\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 45.0\ncohorts = \"each\"\n",
    )
    .replace("every = \"1h\"", "every = \"1d\"");
    let world = World::new(TABLES, &toml).await;
    world
        .db
        .execute(
            "create temporary table source as
             select n as id, timestamptz '2024-03-01Z' + n * interval '1 hour' as at, n / 24 as day, case when n % 2 = 0 then 'a' else 'b' end as region
             from generate_series(1, 60 * 24 - 1) n;
             insert into public.p select id, at, 100 + case when day in (20, 21, 40) then 30 else 8 + day % 5 end
                 + case when day = 50 and region = 'b' then 40 else 0 end, 'v1', region, at - interval '1 hour' from source;
             insert into public.l select id, 100, at + case when day = 40 then interval '30 hours' else interval '1 hour' end from source;",
        )
        .await;
    for day in 1..=58 {
        world.run_at(at("2024-03-01T02:00:00Z") + TimeDelta::days(day)).await;
    }
    let folder = Folder::new("replay");
    folder.write("jobs/hourly.toml", &world.job.spec);
    (world, folder)
}

fn trueup(world: &World, folder: &Folder, arguments: &[&str]) -> Run {
    Run::of(folder.trueup(arguments).env("DATABASE_URL", world.db.url()).output().unwrap())
}

const RANGE: [&str; 4] = ["--from", "2024-03-01", "--to", "2024-05-01"];

fn backtest(world: &World, folder: &Folder, more: &[&str]) -> Vec<serde_json::Value> {
    let arguments = [&["backtest", "hourly", "--output", "json"], &RANGE[..], more].concat();
    let found: serde_json::Value = serde_json::from_str(&trueup(world, folder, &arguments).ok().stdout).unwrap();
    found.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backtest_fires_when_the_runs_did_and_says_how_it_fits_the_incidents() {
    let (world, folder) = world().await;
    world
        .db
        .execute(
            "insert into trueup.annotation (job, kind, starts_at, ends_at)
             values ('hourly', 'incident', '2024-03-21T06:00Z', '2024-03-22T18:00Z'), (null, 'incident', '2024-04-20T00:00Z', '2024-04-20T06:00Z')",
        )
        .await;
    let fired = "select rule, cohort from trueup.alert_history where to_state = 'firing' order by changed_at";
    let lived = world.db.lines(fired).await;
    // Two days in a row, and one cohort. What was bad on a day whose labels came a day late was over by then.
    assert_eq!(lived, ["high | all", "high | all", "each | region=b"]);
    let now = backtest(&world, &folder, &[]);
    assert_eq!(now.len(), 2);
    assert_eq!((&now[0]["rule"], &now[0]["fired"]), (&"high".into(), &3.into()), "{now:?}");
    assert_eq!((&now[1]["rule"], &now[1]["fired"]), (&"each".into(), &1.into()), "{now:?}");
    // Two of three firings were incidents, and both incidents were found; by cohort one of two.
    assert!((now[0]["precision"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{now:?}");
    assert_eq!((now[0]["recall"].as_f64(), now[1]["recall"].as_f64()), (Some(1.0), Some(0.5)), "{now:?}");
    let then = backtest(&world, &folder, &["--as-of", "then"]);
    assert_eq!(then[0]["fired"], 2, "{then:?}");
    let changed = backtest(&world, &folder, &["--set", "high.above=31", "--set", "each.for=2"]);
    assert_eq!((&changed[0]["fired"], &changed[1]["fired"]), (&1.into(), &0.into()), "{changed:?}");

    let relative = ["--set", "high.above=", "--set", "high.above_baseline=100%", "--set", "each.above=99"];
    assert_eq!(backtest(&world, &folder, &relative)[0]["fired"], 3, "a baseline instead of a limit");

    let shown = trueup(&world, &folder, &[&["backtest", "hourly"], &RANGE[..]].concat()).ok().stdout;
    assert!(shown.contains("2024-03-22 00:00  for 2d") || shown.contains("2024-03-22 00:00  for 48h"), "{shown}");
    assert!(shown.contains('●') && shown.contains('▲'), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 110), "{shown}");
}

const RULES: [(&str, &str); 6] = [
    ("fixed", "above = 20.0\nfor = 2"),
    ("twice", "above = 20.0\nof = [2, 3]\nclear_below = 15.0"),
    ("usual", "above_baseline = [\"50%\", 3.0]\nbaseline = { windows = 6, min = 3 }"),
    ("weekday", "above_baseline = \"80%\"\nbaseline = { kind = \"seasonal\", weeks = 3, min = 2 }\nclear_for = 2"),
    ("final", "above = 20.0\non_final_only = true\nmin_coverage = 0.8"),
    ("each", "above = 25.0\ncohorts = \"each\"\nmin_samples = 5"),
];

/// Days of which some are bad and some have late labels, lived by runs; then replayed by what was known then.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_of_what_was_known_says_what_the_runs_said() {
    for seed in 1..=4 {
        let rules: String = RULES
            .iter()
            .map(|(name, rest)| {
                format!("[[alerts]]\nname = \"{name}\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\n{rest}\n")
            })
            .collect();
        let toml = hourly(&format!(
            "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"2d\"\nhorizon = \"40d\"\n[[cohorts]]\nby = [\"region\"]\n{rules}"
        ))
        .replace("every = \"1h\"", "every = \"1d\"");
        let world = World::new(TABLES, &toml).await;
        world
            .db
            .execute(&format!(
                "create temporary table days as
                 select day, case when abs(hashint4(day * 31 + {seed})) % 4 = 0 then 30 else 8 + abs(hashint4(day * 7 + {seed})) % 6 end as error,
                        case when abs(hashint4(day * 17 + {seed})) % 3 = 0 then interval '31 hours' else interval '1 hour' end as delay
                 from generate_series(0, 45) day;
                 insert into public.p select n, timestamptz '2024-03-01Z' + n * interval '1 hour', 100 + error * (case when n % 2 = 0 then 1 else 0.7 end),
                     'v1', case when n % 2 = 0 then 'a' else 'b' end, timestamptz '2024-03-01Z' + (n - 1) * interval '1 hour'
                 from generate_series(1, 45 * 24 - 1) n join days on day = n / 24;
                 insert into public.l select id, 100, at + delay from public.p join days on day = id / 24;"
            ))
            .await;
        for day in 1..=44 {
            world.run_at(at("2024-03-01T02:00:00Z") + TimeDelta::days(day)).await;
        }
        let range = at("2024-03-01T00:00:00Z")..at("2024-05-01T00:00:00Z");
        let rules: Vec<&Rule> = world.job.rules.iter().collect();
        let mut connection = world.db.pool.acquire().await.unwrap();
        let history = alerting::replay::load(&mut connection, &world.job, &rules, &range).await.unwrap();
        drop(connection);
        for rule in rules {
            let replay = replay::replay(rule, &world.job.windows, &history, &range, AsOf::EventTime);
            let mut verdicts: BTreeMap<String, &str> = BTreeMap::new();
            for event in &replay.events {
                let place = format!("{} {}", event.slice.end.format("%m-%d"), event.target.cohort);
                verdicts.insert(place, event.judgement.verdict.as_str());
            }
            let replayed: Vec<String> =
                verdicts.iter().map(|(place, verdict)| format!("{place} | {verdict}")).collect();
            // Runs also judge windows without any prediction, of which history has nothing.
            let name = &rule.name;
            let lived = world
                .db
                .lines(&format!(
                    "select place, verdict from (
                         select distinct on (window_end, cohort) to_char(window_end at time zone 'UTC', 'MM-DD') || ' ' || cohort as place, verdict
                         from trueup.verdict_history where rule = '{name}' and not retroactive and reason <> 'no predictions in the window'
                         order by window_end, cohort, evaluated_at desc
                     ) as latest order by 1"
                ))
                .await;
            assert_eq!(replayed, lived, "rule {name}, seed {seed}");
            let fired = format!(
                "select cohort, to_char(since at time zone 'UTC', 'MM-DD') from trueup.alert_history where rule = '{name}' and to_state = 'firing' order by changed_at, cohort"
            );
            let firing = |one: &replay::Firing| format!("{} | {}", one.target.cohort, one.since.format("%m-%d"));
            let replayed: Vec<String> = replay.firings.iter().map(firing).collect();
            assert_eq!(replayed, world.db.lines(&fired).await, "rule {name}, seed {seed}");
        }
        let fired = "select count(distinct rule) from trueup.alert_history where to_state = 'firing'";
        assert!(world.db.scalar::<i64>(fired).await >= 4, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_suggested_that_page_as_seldom_as_asked() {
    let (world, folder) = world().await;
    let run = trueup(&world, &folder, &["suggest", "hourly", "--output", "json"]).ok();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&run.stdout).unwrap();
    let most = |row: &serde_json::Value| {
        row["pages_per_week"].as_str().unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(rows.len() >= 8, "{rows:?}");
    assert!(rows.iter().all(|row| row["per_week"].as_f64().unwrap() <= most(row)), "{rows:?}");
    // The setting of a row really pages that often.
    let fixed = rows.iter().find(|row| row["baseline"] == "fixed" && most(row) > 0.4).unwrap();
    let change = format!("high.{}", fixed["setting"].as_str().unwrap().replace(" = ", "="));
    let tried = backtest(&world, &folder, &["--set", &change]);
    assert_eq!(tried[0]["fired"], fixed["would_have_fired"], "{tried:?} {fixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_few_windows_come_with_a_warning_and_of_none_with_a_reason() {
    let world = World::new(TABLES, &hourly("[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\n")).await;
    let folder = Folder::new("suggest-few");
    folder.write("jobs/hourly.toml", &world.job.spec);
    let none = trueup(&world, &folder, &["suggest", "hourly"]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("`trueup backfill` computes them"), "{}", none.stderr);
    // Windows without a label are stored, and nothing can be judged by them.
    let data = "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '1 hour', 100, 'v1', 'a', '2024-05-01Z' from generate_series(0, 47) n;
                insert into public.l select id, 98, '2024-05-03T06:30Z' from public.p";
    world.db.execute(data).await;
    world.run_at(at("2024-05-03T06:00:00Z")).await;
    let blind = trueup(&world, &folder, &["suggest", "hourly"]);
    assert!(blind.stderr.contains("has a rmse that can be judged"), "{}", blind.stderr);
    world.run_at(at("2024-05-03T07:00:00Z")).await;
    let few = trueup(&world, &folder, &["suggest", "hourly"]).ok();
    assert!(few.stderr.contains("these limits rest on only"), "{}", few.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_none_is_refused() {
    let world = World::new(TABLES, &hourly("[windows]\ntumbling = [\"1d\"]\n[[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 20.0\n")).await;
    let folder = Folder::new("backtest-set");
    folder.write("jobs/hourly.toml", &world.job.spec);
    for (change, words) in [
        ("high.above", "write `RULE.KEY=VALUE`"),
        ("low.above=3", "no rule `low`"),
        ("high.abov=3", "`abov` is not a key of `alerts[0]`"),
        ("high.above=text", "must be a number"),
    ] {
        let run = trueup(&world, &folder, &[&["backtest", "hourly", "--set", change], &RANGE[..]].concat());
        assert_eq!(run.code, Some(1), "{change}");
        assert!(run.stderr.contains(words), "`{words}` is not in\n{}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validation_value_is_stored_and_the_newest_counts() {
    let world = World::new(TABLES, &hourly("[windows]\ntumbling = [\"1d\"]\n")).await;
    let folder = Folder::new("baseline");
    folder.write("jobs/hourly.toml", &world.job.spec);
    for value in ["9.5", "12.25"] {
        let arguments =
            ["baseline", "set", "hourly", "--metric", "rmse", "--version", "v2", "--value", value, "--note", "run 7"];
        trueup(&world, &folder, &arguments).ok();
    }
    let stored =
        "select job, metric, cohort, model_version, value, note from trueup.model_baseline order by id desc limit 1";
    assert_eq!(world.db.lines(stored).await, ["hourly | rmse | all | v2 | 12.25 | run 7"]);
    for (arguments, words) in [
        (&["--metric", "rmsle", "--version", "v2", "--value", "1"][..], "has no metric `rmsle`"),
        (&["--metric", "rmse", "--value", "1"][..], "add --version"),
        (&["--metric", "rmse", "--version", "v2", "--value", "nan"][..], "not a finite number"),
    ] {
        let run = trueup(&world, &folder, &[&["baseline", "set", "hourly"], arguments].concat());
        assert_eq!(run.code, Some(1), "{arguments:?}");
        assert!(run.stderr.contains(words), "`{words}` is not in\n{}", run.stderr);
    }
}

const JOB: &str = "[windows]\nrolling = [\"24h\"]\ntumbling = [\"1d\"]\n[[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"rolling 24h\"\nabove = 250.0\nfor = 3\nclear_below = 220.0\nmin_samples = 90\nseverity = \"page\"\n[[alerts]]\nname = \"drift\"\nmetric = \"mae\"\nwindow = \"tumbling 1d\"\nabove_baseline = \"20%\"\nbaseline = { windows = 3, min = 2 }\n";

const FIXTURE: &str = r#"
job = "hourly.toml"

[[tests]]
name = "three in a row page, and it clears below 220"
series = [{ window = "rolling 24h", end = "2024-05-01T01:00:00Z", every = "1h", values = { rmse = "200 260x3 _ 230 210", labeled = 95 } }]
expect = [
    { rule = "high", at = "2024-05-01T03:00:00Z", verdict = "breach", state = "pending" },
    { rule = "high", at = "2024-05-01T04:00:00Z", verdict = "breach", state = "firing", message = ["[PAGE] hourly: rmse", "for 3 windows in a row", "runbooks.example.org"] },
    { rule = "high", at = "2024-05-01T06:00:00Z", verdict = "ok", state = "firing" },
]
fires = [{ rule = "high", from = "2024-05-01T04:00:00Z", until = "2024-05-01T07:00:00Z" }]

[[tests]]
name = "too few samples decide nothing"
series = [{ window = "rolling 24h", end = "2024-05-01T01:00:00Z", every = "1h", values = { rmse = "900x4", labeled = "89x3 90" } }]
expect = [
    { rule = "high", at = "2024-05-01T03:00:00Z", verdict = "insufficient", reason = "89 labeled pairs, 90 needed" },
    { rule = "high", at = "2024-05-01T04:00:00Z", verdict = "breach", state = "pending" },
]

[[tests]]
name = "two in a row are not three, as of three o'clock"
now = "2024-05-01T03:00:00Z"
quiet = ["high"]
series = [{ window = "rolling 24h", end = "2024-05-01T01:00:00Z", every = "1h", values = { rmse = "200 260x9", labeled = 95 } }]
expect = [{ rule = "high", at = "2024-05-01T03:00:00Z", verdict = "breach", state = "pending" }]

[[tests]]
name = "twenty percent over the usual"
series = [{ window = "tumbling 1d", end = "2024-05-02T00:00:00Z", values = { mae = "100 110 126 127" } }]
expect = [
    { rule = "drift", at = "2024-05-03T00:00:00Z", verdict = "insufficient" },
    { rule = "drift", at = "2024-05-04T00:00:00Z", verdict = "ok", baseline = 105 },
    { rule = "drift", at = "2024-05-05T00:00:00Z", verdict = "ok", baseline = 110 },
]
"#;

#[test]
fn fixtures_test_rules_without_a_database() {
    let folder = Folder::new("fixtures");
    folder.write("jobs/hourly.toml", &hourly(JOB)).write("jobs/hourly.test.toml", FIXTURE);
    let run = folder.run(&["test"]).ok();
    assert!(run.stdout.ends_with("4 passed, 0 failed\n"), "{}", run.stdout);
    // A fixture is no job.
    folder.run(&["check"]).ok();
}

#[test]
fn a_past_that_never_varied_is_a_baseline_in_deviations_too() {
    let rule = |name: &str, metric: &str, side: &str| {
        format!(
            "[[alerts]]\nname = \"{name}\"\nmetric = \"{metric}\"\nwindow = \"tumbling 1d\"\n{side}_baseline = \"3 mad\"\n\
             baseline = {{ kind = \"rolling\", windows = 10, min = 3 }}\n"
        )
    };
    let job = format!(
        "[windows]\ntumbling = [\"1d\"]\n{}{}",
        rule("mad", "rmse", "above"),
        rule("unlabeled", "coverage", "below")
    );
    let fixture = r#"
job = "hourly.toml"
[[tests]]
name = "jump"
series = [{ window = "tumbling 1d", end = "2025-05-02T00:00:00Z", values = { rmse = "5x8 50 5", predictions = 9, labeled = "9x8 9 8" } }]
expect = [
    { rule = "mad", at = "2025-05-09T00:00:00Z", verdict = "ok", baseline = 5 },
    { rule = "mad", at = "2025-05-10T00:00:00Z", verdict = "breach", baseline = 5 },
    { rule = "mad", at = "2025-05-11T00:00:00Z", verdict = "ok" },
    { rule = "unlabeled", at = "2025-05-10T00:00:00Z", verdict = "ok", baseline = 1 },
    { rule = "unlabeled", at = "2025-05-11T00:00:00Z", verdict = "breach", baseline = 1 },
]
"#;
    let folder = Folder::new("flat");
    folder.write("jobs/hourly.toml", &hourly(&job)).write("jobs/hourly.test.toml", fixture);
    let run = folder.run(&["test"]);
    assert!(run.stdout.ends_with("1 passed, 0 failed\n"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn a_fixture_that_fails_says_what_differs() {
    let folder = Folder::new("fixtures-fail");
    let wrong = FIXTURE
        .replace("verdict = \"ok\", state = \"firing\"", "verdict = \"breach\", state = \"resolved\"")
        .replace("until = \"2024-05-01T07:00:00Z\"", "until = \"2024-05-01T06:00:00Z\"")
        .replace("baseline = 105", "baseline = 106")
        .replace("\"[PAGE]", "\"[TICKET]");
    folder.write("jobs/hourly.toml", &hourly(JOB)).write("jobs/hourly.test.toml", &wrong);
    let run = folder.run(&["test"]);
    assert_eq!(run.code, Some(1));
    insta::assert_snapshot!(run.stdout, @r#"
    FAILED  jobs/hourly.test.toml: three in a row page, and it clears below 220
            high at 2024-05-01T04:00:00Z for all: value 260.0, limit 250.0, above the limit
              message: `[TICKET] hourly: rmse` is not in
              [PAGE] hourly: rmse 260.0 for all
              high: rmse of rolling 24h has been above 250 for 3 windows in a row, since 2024-05-01 02:00 UTC.
              
              Runbook: https://runbooks.example.org/hourly
              
              all
                value        260.0
                limit        250
                samples      95 labeled of 100 predictions
                coverage     95.0 %
                window       2024-04-30 04:00 UTC to 2024-05-01 04:00 UTC (provisional)
                since        2024-05-01 02:00 UTC
              
              Reproduce:
              select revision, computed_at, status, rmse as value, labeled, coverage
              from trueup.window_revisions
              where job = 'hourly' and window_name = 'rolling 24h' and window_end = '2024-05-01T04:00:00+00:00'
                and cohort = 'all' and model_version is null
              order by revision;
              
              hourly, owned by team@example.org. As of 2024-05-01T04:00:00+00:00.
            high at 2024-05-01T06:00:00Z for all: value 230.0, limit 250.0, within the limit
              verdict: expected breach, got ok
              state: expected resolved, got firing
            high: expected (-) and actual (+) firing differ
              - 2024-05-01T04:00:00+00:00 to 2024-05-01T06:00:00+00:00 for all
              + 2024-05-01T04:00:00+00:00 to 2024-05-01T07:00:00+00:00 for all
    ok      jobs/hourly.test.toml: too few samples decide nothing
    ok      jobs/hourly.test.toml: two in a row are not three, as of three o'clock
    FAILED  jobs/hourly.test.toml: twenty percent over the usual
            drift at 2024-05-04T00:00:00Z for all: value 126.0, limit 126.0, within the limit
              baseline: expected 106.0, got 105.0
    2 passed, 2 failed
    "#);
}

#[test]
fn mistakes_of_a_fixture_are_named() {
    for (right, wrong, words) in [
        ("rule = \"drift\"", "rule = \"drif\"", "did you mean `drift`?"),
        ("rmse = \"200 260x3 _ 230 210\"", "rmse = \"200 many\"", "`many` is not a value"),
        ("rmse = \"200 260x3 _ 230 210\"", "rmsle = \"200\"", "no metric `rmsle`"),
        ("every = \"1h\", ", "", "`every` is missing"),
        ("2024-05-02T00:00:00Z\", values", "2024-05-02T01:00:00Z\", values", "no tumbling 1d window ends at"),
        ("at = \"2024-05-03T00:00:00Z\"", "at = \"tomorrow\"", "`tomorrow` is not a time"),
        ("quiet =", "silent =", "`silent` is not a key of"),
        ("job = \"hourly.toml\"", "job = \"other.toml\"", "other.toml"),
    ] {
        let folder = Folder::new("fixtures-mistake");
        let text = FIXTURE.replacen(right, wrong, 1);
        assert_ne!(text, FIXTURE, "`{right}` is there");
        folder.write("jobs/hourly.toml", &hourly(JOB)).write("jobs/hourly.test.toml", &text);
        let run = folder.run(&["test"]);
        assert_eq!(run.code, Some(1), "{wrong}");
        assert!(run.stderr.contains(words), "`{words}` is not in\n{}", run.stderr);
    }
}

#[test]
fn the_shipped_fixture_passes() {
    let folder = Folder::new("fixtures-shipped");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["jobs/ro-load.toml", "jobs/ro-load.test.toml", "trueup.toml"] {
        folder.write(file, &std::fs::read_to_string(root.join(file)).unwrap());
    }
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let run = Run::of(folder.trueup(&["test"]).env("TRUEUP_HOOK_SECRET", secret).output().unwrap()).ok();
    assert!(run.stdout.contains(", 0 failed"), "{}", run.stdout);
}
