//! A metric through time, as charts, tables and the API show it: one series from revisions, verdicts, alerts and annotations.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::chart::Missing;
use crate::domain::about::About;
use crate::domain::verdict::Verdict;
use crate::evaluate::correction::{self, UsualCorrection};
use crate::store::read::series::{
    AnnotationRow, FinishedRow, QuietRow, RevisionRow, Selector, TransitionRow, VerdictRow,
};

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

impl Rows {
    /// How first reports of this kind of window usually end.
    pub fn usual_correction(&self) -> Option<UsualCorrection> {
        correction::usual(self.finished.iter().map(|row| (row.first_value, row.final_value)))
    }
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

/// Adds the verdicts: of several rules the worst, of one rule the newest. A retroactive verdict has a row of its own.
fn judge(entries: &mut BTreeMap<DateTime<Utc>, Entry>, verdicts: &[VerdictRow]) {
    let mut newest: BTreeMap<(DateTime<Utc>, bool, &str), &VerdictRow> = BTreeMap::new();
    for row in verdicts {
        newest.insert((row.window_end, row.retroactive, row.rule.as_str()), row);
    }
    for ((end, retroactive, _), row) in newest {
        let (Some(entry), Some(verdict)) = (entries.get_mut(&end), Verdict::parse(&row.verdict)) else { continue };
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
}
