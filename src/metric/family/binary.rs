//! Metrics of two classes: decisions, the order of scores, and what scores say before any label is there.

use super::super::state::Sum;
use super::super::state::kind::HistogramKind;
use super::super::state::score;
use super::super::task::{Applies, Cost, Scores};
use super::super::{Better, Metric, Requirement, Sums, Unit, interval};
use super::regression::PLAIN;

/// Defaults of an entry.
const SHARE: Metric = Metric { unit: Unit::Ratio, better: Better::Higher, task: Applies::Binary, ..PLAIN };
/// Defaults of a number of pairs.
const COUNT: Metric = Metric { unit: Unit::Count, better: Better::Neither, task: Applies::Binary, ..PLAIN };
/// Defaults of what needs no label.
const UNLABELED: Metric =
    Metric { better: Better::Neither, needs: Requirement::Predictions, implies: &["unusable_scores"], ..SHARE };
/// Sums that decisions are counted from.
const DECISIONS: &[Sum] = &[Sum::Positives, Sum::TruePositives, Sum::FalsePositives];
/// Histograms of scores by class.
const BY_CLASS: &[HistogramKind] = &[HistogramKind::Positives, HistogramKind::Negatives];

/// Names of the metrics that make up the confusion matrix.
pub(super) const CONFUSION: &[&str] = &["true_positives", "false_positives", "false_negatives", "true_negatives"];

/// Decisions by label: a confusion matrix.
struct Decisions {
    tp: f64,
    fp: f64,
    fn_: f64,
    tn: f64,
}

impl Decisions {
    fn of(sums: &Sums<'_>) -> Self {
        let (positives, tp, fp) =
            (sums.get(Sum::Positives), sums.get(Sum::TruePositives), sums.get(Sum::FalsePositives));
        Self { tp, fp, fn_: positives - tp, tn: sums.n() - positives - fp }
    }

    fn recall(&self) -> f64 {
        self.tp / (self.tp + self.fn_)
    }

    fn specificity(&self) -> f64 {
        self.tn / (self.tn + self.fp)
    }

    fn correlation(&self) -> f64 {
        let Self { tp, fp, fn_, tn } = self;
        let sides = [tp + fp, tp + fn_, tn + fp, tn + fn_];
        // Roots first: the product of four counts would lose digits.
        (tp * tn - fp * fn_) / sides.iter().map(|side| side.sqrt()).product::<f64>()
    }
}

/// Wrong decisions.
pub(super) fn wrong(sums: &Sums<'_>) -> f64 {
    let decisions = Decisions::of(sums);
    decisions.fp + decisions.fn_
}

fn cost(sums: &Sums<'_>) -> Option<Cost> {
    sums.parameters.task.binary()?.cost
}

/// Mean of three values (0 and the two costs), and its interval.
fn mean_cost(sums: &Sums<'_>) -> f64 {
    let (decisions, Some(cost)) = (Decisions::of(sums), cost(sums)) else { return f64::NAN };
    (decisions.fp * cost.false_positive + decisions.fn_ * cost.false_negative) / sums.n()
}

fn cost_interval(sums: &Sums<'_>) -> Option<interval::Interval> {
    let (decisions, cost, mean) = (Decisions::of(sums), cost(sums)?, mean_cost(sums));
    let squares = [
        decisions.fp * (cost.false_positive - mean).powi(2),
        decisions.fn_ * (cost.false_negative - mean).powi(2),
        (decisions.tp + decisions.tn) * mean * mean,
    ];
    interval::of_mean(mean, squares.iter().sum(), sums.n())
}

/// Predictions with a negative decision: those with a usable label, and all.
fn negative_coverage(sums: &Sums<'_>) -> Option<(f64, f64)> {
    let labeled = sums.n() - sums.get(Sum::TruePositives) - sums.get(Sum::FalsePositives);
    let all = sums.moments(Sum::ScoreMoments).count - sums.get(Sum::PositiveDecisions);
    (all > 0.0).then_some((labeled, all))
}

fn top(sums: &Sums<'_>) -> f64 {
    sums.parameters.task.binary().map_or(f64::NAN, |binary| binary.top)
}

/// A quantile of all scores.
fn score_quantile(sums: &Sums<'_>, q: f64) -> f64 {
    let scores = sums.parameters.task.binary().map_or(Scores::Any, |binary| binary.scores);
    let found = sums.histograms.get(HistogramKind::Scores).quantile_with(q, |bin| score::value_of(bin, scores));
    found.unwrap_or(f64::NAN)
}

