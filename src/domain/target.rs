//! The cohort and model version that a rule judges.

/// Whom a rule judges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub cohort: String,
    /// None: all versions together.
    pub model_version: Option<String>,
}
