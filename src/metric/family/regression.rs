//! Metrics of predicted numbers, and those of every task: coverage and latency of labels.

use super::super::state::Sum;
use super::super::state::kind::HistogramKind;
use super::super::task::Applies;
use super::super::{Better, Metric, Requirement, Sums, Unit, interval};

/// Defaults of an entry.
pub(super) const PLAIN: Metric = Metric {
    name: "",
    meaning: "",
    unit: Unit::Target,
    better: Better::Lower,
    task: Applies::Regression,
    needs: Requirement::Pairs,
    histograms: &[],
    sums: &[],
    finish: |_| f64::NAN,
    interval: None,
    implies: &[],
    advice: "",
};

/// All of them.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub const FAMILY: &[Metric] = &[
    Metric {
        name: "mse",
        meaning: "mean squared error: sum((predicted - actual)^2) / n",
        unit: Unit::TargetSquared,
        sums: &[Sum::SquaredError, Sum::FourthPower],
        finish: |s| s.mean(Sum::SquaredError),
        interval: Some(interval::of_mse),
        ..PLAIN
    },
    Metric {
        name: "rmse",
        meaning: "square root of the mean squared error",
        sums: &[Sum::SquaredError, Sum::FourthPower],
        finish: |s| s.mean(Sum::SquaredError).sqrt(),
        interval: Some(interval::of_rmse),
        ..PLAIN
    },
    Metric {
        name: "mae",
        meaning: "mean absolute error: sum(|predicted - actual|) / n",
        sums: &[Sum::AbsError, Sum::SquaredError],
        finish: |s| s.mean(Sum::AbsError),
        interval: Some(interval::of_mae),
        ..PLAIN
    },
    Metric {
        name: "bias",
        meaning: "mean error: sum(predicted - actual) / n; positive when the model predicts too much",
        better: Better::Zero,
        sums: &[Sum::ErrorMoments],
        finish: |s| s.moments(Sum::ErrorMoments).mean(),
        interval: Some(interval::of_bias),
        ..PLAIN
    },
    Metric {
        name: "error_variance",
        meaning: "variance of the error around its mean, of the population: mse - bias^2",
        unit: Unit::TargetSquared,
        sums: &[Sum::ErrorMoments],
        finish: |s| s.moments(Sum::ErrorMoments).variance(),
        ..PLAIN
    },
    Metric {
        name: "mape",
        meaning: "mean of |error / actual| over pairs whose actual is not 0; small actuals make it large",
        unit: Unit::Ratio,
        sums: &[Sum::PercentageError, Sum::PercentageCount],
        finish: |s| s.get(Sum::PercentageError) / s.get(Sum::PercentageCount),
        implies: &["mape_excluded"],
        ..PLAIN
    },
    Metric {
        name: "mape_excluded",
        meaning: "pairs that mape leaves out because their actual is 0",
        unit: Unit::Count,
        better: Better::Neither,
        sums: &[Sum::PercentageCount],
        finish: |s| s.n() - s.get(Sum::PercentageCount),
        ..PLAIN
    },
    Metric {
        name: "smape",
        meaning: "mean of 2|error| / (|predicted| + |actual|), 0 where both are 0",
        unit: Unit::Ratio,
        sums: &[Sum::SymmetricPercentageError],
        finish: |s| s.mean(Sum::SymmetricPercentageError),
        ..PLAIN
    },
    Metric {
        name: "wape",
        meaning: "sum(|error|) / sum(|actual|)",
        unit: Unit::Ratio,
        sums: &[Sum::AbsError, Sum::AbsActual],
        finish: |s| s.get(Sum::AbsError) / s.get(Sum::AbsActual),
        ..PLAIN
    },
    Metric {
        name: "rmsle",
        meaning: "root of the mean of (ln(1 + predicted) - ln(1 + actual))^2 over pairs without a negative side",
        unit: Unit::Ratio,
        sums: &[Sum::SquaredLogError, Sum::LogCount],
        finish: |s| (s.get(Sum::SquaredLogError) / s.get(Sum::LogCount)).sqrt(),
        implies: &["rmsle_excluded"],
        ..PLAIN
    },
    Metric {
        name: "rmsle_excluded",
        meaning: "pairs that rmsle leaves out because a side is negative",
        unit: Unit::Count,
        better: Better::Neither,
        sums: &[Sum::LogCount],
        finish: |s| s.n() - s.get(Sum::LogCount),
        ..PLAIN
    },
    Metric {
        name: "r2",
        meaning: "share of the variance of the actual that is explained: 1 - sum(error^2) / sum((actual - mean)^2); none where the actual does not vary",
        unit: Unit::Ratio,
        better: Better::Higher,
        sums: &[Sum::SquaredError, Sum::ActualMoments],
        finish: |s| {
            let actual = s.moments(Sum::ActualMoments);
            // The rounding error of identical values is not variance.
            let varies = actual.variance().sqrt() > 1e-12 * actual.mean().abs();
            if varies { 1.0 - s.get(Sum::SquaredError) / actual.centred } else { f64::NAN }
        },
        ..PLAIN
    },
    Metric {
        name: "nrmse_mean",
        meaning: "rmse / |mean of the actual|",
        unit: Unit::Ratio,
        sums: &[Sum::SquaredError, Sum::ActualMoments],
        finish: |s| s.mean(Sum::SquaredError).sqrt() / s.moments(Sum::ActualMoments).mean().abs(),
        ..PLAIN
    },
    Metric {
        name: "nrmse_range",
        meaning: "rmse / (greatest actual - least actual)",
        unit: Unit::Ratio,
        sums: &[Sum::SquaredError, Sum::GreatestActual, Sum::LeastActual],
        finish: |s| s.mean(Sum::SquaredError).sqrt() / (s.get(Sum::GreatestActual) - s.get(Sum::LeastActual)),
        ..PLAIN
    },
    Metric {
        name: "huber",
        meaning: "mean Huber loss: error^2 / 2 up to `huber_delta`, linear beyond it",
        unit: Unit::TargetSquared,
        needs: Requirement::HuberDelta,
        sums: &[Sum::Huber],
        finish: |s| s.mean(Sum::Huber),
        ..PLAIN
    },
    Metric {
        name: "max_abs_error",
        meaning: "greatest |error|",
        sums: &[Sum::GreatestAbsError],
        finish: |s| s.get(Sum::GreatestAbsError),
        ..PLAIN
    },
    percentile("p50_abs_error", "median of |error|, within 0.5 % unless `exact`", |s| s.abs_error_quantile(0.5)),
    percentile("p90_abs_error", "90th percentile of |error|, within 0.5 % unless `exact`", |s| {
        s.abs_error_quantile(0.9)
    }),
    percentile("p95_abs_error", "95th percentile of |error|, within 0.5 % unless `exact`", |s| {
        s.abs_error_quantile(0.95)
    }),
    percentile("p99_abs_error", "99th percentile of |error|, within 0.5 % unless `exact`", |s| {
        s.abs_error_quantile(0.99)
    }),
    squared(percentile("p50_squared_error", "median of error^2, within 1 % unless `exact`", |s| {
        s.squared_error_quantile(0.5)
    })),
    squared(percentile("p90_squared_error", "90th percentile of error^2, within 1 % unless `exact`", |s| {
        s.squared_error_quantile(0.9)
    })),
    squared(percentile("p95_squared_error", "95th percentile of error^2, within 1 % unless `exact`", |s| {
        s.squared_error_quantile(0.95)
    })),
    squared(percentile("p99_squared_error", "99th percentile of error^2, within 1 % unless `exact`", |s| {
        s.squared_error_quantile(0.99)
    })),
    squared(percentile("trimmed_mse", "mean of error^2 without the largest `trim` of them, within 1 %", |s| {
        s.robust_square(|robust| robust.trimmed)
    })),
    squared(percentile(
        "winsorised_mse",
        "mean of error^2 where the largest `trim` of them count as the largest that is left, within 1 %",
        |s| s.robust_square(|robust| robust.winsorised),
    )),
    Metric {
        name: "within_tolerance",
        meaning: "share of pairs with |error| <= `tolerance`",
        unit: Unit::Ratio,
        better: Better::Higher,
        needs: Requirement::Tolerance,
        sums: &[Sum::WithinCount],
        finish: |s| s.mean(Sum::WithinCount),
        interval: Some(|s| interval::of_share(s.get(Sum::WithinCount), s.n())),
        ..PLAIN
    },
    Metric {
        name: "outlier_rate",
        meaning: "share of pairs with |error| > `tolerance`",
        unit: Unit::Ratio,
        needs: Requirement::Tolerance,
        sums: &[Sum::WithinCount],
        finish: |s| 1.0 - s.mean(Sum::WithinCount),
        interval: Some(|s| interval::of_share(s.n() - s.get(Sum::WithinCount), s.n())),
        ..PLAIN
    },
    Metric {
        name: "over_rate",
        meaning: "share of pairs with predicted > actual",
        unit: Unit::Ratio,
        better: Better::Neither,
        sums: &[Sum::OverCount],
        finish: |s| s.mean(Sum::OverCount),
        interval: Some(|s| interval::of_share(s.get(Sum::OverCount), s.n())),
        ..PLAIN
    },
    Metric {
        name: "under_rate",
        meaning: "share of pairs with predicted < actual",
        unit: Unit::Ratio,
        better: Better::Neither,
        sums: &[Sum::UnderCount],
        finish: |s| s.mean(Sum::UnderCount),
        interval: Some(|s| interval::of_share(s.get(Sum::UnderCount), s.n())),
        ..PLAIN
    },
    Metric {
        name: "weighted_mse",
        meaning: "sum(weight * error^2) / sum(weight), over pairs with a weight of 0 or more",
        unit: Unit::TargetSquared,
        needs: Requirement::Weight,
        sums: &[Sum::WeightedSquaredError, Sum::Weight],
        finish: |s| s.get(Sum::WeightedSquaredError) / s.get(Sum::Weight),
        ..PLAIN
    },
    Metric {
        name: "weighted_mae",
        meaning: "sum(weight * |error|) / sum(weight), over pairs with a weight of 0 or more",
        needs: Requirement::Weight,
        sums: &[Sum::WeightedAbsError, Sum::Weight],
        finish: |s| s.get(Sum::WeightedAbsError) / s.get(Sum::Weight),
        ..PLAIN
    },
    Metric {
        name: "squared_error_share",
        meaning: "sum(error^2) of the cohort / sum(error^2) of the whole window",
        unit: Unit::Ratio,
        better: Better::Neither,
        sums: &[Sum::SquaredError],
        finish: |s| s.get(Sum::SquaredError) / s.whole_loss,
        ..PLAIN
    },
    Metric {
        name: "label_coverage",
        meaning: "share of predictions with a usable label",
        unit: Unit::Ratio,
        better: Better::Higher,
        task: Applies::Always,
        needs: Requirement::Predictions,
        finish: |s| s.counts.coverage().unwrap_or(f64::NAN),
        interval: Some(|s| interval::of_share(s.n(), s.counts.predictions as f64)),
        ..PLAIN
    },
    Metric {
        name: "label_arrival_rate",
        meaning: "share of predictions older than `labels.expected_within` whose label has arrived, usable or not",
        unit: Unit::Ratio,
        better: Better::Higher,
        task: Applies::Always,
        needs: Requirement::Predictions,
        finish: |s| s.due.1 as f64 / s.due.0 as f64,
        interval: Some(|s| interval::of_share(s.due.1 as f64, s.due.0 as f64)),
        ..PLAIN
    },
    Metric {
        name: "label_latency_p50",
        meaning: "median of the time from event to label, within 0.5 %",
        unit: Unit::Seconds,
        task: Applies::Always,
        needs: Requirement::LabelArrival,
        histograms: &[HistogramKind::Latency],
        finish: |s| s.histograms.get(HistogramKind::Latency).quantile(0.5).unwrap_or(f64::NAN),
        ..PLAIN
    },
    Metric {
        name: "label_latency_p95",
        meaning: "95th percentile of the time from event to label, within 0.5 %",
        unit: Unit::Seconds,
        task: Applies::Always,
        needs: Requirement::LabelArrival,
        histograms: &[HistogramKind::Latency],
        finish: |s| s.histograms.get(HistogramKind::Latency).quantile(0.95).unwrap_or(f64::NAN),
        ..PLAIN
    },
    Metric {
        name: "prediction_mean",
        meaning: "mean of the predicted value over pairs",
        better: Better::Neither,
        sums: &[Sum::PredictedMoments],
        finish: |s| s.moments(Sum::PredictedMoments).mean(),
        ..PLAIN
    },
    Metric {
        name: "prediction_variance",
        meaning: "variance of the predicted value over pairs, of the population",
        unit: Unit::TargetSquared,
        better: Better::Neither,
        sums: &[Sum::PredictedMoments],
        finish: |s| s.moments(Sum::PredictedMoments).variance(),
        ..PLAIN
    },
    Metric {
        name: "actual_mean",
        meaning: "mean of the actual value over pairs",
        better: Better::Neither,
        sums: &[Sum::ActualMoments],
        finish: |s| s.moments(Sum::ActualMoments).mean(),
        ..PLAIN
    },
    Metric {
        name: "actual_variance",
        meaning: "variance of the actual value over pairs, of the population",
        unit: Unit::TargetSquared,
        better: Better::Neither,
        sums: &[Sum::ActualMoments],
        finish: |s| s.moments(Sum::ActualMoments).variance(),
        ..PLAIN
    },
];

const fn percentile(name: &'static str, meaning: &'static str, finish: fn(&Sums<'_>) -> f64) -> Metric {
    // Estimates from the histogram are clamped to these extremes.
    let sums = &[Sum::LeastAbsError, Sum::GreatestAbsError];
    Metric { name, meaning, histograms: &[HistogramKind::Errors], sums, finish, ..PLAIN }
}

const fn squared(metric: Metric) -> Metric {
    Metric { unit: Unit::TargetSquared, ..metric }
}
