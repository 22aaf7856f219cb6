//! A measurement: the finished metrics of one window, cohort and version. The value that stages hand to each other.

use std::collections::BTreeMap;

use crate::plan::PlannedJob;
use crate::plan::cohort::Cohort;
use crate::plan::interval::Interval;
use crate::plan::metric::Sums;
use crate::plan::rule::RuleMetric;
use crate::plan::window::Slice;

/// Metrics of one (window, cohort, version).
#[derive(Debug, Clone)]
pub struct Measurement {
    pub window: String,
    pub slice: Slice,
    pub cohort: Cohort,
    /// None: all versions together.
    pub model_version: Option<String>,
    pub counts: Counts,
    /// By name; None where there was nothing to average.
    pub metrics: BTreeMap<&'static str, Option<f64>>,
    pub intervals: BTreeMap<&'static str, Interval>,
    /// Decimal text of an order-independent digest of the pairs.
    pub digest: String,
}

/// How many predictions there were, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub predictions: i64,
    pub labeled: i64,
    pub excluded: i64,
    pub duplicates: i64,
    pub ambiguous: i64,
}

impl Counts {
    /// labeled / predictions, from 0 to 1. None without predictions.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn coverage(&self) -> Option<f64> {
        (self.predictions > 0).then(|| self.labeled as f64 / self.predictions as f64)
    }
}

/// Merged sums of one (window, cohort, version), as they come from the buckets.
#[derive(Debug, Clone)]
pub struct Merged {
    pub window: String,
    pub slice: Slice,
    pub cohort: Cohort,
    pub model_version: Option<String>,
    pub counts: Counts,
    pub sums: Vec<f64>,
    pub digest: String,
}

impl Merged {
    /// Finishes the metrics of a job.
    pub fn finish(self, job: &PlannedJob) -> Measurement {
        let sums = Sums { labeled: self.counts.labeled, order: &job.sums, values: &self.sums };
        let labeled = self.counts.labeled > 0;
        let value = |finish: fn(&Sums<'_>) -> f64| Some(finish(&sums)).filter(|v| labeled && v.is_finite());
        let metrics = job.metrics.iter().map(|metric| (metric.name, value(metric.finish))).collect();
        let intervals = job.metrics.iter().filter_map(|metric| Some((metric.name, metric.interval?(&sums)?))).collect();
        Measurement {
            window: self.window,
            slice: self.slice,
            cohort: self.cohort,
            model_version: self.model_version,
            counts: self.counts,
            metrics,
            intervals,
            digest: self.digest,
        }
    }
}

impl Measurement {
    /// The value a rule compares. None where there is nothing to compare.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn value(&self, metric: RuleMetric) -> Option<f64> {
        match metric {
            RuleMetric::Catalogue(name) => self.metrics.get(name).copied().flatten(),
            RuleMetric::Predictions => Some(self.counts.predictions as f64),
            RuleMetric::Labeled => Some(self.counts.labeled as f64),
            RuleMetric::Coverage => self.counts.coverage(),
        }
    }
}
