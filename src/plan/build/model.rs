//! `[model]`: what is predicted, which labels are positive, and how a score becomes a decision.

use super::findings::Findings;
use crate::domain::name::Identifier;
use crate::domain::name::text_literal;
use crate::metric::confusion;
use crate::metric::task::{Binary, Cost, Decision, Multiclass, Scores, Task};
use crate::plan::expression::Expression;
use crate::plan::extra::Extra;
use crate::plan::model::{ClassLabels, Model};
use crate::spec::JobSpec;
use crate::spec::model::{ModelSection, ScoresSpec, TaskSpec};

/// The score from which on a decision is positive, unless the job says otherwise.
const DEFAULT_THRESHOLD: f64 = 0.5;
/// Share of the highest scores in `precision_at_top`, unless the job says otherwise.
const DEFAULT_TOP: f64 = 0.01;

/// The model of a job.
pub(super) struct Built {
    pub model: Model,
    pub task: Task,
    /// An extra value with the path of its declaration: a decision that is a column, 1 or 0 for every prediction; or the log loss of
    /// a pair of several classes.
    pub extra: Option<(Extra, String)>,
}

/// `taken` is the number of extra values in front of the model's.
pub(super) fn build(spec: &JobSpec, taken: usize, findings: &mut Findings<'_>) -> Built {
    let section = &spec.model;
    match section.task.unwrap_or_default() {
        TaskSpec::Regression => {
            refuse(&keys_of_two_classes(section), "binary", section, findings);
            refuse(&[("probabilities", section.probabilities.is_some())], "multiclass", section, findings);
            Built { model: Model::Regression, task: Task::Regression, extra: None }
        }
        TaskSpec::Multiclass => {
            refuse(&keys_of_two_classes(section), "binary", section, findings);
            let extra = log_loss(section, findings).map(|extra| (extra, "model.probabilities".to_owned()));
            if spec.residuals.worst.is_some_and(|worst| worst > 0) {
                findings
                    .error("residuals.worst", "needs-numbers", "wrong classes have no size by which some are the worst")
                    .hint("remove it");
            }
            let task = Task::Multiclass(Multiclass { log_loss: extra.as_ref().map(|_| taken) });
            Built { model: Model::Multiclass, task, extra }
        }
        TaskSpec::Binary => {
            refuse(&[("probabilities", section.probabilities.is_some())], "multiclass", section, findings);
            let labels = labels(section, findings);
            let decision = section.decision.as_deref().and_then(|column| decision_column(column, &labels, findings));
            let scores = match section.scores.unwrap_or_default() {
                ScoresSpec::Probability => Scores::Probabilities,
                ScoresSpec::Any => Scores::Any,
            };
            let binary = Binary {
                decision: match (&decision, section.threshold) {
                    (Some(_), _) => Decision::Extra(taken),
                    (None, threshold) => Decision::Threshold(threshold.unwrap_or(DEFAULT_THRESHOLD)),
                },
                scores,
                cost: cost(section, findings),
                top: top(spec.metrics.top, findings),
                thresholds: section.thresholds.clone().unwrap_or_default(),
            };
            check_thresholds(section, scores, findings);
            let extra = decision.map(|decision| (decision, "model.decision".to_owned()));
            Built { model: Model::Binary(labels), task: Task::Binary(binary), extra }
        }
    }
}

