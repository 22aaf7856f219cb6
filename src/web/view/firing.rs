//! One alert of an incident: what was frozen when it fired, and what its windows say now.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::words::{self, When};
use crate::chart;
use crate::domain::verdict::Verdict;
use crate::evaluate::hindsight::{self, Hindsight, Judged, Outcome};
use crate::notify::message::{AlertFacts, Point, RuleFacts};
use crate::store::read::firing::{Firings, NewestVerdictRow};
use crate::store::read::incident::EvidenceRow;
use crate::text::number::{amount, number};

/// Alerts of an incident that are shown with the verdicts of their windows.
const MOST_JUDGED: usize = 20;

/// An alert with its frozen evidence. Parts that another version wrote and that cannot be read are left out.
#[derive(Debug, Clone)]
pub struct Firing {
    pub row: EvidenceRow,
    pub rule: Option<RuleFacts>,
    pub alert: Option<AlertFacts>,
    pub as_of: Option<DateTime<Utc>>,
    pub series: Vec<Point>,
    pub samples: Vec<Sample>,
}

/// A prediction with a large error.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    pub prediction_key: String,
    pub model_version: Option<String>,
    pub event_at: Option<DateTime<Utc>>,
    pub predicted: Option<f64>,
    pub actual: Option<f64>,
    pub error: Option<f64>,
}

impl Firing {
    pub fn read(row: EvidenceRow) -> Self {
        Self {
            rule: part(&row, "rule"),
            alert: part(&row, "alert"),
            as_of: part(&row, "as_of"),
            series: part(&row, "series").unwrap_or_default(),
            samples: part(&row, "worst_samples").unwrap_or_default(),
            row,
        }
    }

    pub fn is_firing(&self) -> bool {
        self.row.state == "firing"
    }

    /// `region=north, version v2`.
    pub fn target(&self) -> String {
        words::target(&self.row.cohort, self.row.model_version.as_deref())
    }

    /// The value when it fired, with its unit.
    pub fn value(&self) -> String {
        let alert = self.alert.as_ref();
        alert.and_then(|alert| Some(amount(Some(alert.value?), &alert.unit))).unwrap_or_else(|| "–".to_owned())
    }

    pub fn limit(&self) -> String {
        let alert = self.alert.as_ref();
        alert.and_then(|alert| Some(amount(Some(alert.limit?), &alert.unit))).unwrap_or_else(|| "–".to_owned())
    }

    /// Times between which its windows made it fire, by their ends.
    pub fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let alert = self.alert.as_ref()?;
        Some((alert.since.unwrap_or(alert.window_end), alert.window_end))
    }
}

fn part<T: DeserializeOwned>(row: &EvidenceRow, name: &str) -> Option<T> {
    T::deserialize(row.evidence.get(name)?).ok()
}

/// Returns the alert that the page is about: of those that fire still, or else of all, the first. Rules froze the worst first.
pub fn main(firings: &[Firing]) -> Option<&Firing> {
    firings.iter().find(|firing| firing.is_firing()).or(firings.first())
}

/// Returns the windows whose verdicts are read, and the places of their alerts.
pub fn judged(firings: &[Firing]) -> (Firings, Vec<usize>) {
    let (mut asked, mut places) = (Firings::default(), Vec::new());
    for (place, firing) in firings.iter().enumerate() {
        let Some((since, until)) = firing.span().filter(|_| places.len() < MOST_JUDGED) else { continue };
        asked.rules.push(firing.row.rule.clone());
        asked.cohorts.push(firing.row.cohort.clone());
        asked.versions.push(firing.row.model_version.clone());
        asked.since.push(since);
        asked.until.push(until);
        places.push(place);
    }
    (asked, places)
}

/// Answers whether an alert would still fire by the newest verdicts on its windows.
pub fn look_back(rule: Option<&RuleFacts>, verdicts: &[&NewestVerdictRow]) -> Hindsight {
    let windows: Vec<Judged> =
        verdicts.iter().map(|row| Judged { verdict: Verdict::parse(&row.verdict), is_final: row.is_final }).collect();
    let persistence = rule.map_or(Some(1), |rule| match (rule.persistence, rule.lasting.is_empty()) {
        (0 | 1, false) => None,
        (count, _) => usize::try_from(count).ok(),
    });
    hindsight::look_back(&windows, persistence)
}

/// The answer, in a word and a sentence.
pub fn answer(hindsight: Hindsight) -> (&'static str, String) {
    let Hindsight { windows, in_breach, ok, needed, .. } = hindsight;
    let open = if hindsight.is_final { "" } else { " Labels can still arrive." };
    let counted = |count: usize, are: &str| format!("{count} of {windows} windows that made it fire {are}");
    match hindsight.outcome {
        _ if windows == 0 => ("undecided", "No verdict on the windows that made it fire is kept.".to_owned()),
        Outcome::Confirmed if !hindsight.is_final => {
            ("in breach so far", format!("{} in breach.{open}", counted(in_breach, "are")))
        }
        Outcome::Confirmed => ("confirmed", format!("{} in breach.{open}", counted(in_breach, "are"))),
        Outcome::TakenBack => (
            if hindsight.is_final { "taken back" } else { "ok so far" },
            format!("{} ok by later labels; the rule needs {needed} in breach.{open}", counted(ok, "are")),
        ),
        Outcome::Undecided => {
            let unclear = windows - in_breach - ok;
            ("undecided", format!("{} too little to say.{open}", counted(unclear, "have")))
        }
    }
}

