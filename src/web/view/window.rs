//! The page of one window.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::words::{self, When, target};
use crate::domain::about::{About, AboutBetter, AboutMetric};
use crate::store::read::parts::PartRow;
use crate::store::read::samples::SampleRow;
use crate::store::read::window::{FactsRow, MetricRow, WindowKey};
use crate::text::links::{self, Links, with_query};

/// The first lines of the page.
#[derive(Debug, Clone)]
pub struct Head {
    pub window: String,
    pub start: When,
    pub end: When,
    pub target: String,
    /// Such as `provisional until 2026-11-22 09:30`.
    pub status: String,
    pub previous: Option<String>,
    pub next: Option<String>,
    /// The window on the chart of the job.
    pub chart: String,
    /// The errors of its predictions.
    pub debug: String,
    /// The page as it was when the window was first reported.
    pub first: Option<String>,
    /// Sentence about data that the source no longer has.
    pub kept: Option<String>,
}

/// Builds the first lines.
pub fn head(
    key: &WindowKey,
    facts: &FactsRow,
    neighbors: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    (about, metric, zone): (&About, &str, Tz),
) -> Head {
    let when = |at| words::when(at, zone).text;
    let until = key.end + TimeDelta::seconds(about.label_wait_seconds);
    let status = match (facts.status.as_str(), facts.finalized_at) {
        ("final", Some(at)) => format!("final since {}", when(at)),
        ("final", None) => "final".to_owned(),
        _ => format!("provisional: labels count until {}", when(until)),
    };
    let chart = with_query(
        &Links::default().job(&key.job),
        &[
            ("window", Some(&key.window)),
            ("metric", Some(metric)),
            ("cohort", (key.cohort != "all").then_some(key.cohort.as_str())),
            ("version", key.version.as_deref()),
        ],
    );
    Head {
        window: key.window.clone(),
        start: words::when(facts.start, zone),
        end: words::when(key.end, zone),
        target: target(&key.cohort, key.version.as_deref()),
        status,
        previous: neighbors.0.map(|end| link(key, metric, end, key.as_of)),
        next: neighbors.1.map(|end| link(key, metric, end, key.as_of)),
        chart,
        debug: with_query(
            &Links::default().job_part(&key.job, "debug"),
            &[
                ("from", Some(&links::instant(facts.start))),
                ("to", Some(&links::instant(key.end))),
                ("cohort", (key.cohort != "all").then_some(key.cohort.as_str())),
                ("version", key.version.as_deref()),
            ],
        ),
        first: None,
        kept: facts.source_gone_at.map(|at| {
            format!("The source no longer has all of this data (found {}); the numbers stay as they were.", when(at))
        }),
    }
}

/// Address of a window with the selection of a key.
pub fn link(key: &WindowKey, metric: &str, end: DateTime<Utc>, as_of: Option<DateTime<Utc>>) -> String {
    let as_of = as_of.map(links::instant);
    with_query(
        &Links::default().window(&key.job, &key.window, end),
        &[
            ("cohort", (key.cohort != "all").then_some(key.cohort.as_str())),
            ("version", key.version.as_deref()),
            ("metric", Some(metric)),
            ("as_of", as_of.as_deref()),
        ],
    )
}

/// A metric, then and now.
#[derive(Debug, Clone)]
pub struct MetricLine {
    pub metric: String,
    pub link: String,
    pub is_current: bool,
    pub first: String,
    pub first_interval: String,
    pub now: String,
    pub now_interval: String,
    pub change: String,
    /// `better` or `worse`, and its arrow; empty where the metric has no direction or did not change.
    pub class: &'static str,
    pub sign: &'static str,
}

