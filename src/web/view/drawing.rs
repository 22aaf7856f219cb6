//! The drawing of a series: its windows as points, firings, quiet times and annotations.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::series::{self, Entry, Rows};
use super::words;
use crate::chart::{Mark, Missing, Point, Series, Span};
use crate::domain::about::{About, AboutMetric};
use crate::store::read::series::{AnnotationRow, Selector, TransitionRow};
use crate::text::links::{Links, instant, with_query};

/// Builds the drawing of a series.
pub fn chart(of: &Selector, about: &About, rows: &Rows, zone: Tz) -> Series {
    let entries = series::entries(of, about, rows);
    let usual = rows.usual_correction();
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
    let as_of = of.as_of.map(instant);
    let query = [
        ("cohort", cohort),
        ("version", of.version.as_deref()),
        ("metric", Some(of.metric.as_str())),
        ("as_of", as_of.as_deref()),
    ];
    with_query(&links.window(&of.job, &of.window, end), &query)
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
