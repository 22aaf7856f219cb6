//! PagerDuty's Events API v2: one event per message, and one incident there per group of messages here.

use serde_json::{Map, Value as Json, json};

use crate::notify::message::{Notice, clipped, is_web_link, number, rank};

/// Longest key and summary that it takes.
const LONGEST_KEY: usize = 255;
const LONGEST_SUMMARY: usize = 1_024;

pub(super) fn event(notice: &Notice, routing_key: &str) -> Option<Json> {
    let action = match notice.kind.as_str() {
        "resolved" => "resolve",
        "acknowledged" => "acknowledge",
        "heartbeat" => return None,
        _ => "trigger",
    };
    let key = clipped(&format!("trueup/{}", notice.group), LONGEST_KEY);
    if action != "trigger" {
        return Some(json!({ "routing_key": routing_key, "event_action": action, "dedup_key": key }));
    }
    let severity = match rank(notice.severity()) {
        0 => "critical",
        1 => "warning",
        _ => "info",
    };
    let worst = notice.alerts().next();
    let details: Map<String, Json> = notice
        .rules
        .iter()
        .map(|section| {
            let said: Vec<String> = section
                .alerts
                .iter()
                .take(10)
                .map(|alert| {
                    let value = alert.value.map_or("no value".to_owned(), number);
                    format!("{} {}: {value}{} ({})", alert.state, clipped(&alert.cohort, 200), alert.unit, alert.status)
                })
                .collect();
            (section.rule.name.clone(), json!(said))
        })
        .collect();
    let runbooks = notice.rules.iter().filter_map(|section| section.rule.runbook.as_deref());
    let links: Vec<Json> = runbooks
        .filter(|link| is_web_link(link))
        .map(|link| json!({ "href": link, "text": "Runbook" }))
        .take(1)
        .collect();
    Some(json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": key,
        "payload": {
            "summary": clipped(&notice.title, LONGEST_SUMMARY),
            "source": notice.job.name,
            "severity": severity,
            "timestamp": notice.as_of.to_rfc3339(),
            "component": worst.map_or("", |(section, _)| section.rule.metric.as_str()),
            "group": notice.group,
            "class": worst.map_or("", |(section, _)| section.rule.name.as_str()),
            "custom_details": details,
        },
        "links": links,
    }))
}