/// Returns all metrics of a window, the selected one first.
pub fn metric_lines(key: &WindowKey, about: &About, selected: &str, rows: &[MetricRow]) -> Vec<MetricLine> {
    let mut lines: Vec<MetricLine> = rows
        .iter()
        .map(|row| {
            let metric = about.metric(&row.metric);
            let (class, sign) = direction(row.first_value, row.value, metric);
            MetricLine {
                metric: row.metric.clone(),
                link: link(key, &row.metric, key.end, key.as_of),
                is_current: row.metric == selected,
                first: words::value(row.first_value, metric),
                first_interval: interval(row.first_ci_low, row.first_ci_high),
                now: words::value(row.value, metric),
                now_interval: interval(row.ci_low, row.ci_high),
                change: change(row.first_value, row.value),
                class,
                sign,
            }
        })
        .collect();
    lines.sort_by_key(|line| !line.is_current);
    lines
}

/// A count, then and now.
#[derive(Debug, Clone)]
pub struct CountLine {
    pub name: &'static str,
    pub first: String,
    pub now: String,
    pub change: String,
}

/// Returns labels and what was left out, then and now.
pub fn counts(facts: &FactsRow, metric: Option<&MetricRow>) -> Vec<CountLine> {
    let first = metric.map_or(facts.labeled, |row| row.first_labeled);
    let mut lines = vec![CountLine {
        name: "labeled",
        first: words::count(first),
        now: format!("{} of {}", words::count(facts.labeled), words::count(facts.predictions)),
        change: match facts.labeled - first {
            0 => "unchanged".to_owned(),
            more if more > 0 => format!("+{}", words::count(more)),
            fewer => words::count(fewer),
        },
    }];
    let left_out = [
        ("left out", facts.excluded),
        ("left out: duplicate keys", facts.duplicates),
        ("left out: contradictory labels", facts.ambiguous),
    ];
    lines.extend(left_out.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| CountLine {
        name,
        first: String::new(),
        now: words::count(count),
        change: String::new(),
    }));
    lines
}

/// The direction of a change: better or worse, and an arrow up or down.
fn direction(first: Option<f64>, now: Option<f64>, metric: Option<&AboutMetric>) -> (&'static str, &'static str) {
    let Some((first, now)) = first.zip(now).filter(|(first, now)| first.is_finite() && now.is_finite()) else {
        return ("", "");
    };
    let is_worse = match metric.map(|metric| metric.better) {
        Some(AboutBetter::Lower) => now.partial_cmp(&first),
        Some(AboutBetter::Higher) => first.partial_cmp(&now),
        Some(AboutBetter::Zero) => now.abs().partial_cmp(&first.abs()),
        Some(AboutBetter::Neither) | None => None,
    };
    let class = match is_worse {
        Some(std::cmp::Ordering::Greater) => "worse",
        Some(std::cmp::Ordering::Less) => "better",
        _ => "",
    };
    let sign = match now.partial_cmp(&first) {
        Some(std::cmp::Ordering::Greater) => "↑",
        Some(std::cmp::Ordering::Less) => "↓",
        _ => "",
    };
    (class, sign)
}

/// The change from one value to another: in percent, or as a difference where the first one is 0 or the sign changes.
pub fn change(first: Option<f64>, now: Option<f64>) -> String {
    let Some((first, now)) = first.zip(now).filter(|(first, now)| first.is_finite() && now.is_finite()) else {
        return "–".to_owned();
    };
    let difference = now - first;
    let sign = if difference < 0.0 { "−" } else { "+" };
    if difference == 0.0 {
        "unchanged".to_owned()
    } else if first == 0.0 || first.signum() != now.signum() {
        format!("{sign}{}", crate::text::number::number(difference.abs()))
    } else {
        format!("{sign}{}", words::share((difference / first).abs()))
    }
}

/// `131 to 180`, or nothing.
pub fn interval(low: Option<f64>, high: Option<f64>) -> String {
    low.zip(high).map_or(String::new(), |(low, high)| {
        format!("{} to {}", words::value(Some(low), None), words::value(Some(high), None))
    })
}

