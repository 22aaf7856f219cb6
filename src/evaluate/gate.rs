//! Decisions for deployments: may a change advance, must it go back, or is there too little to say?
//!
//! Only a breach or an alert that fires is a reason to go back. Everything that is not known waits: a deployment never advances on
//! missing labels, and is never rolled back for them.

use chrono::{DateTime, Utc};

use crate::domain::verdict::Verdict;

/// Answer of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Pass,
    Fail,
    Wait,
}

/// A decision, and the numbers behind it. Unknown numbers are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub decision: Decision,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    pub labeled: Option<i64>,
    /// Labeled pairs that a verdict needs.
    pub needed: Option<i64>,
    /// The cohort that decided.
    pub cohort: Option<String>,
    /// End of the window that decided.
    pub window_end: Option<DateTime<Utc>>,
    pub reason: String,
}

/// The latest verdict of a rule on one target.
#[derive(Debug, Clone)]
pub struct Judged {
    pub cohort: String,
    pub version: Option<String>,
    pub window_end: DateTime<Utc>,
    pub verdict: Verdict,
    pub value: Option<f64>,
    pub limit: Option<f64>,
    pub labeled: Option<i64>,
    pub reason: String,
}

/// An alert that fires.
#[derive(Debug, Clone)]
pub struct Firing {
    pub cohort: String,
    pub version: Option<String>,
    pub value: Option<f64>,
    pub limit: Option<f64>,
}

/// Evidence about a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleEvidence {
    /// Latest verdicts on the targets of the newest window, those on everything first.
    pub judged: Vec<Judged>,
    /// Alerts of the rule that fire.
    pub firing: Vec<Firing>,
    /// No run published lately.
    pub is_late: bool,
    /// Labeled pairs that a verdict needs.
    pub needed: Option<i64>,
}

/// Evidence about an error budget.
#[derive(Debug, Clone, Default)]
pub struct BudgetEvidence {
    /// Remaining share. `None`: the objective was never evaluated, or counted no events.
    pub left: Option<f64>,
    pub total: Option<i64>,
    pub period_end: Option<DateTime<Utc>>,
    /// Names of burn alerts that fire.
    pub burning: Vec<String>,
    /// No run published lately.
    pub is_late: bool,
}

/// Decides by a rule. Alerts and breaches of any target fail. It passes if everything together is `ok`, or, where the rule judges
/// cohorts alone, if at least one of them is.
pub fn by_rule(evidence: &RuleEvidence) -> Gate {
    if let Some(alert) = evidence.firing.first() {
        let reason = format!("an alert fires for {}", target(&alert.cohort, alert.version.as_deref()));
        let (value, limit, cohort) = (alert.value, alert.limit, Some(alert.cohort.clone()));
        return Gate { decision: Decision::Fail, value, limit, cohort, ..nothing(reason) };
    }
    let is = |verdict: Verdict| evidence.judged.iter().find(|judged| judged.verdict == verdict);
    if let Some(breach) = is(Verdict::Breach) {
        return about(Decision::Fail, breach, evidence.needed);
    }
    if evidence.is_late {
        return nothing("no run has published lately, so the newest verdicts are old".to_owned());
    }
    let undecided: Vec<&Judged> = evidence.judged.iter().filter(|judged| !judged.verdict.is_decided()).collect();
    match (is(Verdict::Ok), undecided.as_slice()) {
        (None, []) => nothing("the rule has no verdict on this version in its newest window".to_owned()),
        (None, [first, ..]) => about(Decision::Wait, first, evidence.needed),
        (Some(_), [first, ..]) if first.cohort == "all" => about(Decision::Wait, first, evidence.needed),
        (Some(ok), []) => about(Decision::Pass, ok, evidence.needed),
        (Some(ok), [first, ..]) => {
            let more = undecided.len();
            let mut gate = about(Decision::Pass, ok, evidence.needed);
            gate.reason = format!("{}; {more} undecided, such as {}: {}", gate.reason, first.cohort, first.reason);
            gate
        }
    }
}

/// Decides by an error budget: it passes while some of the budget is left and no burn alert fires.
pub fn by_budget(evidence: &BudgetEvidence) -> Gate {
    let known = |decision, reason| Gate {
        decision,
        value: evidence.left,
        limit: evidence.left.map(|_| 0.0),
        labeled: evidence.total,
        window_end: evidence.period_end,
        ..nothing(reason)
    };
    match (evidence.burning.as_slice(), evidence.left) {
        ([first, ..], _) => known(Decision::Fail, format!("the burn alert {first} fires")),
        ([], Some(left)) if left <= 0.0 => known(Decision::Fail, "the error budget is spent".to_owned()),
        _ if evidence.is_late => nothing("no run has published lately, so the budget is old".to_owned()),
        ([], Some(left)) if left > 0.0 => {
            known(Decision::Pass, "some of the budget is left, and no burn alert fires".to_owned())
        }
        _ => known(Decision::Wait, "the objective has counted no events yet".to_owned()),
    }
}

