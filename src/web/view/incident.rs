//! The head of an incident's page: what fires, how bad, and who is on it.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::breach::is_about_data;
use super::firing::{self, Firing};
use super::{plain, words};
use crate::store::read::incident::ChangeRow;
use crate::store::read::incidents::IncidentRow;
use crate::text::line::is_web_link;
use crate::text::number::percent;

/// The head of the page.
#[derive(Debug, Clone)]
pub struct Head {
    pub severity: String,
    pub letter: &'static str,
    pub is_open: bool,
    /// `open for 3 h 12 min`.
    pub lasted: String,
    /// `2 alerts, 1 fires`.
    pub counted: String,
    /// The incident in one plain sentence.
    pub plain: String,
    pub value: String,
    /// How the value has moved since its first report.
    pub drift: Option<String>,
    /// The condition and for whom.
    pub says: String,
    /// Interval, samples and status of the value.
    pub rests_on: Vec<String>,
    pub is_provisional: bool,
    /// The user who is on it.
    pub acknowledged: String,
    pub is_acknowledged: bool,
    pub runbook: Option<String>,
    /// The newest change of its alerts, as the page shows them.
    pub seen: String,
}

/// Builds the head.
pub fn head(
    incident: &IncidentRow,
    firings: &[Firing],
    changes: &[ChangeRow],
    (now, zone): (DateTime<Utc>, Tz),
) -> Head {
    let main = firing::main(firings);
    let (lasted, is_open) = match incident.closed_at {
        None => (format!("open for {}", words::lasted(now - incident.opened_at)), true),
        Some(at) => (format!("closed after {}", words::lasted(at - incident.opened_at)), false),
    };
    let fires = firings.iter().filter(|one| one.is_firing()).count();
    let (acknowledged, is_acknowledged) = acknowledged(firings, (incident.closed_at.is_none(), zone));
    let runbook = main.and_then(|one| one.rule.as_ref()?.runbook.clone()).filter(|link| is_web_link(link));
    let alerts = words::plural(incident.alerts, "alert");
    Head {
        severity: incident.severity.clone(),
        letter: letter(&incident.severity),
        is_open,
        lasted,
        counted: if is_open { format!("{alerts}, {fires} firing") } else { alerts },
        plain: plain::sentence(incident, firings, changes, zone),
        value: main.map_or("–".to_owned(), value),
        drift: None,
        says: main.map_or(String::new(), says),
        rests_on: main.map_or(Vec::new(), rests_on),
        is_provisional: main.is_some_and(|one| one.alert.as_ref().is_some_and(|alert| alert.status == "provisional")),
        acknowledged,
        is_acknowledged,
        runbook,
        seen: seen(firings),
    }
}

/// One letter for a severity, so that color is not the only sign.
pub fn letter(severity: &str) -> &'static str {
    match severity {
        "page" => "!",
        "ticket" => "T",
        _ => "i",
    }
}

