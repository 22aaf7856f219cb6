//! `[metrics]`: names from the metric catalog, their requirements, and ratios that the job defines.

use super::findings::Findings;
use super::model::{self, Built};
use super::slos;
use crate::domain::name::Identifier;
use crate::metric::task::{Applies, Binary, Decision, Task};
use crate::metric::{self, CustomMetric, JobMetric, Parameters, RateAt, Requirement, catalogue, name};
use crate::plan::expression::Expression;
use crate::plan::extra::{self, Extra};
use crate::plan::model::Model;
use crate::spec::JobSpec;
use crate::spec::diagnostic::did_you_mean;
use crate::spec::job::{CustomMetricSection, OverSpec};

/// Default share of the largest squared errors that robust means leave out.
const DEFAULT_TRIM: f64 = 0.05;
/// The key of an objective that defines good predictions.
const GOOD: &str = "good";
/// The metrics of a job, with everything they are computed from.
pub(super) struct Metrics {
    pub all: Vec<JobMetric>,
    pub parameters: Parameters,
    pub model: Model,
    /// Extra values, each with the path of its declaration.
    pub extras: Vec<(Extra, String)>,
}

pub(super) fn build(spec: &JobSpec, findings: &mut Findings<'_>) -> Metrics {
    let mut extras = Vec::new();
    extras.extend(weight(spec.metrics.weight.as_deref(), findings).map(|weight| (weight, "metrics.weight".to_owned())));
    let weighted = !extras.is_empty();
    let Built { model, task, extra } = model::build(spec, extras.len(), findings);
    extras.extend(extra);
    let parameters = Parameters {
        task,
        tolerance: positive("metrics.tolerance", spec.metrics.tolerance, true, findings),
        huber_delta: positive("metrics.huber_delta", spec.metrics.huber_delta, false, findings),
        trim: trim(spec.metrics.trim, findings),
        exact: spec.metrics.exact.unwrap_or(false),
        weighted,
    };
    let mut all = included(spec, &parameters.task, findings);
    all.extend(rates_at(&parameters.task));
    for (index, custom) in spec.metrics.custom.iter().enumerate() {
        let path = format!("metrics.custom[{index}]");
        all.extend(
            custom_metric((&path, "sum"), custom, (&all, &parameters.task), &mut extras, findings)
                .map(JobMetric::Custom),
        );
    }
    // The share of good predictions of an objective is kept like a custom metric.
    for (index, share) in slos::metrics(&spec.slos) {
        let path = format!("slos[{index}]");
        all.extend(
            custom_metric((&path, GOOD), &share, (&all, &parameters.task), &mut extras, findings)
                .map(JobMetric::Custom),
        );
    }
    for (index, metric) in spec.metrics.include.iter().flatten().enumerate() {
        let Some(found) = metric::find_for(metric, &parameters.task) else { continue };
        check_needs(&format!("metrics.include[{index}]"), found, &parameters, spec, findings);
    }
    let values: Vec<Extra> = extras.iter().map(|(extra, _)| extra.clone()).collect();
    if extra::columns(&values).len() > 64 {
        findings
            .error("metrics.custom", "too-many-columns", "the expressions use more than 64 columns")
            .hint("compute some of them in a `query`");
    }
    Metrics { all, parameters, model, extras }
}

/// Rates of positive decisions at other thresholds.
fn rates_at(task: &Task) -> Vec<JobMetric> {
    let thresholds = task.binary().map(|binary| binary.thresholds.as_slice()).unwrap_or_default();
    thresholds.iter().enumerate().map(|(place, at)| JobMetric::PositiveRateAt(RateAt::new(place, *at))).collect()
}

fn included(spec: &JobSpec, task: &Task, findings: &mut Findings<'_>) -> Vec<JobMetric> {
    let default: Vec<String> = metric::default_of(task).iter().map(|name| (*name).to_owned()).collect();
    let names = spec.metrics.include.as_ref().unwrap_or(&default);
    let mut found: Vec<&'static metric::Metric> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let path = format!("metrics.include[{index}]");
        match metric::find_for(name, task).or_else(|| metric::find(name)) {
            Some(_) if names[..index].contains(name) => {
                findings.error(&path, "repeated-entry", format!("`{name}` is listed twice")).hint("remove one of them");
            }
            Some(metric) if !metric.task.to(task) => of_another_task(&path, metric, findings),
            Some(metric) if found.iter().any(|other| other.name == metric.name) => {}
            Some(metric) => {
                found.push(metric);
                let brought = metric.implies.iter().filter_map(|name| metric::find_for(name, task));
                for brought in brought.collect::<Vec<_>>() {
                    if !found.iter().any(|other| other.name == brought.name) {
                        found.push(brought);
                    }
                }
            }
            None => unknown(&path, name, findings),
        }
    }
    if names.is_empty() && spec.metrics.custom.is_empty() {
        findings
            .error("metrics.include", "no-metrics", "the job has no metrics")
            .hint("include at least one, such as `rmse`");
    }
    let behind = metric::family::behind(&found);
    found.into_iter().chain(behind).map(JobMetric::Catalogue).collect()
}

