//! An incident in one plain sentence, before all numbers: what is wrong, for whom, since when, and why it closed.

use chrono_tz::Tz;

use super::breach::{Judged, is_about_data};
use super::firing::{self, Firing};
use super::words;
use crate::store::read::incident::ChangeRow;
use crate::store::read::incidents::IncidentRow;

/// The sentence. `changes` are those of its alerts around the time when it closed.
pub fn sentence(incident: &IncidentRow, firings: &[Firing], changes: &[ChangeRow], zone: Tz) -> String {
    let Some(main) = firing::main(firings) else { return String::new() };
    let others = match incident.alerts - 1 {
        0 => String::new(),
        more => format!(" and {}", words::plural(more, "more alert")),
    };
    let since = main.alert.as_ref().and_then(|alert| alert.since).unwrap_or(incident.opened_at);
    let since = words::when(since, zone).text;
    let subject = format!("{} for {}{others}", wrong(main, incident.closed_at.is_none()), main.target());
    match incident.closed_at {
        None => format!("{subject}, since {since}. It is still open."),
        Some(at) => {
            let why = why_closed(changes).unwrap_or("none of its alerts fires any more");
            format!("{subject}, since {since}. It closed at {}: {why}.", words::when(at, zone).text)
        }
    }
}

/// The fault without its target.
fn wrong(main: &Firing, is_open: bool) -> String {
    match (&main.rule, &main.alert) {
        (Some(rule), Some(alert)) if is_about_data(&rule.metric) => judged(main).map_or_else(
            || main.row.rule.clone(),
            |judged| if alert.value.is_some() { judged.words() } else { main.row.rule.clone() },
        ),
        (Some(rule), Some(alert)) if alert.value.is_some() => {
            let is = if is_open { "is" } else { "was" };
            format!("{} of {} {is} {}{}", rule.metric, rule.window, rule.condition, unit(&rule.condition, &alert.unit))
        }
        (_, Some(alert)) => alert.note.clone().unwrap_or_else(|| main.row.rule.clone()),
        _ => main.row.rule.clone(),
    }
}

/// The unit of a condition that ends in a number.
fn unit<'a>(condition: &str, unit: &'a str) -> &'a str {
    if condition.ends_with(|c: char| c.is_ascii_digit()) { unit } else { "" }
}

/// The value of the alert that an incident is about.
pub fn judged(main: &Firing) -> Option<Judged<'_>> {
    let (rule, alert) = (main.rule.as_ref()?, main.alert.as_ref()?);
    Some(Judged {
        metric: &rule.metric,
        value: alert.value,
        limit: alert.limit,
        unit: &alert.unit,
        predictions: alert.predictions,
    })
}

/// The reason of the last change that ended a firing.
fn why_closed(changes: &[ChangeRow]) -> Option<&str> {
    let ended = changes.iter().filter(|change| !["firing", "pending"].contains(&change.to_state.as_str()));
    ended.max_by_key(|change| change.changed_at).map(|change| change.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::read::incident::EvidenceRow;
    use chrono::{DateTime, Utc};
    use serde_json::json;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    fn firing(metric: &str, value: Option<f64>, note: Option<&str>) -> Firing {
        Firing::read(EvidenceRow {
            alert_id: 7,
            rule: "the-rule".to_owned(),
            cohort: "region=north".to_owned(),
            model_version: None,
            state: "firing".to_owned(),
            acked_by: None,
            acked_at: None,
            changed_at: at(20),
            suppressed_by: None,
            frozen_at: at(20),
            evidence: json!({
                "rule": { "name": "the-rule", "severity": "page", "metric": metric, "window": "rolling 6h", "condition": "above 450",
                          "persistence": 1, "lasting": "", "runbook": null, "owner": null },
                "alert": { "cohort": "region=north", "model_version": null, "state": "firing", "value": value, "limit": 0.99, "unit": " MW",
                           "ci_low": null, "ci_high": null, "labeled": 90, "predictions": 96, "coverage": 0.9, "note": note,
                           "window_start": "1970-01-01T00:00:00Z", "window_end": "1970-01-01T00:20:00Z", "status": "final",
                           "since": "1970-01-01T00:10:00Z" },
            }),
        })
    }

    fn incident(alerts: i64, closed_at: Option<DateTime<Utc>>) -> IncidentRow {
        IncidentRow {
            incident_id: 17,
            job: "load".to_owned(),
            severity: "page".to_owned(),
            opened_at: at(20),
            closed_at,
            alerts,
            rules: None,
            acked_at: None,
            decision: None,
            judged: None,
            noted_at: None,
        }
    }

    fn change(minute: i64, to_state: &str, reason: &str) -> ChangeRow {
        ChangeRow {
            rule: "the-rule".to_owned(),
            cohort: "all".to_owned(),
            to_state: to_state.to_owned(),
            reason: reason.to_owned(),
            changed_at: at(minute),
        }
    }

    #[test]
    fn an_open_incident_says_what_is_wrong_for_whom_and_since_when() {
        let says = |firing, alerts| sentence(&incident(alerts, None), &[firing], &[], Tz::UTC);
        assert_eq!(
            says(firing("rmse", Some(533.0), None), 3),
            "rmse of rolling 6h is above 450 MW for region=north and 2 more alerts, since 1970-01-01 00:10. It is still open."
        );
        assert_eq!(
            says(firing("received", Some(95.0 / 96.0), None), 1),
            "95 of 96 labels arrived (98.96 %, limit 99 %) for region=north, since 1970-01-01 00:10. It is still open."
        );
        assert!(
            says(firing("run-failed", None, Some("the run failed")), 1).starts_with("the run failed for region=north,")
        );
    }

    #[test]
    fn a_closed_incident_says_why() {
        let changes = [
            change(40, "resolved", "the newest window is ok again"),
            change(41, "firing", "the newest window is in breach"),
            change(50, "resolved", "resolved by kim: meter replaced"),
        ];
        let says = |changes: &[ChangeRow]| {
            sentence(&incident(1, Some(at(50))), &[firing("rmse", Some(533.0), None)], changes, Tz::UTC)
        };
        assert_eq!(
            says(&changes),
            "rmse of rolling 6h was above 450 MW for region=north, since 1970-01-01 00:10. It closed at 1970-01-01 00:50: resolved by \
             kim: meter replaced."
        );
        assert!(says(&[]).ends_with("00:50: none of its alerts fires any more."));
    }
}
