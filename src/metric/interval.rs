//! Confidence intervals of metrics, from merged sums. Pairs are assumed independent; autocorrelated errors need more.

use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, StudentsT};

use crate::metric::Sums;
use crate::metric::state::Sum;

/// Lower and upper bound of a 95 % interval, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Interval of MSE: a χ² whose degrees of freedom are shrunk by the kurtosis of the errors.
///
/// k = (n + 2)·Σe⁴/(Σe²)², ν = 2n/(k − 1), [ν·mse/χ²₀.₉₇₅(ν), ν·mse/χ²₀.₀₂₅(ν)]. `None` if undefined: fewer than two
/// pairs, or all errors zero.
pub fn of_mse(sums: &Sums<'_>) -> Option<Interval> {
    let n = sums.n();
    let (second, fourth) = (sums.get(Sum::SquaredError), sums.get(Sum::FourthPower));
    let mse = second / n;
    let kurtosis = (n + 2.0) * fourth / (second * second);
    let freedom = 2.0 * n / (kurtosis - 1.0);
    if n < 2.0 || !freedom.is_finite() || freedom <= 0.0 {
        return None;
    }
    let (high, low) = (chi_squared(freedom, 0.975, Z)?, chi_squared(freedom, 0.025, -Z)?);
    bounds(freedom * mse / high, freedom * mse / low)
}

/// The 97.5 % point of the normal distribution.
pub const Z: f64 = 1.959_963_984_540_054;

/// Degrees of freedom from which quantiles are expanded around the normal distribution: exact to 1e-11, while the library
/// sums a series of hundreds of terms in each step of its search.
const MANY: f64 = 1_000.0;

/// The quantile `p` of χ²; `z` is the same quantile of the normal distribution.
fn chi_squared(freedom: f64, p: f64, z: f64) -> Option<f64> {
    if freedom >= MANY { Some(chi_squared_of_many(freedom, z)) } else { Some(chi_squared_of_few(freedom, p, z)?) }
}

/// Goldberg and Levine's expansion (1946), by the method of Cornish and Fisher.
fn chi_squared_of_many(freedom: f64, z: f64) -> f64 {
    let (z2, root) = (z * z, (2.0 * freedom).sqrt());
    let terms = [
        freedom,
        root * z,
        2.0 / 3.0 * (z2 - 1.0),
        z * (z2 - 7.0) / (9.0 * root),
        -(6.0 * z2 * z2 + 14.0 * z2 - 32.0) / (405.0 * freedom),
        z * (9.0 * z2 * z2 + 256.0 * z2 - 433.0) / (4_860.0 * freedom * root),
        (12.0 * z2 * z2 * z2 - 243.0 * z2 * z2 - 923.0 * z2 + 1_472.0) / (25_515.0 * freedom * freedom),
    ];
    terms.iter().sum()
}

/// Wilson and Hilferty's approximation, refined by Newton's method. Ten times faster than the library's bisection, which
/// is the fallback if it does not converge.
fn chi_squared_of_few(freedom: f64, p: f64, z: f64) -> Option<f64> {
    let distribution = ChiSquared::new(freedom).ok()?;
    let ninth = 2.0 / (9.0 * freedom);
    let mut x = freedom * (1.0 - ninth + z * ninth.sqrt()).powi(3);
    for _ in 0..20 {
        let step = (distribution.cdf(x) - p) / distribution.pdf(x);
        let next = x - step;
        if !next.is_finite() || next <= 0.0 {
            break;
        }
        if step.abs() <= 1e-13 * next {
            return Some(next);
        }
        x = next;
    }
    Some(distribution.inverse_cdf(p))
}

/// The 97.5 % point of Student's t.
pub fn student(freedom: f64) -> Option<f64> {
    if !freedom.is_finite() || freedom <= 0.0 {
        return None;
    }
    if freedom < MANY {
        return Some(StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(0.975));
    }
    let z2 = Z * Z;
    let terms = [
        Z,
        Z * (z2 + 1.0) / (4.0 * freedom),
        Z * (5.0 * z2 * z2 + 16.0 * z2 + 3.0) / (96.0 * freedom.powi(2)),
        Z * (3.0 * z2.powi(3) + 19.0 * z2 * z2 + 17.0 * z2 - 15.0) / (384.0 * freedom.powi(3)),
    ];
    Some(terms.iter().sum())
}

