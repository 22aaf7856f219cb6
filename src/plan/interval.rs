//! Confidence intervals of metrics, from merged sums. Pairs are taken as independent; autocorrelated errors need more.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use crate::plan::metric::{Sum, Sums};

/// Lower and upper bound of a 95 % interval, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Interval of MSE: a χ² whose degrees of freedom are shrunk by the kurtosis of the errors.
///
/// k = (n + 2)·Σe⁴/(Σe²)², ν = 2n/(k − 1), [ν·mse/χ²₀.₉₇₅(ν), ν·mse/χ²₀.₀₂₅(ν)]. None where it is not defined: fewer
/// than two pairs, or all errors zero.
pub fn of_mse(sums: &Sums<'_>) -> Option<Interval> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let n = sums.labeled as f64;
    let (second, fourth) = (sums.get(Sum::SquaredError), sums.get(Sum::FourthPower));
    let mse = second / n;
    let kurtosis = (n + 2.0) * fourth / (second * second);
    let freedom = 2.0 * n / (kurtosis - 1.0);
    if sums.labeled < 2 || !freedom.is_finite() || freedom <= 0.0 {
        return None;
    }
    let distribution = ChiSquared::new(freedom).ok()?;
    let low = freedom * mse / distribution.inverse_cdf(0.975);
    let high = freedom * mse / distribution.inverse_cdf(0.025);
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high })
}

/// Interval of RMSE: the square roots of the interval of MSE.
pub fn of_rmse(sums: &Sums<'_>) -> Option<Interval> {
    of_mse(sums).map(|mse| Interval { low: mse.low.sqrt(), high: mse.high.sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(errors: &[f64]) -> Option<Interval> {
        let values = [errors.iter().map(|e| e * e).sum(), errors.iter().map(|e| e.powi(4)).sum()];
        of_mse(&Sums {
            labeled: i64::try_from(errors.len()).unwrap(),
            order: &[Sum::SquaredError, Sum::FourthPower],
            values: &values,
        })
    }

    /// Expected values from scipy 1.17: `nu*mse/chi2.ppf([.975, .025], nu)`.
    #[test]
    fn the_interval_of_mse_equals_scipy() {
        let errors: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = interval(&errors).unwrap();
        assert!((found.low / SCIPY_LOW - 1.0).abs() < 1e-8, "{found:?}");
        assert!((found.high / SCIPY_HIGH - 1.0).abs() < 1e-8, "{found:?}");
    }
    const SCIPY_LOW: f64 = 22.274_901_850_296_47;
    const SCIPY_HIGH: f64 = 82.070_284_256_247_7;

    #[test]
    fn there_is_no_interval_of_one_pair_or_of_no_error() {
        assert_eq!(interval(&[3.0]), None);
        assert_eq!(interval(&[0.0, 0.0, 0.0]), None);
    }
}
