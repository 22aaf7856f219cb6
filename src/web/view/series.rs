//! A metric through time, as charts, tables and the API show it: one series from revisions, verdicts, alerts and annotations.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::words;
use crate::chart::{Mark, Missing, Point, Series, Span, Verdict};
use crate::domain::about::{About, AboutMetric};
use crate::store::read::series::{
    AnnotationRow, FinishedRow, QuietRow, RevisionRow, Selector, TransitionRow, VerdictRow,
};
use crate::text::links::{Links, with_query};

/// Everything that was read about one series.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub revisions: Vec<RevisionRow>,
    pub verdicts: Vec<VerdictRow>,
    pub transitions: Vec<TransitionRow>,
    pub annotations: Vec<AnnotationRow>,
    pub silences: Vec<QuietRow>,
    pub finished: Vec<FinishedRow>,
}

/// Fewest windows for a usual correction.
const FEWEST_FINISHED: usize = 20;

/// How the first reports of a kind of window usually end: quantiles of final by first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualCorrection {
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub windows: usize,
}

/// Returns the 10, 50 and 90 % quantiles of final by first; `None` below 20 windows.
pub fn usual_correction(finished: &[FinishedRow]) -> Option<UsualCorrection> {
    let mut ratios: Vec<f64> =
        finished.iter().map(|row| row.final_value / row.first_value).filter(|ratio| ratio.is_finite()).collect();
    if ratios.len() < FEWEST_FINISHED {
        return None;
    }
    ratios.sort_by(f64::total_cmp);
    Some(UsualCorrection {
        low: quantile(&ratios, 0.1),
        median: quantile(&ratios, 0.5),
        high: quantile(&ratios, 0.9),
        windows: ratios.len(),
    })
}

/// Quantile of sorted values, between the two neighbors as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few dozen values")]
    let place = share * (sorted.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the length")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// One window of a series, complete: what a chart, a table and the API show.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub value: Option<f64>,
    pub ci_low: Option<f64>,
    pub ci_high: Option<f64>,
    pub labeled: i64,
    pub predictions: i64,
    pub is_final: bool,
    pub revision: i32,
    pub first_reported: Option<f64>,
    pub limit: Option<f64>,
    pub baseline: Option<f64>,
    pub verdict: Option<Verdict>,
    pub later_verdict: Option<Verdict>,
    pub missing: Option<Missing>,
    /// The source no longer has the data; the number stays.
    pub is_kept: bool,
}

/// Builds the windows of a series. Expected windows that were not measured are entries without a value.
pub fn entries(of: &Selector, about: &About, rows: &Rows) -> Vec<Entry> {
    let mut by_end: BTreeMap<DateTime<Utc>, Entry> = BTreeMap::new();
    let mut first: BTreeMap<DateTime<Utc>, Option<f64>> = BTreeMap::new();
    for row in &rows.revisions {
        if row.revision == 1 {
            first.insert(row.window_end, row.value);
        }
        if row.counts && !row.removed {
            by_end.insert(row.window_end, entry(row));
        }
    }
    for (end, value) in first {
        if let Some(entry) = by_end.get_mut(&end) {
            entry.first_reported = value;
        }
    }
    judge(&mut by_end, &rows.verdicts);
    let measured: Vec<Entry> = by_end.into_values().collect();
    with_gaps(measured, step(of, about))
}

fn entry(row: &RevisionRow) -> Entry {
    let missing = match row.value {
        Some(_) => None,
        None if row.predictions == 0 => Some(Missing::NoPredictions),
        None => Some(Missing::NoLabels),
    };
    Entry {
        start: row.window_start,
        end: row.window_end,
        value: row.value,
        ci_low: row.ci_low,
        ci_high: row.ci_high,
        labeled: row.labeled,
        predictions: row.predictions,
        is_final: row.status == "final",
        revision: row.revision,
        first_reported: None,
        limit: None,
        baseline: None,
        verdict: None,
        later_verdict: None,
        missing,
        is_kept: row.is_kept,
    }
}

