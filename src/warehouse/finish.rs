//! Finishes metrics from the merged states of a window.

use std::collections::HashMap;

use crate::domain::cohort::Cohort;
use crate::domain::window::Slice;
use crate::metric::family;
use crate::metric::measurement::{Counts, Measurement, Sample};
use crate::metric::{ExactQuantiles, JobMetric, MergedHistograms, Sums};
use crate::plan::PlannedJob;

/// Merged sums of one (window, cohort, version), as read from the buckets.
#[derive(Debug, Clone)]
pub struct Merged {
    pub window: String,
    pub slice: Slice,
    pub cohort: Cohort,
    pub model_version: Option<String>,
    pub counts: Counts,
    pub sums: Vec<f64>,
    pub histograms: MergedHistograms,
    pub exact: Option<ExactQuantiles>,
    /// Number of predictions whose labels are due, and how many of those labels have arrived.
    pub due: (i64, i64),
    pub digest: String,
}

/// Finishes the metrics of a job. All cohorts of a window are finished together: some metrics compare them.
pub fn finish(job: &PlannedJob, merged: Vec<Merged>) -> Vec<Measurement> {
    let loss = |m: &Merged| family::total_loss(&sums(job, m, f64::NAN));
    let whole: HashMap<(String, Slice, Option<String>), f64> = merged
        .iter()
        .filter(|m| m.cohort == Cohort::All)
        .map(|m| ((m.window.clone(), m.slice, m.model_version.clone()), loss(m)))
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

fn sums<'a>(job: &'a PlannedJob, merged: &'a Merged, whole_loss: f64) -> Sums<'a> {
    Sums {
        counts: merged.counts,
        order: &job.sums,
        values: &merged.sums,
        parameters: &job.parameters,
        histograms: &merged.histograms,
        exact: merged.exact.as_ref(),
        due: merged.due,
        whole_loss,
    }
}
