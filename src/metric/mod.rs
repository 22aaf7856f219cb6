//! The metric catalog: each metric's meaning, the sums it needs, and how it is computed from merged sums.
//!
//! Buckets store sums and never metrics, so the metrics of any window follow by merging: RMSE is the root of a mean of
//! summed squares, never a mean of RMSEs.

pub mod column;
pub mod confusion;
pub mod family;
pub mod interval;
pub mod measurement;
pub mod name;
pub mod ranking;
pub mod state;
pub mod task;

pub use family::catalogue;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metric::confusion::Confusion;
use crate::metric::family::fairness::{Comparison, Fairness};
use crate::metric::interval::Interval;
use crate::metric::measurement::Counts;
use crate::metric::ranking::Ranking;
use crate::metric::state::histogram::{Histogram, Robust};
use crate::metric::state::kind::HistogramKind;
use crate::metric::task::{Applies, Task};
use state::{Merge, Sum};

/// A job's settings for its metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// Kind of prediction.
    pub task: Task,
    /// Largest |e| of `within_tolerance`, in the target unit.
    pub tolerance: Option<f64>,
    /// |e| at which Huber loss turns from squared to linear, in the target unit.
    pub huber_delta: Option<f64>,
    /// Share of the largest squared errors that `trimmed_mse` leaves out; from 0 to below 1.
    pub trim: f64,
    /// True if percentiles and rankings are computed from all pairs of a window instead of its histograms.
    pub exact: bool,
    /// True if pairs have a weight, which is their first extra value.
    pub weighted: bool,
}

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
    /// Summed loss of the whole window, for the same versions; see [`family::total_loss`].
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

/// The direction in which a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
    /// Zero is best; deviations in both directions are worse.
    Zero,
    /// Descriptive: neither good nor bad.
    Neither,
}

/// Unit of a metric, derived from the unit of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Target,
    TargetSquared,
    /// A share or a relative size, where 1 is the whole.
    Ratio,
    Count,
    Seconds,
    /// A plain number, which is no share: a logarithm, a slope, a correlation.
    Number,
    /// The unit of the job's own expressions.
    Own,
}

/// Requirement of a metric, in addition to pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    Pairs,
    /// The metric has a value even without pairs.
    Predictions,
    /// `metrics.tolerance`, `metrics.huber_delta` or `metrics.weight` must be set.
    Tolerance,
    HuberDelta,
    Weight,
    /// `labels.arrived_at` must be set.
    LabelArrival,
    /// `model.cost` must be set.
    Cost,
    /// `model.probabilities` must be set.
    Probabilities,
}

/// One row of the catalog.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub meaning: &'static str,
    pub unit: Unit,
    pub better: Better,
    /// The tasks that it has a meaning for.
    pub task: Applies,
    pub needs: Requirement,
    /// Histograms that it is computed from.
    pub histograms: &'static [HistogramKind],
    pub sums: &'static [Sum],
    /// Computes the value from merged sums; NaN if there is none.
    pub finish: fn(&Sums<'_>) -> f64,
    /// Computes the 95 % interval, if the metric has one.
    pub interval: Option<fn(&Sums<'_>) -> Option<Interval>>,
    /// Metrics that are always added with it: counts of the pairs that it leaves out.
    pub implies: &'static [&'static str],
    /// Advice for messages: the first thing to look at when it is out of bounds. Empty if that depends.
    pub advice: &'static str,
}

/// A metric that a job keeps.
#[derive(Debug, Clone)]
pub enum JobMetric {
    Catalogue(&'static Metric),
    Custom(CustomMetric),
    /// Share of predictions, labeled or not, with a score at or above another threshold of the job.
    PositiveRateAt(RateAt),
    /// A gap between groups, which only the cohort of everything has.
    Fairness(Fairness),
    /// Number of predictions on which the job's expressions fail; holds its index among the extra values.
    Failures(usize),
}

/// A rate of positive decisions at another threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct RateAt {
    pub name: Arc<str>,
    pub meaning: String,
    /// Index of the threshold in [`task::Binary::thresholds`].
    pub place: usize,
}

impl RateAt {
    /// The rate at the threshold of an index.
    pub fn new(place: usize, threshold: f64) -> Self {
        let spelled: String =
            format!("{threshold}").chars().map(|c| if c.is_ascii_digit() { c } else { '_' }).collect();
        let meaning = format!("share of predictions, labeled or not, with a score of at least {threshold}");
        Self { name: format!("positive_rate_at_{spelled}").into(), meaning, place }
    }

