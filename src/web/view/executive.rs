//! The page for executives: for each job, what was promised and what was kept.

use std::collections::BTreeMap;

use super::overview::Job;
use super::rule;
use super::words;
use crate::chart::{Svg, sparkline};
use crate::domain::about::About;
use crate::evaluate::alert_quality::Quality;
use crate::evaluate::long_range;
use crate::store::read::executive::{Chosen, DayRow, KeptRow, PooledRow, PromiseRow};
use crate::store::read::firings::FiringRow;
use crate::text::links::Links;

/// Cohorts that are named.
const TOP: usize = 3;

/// Selects for each job: windows that do not overlap and their error, objectives, and rules.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The headline metric of each job by day, or by the windows that it keeps.
    pub trend: Chosen,
    /// The mean squared error, else another mean, in tumbling windows.
    pub pooled: Chosen,
    pub slos: (Vec<String>, Vec<String>),
    pub rules: (Vec<String>, Vec<String>),
}

/// Returns what to read.
pub fn wanted(jobs: &[Job]) -> Wanted {
    let mut wanted = Wanted::default();
    for job in jobs {
        let name = &job.row.job;
        let day = day_window(&job.about);
        let trend = day.or_else(|| job.about.main_window().map(|window| window.name.as_str()));
        if let (Some(window), Some(metric)) = (trend, job.about.headline()) {
            push(&mut wanted.trend, name, window, &metric.name);
        }
        if let (Some(window), Some(metric)) = (day, mean_metric(&job.about)) {
            push(&mut wanted.pooled, name, window, metric);
        }
        if let Some(slo) = job.about.slos.first() {
            wanted.slos.0.push(name.clone());
            wanted.slos.1.push(slo.name.clone());
        } else if let Some(rule) = job.about.rules.iter().find(|rule| !rule.built_in) {
            wanted.rules.0.push(name.clone());
            wanted.rules.1.push(rule.name.clone());
        }
    }
    wanted
}

fn push(chosen: &mut Chosen, job: &str, window: &str, metric: &str) {
    chosen.jobs.push(job.to_owned());
    chosen.windows.push(window.to_owned());
    chosen.metrics.push(metric.to_owned());
}

/// Days, else the first tumbling window.
fn day_window(about: &About) -> Option<&str> {
    let tumbling = || about.windows.iter().filter(|window| !window.is_rolling);
    let day = tumbling().find(|window| window.seconds == 86_400).or(tumbling().next());
    day.map(|window| window.name.as_str())
}

/// A metric that is a mean over predictions, so that windows can be pooled.
fn mean_metric(about: &About) -> Option<&'static str> {
    ["mse", "mae"].into_iter().find(|name| about.metric(name).is_some())
}

/// The rows of all jobs.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub days: Vec<DayRow>,
    pub pooled: Vec<PooledRow>,
    pub pooled_before: Vec<PooledRow>,
    pub promises: Vec<PromiseRow>,
    pub promises_before: Vec<PromiseRow>,
    pub kept: Vec<KeptRow>,
    pub kept_before: Vec<KeptRow>,
    pub pages: Vec<FiringRow>,
}

/// A job.
#[derive(Debug, Clone)]
pub struct Line {
    pub job: String,
    pub link: String,
    pub owner: Option<String>,
    pub promise: String,
    pub kept: String,
    pub kept_before: String,
    /// `None`: there was nothing to judge.
    pub is_kept: Option<bool>,
    pub budget: String,
    pub is_low: bool,
    pub trend: Option<Svg>,
    pub metric: String,
    pub error: String,
    pub change: String,
    pub is_worse: bool,
    pub pages: String,
    pub cohorts: Vec<(String, String)>,
}

/// Builds the lines: broken promises first, then by the change against the period before. Errors of different units are never
/// compared; a change is a ratio.
pub fn lines(jobs: &[Job], rows: &Rows) -> Vec<Line> {
    let mut ranked: Vec<((u8, f64), Line)> = jobs.iter().map(|job| line(job, rows)).collect();
    ranked.sort_by(|((kept, change), one), ((other_kept, other_change), other)| {
        kept.cmp(other_kept).then(other_change.total_cmp(change)).then(one.job.cmp(&other.job))
    });
    ranked.into_iter().map(|(_, line)| line).collect()
}

