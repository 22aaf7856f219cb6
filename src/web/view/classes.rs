//! Classes of one window: decisions against labels, calibration, and which predictions get labels.

use super::job::Fact;
use super::words;
use crate::chart::bars::{Bar, Bars};
use crate::chart::calibration::{Calibration, Reliability};
use crate::chart::heatmap::{Cell, Heatmap, Row};
use crate::evaluate::share::share;
use crate::store::read::classes::{BinRow, ConfusionRow, NumbersRow};
use crate::text::line::{clipped, single_line};

/// Classes of a matrix that are shown by name.
pub const MOST_CLASSES: i64 = 12;

/// A confusion matrix: rows are labels, columns are decisions.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    pub columns: Vec<String>,
    pub rows: Vec<MatrixRow>,
    /// Pairs by decision.
    pub totals: Vec<String>,
    pub total: String,
}

/// A label.
#[derive(Debug, Clone)]
pub struct MatrixRow {
    pub label: String,
    pub cells: Vec<MatrixCell>,
    pub total: String,
}

/// Pairs with a label and a decision.
#[derive(Debug, Clone)]
pub struct MatrixCell {
    pub pairs: String,
    /// Share of the pairs with the label; empty without any.
    pub share: String,
    /// The same as a number from 0 to 1.
    value: Option<f64>,
    /// Five steps of the share; 0 without pairs.
    pub shade: u8,
    /// The decision is the label.
    pub is_right: bool,
}

/// Returns the matrix. The positive class comes first; of several classes the most frequent one.
pub fn matrix(rows: &[ConfusionRow], is_binary: bool) -> Matrix {
    let sides = rows.iter().flat_map(|row| [(row.label_place, &row.label), (row.decision_place, &row.decision)]);
    let mut classes: Vec<(i64, &Option<String>)> = sides.collect();
    classes.sort_by_key(|(place, name)| (is_binary && name.as_deref() == Some("negative"), *place));
    classes.dedup();
    let pairs = |label: i64, decision: i64| {
        rows.iter().find(|row| (row.label_place, row.decision_place) == (label, decision)).map_or(0, |row| row.pairs)
    };
    let by_label = |label: i64| rows.iter().filter(|row| row.label_place == label).map(|row| row.pairs).sum::<i64>();
    let name = |name: &Option<String>| match name {
        Some(name) => single_line(name),
        None => rest(rows),
    };
    let cell = |(label, decision): (i64, &(i64, &Option<String>))| {
        let (count, whole) = (pairs(label, decision.0), by_label(label));
        let share = share(count, whole).map(|share| share.value);
        MatrixCell {
            pairs: words::count(count),
            share: share.map_or(String::new(), words::share),
            value: share,
            shade: share.map_or(0, step),
            is_right: label == decision.0 && decision.1.is_some(),
        }
    };
    let total = |decision: i64| rows.iter().filter(|row| row.decision_place == decision).map(|row| row.pairs).sum();
    Matrix {
        columns: classes.iter().map(|class| name(class.1)).collect(),
        rows: classes
            .iter()
            .map(|(label, class)| MatrixRow {
                label: name(class),
                cells: classes.iter().map(|decision| cell((*label, decision))).collect(),
                total: words::count(by_label(*label)),
            })
            .collect(),
        totals: classes.iter().map(|class| words::count(total(class.0))).collect(),
        total: words::count(rows.iter().map(|row| row.pairs).sum()),
    }
}

/// Name of the classes beyond the most frequent ones.
fn rest(rows: &[ConfusionRow]) -> String {
    let more = rows.first().map_or(0, |row| row.classes) - MOST_CLASSES;
    format!("the rest ({})", if more == 1 { "1 class".to_owned() } else { format!("{} classes", words::count(more)) })
}

/// Five steps, from little to all; 0 for nothing.
fn step(share: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 5")]
    let step = (share * 5.0).ceil().clamp(0.0, 5.0) as u8;
    step
}

/// Draws the matrix, shaded by the share of each label.
pub fn drawing(matrix: &Matrix) -> Heatmap {
    let short = |name: &String| clipped(name, 24);
    let cell = |cell: &MatrixCell| Cell { value: cell.value.map(|share| share * 100.0), ..Cell::default() };
    let row =
        |row: &MatrixRow| Row { name: short(&row.label), link: None, cells: row.cells.iter().map(cell).collect() };
    Heatmap {
        rows: matrix.rows.iter().map(row).collect(),
        columns: matrix.columns.iter().map(short).collect(),
        unit: "%".to_owned(),
        label: "Share of each label (rows) by decision (columns)".to_owned(),
        ..Heatmap::default()
    }
}

/// A tenth of the range of scores.
#[derive(Debug, Clone)]
pub struct BinLine {
    pub range: String,
    pub pairs: String,
    pub mean_score: String,
    pub observed: String,
    pub interval: String,
}

/// Pairs with a positive label.
fn positives(row: &BinRow) -> i64 {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
    let positives = (row.observed_rate.unwrap_or(0.0) * row.pairs as f64).round() as i64;
    positives
}

/// Returns the calibration curve as a table.
pub fn bin_lines(rows: &[BinRow]) -> Vec<BinLine> {
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), words::share);
    rows.iter()
        .map(|row| BinLine {
            range: range(row),
            pairs: words::count(row.pairs),
            mean_score: percent(row.mean_score),
            observed: percent(row.observed_rate),
            interval: share(positives(row), row.pairs).map_or(String::new(), |of| between(of.low, of.high)),
        })
        .collect()
}

