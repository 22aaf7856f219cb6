//! Metrics of two classes, recomputed from pairs. Shares no code with the engine.

/// A score with its label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labeled {
    pub score: f64,
    pub positive: bool,
}

/// A mistake planted in the recompute, which must then disagree with the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A score equal to the threshold is a negative decision.
    Threshold,
    /// A score on the edge of a calibration bin is in the bin below.
    BinEdge,
    /// Positive is negative.
    SwappedClasses,
    /// Ties count as won.
    Ties,
    /// Only labeled predictions have a decision.
    LabeledOnly,
}

pub(super) const FAULTS: [Fault; 5] =
    [Fault::Threshold, Fault::BinEdge, Fault::SwappedClasses, Fault::Ties, Fault::LabeledOnly];

/// Metrics that histories of classes keep.
pub(super) const METRICS: [&str; 12] = [
    "accuracy",
    "precision",
    "recall",
    "mcc",
    "base_rate",
    "auc",
    "pr_auc",
    "log_loss",
    "brier",
    "ece",
    "positive_rate",
    "precision_at_top",
];

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn count(of: usize) -> f64 {
    of as f64
}

/// A metric by name, from pairs and from the scores of all predictions; `None` where it has no value.
pub(super) fn metric(pairs: &[Labeled], scores: &[f64], name: &str, fault: Option<Fault>) -> Option<f64> {
    let swapped = fault == Some(Fault::SwappedClasses);
    let pairs: Vec<Labeled> = pairs.iter().map(|one| Labeled { positive: one.positive != swapped, ..*one }).collect();
    let decided = |score: f64| if fault == Some(Fault::Threshold) { score > 0.5 } else { score >= 0.5 };
    let n = count(pairs.len());
    let number = |is: &dyn Fn(&Labeled) -> bool| count(pairs.iter().filter(|one| is(one)).count());
    let (tp, fp) =
        (number(&|one| one.positive && decided(one.score)), number(&|one| !one.positive && decided(one.score)));
    let (positives, negatives) = (number(&|one| one.positive), number(&|one| !one.positive));
    let of = |value: f64, all: f64| (all > 0.0).then(|| value / all);
    let mean = |value: &dyn Fn(&Labeled) -> f64| of(pairs.iter().map(value).sum(), n);
    let truth = |one: &Labeled| if one.positive { 1.0 } else { 0.0 };
    match name {
        "accuracy" => of(tp + negatives - fp, n),
        "precision" => of(tp, tp + fp),
        "recall" => of(tp, positives),
        "base_rate" => of(positives, n),
        "mcc" => {
            let (tn, fn_) = (negatives - fp, positives - tp);
            of(tp * tn - fp * fn_, ((tp + fp) * positives * negatives * (tn + fn_)).sqrt())
        }
        "log_loss" => mean(&|one| -(if one.positive { one.score } else { 1.0 - one.score }).max(1e-15).ln()),
        "brier" => mean(&|one| (one.score - truth(one)).powi(2)),
        "ece" => {
            let bin = |score: f64| {
                let place =
                    if fault == Some(Fault::BinEdge) { (score * 10.0).ceil() - 1.0 } else { (score * 10.0).floor() };
                place.clamp(0.0, 9.0)
            };
            let gap = |at: f64| {
                let inside = pairs.iter().filter(|one| (bin(one.score) - at).abs() < 0.5);
                inside.map(|one| one.score - truth(one)).sum::<f64>().abs()
            };
            of((0..10).map(|at| gap(f64::from(at))).sum(), n)
        }
        "positive_rate" => {
            let labeled: Vec<f64> = pairs.iter().map(|one| one.score).collect();
            let scores = if fault == Some(Fault::LabeledOnly) { &labeled[..] } else { scores };
            of(count(scores.iter().filter(|score| decided(**score)).count()), count(scores.len()))
        }
        "auc" => of(won(&pairs, fault == Some(Fault::Ties)), positives * negatives),
        "pr_auc" => average_precision(&pairs, positives),
        "precision_at_top" => top(&pairs, 0.25),
        other => panic!("no metric `{other}`"),
    }
}

/// Pairs of a positive and a negative in which the positive has the higher score; a tie is half of one.
fn won(pairs: &[Labeled], ties: bool) -> f64 {
    let mut sum = 0.0;
    for one in pairs.iter().filter(|one| one.positive) {
        for other in pairs.iter().filter(|other| !other.positive) {
            let tie = if ties { 1.0 } else { 0.5 };
            sum += if one.score > other.score {
                1.0
            } else if one.score < other.score {
                0.0
            } else {
                tie
            };
        }
    }
    sum
}

fn average_precision(pairs: &[Labeled], positives: f64) -> Option<f64> {
    let precision = |at: f64| {
        let above = pairs.iter().filter(|one| one.score >= at);
        count(above.clone().filter(|one| one.positive).count()) / count(above.count())
    };
    let sum: f64 = pairs.iter().filter(|one| one.positive).map(|one| precision(one.score)).sum();
    (positives > 0.0).then(|| sum / positives)
}

/// Expected share of positives among the highest quarter of scores, if ties are drawn.
fn top(pairs: &[Labeled], share: f64) -> Option<f64> {
    let wanted = (share * count(pairs.len())).ceil();
    let mut scores: Vec<f64> = pairs.iter().map(|one| one.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    let (mut hits, mut left) = (0.0, wanted);
    scores.dedup();
    for score in scores {
        let here: Vec<&Labeled> = pairs.iter().filter(|one| one.score.total_cmp(&score).is_eq()).collect();
        let taken = left.min(count(here.len()));
        hits += taken * count(here.iter().filter(|one| one.positive).count()) / count(here.len());
        left -= taken;
    }
    (wanted > 0.0).then(|| hits / wanted)
}
