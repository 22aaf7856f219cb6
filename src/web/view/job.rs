//! The page of a job.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::drawing::window_link;
use super::drift;
use super::overview::{Job, letter};
use super::series::Entry;
use super::words::{self, When};
use crate::chart::{Missing, Svg, sparkline};
use crate::domain::about::AboutMetric;
use crate::domain::name::text_literal;
use crate::domain::verdict::Verdict;
use crate::evaluate::correction::UsualCorrection;
use crate::store::read::overview::RecentRow;
use crate::store::read::series::{OpenAlertRow, Selector};
use crate::store::read::window::MetricRow;
use crate::text::links::Links;
use crate::web::selection::Selection;
use crate::web::view::panel::equals;

/// A tab of the pages of a job.
#[derive(Debug, Clone)]
pub struct Tab {
    pub name: &'static str,
    pub link: String,
    pub is_current: bool,
}

/// Returns the tabs of a job's pages: those for which it measures something.
pub fn tabs(job: &Job, current: &str) -> Vec<Tab> {
    let links = Links::default();
    let name = &job.row.job;
    let part = |part: &str| links.job_part(name, part);
    let mut tabs = vec![("Now", "now", links.job(name))];
    if !job.about.dimensions.is_empty() {
        tabs.push(("Cohorts", "cohorts", part("cohorts")));
    }
    if job.about.has_classes() {
        tabs.push(("Classes", "classes", part("classes")));
    }
    if let Some(slo) = job.about.slos.first() {
        tabs.push(("Budget", "budget", links.budget(name, &slo.name)));
    }
    if let Some(rule) = job.about.rules.iter().find(|rule| !rule.built_in) {
        tabs.push(("Rules", "rules", links.rule(name, &rule.name)));
    }
    if job.about.has_versions {
        tabs.push(("Versions", "versions", part("versions")));
    }
    tabs.push(("Debug", "debug", part("debug")));
    tabs.push(("Definition", "definition", part("definition")));
    tabs.into_iter().map(|(name, id, link)| Tab { name, link, is_current: id == current }).collect()
}

/// The state of the job, where it needs attention.
#[derive(Debug, Clone)]
pub struct Banner {
    pub state: String,
    pub letter: &'static str,
    pub words: String,
    pub incident: Option<(i64, String)>,
}

/// Returns the banner of a job; `None` if it is calm.
pub fn banner(job: &Job, open: &[OpenAlertRow], now: DateTime<Utc>) -> Option<Banner> {
    let state = job.row.state.clone();
    let worst = open.iter().find(|alert| alert.state == "firing");
    let words = match (state.as_str(), worst) {
        ("firing", Some(alert)) => {
            let since = alert.since.map_or(String::new(), |at| format!(" for {}", words::lasted(now - at)));
            let target = words::target(&alert.cohort, alert.model_version.as_deref());
            let others = open.iter().filter(|other| other.state == "firing").count() - 1;
            let more = if others > 0 { format!(", and {others} more") } else { String::new() };
            let who = match (&alert.acked_by, &alert.suppressed_by) {
                (Some(user), _) => format!("acknowledged by {user}"),
                (None, Some(why)) => format!("not notified: {why}"),
                (None, None) => "not acknowledged".to_owned(),
            };
            format!("{} fires for {target}{since}{more}; {}, {who}", alert.rule, alert.severity)
        }
        ("unsure", _) => format!(
            "{} cannot be judged: {}",
            job.row.unsure_rule.as_deref().unwrap_or("a rule"),
            job.row.unsure_reason.as_deref().unwrap_or("too little data")
        ),
        ("late", _) => match &job.row.last_run_failure {
            Some(failure) if job.row.last_run_state.as_deref() == Some("failed") => {
                format!("the last run failed: {failure}")
            }
            _ => "no run has published for two intervals".to_owned(),
        },
        ("pending", _) => "a rule is in breach, not yet long enough to fire".to_owned(),
        _ => return None,
    };
    let incident = worst.and_then(|alert| alert.incident_id).map(|id| (id, Links::default().incident(id)));
    Some(Banner { letter: letter(&state), state, words, incident })
}

