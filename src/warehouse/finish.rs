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

/// All cohorts of one window and version: some metrics compare a cohort with the whole, or cohorts with each other.
#[derive(Default)]
struct Family<'a> {
    members: Vec<&'a Merged>,
    /// Summed loss of all cohorts together. `None` if the whole is not there.
    loss: Option<f64>,
}

/// Window, slice and version.
type FamilyKey<'a> = (&'a str, Slice, Option<&'a str>);

impl Merged {
    fn family(&self) -> FamilyKey<'_> {
        (&self.window, self.slice, self.model_version.as_deref())
    }
}

/// Finishes the metrics of a job. All cohorts of a window are finished together.
pub fn finish(job: &PlannedJob, merged: &[Merged]) -> Vec<Measurement> {
    let mut families: HashMap<FamilyKey<'_>, Family<'_>> = HashMap::new();
    for m in merged {
        let family = families.entry(m.family()).or_default();
        family.members.push(m);
        if m.cohort == Cohort::All {
            family.loss = Some(family::total_loss(&sums(job, m, f64::NAN)));
        }
    }
    merged.iter().map(|m| measurement(job, m, &families[&m.family()])).collect()
}

fn measurement(job: &PlannedJob, m: &Merged, family: &Family<'_>) -> Measurement {
    let sums = sums(job, m, family.loss.unwrap_or(f64::NAN));
    let metrics = job.metrics.iter().map(|metric| (metric.name().to_owned(), metric.finish(&sums))).collect();
    let interval = |metric: &JobMetric| Some((metric.name().to_owned(), metric.interval(&sums)?));
    let intervals = job.metrics.iter().filter_map(interval).collect();
    let mut sample = Sample { counts: m.counts, metrics, intervals, notes: BTreeMap::new() };
    if m.cohort == Cohort::All {
        add_gaps(job, family, &mut sample);
    }
    Measurement {
        window: m.window.clone(),
        slice: m.slice,
        cohort: m.cohort.clone(),
        model_version: m.model_version.clone(),
        sample,
        confusion: m.histograms.confusion.clone(),
        digest: m.digest.clone(),
    }
}

/// Adds the gaps between the groups of a window.
fn add_gaps(job: &PlannedJob, family: &Family<'_>, sample: &mut Sample) {
    for fairness in job.gaps() {
        let groups: Vec<Group<'_>> = family.members.iter().filter_map(|m| group(job, m, &fairness.by)).collect();
        if let Some(gap) = fairness.compare(&groups) {
            let name = || fairness.name.to_string();
            sample.metrics.insert(name(), Some(gap.value));
            sample.intervals.extend(gap.interval.map(|interval| (name(), interval)));
            sample.notes.insert(name(), gap.note);
        }
    }
}

/// The merged sums of a cohort as a group, if it is a value of this dimension alone.
fn group<'a>(job: &'a PlannedJob, m: &'a Merged, by: &str) -> Option<Group<'a>> {
    let Cohort::Values(values) = &m.cohort else { return None };
    let [(name, value)] = values.as_slice() else { return None };
    (*name == by).then(|| Group { value: value.clone(), sums: sums(job, m, f64::NAN) })
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
