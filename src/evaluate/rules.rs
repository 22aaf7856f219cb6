//! Compares measurements with the limits of a rule. Metrics are compared only here.

use crate::domain::verdict::Verdict;
use crate::domain::window::Slice;
use crate::evaluate::baseline::{self, Past};
use crate::evaluate::verdict::{Judgement, Reason};
use crate::metric::measurement::Sample;
use crate::plan::rule::{Condition, Rule, Test, When};

/// Evidence for one comparison of a rule.
#[derive(Debug, Clone, Default)]
pub struct Evidence<'a> {
    /// `None`: the window has no predictions of the target.
    pub sample: Option<&'a Sample>,
    /// Windows that its baseline may use, nearest first.
    pub past: Vec<Past>,
}

/// Judges one window for one target, given evidence for each comparison of the rule, in their order.
pub fn judge(rule: &Rule, judged: Slice, evidence: &[Evidence<'_>]) -> Judgement {
    let none = Evidence::default();
    let judge = |(place, test): (usize, &Test)| judge_test(rule, test, judged, evidence.get(place).unwrap_or(&none));
    let mut parts: Vec<(String, Judgement)> = rule
        .when
        .tests()
        .iter()
        .enumerate()
        .map(|(place, test)| (test.metric.name().to_owned(), judge((place, test))))
        .collect();
    let verdicts: Vec<Verdict> = parts.iter().map(|(_, part)| part.verdict).collect();
    let verdict = match &rule.when {
        When::Test(_) => return parts.swap_remove(0).1,
        When::All(_) => together(&verdicts, Verdict::Ok, Verdict::Breach),
        When::Any(_) => together(&verdicts, Verdict::Breach, Verdict::Ok),
    };
    // Show the first part whose verdict equals the combined one.
    let shown = parts.iter().find(|(_, part)| part.verdict == verdict).or(parts.first());
    let (value, limit, baseline) =
        shown.map_or((None, None, None), |(_, part)| (part.value, part.limit, part.baseline));
    let reason = Reason::Several(parts.into_iter().map(|(name, part)| (name, part.verdict, part.reason)).collect());
    Judgement { verdict, reason, value, limit, baseline }
}

/// Returns `decisive` if any verdict is; otherwise the first verdict that is not `other`; otherwise `other`.
fn together(verdicts: &[Verdict], decisive: Verdict, other: Verdict) -> Verdict {
    if verdicts.contains(&decisive) {
        return decisive;
    }
    verdicts.iter().copied().find(|verdict| *verdict != other).unwrap_or(other)
}

fn judge_test(rule: &Rule, test: &Test, judged: Slice, evidence: &Evidence<'_>) -> Judgement {
    let sample = evidence.sample;
    let value = match (sample, &test.metric) {
        // A count over a missing target is zero.
        (None, metric) if metric.is_count() => Some(0.0),
        (sample, metric) => sample.and_then(|m| m.value(metric)),
    };
    let limits = baseline::condition(&test.limits, judged, &evidence.past);
    let (verdict, reason) = match (guard(rule, test, sample), value, &limits) {
        (Some(stopped), _, _) => stopped,
        (None, None, _) => (Verdict::NoData, Reason::NoLabels),
        (None, Some(value), _) if value.is_nan() => (Verdict::Error, Reason::NotANumber),
        (None, Some(_), Err(reason)) => (Verdict::Insufficient, reason.clone()),
        (None, Some(value), Ok((condition, _))) => {
            let compared = compare(*condition, value);
            significantly(rule, test, sample, *condition, compared)
        }
    };
    let known = limits.ok();
    Judgement {
        verdict,
        reason,
        value: value.filter(|v| v.is_finite()),
        limit: known.as_ref().map(|(condition, _)| condition.limit_for(value.unwrap_or(f64::NAN))),
        baseline: known.and_then(|(_, center)| center).map(|center| center.value),
    }
}

/// Returns a verdict if the value cannot be compared at all.
fn guard(rule: &Rule, test: &Test, sample: Option<&Sample>) -> Option<(Verdict, Reason)> {
    let counts = sample.map(|m| m.counts).unwrap_or_default();
    if !test.metric.needs_labels() {
        // A count is a value even when it is 0; a ratio of nothing is not.
        let missing = !test.metric.is_count()
            && counts.predictions == 0
            && sample.is_none_or(|m| m.value(&test.metric).is_none());
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

/// A value equal to a limit is within it. The caller has excluded NaN.
fn compare(condition: Condition, value: f64) -> (Verdict, Reason) {
    let (low, high) = bounds(condition);
    if value > high {
        (Verdict::Breach, Reason::AboveLimit)
    } else if value < low {
        (Verdict::Breach, Reason::BelowLimit)
    } else {
        (Verdict::Ok, Reason::WithinLimit)
    }
}

fn bounds(condition: Condition) -> (f64, f64) {
    match condition {
        Condition::Above(high) => (f64::NEG_INFINITY, high),
        Condition::Below(low) => (low, f64::INFINITY),
        Condition::Outside { low, high } => (low, high),
    }
}

/// With `significant`, a breach counts only if the near bound of the confidence interval is beyond the limit too.
fn significantly(
    rule: &Rule,
    test: &Test,
    sample: Option<&Sample>,
    condition: Condition,
    compared: (Verdict, Reason),
) -> (Verdict, Reason) {
    if !rule.significant || compared.0 != Verdict::Breach {
        return compared;
    }
    let interval = sample.and_then(|m| m.intervals.get(test.metric.name()));
    let (low, high) = bounds(condition);
    let (bound, beyond) = match compared.1 {
        Reason::BelowLimit => (interval.map(|i| i.high), interval.is_some_and(|i| i.high < low)),
        _ => (interval.map(|i| i.low), interval.is_some_and(|i| i.low > high)),
    };
    if beyond { compared } else { (Verdict::Insufficient, Reason::NotSignificant { bound }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use rstest::rstest;

    use super::*;
    use crate::metric::interval::Interval;
    use crate::metric::measurement::Counts;
    use crate::metric::name::MetricName;
    use crate::plan::baseline::{Baseline, Kind};
    use crate::plan::rule::{Excess, Limits};
    use chrono::TimeDelta;

    fn rule(condition: Condition) -> Rule {
        let when = When::Test(test("rmse", Limits::Fixed(condition)));
        Rule { min_samples: 10, min_coverage: 0.5, ..Rule::new("r", "rolling 24h", when) }
    }

    fn test(metric: &str, limits: Limits) -> Test {
        let metric = match metric {
            "coverage" => MetricName::Coverage,
            name => MetricName::Named(name.into()),
        };
        Test::new(metric, "rolling 24h", limits)
    }

    const JUDGED: Slice = Slice { start: DateTime::UNIX_EPOCH, end: DateTime::UNIX_EPOCH };

    fn judge_one(rule: &Rule, sample: Option<&Sample>) -> Judgement {
        judge(rule, JUDGED, &[Evidence { sample, past: vec![] }, Evidence { sample, past: vec![] }])
    }

    fn sample(value: Option<f64>, predictions: i64, labeled: i64) -> Sample {
        Sample {
            counts: Counts { predictions, labeled, ..Counts::default() },
            metrics: BTreeMap::from([("rmse".to_owned(), value)]),
            intervals: BTreeMap::new(),
            notes: BTreeMap::new(),
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
        assert_eq!(judge_one(&rule(condition), Some(&sample(Some(value), 100, 100))).verdict, expected);
    }

    #[rstest]
    #[case::no_predictions(None, Verdict::NoData)]
    #[case::no_labels(Some(sample(None, 100, 0)), Verdict::NoData)]
    #[case::one_too_few(Some(sample(Some(999.0), 9, 9)), Verdict::Insufficient)]
    #[case::just_enough(Some(sample(Some(999.0), 10, 10)), Verdict::Breach)]
    #[case::coverage_too_low(Some(sample(Some(999.0), 100, 49)), Verdict::Insufficient)]
    #[case::coverage_just_enough(Some(sample(Some(999.0), 100, 50)), Verdict::Breach)]
    fn what_is_behind_a_value_decides_whether_it_is_compared(#[case] given: Option<Sample>, #[case] expected: Verdict) {
        assert_eq!(judge_one(&rule(Condition::Above(250.0)), given.as_ref()).verdict, expected);
    }

    #[test]
    fn coverage_itself_can_be_judged_and_zero_coverage_is_a_value() {
        let mut low = rule(Condition::Below(0.9));
        low.when = When::Test(test("coverage", Limits::Fixed(Condition::Below(0.9))));
        assert_eq!(judge_one(&low, Some(&sample(None, 100, 0))).verdict, Verdict::Breach);
        assert_eq!(judge_one(&low, Some(&sample(None, 100, 95))).verdict, Verdict::Ok);
        assert_eq!(judge_one(&low, None).verdict, Verdict::NoData);
    }

    #[test]
    fn predictions_that_stop_are_none_and_not_no_data() {
        let mut few = rule(Condition::Below(0.0));
        let predictions =
            Test { metric: MetricName::Predictions, ..test("rmse", Limits::Fixed(Condition::Below(1.0))) };
        few.when = When::Test(predictions);
        let found = judge_one(&few, None);
        assert_eq!((found.verdict, found.value), (Verdict::Breach, Some(0.0)));
    }

    #[rstest]
    #[case::bound_beyond(251.0, Verdict::Breach)]
    #[case::bound_equal(250.0, Verdict::Insufficient)]
    #[case::bound_within(240.0, Verdict::Insufficient)]
    fn a_significant_breach_has_its_confidence_bound_beyond_the_limit(#[case] bound: f64, #[case] expected: Verdict) {
        let mut measured = sample(Some(300.0), 100, 100);
        measured.intervals.insert("rmse".into(), Interval { low: bound, high: 400.0 });
        let mut asked = rule(Condition::Above(250.0));
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, Verdict::Breach);
        asked.significant = true;
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, expected);
        assert_eq!(judge_one(&asked, Some(&sample(Some(300.0), 100, 100))).verdict, Verdict::Insufficient);
    }

    #[test]
    fn a_collapse_is_significant_by_its_upper_bound() {
        let mut measured = sample(Some(3.0), 100, 100);
        let mut asked = rule(Condition::Below(10.0));
        asked.significant = true;
        measured.intervals.insert("rmse".into(), Interval { low: 1.0, high: 12.0 });
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, Verdict::Insufficient);
        measured.intervals.insert("rmse".into(), Interval { low: 1.0, high: 9.0 });
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, Verdict::Breach);
    }

    fn days_before(values: &[f64]) -> Vec<Past> {
        let slice = |n: i64| Slice {
            start: DateTime::UNIX_EPOCH - TimeDelta::days(n + 1),
            end: DateTime::UNIX_EPOCH - TimeDelta::days(n),
        };
        (0..).zip(values).map(|(n, value)| Past { slice: slice(n), value: Some(*value), breach: false }).collect()
    }

    #[rstest]
    #[case::beyond(120.1, &[100.0, 100.0, 100.0], Verdict::Breach)]
    #[case::equal_to_the_limit(120.0, &[100.0, 100.0, 100.0], Verdict::Ok)]
    #[case::as_usual(100.0, &[100.0, 100.0, 100.0], Verdict::Ok)]
    #[case::one_window_too_few(999.0, &[100.0, 100.0], Verdict::Insufficient)]
    #[case::first_window_ever(999.0, &[], Verdict::Insufficient)]
    fn a_value_is_compared_with_its_past(#[case] value: f64, #[case] past: &[f64], #[case] expected: Verdict) {
        let baseline = Baseline { kind: Kind::Rolling(30), min: 3, exclude: vec![] };
        let above = Some(Excess { share: Some(0.2), ..Excess::default() });
        let mut asked = rule(Condition::Above(0.0));
        asked.when = When::Test(test("rmse", Limits::Relative { above, below: None, baseline }));
        let measured = sample(Some(value), 100, 100);
        let found = judge(&asked, JUDGED, &[Evidence { sample: Some(&measured), past: days_before(past) }]);
        assert_eq!(found.verdict, expected, "{found:?}");
        assert_eq!(found.baseline, (past.len() >= 3).then_some(100.0), "kept with the verdict");
    }

    #[rstest]
    #[case::both(300.0, 95, Verdict::Breach, Verdict::Breach)]
    #[case::one(300.0, 80, Verdict::Ok, Verdict::Breach)]
    #[case::the_other(200.0, 95, Verdict::Ok, Verdict::Breach)]
    #[case::neither(200.0, 80, Verdict::Ok, Verdict::Ok)]
    #[case::not_known(f64::NAN, 95, Verdict::Error, Verdict::Breach)]
    fn conditions_are_put_together(
        #[case] rmse: f64,
        #[case] labeled: i64,
        #[case] all: Verdict,
        #[case] any: Verdict,
    ) {
        let tests = || {
            vec![
                test("rmse", Limits::Fixed(Condition::Above(250.0))),
                test("coverage", Limits::Fixed(Condition::Above(0.9))),
            ]
        };
        let measured = sample(Some(rmse), 100, labeled);
        let mut asked = rule(Condition::Above(0.0));
        asked.when = When::All(tests());
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, all);
        asked.when = When::Any(tests());
        assert_eq!(judge_one(&asked, Some(&measured)).verdict, any);
    }
}
