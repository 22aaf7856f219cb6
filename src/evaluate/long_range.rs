//! Numbers of a long range: from sums, never as means of roots.

/// Root mean squared error over windows that do not overlap: `sqrt(sum(mse * labeled) / sum(labeled))`, from these two sums.
/// `None` without labels.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn rmse(sum_of_squares: f64, labeled: i64) -> Option<f64> {
    (labeled > 0 && sum_of_squares >= 0.0).then(|| (sum_of_squares / labeled as f64).sqrt())
}

/// Mean over windows that do not overlap: `sum(value * labeled) / sum(labeled)`, from these two sums. `None` without labels.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn mean(sum: f64, labeled: i64) -> Option<f64> {
    (labeled > 0).then(|| sum / labeled as f64)
}

/// Change against an earlier value: 1 is unchanged. `None` if there is nothing to compare.
pub fn ratio(now: Option<f64>, before: Option<f64>) -> Option<f64> {
    now.zip(before).map(|(now, before)| now / before).filter(|ratio| ratio.is_finite())
}

/// Share of a part. `None` if the whole is not positive.
pub fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole).filter(|share| share.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_long_range_weighs_windows_by_their_labels() {
        // Errors of 3 over 10 predictions and of 4 over 30: not 3.5.
        let sum = 9.0 * 10.0 + 16.0 * 30.0;
        assert_eq!(rmse(sum, 40), Some((570.0_f64 / 40.0).sqrt()));
        assert_eq!(rmse(0.0, 0), None);
        assert_eq!(rmse(f64::NAN, 5), None);
        assert_eq!(mean(12.0, 4), Some(3.0));
    }

    #[test]
    fn a_change_needs_two_values() {
        assert_eq!(ratio(Some(3.0), Some(2.0)), Some(1.5));
        assert_eq!((ratio(Some(3.0), None), ratio(Some(3.0), Some(0.0)), share(1.0, 0.0)), (None, None, None));
    }
}
