//! Predictions as scores of two classes: whether they are probabilities, and the threshold that decides.

use super::class::{self, Classes};

/// The usual threshold of a probability.
const HALF: f64 = 0.5;
/// Number of positive, and of negative, labels from which on an AUC is steady.
const STEADY: f64 = 30.0;
/// Number of positive labels with which an AUC has an interval.
const INTERVAL: f64 = 10.0;

/// Distribution of a score over a sample of predictions, without NULL and NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    pub count: i64,
    /// Below 0 or above 1.
    pub outside: i64,
    /// Exactly 0 or 1.
    pub sure: i64,
    /// At least 0.5.
    pub reached: i64,
    /// The score that as many predictions reach as labels are positive.
    pub as_rare: Option<f64>,
}

/// Labels over the last sixty days that have any.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    pub days: f64,
    pub labels: i64,
    pub positives: i64,
    /// Share of predictions with a label, of those whose labels had time to arrive.
    pub coverage: Option<f64>,
}

/// A task with two classes, and what a job file says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    pub classes: Classes,
    pub scores: Scores,
    pub history: History,
    /// 5th percentile of the AUC of the windows of the chosen length and the number of these windows.
    pub usual_auc: Option<(f64, i64)>,
}

/// The kind of label that a column is.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Number,
    /// Labels are only 0 and 1, but predictions are no probabilities of them.
    Unscored,
    Binary(Box<Binary>),
}

impl Scores {
    /// True if these predictions can be scores of a class: probabilities, or any number if the label is none.
    pub fn fit(&self, classes: &Classes) -> bool {
        class::is_word(classes.kind) || (self.count > 0 && self.outside == 0)
    }

    /// True if they are probabilities; decisions of 0 and 1 only have an order.
    pub fn are_probabilities(&self) -> bool {
        self.outside == 0 && self.sure < self.count
    }

    /// The score from which on a decision is positive: one half where that decides anything, else the score that as many
    /// predictions reach as labels are positive.
    pub fn threshold(&self) -> (f64, bool) {
        let is_decided = self.reached > 0 && self.reached < self.count;
        match self.as_rare.map(rounded_down) {
            _ if self.outside == 0 && is_decided => (HALF, true),
            Some(rare) if rare.is_finite() && rare != 0.0 => (rare, false),
            _ => (HALF, true),
        }
    }
}

impl History {
    /// Labels of the rarer class in a day.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn rare(&self) -> f64 {
        self.positives.min(self.labels - self.positives) as f64 / self.days.max(1.0)
    }

    /// The shortest window that holds enough labels of both classes: rolling and tumbling, and its length in days.
    pub fn window(&self) -> (&'static str, &'static str, i32) {
        match self.rare() {
            rare if rare >= STEADY => ("24h", "1d", 1),
            rare if rare * 7.0 >= STEADY => ("7d", "1w", 7),
            _ => ("28d", "1mo", 28),
        }
    }

    /// Labels that a window needs for an interval of its AUC: about ten of the rarer class, and at most two thirds of the usual
    /// number of labels.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
    pub fn enough(&self) -> i64 {
        let (labels, (_, _, days)) = (self.labels as f64 / self.days.max(1.0), self.window());
        let needed = INTERVAL * labels / self.rare().max(1e-9);
        needed.min(labels * f64::from(days) * 2.0 / 3.0).max(3.0) as i64
    }
}

/// Three digits, not above the number.
fn rounded_down(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return number;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a float")]
    let digits = 2 - number.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits.clamp(-300, 300));
    // Division by a whole power of ten keeps the digits short.
    if digits >= 0 { (number * scale).floor() / scale } else { number.floor() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_decides_something() {
        let scores = Scores { count: 100, outside: 0, sure: 0, reached: 10, as_rare: Some(0.123_45) };
        assert_eq!(scores.threshold(), (0.5, true));
        assert_eq!(Scores { reached: 0, ..scores }.threshold(), (0.123, false));
        assert_eq!(Scores { reached: 100, as_rare: None, ..scores }.threshold(), (0.5, true));
        assert_eq!(Scores { outside: 100, as_rare: Some(-3.21), ..scores }.threshold(), (-3.21, false));
        assert_eq!(Scores { outside: 100, as_rare: Some(712.34), ..scores }.threshold(), (712.0, false));
        assert!(scores.are_probabilities() && !Scores { sure: 100, ..scores }.are_probabilities());
    }

    #[test]
    fn windows_hold_enough_of_both_classes() {
        let history = |labels, positives| History { days: 60.0, labels, positives, coverage: None };
        assert_eq!((history(60_000, 6_000).window().0, history(60_000, 6_000).enough()), ("24h", 100));
        assert_eq!((history(60_000, 59_600).window().0, history(6_000, 60).window().0), ("7d", "28d"));
        // Few positives: not more labels than there usually are.
        assert_eq!((history(6_000, 0).enough(), history(0, 0).enough()), (1_866, 3));
    }
}
