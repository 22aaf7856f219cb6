//! What people tell trueup: silences and annotations, and what they do to alerts.

use chrono::TimeDelta;

use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

const RULES: &str = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[cohorts]]\nby = [\"region\"]\n\
    [[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nnotify = [\"hook\"]\ncohorts = \"each\"\n\
    [[alerts]]\nname = \"other\"\nmetric = \"mae\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nnotify = [\"hook\"]\n";

/// Two regions; from hour 2 on both are wrong by 9.
async fn world() -> (World, Folder) {
    let world = World::new(TABLES, &hourly(RULES)).await;
    world
        .db
        .execute(
            "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '10 minutes', case when n >= 12 then 9 else 1 end, 'v1',
                 (array['a', 'b'])[1 + n % 2], '2024-05-01Z' from generate_series(1, 60) n;
             insert into public.l select id, 0, at from public.p;",
        )
        .await;
    let folder = Folder::new("silences");
    folder.write("jobs/hourly.toml", &world.job.spec).write(
        "trueup.toml",
        "[receivers.hook]\ntype = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\nallow_http = true\nallow_networks = [\"127.0.0.0/8\"]\n",
    );
    (world, folder)
}

async fn run(world: &World, hour: i64) {
    world.run_at(at("2024-05-01T00:00:00Z") + TimeDelta::hours(hour)).await;
}

fn trueup(world: &World, folder: &Folder, arguments: &[&str]) -> Run {
    Run::of(folder.trueup(arguments).env("DATABASE_URL", world.db.url()).output().unwrap())
}

/// What each message told first.
const TOLD: &str = "select kind, (select string_agg((r ->> 'name') || ' ' || (a ->> 'cohort'), ', ' order by r ->> 'name', a ->> 'cohort')
    from jsonb_array_elements(body -> 'rules') r, jsonb_array_elements(r -> 'alerts') a where (a ->> 'is_new')::boolean) from trueup.notification order by sequence";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_silenced_is_recorded_and_told_when_the_silence_ends() {
    let (world, folder) = world().await;
    run(&world, 1).await;
    let add = [
        "silence",
        "add",
        "--job",
        "hourly",
        "--rule",
        "high",
        "--cohort",
        "region=a",
        "--for",
        "2h",
        "--reason",
        "a sensor is replaced",
        "--author",
        "kim",
    ];
    let added = trueup(&world, &folder, &add).ok();
    assert!(added.stderr.contains("silence 1 until"), "{}", added.stderr);
    run(&world, 2).await;
    run(&world, 3).await;
    assert_eq!(world.db.lines(TOLD).await, ["firing | high region=b, other all"]);
    let states = "select cohort, state, dispatched from trueup.alert where rule = 'high' order by 1";
    assert_eq!(world.db.lines(states).await, ["region=a | firing | false", "region=b | firing | true"]);
    let reason = world
        .db
        .lines("select reason from trueup.alert_history where cohort = 'region=a' and to_state = 'firing'")
        .await;
    assert!(
        reason[0].contains("suppressed while silenced until") && reason[0].contains("a sensor is replaced"),
        "{reason:?}"
    );
    let listed = trueup(&world, &folder, &["silence", "list", "--output", "json"]).ok();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(
        (&listed[0]["rule"], &listed[0]["author"], &listed[0]["in_force"]),
        (&"high".into(), &"kim".into(), &"yes".into())
    );

    trueup(&world, &folder, &["silence", "expire", "1"]).ok();
    run(&world, 4).await;
    assert_eq!(world.db.lines(TOLD).await[1..], ["firing | high region=a"]);
    run(&world, 5).await;
    assert_eq!(world.db.lines(TOLD).await.len(), 2, "once");
    assert_eq!(trueup(&world, &folder, &["silence", "expire", "1"]).code, Some(1), "it is over");
    assert_eq!(trueup(&world, &folder, &["silence", "list"]).ok().stdout.trim(), "there are no silences");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fires_and_ends_within_a_silence_is_never_told() {
    let (world, folder) = world().await;
    run(&world, 1).await;
    trueup(&world, &folder, &["silence", "add", "--for", "1d", "--reason", "maintenance"]).ok();
    run(&world, 3).await;
    world.db.execute("update public.l set actual = 9, seen = '2024-05-01T03:30Z' where id >= 12").await;
    run(&world, 4).await;
    assert_eq!(world.db.lines("select distinct state from trueup.alert").await, ["resolved"]);
    assert!(world.db.lines(TOLD).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_names_what_happened_just_before() {
    let (world, folder) = world().await;
    for arguments in [
        &[
            "annotate",
            "deploy",
            "--job",
            "hourly",
            "--at",
            "2024-05-01T01:50:00Z",
            "--note",
            "v7\nBcc: all@example.org",
        ][..],
        &["annotate", "schema-change", "--at", "2024-05-01T00:30:00Z"][..],
        &["annotate", "deploy", "--job", "hourly", "--at", "2024-05-01T05:00:00Z", "--note", "later"][..],
        &["annotate", "retrain", "--job", "hourly", "--at", "2024-04-01T00:00:00Z", "--note", "long ago"][..],
    ] {
        trueup(&world, &folder, arguments).ok();
    }
    run(&world, 1).await;
    run(&world, 3).await;
    let body: serde_json::Value =
        world.db.scalar("select body from trueup.notification order by sequence desc limit 1").await;
    let notice: trueup::notify::message::Notice = serde_json::from_value(body).unwrap();
    let kinds: Vec<&str> = notice.rules[0].changes.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(kinds, ["deploy", "schema_change"]);
    let text = notice.plain_text();
    assert!(
        text.contains("Changes before the alert:\n  2024-05-01 01:50 UTC deploy: v7 Bcc: all@example.org ("),
        "{text}"
    );
    assert!(notice.html(false).contains("schema_change"), "{}", notice.html(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_or_annotation_that_cannot_be_meant_is_refused() {
    let (world, folder) = world().await;
    for (arguments, words) in [
        (&["silence", "add", "--for", "2h"][..], "--reason"),
        (&["silence", "add", "--for", "2h", "--reason", " "][..], "needs a reason"),
        (&["silence", "add", "--for", "2 hours", "--reason", "x"][..], "not a duration"),
        (&["silence", "add", "--job", "hourl", "--for", "2h", "--reason", "x"][..], "did you mean `hourly`?"),
        (
            &["silence", "add", "--job", "hourly", "--rule", "hig", "--for", "2h", "--reason", "x"][..],
            "it has high, other",
        ),
        (&["annotate", "party"][..], "invalid value"),
        (&["annotate", "incident", "--until", "2024-05-01"][..], "needs an `--at`"),
        (&["annotate", "incident", "--job", "nope"][..], "there is no job `nope`"),
    ] {
        let run = trueup(&world, &folder, arguments);
        assert_eq!(run.code, Some(1), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "`{words}` is not in\n{}", run.stderr);
    }
}