/// A part of the window as a line.
#[derive(Debug, Clone)]
pub struct PartLine {
    pub name: String,
    pub link: String,
    pub is_current: bool,
    pub value: String,
    pub interval: String,
    pub labeled: String,
    pub share: String,
    /// Share of predictions.
    pub traffic: String,
}

/// Returns the parts of a window, and true if there are more than `most`.
pub fn part_lines(
    key: &WindowKey,
    about: &About,
    metric: &str,
    rows: &[PartRow],
    most: usize,
) -> (Vec<PartLine>, bool) {
    let known = about.metric(metric);
    let whole = rows.iter().find(|row| row.cohort == "all" && row.model_version.is_none());
    let lines = rows
        .iter()
        .take(most)
        .map(|row| {
            let part = WindowKey { cohort: row.cohort.clone(), version: row.model_version.clone(), ..key.clone() };
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let traffic = whole
                .filter(|whole| whole.predictions > 0)
                .map(|whole| row.predictions as f64 / whole.predictions as f64);
            PartLine {
                name: target(&row.cohort, row.model_version.as_deref()),
                link: link(&part, metric, key.end, key.as_of),
                is_current: row.cohort == key.cohort && row.model_version == key.version,
                value: words::value(row.value, known),
                interval: interval(row.ci_low, row.ci_high),
                labeled: format!("{} of {}", words::count(row.labeled), words::count(row.predictions)),
                share: row.squared_share.map_or("–".to_owned(), words::share),
                traffic: traffic.map_or("–".to_owned(), words::share),
            }
        })
        .collect();
    (lines, rows.len() > most)
}

/// A sample as a line.
#[derive(Debug, Clone)]
pub struct SampleLine {
    pub key: String,
    pub version: String,
    pub event: When,
    pub predicted: String,
    pub actual: String,
    pub error: String,
    pub label: Option<When>,
}

/// Returns the samples with the largest errors.
pub fn sample_lines(rows: &[SampleRow], unit: Option<&str>, zone: Tz) -> Vec<SampleLine> {
    let unit = unit.map_or(String::new(), |unit| format!(" {unit}"));
    let value = |value: f64| format!("{}{unit}", words::value(Some(value), None));
    rows.iter()
        .map(|row| SampleLine {
            key: row.prediction_key.clone(),
            version: row.model_version.clone().unwrap_or_default(),
            event: words::when(row.event_at, zone),
            predicted: value(row.predicted),
            actual: value(row.actual),
            error: value(row.predicted - row.actual),
            label: row.label_at.map(|at| words::when(at, zone)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_in_percent_unless_the_sign_changes() {
        assert_eq!(change(Some(100.0), Some(151.0)), "+51 %");
        assert_eq!(change(Some(100.0), Some(98.0)), "−2.0 %");
        assert_eq!(change(Some(-4.0), Some(-2.0)), "+50 %");
        assert_eq!(change(Some(-4.0), Some(2.0)), "+6.000");
        assert_eq!(change(Some(0.0), Some(2.0)), "+2.000");
        assert_eq!(change(Some(3.0), Some(3.0)), "unchanged");
        assert_eq!([change(None, Some(1.0)), change(Some(f64::NAN), Some(1.0))], ["–", "–"]);
    }

    #[test]
    fn a_bias_is_worse_farther_from_zero() {
        let metric = |better| AboutMetric { better, ..AboutMetric::default() };
        let of = |first, now, better| direction(Some(first), Some(now), Some(&metric(better)));
        assert_eq!(of(-3.0, 2.0, AboutBetter::Zero), ("better", "↑"));
        assert_eq!(of(2.0, -3.0, AboutBetter::Zero), ("worse", "↓"));
        assert_eq!(of(0.5, 0.6, AboutBetter::Higher), ("better", "↑"));
        assert_eq!(of(5.0, 5.0, AboutBetter::Lower), ("", ""));
        assert_eq!(of(5.0, 6.0, AboutBetter::Neither), ("", "↑"));
    }
}
