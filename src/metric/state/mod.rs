//! The content of buckets: sums over pairs, from which every metric of every window follows by merging.

pub mod histogram;
pub mod kind;
pub mod score;

use crate::metric::Parameters;
use crate::metric::task::Task;

/// A sum that buckets store. The order is that of the stored array: scalars first, then moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// Σ|e|, in the target unit.
    AbsError,
    /// Σe², in the square of the target unit.
    SquaredError,
    /// Σe⁴, for the variance of MSE.
    FourthPower,
    /// Greatest |e|.
    GreatestAbsError,
    LeastAbsError,
    /// Σ|actual|.
    AbsActual,
    GreatestActual,
    LeastActual,
    /// Σ|e / actual| over pairs whose actual is not 0, and the number of those pairs.
    PercentageError,
    PercentageCount,
    /// Σ 2|e| / (|predicted| + |actual|), 0 for 0/0.
    SymmetricPercentageError,
    /// Σ(ln(1 + predicted) − ln(1 + actual))² over pairs without a negative side, and the number of those pairs.
    SquaredLogError,
    LogCount,
    /// Σ of Huber loss.
    Huber,
    /// Pairs with |e| within the tolerance.
    WithinCount,
    /// Pairs with e > 0, and with e < 0.
    OverCount,
    UnderCount,
    /// Σ weight, Σ weight·e², Σ weight·|e|.
    Weight,
    WeightedSquaredError,
    WeightedAbsError,
    /// Pairs with a positive label, and those of them whose decision is positive.
    Positives,
    TruePositives,
    /// Pairs with a negative label whose decision is positive.
    FalsePositives,
    /// Pairs with a score in the n-th tenth from 0 to 1, the sum of their scores, and how many of their labels are positive.
    CalibrationCount(u8),
    CalibrationScore(u8),
    CalibrationPositives(u8),
    /// Predictions, labeled or not, with a score in the n-th tenth.
    ScoresInTenth(u8),
    /// Σ(y − p)(1 − 2p) and Σp(1 − p)(1 − 2p)²: the two sides of Spiegelhalter's test.
    SpiegelhalterDifference,
    SpiegelhalterVariance,
    /// Predictions, labeled or not, with a positive decision, and with a score that cannot be used.
    PositiveDecisions,
    UnusableScores,
    /// Predictions, labeled or not, with a score at or above the n-th other threshold.
    PositiveDecisionsAt(usize),
    /// Σ of the log loss of pairs of several classes, and the number of pairs that have one.
    ClassLogLoss,
    ClassLogLossCount,
    /// Σ of the binary entropy of all scores, in nats.
    ScoreEntropy,
    /// Σ of the n-th extra value of a pair; see `PlannedJob::extras`.
    Extra(usize),
    /// Count, sum and centred sum of squares of e.
    ErrorMoments,
    PredictedMoments,
    ActualMoments,
    /// Of the log loss of a pair, in nats.
    LogLossMoments,
    /// Of the scores of all predictions, labeled or not.
    ScoreMoments,
}

/// How values of a sum become one, within a bucket and between buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    Add,
    Greatest,
    Least,
    /// Count, sum and centred sum of squares, merged by the formula of Chan, Golub and LeVeque: the difference of a sum of
    /// squares and a squared sum would lose all its digits far from zero.
    Moments,
}

/// Powers and products of smaller values would underflow, which is an error in Postgres.
const TINY: &str = "1e-70";

/// Log loss takes a probability that is closer to 0 to be this large, so that it is finite.
const SURE: &str = "1e-15";

/// The bins of calibration: equal parts of the range from 0 to 1.
pub const TENTHS: u8 = 10;

impl Sum {
    /// Returns how it is merged.
    pub fn merge(self) -> Merge {
        match self {
            Self::GreatestAbsError | Self::GreatestActual => Merge::Greatest,
            Self::LeastActual | Self::LeastAbsError => Merge::Least,
            Self::ErrorMoments
            | Self::PredictedMoments
            | Self::ActualMoments
            | Self::LogLossMoments
            | Self::ScoreMoments => Merge::Moments,
            _ => Merge::Add,
        }
    }

    /// Returns how many numbers it is stored as.
    pub fn width(self) -> usize {
        if self.merge() == Merge::Moments { 3 } else { 1 }
    }