/// Adds the verdicts: of several rules the worst, of one rule the newest. A retroactive verdict stands in a row of its own.
fn judge(entries: &mut BTreeMap<DateTime<Utc>, Entry>, verdicts: &[VerdictRow]) {
    let mut newest: BTreeMap<(DateTime<Utc>, bool, &str), &VerdictRow> = BTreeMap::new();
    for row in verdicts {
        newest.insert((row.window_end, row.retroactive, row.rule.as_str()), row);
    }
    for ((end, retroactive, _), row) in newest {
        let (Some(entry), Some(verdict)) = (entries.get_mut(&end), Verdict::from_name(&row.verdict)) else { continue };
        let slot = if retroactive { &mut entry.later_verdict } else { &mut entry.verdict };
        if slot.is_none_or(|known| rank(verdict) < rank(known)) {
            *slot = Some(verdict);
        }
        entry.limit = entry.limit.or(row.limit_value);
        entry.baseline = entry.baseline.or(row.baseline);
    }
}

fn rank(verdict: Verdict) -> usize {
    let order = [Verdict::Breach, Verdict::Error, Verdict::NoData, Verdict::Insufficient, Verdict::Ok];
    order.iter().position(|known| *known == verdict).unwrap_or(order.len())
}

/// Usual distance of two windows: the interval of runs for rolling windows, the length for others.
fn step(of: &Selector, about: &About) -> TimeDelta {
    let window = about.windows.iter().find(|window| window.name == of.window);
    let seconds = match window {
        Some(window) if window.is_rolling => about.interval_seconds,
        Some(window) => window.seconds,
        None => 0,
    };
    TimeDelta::seconds(seconds)
}

/// Most windows that are inserted into one gap.
const MOST_MISSING: usize = 500;

/// Inserts expected windows that were not measured. Days of a calendar differ by an hour and months by days, so a gap is one
/// and a half of the usual distance.
fn with_gaps(measured: Vec<Entry>, step: TimeDelta) -> Vec<Entry> {
    if step <= TimeDelta::zero() {
        return measured;
    }
    let mut all: Vec<Entry> = Vec::with_capacity(measured.len());
    for entry in measured {
        if let Some(last) = all.last() {
            let (mut end, length) = (last.end + step, last.end - last.start);
            let mut inserted = 0;
            while entry.end - end > step / 2 && inserted < MOST_MISSING {
                all.push(gap(end - length, end));
                (end, inserted) = (end + step, inserted + 1);
            }
        }
        all.push(entry);
    }
    all
}

fn gap(start: DateTime<Utc>, end: DateTime<Utc>) -> Entry {
    Entry {
        start,
        end,
        value: None,
        ci_low: None,
        ci_high: None,
        labeled: 0,
        predictions: 0,
        is_final: false,
        revision: 0,
        first_reported: None,
        limit: None,
        baseline: None,
        verdict: None,
        later_verdict: None,
        missing: Some(Missing::NotMeasured),
        is_kept: false,
    }
}

