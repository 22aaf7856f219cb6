//! Every address that `text/links.rs` can build leads somewhere. A function that is missing from the table fails the test.

use std::collections::BTreeSet;

use trueup::settings::Login;
use trueup::text::links::{Links, with_query};
use trueup::web::api::signed;

use super::classes;
use super::site::ActingSite;
use crate::support::peers;
use crate::support::world::{World, at};

const SOURCE: &str = include_str!("../../../src/text/links.rs");

/// Functions that build no address of their own.
const NO_ADDRESSES: [&str; 8] = ["new", "host", "is_https", "origin", "is_origin", "instant", "with_query", "escaped"];

/// How an address is asked for.
enum Ask {
    Get,
    /// An act, with the fields of its form.
    Form(&'static str),
}

/// Names of all public functions of the file.
fn functions() -> BTreeSet<&'static str> {
    let code = SOURCE.split("#[cfg(test)]").next().expect("code");
    let lines = code.lines().filter_map(|line| line.trim().strip_prefix("pub fn "));
    lines.map(|rest| rest.split(['(', '<']).next().expect("a name")).collect()
}

/// The functions with addresses of the demo's history.
async fn table(world: &World) -> Vec<(&'static str, Ask, String)> {
    let links = Links::default();
    let message = world.db.scalar::<String>("select id::text from trueup.notification limit 1").await;
    let token = "s3cret".to_owned().into();
    let signed = signed::links(Some(&token), &links, "load");
    let hook = &signed.iter().find(|link| link.name == "Flagger confirm-promotion").expect("a hook").address;
    let key = hook.split('/').nth(5).expect("a key");
    let by_rule = |address: String| with_query(&address, &[("rule", Some("rmse-high"))]);
    let part = |part: &str| ("job_part", Ask::Get, links.job_part("load", part));
    vec![
        ("overview", Ask::Get, links.overview()),
        ("job", Ask::Get, links.job("load")),
        part("cohorts"),
        ("job_part", Ask::Get, links.job_part("credit", "classes")),
        part("versions"),
        part("debug"),
        part("definition"),
        ("window", Ask::Get, links.window("load", "rolling 6h", at("2025-05-02T10:00:00Z"))),
        ("rule", Ask::Get, links.rule("load", "rmse-high")),
        ("budget", Ask::Get, links.budget("load", "near")),
        ("incidents", Ask::Get, links.incidents()),
        ("incident", Ask::Get, links.incident(1)),
        ("incident_part", Ask::Get, links.incident_part(1, "postmortem.md")),
        ("incident_part", Ask::Form("text=seen"), links.incident_part(1, "notes")),
        ("alert", Ask::Get, links.alert(1)),
        ("alert_part", Ask::Form("mark=useful"), links.alert_part(1, "mark")),
        ("runs", Ask::Get, links.runs()),
        ("run", Ask::Get, links.run(1)),
        ("deliveries", Ask::Get, links.deliveries()),
        ("delivery", Ask::Get, links.delivery(&message)),
        ("silences", Ask::Get, links.silences()),
        ("silence_expire", Ask::Form(""), links.silence_expire(1)),
        ("executive", Ask::Get, links.executive()),
        ("api", Ask::Get, format!("{}/jobs", links.api())),
        ("gate", Ask::Get, by_rule(links.gate("load"))),
        // The newest windows are within the limit, so the gate passes.
        ("hook", Ask::Form(""), by_rule(links.hook("load", key, "promotion"))),
        ("badge", Ask::Get, links.badge("load")),
        ("feed", Ask::Get, links.feed()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_that_builds_an_address_leads_somewhere() {
    let world = classes::scene().await;
    let silence = "insert into trueup.silence (job, starts_at, ends_at, reason, author)
                   values ('load', now(), now() + interval '1 hour', 'meters', 'kim')";
    world.db.execute(silence).await;
    // A job that is late passes no gate.
    world.db.execute("update trueup.job set published_as_of = clock_timestamp()").await;
    let site = ActingSite::start(&world, Login::None, Some("s3cret")).await;
    let table = table(&world).await;
    let mut known: BTreeSet<&str> = table.iter().map(|(name, _, _)| *name).collect();
    known.extend(NO_ADDRESSES);
    assert_eq!(functions(), known, "left: functions of links.rs; right: this table");
    for (name, ask, path) in table {
        let address = format!("{}{path}", site.base);
        let request = match ask {
            Ask::Get => peers::client().get(address),
            Ask::Form(fields) => peers::client()
                .post(address)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("sec-fetch-site", "same-origin")
                .body(fields),
        };
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        assert_eq!(status, 200, "{name}: {path}\n{}", answer.text().await.expect("text"));
    }
}
