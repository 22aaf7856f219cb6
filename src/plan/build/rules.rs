//! `[[alerts]]`: conditions on metrics and windows that the job really has.

use super::notes::Notes;
use crate::plan::cohort::{Cohort, CohortSet, Dimension};
use crate::plan::metric::JobMetric;
use crate::plan::rule::{CohortChoice, Condition, Rule, RuleMetric, Severity, VersionChoice};
use crate::plan::window::Window;
use crate::spec::JobSpec;
use crate::spec::diagnostic::did_you_mean;
use crate::spec::job::{AlertSection, CohortsSpec, ForSpec, SeveritySpec, VersionsSpec};

type Cohorts<'a> = (&'a [Dimension], &'a [CohortSet]);

pub(super) fn build(
    spec: &JobSpec,
    windows: &[Window],
    metrics: &[JobMetric],
    cohorts: (&Vec<Dimension>, &Vec<CohortSet>),
    receivers: &[String],
    notes: &mut Notes<'_>,
) -> Vec<Rule> {
    let cohorts: Cohorts<'_> = (cohorts.0, cohorts.1);
    let mut rules: Vec<Rule> = Vec::new();
    for (index, alert) in spec.alerts.iter().enumerate() {
        let path = format!("alerts[{index}]");
        if rules.iter().any(|rule| rule.name == alert.name) {
            notes
                .error(&format!("{path}.name"), "repeated-entry", format!("two rules are named `{}`", alert.name))
                .hint("rename one of them");
        }
        rules.extend(rule(spec, alert, &path, windows, metrics, cohorts, receivers, notes));
    }
    known_receivers("job.notify", spec.job.notify.as_deref().unwrap_or_default(), receivers, notes);
    rules
}

#[expect(clippy::too_many_arguments, reason = "a rule is checked against everything the job declares")]
fn rule(
    spec: &JobSpec,
    alert: &AlertSection,
    path: &str,
    windows: &[Window],
    metrics: &[JobMetric],
    cohorts: Cohorts<'_>,
    receivers: &[String],
    notes: &mut Notes<'_>,
) -> Option<Rule> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if alert.name.is_empty() || !alert.name.chars().all(plain) {
        notes
            .error(&format!("{path}.name"), "bad-name", format!("`{}` is not a rule name", alert.name))
            .hint("use a-z, 0-9 and `-`");
    }
    let metric = metric(alert, path, metrics, notes);
    let window = window(alert, path, windows, notes);
    let condition = condition(alert, path, notes);
    let cohorts = cohort_choice(alert, path, cohorts, notes);
    let versions = versions(spec, alert, path, notes);
    let persistence = persistence(alert, path, notes);
    check_guards(alert, path, notes);
    let severity = match alert.severity {
        Some(SeveritySpec::Page) => Severity::Page,
        Some(SeveritySpec::Info) => Severity::Info,
        Some(SeveritySpec::Ticket) | None => Severity::Ticket,
    };
    notes.link(&format!("{path}.runbook"), alert.runbook.as_deref());
    let runbook = alert.runbook.clone().or_else(|| spec.job.runbook.clone());
    if severity == Severity::Page && runbook.is_none() {
        notes
            .error(path, "no-runbook", format!("the rule `{}` pages people and has no runbook", alert.name))
            .hint("add `runbook = \"https://...\"` to the rule or to [job]");
    }
    let notify = alert.notify.clone().or_else(|| spec.job.notify.clone()).unwrap_or_default();
    known_receivers(&format!("{path}.notify"), alert.notify.as_deref().unwrap_or_default(), receivers, notes);
    if severity == Severity::Page && notify.is_empty() {
        notes
            .warning(path, "nobody-told", format!("the rule `{}` tells nobody", alert.name))
            .hint("add `notify = [\"receiver\"]`");
    }
    Some(Rule {
        name: alert.name.clone(),
        metric: metric?,
        window: window?,
        condition: condition?,
        persistence: persistence?,
        min_samples: alert.min_samples.unwrap_or(1),
        min_coverage: alert.min_coverage.unwrap_or(0.0),
        on_final_only: alert.on_final_only.unwrap_or(false),
        cohorts: cohorts?,
        versions: versions?,
        severity,
        notify,
        runbook,
        owner: alert.owner.clone().or_else(|| spec.job.owner.clone()),
    })
}

