//! Shares of counts, as pages derive them from what is measured.

use crate::metric::interval;

/// A share with its 95 % interval (Wilson); `None` of nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Returns `part` of `whole`.
pub fn share(part: i64, whole: i64) -> Option<Share> {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let (part, whole) = (part as f64, whole as f64);
    let interval = interval::of_share(part, whole)?;
    Some(Share { value: part / whole, low: interval.low, high: interval.high })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `proportion_confint(7, 20, method="wilson")` of statsmodels.
    #[test]
    fn a_share_has_its_interval() {
        let found = share(7, 20).unwrap();
        assert!((found.value - 0.35).abs() < 1e-12);
        assert!((found.low - 0.181_192).abs() < 1e-5 && (found.high - 0.567_146).abs() < 1e-5, "{found:?}");
        assert_eq!(share(0, 0), None);
    }
}
