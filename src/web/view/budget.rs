//! The page of an error budget.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;

use super::words::{self, When};
use crate::chart::bars::{Bar, Bars};
use crate::chart::steps::{Across, Step, Steps, Up};
use crate::domain::about::AboutSlo;
use crate::domain::verdict::Verdict;
use crate::evaluate::spending::{self, ComingBack, Spent};
use crate::store::read::budget::{AdjustmentRow, CohortRow, DayRow, EvaluationRow, LeftRow};
use crate::text::links::{Links, with_query};

/// Days in which a part of the budget comes back.
pub const SOON: TimeDelta = TimeDelta::days(7);

/// The objective in words.
pub fn promise(slo: &AboutSlo) -> String {
    format!(
        "{} of {} over {}",
        words::share(slo.objective),
        slo.good,
        words::lasted(TimeDelta::seconds(slo.period_seconds))
    )
}

/// The budget now.
#[derive(Debug, Clone)]
pub struct Now {
    pub left: String,
    pub is_low: bool,
    pub from: When,
    pub until: When,
    /// When it is spent at the recent pace, or that it is.
    pub pace: String,
    /// `138 bad of 2 880; allowed 5 % = 144; left 1 − 138/144 = 4.2 %`.
    pub arithmetic: String,
}

/// Returns what is left by the newest evaluation.
pub fn now(row: &EvaluationRow, now: DateTime<Utc>, zone: Tz) -> Now {
    let allowed = spending::allowed(row.objective, row.total);
    let left = row.budget_left.map_or("–".to_owned(), words::share);
    let pace = match (row.budget_left, row.exhausted_at) {
        (None, _) => "nothing was counted in this period".to_owned(),
        (Some(left), _) if left <= 0.0 => "the budget is spent".to_owned(),
        (Some(_), Some(at)) if at <= now => {
            format!("at the recent pace it was spent by {}", words::when(at, zone).text)
        }
        (Some(_), Some(at)) => {
            format!("at the recent pace it is spent on {}, in {}", words::when(at, zone).text, words::lasted(at - now))
        }
        (Some(_), None) => "at the recent pace it lasts".to_owned(),
    };
    Now {
        is_low: row.budget_left.is_some_and(|left| left < 0.2),
        from: words::when(row.period_start, zone),
        until: words::when(row.period_end, zone),
        pace,
        arithmetic: format!(
            "{} bad of {}; allowed {} % = {}; left 1 − {}/{} = {left}",
            words::count(row.bad),
            words::count(row.total),
            words::plain((1.0 - row.objective) * 100.0),
            words::plain(allowed),
            words::count(row.bad),
            words::plain(allowed)
        ),
        left,
    }
}

/// A burn rate against its factor.
#[derive(Debug, Clone)]
pub struct BurnLine {
    /// Its alert and the page of that rule, where the job still has it.
    pub alert: Option<(String, String)>,
    pub windows: String,
    pub long: String,
    pub short: String,
    pub factor: String,
    pub severity: String,
    pub verdict: &'static str,
    pub kind: &'static str,
    pub letter: &'static str,
    pub reason: String,
}

/// A burn rate as an evaluation stores it.
#[derive(Deserialize)]
struct StoredBurn {
    long: String,
    short: String,
    factor: f64,
    severity: String,
    long_burn: Option<f64>,
    short_burn: Option<f64>,
    verdict: String,
    #[serde(default)]
    reason: String,
}

/// Returns the burn rates of an evaluation.
pub fn burns(job: &str, slo: &AboutSlo, row: &EvaluationRow) -> Vec<BurnLine> {
    let stored: Vec<StoredBurn> = serde_json::from_value(row.burn.clone()).unwrap_or_default();
    let rate = |rate: Option<f64>| rate.map_or("–".to_owned(), |rate| format!("{rate:.1}×"));
    let line = |burn: StoredBurn| {
        let seconds = |text: &str| crate::domain::duration::parse(text).map(|time| time.num_seconds()).ok();
        let (long, short) = (seconds(&burn.long), seconds(&burn.short));
        let known = slo.burns.iter().find(|one| Some(one.long_seconds) == long && Some(one.short_seconds) == short);
        let (verdict, kind, letter) = match Verdict::parse(&burn.verdict) {
            Some(Verdict::Breach) => ("too fast", "bad", "B"),
            Some(Verdict::Ok) => ("within the factor", "calm", "✓"),
            Some(other) => (other.label(), "unsure", "?"),
            None => ("not known", "unsure", "?"),
        };
        BurnLine {
            alert: known.map(|one| (one.alert.clone(), Links::default().rule(job, &one.alert))),
            windows: format!("{} and {}", burn.long, burn.short),
            long: rate(burn.long_burn),
            short: rate(burn.short_burn),
            factor: format!("{}×", words::plain(burn.factor)),
            severity: burn.severity,
            verdict,
            kind,
            letter,
            reason: burn.reason,
        }
    };
    stored.into_iter().map(line).collect()
}

