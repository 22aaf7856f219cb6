//! The merged sums and histograms of one measurement, from which metrics are computed.

use std::collections::BTreeMap;

use crate::metric::Parameters;
use crate::metric::confusion::Confusion;
use crate::metric::measurement::Counts;
use crate::metric::ranking::Ranking;
use crate::metric::state::Sum;
use crate::metric::state::histogram::{Histogram, Robust};
use crate::metric::state::kind::HistogramKind;

/// The merged sums of one measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sums<'a> {
    pub counts: Counts,
    pub order: &'a [Sum],
    /// The stored array: [`Sum::width`] numbers for each of `order`.
    pub values: &'a [f64],
    pub parameters: &'a Parameters,
    pub histograms: &'a MergedHistograms,
    /// Percentiles of |e| and e² computed from all pairs, if the job asks for exact ones.
    pub exact: Option<&'a ExactQuantiles>,
    /// Scores of both classes in order, computed from all pairs, if the job asks for exact values.
    pub exact_ranking: Option<&'a Ranking>,
    /// Predictions old enough that their labels are due, and how many of them have one.
    pub due: (i64, i64),
    /// Summed loss of the whole window, for the same versions; see [`crate::metric::family::total_loss`].
    pub whole_loss: f64,
}

/// The merged histograms of one measurement.
#[derive(Debug, Clone, Default)]
pub struct MergedHistograms {
    of: BTreeMap<HistogramKind, Histogram>,
    /// Predicted and actual classes.
    pub confusion: Confusion,
}

impl MergedHistograms {
    /// The histogram of a kind; empty if there is none.
    pub fn get(&self, kind: HistogramKind) -> &Histogram {
        static EMPTY: Histogram = Histogram::empty();
        self.of.get(&kind).unwrap_or(&EMPTY)
    }

    /// Adds the bins and counts of a kind.
    pub fn insert(&mut self, kind: HistogramKind, bins: impl Iterator<Item = (i64, i64)>) {
        match kind {
            HistogramKind::Confusion => self.confusion = Confusion::new(bins),
            _ => {
                // All others have bins of 32 bits.
                let narrow = bins.filter_map(|(bin, count)| Some((i32::try_from(bin).ok()?, count)));
                self.of.insert(kind, Histogram::new(narrow));
            }
        }
    }
}

/// The quantiles that the catalog has percentiles for.
pub const QUANTILES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Quantiles of |e| and of e² at [`QUANTILES`].
#[derive(Debug, Clone, PartialEq)]
pub struct ExactQuantiles {
    pub abs_error: Vec<f64>,
    pub squared_error: Vec<f64>,
}

/// Count, sum and centred sum of squares.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    pub count: f64,
    pub sum: f64,
    pub centred: f64,
}

impl Moments {
    pub fn mean(self) -> f64 {
        self.sum / self.count
    }

    /// Population variance: divided by n.
    pub fn variance(self) -> f64 {
        self.centred / self.count
    }
}

impl Sums<'_> {
    /// Returns the value of a scalar sum; NaN if it was not kept, which gives the metric no value.
    pub fn get(&self, sum: Sum) -> f64 {
        self.place(sum).and_then(|at| self.values.get(at)).copied().unwrap_or(f64::NAN)
    }

    /// Returns the moments of a sum that keeps them; NaN if it was not kept.
    pub fn moments(&self, sum: Sum) -> Moments {
        let value = |n: usize| self.place(sum).and_then(|at| self.values.get(at + n)).copied().unwrap_or(f64::NAN);
        Moments { count: value(0), sum: value(1), centred: value(2) }
    }

    /// Returns a quantile of |e|; NaN if there is none.
    pub fn abs_error_quantile(&self, q: f64) -> f64 {
        match self.exact {
            Some(exact) => at_quantile(&exact.abs_error, q),
            None => self
                .histograms
                .get(HistogramKind::Errors)
                .quantile(q)
                .map_or(f64::NAN, |estimate| self.between_extremes(estimate)),
        }
    }

    /// Clamps an estimate of |e| to the least and greatest |e|.
    fn between_extremes(&self, estimate: f64) -> f64 {
        // `min` and `max` ignore NaN, so a sum that was not kept leaves the estimate unchanged.
        estimate.max(self.get(Sum::LeastAbsError)).min(self.get(Sum::GreatestAbsError))
    }

    /// Clamps an estimate of e² to the least and greatest e².
    fn between_squares(&self, estimate: f64) -> f64 {
        self.between_extremes(estimate.sqrt()).powi(2)
    }

    /// Returns a mean of e² that is robust to a few outliers; NaN if there is none.
    pub fn robust_square(&self, of: fn(Robust) -> f64) -> f64 {
        self.histograms
            .get(HistogramKind::Errors)
            .robust_squares(self.parameters.trim)
            .map_or(f64::NAN, |robust| self.between_squares(of(robust)))
    }

    /// Returns a quantile of e², interpolated between neighbouring squares; NaN if there is none.
    pub fn squared_error_quantile(&self, q: f64) -> f64 {
        match self.exact {
            Some(exact) => at_quantile(&exact.squared_error, q),
            None => {
                let estimate = self.histograms.get(HistogramKind::Errors).quantile_of(q, |e| e * e);
                estimate.map_or(f64::NAN, |square| self.between_squares(square))
            }
        }
    }

    /// Returns the scores of both classes in order.
    pub fn ranking(&self) -> Ranking {
        if let Some(exact) = self.exact_ranking {
            return exact.clone();
        }
        Ranking::new(self.histograms.get(HistogramKind::Positives), self.histograms.get(HistogramKind::Negatives))
    }

    /// Returns the number of averaged pairs.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn n(&self) -> f64 {
        self.counts.labeled as f64
    }

    /// Returns a sum divided by the number of pairs.
    pub fn mean(&self, sum: Sum) -> f64 {
        self.get(sum) / self.n()
    }

    fn place(&self, sum: Sum) -> Option<usize> {
        let at = self.order.iter().position(|kept| *kept == sum)?;
        Some(self.order[..at].iter().map(|kept| kept.width()).sum())
    }
}

fn at_quantile(values: &[f64], q: f64) -> f64 {
    let place = QUANTILES.iter().position(|kept| kept.total_cmp(&q).is_eq());
    place.and_then(|place| values.get(place)).copied().unwrap_or(f64::NAN)
}
