//! Every kind of message, as it reads and as it is sent.

use boon::{Compiler, Schemas};
use chrono::TimeDelta;
use serde_json::Value as Json;
use trueup::cli::SchemaKind;
use trueup::commands::author::schema;
use trueup::notify::format::{Format, bodies, posted};
use trueup::notify::message::{AlertFacts, ChangeFacts, Notice, samples};
use trueup::notify::template::Templates;
use trueup::text::links::Links;

/// A message of a kind.
pub fn message(kind: &str) -> Notice {
    let mut notice = samples::notice(if kind == "resolved" { "resolved" } else { "firing" }, "region=north");
    let at = notice.as_of;
    let alert = notice.rules[0].alerts[0].clone();
    match kind {
        "first" => notice.rules[0].changes.push(ChangeFacts {
            kind: "deploy".into(),
            at: at - TimeDelta::hours(1),
            note: "v2".into(),
            author: "kim".into(),
        }),
        "repeat" => {
            notice.reason = "repeat".into();
            notice.rules[0].alerts[0].is_new = false;
        }
        "escalated" => notice.reason = "escalated".into(),
        "resolved" => {}
        "closed" => {
            notice.kind = "resolved".into();
            notice.rules[0].alerts[0] = AlertFacts {
                state: "resolved".into(),
                closed: Some("the job no longer has a rule for it".into()),
                ..alert
            };
        }
        "acknowledged" => {
            (notice.kind, notice.reason) = ("acknowledged".into(), "acknowledged".into());
            notice.note = Some("Acknowledged by kim: on it.".into());
            notice.rules[0].alerts[0] = AlertFacts { is_new: false, acknowledged_by: Some("kim".into()), ..alert };
        }
        "group" => {
            notice.rules[0].rule.judged = Some(40);
            notice.rules[0].alerts = (0..7)
                .map(|n| AlertFacts {
                    cohort: format!("region=r{n}"),
                    model_version: None,
                    value: Some(412.0 - f64::from(n) * 10.0),
                    squared_error_share: Some(0.2 / f64::from(n + 1)),
                    is_new: n != 1,
                    ..alert.clone()
                })
                .collect();
            let ended =
                AlertFacts { cohort: "region=r9".into(), model_version: None, state: "resolved".into(), ..alert };
            notice.rules[0].alerts.push(ended);
            notice.reason = "new_alerts".into();
        }
        "pipeline" => {
            let rule = &mut notice.rules[0].rule;
            (rule.name, rule.severity, rule.metric) = ("labels-stopped".into(), "ticket".into(), "received".into());
            (rule.window, rule.condition, rule.lasting) = ("tumbling 1h".into(), "zero".into(), String::new());
            notice.rules[0].alerts[0] = AlertFacts {
                cohort: "all".into(),
                model_version: None,
                value: Some(0.0),
                limit: Some(f64::MIN_POSITIVE),
                unit: String::new(),
                ci_low: None,
                ci_high: None,
                labeled: 0,
                coverage: Some(0.0),
                status: "final".into(),
                ..alert
            };
        }
        "burn" => {
            let rule = &mut notice.rules[0].rule;
            (rule.name, rule.metric) = ("within-250mw-burn-1d".into(), "burn rate of within-250mw".into());
            (rule.window, rule.condition, rule.lasting) =
                ("last 1d and last 2h".into(), "above 3".into(), String::new());
            notice.rules[0].alerts[0] = AlertFacts {
                cohort: "all".into(), model_version: None, value: Some(4.2), limit: Some(3.0), unit: String::new(), ci_low: None, ci_high: None,
                coverage: None, note: Some("62 % of the error budget of 30d remains; at the current rate it is exhausted in 5 days. Evaluated 2d late so that labels can arrive".into()),
                status: "final".into(), ..alert
            };
        }
        "run" => {
            let rule = &mut notice.rules[0].rule;
            (rule.name, rule.severity, rule.metric, rule.window) =
                ("run-failed".into(), "ticket".into(), "the schedule".into(), "runs".into());
            (rule.condition, rule.lasting) = ("failed".into(), String::new());
            notice.rules[0].alerts[0] = AlertFacts {
                cohort: "all".into(),
                model_version: None,
                value: None,
                limit: None,
                unit: String::new(),
                ci_low: None,
                ci_high: None,
                labeled: 0,
                predictions: 0,
                coverage: None,
                note: Some(
                    "the run of 2024-05-02T06:15:00+00:00 failed: there is no column `actual` in the labels table"
                        .into(),
                ),
                ..alert
            };
            notice.rules[0].series.clear();
        }
        "digest" => {
            notice.digest = true;
            let mut second = samples::section(
                "bias-drift",
                vec![AlertFacts {
                    cohort: "all".into(),
                    model_version: None,
                    value: Some(31.5),
                    limit: Some(20.0),
                    incident: Some(4),
                    ..alert
                }],
                at,
            );
            (second.rule.severity, second.rule.metric, second.rule.condition) =
                ("ticket".into(), "bias".into(), "above 20".into());
            notice.rules[0].rule.severity = "ticket".into();
            notice.rules.push(second);
        }
        "test" => {
            (notice.kind, notice.reason) = ("test".into(), "test".into());
            notice.note = Some("This is a test of the receiver: nothing is wrong, and the numbers are made up.".into());
        }
        other => panic!("no kind `{other}`"),
    }
    Templates::default().fill(&mut notice);
    notice
}

