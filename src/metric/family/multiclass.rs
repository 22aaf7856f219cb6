//! Metrics of several classes, from their confusion matrix.

use super::super::confusion::Confusion;
use super::super::state::Sum;
use super::super::state::kind::HistogramKind;
use super::super::task::Applies;
use super::super::{Better, Metric, Requirement, Sums, Unit, interval};
use super::regression::PLAIN;

/// Defaults of an entry.
const SHARE: Metric = Metric {
    unit: Unit::Ratio,
    better: Better::Higher,
    task: Applies::Multiclass,
    histograms: &[HistogramKind::Confusion],
    ..PLAIN
};

const fn mean(name: &'static str, meaning: &'static str, finish: fn(&Sums<'_>) -> f64) -> Metric {
    Metric { name, meaning, finish, ..SHARE }
}

fn confusion<'a>(sums: &'a Sums<'_>) -> &'a Confusion {
    &sums.histograms.confusion
}

/// All metrics of several classes.
pub const FAMILY: &[Metric] = &[
    Metric {
        name: "accuracy",
        meaning: "share of predicted classes that are the label",
        finish: |s| confusion(s).accuracy(),
        interval: Some(|s| interval::of_share(s.n() - confusion(s).wrong(), s.n())),
        ..SHARE
    },
    mean("macro_precision", "mean of the precision of each class; 0 for a class that is never predicted", |s| {
        confusion(s).macro_precision()
    }),
    mean("macro_recall", "mean of the recall of each class, also called balanced accuracy", |s| {
        confusion(s).macro_recall()
    }),
    mean("macro_f1", "mean of the f1 of each class", |s| confusion(s).macro_f1()),
    mean("weighted_precision", "mean of the precision of each class, by its number of labels", |s| {
        confusion(s).weighted_precision()
    }),
    mean("weighted_recall", "mean of the recall of each class, by its number of labels: the accuracy", |s| {
        confusion(s).weighted_recall()
    }),
    mean("weighted_f1", "mean of the f1 of each class, by its number of labels", |s| confusion(s).weighted_f1()),
    Metric {
        name: "log_loss",
        meaning: "mean of -ln(probability given to the label), in nats, over pairs whose class has a probability",
        unit: Unit::Number,
        better: Better::Lower,
        needs: Requirement::Probabilities,
        histograms: &[],
        sums: &[Sum::ClassLogLoss, Sum::ClassLogLossCount],
        finish: |s| s.get(Sum::ClassLogLoss) / s.get(Sum::ClassLogLossCount),
        ..SHARE
    },
    Metric {
        name: "loss_share",
        meaning: "wrong classes of the cohort / wrong classes of the whole window",
        better: Better::Neither,
        finish: |s| super::total_loss(s) / s.whole_loss,
        ..SHARE
    },
];
