//! How well scores order two classes: areas under curves and their kin, from a histogram of scores per class.
//!
//! Pairs within one bin count as ties, so that the area under the ROC curve is off by at most half of Σ PᵦNᵦ/(m·n), which is 0 where
//! every bin has one class.

use std::collections::BTreeMap;

use crate::metric::interval::{self, Interval};
use crate::metric::state::histogram::Histogram;
use crate::metric::state::score;
use crate::metric::task::Scores;

/// Positive and negative labels of the scores in one bin, or of one score.
#[derive(Debug, Clone, Copy)]
struct Bin {
    place: Place,
    positives: f64,
    negatives: f64,
}

/// Content of a bin: many scores, or one.
#[derive(Debug, Clone, Copy)]
enum Place {
    Bin(i32),
    Score(f64),
}

impl Bin {
    fn at(place: Place) -> Self {
        Self { place, positives: 0.0, negatives: 0.0 }
    }

    /// Log-odds of its probability.
    fn log_odds(&self) -> f64 {
        let p = match self.place {
            Place::Bin(number) => score::value_of(number, Scores::Probabilities),
            Place::Score(score) => score.clamp(score::EDGE, 1.0 - score::EDGE),
        };
        (p / (1.0 - p)).ln()
    }
}

/// Scores of two classes, in growing order of the score.
#[derive(Debug, Clone)]
pub struct Ranking {
    bins: Vec<Bin>,
    positives: f64,
    negatives: f64,
}

/// Fewer of either class give no interval: in simulations with ten positives and an area of 0.9 it held in 88 %.
const FEWEST: f64 = 20.0;

impl Ranking {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn new(positives: &Histogram, negatives: &Histogram) -> Self {
        let mut bins: BTreeMap<i32, Bin> = BTreeMap::new();
        for (number, count) in positives.bins() {
            bins.entry(number).or_insert(Bin::at(Place::Bin(number))).positives += count as f64;
        }
        for (number, count) in negatives.bins() {
            bins.entry(number).or_insert(Bin::at(Place::Bin(number))).negatives += count as f64;
        }
        let (m, n) = (positives.total() as f64, negatives.total() as f64);
        Self { bins: bins.into_values().collect(), positives: m, negatives: n }
    }

