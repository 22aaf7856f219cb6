//! Error budgets: the remaining share, the burn rate, and when the budget will be exhausted.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::verdict::Verdict;
use crate::plan::objective::{Burn, Slo, seconds};

/// Good and total events of a period. Shares are computed from these sums, never as means of shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub good: i64,
    pub total: i64,
}

impl Tally {
    pub fn bad(self) -> i64 {
        self.total - self.good
    }

    /// Subtracts a part.
    pub fn minus(self, part: Self) -> Self {
        Self { good: self.good - part.good, total: self.total - part.total }
    }

    /// Share of bad events. `None` if there are no events.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    pub fn bad_share(self) -> Option<f64> {
        (self.total > 0).then(|| self.bad() as f64 / self.total as f64)
    }

    /// Burn rate: a multiple of the speed that spends the budget exactly over the period.
    pub fn burn(self, objective: f64) -> Option<f64> {
        self.bad_share().map(|share| share / (1.0 - objective))
    }
}

/// Judgement of one burn rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnJudgement {
    pub verdict: Verdict,
    pub long: Option<f64>,
    pub short: Option<f64>,
    /// Events of the long window.
    pub tally: Tally,
    pub why: BurnReason,
}

/// Reason for the verdict on a burn rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurnReason {
    /// Both windows spend faster than the factor.
    Both,
    /// At most one window does.
    NotBoth,
    NoSamples,
    TooFew {
        total: i64,
        needed: i64,
    },
    /// Both spend faster, but with too few bad events to be credible.
    FewBad {
        bad: i64,
        needed: i64,
    },
}

impl BurnReason {
    /// In words, as stored with the verdict.
    pub fn describe(self) -> String {
        match self {
            Self::Both => "the long and the short window both exceed the limit".to_owned(),
            Self::NotBoth => "within the limit".to_owned(),
            Self::NoSamples => "no events were counted in the windows".to_owned(),
            Self::TooFew { total, needed } => format!("{total} events in the long window, {needed} needed"),
            Self::FewBad { bad, needed } => format!("{bad} bad events in the long window, {needed} needed"),
        }
    }
}

/// Judges a burn rate: both windows must spend faster than the factor, and the long one must contain enough events to be
/// credible.
pub fn judge(objective: f64, burn: &Burn, long: Tally, short: Tally) -> BurnJudgement {
    let (long_burn, short_burn) = (long.burn(objective), short.burn(objective));
    let (verdict, why) = match (long_burn, short_burn) {
        (None, _) => (Verdict::NoData, BurnReason::NoSamples),
        _ if long.total < burn.min_samples => {
            (Verdict::Insufficient, BurnReason::TooFew { total: long.total, needed: burn.min_samples })
        }
        (Some(far), Some(near)) if far > burn.factor && near > burn.factor => {
            if long.bad() < burn.min_bad {
                (Verdict::Insufficient, BurnReason::FewBad { bad: long.bad(), needed: burn.min_bad })
            } else {
                (Verdict::Breach, BurnReason::Both)
            }
        }
        // The short window is empty, so it is unknown whether the burn has stopped.
        (Some(far), None) if far > burn.factor => (Verdict::NoData, BurnReason::NoSamples),
        _ => (Verdict::Ok, BurnReason::NotBoth),
    };
    BurnJudgement { verdict, long: long_burn, short: short_burn, tally: long, why }
}

/// The budget of an objective over its period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Bad events that the budget allows.
    pub allowed: f64,
    /// Remaining share; below 0 if the budget is overspent.
    pub left: Option<f64>,
    /// Time of exhaustion at the recent burn rate. `None`: not within the next period.
    pub exhausted_at: Option<DateTime<Utc>>,
}

/// Computes the budget as of `label_cutoff`, the end of the counted period. The forecast is based on `recent`.
pub fn budget(slo: &Slo, period: Tally, recent: Tally, label_cutoff: DateTime<Utc>) -> Budget {
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let (bad, total) = (period.bad() as f64, period.total as f64);
    let allowed = (1.0 - slo.objective) * total;
    let left = (period.total > 0).then(|| 1.0 - bad / allowed);
    let exhausted_at = match left {
        Some(left) if left <= 0.0 => Some(label_cutoff),
        // At a burn rate of b the whole budget lasts period / b.
        Some(left) => recent.burn(slo.objective).filter(|burn| *burn > 0.0).and_then(|burn| {
            let lasts = left / burn * seconds(slo.period);
            (lasts <= seconds(slo.period)).then(|| after(label_cutoff, lasts))
        }),
        None => None,
    };
    Budget { allowed, left, exhausted_at }
}