fn of_another_task(path: &str, metric: &metric::Metric, findings: &mut Findings<'_>) {
    let of = metric.task.describe();
    let hint = match metric.task {
        Applies::Regression => "use a metric of classes: the mean squared error of a probability is its brier score",
        Applies::Probabilities => "it is for jobs with the task \"binary\" in [model], whose scores are probabilities",
        Applies::Binary | Applies::Always => "it is for jobs with the task \"binary\" in [model]",
        Applies::Multiclass => "it is for jobs with the task \"multiclass\" in [model]",
    };
    findings.error(path, "metric-of-another-task", format!("`{}` is a metric of {of}", metric.name)).hint(hint);
}

fn unknown(path: &str, name: &str, findings: &mut Findings<'_>) {
    let known: Vec<&str> = catalogue().map(|metric| metric.name).collect();
    let hint = match did_you_mean(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known metrics are {}", known.join(", ")),
    };
    findings.error(path, "unknown-metric", format!("there is no metric `{name}`")).hint(hint);
}

fn check_needs(
    path: &str,
    metric: &metric::Metric,
    parameters: &Parameters,
    spec: &JobSpec,
    findings: &mut Findings<'_>,
) {
    let missing = match metric.needs {
        Requirement::Tolerance if parameters.tolerance.is_none() && spec.metrics.tolerance.is_none() => {
            ("`tolerance`", "add `tolerance = 250.0` under [metrics], in the unit of the target")
        }
        Requirement::HuberDelta if parameters.huber_delta.is_none() && spec.metrics.huber_delta.is_none() => {
            ("`huber_delta`", "add `huber_delta = 100.0` under [metrics], in the unit of the target")
        }
        Requirement::Weight if spec.metrics.weight.is_none() => {
            ("`weight`", "add `weight = \"column\"` under [metrics]: a column of the prediction row")
        }
        Requirement::Cost if spec.model.cost.is_none() => {
            ("`model.cost`", "add `cost = { false_positive = 1.0, false_negative = 20.0 }` under [model]")
        }
        Requirement::Probabilities if spec.model.probabilities.is_none() => (
            "`model.probabilities`",
            "add `probabilities = { billing = \"p_billing\", other = \"p_other\" }` under [model]",
        ),
        Requirement::LabelArrival if spec.labels.arrived_at.is_none() => {
            ("`labels.arrived_at`", "set it to the column with the time at which a label became known")
        }
        _ => return,
    };
    findings.error(path, "metric-needs", format!("`{}` needs {}", metric.name, missing.0)).hint(missing.1);
}

fn positive(path: &str, value: Option<f64>, zero: bool, findings: &mut Findings<'_>) -> Option<f64> {
    let value = value?;
    if value.is_finite() && (value > 0.0 || (zero && value == 0.0)) && value < 1e70 {
        return Some(value);
    }
    findings.error(path, "out-of-range", format!("{value} is not a positive number")).hint("use a number above 0");
    None
}

fn trim(value: Option<f64>, findings: &mut Findings<'_>) -> f64 {
    match value {
        None => DEFAULT_TRIM,
        Some(share) if (0.0..1.0).contains(&share) => share,
        Some(share) => {
            findings
                .error("metrics.trim", "out-of-range", format!("{share} is not a share"))
                .hint("use a share from 0 to below 1: 0.05 excludes the largest 5 %");
            DEFAULT_TRIM
        }
    }
}

fn weight(column: Option<&str>, findings: &mut Findings<'_>) -> Option<Extra> {
    match Identifier::new(column?) {
        Ok(column) => {
            let expression = Expression::parse(&column.to_string()).ok()?;
            Some(Extra { expression, is_weight: true, over_rows: false })
        }
        Err(message) => {
            findings.error("metrics.weight", "bad-column", message).hint("use a column of the prediction row");
            None
        }
    }
}

