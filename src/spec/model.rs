//! `[model]` of a job file: the kind of prediction.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// The kind of prediction, and its settings.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Kind of prediction: `regression` (default), `binary` for one of two classes, or `multiclass` for one of several.
    pub task: Option<TaskSpec>,
    /// Binary: labels that are positive. Default: true, 1, `t`, `true`, `y` and `yes`; false, 0, `f`, `false`, `n` and `no` are
    /// then negative, and pairs with any other label are excluded.
    pub positive: Option<ClassNames>,
    /// Binary: labels that are negative; pairs with any other label are excluded. Default, if `positive` is set: every other label.
    pub negative: Option<ClassNames>,
    /// Binary: a score at or above it is a positive decision. Default 0.5.
    pub threshold: Option<f64>,
    /// Binary: other thresholds; adds the metric `positive_rate_at_0_3` for 0.3.
    pub thresholds: Option<Vec<f64>>,
    /// Binary: column of the prediction row with the decision, instead of `threshold`. True where it is a positive label, or true.
    pub decision: Option<String>,
    /// Binary: `probability` (default), or `any`, whose scores only have an order: no log loss, Brier score or calibration.
    pub scores: Option<ScoresSpec>,
    /// Binary: what wrong decisions cost, for the metric `cost`.
    pub cost: Option<CostSection>,
    /// Multiclass: columns of the prediction row with the probability of each class: `{ billing = "p_billing", other = "p_other" }`.
    pub probabilities: Option<BTreeMap<String, String>>,
}

/// Kind of prediction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskSpec {
    #[default]
    Regression,
    Binary,
    Multiclass,
}

/// Meaning of scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScoresSpec {
    #[default]
    Probability,
    Any,
}

/// Costs of wrong decisions, in any one unit.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostSection {
    pub false_positive: f64,
    pub false_negative: f64,
}

/// Groups that are compared with each other.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FairnessSection {
    /// Dimension whose values are the groups: one that `[[cohorts]]` lists by itself.
    pub by: String,
    /// Group that the others are compared with: a value, or `largest` (default), the one with the most predictions.
    pub reference: Option<String>,
    /// Metrics: `tpr_gap`, `fpr_gap`, `selection_ratio`, `ece_gap`. Default: the first three.
    pub metrics: Option<Vec<String>>,
    /// Least number of predictions of a group in a window. Default 100.
    pub min_group: Option<i64>,
}

/// A class, or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassNames {
    One(ClassName),
    Many(Vec<ClassName>),
}

/// A class, as its column has it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClassName {
    Truth(bool),
    Whole(i64),
    Number(f64),
    Text(String),
}

impl ClassNames {
    /// The classes as texts.
    pub fn words(&self) -> Vec<String> {
        let word = |name: &ClassName| match name {
            ClassName::Truth(truth) => truth.to_string(),
            ClassName::Whole(number) => number.to_string(),
            ClassName::Number(number) => number.to_string(),
            ClassName::Text(text) => text.clone(),
        };
        match self {
            Self::One(name) => vec![word(name)],
            Self::Many(names) => names.iter().map(word).collect(),
        }
    }
}
