//! The five results of judging a window. Only `breach` can open an alert, only `ok` can close one.

/// Result of a rule on one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    Breach,
    /// There is a value, but too little behind it.
    Insufficient,
    /// There is nothing to compare.
    NoData,
    /// The value is not a number.
    Error,
}

impl Verdict {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Breach => "breach",
            Self::Insufficient => "insufficient",
            Self::NoData => "no_data",
            Self::Error => "error",
        }
    }
}

/// Why a verdict was reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    WithinLimit,
    AboveLimit,
    BelowLimit,
    NoPredictions,
    NoLabels,
    TooFewSamples { labeled: i64, needed: i64 },
    LowCoverage { coverage: f64, needed: f64 },
    NotANumber,
}

impl Reason {
    /// In words, as stored with the verdict.
    pub fn describe(self) -> String {
        match self {
            Self::WithinLimit => "within the limit".to_owned(),
            Self::AboveLimit => "above the limit".to_owned(),
            Self::BelowLimit => "below the limit".to_owned(),
            Self::NoPredictions => "no predictions in the window".to_owned(),
            Self::NoLabels => "no usable labels in the window".to_owned(),
            Self::TooFewSamples { labeled, needed } => format!("{labeled} labeled pairs, {needed} needed"),
            Self::LowCoverage { coverage, needed } => format!("coverage {coverage:.3}, {needed:.3} needed"),
            Self::NotANumber => "the value is not a number".to_owned(),
        }
    }
}

/// A verdict with what it was reached from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub reason: Reason,
    pub value: Option<f64>,
    pub limit: f64,
}
