//! Describes a job for its pages.

use crate::domain::about::{About, AboutBetter, AboutBurn, AboutGap, AboutMetric, AboutRule, AboutSlo, AboutWindow};
use crate::domain::window::WindowKind;
use crate::metric::family::fairness::Fairness;
use crate::metric::{Better, JobMetric, Unit};
use crate::plan::PlannedJob;
use crate::plan::objective::{Indicator, Slo};
use crate::plan::rule::Rule;

/// Returns the description of a job as it is planned now.
pub(super) fn describe(job: &PlannedJob) -> About {
    About {
        description: job.description.clone(),
        owner: job.owner.clone(),
        runbook: job.runbook.clone(),
        unit: job.unit.clone(),
        timezone: job.windows.zone.name().to_owned(),
        interval_seconds: job.schedule.cadence.usual_gap().num_seconds(),
        label_wait_seconds: job.windows.label_wait.num_seconds(),
        residuals_keep_seconds: if job.is_incremental() { job.keep.num_seconds() } else { 0 },
        dimensions: job.dimension_names(),
        hidden: job.hidden.clone(),
        has_versions: job.predictions.version.is_some(),
        task: job.parameters.task.name().to_owned(),
        proxy: job.labels.proxy,
        windows: job.windows.all.iter().map(window).collect(),
        metrics: job.metrics.iter().filter(|known| !known.is_detail()).map(|known| metric(job, known)).collect(),
        rules: job.rules.iter().map(rule).collect(),
        slos: job.slos.iter().map(slo).collect(),
        gaps: job.gaps().map(gap).collect(),
    }
}

fn window(window: &crate::domain::window::Window) -> AboutWindow {
    AboutWindow {
        name: window.name.clone(),
        seconds: window.nominal().num_seconds(),
        is_rolling: matches!(window.kind, WindowKind::Rolling(_)),
    }
}

fn metric(job: &PlannedJob, metric: &JobMetric) -> AboutMetric {
    AboutMetric {
        name: metric.name().to_owned(),
        unit: metric.unit().of(job.unit.as_deref()),
        better: match metric.better() {
            Better::Lower => AboutBetter::Lower,
            Better::Higher => AboutBetter::Higher,
            Better::Zero => AboutBetter::Zero,
            Better::Neither => AboutBetter::Neither,
        },
        is_ratio: metric.unit() == Unit::Ratio,
    }
}

fn gap(fairness: &Fairness) -> AboutGap {
    AboutGap { metric: fairness.name.to_string(), by: fairness.by.clone(), min_group: fairness.min_group }
}

fn rule(rule: &Rule) -> AboutRule {
    AboutRule {
        name: rule.name.clone(),
        metric: rule.metric().name().to_owned(),
        window: rule.window.clone(),
        condition: rule.condition(),
        lasting: rule.fires.describe(),
        severity: rule.severity.as_str().to_owned(),
        owner: rule.owner.clone(),
        runbook: rule.runbook.clone(),
        min_samples: rule.min_samples,
        min_coverage: rule.min_coverage,
        built_in: rule.built_in,
    }
}

fn slo(slo: &Slo) -> AboutSlo {
    AboutSlo {
        name: slo.name.clone(),
        objective: slo.objective,
        period_seconds: slo.period.num_seconds(),
        good: match &slo.indicator {
            Indicator::Predictions { good, .. } => format!("predictions with {good}"),
            Indicator::Windows { metric, window, condition } => {
                format!("windows of {window} unless {} is {}", metric.name(), condition.describe())
            }
        },
        metric: match &slo.indicator {
            Indicator::Predictions { metric, .. } => Some(metric.to_string()),
            Indicator::Windows { .. } => None,
        },
        burns: slo
            .burns
            .iter()
            .map(|burn| AboutBurn {
                alert: slo.alert(burn),
                long_seconds: burn.long.num_seconds(),
                short_seconds: burn.short.num_seconds(),
                factor: burn.factor,
                severity: burn.severity.as_str().to_owned(),
            })
            .collect(),
        owner: slo.owner.clone(),
        runbook: slo.runbook.clone(),
    }
}
