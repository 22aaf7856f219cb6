//! PagerDuty's Events API v2: one event per severity of a notification. Each PagerDuty incident is one job and severity, so that
//! a page opens its own incident even while a ticket is open.

use serde_json::{Map, Value as Json, json};

use crate::notify::message::{Notice, Page, Section, rank};
use crate::text::line::{clipped, is_web_link};
use crate::text::number::number;

/// Longest key and summary that PagerDuty accepts.
const LONGEST_KEY: usize = 255;
const LONGEST_SUMMARY: usize = 1_024;

/// Builds the events of a notification, most urgent first. Empty for a heartbeat.
pub(super) fn events(notice: &Notice, routing_key: &str) -> Vec<Json> {
    if notice.kind == "heartbeat" {
        return Vec::new();
    }
    let mut severities: Vec<&str> = notice.rules.iter().map(|section| section.rule.severity.as_str()).collect();
    severities.sort_by_key(|severity| rank(severity));
    severities.dedup();
    severities.into_iter().map(|severity| event(notice, severity, routing_key)).collect()
}

fn event(notice: &Notice, severity: &str, routing_key: &str) -> Json {
    let mine: Vec<&Section> = notice.rules.iter().filter(|section| section.rule.severity == severity).collect();
    let fires = mine.iter().any(|section| section.is_firing());
    let action = match notice.kind.as_str() {
        "acknowledged" => "acknowledge",
        "test" => "trigger",
        _ if fires => "trigger",
        _ => "resolve",
    };
    let key = clipped(&format!("trueup/{}/{severity}", notice.group), LONGEST_KEY);
    if action != "trigger" {
        return json!({ "routing_key": routing_key, "event_action": action, "dedup_key": key });
    }
    let worst = mine.first();
    let details: Map<String, Json> =
        mine.iter().map(|section| (section.rule.name.clone(), json!(lines(section)))).collect();
    let page = page(notice, &mine);
    let runbooks = mine.iter().filter_map(|section| section.rule.runbook.as_deref());
    let runbook =
        runbooks.filter(|link| is_web_link(link)).map(|link| json!({ "href": link, "text": "Runbook" })).next();
    let link = page.as_ref().map(|page| json!({ "href": page.url, "text": page.label }));
    let links: Vec<Json> = link.into_iter().chain(runbook).collect();
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": key,
        "payload": {
            "summary": clipped(&notice.title, LONGEST_SUMMARY),
            "source": notice.job.name,
            "severity": match rank(severity) {
                0 => "critical",
                1 => "warning",
                _ => "info",
            },
            "timestamp": notice.as_of.to_rfc3339(),
            "component": worst.map_or("", |section| section.rule.metric.as_str()),
            "group": notice.group,
            "class": worst.map_or("", |section| section.rule.name.as_str()),
            "custom_details": details,
        },
        "links": links,
    });
    if let Some(page) = page {
        event["client"] = json!("trueup");
        event["client_url"] = json!(page.url);
    }
    event
}

/// Returns the page of the incident of these rules; in a test, the page of the message.
fn page(notice: &Notice, mine: &[&Section]) -> Option<Page> {
    let alerts = || mine.iter().flat_map(|section| &section.alerts);
    let firing = alerts().filter(|alert| alert.is_firing()).chain(alerts()).find_map(|alert| notice.page_of(alert));
    firing.or_else(|| notice.pages().into_iter().next())
}

/// Describes the first alerts of a rule, one line each.
fn lines(section: &Section) -> Vec<String> {
    let line = |alert: &crate::notify::message::AlertFacts| {
        let value = alert.value.map_or("no value".to_owned(), number);
        format!("{} {}: {value}{} ({})", alert.state, clipped(&alert.cohort, 200), alert.unit, alert.status)
    };
    section.alerts.iter().take(10).map(line).collect()
}
