//! A mergeable histogram with log-spaced bins (DDSketch): any quantile to within a relative error, for any data.
//!
//! Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", 2019.

use std::collections::BTreeMap;

/// Relative error of a value: small enough that its square is within 1 %.
const ALPHA: f64 = 0.0049;
/// The bin of values too small to distinguish from 0.
const ZERO_BIN: i32 = 0;
/// Added to bin numbers so that bins of positive values are positive: 1e-70 is in about bin −16,448.
const SHIFT: i32 = 16_500;
/// Values closer to 0 than this count as 0.
const TINY: f64 = 1e-70;

/// Counts by bin. Bins of negative values are negative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<i32, i64>,
    total: i64,
}

/// γ: each bin reaches from γ^(i−1) to γ^i.
fn gamma() -> f64 {
    (1.0 + ALPHA) / (1.0 - ALPHA)
}

/// Returns the SQL for the bin of a value; null for null. The value is at most 1e70 in size.
pub fn bin_sql(value: &str) -> String {
    let scale = 1.0 / gamma().ln();
    format!(
        "case when abs({value}) < {TINY:e} then {ZERO_BIN} \
         else (sign({value}) * (ceil(ln(abs({value})) * {scale:e}::float8) + {SHIFT}))::int end"
    )
}

/// Returns the value that represents a bin: within α of every value in it.
pub fn value_of(bin: i32) -> f64 {
    if bin == ZERO_BIN {
        return 0.0;
    }
    let size = 2.0 * gamma().powi(bin.abs() - SHIFT) / (gamma() + 1.0);
    size * f64::from(bin.signum())
}

impl Histogram {
    /// A histogram without values.
    pub const fn empty() -> Self {
        Self { counts: BTreeMap::new(), total: 0 }
    }

    /// Builds a histogram from bins and their counts; a bin may occur more than once.
    pub fn new(bins: impl IntoIterator<Item = (i32, i64)>) -> Self {
        let mut histogram = Self::default();
        for (bin, count) in bins {
            *histogram.counts.entry(bin).or_default() += count;
            histogram.total += count;
        }
        histogram
    }

    /// Returns the number of values.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Returns bins and their counts, in the order of the values.
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (i32, i64)> + '_ {
        self.counts.iter().map(|(bin, count)| (*bin, *count))
    }

    /// Returns the quantile `q` of an increasing function of the values, interpolated between neighbours as in numpy. `None` if
    /// it is empty.
    pub fn quantile_of(&self, q: f64, function: fn(f64) -> f64) -> Option<f64> {
        self.quantile_with(q, |bin| function(value_of(bin)))
    }

    /// Returns the quantile `q` where `value` is the value of a bin.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
    pub fn quantile_with(&self, q: f64, value: impl Fn(i32) -> f64) -> Option<f64> {
        let place = (self.total.checked_sub(1).filter(|last| *last >= 0)? as f64) * q;
        let low = place.floor();
        let at = |place: i64| self.at(place).map(&value);
        let (below, above) = (at(low as i64)?, at(place.ceil() as i64)?);
        Some(below + (above - below) * (place - low))
    }

    /// Returns the quantile `q` of the values.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.quantile_of(q, |value| value)
    }

    /// Returns the bin at a rank, from 0.
    fn at(&self, place: i64) -> Option<i32> {
        let mut passed = 0;
        let bin = self.counts.iter().find(|(_, count)| {
            passed += **count;
            place < passed
        })?;
        Some(*bin.0)
    }

    /// Returns the mean of the squares without the largest `share` of them, and with those replaced by the largest remaining.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
    pub fn robust_squares(&self, share: f64) -> Option<Robust> {
        // A share of 0.2 of 5 must be one value, even if rounding puts the product just below 1.
        let dropped = ((self.total as f64) * share + 1e-9).floor() as i64;
        let kept = self.total - dropped;
        if kept <= 0 {
            return None;
        }
        let (mut left, mut sum, mut largest) = (kept, 0.0, 0.0);
        for (bin, count) in &self.counts {
            let taken = left.min(*count);
            if taken == 0 {
                break;
            }
            largest = value_of(*bin).powi(2);
            sum += taken as f64 * largest;
            left -= taken;
        }
        Some(Robust { trimmed: sum / kept as f64, winsorised: (sum + dropped as f64 * largest) / self.total as f64 })
    }
}

/// Means that are robust to a few outliers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Robust {
    pub trimmed: f64,
    pub winsorised: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bin of a value, as the SQL computes it.
    #[expect(clippy::cast_possible_truncation, reason = "bins are small")]
    fn bin(value: f64) -> i32 {
        if value.abs() < TINY {
            return ZERO_BIN;
        }
        let place = (value.abs().ln() / gamma().ln()).ceil() as i32 + SHIFT;
        if value < 0.0 { -place } else { place }
    }

    /// numpy's default: linear between the two neighbouring order statistics.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    fn exact(values: &[f64], q: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() - 1) as f64 * q;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        low + (high - low) * place.fract()
    }

    #[test]
    fn quantiles_are_within_one_percent_for_tails_ties_zeros_and_negatives() {
        let n = 5_000;
        type Draw = fn(f64) -> f64;
        let cases: [(&str, Draw); 5] = [
            ("even", |u| u * 1_000.0),
            ("heavy tail", |u| (1.0 - u).powf(-1.5)),
            ("tiny", |u| 1e-30 * (1.0 + u)),
            ("ties and zeros", |u| (u * 4.0).floor()),
            ("negatives", |u| (u - 0.5) * 7.0),
        ];
        for (name, draw) in cases {
            let values: Vec<f64> = (0..n).map(|i| draw((f64::from(i) + 0.5) / f64::from(n))).collect();
            let sketch = Histogram::new(values.iter().map(|v| (bin(*v), 1)));
            for q in [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0] {
                let (found, expected) = (sketch.quantile(q).unwrap(), exact(&values, q));
                assert!((found - expected).abs() <= 0.005 * expected.abs(), "{name} {q}: {found} {expected}");
                let squares: Vec<f64> = values.iter().map(|v| v * v).collect();
                let positive = Histogram::new(values.iter().map(|v| (bin(v.abs()), 1)));
                let (found, expected) = (positive.quantile_of(q, |v| v * v).unwrap(), exact(&squares, q));
                assert!((found - expected).abs() <= 0.01 * expected.abs(), "{name} squared {q}: {found} {expected}");
            }
        }
    }

    /// Predicted 12 18 33 40 90, actual 10 20 30 40 50: without the largest of the five errors the mean is 4.25.
    #[test]
    fn robust_means_leave_the_largest_out() {
        let sketch = Histogram::new([2.0, 2.0, 3.0, 0.0, 40.0].map(|e: f64| (bin(e), 1)));
        let robust = sketch.robust_squares(0.2).unwrap();
        assert!((robust.trimmed / 4.25 - 1.0).abs() < 0.01, "{robust:?}");
        assert!((robust.winsorised / (26.0 / 5.0) - 1.0).abs() < 0.01, "{robust:?}");
        assert_eq!(Histogram::default().robust_squares(0.2), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn bins_are_in_the_order_of_their_values() {
        let values = [-1e70, -1.0, -1e-69, 0.0, 1e-69, 1.0, 1e70];
        assert!(values.windows(2).all(|pair| bin(pair[0]) < bin(pair[1])));
    }
}
