//! `[[alerts]]`: rules, checked against the metrics and windows of the job.

use super::conditions::{self, RawCondition};
use super::findings::Findings;
use super::job::{Cohorts, Job};
use super::persistence;
use crate::domain::cohort::Cohort;
use crate::domain::severity::Severity;
use crate::metric::JobMetric;
use crate::metric::name::MetricName;
use crate::plan::cohort::CohortSet;
use crate::plan::rule::{CohortChoice, Rule, Test, VersionChoice, When};
use crate::spec::JobSpec;
use crate::spec::diagnostic::did_you_mean;
use crate::spec::rules::{AlertSection, CohortsSpec, ConditionSection, ConditionSpec, SeveritySpec, VersionsSpec};

pub(super) fn build(job: Job<'_>, findings: &mut Findings<'_>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for (index, alert) in job.spec.alerts.iter().enumerate() {
        let path = format!("alerts[{index}]");
        if rules.iter().any(|rule| rule.name == alert.name) {
            findings
                .error(&format!("{path}.name"), "repeated-entry", format!("two rules are named `{}`", alert.name))
                .hint("rename one of them");
        }
        rules.extend(rule(job, alert, &path, findings));
    }
    known_receivers("job.notify", job.spec.job.notify.as_deref().unwrap_or_default(), job.receivers, findings);
    rules
}

fn rule(job: Job<'_>, alert: &AlertSection, path: &str, findings: &mut Findings<'_>) -> Option<Rule> {
    let spec = job.spec;
    check_name(&alert.name, path, findings);
    let versions = versions(spec, alert, path, findings);
    let window = conditions::window(&alert.window, path, job.windows, findings);
    let when = when(job, alert, versions, path, findings);
    let cohorts = cohort_choice(alert, path, job.cohorts, findings);
    let fires = persistence::fires(alert, path, findings);
    let clears = persistence::clears(alert, when.as_ref(), path, findings);
    if let (Some(window), Some(fires), Some(clears)) = (window, fires, clears) {
        persistence::check_reach(job.gap, window, &[("for", fires), ("clear_for", clears.persistence)], path, findings);
    }
    check_guards(alert, path, findings);
    if alert.significant == Some(true) {
        check_significant(when.as_ref(), job.metrics, path, findings);
    }
    let severity = severity(alert.severity);
    findings.link(&format!("{path}.runbook"), alert.runbook.as_deref());
    let runbook = alert.runbook.clone().or_else(|| spec.job.runbook.clone());
    if severity == Severity::Page && runbook.is_none() {
        findings
            .error(path, "no-runbook", format!("the rule `{}` pages but has no runbook", alert.name))
            .hint("add `runbook = \"https://example.org/runbook\"` to the rule or to [job]");
    }
    if severity == Severity::Ticket && runbook.is_none() {
        findings.warning(path, "ticket-without-runbook", format!("the rule `{}` has no runbook", alert.name)).hint(
            "add `runbook = \"https://example.org/runbook\"` to the rule or to [job], so that on-call knows what to do",
        );
    }
    let notify = alert.notify.clone().or_else(|| spec.job.notify.clone()).unwrap_or_default();
    known_receivers(&format!("{path}.notify"), alert.notify.as_deref().unwrap_or_default(), job.receivers, findings);
    let owner = alert.owner.clone().or_else(|| spec.job.owner.clone());
    if owner.is_none() {
        findings
            .warning(path, "no-owner", format!("the rule `{}` has no owner", alert.name))
            .hint("add `owner = \"team@example.org\"` to the rule or to [job]");
    }
    if severity == Severity::Page && notify.is_empty() {
        findings
            .warning(path, super::NOBODY_TOLD, format!("the rule `{}` has no receiver", alert.name))
            .hint("add `notify = [\"receiver\"]` to it or to [job], or a route to trueup.toml");
    }
    Some(Rule {
        name: alert.name.clone(),
        window: window?.name.clone(),
        when: when?,
        fires: fires?,
        clears: clears?,
        min_samples: alert.min_samples.unwrap_or(1),
        min_coverage: alert.min_coverage.unwrap_or(0.0),
        significant: alert.significant.unwrap_or(false),
        on_final_only: alert.on_final_only.unwrap_or(false),
        cohorts: cohorts?,
        versions: versions?,
        severity,
        notify,
        runbook,
        owner,
        built_in: false,
    })
}

