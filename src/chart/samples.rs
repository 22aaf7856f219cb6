//! Series for tests: everything that a chart can show.

use chrono::{DateTime, TimeDelta, Utc};

use crate::chart::series::{Mark, Missing, Point, Series, Span};
use crate::domain::verdict::Verdict;

pub fn start() -> DateTime<Utc> {
    "2026-11-18T12:00:00Z".parse().unwrap()
}

/// One window an hour.
pub fn hour(n: i64) -> DateTime<Utc> {
    start() + TimeDelta::hours(n)
}

/// Numbers without order, 0 to 1, always the same.
pub fn noise(n: i64) -> f64 {
    let n = n as f64 * 12.9898;
    (n.sin() * 43_758.547).rem_euclid(1.0)
}

/// A day-ahead forecast that gets worse: `count` hours, of which the last sixth is provisional, with a gap in the
/// middle.
pub fn series(count: i64) -> Series {
    let points = (0..count).map(|n| point(n, count)).collect();
    Series {
        points,
        range: hour(0)..hour(count - 1),
        firings: vec![Span { from: hour(count * 7 / 8), until: hour(count - 1) }],
        quiet: vec![Span { from: hour(count / 10), until: hour(count / 6) }],
        marks: vec![
            Mark { at: hour(count * 4 / 5), letter: 'D', words: "deploy of v7".into() },
            Mark { at: hour(count / 4), letter: 'S', words: "schema".into() },
            Mark { at: hour(count / 4) + TimeDelta::minutes(20), letter: 'R', words: "retrained".into() },
        ],
    }
}

fn point(n: i64, count: i64) -> Point {
    let (is_missing, is_provisional) = ((count / 2..count * 3 / 5).contains(&n), n >= count * 5 / 6);
    let worse = if n >= count * 5 / 6 { (n - count * 5 / 6) as f64 / count as f64 * 2_000.0 } else { 0.0 };
    let value = 210.0 + 60.0 * (n as f64 * 0.26).sin() + 40.0 * noise(n) + worse;
    let half = 20.0 + if is_provisional { 50.0 } else { 15.0 * noise(n + 7) };
    let labeled = if is_missing {
        0
    } else if is_provisional {
        96 - (n - count * 5 / 6) * 60 / (count / 6).max(1)
    } else {
        96
    };
    let verdict = if is_missing {
        Verdict::NoData
    } else if value > 450.0 {
        Verdict::Breach
    } else {
        Verdict::Ok
    };
    let verdict = if (count * 3 / 5..count * 3 / 5 + 3).contains(&n) { Verdict::Insufficient } else { verdict };
    Point {
        start: hour(n - 24),
        end: hour(n),
        value: Some(value).filter(|_| !is_missing),
        interval: Some((value - half, value + half)),
        first_reported: Some(value * (0.94 + 0.08 * noise(n + 3))).filter(|_| n % 3 == 0),
        is_provisional,
        usual: Some((value * 0.98, value * 1.19)).filter(|_| is_provisional),
        labeled,
        predictions: 96,
        limit: Some(450.0),
        baseline: Some(220.0 + ((n / 24) % 4) as f64 * 10.0),
        verdict: Some(if n == count / 3 { Verdict::Error } else { verdict }),
        later_verdict: Some(Verdict::Breach).filter(|_| (count * 4 / 5..count * 5 / 6).contains(&n)),
        missing: Some(Missing::NoLabels).filter(|_| is_missing),
        link: Some(format!("/jobs/ro-load/windows/rolling-24h/{}", hour(n).format("%Y-%m-%dT%H:%M:%SZ"))),
        title: format!(
            "{}, {value:.1} MW ({:.0} to {:.0}), {labeled} of 96",
            hour(n).format("%-d %b %H:%M"),
            value - half,
            value + half
        ),
    }
}