fn after(time: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the period, which is at most ten years")]
    let whole = seconds.round() as i64;
    time + TimeDelta::seconds(whole)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::domain::severity::Severity;
    use crate::plan::objective::Indicator;

    fn burn(factor: f64, min_samples: i64) -> Burn {
        let (long, short) = (TimeDelta::hours(1), TimeDelta::minutes(5));
        Burn { long, short, factor, severity: Severity::Page, min_samples, min_bad: 3 }
    }

    fn tally(bad: i64, total: i64) -> Tally {
        Tally { good: total - bad, total }
    }

    /// The two examples of the source documents: 2 % bad with an objective of 99 %, 0.4 % with 99.9 %.
    #[rstest]
    #[case(0.99, 2, 100, 2.0)]
    #[case(0.999, 4, 1_000, 4.0)]
    #[case(0.99, 100, 100, 100.0)]
    #[case(0.999, 1_000, 1_000, 1_000.0)]
    fn a_burn_rate_is_the_bad_share_over_the_budget(
        #[case] objective: f64,
        #[case] bad: i64,
        #[case] total: i64,
        #[case] expected: f64,
    ) {
        assert!((tally(bad, total).burn(objective).unwrap() / expected - 1.0).abs() < 1e-9);
    }

    /// Two hours, one bad of 2 and none of 998: the mean of the shares would be 0.25.
    #[test]
    fn shares_are_of_sums() {
        let sum = tally(1, 1_000);
        assert!((sum.bad_share().unwrap() - 0.001).abs() < 1e-12);
    }

    #[rstest]
    #[case::both(tally(20, 100), tally(2, 10), Verdict::Breach)]
    #[case::only_the_long_one(tally(20, 100), tally(0, 10), Verdict::Ok)]
    #[case::only_the_short_one(tally(5, 100), tally(5, 10), Verdict::Ok)]
    #[case::equal_to_the_factor(tally(144, 1_000), tally(144, 1_000), Verdict::Ok)]
    #[case::one_sample_more(tally(145, 1_000), tally(145, 1_000), Verdict::Breach)]
    #[case::one_of_three(tally(1, 3), tally(1, 3), Verdict::Insufficient)]
    #[case::too_few(tally(20, 34), tally(2, 3), Verdict::Insufficient)]
    #[case::just_enough(tally(20, 35), tally(2, 3), Verdict::Breach)]
    #[case::nothing(tally(0, 0), tally(0, 0), Verdict::NoData)]
    #[case::nothing_in_the_short_window(tally(20, 100), tally(0, 0), Verdict::NoData)]
    fn both_windows_must_burn_faster(#[case] long: Tally, #[case] short: Tally, #[case] expected: Verdict) {
        // 5 / (14.4 · 0.01) = 34.7.
        assert_eq!(judge(0.99, &burn(14.4, 35), long, short).verdict, expected);
    }

    #[test]
    fn two_bad_ones_are_too_few_however_fast_that_is() {
        let found = judge(0.99, &burn(1.0, 10), tally(2, 10), tally(2, 2));
        assert_eq!(found.why, BurnReason::FewBad { bad: 2, needed: 3 });
    }

    #[test]
    fn a_budget_is_spent_and_its_end_foreseen() {
        let slo = Slo {
            name: "s".into(),
            indicator: Indicator::Predictions { metric: "slo_s".into(), good: String::new() },
            objective: 0.95,
            period: TimeDelta::days(30),
            silenced_spends: true,
            burns: vec![],
            notify: vec![],
            runbook: None,
            owner: None,
        };
        let now = DateTime::UNIX_EPOCH;
        // 25 of 50 allowed bad events are spent; at a burn rate of 3 the other half lasts 5 days.
        let found = budget(&slo, tally(25, 1_000), tally(15, 100), now);
        assert!((found.left.unwrap() - 0.5).abs() < 1e-9 && (found.allowed - 50.0).abs() < 1e-9);
        assert_eq!(found.exhausted_at, Some(now + TimeDelta::days(5)));
        assert_eq!(budget(&slo, tally(60, 1_000), tally(0, 100), now).exhausted_at, Some(now));
        assert_eq!(budget(&slo, tally(0, 1_000), tally(0, 100), now).exhausted_at, None);
        assert_eq!(budget(&slo, tally(0, 0), tally(0, 0), now).left, None);
    }
}
