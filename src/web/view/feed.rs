//! Incidents as an Atom feed.

use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::store::read::incidents::IncidentRow;
use crate::text::line::single_line;
use crate::text::links::Links;

/// The feed.
#[derive(Debug, Clone, Template)]
#[template(path = "incidents.xml", escape = "html")]
pub struct Feed {
    id: String,
    updated: String,
    page: String,
    entries: Vec<Entry>,
}

/// An incident of the feed.
#[derive(Debug, Clone)]
struct Entry {
    id: String,
    title: String,
    published: String,
    updated: String,
    link: String,
    severity: String,
    summary: String,
}

/// Builds the feed, newest incident first. Identifiers never change: a reader shows an incident once, and again when it is
/// acknowledged, resolved, noted or decided.
pub fn feed(incidents: &[IncidentRow], links: &Links) -> Feed {
    let host = links.host();
    let authority = if host.is_empty() { "localhost" } else { host };
    let tag = |path: &str| format!("tag:{authority},2026:trueup/{path}");
    let updated = incidents.iter().map(updated).max().unwrap_or(DateTime::UNIX_EPOCH);
    Feed {
        id: tag("incidents"),
        updated: instant(updated),
        page: links.incidents(),
        entries: incidents
            .iter()
            .map(|incident| Entry {
                id: tag(&format!("incidents/{}", incident.incident_id)),
                title: title(incident),
                published: instant(incident.opened_at),
                updated: instant(self::updated(incident)),
                link: links.incident(incident.incident_id),
                severity: incident.severity.clone(),
                summary: summary(incident),
            })
            .collect(),
    }
}

fn updated(incident: &IncidentRow) -> DateTime<Utc> {
    let times = [Some(incident.opened_at), incident.acked_at, incident.closed_at, incident.noted_at];
    times.into_iter().flatten().max().unwrap_or(incident.opened_at)
}

/// `open: page of ro-load: rmse-high`.
fn title(incident: &IncidentRow) -> String {
    let state = match (incident.closed_at, incident.acked_at) {
        (Some(_), _) => "closed",
        (None, Some(_)) => "acknowledged",
        (None, None) => "open",
    };
    let rules = incident.rules.as_deref().unwrap_or("no rule");
    single_line(&format!("{state}: {} of {}: {rules}", incident.severity, incident.job))
}

fn summary(incident: &IncidentRow) -> String {
    let mut words = vec![format!("{} alerts since {}", incident.alerts, instant(incident.opened_at))];
    words.extend(incident.acked_at.map(|at| format!("acknowledged at {}", instant(at))));
    words.extend(incident.closed_at.map(|at| format!("closed at {}", instant(at))));
    words.extend(incident.decision.as_ref().map(|decision| format!("decision: {decision}")));
    words.extend(incident.judged.as_ref().map(|judged| format!("marked as {}", judged.replace('_', " "))));
    single_line(&words.join("; "))
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> IncidentRow {
        IncidentRow {
            incident_id: 17,
            job: "ro-load".to_owned(),
            severity: "page".to_owned(),
            opened_at: DateTime::from_timestamp(1_000, 0).unwrap(),
            closed_at: None,
            alerts: 4,
            rules: Some("rmse-high".to_owned()),
            acked_at: None,
            decision: None,
            judged: None,
            noted_at: None,
        }
    }

    #[test]
    fn an_entry_keeps_its_identifier_and_is_updated_by_acts() {
        let links = Links::new("https://t.example").unwrap();
        let before = feed(&[incident()], &links);
        let acted = DateTime::from_timestamp(5_000, 0);
        let decision = Some("rollback: <b>\u{b} v7".to_owned());
        let after = feed(&[IncidentRow { acked_at: acted, decision, ..incident() }], &links);
        assert_eq!(before.entries[0].id, "tag:t.example,2026:trueup/incidents/17");
        assert_eq!(before.entries[0].id, after.entries[0].id);
        assert_eq!(before.entries[0].updated, "1970-01-01T00:16:40Z");
        assert_eq!(after.entries[0].updated, "1970-01-01T01:23:20Z");
        assert_eq!(after.entries[0].title, "acknowledged: page of ro-load: rmse-high");
        let text = after.render().unwrap();
        assert!(text.contains("&#60;b&#62;") && !text.contains('\u{b}'), "{text}");
    }
}
