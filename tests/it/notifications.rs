//! One message per incident: grouped, spaced, held back where it should be, reminded of, escalated, acted upon.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::Value as Json;
use trueup::dispatch::acknowledge::{Kind, ManualAction, act};
use trueup::dispatch::repeat;
use trueup::domain::schedule::Cadence;
use trueup::notify::message::Notice;
use trueup::notify::policy::matcher::Matcher;
use trueup::notify::policy::route::{Daily, Escalation, Hours, Maintenance, Route};
use trueup::text::number::amount;

use crate::support::world::{TABLES, World, at, hourly};

fn hour(n: i64) -> DateTime<Utc> {
    at("2024-05-01T00:00:00Z") + TimeDelta::hours(n)
}

/// A rule on hourly rmse above 5, a page unless it says otherwise.
fn rule(name: &str, rest: &str) -> String {
    let rest = if rest.contains("severity") { rest.to_owned() } else { format!("severity = \"page\"\n{rest}") };
    format!("[[alerts]]\nname = \"{name}\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\n{rest}\n")
}

const WINDOWS: &str =
    "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[cohorts]]\nby = [\"region\"]\ntop = 500\n";

/// `regions` regions with ten predictions an hour each for `hours`; wrong by `error`, an expression over `hour` and `region`.
async fn world(rules: &str, regions: i64, hours: i64, error: &str) -> World {
    let mut world = World::new(TABLES, &hourly(&format!("{WINDOWS}{rules}"))).await;
    world.delivers = false;
    let scene = format!(
        "insert into public.p
         select row_number() over (), '2024-05-01Z'::timestamptz + hour * interval '1 hour' + n * interval '5 minutes', {error}, 'v1', 'r' || region, '2024-05-01Z'
         from generate_series(0, {hours} - 1) hour, generate_series(1, {regions}) region, generate_series(1, 10) n;
         insert into public.l select id, 0, at from public.p;
         analyze public.p; analyze public.l;"
    );
    world.db.execute(&scene).await;
    world
}

/// The messages in the outbox, oldest first.
async fn messages(world: &World) -> Vec<Notice> {
    let bodies: Vec<Json> = sqlx::query_scalar("select body from trueup.notification order by sequence")
        .fetch_all(&world.db.pool)
        .await
        .expect("the outbox");
    bodies.into_iter().map(|body| serde_json::from_value(body).expect("a message")).collect()
}

/// What was told to whom and why, a line per message: `hook firing first: r all*`, a star where it is news.
async fn told(world: &World) -> Vec<String> {
    let rows: Vec<(String, String, Json)> =
        sqlx::query_as("select receiver, state, body from trueup.notification order by sequence")
            .fetch_all(&world.db.pool)
            .await
            .expect("the outbox");
    let mut lines = Vec::new();
    for (receiver, state, body) in rows {
        let notice: Notice = serde_json::from_value(body).expect("a message");
        let alerts: Vec<String> = notice
            .alerts()
            .map(|(section, alert)| {
                let star = if alert.is_new { "*" } else { "" };
                let end = if alert.is_firing() { "" } else { " ended" };
                format!("{} {}{end}{star}", section.rule.name, alert.cohort)
            })
            .collect();
        let dropped = if state == "dropped" { " (dropped)" } else { "" };
        lines.push(format!("{receiver} {} {}: {}{dropped}", notice.kind, notice.reason, alerts.join(", ")));
    }
    lines
}

async fn remind(world: &World) {
    repeat::all(&world.db.pool, &world.routing).await.expect("reminders");
}

/// Lets time pass for everything that was told.
async fn pass(world: &World, time: &str) {
    let sql = format!(
        "update trueup.notification_log set notified_at = notified_at - interval '{time}';
         update trueup.notification set created_at = created_at - interval '{time}', next_attempt_at = next_attempt_at - interval '{time}';"
    );
    world.db.execute(&sql).await;
}