/// The newest change of the alerts, in microseconds as the database keeps it.
pub fn seen(firings: &[Firing]) -> String {
    let newest = firings.iter().map(|one| one.row.changed_at).max();
    newest.map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// The value when it fired; a share of labels in percent.
fn value(firing: &Firing) -> String {
    match plain::judged(firing) {
        Some(judged) if is_about_data(judged.metric) => {
            judged.value.map_or("–".to_owned(), |value| judged.amount(value))
        }
        _ => firing.value(),
    }
}

fn says(firing: &Firing) -> String {
    let target = firing.target();
    match (&firing.rule, &firing.alert) {
        (Some(rule), Some(alert)) if alert.value.is_some() => {
            let lasting = if rule.lasting.is_empty() { String::new() } else { format!(" {}", rule.lasting) };
            format!(
                "{} of {} for {target}; {} fires when it is {}{lasting}",
                rule.metric, rule.window, firing.row.rule, rule.condition
            )
        }
        (_, Some(alert)) => {
            let note = alert.note.as_deref().unwrap_or("no value");
            format!("{} for {target}: {note}", firing.row.rule)
        }
        _ => format!("{} for {target}", firing.row.rule),
    }
}

fn rests_on(firing: &Firing) -> Vec<String> {
    let Some(alert) = &firing.alert else { return Vec::new() };
    let mut parts = Vec::new();
    if alert.limit.is_some() {
        let judged = plain::judged(firing).filter(|judged| is_about_data(judged.metric));
        let limit = judged.and_then(|judged| Some(judged.amount(judged.limit?)));
        parts.push(format!("limit {}", limit.unwrap_or_else(|| firing.limit())));
    }
    if let Some((low, high)) = alert.ci_low.zip(alert.ci_high) {
        parts.push(format!("95 %: {} to {}", words::value(Some(low), None), words::value(Some(high), None)));
    }
    if alert.predictions > 0 {
        parts.push(format!("{} labeled of {}", words::count(alert.labeled), words::count(alert.predictions)));
    }
    if let Some(share) = alert.squared_error_share {
        parts.push(format!("{} of the squared error", percent(share)));
    }
    parts
}

/// Says who is on it.
fn acknowledged(firings: &[Firing], (is_open, zone): (bool, Tz)) -> (String, bool) {
    let open: Vec<&Firing> = firings.iter().filter(|one| one.is_firing()).collect();
    let acked: Vec<&&Firing> = open.iter().filter(|one| one.row.acked_by.is_some()).collect();
    match (acked.first(), open.len() - acked.len()) {
        _ if !is_open => ("nothing to acknowledge".to_owned(), true),
        (Some(first), rest) => {
            let who = first.row.acked_by.clone().unwrap_or_default();
            let at = first.row.acked_at.map_or(String::new(), |at| format!(", {}", words::when(at, zone).text));
            let rest = if rest > 0 { format!("; {} not", words::plural(count(rest), "alert")) } else { String::new() };
            (format!("acknowledged by {who}{at}{rest}"), rest.is_empty())
        }
        (None, _) => ("nobody is on it".to_owned(), false),
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Text about the state of the incident, to copy into a chat or a status page.
pub fn status_text(id: i64, incident: &IncidentRow, firings: &[Firing], head: &Head, link: Option<&str>) -> String {
    let state = if head.is_open { "open" } else { "closed" };
    let mut lines = vec![
        format!("{}: incident {id} ({}), {state}, {}", incident.job, incident.severity, head.counted),
        head.plain.clone(),
        format!("{}: {}", head.value, head.says),
    ];
    if !head.rests_on.is_empty() {
        let provisional = if head.is_provisional { ", provisional" } else { "" };
        lines.push(format!("{}{provisional}", head.rests_on.join(", ")));
    }
    let open = incident.opened_at.format("%Y-%m-%d %H:%M UTC");
    let closed = incident.closed_at.map_or(String::new(), |at| format!(", closed {}", at.format("%Y-%m-%d %H:%M UTC")));
    lines.push(format!("Opened {open}{closed}; {}.", head.acknowledged));
    let cohorts: Vec<String> = firings.iter().filter(|one| one.is_firing()).map(Firing::target).take(6).collect();
    if cohorts.len() > 1 {
        lines.push(format!("Firing for {}.", cohorts.join("; ")));
    }
    if let Some(decision) = &incident.decision {
        lines.push(format!("Decision: {decision}"));
    }
    lines.extend(link.map(str::to_owned));
    lines.iter().map(|line| crate::text::visible::line(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::read::incident::EvidenceRow;
    use serde_json::json;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    fn firing(cohort: &str, state: &str, acked_by: Option<&str>) -> Firing {
        Firing::read(EvidenceRow {
            alert_id: 7,
            rule: "rmse-high".to_owned(),
            cohort: cohort.to_owned(),
            model_version: None,
            state: state.to_owned(),
            acked_by: acked_by.map(str::to_owned),
            acked_at: acked_by.map(|_| at(30)),
            changed_at: at(20),
            suppressed_by: None,
            frozen_at: at(20),
            evidence: json!({
                "rule": { "name": "rmse-high", "severity": "page", "metric": "rmse", "window": "rolling 6h", "condition": "above 450",
                          "persistence": 3, "lasting": "for 3 windows in a row", "runbook": "javascript:alert(1)", "owner": null },
                "alert": { "cohort": cohort, "model_version": null, "state": "firing", "value": 533.06, "limit": 450.0, "unit": " MW",
                           "ci_low": 418.8, "ci_high": 733.5, "labeled": 16, "predictions": 24, "coverage": 0.66,
                           "window_start": "1970-01-01T00:00:00Z", "window_end": "1970-01-01T00:20:00Z", "status": "provisional",
                           "since": "1970-01-01T00:10:00Z" },
            }),
        })
    }

    fn incident() -> IncidentRow {
        IncidentRow {
            incident_id: 17,
            job: "load".to_owned(),
            severity: "page".to_owned(),
            opened_at: at(20),
            closed_at: None,
            alerts: 2,
            rules: None,
            acked_at: None,
            decision: None,
            judged: None,
            noted_at: None,
        }
    }

    #[test]
    fn the_head_says_how_bad_for_whom_and_who_is_on_it() {
        let firings = [firing("all", "resolved", None), firing("region=north", "firing", None)];
        let shown = head(&incident(), &firings, &[], (at(212), Tz::UTC));
        assert_eq!((shown.value.as_str(), shown.lasted.as_str()), ("533.1 MW", "open for 3 h 12 min"));
        assert_eq!(
            shown.says,
            "rmse of rolling 6h for region=north; rmse-high fires when it is above 450 for 3 windows in a row"
        );
        assert_eq!(shown.rests_on, ["limit 450.0 MW", "95 %: 418.8 to 733.5", "16 labeled of 24"]);
        assert_eq!((shown.acknowledged.as_str(), shown.counted.as_str()), ("nobody is on it", "2 alerts, 1 firing"));
        assert_eq!(shown.runbook, None, "only web links may be clicked");
        assert_eq!(shown.seen, "1970-01-01T00:20:00.000000Z");
    }

    #[test]
    fn an_acknowledgement_counts_for_the_alerts_that_fire() {
        let words = |firings: &[Firing]| acknowledged(firings, (true, Tz::UTC)).0;
        let both = [firing("a", "firing", Some("kim")), firing("b", "firing", None)];
        assert_eq!(words(&both), "acknowledged by kim, 1970-01-01 00:30; 1 alert not");
        assert_eq!(words(&[firing("a", "firing", Some("kim"))]), "acknowledged by kim, 1970-01-01 00:30");
        assert_eq!(words(&[firing("a", "resolved", Some("kim"))]), "nobody is on it");
    }

    #[test]
    fn the_status_is_plain_text_that_data_cannot_break() {
        let firings = [firing("region=a\nb\u{202e}", "firing", Some("kim"))];
        let head = head(&incident(), &firings, &[], (at(40), Tz::UTC));
        let text = status_text(17, &incident(), &firings, &head, Some("https://t.example/incidents/17"));
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(
            text.starts_with(
                "load: incident 17 (page), open, 2 alerts, 1 firing\nrmse of rolling 6h is above 450 MW for region=a"
            ) && text.contains("\n533.1 MW: rmse of rolling 6h for"),
            "{text}"
        );
        assert!(
            !text.contains('\u{202e}')
                && text.contains("provisional\nOpened 1970-01-01 00:20 UTC; acknowledged by kim"),
            "{text}"
        );
    }
}
