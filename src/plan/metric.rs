//! The catalogue of metrics: what each means, which sums it needs, and how it is finished from merged sums.
//!
//! Buckets keep sums and never metrics, so a metric of any window follows by addition: RMSE is the root of a mean of
//! summed squares, never a mean of RMSEs.

use crate::plan::interval::{self, Interval};

/// A sum over pairs that buckets keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// Σe, in the target unit.
    Error,
    /// Σ|e|, in the target unit.
    AbsError,
    /// Σe², in the square of the target unit.
    SquaredError,
    /// Σe⁴, for the variance of MSE.
    FourthPower,
}

impl Sum {
    /// The value of one pair, from `e` (its error) and `z2` (its square, 0 where a power of it would underflow).
    pub fn row_sql(self) -> &'static str {
        match self {
            Self::Error => "e",
            Self::AbsError => "abs(e)",
            Self::SquaredError => "z2",
            Self::FourthPower => "z2 * z2",
        }
    }
}

/// Merged sums of one measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sums<'a> {
    /// Pairs that were summed.
    pub labeled: i64,
    pub order: &'a [Sum],
    pub values: &'a [f64],
}

impl Sums<'_> {
    /// The value of a sum. A sum that was not kept is NaN, which finishes as no value.
    pub fn get(&self, sum: Sum) -> f64 {
        self.order.iter().position(|kept| *kept == sum).and_then(|at| self.values.get(at)).copied().unwrap_or(f64::NAN)
    }

    /// A sum divided by the number of pairs.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn mean(&self, sum: Sum) -> f64 {
        self.get(sum) / self.labeled as f64
    }
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less error is better.
    Lower,
    /// Zero is best, in both directions.
    Zero,
}

/// Unit of a metric, derived from the unit of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Target,
    TargetSquared,
}

/// One row of the catalogue.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub meaning: &'static str,
    pub unit: Unit,
    pub better: Better,
    pub sums: &'static [Sum],
    /// The value from merged sums of at least one pair.
    pub finish: fn(&Sums<'_>) -> f64,
    /// The 95 % interval, where there is one.
    pub interval: Option<fn(&Sums<'_>) -> Option<Interval>>,
}

/// Every metric there is.
pub const CATALOGUE: &[Metric] = &[
    Metric {
        name: "mse",
        meaning: "mean squared error: Σ(predicted − actual)² / n",
        unit: Unit::TargetSquared,
        better: Better::Lower,
        sums: &[Sum::SquaredError, Sum::FourthPower],
        finish: |sums| sums.mean(Sum::SquaredError),
        interval: Some(interval::of_mse),
    },
    Metric {
        name: "rmse",
        meaning: "square root of the mean squared error",
        unit: Unit::Target,
        better: Better::Lower,
        sums: &[Sum::SquaredError, Sum::FourthPower],
        finish: |sums| sums.mean(Sum::SquaredError).sqrt(),
        interval: Some(interval::of_rmse),
    },
    Metric {
        name: "mae",
        meaning: "mean absolute error: Σ|predicted − actual| / n",
        unit: Unit::Target,
        better: Better::Lower,
        sums: &[Sum::AbsError],
        finish: |sums| sums.mean(Sum::AbsError),
        interval: None,
    },
    Metric {
        name: "bias",
        meaning: "mean error: Σ(predicted − actual) / n; positive when the model predicts too much",
        unit: Unit::Target,
        better: Better::Zero,
        sums: &[Sum::Error],
        finish: |sums| sums.mean(Sum::Error),
        interval: None,
    },
];

/// Metrics of the contract that this version does not compute yet, refused by name.
pub const NOT_YET: &[&str] = &[
    "error_variance",
    "mape",
    "smape",
    "wape",
    "rmsle",
    "r2",
    "nrmse_mean",
    "nrmse_range",
    "huber",
    "max_abs_error",
    "p50_abs_error",
    "p90_abs_error",
    "p95_abs_error",
    "p99_abs_error",
    "p50_squared_error",
    "p90_squared_error",
    "p95_squared_error",
    "p99_squared_error",
    "within_tolerance",
    "outlier_rate",
    "over_rate",
    "under_rate",
    "weighted_mse",
    "weighted_mae",
    "trimmed_mse",
    "winsorised_mse",
    "label_coverage",
    "label_arrival_rate",
    "label_latency_p50",
    "label_latency_p95",
    "prediction_mean",
    "prediction_variance",
    "actual_mean",
    "actual_variance",
];

/// Metrics of a job that names none.
pub const DEFAULT: &[&str] = &["mse", "rmse", "mae", "bias"];

/// Looks a metric up by name.
pub fn find(name: &str) -> Option<&'static Metric> {
    CATALOGUE.iter().find(|metric| metric.name == name)
}

/// The sums that metrics need together, each once, in a fixed order.
pub fn sums_of(metrics: &[&'static Metric]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = metrics.iter().flat_map(|metric| metric.sums).copied().collect();
    sums.sort();
    sums.dedup();
    sums
}

impl Unit {
    /// The unit as it is printed after a number, given the target's; empty when none is declared.
    pub fn of(self, target: Option<&str>) -> String {
        match (self, target) {
            (_, None) => String::new(),
            (Self::Target, Some(unit)) => format!(" {unit}"),
            (Self::TargetSquared, Some(unit)) => format!(" {unit}²"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Predicted 12 18 33 40 90, actual 10 20 30 40 50; values from scikit-learn 1.9.
    #[test]
    fn metrics_equal_scikit_learn() {
        let errors = [2.0_f64, -2.0, 3.0, 0.0, 40.0];
        let order = sums_of(&CATALOGUE.iter().collect::<Vec<_>>());
        let row = |sum: &Sum| match sum {
            Sum::Error => errors.iter().sum(),
            Sum::AbsError => errors.iter().map(|e| e.abs()).sum(),
            Sum::SquaredError => errors.iter().map(|e| e * e).sum(),
            Sum::FourthPower => errors.iter().map(|e| e.powi(4)).sum(),
        };
        let values: Vec<f64> = order.iter().map(row).collect();
        let sums = Sums { labeled: 5, order: &order, values: &values };
        for (name, expected) in [("mse", 323.4), ("rmse", 17.983_325_610_1), ("mae", 9.4), ("bias", 8.6)] {
            let value = (find(name).unwrap().finish)(&sums);
            assert!((value / expected - 1.0).abs() < 1e-11, "{name}: {value}");
        }
    }

    #[test]
    fn no_metric_is_both_there_and_missing() {
        assert!(NOT_YET.iter().all(|name| find(name).is_none()));
        assert!(DEFAULT.iter().all(|name| find(name).is_some()));
    }
}
