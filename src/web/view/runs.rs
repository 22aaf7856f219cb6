//! Runs: a grid of the newest of each job, a list, and one run.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::cells::{Cell, conditions};
use super::overview::Job;
use super::panel::time_literal;
use super::words::{self, When};
use crate::domain::name::text_literal;
use crate::store::read::runs::{ChangeRow, NoticeRow, RunFilter, RunRow};
use crate::text::links::Links;
use crate::web::view::words::target;

/// States and triggers of runs, as filters.
pub const STATES: [&str; 5] = ["due", "running", "ok", "failed", "skipped"];
pub const TRIGGERS: [&str; 5] = ["schedule", "catch_up", "manual", "reconcile", "backfill"];

/// A line of the grid: the newest runs of a job.
#[derive(Debug, Clone)]
pub struct GridLine {
    pub job: String,
    pub link: String,
    pub cells: Vec<Cell>,
    /// Median and 95th percentile of the time that a run takes.
    pub usual: String,
    pub slow: String,
    pub rows: String,
    pub repaired: String,
    pub takeovers: String,
    pub failed: usize,
}

/// Returns the grid, in the order of the jobs. A run is late if it began an interval after it was due.
pub fn grid(jobs: &[Job], rows: &[RunRow], (now, zone): (DateTime<Utc>, Tz)) -> Vec<GridLine> {
    let line = |job: &Job| {
        let mine: Vec<&RunRow> = rows.iter().filter(|row| row.job == job.row.job).collect();
        let mut took: Vec<TimeDelta> =
            mine.iter().filter(|row| row.state == "ok").filter_map(|row| took(row, now)).collect();
        took.sort();
        let at = |share: usize| took.get((took.len() * share / 100).min(took.len().saturating_sub(1))).copied();
        let sum = |of: fn(&RunRow) -> Option<i64>| mine.iter().filter_map(|row| of(row)).sum::<i64>();
        let interval = TimeDelta::seconds(job.about.interval_seconds);
        GridLine {
            job: job.row.job.clone(),
            link: crate::text::links::with_query(&Links::default().runs(), &[("job", Some(&job.row.job))]),
            cells: mine.iter().map(|row| cell(row, interval, (now, zone))).collect(),
            usual: at(50).map_or("–".to_owned(), seconds),
            slow: at(95).map_or("–".to_owned(), seconds),
            rows: words::count(sum(|row| row.rows_read)),
            repaired: words::count(sum(|row| row.buckets_repaired)),
            takeovers: words::count(sum(|row| Some(i64::from(row.attempt) - 1).filter(|n| *n > 0))),
            failed: mine.iter().filter(|row| row.state == "failed").count(),
        }
    };
    jobs.iter().map(line).filter(|line| !line.cells.is_empty()).collect()
}

fn cell(row: &RunRow, interval: TimeDelta, (now, zone): (DateTime<Utc>, Tz)) -> Cell {
    let is_late = is_late(row, interval, now);
    let (letter, kind) = match row.state.as_str() {
        "ok" if is_late => ("L", "unsure"),
        "ok" => ("✓", "calm"),
        "failed" => ("x", "bad"),
        "skipped" => ("s", "none"),
        "running" => ("r", "unsure"),
        _ if is_late => ("L", "unsure"),
        _ => ("·", "none"),
    };
    let late = if is_late { ", late" } else { "" };
    let why = row.why().map_or(String::new(), |why| format!(": {why}"));
    let at = words::when(row.scheduled_for, zone).text;
    Cell {
        letter,
        kind,
        title: format!("{at}: {}{late}{why}", row.state),
        link: Some(Links::default().run(row.run_id)),
    }
}

/// True if a scheduled run began, or waits, more than an interval after it was due.
fn is_late(row: &RunRow, interval: TimeDelta, now: DateTime<Utc>) -> bool {
    let is_scheduled = row.trigger == "schedule" || row.trigger == "catch_up";
    let began = row.started_at.unwrap_or(now);
    is_scheduled && row.state != "skipped" && interval > TimeDelta::zero() && began - row.scheduled_for > interval
}