pub(super) fn severity(spec: Option<SeveritySpec>) -> Severity {
    match spec {
        Some(SeveritySpec::Page) => Severity::Page,
        Some(SeveritySpec::Info) => Severity::Info,
        Some(SeveritySpec::Ticket) | None => Severity::Ticket,
    }
}

/// Checks the name of a rule or objective, which is used in messages, file names and queries.
pub(super) fn check_name(name: &str, path: &str, findings: &mut Findings<'_>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        findings
            .error(&format!("{path}.name"), "bad-name", format!("`{name}` is not a rule name"))
            .hint("use a-z, 0-9 and `-`");
    }
    if super::builtin::NAMES.contains(&name) {
        findings
            .error(&format!("{path}.name"), "reserved-name", format!("`{name}` is the name of a built-in rule"))
            .hint("use another name; to turn off a built-in rule, list it in `off` under [builtin]");
    }
}

fn when(
    job: Job<'_>,
    alert: &AlertSection,
    versions: Option<VersionChoice>,
    path: &str,
    findings: &mut Findings<'_>,
) -> Option<When> {
    match (&alert.metric, &alert.all, &alert.any) {
        (Some(metric), None, None) => {
            conditions::test(own(alert, metric, versions), path, job.known(), findings).map(When::Test)
        }
        (None, Some(all), None) => tests(job, alert, all, versions, &format!("{path}.all"), findings).map(When::All),
        (None, None, Some(any)) => tests(job, alert, any, versions, &format!("{path}.any"), findings).map(When::Any),
        (None, None, None) => {
            findings
                .error(path, "missing-key", format!("the rule `{}` has no condition", alert.name))
                .hint("add `metric = \"rmse\"`, or a list `all` or `any` of conditions");
            None
        }
        _ => {
            findings
                .error(path, "two-conditions", "`metric`, `all` and `any` are mutually exclusive")
                .hint("move the condition on the metric into the list");
            None
        }
    }
}

fn own<'a>(alert: &'a AlertSection, metric: &'a str, versions: Option<VersionChoice>) -> RawCondition<'a> {
    RawCondition {
        metric,
        window: &alert.window,
        above: alert.above,
        below: alert.below,
        above_baseline: alert.above_baseline.as_ref(),
        below_baseline: alert.below_baseline.as_ref(),
        baseline: alert.baseline.as_ref(),
        versions,
    }
}

/// The conditions of `all` or `any`.
fn tests(
    job: Job<'_>,
    alert: &AlertSection,
    list: &[ConditionSpec],
    versions: Option<VersionChoice>,
    path: &str,
    findings: &mut Findings<'_>,
) -> Option<Vec<Test>> {
    let beside = alert.above.is_some()
        || alert.below.is_some()
        || alert.above_baseline.is_some()
        || alert.below_baseline.is_some()
        || alert.baseline.is_some();
    if beside || list.len() < 2 {
        findings
            .error(
                path,
                "two-conditions",
                "a list `all` or `any` must contain every condition of the rule, and at least two",
            )
            .hint("write two or more, such as `all = [{ metric = \"rmse\", above = 250.0 }, { metric = \"coverage\", above = 0.9 }]`");
        return None;
    }
    let built: Vec<Option<Test>> = list
        .iter()
        .enumerate()
        .map(|(index, condition)| {
            let path = format!("{path}[{index}]");
            match condition {
                ConditionSpec::Rule(name) => named(job, name, versions, &path, findings),
                ConditionSpec::Condition(section) => {
                    conditions::test(within(section, &alert.window, versions), &path, job.known(), findings)
                }
            }
        })
        .collect();
    built.into_iter().collect()
}

fn within<'a>(section: &'a ConditionSection, window: &'a str, versions: Option<VersionChoice>) -> RawCondition<'a> {
    RawCondition {
        metric: &section.metric,
        window: section.window.as_deref().unwrap_or(window),
        above: section.above,
        below: section.below,
        above_baseline: section.above_baseline.as_ref(),
        below_baseline: section.below_baseline.as_ref(),
        baseline: section.baseline.as_ref(),
        versions,
    }
}

