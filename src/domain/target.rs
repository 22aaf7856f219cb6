//! The cohort and model version that a rule judges.

/// The subject of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub cohort: String,
    /// `None`: all versions together.
    pub model_version: Option<String>,
}

impl Target {
    /// The total: all cohorts and versions together.
    pub fn total() -> Self {
        Self { cohort: "all".to_owned(), model_version: None }
    }
}
