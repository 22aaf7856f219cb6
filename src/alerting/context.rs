//! Context of a rule, a burn rate or the schedule for notifications. It is stored with each alert, because notifications are
//! composed without the job's file, which may have changed or disappeared by then.

use chrono::{DateTime, Utc};

use crate::domain::duration;
use crate::domain::name::text_literal;
use crate::domain::severity::Severity;
use crate::metric;
use crate::metric::name::MetricName;
use crate::notify::message::{AlertFacts, JobFacts, RuleContext, RuleFacts};
use crate::plan::PlannedJob;
use crate::plan::build::builtin::{DELIVERY_FAILED, RUN_FAILED, SOURCE_SHRANK};
use crate::plan::objective::{Burn, Slo};
use crate::plan::rule::{Persistence, Rule};

/// Returns the context of a rule. `judged`: number of cohorts and versions that it judged.
pub(crate) fn rule(job: &PlannedJob, rule: &Rule, judged: Option<usize>) -> RuleContext {
    let facts = RuleFacts {
        name: rule.name.clone(),
        severity: rule.severity.as_str().to_owned(),
        metric: rule.metric().name().to_owned(),
        window: rule.window.clone(),
        condition: rule.condition(),
        persistence: match rule.fires {
            Persistence::Windows(needed) | Persistence::Of { needed, .. } => needed,
            Persistence::Lasting(_) => 1,
        },
        lasting: rule.fires.describe(),
        runbook: rule.runbook.clone(),
        owner: rule.owner.clone(),
        judged,
    };
    let needs_labels = rule.needs_labels() || rule.name == "labels-late";
    RuleContext { job: job_facts(job), rule: facts, notify: rule.notify.clone(), needs_labels }
}

/// Returns the context of a burn rate.
pub(crate) fn burn(job: &PlannedJob, slo: &Slo, burn: &Burn) -> RuleContext {
    let (long, short) = (duration::format(burn.long), duration::format(burn.short));
    let facts = RuleFacts {
        name: slo.alert(burn),
        severity: burn.severity.as_str().to_owned(),
        metric: format!("burn rate of {}", slo.name),
        window: format!("last {long} and last {short}"),
        condition: format!("above {}", burn.factor),
        persistence: 1,
        lasting: String::new(),
        runbook: slo.runbook.clone(),
        owner: slo.owner.clone(),
        judged: None,
    };
    RuleContext { job: job_facts(job), rule: facts, notify: slo.notify.clone(), needs_labels: true }
}

/// Returns the context of a built-in rule about runs, the source or deliveries.
pub(crate) fn built_in(job: &PlannedJob, rule: &str) -> RuleContext {
    let (metric, window, condition) = match rule {
        RUN_FAILED => ("the schedule", "runs", "failed"),
        SOURCE_SHRANK => ("the source", "horizon", "lost measured data"),
        DELIVERY_FAILED => ("the receivers", "last seven days", "refused a notification"),
        _ => ("the schedule", "runs", "late"),
    };
    let facts = RuleFacts {
        name: rule.to_owned(),
        severity: Severity::Ticket.as_str().to_owned(),
        metric: metric.to_owned(),
        window: window.to_owned(),
        condition: condition.to_owned(),
        persistence: 1,
        lasting: String::new(),
        runbook: job.runbook.clone(),
        owner: job.owner.clone(),
        judged: None,
    };
    RuleContext { job: job_facts(job), rule: facts, notify: job.notify.clone(), needs_labels: false }
}

fn job_facts(job: &PlannedJob) -> JobFacts {
    JobFacts {
        name: job.name.clone(),
        description: job.description.clone(),
        owner: job.owner.clone(),
        unit: job.unit.clone(),
    }
}

/// Returns SQL that reproduces the budget of an objective.
pub(crate) fn budget_query(job: &PlannedJob, slo: &Slo) -> String {
    format!(
        "select period_end, budget_left, good, total, burn\nfrom trueup.slo_history\nwhere job = {} and slo = {}\norder by \
         evaluated_at desc limit 10;",
        text_literal(&job.name),
        text_literal(&slo.name)
    )
}

/// Returns SQL that shows the last runs, the failed deliveries, or the windows whose source disappeared.
pub(crate) fn built_in_query(job: &PlannedJob, rule: &str) -> String {
    if rule == SOURCE_SHRANK {
        return format!(
            "select window_name, window_start, window_end, labeled, source_gone_at\nfrom trueup.window_history\nwhere job = {} and \
             cohort = 'all' and model_version is null and source_gone_at is not null\norder by window_end desc limit 20;",
            text_literal(&job.name)
        );
    }
    if rule == DELIVERY_FAILED {
        return format!(
            "select attempted_at, receiver, outcome, status_code, failure\nfrom trueup.delivery_history\nwhere job = {} and failure is not \
             null\norder by attempted_at desc limit 20;",
            text_literal(&job.name)
        );
    }
    format!(
        "select scheduled_for, trigger, state, failure, reason\nfrom trueup.run_history\nwhere job = {}\norder by \
         scheduled_for desc limit 20;",
        text_literal(&job.name)
    )
}

/// Returns SQL that an analyst can paste: all revisions of the alert's window, or the keys that are duplicate or ambiguous.
pub(crate) fn window_query(job: &PlannedJob, rule: &Rule, alert: &AlertFacts) -> String {
    if matches!(rule.metric(), MetricName::Duplicates | MetricName::Ambiguous) {
        return format!(
            "select prediction_key, model_version, event_at, outcome, expression_failed, copies\nfrom trueup.residual_history\nwhere job = {} \
             and (expression_failed or outcome in ('duplicate prediction', 'ambiguous label', 'filter failed'))\n  and event_at >= {} and \
             event_at < {}\norder by event_at desc limit 20;",
            text_literal(&job.name),
            instant_literal(alert.window_start),
            instant_literal(alert.window_end),
        );
    }
    let version = match &alert.model_version {
        Some(version) => format!("model_version = {}", text_literal(version)),
        None => "model_version is null".to_owned(),
    };
    format!(
        "select revision, computed_at, status, {} as value, labeled, coverage\nfrom trueup.window_revisions\n\
         where job = {} and window_name = {} and window_end = {}\n  and cohort = {} and {version}\norder by revision;",
        column_of(job, rule.metric().name()),
        text_literal(&job.name),
        text_literal(&rule.window),
        instant_literal(alert.window_end),
        text_literal(&alert.cohort),
    )
}

fn instant_literal(at: DateTime<Utc>) -> String {
    text_literal(&at.to_rfc3339())
}

/// Returns a metric as an expression over the history's columns.
fn column_of(job: &PlannedJob, name: &str) -> String {
    match name {
        "received" => "(labeled + excluded)::float8 / nullif(predictions, 0)".to_owned(),
        "predictions" | "labeled" | "coverage" => name.to_owned(),
        known if metric::find(known).is_some() => known.to_owned(),
        other if job.metrics.iter().any(|kept| kept.name() == other) => format!("extra -> {}", text_literal(other)),
        other => text_literal(other),
    }
}
