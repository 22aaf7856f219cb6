//! Drafts a postmortem: everything on record, and the questions that only people can answer. Pure.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;

use crate::text::number::number;
use crate::text::visible;

/// An incident with everything on record about it.
#[derive(Debug, Clone)]
pub struct Record {
    pub id: i64,
    pub job: String,
    pub severity: String,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// Alerts that fired in it.
    pub alerts: i64,
    /// In the order in which the alerts fired.
    pub evidence: Vec<Frozen>,
    /// In order of time.
    pub timeline: Vec<Event>,
}

/// Evidence that was frozen when an alert fired.
#[derive(Debug, Clone)]
pub struct Frozen {
    pub alert_id: i64,
    pub rule: String,
    pub cohort: String,
    pub model_version: Option<String>,
    /// State of the alert now.
    pub state: String,
    pub frozen_at: DateTime<Utc>,
    /// The alert, its rule, the series before it, cohorts, worst samples and changes.
    pub evidence: Json,
}

/// An event of an record.
#[derive(Debug, Clone)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub what: String,
}

/// Formats a time to the minute.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// Formats `rmse-high for region=north: rmse 412.3 MW, limit 250 (firing now)`.
pub fn alert_line(row: &Frozen) -> String {
    let text = |pointer: &str| row.evidence.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let amount = |pointer: &str| row.evidence.pointer(pointer).and_then(Json::as_f64).map(number);
    let version = row.model_version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
    let said = match amount("/alert/value") {
        Some(value) => format!(
            "{} {value}{}, limit {}",
            text("/rule/metric"),
            text("/alert/unit"),
            amount("/alert/limit").unwrap_or_else(|| "none".to_owned())
        ),
        None => text("/alert/note").to_owned(),
    };
    visible::line(&format!("{} for {}{version}: {said} ({} now)", row.rule, row.cohort, row.state))
}

/// Formats one kind of evidence, an item per line.
pub fn lines(row: &Frozen, kind: &str) -> Vec<String> {
    let rows = row.evidence.get(kind).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| visible::line(&line(kind, row))).collect()
}

fn line(kind: &str, row: &Json) -> String {
    let text = |key: &str| row.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let amount = |key: &str| row.get(key).and_then(Json::as_f64).map_or("no value".to_owned(), number);
    let count = |key: &str| row.get(key).and_then(Json::as_i64).unwrap_or_default();
    let version = || match row.get("model_version").and_then(Json::as_str) {
        Some(version) => format!(", version {version}"),
        None => String::new(),
    };
    match kind {
        "parts" => format!(
            "{}{}: {} ({} labeled of {})",
            text("cohort"),
            version(),
            amount("value"),
            count("labeled"),
            count("predictions")
        ),
        "worst_samples" => format!(
            "{}{}: predicted {}, was {}, at {}",
            text("prediction_key"),
            version(),
            amount("predicted"),
            amount("actual"),
            text("event_at")
        ),
        _ => format!("{} {}: {} ({})", text("at"), text("kind"), text("note"), text("author")),
    }
}

/// Drafts the postmortem in Markdown.
pub fn draft(record: &Record) -> String {
    let mut text = format!("# Postmortem: {}, incident {} ({})\n", record.job, record.id, record.severity);
    let end = record.closed_at.map_or("still open".to_owned(), |at| format!("closed {}", time(at)));
    let first = record.evidence.first();
    let instant = |row: Option<&Frozen>, pointer: &str| {
        row.and_then(|row| row.evidence.pointer(pointer)?.as_str()?.parse::<DateTime<Utc>>().ok())
    };
    let began = record.evidence.iter().filter_map(|row| instant(Some(row), "/alert/since")).min();
    let begin_of_window = instant(first, "/alert/window_start");
    let _infallible = writeln!(
        text,
        "\nStatus: draft. Owner: _name_. Opened {}, {end}{}.",
        time(record.opened_at),
        record.closed_at.map_or(String::new(), |at| format!(", after {}", lasted(at - record.opened_at)))
    );
    heading(&mut text, "Impact");
    let _infallible = writeln!(text, "{} alerts fired:\n", record.alerts);
    for row in record.evidence.iter().take(20) {
        let _infallible = writeln!(text, "- {}", escape(&alert_line(row)));
    }
    if record.evidence.len() > 20 {
        let _infallible = writeln!(text, "- and {} more", record.evidence.len() - 20);
    }
    text.push_str("\n_Who was affected, and how: users, decisions, money._\n");
    heading(&mut text, "Detection");
    if let (Some(began), Some(start)) = (began, begin_of_window) {
        let _infallible = writeln!(
            text,
            "The first window in breach ended {} (it began {}). The first alert fired {}: {} later. Times are those of \
             the data and of the job's schedule; late labels delay detection.",
            time(began),
            time(start),
            time(record.opened_at),
            lasted(record.opened_at - began)
        );
    }
    text.push_str("\n_Could it have been detected earlier? Were the limit and the runbook right?_\n");
    heading(&mut text, "Timeline");
    for event in &record.timeline {
        let _infallible = writeln!(text, "- {}: {}", time(event.at), escape(&visible::line(&event.what)));
    }
    heading(&mut text, "Evidence");
    if let Some(row) = first {
        let _infallible = writeln!(text, "As of the first alert ({}).", time(row.frozen_at));
        for (title, kind) in
            [("Breakdown", "parts"), ("Largest errors", "worst_samples"), ("Changes before the alert", "changes")]
        {
            let lines = lines(row, kind);
            if !lines.is_empty() {
                let _infallible = writeln!(text, "\n{title}:\n");
                lines.iter().for_each(|line| {
                    let _infallible = writeln!(text, "- {}", escape(line));
                });
            }
        }
        if let Some(query) = row.evidence.pointer("/alert/query").and_then(Json::as_str) {
            // Indented, so that a line break in the data neither ends the block nor begins a line of its own.
            let lines: Vec<String> = query.lines().map(visible::line).collect();
            let _infallible = writeln!(text, "\nReproduce:\n\n```sql\n{}\n```", lines.join("\n  "));
        }
    }
    heading(&mut text, "Open questions");
    text.push_str(
        "- What changed first: samples and label lag, a deploy or version, the schema, the distribution of the data?\n\
         - Was it rolled back, retrained, repaired or accepted, and who decided?\n\
         - Were cohorts affected that no rule covers?\n\
         - Was every notification actionable?\n",
    );
    heading(&mut text, "Actions");
    text.push_str("| what | owner | due |\n|---|---|---|\n| | | |\n");
    text
}

fn heading(text: &mut String, title: &str) {
    let _infallible = writeln!(text, "\n## {title}\n");
}

fn lasted(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match minutes {
        0..120 => format!("{minutes} minutes"),
        120..2_880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

/// Escapes text from data, so that Markdown shows it as text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '!') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
