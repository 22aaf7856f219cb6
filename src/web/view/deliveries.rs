//! Notifications: receivers, a list, and one message with its attempts.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value as Json;

use super::cells::conditions;
use super::words::{self, When};
use crate::domain::name::text_literal;
use crate::notify::message::Notice;
use crate::store::read::notifications::{AttemptRow, Notification, NotificationFilter, NotificationRow, ReceiverRow};
use crate::text::links::{Links, escaped, with_query};
use crate::text::visible;

/// States of notifications, as a filter.
pub const STATES: [&str; 4] = ["pending", "sent", "dead", "dropped"];

/// A receiver.
#[derive(Debug, Clone)]
pub struct ReceiverLine {
    pub name: String,
    pub link: String,
    /// Address of the form that sends a test message.
    pub test: String,
    pub state: String,
    pub letter: &'static str,
    pub kind: &'static str,
    pub pending: String,
    /// Age of the oldest message that waits.
    pub waits: String,
    pub last_sent: Option<When>,
    pub dead: String,
}

/// Returns the receivers: those that do not get their messages first.
pub fn receivers(rows: &[ReceiverRow], (now, zone): (DateTime<Utc>, Tz)) -> Vec<ReceiverLine> {
    let mut ranked: Vec<(u8, ReceiverLine)> = rows.iter().map(|row| receiver(row, (now, zone))).collect();
    ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then(one.name.cmp(&other.name)));
    ranked.into_iter().map(|(_, line)| line).collect()
}

fn receiver(row: &ReceiverRow, (now, zone): (DateTime<Utc>, Tz)) -> (u8, ReceiverLine) {
    let rests_until = row.open_until.filter(|until| *until > now);
    let (rank, state, letter, kind) = match rests_until {
        _ if row.is_gone => (0, "gone: it answered that it exists no more".to_owned(), "x", "bad"),
        Some(until) => (
            1,
            format!(
                "paused until {} after {}",
                words::when(until, zone).text,
                words::plural(row.failures.into(), "failure")
            ),
            "!",
            "unsure",
        ),
        None if row.failures > 0 => {
            (2, format!("failed {} in a row", words::plural(row.failures.into(), "time")), "!", "unsure")
        }
        None => (3, "open".to_owned(), "✓", "calm"),
    };
    let line = ReceiverLine {
        link: with_query(&Links::default().deliveries(), &[("receiver", Some(&row.receiver))]),
        test: format!("/receivers/{}/test", escaped(&row.receiver)),
        name: row.receiver.clone(),
        state,
        letter,
        kind,
        pending: words::count(row.pending),
        waits: row.oldest_pending.map_or(String::new(), |at| words::lasted(now - at)),
        last_sent: row.last_sent.map(|at| words::when(at, zone)),
        dead: words::count(row.dead),
    };
    (rank, line)
}

/// A notification in the list.
#[derive(Debug, Clone)]
pub struct Line {
    pub link: String,
    pub retry: String,
    pub created: When,
    pub kind: String,
    pub job: Option<(String, String)>,
    pub receiver: String,
    pub state: String,
    pub letter: &'static str,
    pub class: &'static str,
    pub attempt: i32,
    pub next: Option<When>,
    pub settled: Option<When>,
    pub why: String,
    /// True if it can be tried again: it was given up, or it waits after a failure.
    pub can_retry: bool,
}

/// Returns the list.
pub fn lines(rows: &[NotificationRow], zone: Tz) -> Vec<Line> {
    rows.iter().map(|row| line(row, zone)).collect()
}

/// Returns one notification as a line.
pub fn line(row: &NotificationRow, zone: Tz) -> Line {
    let (letter, class, state) = match row.state.as_str() {
        "sent" => ("✓", "calm", "sent"),
        "dead" => ("x", "bad", "given up"),
        "dropped" => ("–", "none", "dropped: over before it was sent"),
        _ if row.attempt > 0 => ("…", "unsure", "waits for its next attempt"),
        _ => ("…", "none", "waits"),
    };
    let link = Links::default().delivery(&row.notification_id.to_string());
    Line {
        retry: format!("{link}/retry"),
        link,
        created: words::when(row.created_at, zone),
        kind: row.kind.clone(),
        job: row.job.as_ref().map(|job| (job.clone(), Links::default().job(job))),
        receiver: row.receiver.clone(),
        state: state.to_owned(),
        letter,
        class,
        attempt: row.attempt,
        next: row.next_attempt_at.map(|at| words::when(at, zone)),
        settled: row.settled_at.map(|at| words::when(at, zone)),
        why: row.failure.clone().unwrap_or_default(),
        can_retry: row.kind != "heartbeat" && (row.state == "dead" || row.state == "pending" && row.attempt > 0),
    }
}

/// An attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub number: i32,
    pub at: When,
    pub outcome: String,
    pub answer: String,
    pub took: String,
    pub why: String,
    pub next: Option<When>,
}

