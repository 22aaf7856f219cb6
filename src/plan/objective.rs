//! Service level objectives: the share that should be good, and how fast its error budget may be spent.

use std::sync::Arc;

use chrono::TimeDelta;

use crate::domain::duration;
use crate::domain::severity::Severity;
use crate::metric::name::MetricName;
use crate::plan::rule::Condition;

/// A validated objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    pub name: String,
    pub indicator: Indicator,
    /// Share that should be good, between 0 and 1.
    pub objective: f64,
    pub period: TimeDelta,
    pub burns: Vec<Burn>,
    /// True if bad predictions or windows spend the budget while its alerts are silenced.
    pub silenced_spends: bool,
    pub notify: Vec<String>,
    pub runbook: Option<String>,
    pub owner: Option<String>,
}

/// The events that are counted as good or bad.
#[derive(Debug, Clone, PartialEq)]
pub enum Indicator {
    /// Labeled predictions. The metric is the share of good ones.
    Predictions {
        metric: Arc<str>,
        /// The expression, part of the fingerprint: a different expression is a different objective.
        good: String,
    },
    /// Windows. A window is bad if its metric breaches the condition.
    Windows { metric: MetricName, window: String, condition: Condition },
}

/// A burn rate that fires an alert, measured over a long and a short window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    pub long: TimeDelta,
    pub short: TimeDelta,
    /// Burn rate limit; 1 spends the budget exactly over the period.
    pub factor: f64,
    pub severity: Severity,
    /// Minimum number of predictions or windows in the long window.
    pub min_samples: i64,
    /// Minimum number of bad predictions or windows in the long window.
    pub min_bad: i64,
}

impl Slo {
    /// The largest possible burn rate: everything is bad.
    pub fn largest_burn(&self) -> f64 {
        largest_burn(self.objective)
    }

    /// Name of the alert for one of its burn rates.
    pub fn alert(&self, burn: &Burn) -> String {
        format!("{}/{}", self.name, duration::format(burn.long))
    }

    /// Identifies the definition of one of its burn rates.
    pub fn fingerprint(&self, burn: &Burn) -> String {
        use sha2::{Digest, Sha256};
        let meaning = format!("{:?} {} {} {burn:?}", self.indicator, self.objective, self.period);
        Sha256::digest(meaning.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The largest burn rate that an objective allows: 1 / (1 − objective).
pub fn largest_burn(objective: f64) -> f64 {
    1.0 / (1.0 - objective)
}

/// The burn rate that spends a share of the budget within a window: `share × period / window`.
pub fn factor(share: f64, period: TimeDelta, window: TimeDelta) -> f64 {
    share * seconds(period) / seconds(window)
}

#[expect(clippy::cast_precision_loss, reason = "seconds stay far below 2^53")]
pub fn seconds(time: TimeDelta) -> f64 {
    time.num_seconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the SRE workbook for 30 days, and its values for 28.
    #[test]
    fn factors_follow_from_the_share_of_the_budget() {
        let hours = TimeDelta::hours;
        for (share, window, month, four_weeks) in [
            (0.02, hours(1), 14.4, 13.44),
            (0.05, hours(6), 6.0, 5.6),
            (0.1, hours(24), 3.0, 2.8),
            (0.1, hours(72), 1.0, 0.933_333_333),
        ] {
            assert!((factor(share, TimeDelta::days(30), window) - month).abs() < 1e-9);
            assert!((factor(share, TimeDelta::days(28), window) - four_weeks).abs() < 1e-9);
        }
    }

    #[test]
    fn a_burn_rate_is_bounded_by_the_objective() {
        for (objective, largest) in [(0.9, 10.0), (0.99, 100.0), (0.999, 1_000.0)] {
            assert!((largest_burn(objective) / largest - 1.0).abs() < 1e-9);
        }
    }
}
