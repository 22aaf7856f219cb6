//! The metric catalog: each metric's meaning, the sums it needs, and how it is computed from merged sums.
//!
//! Buckets store sums and never metrics, so the metrics of any window follow by merging: RMSE is the root of a mean of
//! summed squares, never a mean of RMSEs.

pub mod column;
pub mod confusion;
pub mod family;
pub mod interval;
mod job;
pub mod measurement;
pub mod name;
pub mod ranking;
pub mod state;
mod sums;
pub mod task;

pub use family::catalogue;
pub use job::{CustomMetric, EXCLUDED, FAILURES, JobMetric, RateAt, sums_of};
pub use sums::{ExactQuantiles, MergedHistograms, Moments, QUANTILES, Sums};

use crate::metric::interval::Interval;
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

/// Returns the SQL literal of an empty sum.
pub fn empty_sql(sum: Sum) -> &'static str {
    match sum.merge() {
        Merge::Add => "0",
        Merge::Greatest => "'-Infinity'",
        Merge::Least => "'Infinity'",
        Merge::Moments => "'{0,0,0}'",
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
