//! Names of the values that rules compare: catalog metrics, the job's own metrics, and counts of predictions.

use std::sync::Arc;

use crate::metric::{self, JobMetric, Requirement};

/// The value that a rule compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricName {
    /// A metric of the job that is computed from pairs, by name.
    Named(Arc<str>),
    /// A metric of the job that needs no label, by name.
    Unlabeled(Arc<str>),
    Predictions,
    Labeled,
    Coverage,
    /// Share of the predictions that have any label, usable or not.
    Received,
    /// Predictions left out because their key is not unique.
    Duplicates,
    /// Predictions left out because their labels disagree.
    Ambiguous,
}

/// Counts that every job keeps: the one list of them.
pub const COUNTS: [MetricName; 6] = [
    MetricName::Predictions,
    MetricName::Labeled,
    MetricName::Coverage,
    MetricName::Received,
    MetricName::Duplicates,
    MetricName::Ambiguous,
];

/// Names that a job's own metrics cannot have: the counts, and the other numbers of every window.
pub fn is_reserved(name: &str) -> bool {
    MetricName::count(name).is_some() || [metric::EXCLUDED, metric::FAILURES].contains(&name)
}

impl MetricName {
    /// The name of a metric of the job.
    pub fn of(metric: &JobMetric) -> Self {
        match metric.needs() {
            Requirement::Predictions => Self::Unlabeled(metric.name().into()),
            _ => Self::Named(metric.name().into()),
        }
    }

    /// The count of this name.
    pub fn count(name: &str) -> Option<Self> {
        COUNTS.into_iter().find(|count| count.name() == name)
    }

    /// Returns the name as written in a job file.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) | Self::Unlabeled(name) => name,
            Self::Predictions => "predictions",
            Self::Labeled => "labeled",
            Self::Coverage => "coverage",
            Self::Received => "received",
            Self::Duplicates => "duplicates",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// True if it is a count, which is 0 rather than missing.
    pub fn is_count(&self) -> bool {
        matches!(self, Self::Predictions | Self::Labeled | Self::Duplicates | Self::Ambiguous)
    }

    /// True if it is computed from pairs, so that it has no value without pairs.
    pub fn needs_labels(&self) -> bool {
        match self {
            Self::Named(_) => true,
            Self::Unlabeled(_)
            | Self::Predictions
            | Self::Labeled
            | Self::Coverage
            | Self::Received
            | Self::Duplicates
            | Self::Ambiguous => false,
        }
    }
}