fn took(row: &RunRow, now: DateTime<Utc>) -> Option<TimeDelta> {
    let until = row.finished_at.or((row.state == "running").then_some(now));
    row.started_at.zip(until).map(|(from, until)| until - from)
}

/// `80 ms`, `4.2 s`, `42 s`, `3 min 5 s`, `2 h 4 min`.
pub fn seconds(time: TimeDelta) -> String {
    let milliseconds = time.num_milliseconds().max(0);
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..10_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        10_000..60_000 => format!("{} s", milliseconds / 1_000),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1_000 % 60),
        _ => words::lasted(time),
    }
}

/// A run in the list.
#[derive(Debug, Clone)]
pub struct RunLine {
    pub link: String,
    pub due: When,
    pub job: String,
    pub job_link: String,
    pub state: String,
    pub kind: &'static str,
    pub letter: &'static str,
    pub trigger: String,
    pub took: String,
    pub rows: String,
    pub written: String,
    pub attempt: i32,
    pub why: String,
}

/// Returns the list.
pub fn lines(rows: &[RunRow], (now, zone): (DateTime<Utc>, Tz)) -> Vec<RunLine> {
    rows.iter().map(|row| line(row, (now, zone))).collect()
}

/// Returns one run as a line.
pub fn line(row: &RunRow, (now, zone): (DateTime<Utc>, Tz)) -> RunLine {
    let cell = cell(row, TimeDelta::zero(), (now, zone));
    let count = |number: Option<i64>| number.map_or("–".to_owned(), words::count);
    RunLine {
        link: Links::default().run(row.run_id),
        due: words::when(row.scheduled_for, zone),
        job: row.job.clone(),
        job_link: Links::default().job(&row.job),
        state: row.state.clone(),
        kind: cell.kind,
        letter: cell.letter,
        trigger: row.trigger.replace('_', " "),
        took: took(row, now).map_or("–".to_owned(), seconds),
        rows: count(row.rows_read),
        written: count(row.windows_written),
        attempt: row.attempt,
        why: row.why().unwrap_or_default().to_owned(),
    }
}

/// A number of a run with its meaning.
#[derive(Debug, Clone)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
    pub meaning: &'static str,
}

/// Returns what a run read and wrote.
pub fn facts(row: &RunRow) -> Vec<Fact> {
    let count = |number: Option<i64>| number.map_or("–".to_owned(), words::count);
    let fact = |name, value, meaning| Fact { name, value, meaning };
    vec![
        fact("rows read", count(row.rows_read), "predictions that were new or changed"),
        fact("buckets recomputed", count(row.buckets_recomputed), "time slices whose sums were recomputed"),
        fact(
            "buckets repaired",
            count(row.buckets_repaired),
            "slices that differed from the source; – if not compared",
        ),
        fact("measurements written", count(row.windows_written), "first reports and revisions"),
        fact("rows beyond the horizon", count(row.rows_beyond_horizon), "not in history until a backfill covers them"),
        fact("claims", row.attempt.to_string(), "more than one: another runner took over"),
    ]
}

/// A change of an alert, or a notification, by a run.
#[derive(Debug, Clone)]
pub struct Effect {
    pub what: String,
    pub link: String,
    pub says: String,
}

/// Returns the changes of alerts by a run.
pub fn changes(rows: &[ChangeRow]) -> Vec<Effect> {
    let effect = |row: &ChangeRow| Effect {
        what: format!("{} for {}", row.rule, target(&row.cohort, row.model_version.as_deref())),
        link: Links::default().alert(row.alert_id),
        says: format!("{}: {} → {}, {}", row.severity, row.from_state, row.to_state, row.reason),
    };
    rows.iter().map(effect).collect()
}

/// Returns the notifications that a run changed last.
pub fn notices(rows: &[NoticeRow]) -> Vec<Effect> {
    let effect = |row: &NoticeRow| Effect {
        what: format!("{} to {}", row.kind, row.receiver),
        link: Links::default().delivery(&row.notification_id.to_string()),
        says: row.state.clone(),
    };
    rows.iter().map(effect).collect()
}

