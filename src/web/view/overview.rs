//! The overview: all jobs, worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::breach::Judged;
use super::words::{self, When};
use crate::chart::{Svg, sparkline};
use crate::domain::about::About;
use crate::store::read::overview::{BudgetRow, FiringRow, JobRow, RecentRow, Shown};
use crate::text::links::Links;

/// States in the order of the list: worst first.
pub const STATES: [&str; 5] = ["firing", "unsure", "late", "pending", "ok"];

/// A job with its description.
#[derive(Debug, Clone)]
pub struct Job {
    pub row: JobRow,
    pub about: About,
}

/// A line of the list.
#[derive(Debug, Clone)]
pub struct Line {
    pub job: String,
    pub link: String,
    pub owner: Option<String>,
    pub state: String,
    pub letter: &'static str,
    /// The state in words: what fires, since when, who is on it.
    pub says: String,
    /// The worst alert with its number.
    pub reason: Option<String>,
    pub metric: String,
    pub trend: Option<Svg>,
    pub value: String,
    pub interval: String,
    pub is_provisional: bool,
    pub labeled: String,
    pub budget: Option<Budget>,
    pub published: Option<When>,
    pub is_late: bool,
}

/// The budget that is left.
#[derive(Debug, Clone)]
pub struct Budget {
    pub slo: String,
    pub link: String,
    pub left: String,
    pub is_low: bool,
    pub falls: bool,
}

/// Filters of the list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub text: Option<String>,
    pub owner: Option<String>,
    pub state: Option<String>,
    pub severity: Option<String>,
}

/// Reads the descriptions of jobs.
pub fn jobs(rows: Vec<JobRow>) -> Vec<Job> {
    rows.into_iter()
        .map(|row| {
            // A description of a later version that cannot be read is none.
            let about = serde_json::from_value(row.about.clone()).unwrap_or_default();
            Job { row, about }
        })
        .collect()
}

/// Returns the metrics to read: one per job.
pub fn shown(jobs: &[Job]) -> Shown {
    let mut shown = Shown::default();
    for job in jobs {
        if let (Some(window), Some(metric)) = (job.about.main_window(), job.about.headline()) {
            shown.jobs.push(job.row.job.clone());
            shown.windows.push(window.name.clone());
            shown.metrics.push(metric.name.clone());
        }
    }
    shown
}

/// Returns jobs and objectives to read budgets of.
pub fn objectives(jobs: &[Job]) -> (Vec<String>, Vec<String>) {
    jobs.iter().flat_map(|job| job.about.slos.iter().map(|slo| (job.row.job.clone(), slo.name.clone()))).unzip()
}

impl Filter {
    pub fn admits(&self, job: &Job) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        let text = self.text.as_deref().is_none_or(|part| {
            has(&job.row.job, part) || job.about.description.as_deref().is_some_and(|text| has(text, part))
        });
        let severity = self.severity.as_deref().is_none_or(|severity| match severity {
            "page" => job.row.pages > 0,
            "ticket" => job.row.tickets > 0,
            _ => job.row.infos > 0,
        });
        text && severity
            && is_wanted(self.owner.as_deref(), job.about.owner.as_deref())
            && is_wanted(self.state.as_deref(), Some(job.row.state.as_str()))
    }
}

/// True if a filter is not set, or names the value.
fn is_wanted(filter: Option<&str>, value: Option<&str>) -> bool {
    filter.is_none_or(|wanted| value == Some(wanted))
}

/// Builds the list: firing pages first, then what cannot be said, what is late, low budgets, and the calm rest.
pub fn lines(
    jobs: &[Job],
    recent: &[RecentRow],
    (budgets, firing): (&[BudgetRow], &[FiringRow]),
    (now, zone): (DateTime<Utc>, Tz),
) -> Vec<Line> {
    let mut series: BTreeMap<&str, Vec<&RecentRow>> = BTreeMap::new();
    for row in recent {
        series.entry(row.job.as_str()).or_default().push(row);
    }
    let mut ranked: Vec<(_, Line)> = jobs
        .iter()
        .map(|job| {
            let recent = series.get(job.row.job.as_str()).map(Vec::as_slice).unwrap_or_default();
            let budget = lowest(&job.row.job, budgets);
            let rank = STATES.iter().position(|state| *state == job.row.state).unwrap_or(STATES.len());
            let left = budget.and_then(|budget| budget.budget_left).unwrap_or(f64::INFINITY);
            let key = (rank, Reverse(job.row.pages), Reverse(job.row.tickets), left);
            let worst = firing.iter().find(|alert| alert.job == job.row.job);
            (key, line(job, recent, (budget, worst), (now, zone)))
        })
        .collect();
    ranked.sort_by(|(a, one), (b, other)| {
        (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(a.3.total_cmp(&b.3)).then(one.job.cmp(&other.job))
    });
    ranked.into_iter().map(|(_, line)| line).collect()
}

fn lowest<'a>(job: &str, budgets: &'a [BudgetRow]) -> Option<&'a BudgetRow> {
    let mine = budgets.iter().filter(|budget| budget.job == job && budget.budget_left.is_some());
    mine.min_by(|a, b| a.budget_left.unwrap_or_default().total_cmp(&b.budget_left.unwrap_or_default()))
}