/// Keys that only two classes have, and if each is set.
fn keys_of_two_classes(section: &ModelSection) -> [(&'static str, bool); 7] {
    [
        ("positive", section.positive.is_some()),
        ("negative", section.negative.is_some()),
        ("threshold", section.threshold.is_some()),
        ("thresholds", section.thresholds.is_some()),
        ("decision", section.decision.is_some()),
        ("scores", section.scores.is_some()),
        ("cost", section.cost.is_some()),
    ]
}

/// Refuses keys of another task.
fn refuse(keys: &[(&str, bool)], of: &str, section: &ModelSection, findings: &mut Findings<'_>) {
    let code =
        if section.task.unwrap_or_default() == TaskSpec::Regression { "needs-classes" } else { "key-of-another-task" };
    for (key, _) in keys.iter().filter(|(_, is_set)| *is_set) {
        findings
            .error(&format!("model.{key}"), code, format!("`{key}` is a key of the task \"{of}\""))
            .hint(format!("remove it, or set the task to \"{of}\""));
    }
}

/// The negative logarithm of the probability that a pair's label was given. NULL where the label has no probability.
fn log_loss(section: &ModelSection, findings: &mut Findings<'_>) -> Option<Extra> {
    let mut cases = Vec::new();
    for (class, column) in section.probabilities.as_ref()? {
        let path = format!("model.probabilities.{class}");
        match Identifier::new(column) {
            Ok(column) => cases.push(format!(
                "when \"actual\" = {} then case when {column} between 0 and 1 then - ln(greatest(cast({column} as float8), 1e-15)) end",
                confusion::code(class)
            )),
            Err(message) => {
                findings.error(&path, "bad-column", message).hint("use a column of the prediction row");
            }
        }
    }
    let expression = Expression::parse(&format!("case {} end", cases.join(" "))).ok()?;
    Some(Extra { expression, is_weight: false, over_rows: false })
}

fn labels(section: &ModelSection, findings: &mut Findings<'_>) -> ClassLabels {
    let Some(positive) = &section.positive else {
        if section.negative.is_some() {
            findings
                .error("model.negative", "needs-classes", "`negative` is set, but `positive` is not")
                .hint("say which labels are positive, too");
        }
        return ClassLabels::default();
    };
    let (positive, negative) = (positive.words(), section.negative.as_ref().map(|negative| negative.words()));
    if positive.is_empty() {
        findings
            .error("model.positive", "no-positive-label", "no label is positive")
            .hint("list the labels that count as positive, such as \"fraud\"");
    }
    if let Some(word) = negative.iter().flatten().find(|word| positive.contains(word)) {
        findings
            .error("model.negative", "repeated-entry", format!("`{word}` is both positive and negative"))
            .hint("remove it from one of them");
    }
    ClassLabels { positive, negative }
}

/// 1 where the column is a positive label or true, else 0.
fn decision_column(column: &str, labels: &ClassLabels, findings: &mut Findings<'_>) -> Option<Extra> {
    let column = match Identifier::new(column) {
        Ok(column) => column,
        Err(message) => {
            findings.error("model.decision", "bad-column", message).hint("use a column of the prediction row");
            return None;
        }
    };
    let words = labels
        .positive
        .iter()
        .chain(&ClassLabels::default().positive)
        .map(|word| text_literal(word))
        .collect::<Vec<_>>();
    let sql = format!("case when {column}::text in ({}) then 1 else 0 end", words.join(", "));
    let expression = Expression::parse(&sql).ok()?;
    Some(Extra { expression, is_weight: false, over_rows: true })
}

fn check_thresholds(section: &ModelSection, scores: Scores, findings: &mut Findings<'_>) {
    if section.threshold.is_some() && section.decision.is_some() {
        findings
            .error("model.threshold", "two-decisions", "`threshold` and `decision` are both set")
            .hint("keep the one that your decisions follow");
    }
    let listed = section.thresholds.iter().flatten().enumerate();
    let listed = listed.map(|(index, threshold)| (format!("model.thresholds[{index}]"), *threshold));
    for (path, threshold) in section.threshold.map(|one| ("model.threshold".to_owned(), one)).into_iter().chain(listed)
    {
        let fits = match scores {
            Scores::Probabilities => (0.0..=1.0).contains(&threshold),
            Scores::Any => threshold.abs() <= 1e70,
        };
        if !fits {
            findings
                .error(&path, "out-of-range", format!("no score reaches {threshold}"))
                .hint("use a probability from 0 to 1, or set `scores = \"any\"`");
        }
    }
}

fn cost(section: &ModelSection, findings: &mut Findings<'_>) -> Option<Cost> {
    let cost = section.cost.as_ref()?;
    for (key, value) in [("false_positive", cost.false_positive), ("false_negative", cost.false_negative)] {
        if !(0.0..=1e70).contains(&value) {
            findings
                .error(&format!("model.cost.{key}"), "out-of-range", format!("{value} is not a cost"))
                .hint("use a number of 0 or more");
        }
    }
    Some(Cost { false_positive: cost.false_positive, false_negative: cost.false_negative })
}

fn top(share: Option<f64>, findings: &mut Findings<'_>) -> f64 {
    match share {
        None => DEFAULT_TOP,
        Some(share) if share > 0.0 && share <= 1.0 => share,
        Some(share) => {
            findings
                .error("metrics.top", "out-of-range", format!("{share} is not a share"))
                .hint("use a share above 0 and up to 1: 0.01 takes the highest 1 % of scores");
            DEFAULT_TOP
        }
    }
}
