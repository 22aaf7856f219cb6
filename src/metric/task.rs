//! Kinds of prediction: numbers, one of two classes, or one of several.

/// The kind of prediction, with the settings that its metrics need.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Task {
    /// A number.
    #[default]
    Regression,
    /// One of several classes. `predicted` and `actual` are codes of classes; see [`crate::metric::confusion`].
    Multiclass(Multiclass),
    /// One of two classes. `predicted` is the score of the positive class, `actual` is 1 for a positive label and 0 for a
    /// negative one.
    Binary(Binary),
}

/// Settings of a task with several classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Multiclass {
    /// Index of the log loss of a pair among the extra values, where the job has probabilities.
    pub log_loss: Option<usize>,
}

/// Settings of a task with two classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// How a score becomes a decision.
    pub decision: Decision,
    /// Meaning of scores.
    pub scores: Scores,
    pub cost: Option<Cost>,
    /// Other thresholds that rates of positive decisions are kept for.
    pub thresholds: Vec<f64>,
    /// Share of the highest scores in `precision_at_top` and `lift_at_top`; above 0, at most 1.
    pub top: f64,
}

/// How a score becomes a decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decision {
    /// Positive at or above this score.
    Threshold(f64),
    /// 1 or 0 in the extra value of this index.
    Extra(usize),
}

/// Meaning of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// Probabilities of the positive class, from 0 to 1.
    Probabilities,
    /// Any finite numbers: only their order means something.
    Any,
}

/// Costs of wrong decisions, in any one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub false_positive: f64,
    pub false_negative: f64,
}

impl Task {
    /// Its name in a job file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Binary(_) => "binary",
            Self::Multiclass(_) => "multiclass",
        }
    }

    /// Settings of the classes; `None` for regression.
    pub fn binary(&self) -> Option<&Binary> {
        match self {
            Self::Binary(binary) => Some(binary),
            Self::Regression | Self::Multiclass(_) => None,
        }
    }

    /// Settings of several classes; `None` for other tasks.
    pub fn multiclass(&self) -> Option<&Multiclass> {
        match self {
            Self::Multiclass(multiclass) => Some(multiclass),
            Self::Regression | Self::Binary(_) => None,
        }
    }

    /// True if classes are predicted.
    pub fn has_classes(&self) -> bool {
        !matches!(self, Self::Regression)
    }
}

impl Binary {
    /// The score from which on a decision is positive; `None` if a column says so.
    pub fn threshold(&self) -> Option<f64> {
        match self.decision {
            Decision::Threshold(threshold) => Some(threshold),
            Decision::Extra(_) => None,
        }
    }

    /// SQL that is true if the decision about a score is positive. The row has extra values as `x1 …`.
    pub fn decision_sql(&self, score: &str) -> String {
        match self.decision {
            Decision::Threshold(threshold) => format!("{score} >= {threshold:e}::float8"),
            Decision::Extra(place) => format!("coalesce(x{}, 0) = 1", place + 1),
        }
    }

    /// SQL that is true for a usable score; false or null for NULL, NaN and numbers out of range.
    pub fn usable_sql(&self, score: &str) -> String {
        match self.scores {
            Scores::Probabilities => format!("{score} between 0 and 1"),
            Scores::Any => format!("abs({score}) <= 1e70"),
        }
    }
}

/// The tasks that a metric is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// Every task.
    Always,
    /// Predictions that are numbers.
    Regression,
    /// Two classes.
    Binary,
    /// Two classes, with scores that are probabilities.
    Probabilities,
    /// Several classes.
    Multiclass,
}

impl Applies {
    /// True if a metric of this kind has a meaning for a task.
    pub fn to(self, task: &Task) -> bool {
        match (self, task) {
            (Self::Always, _)
            | (Self::Regression, Task::Regression)
            | (Self::Binary, Task::Binary(_))
            | (Self::Multiclass, Task::Multiclass(_)) => true,
            (Self::Probabilities, Task::Binary(binary)) => binary.scores == Scores::Probabilities,
            _ => false,
        }
    }

    /// In words, for the documentation.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Always => "all",
            Self::Regression => "regression",
            Self::Binary => "binary",
            Self::Probabilities => "binary, with probabilities",
            Self::Multiclass => "multiclass",
        }
    }
}
