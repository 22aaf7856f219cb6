//! The page of a rule: its verdicts through time, its firings, and whether they were right.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::cells::{Cell, of_verdict};
use super::overview::Job;
use super::words::{self, When, target};
use crate::domain::about::{About, AboutRule};
use crate::domain::verdict::Verdict;
use crate::evaluate::alert_quality::{self, Fired, Quality};
use crate::evaluate::hindsight::{self, Judged, Outcome};
use crate::store::read::firings::{FiringRow, StripRow, TargetRow};
use crate::text::links::{Links, with_query};
use crate::text::number::number;

/// A rule in the list of all rules.
#[derive(Debug, Clone)]
pub struct RuleTab {
    pub name: String,
    pub link: String,
    pub is_current: bool,
}

/// Returns all rules of a job: its own, burn rates, built-in ones, and those that only have alerts left.
pub fn tabs(job: &str, about: &About, with_alerts: &[String], current: &str) -> Vec<RuleTab> {
    let own = about.rules.iter().filter(|rule| !rule.built_in).map(|rule| rule.name.as_str());
    let burns = about.slos.iter().flat_map(|slo| slo.burns.iter().map(|burn| burn.alert.as_str()));
    let built_in = about.rules.iter().filter(|rule| rule.built_in).map(|rule| rule.name.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in own.chain(burns).chain(built_in).chain(with_alerts.iter().map(String::as_str)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let links = Links::default();
    let tab = |name: &str| RuleTab { name: name.to_owned(), link: links.rule(job, name), is_current: name == current };
    names.into_iter().map(tab).collect()
}

/// The condition of a rule in words: when it fires, and how much data it needs.
pub fn condition(about: &About, name: &str) -> String {
    if let Some(rule) = about.rules.iter().find(|rule| rule.name == name) {
        return condition_of(rule);
    }
    let mut burns = about.slos.iter().flat_map(|slo| slo.burns.iter().map(move |burn| (slo, burn)));
    match burns.find(|(_, burn)| burn.alert == name) {
        Some((slo, burn)) => {
            let lasted = |seconds| words::lasted(chrono::TimeDelta::seconds(seconds));
            format!(
                "Fires when the budget of {} burns faster than {}× over {} and over {}; {}.",
                slo.name,
                words::plain(burn.factor),
                lasted(burn.long_seconds),
                lasted(burn.short_seconds),
                burn.severity
            )
        }
        None => "The job file has no such rule now, or it judges the runs of the job.".to_owned(),
    }
}

fn condition_of(rule: &AboutRule) -> String {
    let lasting = if rule.lasting.is_empty() { String::new() } else { format!(" {}", rule.lasting) };
    let mut needs = Vec::new();
    if rule.min_samples > 1 {
        needs.push(format!("{} labels", words::count(rule.min_samples)));
    }
    if rule.min_coverage > 0.0 {
        needs.push(format!("{} coverage", words::share(rule.min_coverage)));
    }
    let needs =
        if needs.is_empty() { String::new() } else { format!(" A window is judged from {} on.", needs.join(" and ")) };
    let built_in = if rule.built_in { " Built in." } else { "" };
    format!(
        "Fires when {} of {} is {}{lasting}; {}.{needs}{built_in}",
        rule.metric, rule.window, rule.condition, rule.severity
    )
}

/// Returns the verdicts as squares. A window that later labels judged otherwise is underlined.
pub fn strip(job: &str, rows: &[StripRow], of: (&str, Option<&str>), zone: Tz) -> Vec<(Cell, bool)> {
    let cell = |row: &StripRow| {
        let known = |word: &Option<String>| word.as_deref().and_then(Verdict::parse);
        let (then, later) = (known(&row.verdict), known(&row.later_verdict));
        let (letter, kind) = of_verdict(then.or(later));
        let changed = later.is_some() && then.is_some() && later != then;
        let later =
            later.filter(|_| changed).map_or(String::new(), |later| format!("; by later labels {}", later.label()));
        let said = then.map_or("judged later only", Verdict::label);
        let value = row.value.map_or(String::new(), |value| format!(", {}", number(value)));
        let limit = row.limit_value.map_or(String::new(), |limit| format!(" (limit {})", number(limit)));
        let title = format!("{}: {said}{value}{limit}{later}", words::when(row.window_end, zone).text);
        // The windows of budgets and runs have no page.
        let has_page = row.window_name.starts_with("rolling ") || row.window_name.starts_with("tumbling ");
        let cohort = (of.0 != "all").then_some(of.0);
        let link = Links::default().window(job, &row.window_name, row.window_end);
        let link = has_page.then(|| with_query(&link, &[("cohort", cohort), ("version", of.1)]));
        (Cell { letter, kind, title, link }, changed)
    };
    rows.iter().map(cell).collect()
}

/// Counts of verdicts, as facts.
pub fn counts(rows: &[StripRow]) -> Vec<(String, &'static str)> {
    let newest = |row: &&StripRow| row.verdict.as_deref().or(row.later_verdict.as_deref()).and_then(Verdict::parse);
    let count =
        |wanted: &[Verdict]| rows.iter().filter(|row| newest(row).is_some_and(|one| wanted.contains(&one))).count();
    let unsure = count(&[Verdict::Insufficient, Verdict::NoData, Verdict::Error]);
    let text = |count: usize| words::count(i64::try_from(count).unwrap_or(i64::MAX));
    #[expect(clippy::cast_precision_loss, reason = "a few hundred windows")]
    let share = if rows.is_empty() { "–".to_owned() } else { words::share(unsure as f64 / rows.len() as f64) };
    vec![
        (text(rows.len()), "windows"),
        (text(count(&[Verdict::Ok])), "ok"),
        (text(count(&[Verdict::Breach])), "in breach"),
        (share, "could not be judged"),
    ]
}

/// A firing.
#[derive(Debug, Clone)]
pub struct FiringLine {
    pub fired: When,
    pub link: String,
    pub target: String,
    pub severity: String,
    pub value: String,
    pub limit: String,
    pub lasted: String,
    pub ended: String,
    pub acknowledged: String,
    pub confirmation: &'static str,
    pub kind: &'static str,
    pub mark: &'static str,
}

/// Returns the firings.
pub fn firings(rows: &[FiringRow], finality: Finality, (now, zone): (DateTime<Utc>, Tz)) -> Vec<FiringLine> {
    let links = Links::default();
    let line = |row: &FiringRow| {
        let confirmation = confirmed(row);
        FiringLine {
            fired: words::when(row.fired_at, zone),
            link: row.incident_id.map_or_else(|| links.alert(row.alert_id), |id| links.incident(id)),
            target: target(&row.cohort, row.model_version.as_deref()),
            severity: row.severity.clone(),
            value: words::value(row.value, None),
            limit: words::value(row.limit_value, None),
            lasted: words::lasted(row.ended_at.unwrap_or(now) - row.fired_at),
            ended: match (row.ended_at, &row.ended_because) {
                (None, _) => "still fires".to_owned(),
                (Some(_), Some(why)) => why.clone(),
                (Some(_), None) => "ended".to_owned(),
            },
            acknowledged: match (row.acked_at, &row.acked_by) {
                (Some(at), Some(user)) => format!("{user}, after {}", words::lasted(at - row.fired_at)),
                _ => "nobody".to_owned(),
            },
            confirmation: match confirmation {
                Outcome::Confirmed if !finality.is_final(row) => "in breach so far",
                Outcome::TakenBack if !finality.is_final(row) => "ok so far",
                decided => decided.label(),
            },
            kind: match confirmation {
                Outcome::Confirmed => "calm",
                Outcome::TakenBack => "bad",
                Outcome::Undecided => "none",
            },
            mark: match row.mark.as_deref() {
                Some("useful") => "useful",
                Some("false_alarm") => "false alarm",
                _ => "",
            },
        }
    };
    rows.iter().map(line).collect()
}

/// Tells which windows later labels cannot change.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finality {
    /// Windows that ended by then are final; `None`: nothing is published.
    until: Option<DateTime<Utc>>,
    /// Distance of the windows of the rule.
    step: TimeDelta,
}

impl Finality {
    /// Of the windows of a rule.
    pub fn of(job: &Job, rule: &str) -> Self {
        let (about, wait) = (&job.about, TimeDelta::seconds(job.about.label_wait_seconds));
        let rule = about.rules.iter().find(|known| known.name == rule);
        let window = rule.and_then(|rule| about.windows.iter().find(|window| window.name == rule.window));
        let seconds =
            window.map_or(0, |window| if window.is_rolling { about.interval_seconds } else { window.seconds });
        Self { until: job.row.published_as_of.map(|at| at - wait), step: TimeDelta::seconds(seconds) }
    }

    /// True if all windows that made an alert fire are final.
    fn is_final(self, row: &FiringRow) -> bool {
        let more = i32::try_from(row.verdicts.len().saturating_sub(1)).unwrap_or(i32::MAX);
        let last = row.since.and_then(|since| since.checked_add_signed(self.step.checked_mul(more)?));
        last.zip(self.until).is_some_and(|(last, until)| last <= until)
    }
}

fn confirmed(row: &FiringRow) -> Outcome {
    let judged = row.verdicts.iter().map(|word| Judged { verdict: Verdict::parse(word), is_final: false });
    hindsight::look_back(&judged.collect::<Vec<_>>(), None).outcome
}

/// Counts the outcomes of firings.
pub fn quality(rows: &[FiringRow]) -> Quality {
    let fired = |row: &FiringRow| Fired {
        outcome: confirmed(row),
        acknowledged_within: row.acked_at.map(|at| at - row.fired_at),
        was_useful: match row.mark.as_deref() {
            Some("useful") => Some(true),
            Some("false_alarm") => Some(false),
            _ => None,
        },
    };
    alert_quality::quality(&rows.iter().map(fired).collect::<Vec<_>>())
}

/// The quality as facts.
pub fn quality_facts(quality: Quality) -> Vec<(String, String)> {
    let decided = quality.confirmed + quality.taken_back;
    vec![
        (words::count(quality.firings), "firings".to_owned()),
        (
            quality.precision().map_or("–".to_owned(), words::share),
            format!(
                "confirmed by later labels: {} of {} decided",
                words::count(quality.confirmed),
                words::count(decided)
            ),
        ),
        (words::count(quality.taken_back), "taken back".to_owned()),
        (words::count(quality.undecided), "undecided".to_owned()),
        (
            quality.acknowledged_within.map_or("–".to_owned(), words::lasted),
            format!("median until acknowledged, {} of them", words::count(quality.acknowledged)),
        ),
        (
            format!("{} / {}", words::count(quality.useful), words::count(quality.false_alarms)),
            "marked useful / false alarm".to_owned(),
        ),
    ]
}

/// A cohort and version of a rule that the filter offers.
#[derive(Debug, Clone)]
pub struct TargetLink {
    pub name: String,
    pub link: String,
    pub state: String,
}

/// Returns the targets that have alerts, firing ones first.
pub fn targets(job: &str, rule: &str, rows: &[TargetRow]) -> Vec<TargetLink> {
    let link = Links::default().rule(job, rule);
    let target_link = |row: &TargetRow| TargetLink {
        name: target(&row.cohort, row.model_version.as_deref()),
        link: with_query(&link, &[("cohort", Some(&row.cohort)), ("version", row.model_version.as_deref())]),
        state: row.state.clone(),
    };
    rows.iter().map(target_link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).unwrap()
    }

    #[test]
    fn a_condition_is_a_sentence() {
        let rule = AboutRule {
            name: "rmse-high".to_owned(),
            metric: "rmse".to_owned(),
            window: "rolling 6h".to_owned(),
            condition: "above 450".to_owned(),
            lasting: "for 3 windows in a row".to_owned(),
            severity: "page".to_owned(),
            min_samples: 8,
            min_coverage: 0.5,
            ..AboutRule::default()
        };
        let about = About { rules: vec![rule], ..About::default() };
        assert_eq!(
            condition(&about, "rmse-high"),
            "Fires when rmse of rolling 6h is above 450 for 3 windows in a row; page. A window is judged from 8 labels and 50 % \
             coverage on."
        );
        assert!(condition(&about, "gone").starts_with("The job file has no such rule"));
        let names: Vec<String> = tabs("a", &about, &["gone".to_owned(), "rmse-high".to_owned()], "gone")
            .into_iter()
            .map(|tab| tab.name)
            .collect();
        assert_eq!(names, ["rmse-high", "gone"]);
    }

    #[test]
    fn a_verdict_that_later_labels_changed_is_marked() {
        let row = |verdict: Option<&str>, later: Option<&str>, window: &str| StripRow {
            window_start: at(0),
            window_end: at(6),
            window_name: window.to_owned(),
            verdict: verdict.map(str::to_owned),
            later_verdict: later.map(str::to_owned),
            value: Some(533.0),
            limit_value: Some(450.0),
            reason: String::new(),
        };
        let rows = [
            row(Some("breach"), Some("ok"), "rolling 6h"),
            row(Some("insufficient"), None, "burn 1d"),
            row(None, Some("breach"), "rolling 6h"),
        ];
        let cells = strip("a", &rows, ("region=x", None), Tz::UTC);
        assert_eq!(cells[0].0.title, "1970-01-01 06:00: breach, 533.0 (limit 450.0); by later labels ok");
        assert_eq!(
            cells[0].0.link.as_deref(),
            Some("/jobs/a/windows/rolling-6h/1970-01-01T06:00:00Z?cohort=region%3Dx")
        );
        assert_eq!(
            cells.iter().map(|(cell, changed)| (cell.letter, *changed)).collect::<Vec<_>>(),
            [("B", true), ("?", false), ("B", false)]
        );
        assert_eq!(cells[1].0.link, None);
        assert_eq!(counts(&rows)[3], ("33 %".to_owned(), "could not be judged"));
    }
}
