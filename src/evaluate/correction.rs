//! The usual correction: how the first reports of a kind of window end once all labels are in.

use crate::evaluate::quantile::quantile;

/// Fewest finished windows for a usual correction.
const FEWEST: usize = 20;

/// Quantiles 10, 50 and 90 % of the final value by the first report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsualCorrection {
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub windows: usize,
}

/// Returns the usual correction of finished windows, given as first report and final value; `None` below 20 windows.
pub fn usual(finished: impl Iterator<Item = (f64, f64)>) -> Option<UsualCorrection> {
    let mut ratios: Vec<f64> = finished.map(|(first, last)| last / first).filter(|ratio| ratio.is_finite()).collect();
    if ratios.len() < FEWEST {
        return None;
    }
    ratios.sort_by(f64::total_cmp);
    Some(UsualCorrection {
        low: quantile(&ratios, 0.1)?,
        median: quantile(&ratios, 0.5)?,
        high: quantile(&ratios, 0.9)?,
        windows: ratios.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_corrections_need_twenty_windows() {
        let finished = |count: i32| (0..count).map(|n| (100.0, 100.0 + f64::from(n)));
        assert_eq!(usual(finished(19)), None);
        let usual = usual(finished(21)).unwrap();
        assert_eq!((usual.low, usual.median, usual.high), (1.02, 1.1, 1.18));
    }
}
