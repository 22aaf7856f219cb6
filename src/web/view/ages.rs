//! The history of one window: its value by the age of labels, verdicts, and runs.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::window::interval;
use super::words::{self, When};
use crate::chart::steps::{Across, Step, Steps, Up};
use crate::domain::about::{About, AboutMetric};
use crate::domain::verdict::Verdict;
use crate::store::read::runs;
use crate::store::read::window::{AgeRow, JudgedRow, RunRow, WindowKey};
use crate::text::links::Links;

/// A revision as a line, with the verdicts of its run.
#[derive(Debug, Clone)]
pub struct AgeLine {
    pub revision: i32,
    pub at: When,
    pub age: String,
    pub value: String,
    pub interval: String,
    pub labeled: String,
    pub verdicts: String,
    pub run: Option<(i64, String)>,
}

/// Returns the revisions of a metric.
pub fn age_lines(
    rows: &[AgeRow],
    verdicts: &[JudgedRow],
    rules: &[String],
    (metric, zone): (Option<&AboutMetric>, Tz),
) -> Vec<AgeLine> {
    rows.iter()
        .map(|row| {
            let judged = verdicts.iter().filter(|judged| judged.run_id.is_some() && judged.run_id == row.run_id);
            let judged: Vec<String> = judged.filter(|judged| rules.contains(&judged.rule)).map(said).collect();
            AgeLine {
                revision: row.revision,
                at: words::when(row.as_of, zone),
                age: age(row.age_seconds),
                value: if row.removed { "removed".to_owned() } else { words::value(row.value, metric) },
                interval: interval(row.ci_low, row.ci_high),
                labeled: format!("{} of {}", words::count(row.labeled), words::count(row.predictions)),
                verdicts: judged.join(", "),
                run: row.run_id.map(|id| (id, Links::default().run(id))),
            }
        })
        .collect()
}

/// `rmse-high: breach`.
fn said(judged: &JudgedRow) -> String {
    let verdict = Verdict::parse(&judged.verdict).map_or("unknown", Verdict::label);
    format!("{}: {verdict}", judged.rule)
}

/// The age of labels, which is negative for labels that were known before the window ended.
fn age(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "bounded")]
    let time = TimeDelta::seconds(seconds.clamp(-1e12, 1e12) as i64);
    if time < TimeDelta::zero() { format!("{} before the end", words::lasted(-time)) } else { words::lasted(time) }
}

/// Draws the value by the age of its labels.
pub fn steps(
    rows: &[AgeRow],
    (limit, ticks): (Option<f64>, Vec<f64>),
    (metric, zone): (Option<&AboutMetric>, Tz),
    label: String,
) -> Steps {
    let steps = rows
        .iter()
        .map(|row| Step {
            at: row.age_seconds,
            value: row.value.filter(|_| !row.removed),
            interval: row.ci_low.zip(row.ci_high),
            letter: None,
            title: format!(
                "revision {}, {} after the end ({}): {}, {} labeled of {}",
                row.revision,
                age(row.age_seconds),
                words::when(row.as_of, zone).text,
                words::value(row.value, metric),
                words::count(row.labeled),
                words::count(row.predictions)
            ),
        })
        .collect();
    let unit = metric.map_or(String::new(), |metric| metric.unit.trim().to_owned());
    Steps { steps, limit, ticks, across: Across::Age, up: Up::Value(unit), label }
}

/// Ages of the labels that runs saw which changed nothing, in seconds. `end` is that of the window.
pub fn unchanged(runs: &[runs::RunRow], rows: &[AgeRow], end: DateTime<Utc>) -> Vec<f64> {
    let changed =
        |run: &runs::RunRow| rows.iter().any(|row| row.run_id == Some(run.run_id) || Some(row.as_of) == run.as_of);
    let quiet = runs.iter().filter(|run| !changed(run)).filter_map(|run| run.as_of);
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds")]
    quiet.map(|at| (at - end).num_seconds() as f64).collect()
}

/// The newest limit of the rules about a metric.
pub fn limit(verdicts: &[JudgedRow], rules: &[String]) -> Option<f64> {
    verdicts.iter().rev().filter(|row| rules.contains(&row.rule)).find_map(|row| row.limit_value)
}

/// A verdict as a line.
#[derive(Debug, Clone)]
pub struct VerdictLine {
    pub at: When,
    pub rule: String,
    pub link: String,
    pub verdict: &'static str,
    pub state: &'static str,
    pub letter: &'static str,
    pub kind: &'static str,
    pub value: String,
    pub limit: String,
    pub reason: String,
}

/// Returns the verdicts of a window in their order.
pub fn verdict_lines(key: &WindowKey, about: &About, rows: &[JudgedRow], zone: Tz) -> Vec<VerdictLine> {
    rows.iter()
        .map(|row| {
            let rule = about.rules.iter().find(|rule| rule.name == row.rule);
            let metric = rule.and_then(|rule| about.metric(&rule.metric));
            let verdict = Verdict::parse(&row.verdict);
            VerdictLine {
                at: words::when(row.evaluated_at, zone),
                rule: row.rule.clone(),
                link: Links::default().rule(&key.job, &row.rule),
                verdict: verdict.map_or("unknown", Verdict::label),
                state: match verdict {
                    Some(Verdict::Breach) => "firing",
                    Some(Verdict::Ok) => "ok",
                    _ => "unsure",
                },
                letter: verdict.map_or("?", Verdict::letter),
                kind: if row.retroactive { "by later labels; moved no alert" } else { "when it was reported" },
                value: words::value(row.value, metric),
                limit: words::value(row.limit_value, metric),
                reason: row.reason.clone(),
            }
        })
        .collect()
}

/// A run as a line.
#[derive(Debug, Clone)]
pub struct RunLine {
    pub id: i64,
    pub link: String,
    pub due: When,
    pub trigger: String,
    pub state: String,
    pub plan: String,
    pub rows: String,
}

/// Returns the runs that measured or judged a window.
pub fn run_lines(rows: &[RunRow], zone: Tz) -> Vec<RunLine> {
    rows.iter()
        .map(|row| RunLine {
            id: row.run_id,
            link: Links::default().run(row.run_id),
            due: words::when(row.scheduled_for, zone),
            trigger: row.trigger.clone(),
            state: row.state.clone(),
            plan: row.plan_id.map_or("–".to_owned(), |plan| plan.to_string()),
            rows: row.rows_read.map_or("–".to_owned(), words::count),
        })
        .collect()
}
