//! What people type when something fires: who would be told, what happened, what became of the messages.

use serde_json::Value as Json;

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, hourly};

const SETTINGS: &str = r#"
[routing]
fallback = "mail"
[[routes]]
match = { severity = "page", job = "hour*" }
notify = ["hook"]
escalate = { after = "30m", notify = ["mail"] }
[[routes]]
match = { severity = "ticket" }
notify = ["mail"]
digest = { at = "09:00", timezone = "Europe/Bucharest" }
repeat_interval = "1d"
[[maintenance]]
match = { job = "hourly" }
cron = "0 2 * * SUN"
duration = "2h"
reason = "the meters are read"
[receivers.hook]
type = "webhook"
url = "http://127.0.0.1:9/"
allow_http = true
allow_networks = ["127.0.0.0/8"]
[receivers.mail]
type = "email"
to = ["oncall@example.org"]
from = "trueup@example.org"
smtp = { host = "127.0.0.1", port = 9, tls = "none" }
"#;

const RULES: &str = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[residuals]\nkeep = \"1d\"\n[[cohorts]]\nby = [\"region\"]\n[[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\n";

async fn fired() -> (World, Folder) {
    let world = World::new(TABLES, &hourly(RULES)).await;
    world.db.execute("insert into public.p select h * 100 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '5 minutes', case when h = 1 then 9 else 1 end, 'v1', 'north', '2024-05-01Z' from generate_series(0, 2) h, generate_series(1, 10) n;
        insert into public.l select id, 0, at from public.p;
        insert into trueup.annotation (job, kind, starts_at, note, author) values ('hourly', 'deploy', '2024-05-01T01:30Z', 'v1 | *bold* <b>', 'kim')").await;
    let folder = Folder::new("acting");
    folder.write("jobs/hourly.toml", &world.job.spec).write("trueup.toml", SETTINGS);
    for hour in 1..=2 {
        trueup(&world, &folder, &["run", "hourly", "--at", &format!("2024-05-01T0{hour}:00:00Z")]).ok();
    }
    (world, folder)
}

fn trueup(world: &World, folder: &Folder, arguments: &[&str]) -> Run {
    Run::of(folder.trueup(arguments).env("DATABASE_URL", world.db.url()).output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_shown_acknowledged_resolved_and_written_up() {
    let (world, folder) = fired().await;
    let alerts = trueup(&world, &folder, &["alerts", "--output", "json"]).ok();
    let alerts: Json = serde_json::from_str(&alerts.stdout).unwrap();
    // Nobody listens at the receiver's address.
    let told = "not yet: hook (`trueup deliveries`)";
    assert_eq!((&alerts[0]["id"], &alerts[0]["incident"], &alerts[0]["told"]), (&1.into(), &1.into(), &told.into()));
    assert!(trueup(&world, &folder, &["incident"]).ok().stdout.contains("hourly"));
    let shown = trueup(&world, &folder, &["incident", "1"]).ok().stdout;
    for part in [
        "Incident 1 of hourly (page): opened ",
        "rmse-high for all: rmse 9.000, limit 5.000 (firing now)",
        "region=north: 9.000 (10 labeled of 10)",
        "101, version v1: predicted 9.000, was 0",
        "trueup.window_revisions",
        "message to hook (firing): retry",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let acked = trueup(&world, &folder, &["alerts", "ack", "1", "--by", "kim", "--note", "looking"]).ok();
    assert!(acked.stderr.contains("acknowledged: rmse-high of hourly for all (alert 1)"), "{}", acked.stderr);
    assert!(trueup(&world, &folder, &["alerts"]).ok().stdout.contains("acknowledged by kim"));
    let vague = trueup(&world, &folder, &["alerts", "resolve", "1"]);
    assert!(vague.code == Some(1) && vague.stderr.contains("--note"), "{}", vague.stderr);
    trueup(&world, &folder, &["alerts", "resolve", "--incident", "1", "--by", "kim", "--note", "meter replaced"]).ok();
    let again = trueup(&world, &folder, &["alerts", "ack", "1"]);
    assert!(again.code == Some(1) && again.stderr.contains("none of these alerts is firing"), "{}", again.stderr);
    let draft = trueup(&world, &folder, &["incident", "1", "--postmortem"]).ok().stdout;
    for part in [
        "# Postmortem: hourly, incident 1 (page)",
        "## Impact",
        "1 alerts fired",
        "- rmse-high for all: rmse 9.000, limit 5.000 (resolved now)",
        "## Detection",
        "## Timeline",
        "rmse-high for all: inactive -\\> firing",
        "rmse-high for all acknowledged by kim: looking",
        "resolved by kim: meter replaced",
        "deploy: v1 \\| \\*bold\\* \\<b\\> (kim)",
        "## Evidence",
        "```sql",
        "## Open questions",
        "## Actions",
    ] {
        assert!(draft.contains(part), "`{part}` is not in\n{draft}");
    }
    let missing = trueup(&world, &folder, &["incident", "7"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("there is no incident 7"), "{}", missing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_be_told_and_why_is_one_command() {
    let (world, folder) = fired().await;
    insta::assert_snapshot!(
        trueup(&world, &folder, &["route", "--job", "hourly", "--at", "2024-05-04T12:00:00Z"]).ok().stdout
    );
    insta::assert_snapshot!(
        trueup(&world, &folder, &["route", "--job", "hourly", "--severity", "ticket", "--at", "2024-05-04T12:00:00Z"])
            .ok()
            .stdout
    );
    let during = trueup(&world, &folder, &["route", "--job", "hourly", "--at", "2024-05-05T03:00:00Z"]).ok().stdout;
    assert!(during.contains("suppressed by maintenance until 2024-05-05 04:00 UTC: the meters are read"), "{during}");
    let unknown = trueup(&world, &folder, &["route", "--job", "hourly", "--rule", "nope"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("it has rmse-high (page)"), "{}", unknown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_delivered_is_listed_with_why() {
    let (world, folder) = fired().await;
    let listed = trueup(&world, &folder, &["deliveries", "--state", "pending", "--output", "json"]).ok();
    let listed: Json = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["receiver"], &listed[0]["failure"]),
        (&"hook".into(), &"could not connect to the receiver".into())
    );
    let id = listed[0]["id"].as_str().unwrap();
    let retried = trueup(&world, &folder, &["deliveries", "retry", id]).ok();
    assert!(retried.stderr.contains("1 retried: 0 sent, 1 to be retried"), "{}", retried.stderr);
    let tested = trueup(&world, &folder, &["notify", "test", "mail"]);
    assert!(
        tested.code == Some(1) && tested.stderr.contains("the mail server could not be reached; `serve` will retry it"),
        "{}",
        tested.stderr
    );
    let unknown = trueup(&world, &folder, &["notify", "test", "pigeon"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("known receivers: hook, mail"), "{}", unknown.stderr);
}

#[test]
fn mistakes_in_routes_are_found_by_check_all_at_once() {
    let folder = Folder::new("routes");
    folder.write("jobs/hourly.toml", &hourly(RULES)).write(
        "trueup.toml",
        r#"
[routing]
fallback = "nobody"
repeat_interval = "10s"
[[routes]]
match = { severity = "pages" }
notify = ["hoook"]
hours = { days = ["mon", "noday"], from = "17:00", to = "09:00", timezone = "Mars/Base" }
digest = { at = "25:00" }
escalate = { after = "soon", notify = [] }
[[routes]]
notify = ["hook"]
[[routes]]
notify = ["hook"]
[[routes]]
match = { severity = "page" }
digest = { at = "09:00" }
[[maintenance]]
cron = "0 2 * *"
duration = "2h"
reason = " "
[[maintenance]]
cron = "0 2 * * *"
duration = "24h"
reason = "always"
[watchdog]
url = "http://127.0.0.1/"
[receivers.watchdog]
type = "email"
to = ["a@example.org"]
from = "b@example.org"
smtp = { host = "localhost", tls = "none" }
[receivers.hook]
type = "webhook"
url = "https://example.org/"
format = "pagerduty"
headers = { Host = "x", Authorization = "Bearer open" }
[receivers.alertmanager]
type = "alertmanager"
url = "https://example.org/"
format = "slack"
[receivers.mail]
type = "email"
to = ["a@example.org"]
from = "b@example.org"
smtp = { host = "localhost", tls = "none" }
templates = { title = "{{ notice.titel }}", text = "{% if %}" }
"#,
    );
    insta::assert_snapshot!(folder.run(&["check"]).stdout + &folder.run(&["check"]).stderr);
}