    fn counts(&self, sums: &Sums<'_>) -> (f64, f64) {
        (sums.get(Sum::PositiveDecisionsAt(self.place)), sums.moments(Sum::ScoreMoments).count)
    }
}

/// Name of [`JobMetric::Failures`].
pub const FAILURES: &str = "failed_expressions";

/// Name of the number of pairs that no metric counts.
pub const EXCLUDED: &str = "excluded";

/// A ratio of two sums of the job's own expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomMetric {
    pub name: Arc<str>,
    /// In the job's words, for explanations.
    pub meaning: String,
    /// Indexes of its two values among the extra values of a pair.
    pub sum: usize,
    pub per: usize,
    /// Sums are over all predictions instead of pairs.
    pub over_rows: bool,
}

/// Metrics of a job that does not name any, by its task.
pub fn default_of(task: &Task) -> &'static [&'static str] {
    match task.binary().map(|binary| binary.scores) {
        None if task.has_classes() => &["accuracy", "macro_precision", "macro_recall", "macro_f1"],
        None => &["mse", "rmse", "mae", "bias"],
        Some(task::Scores::Probabilities) => {
            &["auc", "log_loss", "brier", "ece", "precision", "recall", "base_rate", "positive_rate"]
        }
        Some(task::Scores::Any) => &["auc", "precision", "recall", "base_rate", "positive_rate"],
    }
}

/// Looks up a metric by name; of those with one name, the first.
pub fn find(name: &str) -> Option<&'static Metric> {
    catalogue().find(|metric| metric.name == name)
}

/// Looks up the metric of a name that a task has.
pub fn find_for(name: &str, task: &Task) -> Option<&'static Metric> {
    catalogue().find(|metric| metric.name == name && metric.task.to(task))
}

/// Returns the sums that the metrics need, each once, in storage order.
pub fn sums_of(metrics: &[JobMetric]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = metrics.iter().flat_map(JobMetric::sums).collect();
    sums.sort();
    sums.dedup();
    sums
}

/// Returns the SQL literal of an empty sum.
pub fn empty_sql(sum: Sum) -> &'static str {
    match sum.merge() {
        Merge::Add => "0",
        Merge::Greatest => "'-Infinity'",
        Merge::Least => "'Infinity'",
        Merge::Moments => "'{0,0,0}'",
    }
}

impl JobMetric {
    pub fn name(&self) -> &str {
        match self {
            Self::Catalogue(metric) => metric.name,
            Self::Custom(custom) => &custom.name,
            Self::PositiveRateAt(rate) => &rate.name,
            Self::Fairness(fairness) => &fairness.name,
            Self::Failures(_) => FAILURES,
        }
    }

    pub fn meaning(&self) -> &str {
        match self {
            Self::Catalogue(metric) => metric.meaning,
            Self::Custom(custom) => &custom.meaning,
            Self::PositiveRateAt(rate) => &rate.meaning,
            Self::Fairness(fairness) => &fairness.meaning,
            Self::Failures(_) => "predictions on which an expression of the job fails",
        }
    }

    pub fn unit(&self) -> Unit {
        match self {
            Self::Catalogue(metric) => metric.unit,
            Self::Custom(_) => Unit::Own,
            Self::PositiveRateAt(_) | Self::Fairness(_) => Unit::Ratio,
            Self::Failures(_) => Unit::Count,
        }
    }

    /// Returns its direction of improvement; that of the job's own expressions is unknown.
    pub fn better(&self) -> Better {
        match self {
            Self::Catalogue(metric) => metric.better,
            Self::Custom(_) | Self::PositiveRateAt(_) => Better::Neither,
            Self::Fairness(fairness) => fairness.comparison.better(),
            Self::Failures(_) => Better::Lower,
        }
    }