/// Sentence of the main chart.
pub fn chart_says(selection: &Selection) -> String {
    let of = &selection.of;
    let target = words::target(&of.cohort, of.version.as_deref());
    let limit = selection.about().rules.iter().find(|rule| selection.rules.contains(&rule.name));
    let limit = limit.map_or(String::new(), |rule| {
        let lasting = if rule.lasting.is_empty() { String::new() } else { format!(" {}", rule.lasting) };
        format!(" {} fires when it is {}{lasting}.", rule.name, rule.condition)
    });
    format!("For {target}.{limit} Hollow points are provisional; a small cross is the first report.")
}

/// How first reports usually end, in words.
pub fn usual_words(usual: UsualCorrection) -> String {
    format!(
        "First reports of this kind of window end {} (median of {}; 10 to 90 %: {} to {}). The whisker on a provisional point shows \
         where it will probably end.",
        words::change(usual.median),
        usual.windows,
        words::change(usual.low),
        words::change(usual.high)
    )
}

/// How the newest window whose value was corrected has moved since its first report.
pub fn drift(entries: &[Entry], metric: Option<&AboutMetric>, zone: Tz) -> Option<String> {
    entries.iter().rev().find_map(|entry| {
        let moved = drift::since_first_report(entry, metric)?;
        Some(format!("Newest correction, of the window that ended {}: {moved}.", words::when(entry.end, zone).text))
    })
}

/// The reason why the main chart is empty.
pub fn why_empty(selection: &Selection) -> &'static str {
    let of = &selection.of;
    if selection.job.row.published_as_of.is_none() {
        "Nothing is measured yet: no run has published."
    } else if of.cohort != "all" || of.version.is_some() {
        "Nothing was measured for this cohort and version in this range."
    } else {
        "No window of this kind ends in this range."
    }
}

/// One kind of window as a small chart.
#[derive(Debug, Clone)]
pub struct Kind {
    pub window: String,
    pub link: String,
    pub drawing: Option<Svg>,
    pub value: String,
    pub is_provisional: bool,
}

/// Returns the selected metric in all kinds of windows.
pub fn kinds(selection: &Selection, recent: &[RecentRow]) -> Vec<Kind> {
    let of = &selection.of;
    let mut by_window: BTreeMap<&str, Vec<&RecentRow>> = BTreeMap::new();
    for row in recent {
        by_window.entry(row.window_name.as_str()).or_default().push(row);
    }
    let metric = selection.about().metric(&of.metric);
    let windows = selection.about().windows.iter();
    windows
        .map(|window| {
            let rows = by_window.get(window.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let values: Vec<Option<f64>> = rows.iter().map(|row| row.value).collect();
            let newest = rows.last();
            let query = [("window", Some(window.name.as_str())), ("metric", Some(of.metric.as_str()))];
            Kind {
                window: window.name.clone(),
                link: crate::text::links::with_query(&Links::default().job(&of.job), &query),
                drawing: (values.iter().flatten().count() > 1).then(|| sparkline::svg(&values, None)),
                value: newest.map_or("–".to_owned(), |row| words::value(row.value, metric)),
                is_provisional: newest.is_some_and(|row| row.status == "provisional"),
            }
        })
        .collect()
}

/// A number with its meaning.
#[derive(Debug, Clone)]
pub struct Fact {
    pub value: String,
    pub meaning: String,
}

/// Returns how much the newest window rests on: arrival, coverage, latency, samples.
pub fn label_facts(metrics: &[MetricRow]) -> Vec<Fact> {
    let Some(any) = metrics.first() else { return Vec::new() };
    let value = |name: &str| metrics.iter().find(|row| row.metric == name).and_then(|row| row.value);
    let seconds = |value: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a latency in seconds")]
        words::lasted(chrono::TimeDelta::seconds(value.clamp(0.0, 1e12) as i64))
    };
    let mut facts = vec![Fact {
        value: format!("{} of {}", words::count(any.labeled), words::count(any.predictions)),
        meaning: if any.status == "final" { "labeled, final" } else { "labeled so far, provisional" }.to_owned(),
    }];
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    if any.predictions > 0 {
        let coverage = any.labeled as f64 / any.predictions as f64;
        facts.push(Fact { value: words::share(coverage), meaning: "coverage".to_owned() });
    }
    if let Some(rate) = value("label_arrival_rate") {
        facts.push(Fact { value: words::share(rate), meaning: "of the labels that are due have arrived".to_owned() });
    }
    for (name, meaning) in [("label_latency_p50", "median label latency"), ("label_latency_p95", "95 % arrive within")]
    {
        if let Some(latency) = value(name) {
            facts.push(Fact { value: seconds(latency), meaning: meaning.to_owned() });
        }
    }
    facts
}

