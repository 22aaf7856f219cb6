//! Alertmanager's formats: the body that it posts to webhooks, and the alerts that are posted to it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::notify::message::{AlertFacts, Notice, Section};
use crate::text::number::number;

/// Labels that identify an alert; they do not change while it fires.
fn labels(notice: &Notice, section: &Section, alert: &AlertFacts) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("alertname", section.rule.name.clone()),
        ("job", notice.job.name.clone()),
        ("severity", section.rule.severity.clone()),
        ("metric", section.rule.metric.clone()),
        ("window", section.rule.window.clone()),
        ("cohort", alert.cohort.clone()),
    ]);
    labels.extend(alert.model_version.clone().map(|version| ("model_version", version)));
    let owner = section.rule.owner.clone().or_else(|| notice.job.owner.clone());
    labels.extend(owner.map(|owner| ("owner", owner)));
    // Alertmanager treats an empty label as absent, which would merge two alerts.
    labels.retain(|_, value| !value.is_empty());
    labels
}

fn annotations(notice: &Notice, section: &Section, alert: &AlertFacts) -> BTreeMap<&'static str, String> {
    let value = alert.value.map_or_else(|| alert.note.clone().unwrap_or_default(), number);
    let description = match (alert.value, &alert.note) {
        (None, Some(note)) => note.clone(),
        _ => format!("{} {value} is {}", section.rule.metric, section.rule.condition),
    };
    let mut annotations = BTreeMap::from([
        ("summary", notice.title.clone()),
        ("description", description),
        ("value", value),
        ("samples", format!("{} labeled of {} predictions", alert.labeled, alert.predictions)),
        ("status", alert.status.clone()),
    ]);
    annotations.extend(section.rule.runbook.clone().map(|runbook| ("runbook_url", runbook)));
    annotations.extend(alert.limit.map(|limit| ("limit", limit.to_string())));
    annotations.extend(alert.coverage.map(|coverage| ("coverage", format!("{coverage:.4}"))));
    annotations.extend(alert.incident.map(|incident| ("incident", incident.to_string())));
    annotations
}

/// Hash of the labels, 16 hexadecimal digits.
fn fingerprint(labels: &BTreeMap<&'static str, String>) -> String {
    let mut hash = Sha256::new();
    for (name, value) in labels {
        hash.update([name.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Start of an alert, comparable with other alerts in Alertmanager: when it fired, otherwise when its breach began.
fn began(notice: &Notice, alert: &AlertFacts) -> DateTime<Utc> {
    alert.fired_at.or(alert.since).unwrap_or(notice.as_of)
}

/// Builds the webhook body, version 4. `None` for an acknowledgement.
pub(super) fn webhook(notice: &Notice, receiver: &str) -> Option<Json> {
    if notice.kind == "acknowledged" {
        // The format has no acknowledgement.
        return None;
    }
    let alerts: Vec<(BTreeMap<&'static str, String>, Json)> = notice
        .alerts()
        .map(|(section, alert)| {
            let labels = labels(notice, section, alert);
            let ends = if alert.is_firing() { "0001-01-01T00:00:00Z".to_owned() } else { notice.as_of.to_rfc3339() };
            let body = json!({
                "status": if alert.is_firing() { "firing" } else { "resolved" },
                "labels": labels,
                "annotations": annotations(notice, section, alert),
                "startsAt": began(notice, alert).to_rfc3339(),
                "endsAt": ends,
                "generatorURL": alert.url.as_deref().unwrap_or_default(),
                "fingerprint": fingerprint(&labels),
            });
            (labels, body)
        })
        .collect();
    let common = |name: &str| {
        let mut values = alerts.iter().map(|(labels, _)| labels.get(name));
        let first = values.next().flatten()?;
        values.all(|value| value == Some(first)).then(|| first.clone())
    };
    let names = ["alertname", "job", "severity", "metric", "window", "cohort", "model_version", "owner"];
    let common_labels: BTreeMap<&str, String> =
        names.into_iter().filter_map(|name| Some((name, common(name)?))).collect();
    let mut runbooks = notice.rules.iter().map(|section| section.rule.runbook.clone());
    let runbook = runbooks.next().flatten().filter(|first| runbooks.all(|other| other.as_ref() == Some(first)));
    let mut common_annotations = BTreeMap::from([("summary", notice.title.clone())]);
    common_annotations.extend(runbook.map(|runbook| ("runbook_url", runbook)));
    let omitted: usize = notice.rules.iter().map(|section| section.omitted).sum();
    Some(json!({
        "version": "4",
        "groupKey": format!("{{}}:{{job={:?}}}", notice.group),
        "truncatedAlerts": omitted,
        "status": if notice.kind == "resolved" { "resolved" } else { "firing" },
        "receiver": receiver,
        "groupLabels": { "job": notice.job.name },
        "commonLabels": common_labels,
        "commonAnnotations": common_annotations,
        "externalURL": notice.url.as_deref().unwrap_or_default(),
        "alerts": alerts.into_iter().map(|(_, body)| body).collect::<Vec<_>>(),
    }))
}

/// Builds the body for `/api/v2/alerts`. A firing alert expires at `now + lasts` unless it is posted again by then. `None` if
/// there is nothing to post.
pub fn posted(notice: &Notice, now: DateTime<Utc>, lasts: TimeDelta) -> Option<Json> {
    if notice.kind == "acknowledged" {
        return None;
    }
    let alerts: Vec<Json> = notice
        .alerts()
        .map(|(section, alert)| {
            // Alertmanager rejects an alert that ends before it starts.
            let began = began(notice, alert).min(now);
            let ends = if alert.is_firing() { now + lasts } else { now };
            json!({
                "labels": labels(notice, section, alert),
                "annotations": annotations(notice, section, alert),
                "startsAt": began.to_rfc3339(),
                "endsAt": ends.to_rfc3339(),
                "generatorURL": alert.url.as_deref().unwrap_or_default(),
            })
        })
        .collect();
    (!alerts.is_empty()).then(|| json!(alerts))
}