fn route(severity: Option<&str>, notify: &[&str]) -> Route {
    let matcher = Matcher { severity: severity.map(str::to_owned), ..Matcher::default() };
    Route { matcher, notify: notify.iter().map(|name| (*name).to_owned()).collect(), ..Route::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_cohorts_that_break_at_once_are_one_message_and_complete_in_the_database() {
    let rules = rule("high", "cohorts = \"each\"\nnotify = [\"hook\"]")
        + &rule("bias", "cohorts = \"each\"\nnotify = [\"hook\"]").replace("rmse", "mae");
    let world =
        world(&rules, 400, 2, "case when hour = 0 then 1 when region <= 380 then 9 + region / 100.0 else 1 end").await;
    world.run_at(hour(1)).await;
    assert!(told(&world).await.is_empty());
    world.run_at(hour(2)).await;
    let messages = messages(&world).await;
    assert_eq!(messages.len(), 1, "one message for 760 alerts of two rules");
    let notice = &messages[0];
    assert_eq!(notice.rules.len(), 2);
    assert!(notice.rules.iter().all(|section| section.alerts.len() == 380 && section.rule.judged == Some(400)));
    let high = notice.rules.iter().find(|section| section.rule.name == "high").unwrap();
    let values: Vec<f64> = high.alerts.iter().filter_map(|alert| alert.value).collect();
    assert!(values.is_sorted_by(|a, b| a >= b), "worst first");
    assert_eq!(high.alerts[0].cohort, "region=r380");
    let share: f64 = high.alerts.iter().filter_map(|alert| alert.squared_error_share).sum();
    assert!(share > 0.99 && share < 1.0, "{share}");
    let worst = amount(notice.rules[0].alerts[0].value, "");
    let expected = format!(
        "[PAGE] hourly: mae {worst} for region=r380 and 379 more of 400 cohorts; also high for 380 of 400 cohorts"
    );
    assert_eq!(notice.headline(), expected);
    let text = notice.plain_text();
    for part in [
        "for 380 of 400 cohorts since",
        "They cause 100 % of the total squared error.",
        "and 370 more; see trueup.alert_history",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert!(text.len() < 8_000, "{} bytes", text.len());
    let alerts: i64 = world.db.scalar("select count(*) from trueup.alert where state = 'firing' and dispatched").await;
    let evidence: i64 = world.db.scalar("select count(*) from trueup.incident_evidence").await;
    assert_eq!((alerts, evidence), (760, 760));
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.incident").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fires_and_ends_before_anything_went_out_is_not_told() {
    let world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour = 1 then 9 else 1 end").await;
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    assert_eq!(told(&world).await, ["hook firing first: r all*"]);
    world.run_at(hour(3)).await;
    assert_eq!(told(&world).await, ["hook firing first: r all* (dropped)"]);
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.notification_log").await, 0);
    let states = world.db.lines("select from_state, to_state from trueup.alert_history order by changed_at").await;
    assert_eq!(states, ["inactive | firing", "firing | resolved"], "it is on record all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_alert_is_notified_at_most_once_per_group_interval() {
    // Scheduled runs, as `serve` makes them: those wait for their group.
    let mut world = world(&rule("r", "notify = [\"hook\"]"), 1, 40, "case when hour % 2 = 1 then 9 else 1 end").await;
    world.delivers = false;
    for n in 1..=40 {
        scheduled(&world, hour(n)).await;
        // The first message is long on its way; what follows waits for the interval, and is folded together meanwhile.
        if n == 2 {
            world.delivered().await;
        }
    }
    let told = told(&world).await;
    let sent = told.iter().filter(|line| !line.ends_with("(dropped)")).count();
    assert!(sent <= 2, "{told:#?}");
    let changes: i64 = world.db.scalar("select count(*) from trueup.alert_transition").await;
    assert_eq!(changes, 39, "every change is on record");
    let due: bool = world.db.scalar("select bool_and(next_attempt_at >= created_at) and max(next_attempt_at) filter (where state = 'pending') > clock_timestamp() + interval '3 minutes' from trueup.notification").await;
    assert!(due, "the second keeps its distance");
}

/// Runs the job as a scheduler does.
async fn scheduled(world: &World, time: DateTime<Utc>) {
    let due = format!(
        "insert into trueup.job (name) values ('hourly') on conflict do nothing; insert into trueup.run (job_id, scheduled_for, trigger) select id, '{time}', 'schedule' from trueup.job"
    );
    world.db.execute(&due).await;
    let mut connection = world.db.pool.acquire().await.expect("a connection");
    let lease = TimeDelta::seconds(30);
    let claim = trueup::store::ledger::run::claim_next(&mut connection, &["hourly".to_owned()], "test", lease)
        .await
        .expect("the ledger")
        .expect("a claim");
    drop(connection);
    let ended =
        trueup::pipeline::execute::execute(&world.db.pool, &world.job, &claim, time, lease, &world.routing).await;
    assert!(matches!(ended, trueup::pipeline::execute::Ended::Ok(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_tells_what_is_new_and_all_that_still_fires() {
    let error =
        "case when region = 1 and hour >= 1 then 9 when region = 2 and hour >= 2 and hour < 4 then 20 else 1 end";
    let world = world(&rule("r", "cohorts = \"each\"\nnotify = [\"hook\"]"), 3, 6, error).await;
    for n in 1..=5 {
        world.run_at(hour(n)).await;
        world.delivered().await;
    }
    assert_eq!(
        told(&world).await,
        [
            "hook firing first: r region=r1*",
            "hook firing new_alerts: r region=r2*, r region=r1",
            "hook firing some_resolved: r region=r1, r region=r2 ended*",
        ]
    );
    world
        .db
        .execute("update public.p set predicted = 1, seen = '2024-05-01T05:30Z' where at >= '2024-05-01T05:00Z'")
        .await;
    world.run_at(hour(6)).await;
    assert_eq!(told(&world).await[3..], ["hook resolved all_resolved: r region=r1 ended*"]);
    let closed = world.db.lines("select count(*), count(closed_at) from trueup.incident").await;
    assert_eq!(closed, ["1 | 1"], "one incident, over");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_decide_for_rules_that_name_nobody_and_the_fallback_takes_the_rest() {
    let rules = rule("page", "")
        + &rule("ticket", "severity = \"ticket\"").replace("rmse", "mae")
        + &rule("named", "notify = [\"mail\"]").replace("rmse", "bias");
    let mut world = world(&rules, 1, 2, "case when hour = 1 then 9 else 1 end").await;
    world.routing.routes = vec![route(Some("page"), &["hook"])];
    world.routing.fallback = Some("fallback".into());
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    let mut told = told(&world).await;
    told.sort();
    assert_eq!(
        told,
        ["fallback firing first: ticket all*", "hook firing first: page all*", "mail firing first: named all*"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_holds_back_the_ticket_and_the_whole_holds_back_its_cohorts() {
    let rules = rule("page", "notify = [\"hook\"]")
        + &rule("ticket", "severity = \"ticket\"\nnotify = [\"hook\"]")
        + &rule("each", "cohorts = \"each\"\nnotify = [\"hook\"]");
    let error = "case when hour = 0 then 1 when hour = 1 then 9 when region = 1 then 9 else 0 end";
    let world = world(&rules, 4, 3, error).await;
    world.run_at(hour(1)).await;
    world.run_at(hour(2)).await;
    world.delivered().await;
    assert_eq!(told(&world).await, ["hook firing first: page all*"]);
    let held = world
        .db
        .lines("select rule, cohort, suppressed_by from trueup.alert where suppressed_by is not null order by 1, 2 limit 2")
        .await;
    assert_eq!(held, ["each | region=r1 | while page fires for all", "each | region=r2 | while page fires for all"]);
    let ticket = world.db.lines("select suppressed_by from trueup.alert where rule = 'ticket'").await;
    assert_eq!(ticket, ["while the page page fires"]);
    // The whole is fine again, and one part is not: now it is told.
    world.run_at(hour(3)).await;
    assert_eq!(told(&world).await[1..], ["hook firing new_alerts: each region=r1*, page all ended*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_fires_is_told_again_until_somebody_acknowledges() {
    let world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour >= 1 then 9 else 1 end").await;
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world.delivered().await;
    remind(&world).await;
    pass(&world, "239 minutes").await;
    remind(&world).await;
    assert_eq!(told(&world).await.len(), 1, "not before four hours");
    pass(&world, "2 minutes").await;
    remind(&world).await;
    remind(&world).await;
    assert_eq!(told(&world).await[1..], ["hook firing repeat: r all"]);
    world.delivered().await;
    let kim = ManualAction { kind: Kind::Acknowledge, author: "kim", note: "on it" };
    assert_eq!(act(&world.db.pool, &[1], &[], kim, &world.routing).await.unwrap().len(), 1);
    assert_eq!(told(&world).await[2..], ["hook acknowledged acknowledged: r all"]);
    assert!(messages(&world).await[2].plain_text().contains("Acknowledged by kim: on it."));
    world.delivered().await;
    pass(&world, "5 hours").await;
    remind(&world).await;
    assert_eq!(told(&world).await.len(), 3, "somebody is on it");
    let actions = world.db.lines("select action, author, note from trueup.alert_action").await;
    assert_eq!(actions, ["acknowledged | kim | on it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acknowledges_so_others_are_told_once_and_of_the_end_too() {
    let mut world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour = 1 then 9 else 1 end").await;
    let escalation = Escalation { after: TimeDelta::minutes(30), notify: vec!["lead".into()] };
    world.routing.routes = vec![Route { escalation: Some(escalation), ..route(Some("page"), &[]) }];
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world.delivered().await;
    pass(&world, "29 minutes").await;
    remind(&world).await;
    assert_eq!(told(&world).await.len(), 1);
    pass(&world, "2 minutes").await;
    remind(&world).await;
    remind(&world).await;
    assert_eq!(told(&world).await[1..], ["lead firing escalated: r all*"]);
    let escalated = messages(&world).await.remove(1);
    assert!(escalated.headline().starts_with("[PAGE] hourly: rmse"), "{}", escalated.headline());
    assert!(escalated.plain_text().contains("\nNot acknowledged in time. r: rmse of "), "{}", escalated.plain_text());
    world.delivered().await;
    pass(&world, "10 minutes").await;
    remind(&world).await;
    assert_eq!(told(&world).await.len(), 2, "once");
    world.run_at(hour(3)).await;
    assert_eq!(
        told(&world).await[2..],
        ["hook resolved all_resolved: r all ended*", "lead resolved all_resolved: r all ended*"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_alert_does_not_escalate() {
    let mut world = world(&rule("r", "notify = [\"hook\"]"), 1, 2, "case when hour = 1 then 9 else 1 end").await;
    let escalation = Escalation { after: TimeDelta::minutes(30), notify: vec!["lead".into()] };
    world.routing.routes = vec![Route { escalation: Some(escalation), ..route(None, &[]) }];
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world.delivered().await;
    let kim = ManualAction { kind: Kind::Acknowledge, author: "kim", note: "" };
    act(&world.db.pool, &[], &[1], kim, &world.routing).await.unwrap();
    pass(&world, "2 hours").await;
    remind(&world).await;
    assert!(told(&world).await.iter().all(|line| !line.starts_with("lead")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_resolved_by_hand_stays_so_until_a_later_window() {
    let world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour >= 1 then 9 else 1 end").await;
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world.delivered().await;
    let kim = ManualAction { kind: Kind::Resolve, author: "kim", note: "the meter was replaced" };
    act(&world.db.pool, &[1], &[], kim, &world.routing).await.unwrap();
    world.delivered().await;
    assert_eq!(told(&world).await[1..], ["hook resolved all_resolved: r all ended*"]);
    let text = messages(&world).await[1].plain_text();
    assert!(
        text.starts_with("[CLOSED] hourly: rmse") && text.contains("resolved by kim: the meter was replaced"),
        "{text}"
    );
    // The same window again, corrected: it is the one that was declared over.
    world.db.execute("update public.l set actual = 0.5, seen = '2024-05-01T02:10Z' where id = 11").await;
    world.run_at(hour(2) + TimeDelta::minutes(20)).await;
    assert_eq!(world.db.lines("select state from trueup.alert").await, ["resolved"]);
    world.run_at(hour(3)).await;
    assert_eq!(world.db.lines("select state from trueup.alert").await, ["firing"], "a later window is news");
    let reason = world.db.lines("select reason from trueup.alert_history where run_id is null").await;
    assert_eq!(reason, ["resolved by kim: the meter was replaced"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_and_warm_up_hold_back_and_tell_afterwards() {
    let mut world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour >= 1 then 9 else 1 end").await;
    let begins = Cadence::cron("* * * * * *", chrono_tz::UTC).unwrap();
    let maintenance =
        Maintenance { matcher: Matcher::default(), begins, lasts: TimeDelta::seconds(30), reason: "a move".into() };
    world.routing.maintenance = vec![maintenance];
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    assert!(told(&world).await.is_empty());
    let held: String = world.db.scalar("select suppressed_by from trueup.alert").await;
    assert!(held.starts_with("during maintenance until ") && held.ends_with("(a move)"), "{held}");
    world.routing.maintenance.clear();
    world.db.execute("insert into trueup.annotation (job, kind, starts_at, suppress_until) values ('hourly', 'deploy', now(), now() + interval '30 minutes')").await;
    remind(&world).await;
    assert!(told(&world).await.is_empty());
    let held: String = world.db.scalar("select suppressed_by from trueup.alert").await;
    assert!(held.starts_with("until ") && held.ends_with("after a deploy"), "{held}");
    // Of another job, and over: both hold back nothing.
    world.db.execute("update trueup.annotation set job = 'other'").await;
    remind(&world).await;
    assert_eq!(told(&world).await, ["hook firing first: r all*"], "told without waiting for a run");
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_wait_for_the_digest_or_the_morning_and_pages_do_not() {
    let rules = rule("page", "")
        + &rule("ticket", "severity = \"ticket\"").replace("rmse", "mae")
        + &rule("info", "severity = \"info\"").replace("rmse", "bias");
    let mut world = world(&rules, 1, 3, "case when hour >= 1 then 9 else 1 end").await;
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap();
    let digest = Daily { at: nine, zone: chrono_tz::Europe::Bucharest };
    // Open on one day a week that is not today: whatever day the test runs on.
    let later = (Utc::now() + TimeDelta::days(3)).date_naive();
    let days = vec![chrono::Datelike::weekday(&later)];
    let hours = Hours { days, from: nine, to: NaiveTime::from_hms_opt(17, 0, 0).unwrap(), zone: chrono_tz::UTC };
    world.routing.routes = vec![
        Route { digest: Some(digest), ..route(Some("ticket"), &["mail"]) },
        Route { hours: Some(hours), ..route(Some("info"), &["mail"]) },
        route(None, &["mail"]),
    ];
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    let due = world
        .db
        .lines("select topic, body ->> 'digest', next_attempt_at <= clock_timestamp() + interval '1 second', extract(hour from next_attempt_at at time zone 'Europe/Bucharest') from trueup.notification order by topic, next_attempt_at")
        .await;
    assert_eq!(due[0].split(" | ").take(3).collect::<Vec<_>>(), ["hourly", "-", "true"], "the page goes out");
    assert!(due[1..].iter().all(|line| line.starts_with("hourly/later")), "{due:?}");
    let digest: String = world.db.scalar("select string_agg(to_char(next_attempt_at at time zone 'Europe/Bucharest', 'HH24:MI'), ' ') from trueup.notification where body ->> 'digest' = 'true'").await;
    assert_eq!(digest, "09:00");
    let headline = messages(&world).await.iter().find(|notice| notice.digest).map(Notice::headline);
    assert!(headline.is_some_and(|headline| headline.starts_with("[DIGEST] ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_keeps_what_was_known_when_it_began() {
    let rules = rule("r", "notify = [\"hook\"]\nfor = 2");
    let world =
        world(&format!("{rules}[residuals]\nkeep = \"2d\"\n"), 2, 6, "case when hour >= 4 then 9 + region else 1 end")
            .await;
    world.db.execute("insert into trueup.annotation (job, kind, starts_at, note, author) values ('hourly', 'deploy', '2024-05-01T03:50Z', 'v7', 'kim')").await;
    for n in 1..=6 {
        world.run_at(hour(n)).await;
    }
    let evidence: Json = world.db.scalar("select evidence from trueup.incident_evidence").await;
    let values: Vec<f64> =
        evidence["series"].as_array().unwrap().iter().filter_map(|point| point["value"].as_f64()).collect();
    assert_eq!(values.len(), 6);
    assert!((values[0] - 1.0).abs() < 1e-9 && (values[5] - 10.512).abs() < 1e-3, "{values:?}");
    let parts: Vec<&str> =
        evidence["parts"].as_array().unwrap().iter().filter_map(|part| part["cohort"].as_str()).collect();
    assert_eq!(&parts[..3], ["all", "all", "region=r2"], "the whole, its versions, then the worst");
    let worst = &evidence["worst_samples"][0];
    assert_eq!((worst["error"].as_f64(), evidence["worst_samples"].as_array().map(Vec::len)), (Some(11.0), Some(10)));
    assert_eq!(evidence["changes"][0]["note"], "v7");
    assert_eq!(evidence["plan"]["fingerprint"], world.job.fingerprint());
    assert!(evidence["alert"]["query"].as_str().unwrap().contains("trueup.window_revisions"));
    // Everything else may go: the evidence stays.
    world.db.execute("update public.l set actual = 9, seen = '2024-05-01T06:10Z' where id > 80").await;
    world.run_at(hour(6) + TimeDelta::minutes(30)).await;
    let now: Json = world.db.scalar("select evidence from trueup.incident_evidence").await;
    assert_eq!(now, evidence);
    // The chart of the message shows the same.
    assert_eq!(messages(&world).await[0].rules[0].series.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_matches_by_pattern_and_severity() {
    let rules = rule("page", "notify = [\"hook\"]")
        + &rule("ticket", "severity = \"ticket\"\nnotify = [\"hook\"]").replace("rmse", "mae");
    let world = world(&rules, 1, 2, "case when hour >= 1 then 9 else 1 end").await;
    world.db.execute("insert into trueup.silence (job, severity, ends_at, reason, author) values ('hour*', 'ticket', now() + interval '1 hour', 'known', 'kim')").await;
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    assert_eq!(told(&world).await, ["hook firing first: page all*"]);
    // Expired: what was held back is told at the next look, in the message that is still open.
    world
        .db
        .execute(
            "update trueup.silence set starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'",
        )
        .await;
    remind(&world).await;
    assert_eq!(told(&world).await, ["hook firing first: page all*, ticket all*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_flapping_alert_does_the_receiver_believes_in_the_end_what_is_so() {
    // Bad, ok, bad, ok …: each end meets a message that is still open.
    for hours in 2..=9 {
        let world =
            world(&rule("r", "notify = [\"hook\"]"), 1, hours, "case when hour % 2 = 1 then 9 else 1 end").await;
        for n in 1..=hours {
            scheduled(&world, hour(n)).await;
            if n == 2 {
                world.delivered().await;
            }
        }
        world.delivered().await;
        let fires = world.db.lines("select state from trueup.alert").await == ["firing"];
        let last: Vec<String> = world
            .db
            .lines("select kind from trueup.notification where state = 'sent' order by sequence desc limit 1")
            .await;
        assert_eq!(last == ["firing"], fires, "after {hours} hours: {:#?}", told(&world).await);
        let believed: i64 = world.db.scalar("select count(*) from trueup.notification_log").await;
        assert_eq!(believed, i64::from(fires), "after {hours} hours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stood_in_for_another_is_told_of_the_end() {
    let world = world(&rule("r", "notify = [\"hook\"]"), 1, 3, "case when hour = 1 then 9 else 1 end").await;
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world
        .db
        .execute("update trueup.notification set attempt = 1, first_due_at = clock_timestamp() - interval '3 minutes'")
        .await;
    let receivers = trueup::dispatch::send::Receivers { fallback: Some("duty".into()), ..Default::default() };
    assert_eq!(trueup::dispatch::send::fall_back(&world.db.pool, &receivers).await.unwrap(), 1);
    world.delivered().await;
    world.run_at(hour(3)).await;
    let mut lines = told(&world).await;
    lines.sort();
    assert_eq!(
        lines,
        [
            "duty firing first: r all*",
            "duty resolved all_resolved: r all ended*",
            "hook firing first: r all*",
            "hook resolved all_resolved: r all ended*",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_hears_keeps_no_page_quiet() {
    // The built-in rules name nobody: their alerts are recorded, and the page that needs labels is told all the same.
    let off =
        "[builtin]\noff = [\"no-predictions\", \"labels-stopped\", \"labels-late\", \"run-late\", \"run-failed\"]\n";
    let rules = rule("r", "notify = [\"hook\"]") + off;
    let mut world = world(&rules, 1, 9, "case when hour >= 2 then 9 else 1 end").await;
    world.db.execute("delete from public.l where id % 2 = 0").await;
    for n in 1..=9 {
        world.run_at(hour(n)).await;
    }
    let states = world.db.lines("select rule, state, suppressed_by from trueup.alert order by 1").await;
    assert_eq!(states, ["coverage-low | firing | because no receiver is named", "r | firing | -"]);
    assert_eq!(told(&world).await, ["hook firing first: r all*"]);
    // With a fallback it is told, and from then on it is what is told.
    world.routing.fallback = Some("mail".into());
    remind(&world).await;
    assert_eq!(told(&world).await[1..], ["mail firing first: coverage-low all*"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_of_a_message_says_when_it_goes_out() {
    let rules = rule("a-ticket", "severity = \"ticket\"").replace("rmse", "mae") + &rule("page", "");
    let mut world = world(&rules, 1, 2, "case when hour >= 1 then 9 else 1 end").await;
    let slow = Route { group_wait: Some(TimeDelta::minutes(10)), ..route(Some("ticket"), &["hook"]) };
    let quick = Route { group_wait: Some(TimeDelta::zero()), ..route(Some("page"), &["hook"]) };
    world.routing.routes = vec![slow, quick];
    for n in 1..=2 {
        scheduled(&world, hour(n)).await;
    }
    assert_eq!(told(&world).await, ["hook firing first: page all*, a-ticket all*"]);
    assert!(world.db.scalar::<bool>("select next_attempt_at <= clock_timestamp() from trueup.notification").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_that_nobody_was_told_of_ends_too() {
    let world = world(&rule("r", ""), 1, 3, "case when hour = 1 then 9 else 1 end").await;
    for n in 1..=3 {
        world.run_at(hour(n)).await;
    }
    assert!(told(&world).await.is_empty());
    assert_eq!(world.db.lines("select count(*), count(closed_at) from trueup.incident").await, ["1 | 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_goes_the_way_of_the_beginning_and_nobody_is_blamed_before_they_were_told() {
    let mut world = world(&rule("r", "severity = \"ticket\""), 1, 3, "case when hour = 1 then 9 else 1 end").await;
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap();
    let digest = Daily { at: nine, zone: chrono_tz::UTC };
    let escalation = Escalation { after: TimeDelta::hours(4), notify: vec!["lead".into()] };
    world.routing.routes = vec![Route { digest: Some(digest), escalation: Some(escalation), ..route(None, &["mail"]) }];
    for n in 1..=2 {
        world.run_at(hour(n)).await;
    }
    world.db.execute("update trueup.notification_log set notified_at = notified_at - interval '5 hours'").await;
    remind(&world).await;
    assert_eq!(told(&world).await.len(), 1, "the digest has not gone out: nobody has had the time to acknowledge");
    world.db.execute("update trueup.notification set next_attempt_at = clock_timestamp() - interval '5 hours'").await;
    world.delivered().await;
    remind(&world).await;
    assert_eq!(told(&world).await[1..], ["lead firing escalated: r all*"]);
    world.delivered().await;
    world.run_at(hour(3)).await;
    let due = world.db.lines("select receiver, next_attempt_at <= clock_timestamp() from trueup.notification where kind = 'resolved' order by 1").await;
    assert_eq!(due, ["lead | true", "mail | false"], "who was told at once is told at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_forgets_is_told_of_changes_at_once_and_through_every_silence() {
    let error = "case when region = 1 and hour >= 1 then 9 when region = 2 and hour >= 2 then 20 else 1 end";
    let mut world = world(&rule("r", "cohorts = \"each\"\nnotify = [\"hook\"]"), 3, 4, error).await;
    world.routing.resend.insert("hook".into(), TimeDelta::minutes(1));
    for n in 1..=2 {
        scheduled(&world, hour(n)).await;
    }
    world.delivered().await;
    // Another one a moment later: it does not wait for the interval of a group.
    scheduled(&world, hour(3)).await;
    assert!(
        world.db.scalar::<bool>("select bool_and(next_attempt_at <= clock_timestamp()) from trueup.notification").await
    );
    world.delivered().await;
    world
        .db
        .execute(
            "insert into trueup.silence (ends_at, reason, author) values (now() + interval '1 hour', 'quiet', 'kim')",
        )
        .await;
    pass(&world, "61 seconds").await;
    remind(&world).await;
    let lines = told(&world).await;
    assert_eq!(
        lines[2..],
        ["hook firing repeat: r region=r2, r region=r1"],
        "what it is not told again it takes for over"
    );
    // While it cannot be reached, one waits, and no more.
    for _ in 0..3 {
        pass(&world, "61 seconds").await;
        remind(&world).await;
    }
    assert_eq!(world.db.scalar::<i64>("select count(*) from trueup.notification where state = 'pending'").await, 1);
}
