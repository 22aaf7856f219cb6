//! The list of incidents.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::incident::letter;
use super::words::{self, When};
use crate::store::read::incidents::IncidentRow;
use crate::text::links::Links;

/// An incident of the list.
#[derive(Debug, Clone)]
pub struct Line {
    pub id: i64,
    pub link: String,
    pub job: String,
    pub job_link: String,
    pub severity: String,
    pub letter: &'static str,
    pub state: &'static str,
    pub opened: When,
    pub lasted: String,
    pub rules: String,
    pub alerts: String,
    /// Time until the first acknowledgement.
    pub acknowledged: String,
    pub decision: String,
    pub judged: &'static str,
}

/// Returns the lines of the list.
pub fn lines(rows: &[IncidentRow], (now, zone): (DateTime<Utc>, Tz)) -> Vec<Line> {
    let links = Links::default();
    let line = |row: &IncidentRow| Line {
        id: row.incident_id,
        link: links.incident(row.incident_id),
        job: row.job.clone(),
        job_link: links.job(&row.job),
        severity: row.severity.clone(),
        letter: letter(&row.severity),
        state: if row.closed_at.is_none() { "open" } else { "closed" },
        opened: words::when(row.opened_at, zone),
        lasted: words::lasted(row.closed_at.unwrap_or(now) - row.opened_at),
        rules: row.rules.clone().unwrap_or_default(),
        alerts: words::plural(row.alerts, "alert"),
        acknowledged: match (row.acked_at, row.closed_at) {
            (Some(at), _) => format!("after {}", words::lasted(at - row.opened_at)),
            (None, None) => "not yet".to_owned(),
            (None, Some(_)) => "never".to_owned(),
        },
        decision: row.decision.clone().unwrap_or_default(),
        judged: match row.judged.as_deref() {
            Some("useful") => "useful",
            Some("false_alarm") => "false alarm",
            _ => "",
        },
    };
    rows.iter().map(line).collect()
}

/// The place in the list after an incident, as a parameter: `open-17`, `closed-4`.
pub fn cursor(row: &IncidentRow) -> String {
    format!("{}-{}", if row.closed_at.is_none() { "open" } else { "closed" }, row.incident_id)
}

/// Reads a place in the list: open or not, and the number.
pub fn place(cursor: &str) -> Option<(bool, i64)> {
    let (state, id) = cursor.split_once('-')?;
    let is_open = match state {
        "open" => true,
        "closed" => false,
        _ => return None,
    };
    id.parse().ok().map(|id| (is_open, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back() {
        assert_eq!([place("open-17"), place("closed-4")], [Some((true, 17)), Some((false, 4))]);
        for wrong in ["", "open", "open-", "open-x", "half-1", "-1"] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
    }
}
