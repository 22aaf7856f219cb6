//! The record of an incident: its alerts, notifications, changes, events and notes, as lines.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::firing::Firing;
use super::words::{self, When};
use crate::store::read::incident::{EventRow, NoteRow, NotificationRow};
use crate::store::read::series::AnnotationRow;
use crate::text::links::Links;

/// An alert of the incident.
#[derive(Debug, Clone)]
pub struct AlertLine {
    pub id: i64,
    pub rule: String,
    pub target: String,
    pub state: String,
    pub letter: &'static str,
    pub value: String,
    pub limit: String,
    /// Acknowledgement, or the reason why nobody is notified.
    pub who: String,
    pub frozen: When,
    /// The answer to "would it still fire?", if its windows were read.
    pub hindsight: &'static str,
    pub is_firing: bool,
    pub seen: String,
}

/// Alerts that the page lists; the others are counted.
pub const MOST_ALERTS: usize = 100;

/// Returns the first alerts of an incident with what their windows say now.
pub fn alert_lines(firings: &[Firing], hindsight: &[Option<&'static str>], zone: Tz) -> Vec<AlertLine> {
    let line = |(place, one): (usize, &Firing)| AlertLine {
        id: one.row.alert_id,
        rule: one.row.rule.clone(),
        target: one.target(),
        state: one.row.state.clone(),
        letter: if one.is_firing() { "!" } else { "✓" },
        value: one.value(),
        limit: one.limit(),
        who: match (&one.row.acked_by, &one.row.suppressed_by) {
            (Some(user), _) => format!("acknowledged by {user}"),
            (None, Some(why)) => format!("not notified: {why}"),
            (None, None) => String::new(),
        },
        frozen: words::when(one.row.frozen_at, zone),
        hindsight: hindsight.get(place).copied().flatten().unwrap_or("–"),
        is_firing: one.is_firing(),
        seen: one.row.changed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
    };
    firings.iter().enumerate().take(MOST_ALERTS).map(line).collect()
}

/// A notification about the incident.
#[derive(Debug, Clone)]
pub struct NotifiedLine {
    pub receiver: String,
    pub link: String,
    pub kind: String,
    /// `sent`, `waits until 14:20`, `given up`, `over before it was sent`.
    pub state: String,
    pub at: When,
    pub failure: String,
}

/// Returns who was notified.
pub fn notified_lines(rows: &[NotificationRow], zone: Tz) -> Vec<NotifiedLine> {
    let links = Links::default();
    let line = |row: &NotificationRow| NotifiedLine {
        receiver: row.receiver.clone(),
        link: links.delivery(&row.notification_id),
        kind: row.kind.clone(),
        state: match (row.state.as_str(), row.next_attempt_at) {
            ("pending", Some(at)) => format!("due {}, {}", words::when(at, zone).text, attempts(row.attempts)),
            ("pending", None) => "pending".to_owned(),
            ("dead", _) => format!("given up after {}", attempts(row.attempts)),
            ("dropped", _) => "over before it was sent".to_owned(),
            (state, _) => state.to_owned(),
        },
        at: words::when(row.settled_at.unwrap_or(row.created_at), zone),
        failure: if row.state == "sent" { String::new() } else { row.failure.clone().unwrap_or_default() },
    };
    rows.iter().map(line).collect()
}

fn attempts(number: i32) -> String {
    words::plural(i64::from(number), "attempt")
}

/// An event of the timeline.
#[derive(Debug, Clone)]
pub struct EventLine {
    pub at: When,
    pub kind: String,
    pub what: String,
}

/// Returns the events, oldest first.
pub fn event_lines(rows: &[EventRow], zone: Tz) -> Vec<EventLine> {
    let line =
        |row: &EventRow| EventLine { at: words::when(row.at, zone), kind: row.kind.clone(), what: row.what.clone() };
    rows.iter().map(line).collect()
}

/// Something that changed before the incident or during it.
#[derive(Debug, Clone)]
pub struct ChangeLine {
    pub at: When,
    /// `20 min before`.
    pub distance: String,
    pub kind: String,
    pub note: String,
    pub author: String,
}

/// Returns the changes, newest first, with their distance from the start of the breach.
pub fn change_lines(recorded: &[AnnotationRow], since: Option<DateTime<Utc>>, zone: Tz) -> Vec<ChangeLine> {
    let line = |change: &AnnotationRow| ChangeLine {
        at: words::when(change.starts_at, zone),
        distance: since.map_or(String::new(), |since| match since - change.starts_at {
            before if before >= chrono::TimeDelta::zero() => format!("{} before", words::lasted(before)),
            after => format!("{} after", words::lasted(-after)),
        }),
        kind: change.kind.replace('_', " "),
        note: change.note.clone(),
        author: change.author.clone(),
    };
    recorded.iter().rev().map(line).collect()
}

/// A note, decision or mark.
#[derive(Debug, Clone)]
pub struct NoteLine {
    pub at: When,
    pub kind: &'static str,
    pub author: String,
    pub text: String,
}

/// Returns the notes of some kinds.
pub fn note_lines(rows: &[NoteRow], kinds: &[&str], zone: Tz) -> Vec<NoteLine> {
    let wanted = rows.iter().filter(|row| kinds.contains(&row.kind.as_str()));
    let line = |row: &NoteRow| NoteLine {
        at: words::when(row.noted_at, zone),
        kind: match row.kind.as_str() {
            "decision" => "decision",
            "useful" => "useful",
            "false_alarm" => "false alarm",
            _ => "note",
        },
        author: row.author.clone(),
        text: row.text.clone(),
    };
    wanted.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    #[test]
    fn a_change_stands_with_its_distance() {
        let row = |minute, kind: &str| AnnotationRow {
            job: None,
            kind: kind.to_owned(),
            starts_at: at(minute),
            ends_at: None,
            note: "v7".to_owned(),
            author: "kim".to_owned(),
        };
        let lines = change_lines(&[row(10, "schema_change"), row(50, "deploy")], Some(at(30)), Tz::UTC);
        let shown: Vec<_> = lines.iter().map(|line| (line.kind.as_str(), line.distance.as_str())).collect();
        assert_eq!(shown, [("deploy", "20 min after"), ("schema change", "20 min before")]);
    }
}
