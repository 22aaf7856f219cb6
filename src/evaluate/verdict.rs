//! Judgements of windows, and the reasons for them.

use crate::domain::verdict::Verdict;

/// Why a verdict was reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    WithinLimit,
    AboveLimit,
    BelowLimit,
    NoPredictions,
    NoLabels,
    TooFewSamples {
        labeled: i64,
        needed: i64,
    },
    LowCoverage {
        coverage: f64,
        needed: f64,
    },
    /// The value is beyond the limit, its confidence bound is not.
    NotSignificant {
        bound: Option<f64>,
    },
    /// Too few past windows to compare with.
    NoBaseline {
        found: usize,
        needed: usize,
    },
    NotANumber,
    /// A series disappeared.
    Gone,
    /// Verdict and reason of each condition of the rule, by the name of its metric.
    Several(Vec<(String, Verdict, Reason)>),
}

impl Reason {
    /// In words, as stored with the verdict.
    pub fn describe(&self) -> String {
        match self {
            Self::WithinLimit => "within the limit".to_owned(),
            Self::AboveLimit => "above the limit".to_owned(),
            Self::BelowLimit => "below the limit".to_owned(),
            Self::NoPredictions => "no predictions in the window".to_owned(),
            Self::NoLabels => "no usable labels in the window".to_owned(),
            Self::TooFewSamples { labeled, needed } => format!("{labeled} labeled pairs, {needed} needed"),
            Self::LowCoverage { coverage, needed } => format!("coverage {coverage:.3}, {needed:.3} needed"),
            Self::NotSignificant { bound: Some(bound) } => {
                format!("beyond the limit, but not significantly: the confidence bound is {bound:.6}")
            }
            Self::NotSignificant { bound: None } => "beyond the limit, but there is no confidence bound".to_owned(),
            Self::NoBaseline { found, needed } => format!("{found} past windows to compare with, {needed} needed"),
            Self::NotANumber => "the value is not a number".to_owned(),
            Self::Gone => "no predictions in the window, unlike before".to_owned(),
            Self::Several(parts) => {
                let parts = parts.iter().map(|(name, _, reason)| format!("{name}: {}", reason.describe()));
                parts.collect::<Vec<_>>().join("; ")
            }
        }
    }
}

/// A verdict with its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reason: Reason,
    pub value: Option<f64>,
    /// `None` if no limit could be determined.
    pub limit: Option<f64>,
    /// The baseline that the limit comes from, if any.
    pub baseline: Option<f64>,
}