fn line(job: &Job, rows: &Rows) -> ((u8, f64), Line) {
    let name = &job.row.job;
    let (about, links) = (&job.about, Links::default());
    let promise = promise(job, rows);
    let now = pooled(about, name, &rows.pooled);
    let before = pooled(about, name, &rows.pooled_before);
    let ratio = long_range::ratio(now, before);
    let (metric, unit) = match mean_metric(about) {
        Some("mse") => ("rmse", about.metric("rmse").or(about.metric("mae"))),
        Some(metric) => (metric, about.metric(metric)),
        None => ("", None),
    };
    let days: Vec<&DayRow> = rows.days.iter().filter(|row| row.job == *name).collect();
    let values: Vec<Option<f64>> = days.iter().map(|row| row.value).collect();
    let first: Vec<Option<f64>> = days.iter().map(|row| row.first_reported).collect();
    let pages: Vec<FiringRow> = rows.pages.iter().filter(|row| row.job == *name).cloned().collect();
    let rank = match promise.is_kept {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    };
    let line = Line {
        job: name.clone(),
        link: links.job(name),
        owner: about.owner.clone(),
        trend: (values.iter().flatten().count() > 1).then(|| sparkline::compared(&values, &first)),
        metric: metric.to_owned(),
        error: now.map_or("–".to_owned(), |value| amount(value, about, unit.map(|metric| metric.unit.as_str()))),
        change: ratio.map_or("no period to compare".to_owned(), words::change),
        is_worse: ratio.is_some_and(|ratio| ratio > 1.05),
        pages: pages_words(rule::quality(&pages)),
        cohorts: cohorts(name, &rows.pooled),
        promise: promise.words,
        kept: promise.kept,
        kept_before: promise.before,
        is_kept: promise.is_kept,
        budget: promise.left.map_or("–".to_owned(), words::share),
        is_low: promise.left.is_some_and(|left| left < 0.2),
    };
    ((rank, ratio.unwrap_or(0.0)), line)
}

fn amount(value: f64, about: &About, unit: Option<&str>) -> String {
    let own = about.unit.as_ref().map(|unit| format!(" {unit}"));
    format!("{}{}", crate::text::number::number(value), unit.map(str::to_owned).or(own).unwrap_or_default())
}

/// `12 (10 confirmed)`.
fn pages_words(quality: Quality) -> String {
    match quality.firings {
        0 => "none".to_owned(),
        firings => format!("{} ({} confirmed)", words::count(firings), words::count(quality.confirmed)),
    }
}