const fn quantile(name: &'static str, meaning: &'static str, finish: fn(&Sums<'_>) -> f64) -> Metric {
    Metric { name, meaning, histograms: &[HistogramKind::Scores], finish, ..UNLABELED }
}

/// All metrics of two classes.
pub const FAMILY: &[Metric] = &[
    Metric {
        name: "accuracy",
        meaning: "share of decisions that are the label: (tp + tn) / n",
        sums: DECISIONS,
        finish: |s| 1.0 - wrong(s) / s.n(),
        interval: Some(|s| interval::of_share(s.n() - wrong(s), s.n())),
        ..SHARE
    },
    Metric {
        name: "balanced_accuracy",
        meaning: "mean of recall and specificity",
        sums: DECISIONS,
        finish: |s| f64::midpoint(Decisions::of(s).recall(), Decisions::of(s).specificity()),
        ..SHARE
    },
    Metric {
        name: "precision",
        meaning: "share of positive decisions with a positive label: tp / (tp + fp); none without a positive decision",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).tp / (Decisions::of(s).tp + Decisions::of(s).fp),
        interval: Some(|s| interval::of_share(Decisions::of(s).tp, Decisions::of(s).tp + Decisions::of(s).fp)),
        ..SHARE
    },
    Metric {
        name: "recall",
        meaning: "share of positive labels with a positive decision: tp / (tp + fn); none without a positive label",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).recall(),
        interval: Some(|s| interval::of_share(Decisions::of(s).tp, s.get(Sum::Positives))),
        ..SHARE
    },
    Metric {
        name: "specificity",
        meaning: "share of negative labels with a negative decision: tn / (tn + fp)",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).specificity(),
        interval: Some(|s| interval::of_share(Decisions::of(s).tn, s.n() - s.get(Sum::Positives))),
        ..SHARE
    },
    Metric {
        name: "f1",
        meaning: "harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn)",
        sums: DECISIONS,
        finish: |s| 2.0 * Decisions::of(s).tp / (2.0 * Decisions::of(s).tp + wrong(s)),
        ..SHARE
    },
    Metric {
        name: "fpr",
        meaning: "share of negative labels with a positive decision: fp / (fp + tn)",
        better: Better::Lower,
        sums: DECISIONS,
        finish: |s| Decisions::of(s).fp / (s.n() - s.get(Sum::Positives)),
        interval: Some(|s| interval::of_share(Decisions::of(s).fp, s.n() - s.get(Sum::Positives))),
        ..SHARE
    },
    Metric {
        name: "fnr",
        meaning: "share of positive labels with a negative decision: fn / (fn + tp)",
        better: Better::Lower,
        sums: DECISIONS,
        finish: |s| Decisions::of(s).fn_ / s.get(Sum::Positives),
        interval: Some(|s| interval::of_share(Decisions::of(s).fn_, s.get(Sum::Positives))),
        ..SHARE
    },
    Metric {
        name: "mcc",
        meaning: "Matthews correlation of decision and label, from -1 to 1; none with one class of either",
        unit: Unit::Number,
        sums: DECISIONS,
        finish: |s| Decisions::of(s).correlation(),
        ..SHARE
    },
    Metric {
        name: "base_rate",
        meaning: "share of positive labels",
        better: Better::Neither,
        sums: &[Sum::Positives],
        finish: |s| s.mean(Sum::Positives),
        interval: Some(|s| interval::of_share(s.get(Sum::Positives), s.n())),
        ..SHARE
    },
    Metric {
        name: "cost",
        meaning: "mean cost of a decision: (fp * false_positive + fn * false_negative) / n",
        unit: Unit::Own,
        better: Better::Lower,
        needs: Requirement::Cost,
        sums: DECISIONS,
        finish: mean_cost,
        interval: Some(cost_interval),
        ..SHARE
    },
    Metric {
        name: "true_positives",
        meaning: "positive labels with a positive decision",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).tp,
        ..COUNT
    },
    Metric {
        name: "false_positives",
        meaning: "negative labels with a positive decision",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).fp,
        ..COUNT
    },
    Metric {
        name: "false_negatives",
        meaning: "positive labels with a negative decision",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).fn_,
        ..COUNT
    },
    Metric {
        name: "true_negatives",
        meaning: "negative labels with a negative decision",
        sums: DECISIONS,
        finish: |s| Decisions::of(s).tn,
        ..COUNT
    },
    Metric {
        name: "auc",
        meaning: "area under the ROC curve: chance that a positive label has a higher score than a negative one, a tie counting \
                  half; none with one class",
        histograms: BY_CLASS,
        finish: |s| s.ranking().auc(),
        interval: Some(|s| s.ranking().auc_interval()),
        ..SHARE
    },
    Metric {
        name: "gini",
        meaning: "2 * auc - 1",
        histograms: BY_CLASS,
        finish: |s| 2.0 * s.ranking().auc() - 1.0,
        interval: Some(|s| {
            let area = s.ranking().auc_interval()?;
            Some(interval::Interval { low: 2.0 * area.low - 1.0, high: 2.0 * area.high - 1.0 })
        }),
        ..SHARE
    },
    Metric {
        name: "pr_auc",
        meaning: "average precision: precision at each score, weighted by the recall gained there",
        histograms: BY_CLASS,
        finish: |s| s.ranking().average_precision(),
        ..SHARE
    },
    Metric {
        name: "ks_separation",
        meaning: "greatest difference of the two classes' shares of scores below any value",
        histograms: BY_CLASS,
        finish: |s| s.ranking().separation(),
        ..SHARE
    },
    Metric {
        name: "precision_at_top",
        meaning: "share of positive labels among the `top` share of scores, ties taken in part",
        histograms: BY_CLASS,
        finish: |s| s.ranking().precision_at_top(top(s)),
        ..SHARE
    },
    Metric {
        name: "lift_at_top",
        meaning: "precision_at_top / base_rate",
        unit: Unit::Number,
        histograms: BY_CLASS,
        sums: &[Sum::Positives],
        finish: |s| s.ranking().precision_at_top(top(s)) / s.mean(Sum::Positives),
        ..SHARE
    },
    Metric {
        name: "loss_share",
        meaning: "log loss of the cohort / log loss of the whole window; of wrong decisions where scores are no probabilities",
        better: Better::Neither,
        sums: &[Sum::LogLossMoments, Sum::Positives, Sum::TruePositives, Sum::FalsePositives],
        finish: |s| super::total_loss(s) / s.whole_loss,
        ..SHARE
    },
    Metric {
        name: "positive_rate",
        meaning: "share of predictions, labeled or not, with a positive decision",
        sums: &[Sum::PositiveDecisions, Sum::ScoreMoments],
        finish: |s| s.get(Sum::PositiveDecisions) / s.moments(Sum::ScoreMoments).count,
        interval: Some(|s| interval::of_share(s.get(Sum::PositiveDecisions), s.moments(Sum::ScoreMoments).count)),
        ..UNLABELED
    },
    Metric {
        name: "score_mean",
        meaning: "mean score of predictions, labeled or not",
        sums: &[Sum::ScoreMoments],
        finish: |s| s.moments(Sum::ScoreMoments).mean(),
        interval: Some(|s| {
            let scores = s.moments(Sum::ScoreMoments);
            interval::of_mean(scores.mean(), scores.centred, scores.count)
        }),
        ..UNLABELED
    },
    Metric {
        name: "score_entropy",
        meaning: "mean of -(p ln p + (1 - p) ln(1 - p)) over the scores of predictions, in nats: 0 for sure ones, 0.693 for 0.5",
        unit: Unit::Number,
        task: Applies::Probabilities,
        sums: &[Sum::ScoreEntropy, Sum::ScoreMoments],
        finish: |s| s.get(Sum::ScoreEntropy) / s.moments(Sum::ScoreMoments).count,
        ..UNLABELED
    },
    Metric {
        name: "coverage_of_positive",
        meaning: "share of predictions with a positive decision that have a usable label: decisions may choose what gets one",
        sums: &[Sum::PositiveDecisions, Sum::TruePositives, Sum::FalsePositives],
        finish: |s| (s.get(Sum::TruePositives) + s.get(Sum::FalsePositives)) / s.get(Sum::PositiveDecisions),
        interval: Some(|s| {
            let labeled = s.get(Sum::TruePositives) + s.get(Sum::FalsePositives);
            interval::of_share(labeled, s.get(Sum::PositiveDecisions))
        }),
        ..UNLABELED
    },
    Metric {
        name: "coverage_of_negative",
        meaning: "share of predictions with a negative decision that have a usable label",
        sums: &[Sum::PositiveDecisions, Sum::TruePositives, Sum::FalsePositives, Sum::ScoreMoments],
        finish: |s| negative_coverage(s).map_or(f64::NAN, |(labeled, all)| labeled / all),
        interval: Some(|s| negative_coverage(s).and_then(|(labeled, all)| interval::of_share(labeled, all))),
        ..UNLABELED
    },
    quantile("score_p05", "5th percentile of the score, within 0.0005 of a probability", |s| score_quantile(s, 0.05)),
    quantile("score_p25", "25th percentile of the score, within 0.0005 of a probability", |s| score_quantile(s, 0.25)),
    quantile("score_p50", "median of the score, within 0.0005 of a probability", |s| score_quantile(s, 0.5)),
    quantile("score_p75", "75th percentile of the score, within 0.0005 of a probability", |s| score_quantile(s, 0.75)),
    quantile("score_p95", "95th percentile of the score, within 0.0005 of a probability", |s| score_quantile(s, 0.95)),
    Metric {
        name: "unusable_scores",
        meaning: "predictions whose score is NULL, not a number, or not a probability where it should be one",
        unit: Unit::Count,
        better: Better::Lower,
        sums: &[Sum::UnusableScores],
        implies: &[],
        finish: |s| s.get(Sum::UnusableScores),
        ..UNLABELED
    },
];