/// The query behind the facts about labels.
pub fn labels_sql(of: &Selector) -> String {
    format!(
        "select window_end, labeled, predictions, coverage, label_arrival_rate, label_latency_p50, label_latency_p95\nfrom \
         trueup.window_history\nwhere job = {} and window_name = {} and cohort = {} and {}\norder by window_end desc limit 1;",
        text_literal(&of.job),
        text_literal(&of.window),
        text_literal(&of.cohort),
        equals("model_version", of.version.as_deref())
    )
}

/// An open alert as a line.
#[derive(Debug, Clone)]
pub struct AlertLine {
    pub rule: String,
    pub link: String,
    pub target: String,
    pub severity: String,
    pub state: String,
    pub letter: &'static str,
    pub value: String,
    pub limit: String,
    pub since: String,
    pub who: String,
}

/// Returns the open alerts.
pub fn alert_lines(open: &[OpenAlertRow], now: DateTime<Utc>) -> Vec<AlertLine> {
    let links = Links::default();
    open.iter()
        .map(|alert| AlertLine {
            rule: alert.rule.clone(),
            link: alert.incident_id.map_or_else(|| links.alert(alert.alert_id), |id| links.incident(id)),
            target: words::target(&alert.cohort, alert.model_version.as_deref()),
            severity: alert.severity.clone(),
            state: alert.state.clone(),
            letter: if alert.state == "firing" { "!" } else { "…" },
            value: words::value(alert.value, None),
            limit: words::value(alert.limit_value, None),
            since: alert.since.map_or(String::new(), |at| words::lasted(now - at)),
            who: alert.acked_by.clone().or(alert.suppressed_by.clone()).unwrap_or_default(),
        })
        .collect()
}

/// A window in the table below a chart.
#[derive(Debug, Clone)]
pub struct TableRow {
    pub end: When,
    pub link: Option<String>,
    pub value: String,
    pub interval: String,
    pub first: String,
    pub limit: String,
    pub labeled: String,
    pub status: &'static str,
    pub verdict: String,
}

/// Returns the windows of a chart as a table, newest first.
pub fn table(selection: &Selection, entries: &[Entry], zone: Tz) -> Vec<TableRow> {
    let of = &selection.of;
    let metric = selection.about().metric(&of.metric);
    let links = Links::default();
    let row = |entry: &Entry| {
        let verdicts = [entry.verdict.map(Verdict::label), entry.later_verdict.map(Verdict::label)];
        TableRow {
            end: words::when(entry.end, zone),
            link: (entry.revision > 0).then(|| window_link(&links, of, entry.end)),
            value: words::value(entry.value, metric),
            interval: entry.ci_low.zip(entry.ci_high).map_or(String::new(), |(low, high)| {
                format!("{} to {}", words::value(Some(low), None), words::value(Some(high), None))
            }),
            first: words::value(entry.first_reported, metric),
            limit: words::value(entry.limit, metric),
            labeled: format!("{} of {}", words::count(entry.labeled), words::count(entry.predictions)),
            status: match (entry.missing, entry.is_final) {
                (Some(missing), _) => Missing::label(missing),
                (None, true) => "final",
                (None, false) => "provisional",
            },
            verdict: match verdicts {
                [Some(then), Some(later)] => format!("{then}; by final labels {later}"),
                [then, later] => then.or(later).unwrap_or_default().to_owned(),
            },
        }
    };
    entries.iter().rev().map(row).collect()
}