/// The query behind the list.
pub fn sql(filter: &RunFilter) -> String {
    let equal =
        |column: &str, value: &Option<String>| value.as_ref().map(|text| format!("{column} = {}", text_literal(text)));
    let filters = conditions([
        equal("job", &filter.job),
        equal("state", &filter.state),
        equal("trigger", &filter.trigger),
        filter.from.map(|at| format!("scheduled_for >= {}", time_literal(at))),
        filter.to.map(|at| format!("scheduled_for < {}", time_literal(at))),
        filter.before.map(|(at, id)| format!("(scheduled_for, run_id) < ({}, {id})", time_literal(at))),
    ]);
    format!(
        "select run_id, job, scheduled_for, trigger, state, started_at, finished_at, rows_read, windows_written, failure, reason\n\
         from trueup.run_history\n{filters}order by scheduled_for desc, run_id desc\nlimit {};",
        filter.limit - 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minute * 60, 0).unwrap()
    }

    fn row(state: &str, trigger: &str, due: i64, started: Option<i64>) -> RunRow {
        RunRow {
            run_id: due,
            job: "load".to_owned(),
            scheduled_for: at(due),
            trigger: trigger.to_owned(),
            state: state.to_owned(),
            started_at: started.map(at),
            finished_at: started.filter(|_| state != "running").map(|minute| at(minute + 1)),
            as_of: None,
            plan_id: None,
            attempt: 2,
            rows_read: Some(10),
            buckets_recomputed: None,
            buckets_repaired: None,
            windows_written: None,
            rows_beyond_horizon: None,
            failure: (state == "failed").then(|| "the source is <gone>".to_owned()),
            reason: None,
        }
    }

    fn job_row() -> crate::store::read::overview::JobRow {
        crate::store::read::overview::JobRow {
            job: "load".to_owned(),
            state: "ok".to_owned(),
            ..crate::store::read::overview::JobRow::default()
        }
    }

    #[test]
    fn a_run_is_a_letter() {
        let about = crate::domain::about::About { interval_seconds: 900, ..Default::default() };
        let job = Job { row: job_row(), about };
        let rows = [
            row("ok", "schedule", 0, Some(1)),
            row("ok", "catch_up", 15, Some(31)),
            row("ok", "manual", 20, Some(90)),
            row("failed", "schedule", 30, Some(32)),
            row("skipped", "schedule", 45, None),
            row("running", "schedule", 60, Some(61)),
            row("due", "schedule", 75, None),
        ];
        let lines = grid(&[job], &rows, (at(80), Tz::UTC));
        let letters: Vec<&str> = lines[0].cells.iter().map(|cell| cell.letter).collect();
        assert_eq!(letters, ["✓", "L", "✓", "x", "s", "r", "·"]);
        assert_eq!((lines[0].usual.as_str(), lines[0].rows.as_str(), lines[0].failed), ("1 min 0 s", "70", 1));
        assert_eq!(lines[0].takeovers, "7");
        assert_eq!(lines[0].cells[3].title, "1970-01-01 00:30: failed: the source is <gone>");
    }

    #[test]
    fn times_of_runs_are_short() {
        let all = [340, 9_999, 42_000, 185_000, 7_440_000].map(|ms| seconds(TimeDelta::milliseconds(ms)));
        assert_eq!(all, ["340 ms", "9.9 s", "42 s", "3 min 5 s", "2 h 4 min"]);
    }

    #[test]
    fn the_query_has_the_filters_of_the_page() {
        let filter = RunFilter {
            job: Some("it's".to_owned()),
            state: Some("failed".to_owned()),
            before: Some((at(0), 7)),
            limit: 51,
            ..RunFilter::default()
        };
        let sql = sql(&filter);
        assert!(
            sql.contains("where job = 'it''s'\n  and state = 'failed'\n  and (scheduled_for, run_id) < ('1970"),
            "{sql}"
        );
        assert!(sql.ends_with("limit 50;"));
    }
}