/// The condition of another rule.
fn named(
    job: Job<'_>,
    name: &str,
    versions: Option<VersionChoice>,
    path: &str,
    findings: &mut Findings<'_>,
) -> Option<Test> {
    let others = || job.spec.alerts.iter().filter(|other| other.metric.is_some());
    let Some((other, metric)) = others().find(|other| other.name == name).and_then(|o| Some((o, o.metric.as_ref()?)))
    else {
        let hint = did_you_mean(name, others().map(|other| other.name.as_str())).map_or_else(
            || "use a rule with a `metric`, or write the condition as a table".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        findings
            .error(path, "unknown-rule", format!("there is no rule `{name}` with a condition of its own"))
            .hint(hint);
        return None;
    };
    // Mistakes in that rule are reported at its own path.
    let mut unheard = findings.discard();
    conditions::test(own(other, metric, versions), path, job.known(), &mut unheard)
}

fn check_significant(when: Option<&When>, metrics: &[JobMetric], path: &str, findings: &mut Findings<'_>) {
    let has_interval =
        |metric: &MetricName| metrics.iter().any(|known| known.name() == metric.name() && known.has_interval());
    let without = when.into_iter().flat_map(When::tests).find(|test| !has_interval(&test.metric));
    if let Some(test) = without {
        findings
            .error(
                &format!("{path}.significant"),
                "no-interval",
                format!("`{}` has no confidence interval", test.metric.name()),
            )
            .hint("run `trueup explain --metrics` to see the metrics with one; use `min_samples` for the others");
    }
}

fn check_guards(alert: &AlertSection, path: &str, findings: &mut Findings<'_>) {
    if let Some(n) = alert.min_samples.filter(|n| *n < 1) {
        findings
            .error(&format!("{path}.min_samples"), "bad-min-samples", format!("`min_samples` is {n}"))
            .hint("use 1 or more");
    }
    if let Some(share) = alert.min_coverage.filter(|share| !(0.0..=1.0).contains(share)) {
        findings
            .error(&format!("{path}.min_coverage"), "bad-min-coverage", format!("`min_coverage` is {share}"))
            .hint("use a ratio from 0 to 1, such as 0.9");
    }
}

fn cohort_choice(
    alert: &AlertSection,
    path: &str,
    (dimensions, sets): Cohorts<'_>,
    findings: &mut Findings<'_>,
) -> Option<CohortChoice> {
    let path = format!("{path}.cohorts");
    match &alert.cohorts {
        None => Some(CohortChoice::All),
        Some(CohortsSpec::Word(word)) if word == "all" => Some(CohortChoice::All),
        Some(CohortsSpec::Word(word)) if word == "each" && !sets.is_empty() => Some(CohortChoice::Each),
        Some(CohortsSpec::Word(word)) if word == "each" => {
            findings.error(&path, "no-cohorts", "the job declares no cohorts").hint("add a [[cohorts]] table");
            None
        }
        Some(CohortsSpec::Word(word)) => {
            findings
                .error(&path, "unknown-value", format!("`{word}` is not a value of `cohorts`"))
                .hint("use \"all\", \"each\" or { dimension = \"value\" }");
            None
        }
        Some(CohortsSpec::Values(values)) if values.is_empty() => Some(CohortChoice::All),
        Some(CohortsSpec::Values(values)) => {
            let declared = |set: &CohortSet| set.dimensions.iter().map(|at| &dimensions[*at].name).eq(values.keys());
            if sets.iter().any(declared) {
                let pairs = values.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
                return Some(CohortChoice::Label(Cohort::Values(pairs).label()));
            }
            let names = values.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            findings
                .error(&path, "unknown-cohort", format!("the job declares no cohorts by {names}"))
                .hint("use all dimensions of one [[cohorts]] table");
            None
        }
    }
}

fn versions(spec: &JobSpec, alert: &AlertSection, path: &str, findings: &mut Findings<'_>) -> Option<VersionChoice> {
    match alert.versions {
        None | Some(VersionsSpec::Together) => Some(VersionChoice::Together),
        Some(VersionsSpec::Each) if spec.predictions.version.is_some() => Some(VersionChoice::Each),
        Some(VersionsSpec::Each) => {
            findings
                .error(&format!("{path}.versions"), "no-version", "the job declares no model version")
                .hint("add `version` to [predictions]");
            None
        }
    }
}

pub(super) fn known_receivers(path: &str, names: &[String], receivers: &[String], findings: &mut Findings<'_>) {
    for (index, name) in names.iter().enumerate() {
        if receivers.contains(name) {
            continue;
        }
        let hint = did_you_mean(name, receivers.iter().map(String::as_str))
            .map_or_else(|| format!("add [receivers.{name}] to trueup.toml"), |near| format!("did you mean `{near}`?"));
        findings
            .error(&format!("{path}[{index}]"), "unknown-receiver", format!("there is no receiver `{name}`"))
            .hint(hint);
    }
}