fn about(decision: Decision, judged: &Judged, needed: Option<i64>) -> Gate {
    let target = target(&judged.cohort, judged.version.as_deref());
    Gate {
        decision,
        value: judged.value,
        limit: judged.limit,
        labeled: judged.labeled,
        needed,
        cohort: Some(judged.cohort.clone()),
        window_end: Some(judged.window_end),
        reason: format!("{target}: {}", judged.reason),
    }
}

/// A decision to wait without numbers.
fn nothing(reason: String) -> Gate {
    let (value, limit, labeled, needed, cohort, window_end) = Default::default();
    Gate { decision: Decision::Wait, value, limit, labeled, needed, cohort, window_end, reason }
}

fn target(cohort: &str, version: Option<&str>) -> String {
    match (cohort, version) {
        ("all", None) => "everything".to_owned(),
        ("all", Some(version)) => format!("version {version}"),
        (cohort, None) => cohort.to_owned(),
        (cohort, Some(version)) => format!("{cohort}, version {version}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn judged(cohort: &str, verdict: Verdict) -> Judged {
        Judged {
            cohort: cohort.to_owned(),
            version: None,
            window_end: DateTime::UNIX_EPOCH,
            verdict,
            value: Some(231.0),
            limit: Some(250.0),
            labeled: Some(4_100),
            reason: "within the limit".to_owned(),
        }
    }

    #[rstest]
    #[case::ok(&[("all", Verdict::Ok)], Decision::Pass)]
    #[case::breach(&[("all", Verdict::Breach)], Decision::Fail)]
    #[case::one_cohort_of_several(&[("all", Verdict::Ok), ("a", Verdict::Breach)], Decision::Fail)]
    #[case::too_few(&[("all", Verdict::Insufficient)], Decision::Wait)]
    #[case::no_labels(&[("all", Verdict::NoData)], Decision::Wait)]
    #[case::not_a_number(&[("all", Verdict::Error)], Decision::Wait)]
    #[case::everything_is_undecided(&[("all", Verdict::Insufficient), ("a", Verdict::Ok)], Decision::Wait)]
    #[case::a_small_cohort_is_undecided(&[("a", Verdict::Ok), ("b", Verdict::Insufficient)], Decision::Pass)]
    #[case::all_cohorts_are_undecided(&[("a", Verdict::NoData), ("b", Verdict::Insufficient)], Decision::Wait)]
    #[case::nothing(&[], Decision::Wait)]
    fn verdicts_decide(#[case] verdicts: &[(&str, Verdict)], #[case] expected: Decision) {
        let judged = verdicts.iter().map(|(cohort, verdict)| judged(cohort, *verdict)).collect();
        assert_eq!(by_rule(&RuleEvidence { judged, ..RuleEvidence::default() }).decision, expected);
    }

    #[test]
    fn an_alert_that_fires_fails_even_if_the_job_is_late() {
        let firing = vec![Firing { cohort: "all".into(), version: Some("v5".into()), value: Some(300.0), limit: None }];
        let evidence = RuleEvidence { judged: vec![judged("all", Verdict::Ok)], firing, is_late: true, needed: None };
        let gate = by_rule(&evidence);
        assert_eq!((gate.decision, gate.value), (Decision::Fail, Some(300.0)));
        assert_eq!(gate.reason, "an alert fires for version v5");
    }

    #[test]
    fn a_late_job_waits() {
        let evidence =
            RuleEvidence { judged: vec![judged("all", Verdict::Ok)], is_late: true, ..RuleEvidence::default() };
        assert_eq!((by_rule(&evidence).decision, by_rule(&evidence).value), (Decision::Wait, None));
    }

    #[test]
    fn the_reason_names_undecided_cohorts_and_the_numbers_are_those_of_the_verdict() {
        let mut small = judged("b", Verdict::Insufficient);
        small.reason = "3 labeled pairs, 90 needed".to_owned();
        let judged = vec![judged("a", Verdict::Ok), small];
        let gate = by_rule(&RuleEvidence { judged, needed: Some(90), ..RuleEvidence::default() });
        assert_eq!(gate.reason, "a: within the limit; 1 undecided, such as b: 3 labeled pairs, 90 needed");
        assert_eq!((gate.value, gate.limit, gate.labeled), (Some(231.0), Some(250.0), Some(4_100)));
        assert_eq!(gate.needed, Some(90));
    }

    #[rstest]
    #[case::left(Some(0.042), false, false, Decision::Pass)]
    #[case::spent(Some(0.0), false, false, Decision::Fail)]
    #[case::overspent_and_late(Some(-0.3), false, true, Decision::Fail)]
    #[case::burns(Some(0.9), true, false, Decision::Fail)]
    #[case::late(Some(0.9), false, true, Decision::Wait)]
    #[case::never_evaluated(None, false, false, Decision::Wait)]
    #[case::not_a_number(Some(f64::NAN), false, false, Decision::Wait)]
    fn budgets_decide(
        #[case] left: Option<f64>,
        #[case] burns: bool,
        #[case] is_late: bool,
        #[case] expected: Decision,
    ) {
        let burning = if burns { vec!["fast".to_owned()] } else { Vec::new() };
        let evidence = BudgetEvidence { left, burning, is_late, ..BudgetEvidence::default() };
        assert_eq!(by_budget(&evidence).decision, expected);
    }
}
