//! Rules: a condition on a metric of a window, and who is told.

use std::sync::Arc;

use crate::plan::metric::{self, Needs};

/// A validated rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub name: String,
    pub metric: RuleMetric,
    /// Name of a window of the job.
    pub window: String,
    pub condition: Condition,
    /// Consecutive windows in breach before the alert fires; at least 1.
    pub persistence: u32,
    pub min_samples: i64,
    pub min_coverage: f64,
    pub on_final_only: bool,
    pub cohorts: CohortChoice,
    pub versions: VersionChoice,
    pub severity: Severity,
    pub notify: Vec<String>,
    pub runbook: Option<String>,
    pub owner: Option<String>,
}

/// What a rule compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleMetric {
    /// A metric of the job, by name.
    Named(Arc<str>),
    Predictions,
    Labeled,
    Coverage,
}

/// When a value is in breach. NaN never is: it is no value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    Above(f64),
    Below(f64),
    /// Outside of `[low, high]`.
    Outside {
        low: f64,
        high: f64,
    },
}

/// Which cohorts are judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CohortChoice {
    All,
    Each,
    /// The one cohort with this label.
    Label(String),
}

/// Whether versions are judged together or apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionChoice {
    Together,
    Each,
}

/// How urgent a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Page,
    Ticket,
    Info,
}

impl RuleMetric {
    /// The name as it is written in a job file.
    pub fn name(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Predictions => "predictions",
            Self::Labeled => "labeled",
            Self::Coverage => "coverage",
        }
    }

    /// Whether it is a mean over pairs, so that no pairs means no value.
    pub fn needs_labels(&self) -> bool {
        match self {
            Self::Named(name) => metric::find(name).is_none_or(|metric| metric.needs != Needs::Predictions),
            Self::Predictions | Self::Labeled | Self::Coverage => false,
        }
    }
}

impl Condition {
    /// The limit a value is beyond, or would be first.
    pub fn limit_for(self, value: f64) -> f64 {
        match self {
            Self::Above(limit) | Self::Below(limit) => limit,
            Self::Outside { low, high } if value < low || (value - low).abs() < (high - value).abs() => low,
            Self::Outside { high, .. } => high,
        }
    }

    /// In words: `above 250`.
    pub fn describe(self) -> String {
        match self {
            Self::Above(limit) => format!("above {limit}"),
            Self::Below(limit) => format!("below {limit}"),
            Self::Outside { low, high } => format!("below {low} or above {high}"),
        }
    }
}

impl Severity {
    /// The word that is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Info => "info",
        }
    }
}

impl Rule {
    /// Whether the rule judges a cohort and version, should there be any predictions of it.
    pub fn covers(&self, cohort: &str, model_version: Option<&str>) -> bool {
        let chosen = match &self.cohorts {
            CohortChoice::All => cohort == "all",
            CohortChoice::Each => cohort != "all",
            CohortChoice::Label(label) => cohort == label,
        };
        chosen && model_version.is_some() == (self.versions == VersionChoice::Each)
    }

    /// Identifies what the rule means. Verdicts of another meaning do not count towards its state.
    pub fn fingerprint(&self) -> String {
        format!(
            "{} {} {:?} for={} samples={} coverage={} final={} {:?} {:?}",
            self.metric.name(),
            self.window,
            self.condition,
            self.persistence,
            self.min_samples,
            self.min_coverage,
            self.on_final_only,
            self.cohorts,
            self.versions
        )
    }
}
