//! The metrics that a job keeps: those of the catalog, and those that its own keys define.

use std::sync::Arc;

use crate::metric::family::{self, fairness};
use crate::metric::interval::{self, Interval};
use crate::metric::state::Sum;
use crate::metric::state::kind::HistogramKind;
use crate::metric::{Better, Metric, Requirement, Sums, Unit};
use fairness::{Comparison, Fairness};

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
    /// Index of the threshold in [`crate::metric::task::Binary::thresholds`].
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

/// Returns the sums that the metrics need, each once, in storage order.
pub fn sums_of(metrics: &[JobMetric]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = metrics.iter().flat_map(JobMetric::sums).collect();
    sums.sort();
    sums.dedup();
    sums
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
