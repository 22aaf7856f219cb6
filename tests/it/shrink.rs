//! A source forgets, by retention, dropped partitions, purged labels or a reload: history keeps what it knows and says so.

mod forgetting;

use chrono::TimeDelta;
use trueup::pipeline::Published;
use trueup::pipeline::backfill::Request;

use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\nrolling = [\"6h\"]\nlabel_wait = \"1d\"\nhorizon = \"30d\"\n";
/// A job whose built-in rule about its source is on, the others off.
const WATCHED: &str = "[builtin]\noff = [\"labels-stopped\", \"coverage-low\", \"labels-late\", \"no-predictions\", \"contradictions\", \"run-late\", \"run-failed\"]\n";

fn job(rest: &str) -> String {
    let text = hourly(&format!("{WINDOWS}{WATCHED}{rest}"));
    text.replace("every = \"1h\"", "every = \"1h\"\nreconcile = \"1d\"")
}

/// Ten days, measured by a run at their end and compared with the source.
async fn measured(toml: &str) -> World {
    let world = World::new(TABLES, toml).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 240)).await;
    world.run_at(at("2024-05-11T00:00:00Z")).await;
    world
}

const DAYS: &str = "select window_start::date, predictions, labeled, revision, status, round(mse::numeric, 6), source_gone_at is not null as gone
    from trueup.window_history where window_name = 'tumbling 1d' and cohort = 'all' and model_version is null order by 1";

fn fires(published: &Published) -> Vec<String> {
    published.transitions.iter().map(|told| format!("{} {}", told.rule, told.to.as_str())).collect()
}

async fn ticket(world: &World) -> Vec<String> {
    world.db.lines("select to_state, evidence ->> 'note' from trueup.alert_history where rule = 'source-shrank' order by changed_at").await
}