pub const KINDS: [&str; 12] = [
    "first",
    "repeat",
    "escalated",
    "resolved",
    "closed",
    "acknowledged",
    "group",
    "pipeline",
    "burn",
    "run",
    "digest",
    "test",
];

#[test]
fn every_kind_of_message_reads_as_it_should() {
    for kind in KINDS {
        insta::assert_snapshot!(format!("message_{kind}"), message(kind).text);
    }
}

#[test]
fn every_kind_of_message_as_html_and_in_the_formats_of_others() {
    for kind in ["group", "resolved"] {
        let notice = message(kind);
        insta::assert_snapshot!(format!("html_{kind}"), notice.html(true).replace("><", ">\n<"));
        for (name, format) in
            [("alertmanager", Format::Alertmanager), ("pagerduty", Format::Pagerduty), ("slack", Format::Slack)]
        {
            // The order of keys depends on features of `serde_json` that other crates switch on.
            insta::with_settings!({ sort_maps => true }, {
                insta::assert_json_snapshot!(
                    format!("{name}_{kind}"),
                    bodies(format, notice.clone(), "hook", Some("R0UTINGKEY"))
                );
            });
        }
    }
}

/// A message of a kind with links, as it is where `[web] base_url` is set.
pub fn linked(kind: &str) -> Notice {
    let mut notice = message(kind);
    notice.link(&Links::new("https://trueup.example.org/ops").expect("an address"));
    Templates::default().fill(&mut notice);
    notice
}

#[test]
fn every_format_links_to_the_incident_where_the_address_of_the_pages_is_known() {
    let incident = "https://trueup.example.org/ops/incidents/3";
    for kind in ["first", "group", "resolved"] {
        let (plain, linked) = (message(kind), linked(kind));
        let lines = linked.text.lines().filter(|line| !plain.text.contains(*line));
        assert_eq!(lines.collect::<Vec<_>>(), [format!("Open incident 3: {incident}")], "the only difference");
        let button = format!("<a href=\"{incident}\" style=\"background:#1f2328");
        assert!(linked.html(true).contains(&button), "{}", linked.html(true));
        let body = |format| bodies(format, linked.clone(), "hook", Some("R0UTINGKEY")).remove(0);
        let own = body(Format::Trueup);
        assert_eq!(
            (own["url"].as_str(), own["rules"][0]["alerts"][0]["url"].as_str()),
            (Some(incident), Some("https://trueup.example.org/ops/alerts/7"))
        );
        let slack = body(Format::Slack);
        assert_eq!(slack["blocks"][1]["text"]["text"], format!("<{incident}|Open incident 3>"));
        assert_eq!(slack["blocks"][2]["text"]["text"], "<https://runbooks.example.org/load|Open the runbook>");
        let alertmanager = body(Format::Alertmanager);
        assert_eq!(alertmanager["externalURL"], incident);
        let pushed = posted(&linked, linked.as_of, TimeDelta::minutes(4)).expect("alerts");
        for alert in [&alertmanager["alerts"][0], &pushed[0]] {
            assert_eq!(alert["generatorURL"], "https://trueup.example.org/ops/alerts/7");
        }
        let pagerduty = body(Format::Pagerduty);
        if kind != "resolved" {
            assert_eq!(
                (&pagerduty["client"], &pagerduty["client_url"]),
                (&Json::from("trueup"), &Json::from(incident))
            );
            assert_eq!(pagerduty["links"][0], serde_json::json!({ "href": incident, "text": "Open incident 3" }));
        }
    }
    insta::assert_snapshot!("linked", linked("digest").text);
}

#[test]
fn without_the_address_of_the_pages_nothing_links_to_them() {
    for kind in KINDS {
        let notice = message(kind);
        assert!(!notice.text.contains("Open incident") && !notice.html(true).contains("Open incident"), "{kind}");
        let own = bodies(Format::Trueup, notice.clone(), "hook", None).remove(0);
        assert!(!own.to_string().contains("\"url\""), "{kind}: {own}");
        let pagerduty = bodies(Format::Pagerduty, notice, "hook", Some("R0UTINGKEY")).remove(0);
        assert!(pagerduty.get("client_url").is_none(), "{kind}: {pagerduty}");
    }
}

