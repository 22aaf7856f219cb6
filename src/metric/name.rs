//! Names of what rules compare: metrics of the catalogue, of the job, and counts of predictions.

use std::sync::Arc;

use crate::metric::{self, Requirement};

/// What a rule compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricName {
    /// A metric of the job, by name.
    Named(Arc<str>),
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

impl MetricName {
    /// The name as it is written in a job file.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Predictions => "predictions",
            Self::Labeled => "labeled",
            Self::Coverage => "coverage",
            Self::Received => "received",
            Self::Duplicates => "duplicates",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// Whether it counts something, so that it is 0 where there is nothing.
    pub fn is_count(&self) -> bool {
        matches!(self, Self::Predictions | Self::Labeled | Self::Duplicates | Self::Ambiguous)
    }

    /// Whether it is a mean over pairs, so that no pairs means no value.
    pub fn needs_labels(&self) -> bool {
        match self {
            Self::Named(name) => metric::find(name).is_none_or(|metric| metric.needs != Requirement::Predictions),
            Self::Predictions
            | Self::Labeled
            | Self::Coverage
            | Self::Received
            | Self::Duplicates
            | Self::Ambiguous => false,
        }
    }
}