fn range(row: &BinRow) -> String {
    format!("{:.0} to {:.0} %", row.score_from * 100.0, row.score_to * 100.0)
}

/// Bounds of a share in percent.
pub fn between(low: f64, high: f64) -> String {
    format!("{} to {}", words::share(low), words::share(high))
}

/// Draws the calibration curve.
pub fn curve(rows: &[BinRow]) -> Calibration {
    let bins = rows.iter().filter_map(|row| {
        let interval = share(positives(row), row.pairs).map(|of| (of.low, of.high));
        Some(Reliability { predicted: row.mean_score?, observed: row.observed_rate, interval, count: row.pairs })
    });
    Calibration { bins: bins.collect(), label: "Share of positive labels by mean score".to_owned() }
}

/// Returns the calibration error next to what chance alone gives.
pub fn calibration_facts(numbers: &NumbersRow) -> Vec<Fact> {
    let fact = |value: Option<f64>, meaning: &str| {
        value.map(|value| Fact { value: words::share(value), meaning: meaning.to_owned() })
    };
    let facts = [fact(numbers.ece, "ece"), fact(numbers.ece_by_chance, "ece_by_chance, of calibrated scores")];
    facts.into_iter().flatten().collect()
}

/// Predictions of a kind and the share of them that has a label.
#[derive(Debug, Clone)]
pub struct CoverageLine {
    pub name: String,
    pub predictions: String,
    pub labeled: String,
    pub coverage: String,
    pub interval: String,
}

/// Returns the coverage by decision, then by tenth of the range of scores.
pub fn coverage_lines(numbers: &NumbersRow, rows: &[BinRow]) -> Vec<CoverageLine> {
    let positive = [numbers.coverage_of_positive, numbers.coverage_of_positive_low, numbers.coverage_of_positive_high];
    let negative = [numbers.coverage_of_negative, numbers.coverage_of_negative_low, numbers.coverage_of_negative_high];
    let decision = |(name, [value, low, high]): (&str, [Option<f64>; 3])| {
        Some(CoverageLine {
            name: format!("{name} decisions"),
            predictions: String::new(),
            labeled: String::new(),
            coverage: words::share(value?),
            interval: low.zip(high).map_or(String::new(), |(low, high)| between(low, high)),
        })
    };
    let bin = |row: &BinRow| {
        let of = share(row.pairs, row.predictions);
        CoverageLine {
            name: format!("score {}", range(row)),
            predictions: words::count(row.predictions),
            labeled: words::count(row.pairs),
            coverage: of.map_or("–".to_owned(), |of| words::share(of.value)),
            interval: of.map_or(String::new(), |of| between(of.low, of.high)),
        }
    };
    [("positive", positive), ("negative", negative)]
        .into_iter()
        .filter_map(decision)
        .chain(rows.iter().map(bin))
        .collect()
}

/// Draws the coverage by tenth of the range of scores.
pub fn coverage_bars(rows: &[BinRow]) -> Bars {
    let bar = |row: &BinRow| {
        let coverage = share(row.pairs, row.predictions).map(|of| of.value);
        Bar {
            label: format!("{:.0} %", row.score_from * 100.0),
            value: coverage.map(|share| share * 100.0),
            title: format!("score {}: {}", range(row), coverage.map_or("no predictions".to_owned(), words::share)),
            ..Bar::default()
        }
    };
    Bars {
        bars: rows.iter().map(bar).collect(),
        unit: "%".to_owned(),
        label: "Share of predictions with a label by score".to_owned(),
        ..Bars::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: (i64, Option<&str>), decision: (i64, Option<&str>), pairs: i64) -> ConfusionRow {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        ConfusionRow {
            label: owned(label.1),
            decision: owned(decision.1),
            pairs,
            label_place: label.0,
            decision_place: decision.0,
            classes: 14,
        }
    }

    #[test]
    fn a_matrix_has_counts_and_shares_of_each_label() {
        let (n, p) = ((1, Some("negative")), (2, Some("positive")));
        let found = matrix(&[row(n, n, 80), row(n, p, 20), row(p, n, 5), row(p, p, 0)], true);
        assert_eq!(found.columns, ["positive", "negative"]);
        let cells = |row: usize| {
            found.rows[row].cells.iter().map(|c| format!("{} {} {} {}", c.pairs, c.share, c.shade, c.is_right))
        };
        assert_eq!(cells(0).collect::<Vec<_>>(), ["0 0 % 0 true", "5 100 % 5 false"]);
        assert_eq!(cells(1).collect::<Vec<_>>(), ["20 20 % 1 false", "80 80 % 4 true"]);
        assert_eq!((found.totals, found.total), (vec!["20".to_owned(), "85".to_owned()], "105".to_owned()));
    }

    #[test]
    fn classes_beyond_the_most_frequent_are_one() {
        let (a, rest) = ((1, Some("a\nb")), (13, None));
        let found = matrix(&[row(a, a, 8), row(rest, a, 2), row(rest, rest, 2)], false);
        assert_eq!(found.columns, ["a b", "the rest (2 classes)"]);
        // Right decisions among the rest are not known.
        let right: Vec<bool> = found.rows.iter().flat_map(|row| row.cells.iter().map(|cell| cell.is_right)).collect();
        assert_eq!(right, [true, false, false, false]);
    }
}
