//! The errors of single predictions: their distribution, predicted against actual, label latency, and what is left out.

use chrono::TimeDelta;

use super::job::Fact;
use super::words;
use crate::chart::density::{CELLS, Density, Dot};
use crate::chart::histogram::{Bin, Histogram};
use crate::domain::about::About;
use crate::store::read::latency::LatencyRow;
use crate::store::read::residuals::{BinRow, CellRow, LeftOutRow, SummaryRow};
use crate::store::read::samples::SampleRow;

/// Bars of a histogram, about.
const BARS: f64 = 40.0;

/// Bins of equal width, from the first to the last by number: bin `n` begins at `n * width`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bins {
    pub width: f64,
    pub first: i64,
    pub last: i64,
}

impl Bins {
    /// Returns bins of a round width for values from `low` to `high`; `None` if these are not finite.
    pub fn over(low: f64, high: f64) -> Option<Self> {
        if !low.is_finite() || !high.is_finite() || low.abs().max(high.abs()) > 1e30 {
            return None;
        }
        let range = (high - low).max(low.abs().max(high.abs()) * 1e-6).max(1e-12);
        let width = round_up(range / BARS);
        #[expect(clippy::cast_possible_truncation, reason = "at most a million bins from zero by the range above")]
        let place = |value: f64| (value / width).floor() as i64;
        Some(Self { width, first: place(low), last: place(high) })
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of bins stay far below 2^53")]
    fn start(self, bin: i64) -> f64 {
        bin as f64 * self.width
    }

    /// Returns the bars, empty ones included.
    fn bars(self, rows: &[BinRow], unit: f64) -> Vec<Bin> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let count = |bin: i64| rows.iter().find(|row| row.bin == bin).map_or(0.0, |row| row.pairs as f64);
        (self.first..=self.last)
            .map(|bin| Bin { from: self.start(bin) / unit, until: self.start(bin + 1) / unit, count: count(bin) })
            .collect()
    }
}

/// The least 1, 2 or 5 times a power of ten that is not below a positive number.
fn round_up(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|width| *width >= number * 0.999_999).unwrap_or(10.0 * power)
}

/// Bins for the errors. Errors far outside the middle 98 % are counted in the first and last bin, or one outlier would leave a
/// single bar.
pub fn error_bins(summary: &SummaryRow) -> Option<Bins> {
    let quantiles = summary.quantiles.as_deref()?;
    let (low, high) = (*quantiles.first()?, *quantiles.last()?);
    let room = high - low;
    Bins::over((low - room).max(summary.least?), (high + room).min(summary.greatest?))
}

/// Draws the errors.
pub fn errors(summary: &SummaryRow, bins: Bins, rows: &[BinRow], (unit, is_log): (&str, bool)) -> Histogram {
    let names = ["p1", "p5", "p50", "p95", "p99"];
    let quantiles = summary.quantiles.as_deref().unwrap_or_default();
    let percentiles = names.into_iter().zip(quantiles).filter(|(name, _)| ["p1", "p50", "p99"].contains(name));
    Histogram {
        bins: bins.bars(rows, 1.0),
        usual: Vec::new(),
        percentiles: percentiles.map(|(name, value)| (*value, name.to_owned())).collect(),
        bias: summary.bias,
        tolerance: None,
        is_log,
        unit: unit.to_owned(),
        label: "Errors, predicted less actual".to_owned(),
    }
}

/// Sentence about errors beyond the first and last bar; `None` if there are none.
pub fn beyond(summary: &SummaryRow, bins: Bins, unit: &str) -> Option<String> {
    let (least, greatest) = summary.least.zip(summary.greatest)?;
    let is_beyond = least < bins.start(bins.first) || greatest >= bins.start(bins.last + 1);
    is_beyond.then(|| {
        format!(
            "Errors reach from {} to {}; those beyond the bars are counted in the outermost ones.",
            with(least, unit),
            with(greatest, unit)
        )
    })
}

fn with(value: f64, unit: &str) -> String {
    let space = if unit.is_empty() { "" } else { " " };
    format!("{}{space}{unit}", words::value(Some(value), None))
}

