//! Finishes metrics from the merged states of a window.

use std::collections::{BTreeMap, HashMap};

use crate::domain::cohort::Cohort;
use crate::domain::window::Slice;
use crate::metric::family;
use crate::metric::family::fairness::Group;
use crate::metric::measurement::{Counts, Measurement, Sample};
use crate::metric::ranking::Ranking;
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
    pub exact_ranking: Option<Ranking>,
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
        .iter()
        .map(|m| {
            let sums = sums(job, m, total(m).unwrap_or(f64::NAN));
            let metrics = job.metrics.iter().map(|metric| (metric.name().to_owned(), metric.finish(&sums))).collect();
            let interval = |metric: &JobMetric| Some((metric.name().to_owned(), metric.interval(&sums)?));
            let intervals = job.metrics.iter().filter_map(interval).collect();
            let mut sample = Sample { counts: m.counts, metrics, intervals, notes: BTreeMap::new() };
            add_gaps(job, m, &merged, &mut sample);
            Measurement {
                window: m.window.clone(),
                slice: m.slice,
                cohort: m.cohort.clone(),
                model_version: m.model_version.clone(),
                sample,
                confusion: m.histograms.confusion.clone(),
                digest: m.digest.clone(),
            }
        })
        .collect()
}

/// Adds the gaps between groups to the cohort of everything.
fn add_gaps(job: &PlannedJob, whole: &Merged, merged: &[Merged], sample: &mut Sample) {
    if whole.cohort != Cohort::All {
        return;
    }
    for metric in &job.metrics {
        let JobMetric::Fairness(fairness) = metric else { continue };
        let groups: Vec<Group<'_>> = merged
            .iter()
            .filter(|m| (&m.window, m.slice, &m.model_version) == (&whole.window, whole.slice, &whole.model_version))
            .filter_map(|m| {
                let Cohort::Values(values) = &m.cohort else { return None };
                let [(name, value)] = values.as_slice() else { return None };
                (*name == fairness.by).then(|| Group { value: value.clone(), sums: sums(job, m, f64::NAN) })
            })
            .collect();
        if let Some(gap) = fairness.compare(&groups) {
            let name = || fairness.name.to_string();
            sample.metrics.insert(name(), Some(gap.value));
            sample.intervals.extend(gap.interval.map(|interval| (name(), interval)));
            sample.notes.insert(name(), gap.note);
        }
    }
}

fn sums<'a>(job: &'a PlannedJob, merged: &'a Merged, whole_loss: f64) -> Sums<'a> {
    Sums {
        counts: merged.counts,
        order: &job.sums,
        values: &merged.sums,
        parameters: &job.parameters,
        histograms: &merged.histograms,
        exact: merged.exact.as_ref(),
        exact_ranking: merged.exact_ranking.as_ref(),
        due: merged.due,
        whole_loss,
    }
}