fn metric(alert: &AlertSection, path: &str, metrics: &[JobMetric], notes: &mut Notes<'_>) -> Option<RuleMetric> {
    match alert.metric.as_str() {
        "predictions" => return Some(RuleMetric::Predictions),
        "labeled" => return Some(RuleMetric::Labeled),
        "coverage" => return Some(RuleMetric::Coverage),
        _ => {}
    }
    if let Some(found) = metrics.iter().find(|metric| metric.name() == alert.metric) {
        return Some(RuleMetric::Named(found.name().into()));
    }
    let known: Vec<&str> = metrics.iter().map(JobMetric::name).chain(["predictions", "labeled", "coverage"]).collect();
    let hint = did_you_mean(&alert.metric, known.iter().copied()).map_or_else(
        || format!("include it in [metrics], or use one of {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    notes
        .error(&format!("{path}.metric"), "unknown-metric", format!("the job has no metric `{}`", alert.metric))
        .hint(hint);
    None
}

fn window(alert: &AlertSection, path: &str, windows: &[Window], notes: &mut Notes<'_>) -> Option<String> {
    if windows.iter().any(|window| window.name == alert.window) {
        return Some(alert.window.clone());
    }
    let known = windows.iter().map(|window| format!("`{}`", window.name)).collect::<Vec<_>>().join(", ");
    notes
        .error(&format!("{path}.window"), "unknown-window", format!("the job has no window `{}`", alert.window))
        .hint(format!("use one of {known}, or add it to [windows]"));
    None
}

fn condition(alert: &AlertSection, path: &str, notes: &mut Notes<'_>) -> Option<Condition> {
    let finite = |value: f64| value.is_finite();
    if !alert.above.is_none_or(finite) || !alert.below.is_none_or(finite) {
        notes
            .error(path, "bad-limit", format!("a limit of the rule `{}` is not a finite number", alert.name))
            .hint("write a number");
        return None;
    }
    match (alert.above, alert.below) {
        (Some(limit), None) => Some(Condition::Above(limit)),
        (None, Some(limit)) => Some(Condition::Below(limit)),
        (Some(high), Some(low)) if low <= high => Some(Condition::Outside { low, high }),
        (Some(high), Some(low)) => {
            notes
                .error(
                    &format!("{path}.below"),
                    "always-in-breach",
                    format!("every value is below {low} or above {high}"),
                )
                .hint("`below` must not be greater than `above`");
            None
        }
        // A rule by baseline only is refused by name elsewhere.
        (None, None) if alert.above_baseline.is_some() || alert.below_baseline.is_some() => None,
        (None, None) => {
            notes
                .error(path, "no-condition", format!("the rule `{}` has no condition", alert.name))
                .hint("add `above = 250.0` or `below = ...`");
            None
        }
    }
}

fn persistence(alert: &AlertSection, path: &str, notes: &mut Notes<'_>) -> Option<u32> {
    match alert.persistence {
        None => Some(1),
        Some(ForSpec::Evaluations(n)) if (1..=1_000).contains(&n) => u32::try_from(n).ok(),
        Some(ForSpec::Evaluations(n)) => {
            notes
                .error(&format!("{path}.for"), "bad-for", format!("`for` is {n}"))
                .hint("use 1 to 1000 consecutive windows");
            None
        }
        // Refused by name elsewhere.
        Some(ForSpec::Duration(_)) => None,
    }
}

fn check_guards(alert: &AlertSection, path: &str, notes: &mut Notes<'_>) {
    if let Some(n) = alert.min_samples.filter(|n| *n < 1) {
        notes
            .error(&format!("{path}.min_samples"), "bad-min-samples", format!("`min_samples` is {n}"))
            .hint("use 1 or more");
    }
    if let Some(share) = alert.min_coverage.filter(|share| !(0.0..=1.0).contains(share)) {
        notes
            .error(&format!("{path}.min_coverage"), "bad-min-coverage", format!("`min_coverage` is {share}"))
            .hint("use a ratio from 0 to 1, such as 0.9");
    }
}

fn cohort_choice(
    alert: &AlertSection,
    path: &str,
    (dimensions, sets): Cohorts<'_>,
    notes: &mut Notes<'_>,
) -> Option<CohortChoice> {
    let path = format!("{path}.cohorts");
    match &alert.cohorts {
        None => Some(CohortChoice::All),
        Some(CohortsSpec::Word(word)) if word == "all" => Some(CohortChoice::All),
        Some(CohortsSpec::Word(word)) if word == "each" && !sets.is_empty() => Some(CohortChoice::Each),
        Some(CohortsSpec::Word(word)) if word == "each" => {
            notes.error(&path, "no-cohorts", "the job declares no cohorts").hint("add a [[cohorts]] table");
            None
        }
        Some(CohortsSpec::Word(word)) => {
            notes
                .error(&path, "unknown-value", format!("`{word}` is not a choice of cohorts"))
                .hint("use \"all\", \"each\" or { dimension = \"value\" }");
            None
        }
        Some(CohortsSpec::Values(values)) => {
            let declared = |set: &CohortSet| set.dimensions.iter().map(|at| &dimensions[*at].name).eq(values.keys());
            if sets.iter().any(declared) {
                let pairs = values.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
                return Some(CohortChoice::Label(Cohort::Values(pairs).label()));
            }
            let names = values.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            notes
                .error(&path, "unknown-cohort", format!("no cohorts are declared by {names}"))
                .hint("name all dimensions of one [[cohorts]] table");
            None
        }
    }
}

fn versions(spec: &JobSpec, alert: &AlertSection, path: &str, notes: &mut Notes<'_>) -> Option<VersionChoice> {
    match alert.versions {
        None | Some(VersionsSpec::Together) => Some(VersionChoice::Together),
        Some(VersionsSpec::Each) if spec.predictions.version.is_some() => Some(VersionChoice::Each),
        Some(VersionsSpec::Each) => {
            notes
                .error(&format!("{path}.versions"), "no-version", "the job declares no model version")
                .hint("add `version` to [predictions]");
            None
        }
    }
}

fn known_receivers(path: &str, names: &[String], receivers: &[String], notes: &mut Notes<'_>) {
    for (index, name) in names.iter().enumerate() {
        if receivers.contains(name) {
            continue;
        }
        let hint = did_you_mean(name, receivers.iter().map(String::as_str))
            .map_or_else(|| format!("add [receivers.{name}] to trueup.toml"), |near| format!("did you mean `{near}`?"));
        notes
            .error(&format!("{path}[{index}]"), "unknown-receiver", format!("there is no receiver `{name}`"))
            .hint(hint);
    }
}