    /// Builds it from distinct scores in growing order, each with the number of its positive and of its negative labels.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn exact(scores: impl IntoIterator<Item = (f64, i64, i64)>) -> Self {
        let bin = |(score, positives, negatives): (f64, i64, i64)| Bin {
            place: Place::Score(score),
            positives: positives as f64,
            negatives: negatives as f64,
        };
        let bins: Vec<Bin> = scores.into_iter().map(bin).collect();
        let sum = |of: fn(&Bin) -> f64| bins.iter().map(of).sum::<f64>();
        let (positives, negatives) = (sum(|bin| bin.positives), sum(|bin| bin.negatives));
        Self { bins, positives, negatives }
    }

    /// Area under the ROC curve: the share of pairs of a positive and a negative in which the positive has the higher score, a tie
    /// counting half. NaN with one class only.
    pub fn auc(&self) -> f64 {
        let (mut below, mut ordered) = (0.0, 0.0);
        for bin in &self.bins {
            ordered += bin.positives * (below + bin.negatives / 2.0);
            below += bin.negatives;
        }
        ordered / (self.positives * self.negatives)
    }

    /// 95 % interval of [`Ranking::auc`]: DeLong's variance, on the log-odds of the area so that it stays within 0 and 1, with a point
    /// of Student's t by Satterthwaite's degrees of freedom. `None` with fewer than twenty of either class, or where the classes do
    /// not overlap.
    pub fn auc_interval(&self) -> Option<Interval> {
        if self.positives < FEWEST || self.negatives < FEWEST {
            return None;
        }
        let area = self.auc();
        let (of_positives, of_negatives) = self.auc_variances();
        let variance = of_positives + of_negatives;
        let freedom = variance * variance
            / (of_positives.powi(2) / (self.positives - 1.0) + of_negatives.powi(2) / (self.negatives - 1.0));
        let deviation = variance.sqrt() / (area * (1.0 - area));
        let odds = (area / (1.0 - area)).ln();
        let share = |odds: f64| 1.0 / (1.0 + (-odds).exp());
        let half = interval::student(freedom)? * deviation;
        interval::bounds(share(odds - half), share(odds + half))
    }

    /// The two parts of DeLong's variance of the area: of the positives and of the negatives.
    fn auc_variances(&self) -> (f64, f64) {
        let area = self.auc();
        let (mut below, mut above) = (0.0, self.positives);
        let (mut of_positives, mut of_negatives) = (0.0, 0.0);
        for bin in &self.bins {
            above -= bin.positives;
            let beaten = (below + bin.negatives / 2.0) / self.negatives;
            let beating = (above + bin.positives / 2.0) / self.positives;
            of_positives += bin.positives * (beaten - area).powi(2);
            of_negatives += bin.negatives * (beating - area).powi(2);
            below += bin.negatives;
        }
        let (m, n) = (self.positives, self.negatives);
        (of_positives / (m - 1.0) / m, of_negatives / (n - 1.0) / n)
    }

    /// Average precision: Σ (recall gained at a score) · (precision of all scores from there up). NaN without positives.
    pub fn average_precision(&self) -> f64 {
        let (mut hits, mut taken, mut sum) = (0.0, 0.0, 0.0);
        for bin in self.bins.iter().rev() {
            hits += bin.positives;
            taken += bin.positives + bin.negatives;
            sum += bin.positives * hits / taken;
        }
        sum / self.positives
    }

    /// Greatest difference of the two classes' shares of scores up to a bin, from 0 to 1. NaN with one class only.
    pub fn separation(&self) -> f64 {
        let (mut positives, mut negatives, mut greatest) = (0.0, 0.0, 0.0_f64);
        if self.positives * self.negatives == 0.0 {
            return f64::NAN;
        }
        for bin in &self.bins {
            positives += bin.positives / self.positives;
            negatives += bin.negatives / self.negatives;
            greatest = greatest.max((positives - negatives).abs());
        }
        greatest
    }

    /// Share of positives among the highest scores, which are `share` of all, rounded up. Of tied scores that only partly fit, as many
    /// are taken as a draw would take on average. NaN without pairs.
    pub fn precision_at_top(&self, share: f64) -> f64 {
        // 0.01 of 300 is 3, even where rounding puts the product just above it.
        let wanted = (share * (self.positives + self.negatives) - 1e-9).ceil();
        let (mut hits, mut left) = (0.0, wanted);
        for bin in self.bins.iter().rev() {
            let all = bin.positives + bin.negatives;
            let taken = left.min(all);
            hits += bin.positives * taken / all;
            left -= taken;
        }
        hits / wanted
    }

    /// Intercept and slope of a logistic regression of the label on the log-odds of the score: 0 and 1 for calibrated scores. `None`
    /// if it has no single solution, as with classes that do not overlap.
    pub fn logistic(&self) -> Option<(f64, f64)> {
        if self.positives * self.negatives == 0.0 {
            return None;
        }
        let points: Vec<(f64, Bin)> = self.bins.iter().map(|bin| (bin.log_odds(), *bin)).collect();
        let (mut intercept, mut slope) = (0.0, 0.0);
        for _ in 0..100 {
            let step = newton(&points, intercept, slope)?;
            // A long step would leave the region in which the quadratic is any good.
            let scale = 1.0_f64.min(5.0 / (step.0.abs() + step.1.abs()).max(1e-300));
            (intercept, slope) = (intercept + scale * step.0, slope + scale * step.1);
            if step.0.abs() + step.1.abs() < 1e-9 * (1.0 + intercept.abs() + slope.abs()) {
                return Some((intercept, slope)).filter(|_| intercept.abs() < 1e3 && slope.abs() < 1e3);
            }
        }
        None
    }
}

