//! Turns a job file into a planned job. All mistakes are collected before any is reported.

pub mod builtin;
mod cohorts;
mod conditions;
mod fairness;
mod findings;
mod job;
mod metrics;
mod model;
mod persistence;
mod rules;
mod schedule;
mod slos;
mod sources;
mod windows;

/// Code of the warning that a page has no receiver: routes, which a job file does not know, may add one.
pub const NOBODY_TOLD: &str = "nobody-told";

use crate::domain::severity::Severity;
use crate::metric;
use crate::plan::PlannedJob;
use crate::plan::job::Declared;
use crate::plan::rule::{Rule, When};
use crate::plan::syntax::Grants;
use crate::spec::{Diagnostic, Document, JobSpec, Level};
use findings::Findings;

/// Declarations of `trueup.toml` that a job file may refer to.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Names of receivers.
    pub receivers: Vec<String>,
    /// Functions that queries may call in addition to our list.
    pub functions: Grants,
}

impl Surroundings {
    /// Receivers without functions.
    pub fn of_receivers(receivers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { receivers: receivers.into_iter().map(Into::into).collect(), functions: Grants::default() }
    }
}

/// Plans a job, or returns every mistake that prevents it. Warnings are returned together with a valid plan.
pub fn plan(
    document: &Document,
    spec: &JobSpec,
    surroundings: &Surroundings,
) -> Result<(PlannedJob, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::new(document);
    check_job(spec, &mut findings);
    let schedule = schedule::build(&spec.schedule, &mut findings);
    let sources = sources::build(spec, &surroundings.functions, &mut findings);
    let mut metrics = metrics::build(spec, &mut findings);
    let listed = windows::listed(&spec.windows, &mut findings);
    let (dimensions, cohort_sets) = cohorts::build(&spec.cohorts, &mut findings);
    metrics.all.extend(fairness::build(spec, &metrics.parameters.task, (&dimensions, &cohort_sets), &mut findings));
    let (dimensions, dimension_paths): (Vec<_>, Vec<_>) = dimensions.into_iter().unzip();
    let keep = findings.duration("residuals.keep", spec.residuals.keep.as_deref());
    let worst = spec.residuals.worst.unwrap_or(0);
    if !(0..=100).contains(&worst) {
        findings
            .error("residuals.worst", "out-of-range", format!("`worst` is {worst}"))
            .hint("use 1 to 100, or omit it");
    }
    let gap = schedule.as_ref().map(|schedule| schedule.cadence.usual_gap());
    let declared = job::Job {
        spec,
        windows: &listed,
        metrics: &metrics.all,
        parameters: &metrics.parameters,
        cohorts: (&dimensions, &cohort_sets),
        receivers: &surroundings.receivers,
        gap,
    };
    let mut rules = rules::build(declared, &mut findings);
    let label_due = findings.duration("labels.expected_within", spec.labels.expected_within.as_deref());
    let windows = windows::build(&spec.windows, label_due, &listed, schedule.as_ref(), &mut findings);
    let mut windows = windows;
    let mut run_rules = Vec::new();
    let mut slos = Vec::new();
    if let Some(windows) = &mut windows {
        let (built_in, runs) = builtin::build(declared, windows.label_wait, &mut findings);
        // Built-in rules go first: rules whose data they find unreliable wait for their verdict.
        rules.splice(0..0, built_in);
        run_rules = runs;
        slos = slos::build(declared, windows.bucket, schedule.as_ref(), &mut findings);
        let periods = slos.iter().map(|slo| slo.period + windows.label_wait);
        windows.lookback = periods.chain([windows.lookback]).max().unwrap_or(windows.lookback);
    }
    if spec.labels.proxy == Some(true) {
        warn_of_pages(spec, &rules, &mut findings);
    }
    let findings = findings.into_findings();
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    let (Some(schedule), Some((predictions, labels)), Some(windows), false) = (schedule, sources, windows, failed)
    else {
        return Err(findings);
    };
    let (extras, extra_paths) = metrics.extras.into_iter().unzip();
    let job = PlannedJob {
        name: spec.job.name.clone(),
        description: spec.job.description.clone(),
        owner: spec.job.owner.clone(),
        runbook: spec.job.runbook.clone(),
        unit: spec.job.unit.clone(),
        schedule,
        predictions,
        labels,
        model: metrics.model,
        keep: keep.unwrap_or(windows.label_wait),
        worst,
        windows,
        dimensions,
        cohort_sets,
        hidden: cohorts::hidden(&spec.cohorts),
        sums: metric::sums_of(&metrics.all),
        metrics: metrics.all,
        parameters: metrics.parameters,
        extras,
        row_by_row: false,
        declared: Declared { dimensions: dimension_paths, extras: extra_paths },
        rules,
        run_rules,
        slos,
        notify: spec.job.notify.clone().unwrap_or_default(),
        spec: document.text.clone(),
    };
    Ok((job, findings))
}

/// Warns of rules that page on labels which stand in for the true outcome, with nothing to confirm them.
fn warn_of_pages(spec: &JobSpec, rules: &[Rule], findings: &mut Findings<'_>) {
    let alone = |rule: &&Rule| {
        let confirmed = matches!(&rule.when, When::All(tests) if tests.len() > 1);
        !rule.built_in && rule.severity == Severity::Page && rule.needs_labels() && !confirmed
    };
    for rule in rules.iter().filter(alone) {
        let place = spec.alerts.iter().position(|alert| alert.name == rule.name).unwrap_or_default();
        findings
            .warning(
                &format!("alerts[{place}]"),
                "page-on-proxy",
                format!("`{}` pages on labels that stand in for the true outcome", rule.name),
            )
            .hint("add a second condition that confirms it, or use the severity \"ticket\"");
    }
}

fn check_job(spec: &JobSpec, findings: &mut Findings<'_>) {
    let name = &spec.job.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(fits) || name.starts_with('-') {
        findings
            .error("job.name", "bad-name", format!("`{name}` is not a job name"))
            .hint("use 1 to 63 of a-z, 0-9 and `-`, beginning with a letter or digit");
    }
    findings.link("job.runbook", spec.job.runbook.as_deref());
}