/// Returns the numbers of the errors.
pub fn facts(summary: &SummaryRow, unit: &str, about: &About) -> Vec<Fact> {
    let fact = |value: String, meaning: &str| Fact { value, meaning: meaning.to_owned() };
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| with(value, unit));
    let quantile = |place: usize| summary.quantiles.as_ref().and_then(|all| all.get(place).copied());
    let mut facts = vec![
        fact(words::count(summary.pairs), "labeled pairs"),
        fact(number(summary.bias), &format!("bias (mean {})", super::words::residual(about))),
        // The mean square of binary scores is the Brier score.
        fact(number(summary.mse.map(f64::sqrt)), if about.is_binary() { "root of the Brier score" } else { "rmse" }),
        fact(number(quantile(0)), "p1"),
        fact(number(quantile(2)), "p50"),
        fact(number(quantile(4)), "p99"),
    ];
    if let Some(share) = summary.worst_share {
        let meaning =
            format!("of the squared error is in the worst 1 % ({})", words::plural(summary.worst_pairs, "pair"));
        facts.push(fact(words::share(share), &meaning));
    }
    facts
}

/// The range of predicted and actual values and the width of a cell; `None` without values.
pub fn cell_width(summary: &SummaryRow) -> Option<(f64, f64)> {
    let (low, high) = summary.low.zip(summary.high).filter(|(low, high)| low.is_finite() && high.is_finite())?;
    let range = (high - low).max(low.abs().max(high.abs()) * 1e-6).max(1e-12);
    #[expect(clippy::cast_precision_loss, reason = "a few cells")]
    let width = range / CELLS as f64;
    width.is_finite().then_some((low, width))
}

/// Draws predicted against actual values with the worst samples.
pub fn density((low, width): (f64, f64), rows: &[CellRow], worst: &[SampleRow], unit: &str) -> Density {
    let mut counts = vec![0; CELLS * CELLS];
    for row in rows {
        let place = |cell: i64| usize::try_from(cell).ok().filter(|cell| *cell < CELLS);
        if let (Some(predicted), Some(actual)) = (place(row.predicted_cell), place(row.actual_cell)) {
            counts[actual * CELLS + predicted] = row.pairs;
        }
    }
    let dot = |(place, row): (usize, &SampleRow)| Dot {
        predicted: row.predicted,
        actual: row.actual,
        link: Some(format!("#worst-{}", place + 1)),
        title: format!(
            "{}: predicted {}, actual {}",
            crate::text::line::clipped(&crate::text::line::single_line(&row.prediction_key), 60),
            with(row.predicted, unit),
            with(row.actual, unit)
        ),
    };
    #[expect(clippy::cast_precision_loss, reason = "a few cells")]
    let high = low + width * CELLS as f64;
    Density {
        range: low..high,
        counts,
        worst: worst.iter().enumerate().map(dot).collect(),
        unit: unit.to_owned(),
        label: "Predicted against actual values".to_owned(),
    }
}

/// Bins of label latency, in seconds. The last one holds all that took longer than nearly all others.
pub fn latency_bins(latency: &LatencyRow) -> Option<Bins> {
    let p99 = latency.quantiles.as_ref()?.last().copied()?;
    let longest = latency.greatest?.min(p99 * 1.5).max(60.0);
    let hours = Bins::over(0.0, longest / 3_600.0)?;
    Some(Bins { width: hours.width * 3_600.0, ..hours })
}

/// Draws label latency, in hours.
pub fn latencies(latency: &LatencyRow, bins: Bins, rows: &[BinRow]) -> Histogram {
    let quantiles = latency.quantiles.as_deref().unwrap_or_default();
    let percentiles = ["p50", "p95", "p99"].into_iter().zip(quantiles);
    Histogram {
        bins: bins.bars(rows, 3_600.0),
        percentiles: percentiles.map(|(name, seconds)| (seconds / 3_600.0, name.to_owned())).collect(),
        unit: "h".to_owned(),
        label: "Time from event to label".to_owned(),
        ..Histogram::default()
    }
}