/// The number stays, whichever side forgets and however; the range is marked and a ticket says what and where.
#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_source_by_age_stays_in_history() {
    let old = "at < '2024-05-08T09:00:00Z'";
    for (what, forget) in [
        (
            "both tables",
            format!(
                "delete from public.l using public.p where p.id = l.id and {old}; delete from public.p where {old}"
            ),
        ),
        ("predictions", format!("delete from public.p where {old}")),
        ("labels", format!("delete from public.l using public.p where p.id = l.id and {old}")),
        ("everything", "truncate public.p, public.l".to_owned()),
        ("actual values", format!("update public.l set actual = null from public.p where p.id = l.id and {old}")),
    ] {
        for incremental in [true, false] {
            let toml = if incremental { job("") } else { job("").replace("arrived_at = \"seen\"\n", "") };
            let world = measured(&toml).await;
            let before = world.db.lines(DAYS).await;
            world.db.execute(&forget).await;
            let published = world.run_at(at("2024-05-12T00:00:00Z")).await;
            assert!(fires(&published).contains(&"source-shrank firing".to_owned()), "{what}: {published:?}");
            let after = world.db.lines(DAYS).await;
            for (before, after) in before[..9].iter().zip(&after) {
                let whole = |line: &str| line.rsplit_once(" | ").expect("a line").0.to_owned();
                assert_eq!(
                    whole(before).replace("provisional", "final"),
                    whole(after).replace("provisional", "final"),
                    "{what}, incremental {incremental}"
                );
            }
            assert!(after[0].ends_with(" | true"), "{what}: {after:?}");
            if what != "everything" {
                assert!(after[7].ends_with(" | true") && after[8].ends_with(" | false"), "{what}: {after:?}");
            }
            let words = ticket(&world).await.join("");
            for part in [
                "\"public\".\"p\"",
                "2024-05-01T00:00:00Z",
                "trueup backfill hourly --from 2024-05-01T00:00:00Z",
                "--accept-loss",
            ] {
                assert!(words.contains(part), "{part}: {words}");
            }
            // Every further run says and keeps the same.
            let published = world.run_at(at("2024-05-13T01:00:00Z")).await;
            assert_eq!(fires(&published), Vec::<String>::new(), "{what}");
            assert_eq!(world.db.lines(DAYS).await[..9], after[..9], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_partitions_and_views_that_move_take_nothing_away() {
    let scene = "
        create table public.parts (id bigint, at timestamptz not null, predicted float8, version text, region text, seen timestamptz not null) partition by range (at);
        create table public.old partition of public.parts for values from (minvalue) to ('2024-05-08T09:00:00Z');
        create table public.new partition of public.parts for values from ('2024-05-08T09:00:00Z') to (maxvalue);
        create table public.since (at timestamptz); insert into public.since values ('2024-01-01');
        create view public.p as select * from public.parts where at >= (select at from public.since);
        create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
        insert into public.parts select n, t, 100, 'v1', 'a', t from (select n, timestamptz '2024-05-01Z' + (n - 1) * interval '15 minutes' as t from generate_series(1, 960) n) q;
        insert into public.l select id, 99, at from public.p;";
    for forget in ["drop table public.old", "update public.since set at = '2024-05-08T09:00:00Z'"] {
        let world = World::new(scene, &job("")).await;
        world.run_at(at("2024-05-11T00:00:00Z")).await;
        let before = world.db.lines(DAYS).await;
        world.db.execute(forget).await;
        world.run_at(at("2024-05-12T00:00:00Z")).await;
        let counts = |lines: &[String]| {
            lines[..9].iter().map(|line| line.split(" | ").take(4).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(counts(&world.db.lines(DAYS).await), counts(&before), "{forget}");
    }
}

/// Windows of few rows, of which each loses less than a correction may: all that is older than some time is gone.
#[tokio::test(flavor = "multi_thread")]
async fn windows_of_few_rows_keep_what_leaves_the_source_by_age() {
    let days = |count: i64, step: &str| {
        format!(
            "insert into public.p select n, t, 100, 'v1', 'a', t from (select n, timestamptz '2024-04-01Z' + (n - 1) * interval '{step}' as t from generate_series(1, {count}) n) q;
             insert into public.l select id, 99, at from public.p"
        )
    };
    for (what, windows, rows, cut, until) in [
        (
            "a row a day, weeks",
            "tumbling = [\"1w\"]\nhorizon = \"60d\"",
            days(56, "1 day"),
            "2024-05-06T00:00:00Z",
            "2024-05-27T09:00:00Z",
        ),
        (
            "an edge of the horizon within a day",
            "tumbling = [\"1d\"]\nhorizon = \"162h\"",
            days(240, "1 hour"),
            "2024-04-08T00:00:00Z",
            "2024-04-11T09:00:00Z",
        ),
        (
            "days that are gone and half a day",
            "tumbling = [\"1d\"]\nhorizon = \"20d\"",
            days(80, "3 hours"),
            "2024-04-07T12:00:00Z",
            "2024-04-11T09:00:00Z",
        ),
    ] {
        let toml = job("").replace(
            "tumbling = [\"1d\"]\nrolling = [\"6h\"]\nlabel_wait = \"1d\"\nhorizon = \"30d\"",
            &format!("{windows}\nlabel_wait = \"1d\""),
        );
        let world = World::new(TABLES, &toml).await;
        world.db.execute(&rows).await;
        world.run_at(at(until)).await;
        let counts = "select window_start, predictions, labeled, mse from trueup.window_history where cohort = 'all' and model_version is null order by 1";
        let before = world.db.lines(counts).await;
        world.db.execute(&format!("delete from public.l using public.p where p.id = l.id and at < '{cut}'; delete from public.p where at < '{cut}'")).await;
        let published = world.run_at(at(until) + TimeDelta::days(1)).await;
        assert!(fires(&published).contains(&"source-shrank firing".to_owned()), "{what}: {published:?}");
        let after = world.db.lines(counts).await;
        assert_eq!(after[..before.len()], before[..], "{what}");
        // The horizon moves on until it begins after all that is gone: less and less of the loss lies within it.
        for day in [8, 20, 40, 60] {
            world.run_at(at(until) + TimeDelta::days(day)).await;
            assert_eq!(world.db.lines(counts).await[..before.len()], before[..], "{what}, {day} days later");
        }
    }
}

/// A backfill may begin anywhere: what its first hour lost is no old end.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_of_a_day_corrects_its_first_hour() {
    let toml = job("").replace("rolling = [\"6h\"]\n", "");
    let world = World::new(TABLES, &toml).await;
    world
        .db
        .execute(
            "insert into public.p select n, timestamptz '2024-05-01Z' + n * interval '3 minutes', 100, 'v1', 'a', '2024-05-01Z' from generate_series(0, 2399) n;
             insert into public.l select id, 99, at from public.p",
        )
        .await;
    world.run_at(at("2024-05-08T00:00:00Z")).await;
    let gone = "at >= '2024-05-03T00:00:00Z' and at < '2024-05-03T01:00:00Z'";
    world.db.execute(&format!("delete from public.p where {gone}")).await;
    let day = at("2024-05-03T00:00:00Z")..at("2024-05-04T00:00:00Z");
    world.backfill_with(Request { range: day, step: None, accept_loss: false }).await;
    let counts = "select predictions, source_gone_at is null from trueup.window_history where window_start = '2024-05-03Z' and cohort = 'all' and model_version is null";
    assert_eq!(world.db.lines(counts).await, ["460 | true"]);
}

/// A table that is loaded again: while it is empty nothing is lost, and afterwards nothing is marked.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_comes_back_ends_the_ticket_and_the_marks() {
    let world = measured(&job("")).await;
    let before = world.db.lines(DAYS).await;
    world.db.execute("create table public.saved as select * from public.l; truncate public.l").await;
    world.run_at(at("2024-05-12T00:00:00Z")).await;
    assert!(ticket(&world).await[0].starts_with("firing"));
    // A run that compares nothing leaves it as it is.
    assert_eq!(fires(&world.run_at(at("2024-05-12T01:00:00Z")).await), Vec::<String>::new());
    world.db.execute("insert into public.l select * from public.saved").await;
    let published = world.run_at(at("2024-05-13T01:00:00Z")).await;
    assert!(fires(&published).contains(&"source-shrank resolved".to_owned()), "{published:?}");
    let after = world.db.lines(DAYS).await;
    assert_eq!(after[..9].iter().filter(|line| line.ends_with("true")).count(), 0, "{after:?}");
    assert_eq!(after[..9], before[..9].iter().map(|line| line.replace("provisional", "final")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_rows_that_go_are_a_correction() {
    let world = measured(&job("")).await;
    world.db.execute("delete from public.p where at >= '2024-05-03T10:00:00Z' and at < '2024-05-03T12:00:00Z'").await;
    let published = world.run_at(at("2024-05-12T00:00:00Z")).await;
    assert_eq!(fires(&published), Vec::<String>::new());
    let third = &world.db.lines(DAYS).await[2];
    assert!(third.starts_with("2024-05-03 | 88 | 88 | 2 | final") && third.ends_with("false"), "{third}");
    // A little at a time adds up: two more of that day are too many.
    world.db.execute("delete from public.p where at >= '2024-05-03T20:00:00Z' and at < '2024-05-03T20:30:00Z'").await;
    let published = world.run_at(at("2024-05-13T00:00:00Z")).await;
    assert!(fires(&published).contains(&"source-shrank firing".to_owned()), "{published:?}");
    let third = &world.db.lines(DAYS).await[2];
    assert!(third.starts_with("2024-05-03 | 88 | 88 | 2 | final") && third.ends_with("true"), "{third}");
}

/// The way out that the ticket names.
#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_takes_the_loss_over_only_where_that_is_asked_for() {
    let world = measured(&job("")).await;
    let before = world.db.lines(DAYS).await;
    world.db.execute("delete from public.p where at < '2024-05-04T12:00:00Z'").await;
    world.run_at(at("2024-05-12T00:00:00Z")).await;
    let range = at("2024-05-01T00:00:00Z")..at("2024-05-08T00:00:00Z");
    let request = |accept_loss| Request { range: range.clone(), step: None, accept_loss };
    let kept = world.backfill_with(request(false)).await;
    assert!(kept.kept > 0, "{kept:?}");
    let counts = |lines: &[String]| {
        lines[..9].iter().map(|line| line.split(" | ").take(4).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(counts(&world.db.lines(DAYS).await), counts(&before));
    let accepted = world.backfill_with(request(true)).await;
    assert_eq!(accepted.kept, 0);
    let after = world.db.lines(DAYS).await;
    assert!(after[0].starts_with("2024-05-04 | 48 | 48 | 2"), "{after:?}");
    assert_eq!(after.iter().filter(|line| line.ends_with("true")).count(), 0, "{after:?}");
    let published = world.reconcile().await;
    assert!(fires(&published).contains(&"source-shrank resolved".to_owned()), "{published:?}");
    // What was reported first is still there.
    let first: i64 = world.db.scalar("select predictions from trueup.window_revisions where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null and first_reported").await;
    assert_eq!(first, 96);
}

/// A definition that measures more of the same rows takes nothing away either.
#[tokio::test(flavor = "multi_thread")]
async fn another_definition_of_the_job_keeps_what_the_source_forgot() {
    let mut world = measured(&job("")).await;
    let before = world.db.lines(DAYS).await;
    world.db.execute("delete from public.p where at < '2024-05-08T09:00:00Z'").await;
    world.job = plan_job(&job("[[cohorts]]\nby = [\"region\"]\n"));
    world.run_at(at("2024-05-12T00:00:00Z")).await;
    let after = world.db.lines(DAYS).await;
    for (before, after) in before[..8].iter().zip(&after) {
        assert_eq!(before.split(" | ").take(3).collect::<Vec<_>>(), after.split(" | ").take(3).collect::<Vec<_>>());
        assert!(after.ends_with("true"), "{after}");
    }
    // One that reads other rows is meant to say something else.
    world.job = plan_job(&job("").replace("version = \"version\"", "version = \"version\"\nwhere = \"region = 'a'\""));
    world.run_at(at("2024-05-12T01:00:00Z")).await;
    let after = world.db.lines(DAYS).await;
    assert_eq!(
        after[..7].iter().filter(|line| line.contains(" | 96 | 96 | ") && line.ends_with("true")).count(),
        7,
        "{after:?}"
    );
    assert!(after[8].starts_with("2024-05-09 | 48 |"), "{after:?}");
}

/// A label that comes late for a bucket whose residuals are gone has it built again from the source; if that has forgotten the
/// rest of the bucket, it stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_label_does_not_take_the_rest_of_its_window_along() {
    let toml = job("").replace("reconcile = \"1d\"", "reconcile = \"900d\"");
    let world = measured(&format!("{toml}[residuals]\nkeep = \"1d\"\n")).await;
    let before = world.db.lines(DAYS).await;
    world.db.execute("delete from public.p where at < '2024-05-03T00:00:00Z' and id % 4 <> 0; update public.l set actual = 98, seen = '2024-05-11T10:00:00Z' where id in (select id from public.p where at < '2024-05-03T00:00:00Z')").await;
    world.run_at(at("2024-05-12T00:00:00Z")).await;
    let after = world.db.lines(DAYS).await;
    assert_eq!(after[0].split(" | ").take(4).collect::<Vec<_>>(), before[0].split(" | ").take(4).collect::<Vec<_>>());
    assert!(after[0].ends_with("true"), "{after:?}");
}

/// The share is a key of the job; at 1 history follows the source.
#[tokio::test(flavor = "multi_thread")]
async fn the_share_that_may_go_is_the_jobs() {
    let toml = job("").replace("horizon = \"30d\"", "horizon = \"30d\"\nshrink = 1.0");
    let world = measured(&toml).await;
    world.db.execute("delete from public.p where at < '2024-05-08T09:00:00Z'").await;
    let published = world.run_at(at("2024-05-12T00:00:00Z")).await;
    assert_eq!(fires(&published), Vec::<String>::new());
    assert!(world.db.lines(DAYS).await[0].starts_with("2024-05-08 | 60"));
    assert_eq!(world.job.windows.horizon, TimeDelta::days(30));
}