/// The ticket of a digest opens its own PagerDuty incident, so it links to its own incident.
#[test]
fn each_severity_links_to_its_own_incident() {
    let mut notice = linked("digest");
    notice.rules[0].rule.severity = "page".into();
    notice.rules[1].alerts[0].url = Some("https://trueup.example.org/ops/alerts/9".into());
    let events = bodies(Format::Pagerduty, notice, "hook", Some("R0UTINGKEY"));
    let links: Vec<&str> = events.iter().filter_map(|event| event["client_url"].as_str()).collect();
    assert_eq!(links, ["https://trueup.example.org/ops/incidents/3", "https://trueup.example.org/ops/alerts/9"]);
    assert_eq!(events[1]["links"][0]["text"], "Open incident 4");
}

/// A phone shows about 40 characters of the subject and 90 of the text.
#[test]
fn a_phone_shows_job_value_cohort_and_start_of_an_alert() {
    for (kind, subject, preview) in [
        (
            "first",
            "[PAGE] load: rmse 412.3 MW for region=north, version v2",
            "rmse-high: rmse of rolling 24h has been above 250 for 3 windows in a row, since 2024-05-02",
        ),
        (
            "group",
            "[PAGE] load: rmse 412.0 MW for region=r0 and 6 more of 40 cohorts",
            "rmse-high: rmse of rolling 24h has been above 250 for 7 of 40 cohorts since 2024-05-02 05:",
        ),
        (
            "digest",
            "[DIGEST] load: rmse 412.3 MW for region=north, version v2; also bias-drift",
            "2 rules are firing, the first since 2024-05-02 05:45 UTC.",
        ),
    ] {
        let notice = message(kind);
        let lines: Vec<&str> = notice.text.lines().take(2).collect();
        assert_eq!(lines[0], subject);
        assert_eq!(lines[1].chars().take(90).collect::<String>(), preview);
        let hidden =
            notice.html(false).split("display:none").nth(1).and_then(|rest| rest.split('>').nth(1)).map(str::to_owned);
        assert!(hidden.is_some_and(|hidden| hidden.starts_with(preview)), "the preview of the HTML part");
    }
}

#[test]
fn every_body_is_what_the_shipped_schema_says() {
    let shipped: Json = serde_json::from_str(include_str!("../../docs/schema/webhook.json")).expect("the schema");
    let mut compiler = Compiler::new();
    compiler.add_resource("webhook.json", shipped).expect("a schema");
    let mut schemas = Schemas::new();
    let index = compiler.compile("webhook.json", &mut schemas).expect("it compiles");
    for kind in KINDS {
        let made = bodies(Format::Trueup, linked(kind), "hook", None).remove(0);
        schemas.validate(&made, index).unwrap_or_else(|mistake| panic!("{kind}: {mistake}"));
        let mut wrong = made.clone();
        wrong["rules"][0]["alerts"][0]["window_end"] = Json::from(7);
        assert!(schemas.validate(&wrong, index).is_err(), "a schema that refuses nothing says nothing");
    }
}

#[test]
fn the_shipped_schemas_are_current() {
    for (name, kind) in [
        ("job", SchemaKind::Job),
        ("settings", SchemaKind::Settings),
        ("fixture", SchemaKind::Fixture),
        ("webhook", SchemaKind::Webhook),
    ] {
        let path = format!("{}/docs/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let shipped: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default()).expect("JSON");
        assert!(shipped == schema::of(kind), "`trueup schema {name} > docs/schema/{name}.json` brings it up to date");
    }
}

#[test]
fn a_storm_fits_into_what_receivers_take() {
    let mut notice = samples::notice("firing", "all");
    let alert = notice.rules[0].alerts[0].clone();
    notice.rules[0].alerts = (0..400).map(|n| AlertFacts { cohort: format!("region=r{n}"), ..alert.clone() }).collect();
    Templates::default().fill(&mut notice);
    let made = bodies(Format::Trueup, notice.clone(), "hook", None).remove(0);
    assert_eq!(made["rules"][0]["alerts"].as_array().map(Vec::len), Some(100));
    assert_eq!(made["rules"][0]["omitted"], 300);
    assert!(made.to_string().len() < 100_000);
    let alertmanager = bodies(Format::Alertmanager, notice.clone(), "hook", None).remove(0);
    assert_eq!(
        (alertmanager["truncatedAlerts"].as_i64(), alertmanager["status"].as_str()),
        (Some(300), Some("firing"))
    );
    let pushed = posted(&notice, notice.as_of, TimeDelta::minutes(4)).expect("alerts");
    assert_eq!(pushed.as_array().map(Vec::len), Some(400), "Alertmanager itself groups, and gets them all");
}
