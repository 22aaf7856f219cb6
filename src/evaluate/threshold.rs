//! Compares a measurement with the limits of a rule. The only place where a metric is compared.

use crate::evaluate::verdict::{Judgement, Reason, Verdict};
use crate::plan::measurement::Measurement;
use crate::plan::rule::{Condition, Rule};

/// Judges one window for one target. `None`: the window has no predictions of the target.
pub fn judge(rule: &Rule, measurement: Option<&Measurement>) -> Judgement {
    let value = measurement.and_then(|m| m.value(&rule.metric));
    let (verdict, reason) = match (guard(rule, measurement), value) {
        (Some(stopped), _) => stopped,
        (None, None) => (Verdict::NoData, Reason::NoLabels),
        (None, Some(value)) => compare(rule.condition, value),
    };
    let limit = rule.condition.limit_for(value.unwrap_or(f64::NAN));
    Judgement { verdict, reason, value: value.filter(|v| v.is_finite()), limit }
}

/// What keeps a value from being compared at all.
fn guard(rule: &Rule, measurement: Option<&Measurement>) -> Option<(Verdict, Reason)> {
    let counts = measurement.map(|m| m.counts).unwrap_or_default();
    if !rule.metric.needs_labels() {
        // A count of predictions is a value even when it is 0; a ratio of them is not.
        let missing = counts.predictions == 0 && measurement.is_none_or(|m| m.value(&rule.metric).is_none());
        return missing.then_some((Verdict::NoData, Reason::NoPredictions));
    }
    if counts.predictions == 0 {
        return Some((Verdict::NoData, Reason::NoPredictions));
    }
    if counts.labeled == 0 {
        return Some((Verdict::NoData, Reason::NoLabels));
    }
    if counts.labeled < rule.min_samples {
        let reason = Reason::TooFewSamples { labeled: counts.labeled, needed: rule.min_samples };
        return Some((Verdict::Insufficient, reason));
    }
    let coverage = counts.coverage().unwrap_or(0.0);
    (coverage < rule.min_coverage)
        .then_some((Verdict::Insufficient, Reason::LowCoverage { coverage, needed: rule.min_coverage }))
}

/// A value equal to a limit is within it. NaN is neither calm nor a breach.
fn compare(condition: Condition, value: f64) -> (Verdict, Reason) {
    if value.is_nan() {
        return (Verdict::Error, Reason::NotANumber);
    }
    let (low, high) = match condition {
        Condition::Above(high) => (f64::NEG_INFINITY, high),
        Condition::Below(low) => (low, f64::INFINITY),
        Condition::Outside { low, high } => (low, high),
    };
    if value > high {
        (Verdict::Breach, Reason::AboveLimit)
    } else if value < low {
        (Verdict::Breach, Reason::BelowLimit)
    } else {
        (Verdict::Ok, Reason::WithinLimit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use rstest::rstest;

    use super::*;
    use crate::plan::cohort::Cohort;
    use crate::plan::measurement::Counts;
    use crate::plan::rule::{CohortChoice, RuleMetric, Severity, VersionChoice};
    use crate::plan::window::Slice;

    fn rule(condition: Condition) -> Rule {
        Rule {
            name: "r".into(),
            metric: RuleMetric::Named("rmse".into()),
            window: "rolling 24h".into(),
            condition,
            persistence: 1,
            min_samples: 10,
            min_coverage: 0.5,
            on_final_only: false,
            cohorts: CohortChoice::All,
            versions: VersionChoice::Together,
            severity: Severity::Page,
            notify: vec![],
            runbook: None,
            owner: None,
        }
    }

    fn sample(value: Option<f64>, predictions: i64, labeled: i64) -> Measurement {
        Measurement {
            window: "rolling 24h".into(),
            slice: Slice { start: DateTime::UNIX_EPOCH, end: DateTime::UNIX_EPOCH },
            cohort: Cohort::All,
            model_version: None,
            counts: Counts { predictions, labeled, ..Counts::default() },
            metrics: BTreeMap::from([("rmse".to_owned(), value)]),
            intervals: BTreeMap::new(),
            digest: "0".into(),
        }
    }

    #[rstest]
    #[case::above("above", 250.1, Verdict::Breach)]
    #[case::equal_to_the_upper_limit("above", 250.0, Verdict::Ok)]
    #[case::under_the_upper_limit("above", 249.0, Verdict::Ok)]
    #[case::suspiciously_low("below", 9.9, Verdict::Breach)]
    #[case::equal_to_the_lower_limit("below", 10.0, Verdict::Ok)]
    #[case::inside_both("both", 100.0, Verdict::Ok)]
    #[case::above_both("both", 251.0, Verdict::Breach)]
    #[case::below_both("both", 9.0, Verdict::Breach)]
    #[case::not_a_number("above", f64::NAN, Verdict::Error)]
    #[case::infinite("above", f64::INFINITY, Verdict::Breach)]
    fn a_value_is_compared_with_the_limits(#[case] which: &str, #[case] value: f64, #[case] expected: Verdict) {
        let condition = match which {
            "above" => Condition::Above(250.0),
            "below" => Condition::Below(10.0),
            _ => Condition::Outside { low: 10.0, high: 250.0 },
        };
        assert_eq!(judge(&rule(condition), Some(&sample(Some(value), 100, 100))).verdict, expected);
    }

    #[rstest]
    #[case::no_predictions(None, Verdict::NoData)]
    #[case::no_labels(Some(sample(None, 100, 0)), Verdict::NoData)]
    #[case::one_too_few(Some(sample(Some(999.0), 9, 9)), Verdict::Insufficient)]
    #[case::just_enough(Some(sample(Some(999.0), 10, 10)), Verdict::Breach)]
    #[case::coverage_too_low(Some(sample(Some(999.0), 100, 49)), Verdict::Insufficient)]
    #[case::coverage_just_enough(Some(sample(Some(999.0), 100, 50)), Verdict::Breach)]
    fn what_is_behind_a_value_decides_whether_it_is_compared(
        #[case] given: Option<Measurement>,
        #[case] expected: Verdict,
    ) {
        assert_eq!(judge(&rule(Condition::Above(250.0)), given.as_ref()).verdict, expected);
    }

    #[test]
    fn coverage_itself_can_be_judged_and_zero_coverage_is_a_value() {
        let mut low = rule(Condition::Below(0.9));
        low.metric = RuleMetric::Coverage;
        assert_eq!(judge(&low, Some(&sample(None, 100, 0))).verdict, Verdict::Breach);
        assert_eq!(judge(&low, Some(&sample(None, 100, 95))).verdict, Verdict::Ok);
        assert_eq!(judge(&low, None).verdict, Verdict::NoData);
    }
}