/// Builds the drawing of a series.
pub fn chart(of: &Selector, about: &About, rows: &Rows, zone: Tz) -> Series {
    let entries = entries(of, about, rows);
    let usual = usual_correction(&rows.finished);
    let metric = about.metric(&of.metric);
    let links = Links::default();
    let points: Vec<Point> = entries
        .iter()
        .map(|entry| Point {
            start: entry.start,
            end: entry.end,
            value: entry.value,
            interval: entry.ci_low.zip(entry.ci_high),
            first_reported: entry.first_reported.filter(|first| entry.value.is_some_and(|value| value != *first)),
            is_provisional: !entry.is_final && entry.value.is_some(),
            usual: usual
                .filter(|_| !entry.is_final)
                .zip(entry.first_reported)
                .map(|(usual, first)| (first * usual.low, first * usual.high)),
            labeled: entry.labeled,
            predictions: entry.predictions,
            limit: entry.limit,
            baseline: entry.baseline,
            verdict: entry.verdict,
            later_verdict: entry.later_verdict,
            missing: entry.missing,
            link: (entry.revision > 0).then(|| window_link(&links, of, entry.end)),
            title: title(entry, metric, zone),
        })
        .collect();
    let end = points.last().map_or(of.to, |point| point.end);
    let from = points.first().map_or(of.from, |point| point.end);
    Series {
        range: from..end,
        firings: firings(&rows.transitions, from, end),
        quiet: rows
            .silences
            .iter()
            .filter(|silence| silence.cohort.as_deref().is_none_or(|pattern| pattern == of.cohort))
            .map(|silence| Span { from: silence.starts_at.max(from), until: silence.ends_at.min(end) })
            .filter(|span| span.from < span.until)
            .collect(),
        marks: marks(&rows.annotations),
        points,
    }
}

/// Address of a window's page with the selection of this one.
pub fn window_link(links: &Links, of: &Selector, end: DateTime<Utc>) -> String {
    let cohort = (of.cohort != "all").then_some(of.cohort.as_str());
    let address = links.window(&of.job, &of.window, end);
    with_query(&address, &[("cohort", cohort), ("version", of.version.as_deref()), ("metric", Some(&of.metric))])
}

/// Text of a tooltip, which is also what screen readers say of a point.
fn title(entry: &Entry, metric: Option<&AboutMetric>, zone: Tz) -> String {
    let at = words::when(entry.end, zone).text;
    let Some(value) = entry.value else {
        return format!("{at}: {}", entry.missing.map_or("no value", Missing::label));
    };
    let mut text = format!("{at}: {}", words::value(Some(value), metric));
    if let Some((low, high)) = entry.ci_low.zip(entry.ci_high) {
        text.push_str(&format!(" ({} to {})", words::value(Some(low), metric), words::value(Some(high), metric)));
    }
    text.push_str(&format!(", {} labeled of {}", words::count(entry.labeled), words::count(entry.predictions)));
    text.push_str(if entry.is_final { ", final" } else { ", provisional" });
    if entry.revision > 1 {
        text.push_str(&format!(
            ", revision {}, first reported {}",
            entry.revision,
            words::value(entry.first_reported, metric)
        ));
    }
    if let Some(verdict) = entry.verdict {
        text.push_str(&format!(", {}", verdict.label()));
    }
    text
}

/// Times in which an alert fires, by the end of windows: from the first window of the breach to the one that ended it.
pub fn firings(transitions: &[TransitionRow], from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut open: BTreeMap<i64, DateTime<Utc>> = BTreeMap::new();
    for row in transitions {
        if row.to_state == "firing" {
            open.insert(row.alert_id, row.since.unwrap_or(row.changed_at));
        } else if row.from_state == "firing"
            && let Some(since) = open.remove(&row.alert_id)
        {
            spans.push(Span { from: since, until: row.window_end.unwrap_or(row.changed_at) });
        }
    }
    spans.extend(open.into_values().map(|since| Span { from: since, until }));
    let cut = |span: Span| Span { from: span.from.max(from), until: span.until.min(until) };
    spans.into_iter().map(cut).filter(|span| span.from < span.until).collect()
}