/// Interval of RMSE: the square roots of the interval of MSE.
pub fn of_rmse(sums: &Sums<'_>) -> Option<Interval> {
    of_mse(sums).map(|mse| Interval { low: mse.low.sqrt(), high: mse.high.sqrt() })
}

/// Interval of the mean absolute error: Student's t of the mean of |e|, never below 0.
pub fn of_mae(sums: &Sums<'_>) -> Option<Interval> {
    let mean = sums.mean(Sum::AbsError);
    // Σ(|e| − mae)²; rounding can make it slightly negative.
    let centred = (sums.get(Sum::SquaredError) - sums.n() * mean * mean).max(0.0);
    of_mean(mean, centred, sums.n()).map(|found| Interval { low: found.low.max(0.0), ..found })
}

/// Interval of the bias: Student's t of the mean of e.
pub fn of_bias(sums: &Sums<'_>) -> Option<Interval> {
    let moments = sums.moments(Sum::ErrorMoments);
    of_mean(moments.mean(), moments.centred, moments.count)
}

/// Mean ± t₀.₉₇₅(n − 1) · s / √n. `None` for fewer than two values.
pub fn of_mean(mean: f64, centred: f64, n: f64) -> Option<Interval> {
    if n < 2.0 {
        return None;
    }
    let half = student(n - 1.0)? * (centred / (n - 1.0) / n).sqrt();
    bounds(mean - half, mean + half)
}

/// Wilson's score interval of a share of `n`: it stays within 0 and 1 and is meaningful at 0 and 1 too.
pub fn of_share(count: f64, n: f64) -> Option<Interval> {
    if n < 1.0 {
        return None;
    }
    let (z, share, z2) = (Z, count / n, Z * Z);
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    bounds((centre - half).max(0.0), (centre + half).min(1.0))
}