/// Returns the attempts.
pub fn attempts(rows: &[AttemptRow], zone: Tz) -> Vec<Attempt> {
    let attempt = |row: &AttemptRow| Attempt {
        number: row.attempt,
        at: words::when(row.attempted_at, zone),
        outcome: row.outcome.clone(),
        answer: row.status_code.map_or("–".to_owned(), |code| code.to_string()),
        took: row.duration_ms.map_or("–".to_owned(), |time| format!("{} ms", words::count(time))),
        why: row.failure.clone().unwrap_or_default(),
        next: row.next_attempt_at.map(|at| words::when(at, zone)),
    };
    rows.iter().map(attempt).collect()
}

/// Returns the addresses of a mail, and whether each took it.
pub fn recipients(message: &Notification) -> Vec<(String, String)> {
    let Some(all) = message.recipients.as_object() else { return Vec::new() };
    let answer = |answer: &Json| answer.as_str().map_or("took it".to_owned(), |why| format!("refused it: {why}"));
    all.iter().map(|(address, given)| (address.clone(), answer(given))).collect()
}

/// Returns the text of a message as a receiver reads it, and its body.
pub fn text(message: &Notification) -> (String, String) {
    let body = serde_json::to_string_pretty(&message.body).unwrap_or_default();
    let notice: Option<Notice> = serde_json::from_value(message.body.clone()).ok();
    let text = notice.map_or(String::new(), |notice| format!("{}\n\n{}", notice.headline(), notice.plain_text()));
    (visible::lines(&text), visible::lines(&body))
}

/// The query behind the list.
pub fn sql(filter: &NotificationFilter) -> String {
    let equal =
        |column: &str, value: &Option<String>| value.as_ref().map(|text| format!("{column} = {}", text_literal(text)));
    let filters = conditions([
        equal("job", &filter.job),
        equal("receiver", &filter.receiver),
        equal("state", &filter.state),
        filter.receiver.is_none().then(|| "kind <> 'heartbeat'".to_owned()),
        filter.before.map(|sequence| format!("sequence < {sequence}")),
    ]);
    format!(
        "select notification_id, created_at, job, receiver, kind, state, attempt, next_attempt_at, settled_at\nfrom \
         trueup.notification_state\n{filters}order by sequence desc\nlimit {};",
        filter.limit - 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> ReceiverRow {
        ReceiverRow {
            receiver: name.to_owned(),
            pending: 0,
            oldest_pending: None,
            last_sent: None,
            dead: 0,
            failures: 0,
            open_until: None,
            is_gone: false,
        }
    }

    #[test]
    fn receivers_that_get_nothing_come_first() {
        let now = DateTime::from_timestamp(86_400, 0).unwrap();
        let hour = chrono::TimeDelta::hours(1);
        let rows = [
            row("calm"),
            ReceiverRow {
                failures: 3,
                open_until: Some(now + hour),
                pending: 2,
                oldest_pending: Some(now - hour),
                ..row("rests")
            },
            // A pause that is over is none.
            ReceiverRow { failures: 1, open_until: Some(now - hour), ..row("tries") },
            ReceiverRow { is_gone: true, ..row("a/b") },
        ];
        let lines = receivers(&rows, (now, Tz::UTC));
        let shown: Vec<(&str, &str)> = lines.iter().map(|line| (line.name.as_str(), line.state.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("a/b", "gone: it answered that it exists no more"),
                ("rests", "paused until 1970-01-02 01:00 after 3 failures"),
                ("tries", "failed 1 time in a row"),
                ("calm", "open"),
            ]
        );
        assert_eq!((lines[0].test.as_str(), lines[1].waits.as_str()), ("/receivers/a%2Fb/test", "1 h"));
    }

    #[test]
    fn a_body_of_another_version_is_shown_as_it_is() {
        let message = Notification {
            row: NotificationRow {
                notification_id: uuid::Uuid::nil(),
                sequence: 1,
                job: None,
                receiver: "hook".to_owned(),
                kind: "heartbeat".to_owned(),
                state: "pending".to_owned(),
                attempt: 1,
                created_at: DateTime::UNIX_EPOCH,
                settled_at: None,
                next_attempt_at: None,
                run_id: None,
                failure: None,
            },
            body: serde_json::json!({"odd": "\u{202e}<script>"}),
            recipients: serde_json::json!({"a@example.org": null, "b@example.org": "550 no"}),
            fallback_at: None,
        };
        let (text, body) = super::text(&message);
        assert!(text.trim().is_empty() && body.contains("<script>") && !body.contains('\u{202e}'), "{body}");
        let expected = [("a@example.org", "took it"), ("b@example.org", "refused it: 550 no")];
        assert_eq!(recipients(&message), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(!line(&message.row, Tz::UTC).can_retry, "heartbeats are not retried");
    }
}