/// The bars of a histogram as a table: the range and the count of each that is not empty.
pub fn bar_lines(histogram: &Histogram) -> Vec<(String, String)> {
    let range = |bin: &Bin| format!("{} to {}", words::value(Some(bin.from), None), with(bin.until, &histogram.unit));
    #[expect(clippy::cast_possible_truncation, reason = "counts")]
    let count = |bin: &Bin| words::count(bin.count as i64);
    histogram.bins.iter().filter(|bin| bin.count > 0.0).map(|bin| (range(bin), count(bin))).collect()
}

/// Returns the numbers of label latency.
pub fn latency_facts(latency: &LatencyRow) -> Vec<Fact> {
    let quantiles = latency.quantiles.as_deref().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "bounded")]
    let lasted = |seconds: f64| words::lasted(TimeDelta::seconds(seconds.clamp(0.0, 1e12) as i64));
    let meanings = ["half of the labels take no longer", "95 % take no longer", "99 % take no longer"];
    let mut facts = vec![Fact { value: words::count(latency.labels), meaning: "labels".to_owned() }];
    facts.extend(
        meanings.into_iter().zip(quantiles).map(|(meaning, s)| Fact { value: lasted(*s), meaning: meaning.to_owned() }),
    );
    facts
}

/// A reason why predictions are not averaged.
#[derive(Debug, Clone)]
pub struct LeftOutLine {
    pub outcome: String,
    pub why: &'static str,
    pub predictions: String,
    pub keys: Vec<String>,
}

/// Returns what is left out, by reason.
pub fn left_out(rows: &[LeftOutRow]) -> Vec<LeftOutLine> {
    rows.iter()
        .map(|row| LeftOutLine {
            outcome: row.outcome.clone(),
            why: match row.outcome.as_str() {
                "unlabeled" => "no label has arrived yet",
                "null value" => "predicted or actual value is NULL",
                "not finite" => "predicted or actual value is NaN or infinite",
                "out of range" => "the error is too large to be summed",
                "duplicate prediction" => "several predictions have this key; none of them counts",
                "ambiguous label" => "several labels of this key disagree",
                "filter failed" => "the filter of the job fails on this row",
                _ => "",
            },
            predictions: words::count(row.predictions),
            keys: row.keys.clone(),
        })
        .collect()
}

/// The reason why a range has no residuals.
pub fn why_empty(about: &About) -> String {
    if about.residuals_keep_seconds > 0 {
        let keep = words::lasted(TimeDelta::seconds(about.residuals_keep_seconds));
        format!("This range has no labeled pairs. Residuals are kept for {keep} of event time (`residuals.keep`).")
    } else {
        "This range has no labeled pairs. Residuals are kept for `residuals.keep`; jobs without arrival times keep none.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_have_round_widths_and_hold_all_values() {
        assert_eq!(Bins::over(-3.0, 96.0), Some(Bins { width: 5.0, first: -1, last: 19 }));
        assert_eq!(Bins::over(0.0, 40.0), Some(Bins { width: 1.0, first: 0, last: 40 }));
        for (low, high) in [(0.0, 0.0), (7.0, 7.0), (-1e20, 1e20), (1e-9, 2e-9)] {
            let bins = Bins::over(low, high).unwrap();
            assert!(bins.start(bins.first) <= low && bins.start(bins.last + 1) > high, "{bins:?}");
        }
        assert_eq!(Bins::over(f64::NAN, 1.0), None);
    }

    #[test]
    fn one_outlier_does_not_hide_the_others() {
        let summary = SummaryRow {
            pairs: 100,
            quantiles: Some(vec![-1.0, -0.5, 0.0, 0.5, 1.0]),
            least: Some(-1.2),
            greatest: Some(1e6),
            ..SummaryRow::default()
        };
        let bins = error_bins(&summary).unwrap();
        assert!(bins.width <= 0.2, "{bins:?}");
        assert!(beyond(&summary, bins, "MW").unwrap().contains("1000000 MW"));
    }
}
