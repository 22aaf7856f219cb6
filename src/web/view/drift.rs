//! How a window has moved since its first report.

use super::series::Entry;
use super::words;
use crate::domain::about::AboutMetric;

/// How the value of a window has moved since its first report: `first reported 512.0 MW, now 498.0 MW (3 % lower)`. `None` if it
/// reads the same.
pub fn since_first_report(entry: &Entry, metric: Option<&AboutMetric>) -> Option<String> {
    let (first, now) = (entry.first_reported?, entry.value?);
    let (before, after) = (words::value(Some(first), metric), words::value(Some(now), metric));
    if before == after {
        return None;
    }
    let ratio = now / first;
    let change = if ratio.is_finite() && ratio > 0.0 && first > 0.0 {
        format!(" ({})", words::change(ratio))
    } else {
        String::new()
    };
    Some(format!("first reported {before}, now {after}{change}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn entry(first_reported: Option<f64>, value: Option<f64>) -> Entry {
        let at = DateTime::UNIX_EPOCH;
        Entry {
            start: at,
            end: at,
            value,
            ci_low: None,
            ci_high: None,
            labeled: 1,
            predictions: 1,
            is_final: false,
            revision: 2,
            first_reported,
            limit: None,
            baseline: None,
            verdict: None,
            later_verdict: None,
            missing: None,
            is_kept: false,
        }
    }

    #[test]
    fn a_value_that_reads_the_same_has_not_moved() {
        let moved = |first, now| since_first_report(&entry(first, now), None);
        assert_eq!(moved(Some(512.0), Some(498.0)).unwrap(), "first reported 512.0, now 498.0 (3 % lower)");
        assert_eq!(moved(Some(-1.0), Some(1.0)).unwrap(), "first reported -1.000, now 1.000", "no ratio across zero");
        assert_eq!(moved(Some(5.0), Some(5.000_001)), None);
        assert_eq!((moved(None, Some(1.0)), moved(Some(1.0), None)), (None, None));
    }
}
