//! The declarations of a job that its rules are checked against.

use chrono::TimeDelta;

use super::conditions::Known;
use crate::domain::window::Window;
use crate::metric::{JobMetric, Parameters};
use crate::plan::cohort::{CohortSet, Dimension};
use crate::spec::JobSpec;

/// The declarations of a job that rules are checked against.
#[derive(Clone, Copy)]
pub(super) struct Job<'a> {
    pub spec: &'a JobSpec,
    pub windows: &'a [Window],
    pub metrics: &'a [JobMetric],
    pub parameters: &'a Parameters,
    pub cohorts: Cohorts<'a>,
    pub receivers: &'a [String],
    /// Usual time between two runs.
    pub gap: Option<TimeDelta>,
}

impl Job<'_> {
    pub(super) fn known(&self) -> Known<'_> {
        Known {
            windows: self.windows,
            metrics: self.metrics,
            parameters: self.parameters,
            versioned: self.spec.predictions.version.is_some(),
        }
    }
}

/// Dimensions and declarations of cohorts.
pub(super) type Cohorts<'a> = (&'a [Dimension], &'a [CohortSet]);