/// Annotations as letters, in order of time.
pub fn marks(annotations: &[AnnotationRow]) -> Vec<Mark> {
    annotations
        .iter()
        .zip(('a'..='z').cycle())
        .map(|(row, letter)| {
            let note = if row.note.is_empty() { String::new() } else { format!(": {}", row.note) };
            Mark { at: row.starts_at, letter, words: format!("{}{note} ({})", row.kind, row.author) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).unwrap()
    }

    fn row(hour: i64, revision: i32, value: Option<f64>, counts: bool) -> RevisionRow {
        RevisionRow {
            window_start: at(hour - 1),
            window_end: at(hour),
            value,
            ci_low: None,
            ci_high: None,
            labeled: 10,
            predictions: 20,
            status: "provisional".to_owned(),
            revision,
            counts,
            removed: false,
            is_kept: false,
        }
    }

    fn selector() -> Selector {
        Selector {
            job: "load".to_owned(),
            window: "tumbling 1h".to_owned(),
            metric: "rmse".to_owned(),
            cohort: "all".to_owned(),
            version: None,
            from: at(0),
            to: at(100),
            as_of: None,
        }
    }

    fn about() -> About {
        let window =
            crate::domain::about::AboutWindow { name: "tumbling 1h".into(), seconds: 3_600, is_rolling: false };
        About { windows: vec![window], ..About::default() }
    }

    #[test]
    fn a_window_that_was_not_measured_is_a_gap() {
        let revisions = vec![row(1, 1, Some(5.0), true), row(4, 1, Some(6.0), false), row(4, 2, Some(7.0), true)];
        let entries = entries(&selector(), &about(), &Rows { revisions, ..Rows::default() });
        let shown: Vec<_> = entries.iter().map(|entry| (entry.end, entry.value, entry.first_reported)).collect();
        let expected =
            [(at(1), Some(5.0), Some(5.0)), (at(2), None, None), (at(3), None, None), (at(4), Some(7.0), Some(6.0))];
        assert_eq!(shown, expected);
        assert_eq!(entries[1].missing, Some(Missing::NotMeasured));
    }

    #[test]
    fn the_worst_verdict_of_several_rules_is_shown() {
        let verdict = |rule: &str, verdict: &str, retroactive| VerdictRow {
            rule: rule.to_owned(),
            severity: "page".to_owned(),
            window_end: at(1),
            verdict: verdict.to_owned(),
            value: None,
            limit_value: Some(3.0),
            baseline: None,
            labeled: None,
            reason: String::new(),
            retroactive,
            evaluated_at: at(2),
        };
        let rows = Rows {
            revisions: vec![row(1, 1, Some(5.0), true)],
            verdicts: vec![
                verdict("a", "breach", false),
                verdict("a", "ok", false),
                verdict("b", "insufficient", false),
                verdict("a", "breach", true),
            ],
            ..Rows::default()
        };
        let entries = entries(&selector(), &about(), &rows);
        assert_eq!(
            (entries[0].verdict, entries[0].later_verdict),
            (Some(Verdict::Insufficient), Some(Verdict::Breach))
        );
        assert_eq!(entries[0].limit, Some(3.0));
    }

    #[test]
    fn usual_corrections_need_twenty_windows() {
        let finished = |count: i32| -> Vec<FinishedRow> {
            (0..count).map(|n| FinishedRow { first_value: 100.0, final_value: 100.0 + f64::from(n) }).collect()
        };
        assert_eq!(usual_correction(&finished(19)), None);
        let usual = usual_correction(&finished(21)).unwrap();
        assert_eq!((usual.low, usual.median, usual.high), (1.02, 1.1, 1.18));
    }

    #[test]
    fn a_firing_is_drawn_in_event_time() {
        let change = |to: &str, from: &str, since: Option<i64>, end: i64| TransitionRow {
            alert_id: 1,
            rule: "r".to_owned(),
            from_state: from.to_owned(),
            to_state: to.to_owned(),
            since: since.map(at),
            reason: String::new(),
            changed_at: at(90),
            window_end: Some(at(end)),
        };
        let changes = [
            change("firing", "pending", Some(3), 5),
            change("resolved", "firing", None, 9),
            change("firing", "inactive", Some(20), 20),
        ];
        let spans = firings(&changes, at(4), at(24));
        assert_eq!(spans, [Span { from: at(4), until: at(9) }, Span { from: at(20), until: at(24) }]);
    }
}
