//! A validated job. No impossible states: everything here can be run.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::cohort::Cohort;
use crate::domain::schedule::Schedule;
use crate::domain::window;
use crate::metric::family::fairness::Fairness;
use crate::metric::name::MetricName;
use crate::metric::state::Sum;
use crate::metric::state::kind::Histograms;
use crate::metric::{self, JobMetric, Parameters};
use crate::plan::cohort::{CohortSet, Dimension};
use crate::plan::extra::{self, Extra};
use crate::plan::model::{self, Model};
use crate::plan::objective::Slo;
use crate::plan::rule::{CONTRADICTIONS, Condition, Limits, Rule, Test, When};
use crate::plan::source::{Labels, Predictions, SourceFacts};
use crate::plan::windows::Windows;

/// One job, planned.
#[derive(Debug, Clone)]
pub struct PlannedJob {
    pub name: String,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub runbook: Option<String>,
    /// Unit of the target, as printed.
    pub unit: Option<String>,
    pub schedule: Schedule,
    pub predictions: Predictions,
    pub labels: Labels,
    pub model: Model,
    pub windows: Windows,
    /// Retention of residuals, by event time.
    pub keep: TimeDelta,
    /// Number of the largest errors of a window that are kept longer.
    pub worst: i64,
    /// All dimensions of all cohort sets, by name.
    pub dimensions: Vec<Dimension>,
    pub cohort_sets: Vec<CohortSet>,
    /// Names of dimensions whose values appear only in SQL.
    pub hidden: Vec<String>,
    pub metrics: Vec<JobMetric>,
    pub parameters: Parameters,
    /// Values of a pair besides predicted and actual: the weight, if any, then those of custom metrics.
    pub extras: Vec<Extra>,
    /// Expressions are evaluated row by row because one failed; rows on which one fails are counted.
    pub row_by_row: bool,
    /// Paths of dimensions and extra values in the job file, for messages.
    pub declared: Declared,
    /// The sums that buckets keep, in this order.
    pub sums: Vec<Sum>,
    /// Built-in rules first.
    pub rules: Vec<Rule>,
    /// Names of the enabled built-in rules about runs.
    pub run_rules: Vec<String>,
    pub slos: Vec<Slo>,
    /// Receivers for rules that name none.
    pub notify: Vec<String>,
    /// The text of the job file.
    pub spec: String,
}

/// Paths in the job file, such as `cohorts[0].by[1]`.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// First declaration of each dimension.
    pub dimensions: Vec<String>,
    /// Declaration of each extra value.
    pub extras: Vec<String>,
}

impl PlannedJob {
    /// Age up to which a run may read measured windows, to compare with them or to correct them.
    pub fn looks_back(&self) -> TimeDelta {
        let reach = |test: &Test| match &test.limits {
            Limits::Relative { baseline, .. } => {
                let window = self.windows.all.iter().find(|window| window.name == test.window);
                window.map_or(TimeDelta::zero(), |window| baseline.reach(window))
            }
            Limits::Fixed(_) => TimeDelta::zero(),
        };
        let tests = self.rules.iter().flat_map(|rule| rule.when.tests());
        let baselines = tests.map(reach).max().unwrap_or_default();
        self.windows.horizon + self.windows.lookback.max(baselines)
    }

    /// True if a run can read only the rows that arrived since the last run.
    pub fn is_incremental(&self) -> bool {
        self.predictions.arrived_at.is_some() && self.labels.arrived_at.is_some()
    }

    /// Start of the first bucket whose residuals a run keeps. They include the overlap that the next run reads again, so
    /// that labels of that age still find their residuals.
    pub fn residual_from(&self, as_of: DateTime<Utc>) -> DateTime<Utc> {
        window::floor(as_of - self.keep - self.schedule.overlap, self.windows.bucket)
    }

    /// Names of the dimensions, in their order.
    pub fn dimension_names(&self) -> Vec<String> {
        self.dimensions.iter().map(|dimension| dimension.name.clone()).collect()
    }

    /// The histograms that buckets keep.
    pub fn histograms(&self) -> Histograms {
        self.metrics.iter().flat_map(JobMetric::histograms).copied().collect()
    }

