//! Metrics of probabilities: proper losses, and whether scores mean what they say.

use super::super::state::kind::HistogramKind;
use super::super::state::{Sum, TENTHS};
use super::super::task::Applies;
use super::super::{Better, Metric, Requirement, Sums, Unit, interval};
use super::regression::PLAIN;

/// Defaults of an entry.
const PROBABILITY: Metric = Metric { unit: Unit::Ratio, task: Applies::Probabilities, ..PLAIN };

/// Sums of calibration bins.
const BINS: &[Sum] = &tenths();

const fn tenths() -> [Sum; 3 * TENTHS as usize] {
    let mut sums = [Sum::CalibrationCount(0); 3 * TENTHS as usize];
    let mut tenth = 0;
    while tenth < TENTHS {
        sums[3 * tenth as usize] = Sum::CalibrationCount(tenth);
        sums[3 * tenth as usize + 1] = Sum::CalibrationScore(tenth);
        sums[3 * tenth as usize + 2] = Sum::CalibrationPositives(tenth);
        tenth += 1;
    }
    sums
}

const RECALIBRATE: &str =
    "Scores no longer mean what they say: where auc has not moved, recalibrating them may be enough.";

/// Pairs whose score is in one tenth.
struct Tenth {
    count: f64,
    score: f64,
    positives: f64,
}

fn occupied<'a>(sums: &'a Sums<'_>) -> impl Iterator<Item = Tenth> + 'a {
    (0..TENTHS)
        .map(|tenth| Tenth {
            count: sums.get(Sum::CalibrationCount(tenth)),
            score: sums.get(Sum::CalibrationScore(tenth)),
            positives: sums.get(Sum::CalibrationPositives(tenth)),
        })
        .filter(|tenth| tenth.count > 0.0)
}

/// Σ |Σp − Σy| / n.
pub(super) fn ece(sums: &Sums<'_>) -> f64 {
    occupied(sums).map(|tenth| (tenth.score - tenth.positives).abs()).sum::<f64>() / sums.n()
}

/// Σ √(2/π · Σp(1 − p)) / n: what sampling alone adds up to.
fn ece_by_chance(sums: &Sums<'_>) -> f64 {
    let expected = |tenth: Tenth| {
        let mean = tenth.score / tenth.count;
        (2.0 / std::f64::consts::PI * tenth.count * mean * (1.0 - mean)).sqrt()
    };
    occupied(sums).map(expected).sum::<f64>() / sums.n()
}

fn mce(sums: &Sums<'_>) -> f64 {
    occupied(sums).map(|tenth| (tenth.score - tenth.positives).abs() / tenth.count).fold(0.0, f64::max)
}

/// 1 − brier / (brier of the base rate).
fn skill(sums: &Sums<'_>) -> f64 {
    let rate = sums.mean(Sum::Positives);
    1.0 - sums.mean(Sum::SquaredError) / (rate * (1.0 - rate))
}