/// One step of Newton's method for a logistic regression over (log-odds, labels).
fn newton(points: &[(f64, Bin)], intercept: f64, slope: f64) -> Option<(f64, f64)> {
    let (mut g0, mut g1, mut h00, mut h01, mut h11) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, bin) in points {
        let p = 1.0 / (1.0 + (-(intercept + slope * x)).exp());
        let (n, weight) = (bin.positives + bin.negatives, p * (1.0 - p));
        let residual = bin.positives - n * p;
        g0 += residual;
        g1 += residual * x;
        h00 += n * weight;
        h01 += n * weight * x;
        h11 += n * weight * x * x;
    }
    let determinant = h00 * h11 - h01 * h01;
    let singular = !determinant.is_finite() || determinant <= 1e-12 * h00 * h11;
    (!singular).then(|| ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "bins are within 1,300")]
    fn bin(p: f64) -> i32 {
        let q = p.clamp(1e-12, 1.0 - 1e-12);
        (10.0 * (q / (1.0 - q)).ln() + 1_000.0 * p).floor() as i32
    }

    fn ranking(scores: &[f64], labels: &[u8]) -> Ranking {
        let of = |label: u8| {
            let chosen = scores.iter().zip(labels).filter(move |(_, l)| **l == label);
            Histogram::new(chosen.map(|(score, _)| (bin(*score), 1)))
        };
        Ranking::new(&of(1), &of(0))
    }

    /// `roc_auc_score`, `average_precision_score` of scikit-learn 1.9.
    #[test]
    fn small_sets_equal_scikit_learn() {
        let plain = ranking(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1]);
        assert!((plain.auc() - 0.75).abs() < 1e-12);
        assert!((plain.average_precision() - 0.833_333_333_333_333_3).abs() < 1e-12);
        let ties = ranking(&[0.5, 0.5, 0.9, 0.1], &[1, 0, 1, 0]);
        assert!((ties.auc() - 0.875).abs() < 1e-12);
    }

    /// DeLong's variance from its definition over all pairs of the golden set: 0.009355…
    #[test]
    fn the_variance_of_the_area_is_that_of_delong() {
        let scores =
            [0.05, 0.1, 0.15, 0.2, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.55, 0.6, 0.7, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0];
        let ranking = ranking(&scores, &[0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1]);
        let (of_positives, of_negatives) = ranking.auc_variances();
        assert!(
            (ranking.auc() - 0.82).abs() < 1e-12
                && (ranking.average_precision() - 0.829_987_920_576_155_8).abs() < 1e-12
        );
        assert!((of_positives + of_negatives - 0.009_355_555_555_555_554).abs() < 1e-12);
        assert!((ranking.separation() - 0.5).abs() < 1e-12 && ranking.auc_interval().is_none());
    }

    #[test]
    fn one_class_and_no_pairs_have_no_area() {
        for (scores, labels) in [(&[0.2, 0.7][..], &[1, 1][..]), (&[0.2, 0.7], &[0, 0]), (&[], &[])] {
            let ranking = ranking(scores, labels);
            assert!(ranking.auc().is_nan() && ranking.separation().is_nan());
            assert!(ranking.auc_interval().is_none() && ranking.logistic().is_none());
        }
        assert!(ranking(&[0.2], &[0]).average_precision().is_nan());
    }

    #[test]
    fn the_top_takes_a_share_of_ties() {
        let ranking = ranking(&[0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1], &[1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!((ranking.precision_at_top(0.1) - 1.0).abs() < 1e-12);
        assert!((ranking.precision_at_top(0.3) - (1.0 + 2.0 * 0.25) / 3.0).abs() < 1e-12);
        assert!((ranking.precision_at_top(1.0) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn separated_classes_have_no_regression_and_no_interval() {
        let scores: Vec<f64> = (1..=40).map(|n| f64::from(n) / 41.0).collect();
        let labels: Vec<u8> = (1..=40).map(|n| u8::from(n > 20)).collect();
        let ranking = ranking(&scores, &labels);
        assert!(
            (ranking.auc() - 1.0).abs() < 1e-12 && ranking.logistic().is_none() && ranking.auc_interval().is_none()
        );
    }
}