/// A promise, and how much of it was kept.
struct Kept {
    words: String,
    kept: String,
    before: String,
    is_kept: Option<bool>,
    left: Option<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn promise(job: &Job, rows: &Rows) -> Kept {
    let name = &job.row.job;
    let share = |part: i64, whole: i64| long_range::share(part as f64, whole as f64);
    let shown = |share: Option<f64>| share.map_or("–".to_owned(), words::share);
    if let Some(slo) = job.about.slos.first() {
        let find = |rows: &[PromiseRow]| rows.iter().find(|row| row.job == *name).cloned();
        let (now, before) = (find(&rows.promises), find(&rows.promises_before));
        let kept = now.as_ref().and_then(|row| share(row.good, row.total));
        return Kept {
            words: super::budget::promise(slo),
            kept: shown(kept),
            before: shown(before.and_then(|row| share(row.good, row.total))),
            is_kept: kept.map(|kept| kept >= slo.objective),
            left: now.and_then(|row| row.budget_left),
        };
    }
    let Some(rule) = job.about.rules.iter().find(|rule| !rule.built_in) else {
        return Kept {
            words: "no promise".to_owned(),
            kept: "–".to_owned(),
            before: "–".to_owned(),
            is_kept: None,
            left: None,
        };
    };
    let find =
        |rows: &[KeptRow]| rows.iter().find(|row| row.job == *name).and_then(|row| share(row.ok, row.ok + row.breach));
    let kept = find(&rows.kept);
    Kept {
        words: format!("{} of {} never {}", rule.metric, rule.window, rule.condition),
        kept: shown(kept),
        before: shown(find(&rows.kept_before)),
        is_kept: kept.map(|kept| kept >= 1.0),
        left: None,
    }
}

/// The error of the whole range, from sums: a mean of roots would weigh a night like a day.
fn pooled(about: &About, job: &str, rows: &[PooledRow]) -> Option<f64> {
    let row = rows.iter().find(|row| row.job == job && row.cohort == "all")?;
    match mean_metric(about)? {
        "mse" => long_range::rmse(row.weighed, row.labeled),
        _ => long_range::mean(row.weighed, row.labeled),
    }
}

/// The cohorts with the largest part of the error.
fn cohorts(job: &str, rows: &[PooledRow]) -> Vec<(String, String)> {
    let mine: BTreeMap<bool, Vec<&PooledRow>> =
        rows.iter().filter(|row| row.job == job).fold(BTreeMap::new(), |mut parts, row| {
            parts.entry(row.cohort == "all").or_insert_with(Vec::new).push(row);
            parts
        });
    let whole = mine.get(&true).and_then(|all| all.first()).map_or(0.0, |row| row.weighed);
    let parts = mine.get(&false).into_iter().flatten();
    let named =
        parts.filter_map(|row| Some((row.cohort.clone(), words::share(long_range::share(row.weighed, whole)?))));
    named.take(TOP).collect()
}

/// Writes the lines as Markdown.
pub fn markdown(period: &str, range: &str, lines: &[Line]) -> String {
    use std::fmt::Write as _;
    // A bar would end the cell, a bracket could begin a link.
    let cell = |text: &str| {
        let text = crate::text::visible::line(text);
        ["\\", "|", "<", ">", "[", "]", "*", "_", "`"]
            .iter()
            .fold(text, |text, sign| text.replace(sign, &format!("\\{sign}")))
    };
    let mut text = format!("# trueup: {period}\n\n{range}\n\n");
    text.push_str("| Job | Promise | Kept | Before | Budget left | Error | Change | Pages | Top cohorts |\n");
    text.push_str("|---|---|---:|---:|---:|---:|---|---|---|\n");
    for line in lines {
        let cohorts: Vec<String> = line.cohorts.iter().map(|(name, share)| format!("{name} {share}")).collect();
        let error = format!("{} {}", line.metric, line.error);
        let kept = match line.is_kept {
            Some(false) => format!("{} (not kept)", line.kept),
            _ => line.kept.clone(),
        };
        let cells =
            [&line.job, &line.promise, &kept, &line.kept_before, &line.budget, &error, &line.change, &line.pages];
        let cells: Vec<String> = cells.into_iter().map(|text| cell(text)).chain([cell(&cohorts.join(", "))]).collect();
        let _infallible = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::domain::about::{AboutMetric, AboutSlo, AboutWindow};
    use crate::store::read::overview::JobRow;

    fn job(name: &str) -> Job {
        let metric =
            |name: &str, unit: &str| AboutMetric { name: name.into(), unit: unit.into(), ..AboutMetric::default() };
        let about = About {
            windows: vec![AboutWindow { name: "tumbling 1d".into(), seconds: 86_400, is_rolling: false }],
            metrics: vec![metric("mse", " MW²"), metric("rmse", " MW")],
            slos: vec![AboutSlo {
                name: "near".into(),
                objective: 0.95,
                good: "good ones".into(),
                period_seconds: 2_592_000,
                ..AboutSlo::default()
            }],
            ..About::default()
        };
        let row = JobRow { job: name.to_owned(), state: "ok".to_owned(), ..JobRow::default() };
        Job { row, about }
    }

    fn promise(job: &str, good: i64) -> PromiseRow {
        let period_end: DateTime<Utc> = DateTime::UNIX_EPOCH;
        PromiseRow { job: job.to_owned(), period_end, objective: 0.95, good, total: 100, budget_left: Some(0.1) }
    }

    fn pooled(job: &str, cohort: &str, weighed: f64, labeled: i64) -> PooledRow {
        PooledRow { job: job.to_owned(), cohort: cohort.to_owned(), weighed, labeled }
    }

    #[test]
    fn broken_promises_come_first_then_what_got_worse() {
        let jobs = ["calm", "worse", "broken"].map(job);
        let rows = Rows {
            promises: vec![promise("calm", 99), promise("worse", 96), promise("broken", 90)],
            pooled: vec![
                pooled("calm", "all", 400.0, 100),
                pooled("worse", "all", 1_600.0, 100),
                pooled("worse", "region=a|b", 1_200.0, 50),
                pooled("broken", "all", 100.0, 100),
            ],
            pooled_before: vec![pooled("calm", "all", 400.0, 100), pooled("worse", "all", 900.0, 100)],
            ..Rows::default()
        };
        let lines = lines(&jobs, &rows);
        let shown: Vec<(&str, &str, &str, Option<bool>)> = lines
            .iter()
            .map(|line| (line.job.as_str(), line.error.as_str(), line.change.as_str(), line.is_kept))
            .collect();
        assert_eq!(
            shown,
            [
                ("broken", "1.000 MW", "no period to compare", Some(false)),
                ("worse", "4.000 MW", "33 % higher", Some(true)),
                ("calm", "2.000 MW", "unchanged", Some(true)),
            ]
        );
        assert_eq!(lines[1].cohorts, [("region=a|b".to_owned(), "75 %".to_owned())]);
        let text = markdown("October 2026", "from to", &lines);
        assert!(text.contains("| broken | 95 % of good ones over 30 d | 90 % (not kept) |"), "{text}");
        assert!(text.contains("region=a\\|b 75 %"), "{text}");
    }
}
