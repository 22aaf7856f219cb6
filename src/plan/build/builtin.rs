//! The rules that every job has: they check the data that its own rules need.

use chrono::TimeDelta;

use super::findings::Findings;
use super::job::Job;
use crate::domain::window::Window;
use crate::metric::name::MetricName;
use crate::plan::objective;
use crate::plan::rule::{CONTRADICTIONS, Condition, Limits, Persistence, Rule, Test, When};
use crate::spec::diagnostic::did_you_mean;

/// Names of the built-in rules. The last four judge no window: they are about runs, the source and deliveries.
pub const NAMES: [&str; 9] = [
    "labels-stopped",
    "coverage-low",
    "labels-late",
    "no-predictions",
    CONTRADICTIONS,
    RUN_FAILED,
    RUN_LATE,
    SOURCE_SHRANK,
    DELIVERY_FAILED,
];
/// A run failed.
pub const RUN_FAILED: &str = "run-failed";
/// No run for two intervals.
pub const RUN_LATE: &str = "run-late";
/// Measured rows disappeared from the source.
pub const SOURCE_SHRANK: &str = "source-shrank";
/// Delivery of a message was given up, or an address refused it.
pub const DELIVERY_FAILED: &str = "delivery-failed";

const COVERAGE: f64 = 0.9;
const ARRIVAL: f64 = 0.99;

/// The rules that judge windows, and the names of those that do not, unless they are turned off.
pub(super) fn build(job: Job<'_>, label_wait: TimeDelta, findings: &mut Findings<'_>) -> (Vec<Rule>, Vec<String>) {
    let section = &job.spec.builtin;
    for (index, name) in section.off.iter().enumerate().filter(|(_, name)| *name != "all") {
        if !NAMES.contains(&name.as_str()) {
            let hint = did_you_mean(name, NAMES).map_or_else(
                || format!("use one of {}, or `all`", NAMES.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            findings
                .error(&format!("builtin.off[{index}]"), "unknown-rule", format!("`{name}` is not a built-in rule"))
                .hint(hint);
        }
    }
    let coverage = findings.share("builtin.coverage", section.coverage).unwrap_or(COVERAGE);
    let arrival = findings.share("builtin.arrival", section.arrival).unwrap_or(ARRIVAL);
    let wanted = |name: &str| !section.off.iter().any(|off| off == "all" || off == name);
    let mut rules = Vec::new();
    if let Some(shortest) = job.windows.iter().min_by_key(|window| (window.longest(), !is_tumbling(window))) {
        let below = |metric, limit| vec![test(metric, shortest, Condition::Below(limit))];
        rules.push(rule(job, "no-predictions", shortest, below(MetricName::Predictions, 1.0), false));
        // Duplicate keys and labels that disagree are not averaged; without this rule that could go unnoticed.
        let found = |metric| test(metric, shortest, Condition::Above(0.0));
        let contradictions = vec![found(MetricName::Duplicates), found(MetricName::Ambiguous)];
        rules.push(rule(job, CONTRADICTIONS, shortest, contradictions, false));
        // No label at all arrived for final windows.
        let stopped = below(MetricName::Received, f64::MIN_POSITIVE);
        rules.push(rule(job, "labels-stopped", shortest, stopped, true));
        // A single window with half of its labels may be the start of one without any, so wait for a second.
        let twice = |rule: Rule| Rule { fires: Persistence::Windows(2), ..rule };
        rules.push(twice(rule(job, "coverage-low", shortest, below(MetricName::Coverage, coverage), true)));
        let mut late = below(MetricName::Received, arrival);
        if job.metrics.iter().any(|metric| metric.name() == LATENCY) {
            let limit = Condition::Above(objective::seconds(label_wait));
            late.push(test(MetricName::Named(LATENCY.into()), shortest, limit));
        }
        rules.push(twice(rule(job, "labels-late", shortest, late, true)));
    }
    rules.retain(|rule| wanted(&rule.name));
    let runs = [RUN_FAILED, RUN_LATE, SOURCE_SHRANK, DELIVERY_FAILED];
    let runs = runs.into_iter().filter(|name| wanted(name)).map(str::to_owned).collect();
    (rules, runs)
}

const LATENCY: &str = "label_latency_p95";

fn is_tumbling(window: &Window) -> bool {
    window.name.starts_with("tumbling")
}

fn test(metric: MetricName, window: &Window, condition: Condition) -> Test {
    Test::new(metric, &window.name, Limits::Fixed(condition))
}

fn rule(job: Job<'_>, name: &str, window: &Window, tests: Vec<Test>, on_final_only: bool) -> Rule {
    let spec = job.spec;
    let when = match <[Test; 1]>::try_from(tests) {
        Ok([test]) => When::Test(test),
        Err(tests) => When::Any(tests),
    };
    Rule {
        on_final_only,
        notify: spec.job.notify.clone().unwrap_or_default(),
        runbook: spec.job.runbook.clone(),
        owner: spec.job.owner.clone(),
        built_in: true,
        ..Rule::new(name, &window.name, when)
    }
}
