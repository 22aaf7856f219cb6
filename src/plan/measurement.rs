//! A measurement: the finished metrics of one window, cohort and version. The value that stages hand to each other.

use std::collections::{BTreeMap, HashMap};

use crate::plan::PlannedJob;
use crate::plan::cohort::Cohort;
use crate::plan::histogram::Histogram;
use crate::plan::interval::Interval;
use crate::plan::metric::sum::Sum;
use crate::plan::metric::{ExactQuantiles, JobMetric, Sums};
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
    pub sample: Sample,
    /// Decimal text of an order-independent digest of the pairs.
    pub digest: String,
}

/// What rules see of a measurement.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    pub counts: Counts,
    /// By name; None where there was nothing to average.
    pub metrics: BTreeMap<String, Option<f64>>,
    pub intervals: BTreeMap<String, Interval>,
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

    /// Share of the predictions that have any label, usable or not. None without predictions.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn received(&self) -> Option<f64> {
        (self.predictions > 0).then(|| (self.labeled + self.excluded) as f64 / self.predictions as f64)
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
    pub errors: Histogram,
    pub exact: Option<ExactQuantiles>,
    pub latency: Histogram,
    /// Predictions whose labels are due, and those of them that have one.
    pub due: (i64, i64),
    pub digest: String,
}

/// Finishes the metrics of a job. All cohorts of a window are finished together: some metrics compare them.
pub fn finish(job: &PlannedJob, merged: Vec<Merged>) -> Vec<Measurement> {
    let squared_error = |m: &Merged| sums(job, m, f64::NAN).get(Sum::SquaredError);
    let whole: HashMap<(String, Slice, Option<String>), f64> = merged
        .iter()
        .filter(|m| m.cohort == Cohort::All)
        .map(|m| ((m.window.clone(), m.slice, m.model_version.clone()), squared_error(m)))
        .collect();
    let total = |m: &Merged| whole.get(&(m.window.clone(), m.slice, m.model_version.clone())).copied();
    merged
        .into_iter()
        .map(|m| {
            let sums = sums(job, &m, total(&m).unwrap_or(f64::NAN));
            let metrics = job.metrics.iter().map(|metric| (metric.name().to_owned(), metric.finish(&sums))).collect();
            let interval = |metric: &JobMetric| Some((metric.name().to_owned(), metric.interval(&sums)?));
            let intervals = job.metrics.iter().filter_map(interval).collect();
            Measurement {
                window: m.window,
                slice: m.slice,
                cohort: m.cohort,
                model_version: m.model_version,
                sample: Sample { counts: m.counts, metrics, intervals },
                digest: m.digest,
            }
        })
        .collect()
}

fn sums<'a>(job: &'a PlannedJob, merged: &'a Merged, all_squared_error: f64) -> Sums<'a> {
    Sums {
        counts: merged.counts,
        order: &job.sums,
        values: &merged.sums,
        parameters: &job.parameters,
        errors: &merged.errors,
        exact: merged.exact.as_ref(),
        latency: &merged.latency,
        due: merged.due,
        all_squared_error,
    }
}

impl Sample {
    /// The value a rule compares. None where there is nothing to compare.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn value(&self, metric: &RuleMetric) -> Option<f64> {
        match metric {
            RuleMetric::Named(name) => self.metrics.get(&**name).copied().flatten(),
            RuleMetric::Predictions => Some(self.counts.predictions as f64),
            RuleMetric::Labeled => Some(self.counts.labeled as f64),
            RuleMetric::Coverage => self.counts.coverage(),
            RuleMetric::Received => self.counts.received(),
            RuleMetric::Duplicates => Some(self.counts.duplicates as f64),
            RuleMetric::Ambiguous => Some(self.counts.ambiguous as f64),
        }
    }
}