/// Number, mean score and observed rate of a tenth.
const fn tenth(name: &'static str, meaning: &'static str, finish: fn(&Sums<'_>) -> f64) -> Metric {
    Metric { name, meaning, unit: Unit::Ratio, better: Better::Neither, sums: BINS, finish, ..PROBABILITY }
}

macro_rules! of_tenths {
    ($($number:literal)*) => {
        [$(
            tenth(
                concat!("calibration_count_", $number),
                concat!("pairs with a score in bin ", $number, " of 10"),
                |s| s.get(Sum::CalibrationCount($number - 1)),
            ),
            Metric {
                name: concat!("calibration_all_", $number),
                meaning: concat!("predictions, labeled or not, with a score in bin ", $number, " of 10"),
                unit: Unit::Count,
                better: Better::Neither,
                needs: Requirement::Predictions,
                sums: &[Sum::ScoresInTenth($number - 1)],
                finish: |s| s.get(Sum::ScoresInTenth($number - 1)),
                ..PROBABILITY
            },
            tenth(
                concat!("calibration_score_", $number),
                concat!("mean score of the pairs in bin ", $number, " of 10"),
                |s| s.get(Sum::CalibrationScore($number - 1)) / s.get(Sum::CalibrationCount($number - 1)),
            ),
            tenth(
                concat!("calibration_rate_", $number),
                concat!("share of positive labels of the pairs in bin ", $number, " of 10"),
                |s| s.get(Sum::CalibrationPositives($number - 1)) / s.get(Sum::CalibrationCount($number - 1)),
            ),
        )*]
    };
}

/// The bins of the calibration curve, kept with `ece`: numbers behind a picture rather than metrics to choose.
pub const CURVE: &[Metric] = &of_tenths!(1 2 3 4 5 6 7 8 9 10);

/// All metrics of probabilities.
pub const FAMILY: &[Metric] = &[
    Metric {
        name: "log_loss",
        meaning: "mean of -ln(probability given to the label), in nats; a probability below 1e-15 counts as 1e-15",
        unit: Unit::Number,
        sums: &[Sum::LogLossMoments],
        finish: |s| s.moments(Sum::LogLossMoments).mean(),
        interval: Some(|s| {
            let losses = s.moments(Sum::LogLossMoments);
            let found = interval::of_mean(losses.mean(), losses.centred, losses.count)?;
            Some(interval::Interval { low: found.low.max(0.0), ..found })
        }),
        ..PROBABILITY
    },
    Metric {
        name: "brier",
        meaning: "mean of (score - label)^2",
        unit: Unit::Number,
        sums: &[Sum::SquaredError, Sum::FourthPower],
        finish: |s| s.mean(Sum::SquaredError),
        interval: Some(interval::of_mse),
        ..PROBABILITY
    },
    Metric {
        name: "brier_skill",
        meaning: "1 - brier / (base_rate * (1 - base_rate)): 0 for a constant score, 1 for perfect ones; none with one class",
        better: Better::Higher,
        sums: &[Sum::SquaredError, Sum::Positives],
        finish: skill,
        ..PROBABILITY
    },
    Metric {
        name: "ece",
        meaning: "expected calibration error: sum over 10 equal bins of |sum of scores - positive labels| / n",
        sums: BINS,
        finish: ece,
        implies: &["ece_by_chance"],
        advice: RECALIBRATE,
        ..PROBABILITY
    },
    Metric {
        name: "ece_by_chance",
        meaning: "the ece that calibrated scores would have by chance: sum over bins of sqrt(2 / pi * n p (1 - p)) / n",
        better: Better::Neither,
        sums: BINS,
        finish: ece_by_chance,
        ..PROBABILITY
    },
    Metric {
        name: "mce",
        meaning: "greatest |mean score - share of positive labels| of 10 equal bins",
        sums: BINS,
        finish: mce,
        advice: RECALIBRATE,
        ..PROBABILITY
    },
    Metric {
        name: "calibration_slope",
        meaning: "slope of a logistic regression of the label on the log-odds of the score: below 1 where scores are too extreme",
        unit: Unit::Number,
        better: Better::Neither,
        histograms: &[HistogramKind::Positives, HistogramKind::Negatives],
        finish: |s| s.ranking().logistic().map_or(f64::NAN, |(_, slope)| slope),
        ..PROBABILITY
    },
    Metric {
        name: "calibration_intercept",
        meaning: "intercept of that regression: above 0 where scores are too low",
        unit: Unit::Number,
        better: Better::Zero,
        histograms: &[HistogramKind::Positives, HistogramKind::Negatives],
        finish: |s| s.ranking().logistic().map_or(f64::NAN, |(intercept, _)| intercept),
        ..PROBABILITY
    },
    Metric {
        name: "calibration_z",
        meaning: "Spiegelhalter's z: beyond 1.96 on either side, scores are not calibrated",
        unit: Unit::Number,
        better: Better::Zero,
        sums: &[Sum::SpiegelhalterDifference, Sum::SpiegelhalterVariance],
        finish: |s| s.get(Sum::SpiegelhalterDifference) / s.get(Sum::SpiegelhalterVariance).sqrt(),
        ..PROBABILITY
    },
];