fn line(
    job: &Job,
    recent: &[&RecentRow],
    (budget, worst): (Option<&BudgetRow>, Option<&FiringRow>),
    (now, zone): (DateTime<Utc>, Tz),
) -> Line {
    let links = Links::default();
    let metric = job.about.headline();
    let newest = recent.last();
    let values: Vec<Option<f64>> = recent.iter().map(|row| row.value).collect();
    let interval = newest.and_then(|row| row.ci_low.zip(row.ci_high)).map_or(String::new(), |(low, high)| {
        format!("{} to {}", words::value(Some(low), None), words::value(Some(high), None))
    });
    Line {
        job: job.row.job.clone(),
        link: links.job(&job.row.job),
        owner: job.about.owner.clone(),
        state: job.row.state.clone(),
        letter: letter(&job.row.state),
        says: says(job, now),
        reason: worst.filter(|_| job.row.state == "firing").map(|alert| reason(job, alert)),
        metric: metric.map_or(String::new(), |metric| metric.name.clone()),
        trend: (values.iter().flatten().count() > 1).then(|| sparkline::svg(&values, None)),
        value: newest.map_or("–".to_owned(), |row| words::value(row.value, metric)),
        interval,
        is_provisional: newest.is_some_and(|row| row.status == "provisional"),
        labeled: newest.and_then(|row| row.coverage).map_or("–".to_owned(), words::share),
        budget: budget.map(|budget| Budget {
            slo: budget.slo.clone(),
            link: links.budget(&job.row.job, &budget.slo),
            left: words::share(budget.budget_left.unwrap_or_default()),
            is_low: budget.budget_left.is_some_and(|left| left < 0.2),
            falls: budget.budget_left.zip(budget.left_before).is_some_and(|(left, before)| left < before - 0.001),
        }),
        published: job.row.published_as_of.map(|at| words::when(at, zone)),
        is_late: job.row.state == "late",
    }
}

/// One letter for a state, so that color is not the only sign.
pub fn letter(state: &str) -> &'static str {
    match state {
        "firing" => "!",
        "unsure" => "?",
        "late" => "L",
        "pending" => "…",
        _ => "✓",
    }
}

/// The worst alert that fires, with its value, limit and target.
fn reason(job: &Job, alert: &FiringRow) -> String {
    let target = words::target(&alert.cohort, alert.model_version.as_deref());
    let Some(rule) = job.about.rules.iter().find(|rule| rule.name == alert.rule) else {
        return format!("{} for {target}", alert.rule);
    };
    let unit = job.about.metric(&rule.metric).map_or("", |metric| metric.unit.as_str());
    let judged = Judged { metric: &rule.metric, value: alert.value, limit: alert.limit_value, unit, predictions: 0 };
    format!("{}: {} for {target}", alert.rule, judged.words())
}

/// The state in words.
fn says(job: &Job, now: DateTime<Utc>) -> String {
    let row = &job.row;
    match row.state.as_str() {
        "firing" => {
            let counts = [(row.pages, "page"), (row.tickets, "ticket"), (row.infos, "info")];
            let counted: Vec<String> =
                counts.iter().filter(|(n, _)| *n > 0).map(|(n, noun)| words::plural(*n, noun)).collect();
            let since = row.firing_since.map_or(String::new(), |at| format!(" for {}", words::lasted(now - at)));
            let open = if row.unacknowledged > 0 { ", not acknowledged" } else { ", acknowledged" };
            format!("{}{since}{open}", counted.join(", "))
        }
        "late" => match (&row.last_run_state, &row.last_run_failure) {
            (Some(state), Some(failure)) if state == "failed" => format!("last run failed: {failure}"),
            _ => "no run has published lately".to_owned(),
        },
        "unsure" => {
            let rule = row.unsure_rule.as_deref().unwrap_or_default();
            format!("{rule}: {}", row.unsure_reason.as_deref().unwrap_or("cannot be judged"))
        }
        "pending" => format!("{} in breach, not long enough to fire", words::plural(row.pending, "alert")),
        _ if row.published_as_of.is_none() => "nothing measured yet".to_owned(),
        _ => "calm".to_owned(),
    }
}