/// Builds the drawing of what was left. Adjustments are points with the letter A, where the corrected period ended.
pub fn drawing(rows: &[LeftRow], adjustments: &[AdjustmentRow], zone: Tz, label: String) -> Steps {
    #[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
    let seconds = |at: DateTime<Utc>| at.timestamp() as f64;
    let mut steps: Vec<Step> = rows
        .iter()
        .map(|row| Step {
            at: seconds(row.period_end),
            value: row.budget_left,
            title: format!(
                "{}: {} left, {} bad of {}",
                words::when(row.period_end, zone).text,
                row.budget_left.map_or("–".to_owned(), words::share),
                words::count(row.bad),
                words::count(row.total)
            ),
            ..Step::default()
        })
        .collect();
    for row in adjustments {
        let before = rows.iter().rev().find(|one| one.period_end <= row.period_end).or(rows.first());
        steps.push(Step {
            at: seconds(row.period_end),
            value: before.and_then(|one| one.budget_left),
            letter: Some('A'),
            title: adjustment_words(row, zone),
            ..Step::default()
        });
    }
    steps.sort_by(|a, b| a.at.total_cmp(&b.at));
    Steps { steps, limit: None, ticks: Vec::new(), across: Across::Time(zone), up: Up::Share, label }
}

/// `2026-11-18 14:00: late labels took 3 and added 40`.
pub fn adjustment_words(row: &AdjustmentRow, zone: Tz) -> String {
    let bad = match row.bad {
        0 => "changed no bad ones".to_owned(),
        n if n > 0 => format!("took {} of the budget", words::count(n)),
        n => format!("gave back {}", words::count(-n)),
    };
    let total = match row.total {
        0 => String::new(),
        n if n > 0 => format!(", {} more counted", words::count(n)),
        n => format!(", {} fewer counted", words::count(-n)),
    };
    format!("{}: later labels {bad}{total}", words::when(row.period_end, zone).text)
}

/// A day.
#[derive(Debug, Clone)]
pub struct DayLine {
    pub end: When,
    pub link: String,
    pub bad: String,
    pub total: String,
    pub share: String,
    pub first: String,
    pub is_final: bool,
}

/// Returns what was spent on each day whose share is known.
pub fn spent(rows: &[DayRow]) -> Vec<Spent> {
    let spent = |row: &DayRow| {
        let (share, total) = row.share.zip(row.labeled)?;
        Some(Spent { start: row.window_start, end: row.window_end, bad: spending::bad_of(share, total), total })
    };
    rows.iter().filter_map(spent).collect()
}

/// Returns the days as a table, newest first.
pub fn days(rows: &[DayRow], (job, window, metric): (&str, &str, &str), zone: Tz) -> Vec<DayLine> {
    let counted = |share: Option<f64>, labeled: Option<i64>| {
        share.zip(labeled).map(|(share, labeled)| (spending::bad_of(share, labeled), labeled, 1.0 - share))
    };
    let line = |row: &DayRow| {
        let (now, first) = (counted(row.share, row.labeled), counted(row.first_share, row.first_labeled));
        let link = Links::default().window(job, window, row.window_end);
        DayLine {
            end: words::when(row.window_end, zone),
            link: with_query(&link, &[("metric", Some(metric))]),
            bad: now.map_or("–".to_owned(), |(bad, _, _)| words::count(bad)),
            total: now.map_or("–".to_owned(), |(_, total, _)| words::count(total)),
            share: now.map_or("–".to_owned(), |(_, _, share)| words::share(share)),
            first: first.map_or("–".to_owned(), |(bad, total, _)| {
                format!("{} of {}", words::count(bad), words::count(total))
            }),
            is_final: row.is_final,
        }
    };
    rows.iter().rev().map(line).collect()
}

/// Builds the bars of the days: bad predictions now, and as first reported.
pub fn bars(rows: &[DayRow], zone: Tz, label: String) -> Bars {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let bad = |share: Option<f64>, labeled: Option<i64>| {
        share.zip(labeled).map(|(share, labeled)| spending::bad_of(share, labeled) as f64)
    };
    let every = rows.len().div_ceil(8).max(1);
    let bar = |(n, row): (usize, &DayRow)| {
        let day = row.window_start.with_timezone(&zone).format("%d %b").to_string();
        let value = bad(row.share, row.labeled);
        Bar {
            title: format!(
                "{day}: {} bad of {}",
                value.map_or("–".to_owned(), words::plain),
                row.labeled.map_or("–".to_owned(), words::count)
            ),
            label: if n.is_multiple_of(every) { day } else { String::new() },
            value,
            first_reported: bad(row.first_share, row.first_labeled),
            link: None,
        }
    };
    Bars { bars: rows.iter().enumerate().map(bar).collect(), label, ..Bars::default() }
}

