//! A measurement: the finished metrics of one window, cohort and version, passed between stages.

use std::collections::BTreeMap;

use crate::domain::cohort::Cohort;
use crate::domain::window::Slice;
use crate::metric::confusion::Confusion;
use crate::metric::interval::Interval;
use crate::metric::name::MetricName;

/// Metrics of one (window, cohort, version).
#[derive(Debug, Clone)]
pub struct Measurement {
    pub window: String,
    pub slice: Slice,
    pub cohort: Cohort,
    /// `None`: all versions together.
    pub model_version: Option<String>,
    pub sample: Sample,
    /// Predicted and actual classes, where there are several; else empty.
    pub confusion: Confusion,
    /// Decimal text of an order-independent digest of the pairs.
    pub digest: String,
}

/// The part of a measurement that rules see.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    pub counts: Counts,
    /// By name; `None` if there was nothing to average.
    pub metrics: BTreeMap<String, Option<f64>>,
    pub intervals: BTreeMap<String, Interval>,
    /// Subject of a number, by metric: the groups that a gap is between.
    pub notes: BTreeMap<String, String>,
}

/// Number of predictions, in total and by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub predictions: i64,
    pub labeled: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
}

impl Counts {
    /// labeled / predictions, from 0 to 1. `None` without predictions.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn coverage(&self) -> Option<f64> {
        (self.predictions > 0).then(|| self.labeled as f64 / self.predictions as f64)
    }

    /// Share of the predictions that have any label, usable or not. `None` without predictions.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn received(&self) -> Option<f64> {
        (self.predictions > 0).then(|| (self.labeled + self.excluded) as f64 / self.predictions as f64)
    }
}

impl Sample {
    /// Returns the value that a rule compares; `None` if there is nothing to compare.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn value(&self, metric: &MetricName) -> Option<f64> {
        match metric {
            MetricName::Named(name) | MetricName::Unlabeled(name) => self.metrics.get(&**name).copied().flatten(),
            MetricName::Predictions => Some(self.counts.predictions as f64),
            MetricName::Labeled => Some(self.counts.labeled as f64),
            MetricName::Coverage => self.counts.coverage(),
            MetricName::Received => self.counts.received(),
            MetricName::Duplicates => Some(self.counts.duplicates as f64),
            MetricName::Ambiguous => Some(self.counts.ambiguous as f64),
        }
    }
}