    /// Returns the SQL for the value of one pair, null if it does not count. All of `e` (the error), `z2` (its square, 0 where
    /// it would underflow), `p` and `a` (predicted, actual) and `x1 …` (extra values) are null unless the pair is averaged, and
    /// at most 1e70 in size. Where the task has classes, `v` is the score of a prediction, labeled or not, null unless it can be
    /// used, and `u` is 1 if it cannot.
    pub fn row_sql(self, parameters: &Parameters) -> String {
        let number = |value: Option<f64>| format!("{:e}::float8", value.unwrap_or(f64::NAN));
        match self {
            Self::AbsError | Self::GreatestAbsError | Self::LeastAbsError => "abs(e)".to_owned(),
            Self::SquaredError => "z2".to_owned(),
            Self::FourthPower => "z2 * z2".to_owned(),
            Self::AbsActual => "abs(a)".to_owned(),
            Self::GreatestActual | Self::LeastActual | Self::ActualMoments => "a".to_owned(),
            Self::PredictedMoments => "p".to_owned(),
            Self::ErrorMoments => "e".to_owned(),
            // Values close to 0 count as 0, or the ratio would overflow.
            Self::PercentageError => {
                format!("case when abs(a) > 1e-200 then case when abs(e) < {TINY} then 0 else abs(e) / abs(a) end end")
            }
            Self::PercentageCount => "case when abs(a) > 1e-200 then 1 end".to_owned(),
            Self::SymmetricPercentageError => {
                format!("case when abs(e) < {TINY} then 0 else 2 * abs(e) / (abs(p) + abs(a)) end")
            }
            Self::SquaredLogError => {
                let log = |x: &str| {
                    // For a small x, ln(1 + x) would lose digits that atanh keeps.
                    format!("case when {x} < 0.5 then 2 * atanh({x} / (2 + {x})) else ln(1 + {x}) end")
                };
                let difference = format!("({}) - ({})", log("p"), log("a"));
                format!(
                    "case when p >= 0 and a >= 0 then case when abs({difference}) < {TINY} then 0 else ({difference}) ^ 2 end end"
                )
            }
            Self::LogCount => "case when p >= 0 and a >= 0 then 1 end".to_owned(),
            Self::Huber => {
                let delta = number(parameters.huber_delta);
                format!("case when abs(e) <= {delta} then z2 / 2 else {delta} * (abs(e) - {delta} / 2) end")
            }
            Self::WithinCount => format!("case when abs(e) <= {} then 1 end", number(parameters.tolerance)),
            Self::OverCount => "case when e > 0 then 1 end".to_owned(),
            Self::UnderCount => "case when e < 0 then 1 end".to_owned(),
            Self::Weight => "x1".to_owned(),
            Self::WeightedSquaredError => format!("case when x1 < {TINY} then 0 else x1 * z2 end"),
            Self::WeightedAbsError => {
                format!("case when x1 < {TINY} or abs(e) < {TINY} then 0 else x1 * abs(e) end")
            }
            Self::Extra(n) => format!("x{}", n + 1),
            _ => self.class_sql(&parameters.task),
        }
    }

    /// [`Self::row_sql`] of the sums of tasks with classes.
    fn class_sql(self, task: &Task) -> String {
        let decided = |score: &str| task.binary().map_or("false".to_owned(), |binary| binary.decision_sql(score));
        match self {
            Self::Positives => "a".to_owned(),
            Self::TruePositives => format!("case when a = 1 and {} then 1 end", decided("p")),
            Self::FalsePositives => format!("case when a = 0 and {} then 1 end", decided("p")),
            Self::CalibrationCount(tenth) => format!("case when {} then 1 end", in_tenth("p", tenth)),
            Self::CalibrationScore(tenth) => format!("case when {} then p end", in_tenth("p", tenth)),
            Self::CalibrationPositives(tenth) => format!("case when {} then a end", in_tenth("p", tenth)),
            Self::ScoresInTenth(tenth) => format!("case when {} then 1 end", in_tenth("v", tenth)),
            Self::SpiegelhalterDifference => "(a - p) * (1 - 2 * p)".to_owned(),
            Self::SpiegelhalterVariance => {
                format!("case when p < {TINY} then p else p * (1 - p) * (1 - 2 * p) * (1 - 2 * p) end")
            }
            Self::PositiveDecisions => format!("case when v is not null and {} then 1 end", decided("v")),
            Self::UnusableScores => "u".to_owned(),
            Self::ClassLogLoss => class_log_loss(task).unwrap_or_else(|| "null::float8".to_owned()),
            Self::ClassLogLossCount => class_log_loss(task)
                .map_or("null".to_owned(), |loss| format!("case when {loss} is not null then 1 end")),
            Self::PositiveDecisionsAt(place) => {
                let thresholds = task.binary().map(|binary| binary.thresholds.as_slice()).unwrap_or_default();
                let threshold = thresholds.get(place).copied().unwrap_or(f64::NAN);
                format!("case when v >= {threshold:e}::float8 then 1 end")
            }
            // v · ln(v) goes to 0 with v.
            Self::ScoreEntropy => {
                "case when v > 1e-300 and v < 1 then - (v * ln(v) + (1 - v) * ln(1 - v)) when v is not null then 0 end"
                    .to_owned()
            }
            Self::LogLossMoments => {
                format!("case a when 1 then - ln(greatest(p, {SURE})) when 0 then - ln(greatest(1 - p, {SURE})) end")
            }
            _ => "v".to_owned(),
        }
    }
}

/// The extra value that is the log loss of a pair of several classes.
fn class_log_loss(task: &Task) -> Option<String> {
    Some(format!("x{}", task.multiclass()?.log_loss? + 1))
}

/// True for a score in a tenth: closed below, and the last one closed above. `least` ignores a null.
fn in_tenth(score: &str, tenth: u8) -> String {
    format!("{score} is not null and least(floor({score} * {TENTHS}), {}) = {tenth}", TENTHS - 1)
}