    /// Advice: the first thing to look at when it is out of bounds.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Catalogue(metric) => Some(metric.advice).filter(|advice| !advice.is_empty()),
            Self::Custom(_) | Self::PositiveRateAt(_) | Self::Fairness(_) | Self::Failures(_) => None,
        }
    }

    /// True for a number behind a picture, which is not listed among metrics.
    pub fn is_detail(&self) -> bool {
        family::CURVE.iter().any(|detail| detail.name == self.name())
    }

    /// Returns the histograms that it is computed from.
    pub fn histograms(&self) -> &'static [HistogramKind] {
        match self {
            Self::Catalogue(metric) => metric.histograms,
            Self::Custom(_) | Self::PositiveRateAt(_) | Self::Fairness(_) | Self::Failures(_) => &[],
        }
    }

    /// Returns its requirement in addition to pairs.
    pub fn needs(&self) -> Requirement {
        match self {
            Self::Catalogue(metric) => metric.needs,
            Self::Custom(custom) if !custom.over_rows => Requirement::Pairs,
            Self::Fairness(fairness) if fairness.comparison != Comparison::SelectionRatio => Requirement::Pairs,
            Self::Fairness(_) | Self::Custom(_) | Self::PositiveRateAt(_) | Self::Failures(_) => {
                Requirement::Predictions
            }
        }
    }

    pub fn sums(&self) -> Vec<Sum> {
        match self {
            Self::Catalogue(metric) => metric.sums.to_vec(),
            Self::Custom(custom) => vec![Sum::Extra(custom.sum), Sum::Extra(custom.per)],
            Self::PositiveRateAt(rate) => vec![Sum::PositiveDecisionsAt(rate.place), Sum::ScoreMoments],
            Self::Fairness(fairness) => fairness.comparison.sums(),
            Self::Failures(place) => vec![Sum::Extra(*place)],
        }
    }

    /// Computes the value; `None` if there was nothing to average or it is undefined.
    pub fn finish(&self, sums: &Sums<'_>) -> Option<f64> {
        let value = match self {
            Self::Catalogue(metric) if metric.needs != Requirement::Predictions && sums.counts.labeled == 0 => {
                return None;
            }
            Self::Catalogue(metric) => (metric.finish)(sums),
            Self::Custom(custom) => sums.get(Sum::Extra(custom.sum)) / sums.get(Sum::Extra(custom.per)),
            Self::PositiveRateAt(rate) => {
                let (positive, all) = rate.counts(sums);
                positive / all
            }
            // Of groups, not of sums: see `Fairness::compare`.
            Self::Fairness(_) => return None,
            Self::Failures(place) => sums.get(Sum::Extra(*place)),
        };
        Some(value).filter(|value| value.is_finite())
    }

    /// True if it has a 95 % interval.
    pub fn has_interval(&self) -> bool {
        match self {
            Self::Catalogue(metric) => metric.interval.is_some(),
            Self::PositiveRateAt(_) => true,
            Self::Fairness(fairness) => {
                matches!(fairness.comparison, Comparison::TprGap | Comparison::FprGap)
            }
            Self::Custom(_) | Self::Failures(_) => false,
        }
    }

    /// Computes the 95 % interval, if it has one.
    pub fn interval(&self, sums: &Sums<'_>) -> Option<Interval> {
        match self {
            Self::Catalogue(metric) => metric.interval.and_then(|interval| interval(sums)),
            Self::PositiveRateAt(rate) => {
                let (positive, all) = rate.counts(sums);
                interval::of_share(positive, all)
            }
            Self::Custom(_) | Self::Fairness(_) | Self::Failures(_) => None,
        }
    }
}

impl Unit {
    /// Returns the unit to print after a number, given the target's; empty if there is none.
    pub fn of(self, target: Option<&str>) -> String {
        match (self, target) {
            (Self::Seconds, _) => " s".to_owned(),
            (Self::Target, Some(unit)) => format!(" {unit}"),
            (Self::TargetSquared, Some(unit)) => format!(" {unit}²"),
            _ => String::new(),
        }
    }

    /// In words, for the documentation.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Target => "target unit",
            Self::TargetSquared => "target unit squared",
            Self::Ratio => "ratio",
            Self::Count => "count",
            Self::Seconds => "seconds",
            Self::Number => "number",
            Self::Own => "as defined by the job's expressions",
        }
    }
}

impl Better {
    /// In words, for the documentation.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::Zero => "closer to 0",
            Self::Neither => "neither",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_what_a_metric_brings_is_there() {
        for (at, metric) in catalogue().enumerate() {
            let same = |other: &&Metric| (other.name, other.task) == (metric.name, metric.task);
            assert!(!catalogue().take(at).any(|other| same(&other)), "{} is listed twice", metric.name);
            assert!(metric.implies.iter().all(|name| find(name).is_some()), "{}", metric.name);
        }
        assert!(default_of(&Task::Regression).iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn sums_are_stored_scalars_first() {
        let all: Vec<JobMetric> = catalogue().map(JobMetric::Catalogue).collect();
        let sums = sums_of(&all);
        assert!(sums.windows(2).all(|pair| pair[0].width() <= pair[1].width()), "{sums:?}");
    }
}