/// An interval with finite bounds.
pub fn bounds(low: f64, high: f64) -> Option<Interval> {
    (low.is_finite() && high.is_finite()).then_some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::measurement::Counts;
    use crate::metric::{MergedHistograms, Parameters};

    const ORDER: [Sum; 4] = [Sum::AbsError, Sum::SquaredError, Sum::FourthPower, Sum::ErrorMoments];

    fn intervals(errors: &[f64], of: &[fn(&Sums<'_>) -> Option<Interval>]) -> Vec<Option<Interval>> {
        let n = f64::from(u32::try_from(errors.len()).unwrap());
        let mean = errors.iter().sum::<f64>() / n;
        let values = [
            errors.iter().map(|e| e.abs()).sum(),
            errors.iter().map(|e| e * e).sum(),
            errors.iter().map(|e| e.powi(4)).sum(),
            n,
            n * mean,
            errors.iter().map(|e| (e - mean).powi(2)).sum(),
        ];
        let labeled = i64::try_from(errors.len()).unwrap();
        let sums = Sums {
            counts: Counts { predictions: labeled, labeled, ..Counts::default() },
            order: &ORDER,
            values: &values,
            parameters: &Parameters::default(),
            histograms: &MergedHistograms::default(),
            exact: None,
            exact_ranking: None,
            due: (0, 0),
            whole_loss: f64::NAN,
        };
        of.iter().map(|of| of(&sums)).collect()
    }

    /// Degrees of freedom, χ²₀.₀₂₅, χ²₀.₉₇₅, t₀.₉₇₅.
    #[expect(clippy::unreadable_literal, reason = "as scipy prints them")]
    const QUANTILES: [(f64, f64, f64, f64); 7] = [
        (3.5, 0.3388733843027708, 10.262104227928704, 2.9400886379827282),
        (40.0, 24.433039170807888, 59.34170714317118, 2.021075390306273),
        (999.0, 913.3009983021134, 1088.4870677259353, 1.9623414611334493),
        (1000.0, 914.257153799259, 1089.5309127749135, 1.9623390808264083),
        (1001.5, 915.6914281422756, 1091.0966392490361, 1.96233551928922),
        (20000.0, 19609.904934520368, 20393.883649999767, 1.9600826051581348),
        (1000000.0, 997230.0871432901, 1002773.701467926, 1.959966356814107),
    ];

    fn close(found: Interval, low: f64, high: f64) {
        assert!((found.low / low - 1.0).abs() < 1e-8 && (found.high / high - 1.0).abs() < 1e-8, "{found:?}");
    }

    /// Errors 1 to 10; expected values from scipy 1.17: `nu*mse/chi2.ppf([.975, .025], nu)`, `t.interval(.95, 9, mean, sem)`.
    #[test]
    fn intervals_equal_scipy() {
        let errors: Vec<f64> = (1..=10).map(f64::from).collect();
        let found = intervals(&errors, &[of_mse, of_mae, of_bias]);
        close(found[0].unwrap(), 22.274_901_850_296_47, 82.070_284_256_247_7);
        close(found[1].unwrap(), 3.334_149_410_331_831, 7.665_850_589_668_169);
        close(found[2].unwrap(), 3.334_149_410_331_831, 7.665_850_589_668_169);
    }

    /// Expected values from scipy 1.17: `chi2.ppf([.025, .975], nu)` and `t.ppf(.975, nu)`.
    #[test]
    fn quantiles_of_few_and_of_many_equal_scipy() {
        for (freedom, low, high, t) in QUANTILES {
            let near =
                |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-10, "{freedom}: {found}");
            near(chi_squared(freedom, 0.025, -Z).unwrap(), low);
            near(chi_squared(freedom, 0.975, Z).unwrap(), high);
            near(student(freedom).unwrap(), t);
        }
    }

    /// Expected values from statsmodels 0.15: `proportion_confint(count, n, method="wilson")`.
    #[test]
    fn shares_have_the_interval_of_wilson() {
        close(of_share(8.0, 10.0).unwrap(), 0.490_162_471_536_642_2, 0.943_317_848_545_624_7);
        let none = of_share(0.0, 20.0).unwrap();
        assert!(none.low == 0.0 && (none.high - 0.161_125_158_052_818_46).abs() < 1e-9, "{none:?}");
        assert_eq!(of_share(0.0, 0.0), None);
    }

    #[test]
    fn quantiles_equal_the_librarys_for_all_degrees_of_freedom_there_are() {
        // k is at most n + 2, so ν is never below 4/3.
        for freedom in [4.0 / 3.0, 2.5, 10.0, 123.4, 5_000.0, 1e6] {
            let distribution = ChiSquared::new(freedom).unwrap();
            for (p, z) in [(0.975, Z), (0.025, -Z)] {
                let (fast, slow) = (chi_squared(freedom, p, z).unwrap(), distribution.inverse_cdf(p));
                assert!((fast / slow - 1.0).abs() < 1e-6, "{freedom} {p}: {fast} {slow}");
                assert!((distribution.cdf(fast) - p).abs() < 1e-8, "{freedom} {p}: {fast}");
            }
        }
    }

    #[test]
    fn there_is_no_interval_of_one_pair_or_of_no_error() {
        assert_eq!(intervals(&[3.0], &[of_mse, of_mae, of_bias]), [None, None, None]);
        assert_eq!(intervals(&[0.0, 0.0, 0.0], &[of_mse]), [None]);
    }

    /// Draws from a normal distribution by Marsaglia's polar method, from a fixed seed.
    struct Normal(u64);

    impl Normal {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        fn even(&mut self) -> f64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / 9_007_199_254_740_992.0
        }

        fn draw(&mut self) -> f64 {
            loop {
                let (u, v) = (2.0 * self.even() - 1.0, 2.0 * self.even() - 1.0);
                let s = u * u + v * v;
                if s > 0.0 && s < 1.0 {
                    return u * (-2.0 * s.ln() / s).sqrt();
                }
            }
        }
    }

    #[test]
    fn of_10_000_draws_of_normal_errors_the_intervals_hold_the_truth_as_often_as_they_say() {
        let mut normal = Normal(20_240_501);
        // Errors with mean 0 and variance 1: mse 1, rmse 1, mae √(2/π), bias 0.
        let truth = [1.0, 1.0, (2.0 / std::f64::consts::PI).sqrt(), 0.0];
        for (n, least, most) in [(30, 0.92, 0.97), (100, 0.94, 0.96), (1_000, 0.94, 0.96)] {
            let mut held = [0_u32; 4];
            for _ in 0..10_000 {
                let errors: Vec<f64> = (0..n).map(|_| normal.draw()).collect();
                for (at, found) in intervals(&errors, &[of_mse, of_rmse, of_mae, of_bias]).into_iter().enumerate() {
                    let found = found.expect("an interval");
                    held[at] += u32::from(found.low <= truth[at] && truth[at] <= found.high);
                }
            }
            let shares = held.map(|held| f64::from(held) / 10_000.0);
            assert!(shares.iter().all(|share| (least..=most).contains(share)), "n = {n}: {shares:?}");
        }
    }
}