fn custom_metric(
    (path, sum_key): (&str, &str),
    spec: &CustomMetricSection,
    (known, task): (&[JobMetric], &Task),
    extras: &mut Vec<(Extra, String)>,
    findings: &mut Findings<'_>,
) -> Option<CustomMetric> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if spec.name.is_empty() || spec.name.len() > 63 || !spec.name.chars().all(plain) {
        findings
            .error(&format!("{path}.name"), "bad-name", format!("`{}` is not a valid metric name", spec.name))
            .hint("use a-z, 0-9 and `_`");
    }
    // A name of another task is free.
    let taken = metric::find_for(&spec.name, task).is_some() || name::is_reserved(&spec.name);
    if taken || known.iter().any(|metric| metric.name() == spec.name) {
        findings
            .error(&format!("{path}.name"), "repeated-entry", format!("a metric `{}` already exists", spec.name))
            .hint("rename it");
    }
    let per = spec.per.as_deref().unwrap_or("1");
    let over_rows = spec.over == Some(OverSpec::Rows);
    let known = Names { task, over_rows, extras };
    let mut sum = expression(&format!("{path}.{sum_key}"), &spec.sum, &known, findings)?;
    if sum_key == GOOD {
        sum = sum.as_count();
    }
    let per_expression = expression(&format!("{path}.per"), per, &known, findings)?;
    // A pair counts for both sums or for neither; otherwise the ratio would be of two different sets.
    let (first, second) = (sum.where_known(&per_expression), per_expression.where_known(&sum));
    let place = extras.len();
    extras.push((Extra { expression: first, is_weight: false, over_rows }, format!("{path}.{sum_key}")));
    // The denominator is probed under its own path only if the job defines it.
    let per_key = if spec.per.is_some() { "per" } else { sum_key };
    extras.push((Extra { expression: second, is_weight: false, over_rows }, format!("{path}.{per_key}")));
    let over = if over_rows { "all predictions" } else { "pairs" };
    let meaning = format!("sum of {} / sum of {per}, over {over}", spec.sum);
    Some(CustomMetric { name: spec.name.as_str().into(), meaning, sum: place, per: place + 1, over_rows })
}

/// Names that an expression may use besides columns.
struct Names<'a> {
    task: &'a Task,
    /// It is of every prediction, which may have no label.
    over_rows: bool,
    extras: &'a [(Extra, String)],
}

fn expression(path: &str, text: &str, names: &Names<'_>, findings: &mut Findings<'_>) -> Option<Expression> {
    let parsed = Expression::parse(text).and_then(|expression| names.resolve(expression));
    match parsed {
        Ok(expression) => Some(expression),
        Err(message) => {
            let own = match names.task {
                Task::Regression => "predicted, actual, error",
                Task::Binary(_) => "score, label, decision",
                Task::Multiclass(_) => "label, decision (which can only be compared)",
            };
            findings
                .error(path, "bad-expression", message)
                .hint(format!("write one SQL expression over {own} and columns of the prediction row"));
            None
        }
    }
}

impl Names<'_> {
    /// Replaces the names of classes: `score` is what was predicted, `label` is 1 or 0, and so is `decision`.
    fn resolve(&self, expression: Expression) -> Result<Expression, String> {
        let named = expression.columns();
        let of_labels: &[&str] =
            if self.task.has_classes() { &["actual", "error", "label"] } else { &["actual", "error"] };
        if self.over_rows && of_labels.iter().any(|name| named.contains(*name)) {
            return Err("`over = \"rows\"` also sums over predictions without a label".to_owned());
        }
        let decision = match self.task {
            Task::Regression => return Ok(expression),
            Task::Multiclass(_) => "\"predicted\"".to_owned(),
            Task::Binary(binary) => self.decision(binary),
        };
        let text = expression.over(|name| match name {
            "score" => Some("\"predicted\"".to_owned()),
            "label" => Some("\"actual\"".to_owned()),
            "decision" => Some(decision.clone()),
            _ => None,
        });
        Expression::parse(&text)
    }

    /// 1 or 0: the decision about a score.
    fn decision(&self, binary: &Binary) -> String {
        match binary.decision {
            Decision::Threshold(threshold) => format!("(case when \"predicted\" >= {threshold:e} then 1 else 0 end)"),
            Decision::Extra(place) => {
                self.extras.get(place).map_or("0".to_owned(), |(extra, _)| extra.expression.to_string())
            }
        }
    }
}