    /// SQL of the predicted value of a row: a number, or the score of the positive class.
    pub fn predicted_sql(&self, facts: &SourceFacts, row: &str) -> String {
        let column = format!("{row}.{}", self.predictions.value);
        match &self.model {
            // A decision in place of a score is a score of 1 or 0.
            Model::Binary(labels) if !facts.predicted.is_number() => labels.number(&column, facts.predicted),
            Model::Regression | Model::Binary(_) => facts.predicted.float(&column),
            Model::Multiclass => model::class_code(&column, facts.predicted),
        }
    }

    /// SQL of the label of a row: a number, or 1 for a positive and 0 for a negative class.
    pub fn actual_sql(&self, facts: &SourceFacts, row: &str) -> String {
        let column = format!("{row}.{}", self.labels.value);
        match &self.model {
            Model::Binary(labels) => labels.number(&column, facts.actual),
            Model::Regression => facts.actual.float(&column),
            Model::Multiclass => model::class_code(&column, facts.actual),
        }
    }

    /// The cohort of a row of a cohort set. Set 0 is everything; set `i` is the `i`-th declaration.
    pub fn cohort(&self, set: i16, values: Option<Vec<Option<String>>>) -> Cohort {
        let declared = usize::try_from(set).ok().and_then(|set| self.cohort_sets.get(set.checked_sub(1)?));
        let Some(declared) = declared else { return Cohort::All };
        let names = declared.dimensions.iter().map(|at| self.dimensions[*at].name.clone());
        match values {
            Some(values) => Cohort::Values(names.zip(values).collect()),
            None => Cohort::Other(names.collect()),
        }
    }

    /// True if the job uses any expression, which may fail on a row.
    pub fn has_expressions(&self) -> bool {
        self.predictions.filter.is_some()
            || !self.extras.is_empty()
            || self.dimensions.iter().any(|dimension| !dimension.is_column())
    }

    /// The same job with its expressions evaluated row by row. Failures are counted in an additional metric, which the
    /// built-in rule `contradictions` checks.
    pub fn evaluated_row_by_row(&self) -> Self {
        let mut job = Self { row_by_row: true, ..self.clone() };
        job.metrics.push(JobMetric::Failures(job.extras.len()));
        job.sums = metric::sums_of(&job.metrics);
        let rules = job.rules.iter_mut().filter(|rule| rule.built_in && rule.name == CONTRADICTIONS);
        for rule in rules {
            if let When::Any(tests) = &mut rule.when {
                let more_than_none = Limits::Fixed(Condition::Above(0.0));
                tests.push(Test::new(MetricName::Unlabeled(metric::FAILURES.into()), &rule.window, more_than_none));
            }
        }
        job
    }

    /// Number of extra values of a pair.
    pub fn extra_values(&self) -> usize {
        self.extras.len() + usize::from(self.row_by_row)
    }

    /// The prediction columns that its filter, cohorts and expressions name.
    pub fn named_columns(&self) -> BTreeSet<String> {
        let filter = self.predictions.filter.iter().flat_map(|filter| filter.columns());
        let dimensions = self.dimensions.iter().flat_map(|dimension| dimension.columns());
        filter.chain(dimensions).chain(extra::columns(&self.extras)).collect()
    }

    /// Identifies what is measured: buckets with different fingerprints never mix.
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let meaning = format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            self.predictions,
            self.labels,
            (&self.model, &self.parameters.task, self.gaps().collect::<Vec<_>>()),
            crate::plan::rollup::grains(&self.windows),
            self.dimensions,
            self.cohort_sets.iter().map(|set| &set.dimensions).collect::<Vec<_>>(),
            (&self.sums, self.histograms(), &self.extras, self.parameters.tolerance, self.parameters.huber_delta)
        );
        hexadecimal(Sha256::digest(meaning.as_bytes()).as_slice())
    }

    /// The comparisons of groups that it keeps.
    pub fn gaps(&self) -> impl Iterator<Item = &Fairness> {
        self.metrics.iter().filter_map(|metric| match metric {
            JobMetric::Fairness(fairness) => Some(fairness),
            _ => None,
        })
    }

    /// Identifies the rows that are read, independent of the metrics.
    pub fn source_fingerprint(&self) -> String {
        use sha2::{Digest, Sha256};
        let (p, l) = (&self.predictions, &self.labels);
        let rows = format!("{:?} {:?} {:?} {:?} {:?} {:?}", p.relation, p.id, p.at, p.filter, l.relation, l.id);
        hexadecimal(Sha256::digest(rows.as_bytes()).as_slice())
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