/// A window that made the alert fire.
#[derive(Debug, Clone)]
pub struct WindowLine {
    pub end: When,
    pub verdict: &'static str,
    pub value: String,
    pub labeled: String,
    pub coverage: String,
    pub status: &'static str,
    pub is_retroactive: bool,
}

/// Returns the windows that made an alert fire, as judged now.
pub fn windows(firing: &Firing, verdicts: &[&NewestVerdictRow], zone: Tz) -> Vec<WindowLine> {
    let unit = firing.alert.as_ref().map_or("", |alert| alert.unit.as_str());
    let line = |row: &&NewestVerdictRow| WindowLine {
        end: words::when(row.window_end, zone),
        verdict: Verdict::parse(&row.verdict).map_or("unknown", Verdict::label),
        value: row.value.map_or("–".to_owned(), |value| amount(Some(value), unit)),
        labeled: row.labeled.map_or("–".to_owned(), words::count),
        coverage: row.coverage.map_or("–".to_owned(), words::share),
        status: if row.is_final { "final" } else { "provisional" },
        is_retroactive: row.retroactive,
    };
    verdicts.iter().map(line).collect()
}

/// A frozen sample as a line.
#[derive(Debug, Clone)]
pub struct SampleLine {
    pub key: String,
    pub version: String,
    pub at: Option<When>,
    pub predicted: String,
    pub actual: String,
    pub error: String,
}

/// Returns the largest errors, as frozen.
pub fn samples(firing: &Firing, zone: Tz) -> Vec<SampleLine> {
    let value = |value: Option<f64>| value.map_or("–".to_owned(), number);
    let line = |sample: &Sample| SampleLine {
        key: sample.prediction_key.clone(),
        version: sample.model_version.clone().unwrap_or_default(),
        at: sample.event_at.map(|at| words::when(at, zone)),
        predicted: value(sample.predicted),
        actual: value(sample.actual),
        error: value(sample.error),
    };
    firing.samples.iter().map(line).collect()
}

/// Builds a drawing from the frozen series, for metrics that have no history of their own, such as coverage.
pub fn frozen_chart(firing: &Firing) -> chart::Series {
    let limit = firing.alert.as_ref().and_then(|alert| alert.limit);
    let points: Vec<chart::Point> = firing
        .series
        .iter()
        .map(|point| chart::Point {
            start: point.window_end,
            end: point.window_end,
            value: point.value,
            interval: point.ci_low.zip(point.ci_high),
            labeled: point.labeled,
            limit,
            title: words::value(point.value, None),
            ..chart::Point::default()
        })
        .collect();
    let range = |points: &[chart::Point]| Some(points.first()?.end..points.last()?.end);
    let range = range(&points).unwrap_or_default();
    let span = firing.span().map(|(from, until)| chart::Span { from: from.max(range.start), until });
    let firings = span.filter(|span| span.from < span.until).into_iter().collect();
    chart::Series { points, range, firings, ..chart::Series::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(evidence: serde_json::Value) -> EvidenceRow {
        EvidenceRow {
            alert_id: 1,
            rule: "rmse-high".to_owned(),
            cohort: "region=<b>".to_owned(),
            model_version: None,
            state: "firing".to_owned(),
            acked_by: None,
            acked_at: None,
            changed_at: DateTime::UNIX_EPOCH,
            suppressed_by: None,
            frozen_at: DateTime::UNIX_EPOCH,
            evidence,
        }
    }

    #[test]
    fn evidence_that_cannot_be_read_is_left_out() {
        let firing =
            Firing::read(row(json!({ "rule": 7, "alert": [], "series": "x", "as_of": "2026-01-01T00:00:00Z" })));
        assert!(firing.rule.is_none() && firing.alert.is_none() && firing.series.is_empty() && firing.as_of.is_some());
        assert_eq!((firing.value(), firing.limit(), firing.target()), ("–".into(), "–".into(), "region=<b>".into()));
        assert!(judged(&[firing]).1.is_empty());
    }

    #[test]
    fn the_answer_counts_windows() {
        let back =
            |outcome, in_breach, ok, is_final| Hindsight { outcome, windows: 3, in_breach, ok, needed: 3, is_final };
        let (word, says) = answer(back(Outcome::Confirmed, 3, 0, true));
        assert_eq!((word, says.as_str()), ("confirmed", "3 of 3 windows that made it fire are in breach."));
        let (word, says) = answer(back(Outcome::TakenBack, 1, 2, false));
        assert_eq!(word, "ok so far");
        assert_eq!(answer(back(Outcome::TakenBack, 1, 2, true)).0, "taken back");
        assert_eq!(answer(back(Outcome::Confirmed, 3, 0, false)).0, "in breach so far", "labels can still arrive");
        assert!(
            says.starts_with("2 of 3 windows that made it fire are ok by later labels; the rule needs 3"),
            "{says}"
        );
        assert!(says.ends_with("Labels can still arrive."));
        assert_eq!(
            answer(back(Outcome::Undecided, 1, 1, true)).1,
            "1 of 3 windows that made it fire have too little to say."
        );
    }
}