/// Words for the part of the budget that comes back soon.
pub fn coming_back_words(back: ComingBack, allowed: f64, zone: Tz) -> String {
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).format("%d %b").to_string();
    format!(
        "Coming back in 7 days: {} of the {} allowed, {} ({} to {} leave the period).",
        words::count(back.bad),
        words::plain(allowed),
        words::share(back.share),
        day(back.from),
        day(back.until - TimeDelta::seconds(1))
    )
}

/// A cohort.
#[derive(Debug, Clone)]
pub struct CohortLine {
    pub cohort: String,
    pub link: String,
    pub bad: String,
    pub total: String,
    pub own: String,
}

/// Returns who spent the budget.
pub fn cohorts(rows: &[CohortRow], job: &str) -> Vec<CohortLine> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share =
        |part: i64, whole: i64| if whole > 0 { words::share(part as f64 / whole as f64) } else { String::new() };
    let line = |row: &CohortRow| CohortLine {
        link: with_query(&Links::default().job(job), &[("cohort", Some(&row.cohort))]),
        cohort: row.cohort.clone(),
        bad: words::count(row.bad),
        total: words::count(row.total),
        own: share(row.bad, row.total),
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn evaluation(bad: i64, left: Option<f64>) -> EvaluationRow {
        EvaluationRow {
            kind: "evaluation".to_owned(),
            evaluated_at: at(0),
            period_start: at(0),
            period_end: at(30),
            objective: 0.95,
            bad,
            total: 2_880,
            budget_left: left,
            exhausted_at: Some(at(40)),
            burn: serde_json::json!([{"long": "6h", "short": "30m", "factor": 6.0, "severity": "page", "long_burn": 7.21,
                "short_burn": null, "verdict": "breach", "reason": "r"}]),
        }
    }

    #[test]
    fn the_arithmetic_is_printed() {
        let shown = now(&evaluation(138, Some(1.0 - 138.0 / 144.0)), at(34), Tz::UTC);
        assert_eq!(shown.arithmetic, "138 bad of 2\u{202f}880; allowed 5 % = 144; left 1 − 138/144 = 4.2 %");
        assert_eq!(shown.pace, "at the recent pace it is spent on 1970-02-10 00:00, in 6 d");
        assert!(shown.is_low);
        assert_eq!(now(&evaluation(150, Some(-0.04)), at(34), Tz::UTC).pace, "the budget is spent");
        assert_eq!(now(&evaluation(0, None), at(34), Tz::UTC).left, "–");
    }

    #[test]
    fn a_burn_rate_links_to_its_alert() {
        let burn = crate::domain::about::AboutBurn {
            alert: "near/6h".to_owned(),
            long_seconds: 21_600,
            short_seconds: 1_800,
            factor: 6.0,
            severity: "page".to_owned(),
        };
        let slo = AboutSlo { burns: vec![burn], ..AboutSlo::default() };
        let lines = burns("a", &slo, &evaluation(1, None));
        let line = &lines[0];
        assert_eq!((line.long.as_str(), line.short.as_str(), line.factor.as_str()), ("7.2×", "–", "6×"));
        assert_eq!(line.alert.as_ref().unwrap().1, "/jobs/a/rules/near%2F6h");
        assert_eq!(line.verdict, "too fast");
        let odd = EvaluationRow { burn: serde_json::json!({"a": 1}), ..evaluation(1, None) };
        assert!(burns("a", &slo, &odd).is_empty(), "a form of a later version");
    }

    #[test]
    fn adjustments_stand_on_the_line() {
        let left = LeftRow { period_end: at(1), bad: 1, total: 10, budget_left: Some(0.9) };
        let adjustment = AdjustmentRow { period_end: at(1), as_of: at(3), bad: -2, total: 40 };
        let steps = drawing(&[left], std::slice::from_ref(&adjustment), Tz::UTC, String::new()).steps;
        assert_eq!(
            steps.iter().map(|step| (step.value, step.letter)).collect::<Vec<_>>(),
            [(Some(0.9), None), (Some(0.9), Some('A'))]
        );
        assert_eq!(
            adjustment_words(&adjustment, Tz::UTC),
            "1970-01-02 00:00: later labels gave back 2, 40 more counted"
        );
    }
}
