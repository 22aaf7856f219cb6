//! The entries of the catalog, by kind of prediction. A new metric is one more entry and its test.

mod binary;
mod calibration;
pub mod fairness;
mod multiclass;
mod regression;

pub use calibration::CURVE;

use super::{Metric, Sums, find};
use crate::metric::state::Sum;
use crate::metric::task::{Scores, Task};

/// All metrics, family by family.
pub fn catalogue() -> impl Iterator<Item = &'static Metric> + Clone {
    [regression::FAMILY, binary::FAMILY, calibration::FAMILY, multiclass::FAMILY].into_iter().flatten()
}

/// The numbers behind these metrics that are kept with them: the confusion matrix of decisions, and the curve of a calibration error.
pub fn behind(metrics: &[&'static Metric]) -> Vec<&'static Metric> {
    let any = |sum: Sum| metrics.iter().any(|metric| metric.sums.contains(&sum));
    let is_new = |metric: &&'static Metric| !metrics.iter().any(|kept| kept.name == metric.name);
    let confusion = any(Sum::TruePositives).then_some(binary::CONFUSION).into_iter().flatten();
    let confusion = confusion.filter_map(|name| find(name)).filter(is_new);
    let curve = any(Sum::CalibrationCount(0)).then_some(calibration::CURVE).into_iter().flatten();
    confusion.chain(curve).collect()
}

/// Summed loss of the pairs, of which cohorts have shares: squared error; log loss, where scores are probabilities; or wrong
/// decisions. NaN if the sums are not kept.
pub fn total_loss(sums: &Sums<'_>) -> f64 {
    match &sums.parameters.task {
        Task::Regression => sums.get(Sum::SquaredError),
        Task::Binary(binary) if binary.scores == Scores::Probabilities => sums.moments(Sum::LogLossMoments).sum,
        Task::Binary(_) => binary::wrong(sums),
        Task::Multiclass(_) => sums.histograms.confusion.wrong(),
    }
}
