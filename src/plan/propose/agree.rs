//! Which column is the prediction and which the label: from their names and from how they agree over rows that both have.
//! What cannot be decided is a [`Doubt`], never a guess.

use std::fmt;

use super::words::{self, Says};

/// Rows with both values below which agreement says nothing.
const ENOUGH: i64 = 20;
/// Mean error in spreads of the label up to which a column is near it. The best constant has 1.
const NEAR: f64 = 0.8;
/// The same for one whose scale is right, and which predicts badly.
pub(super) const SAME_SCALE: f64 = 1.5;
/// A rank correlation that is more than chance.
const FOLLOWS: f64 = 0.3;
/// The nearest is so many times nearer than the next, or they are equal.
pub(super) const CLEARLY: f64 = 1.5;

/// How a column of predictions goes with one of labels, over rows that have both.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    pub value: String,
    pub actual: String,
    pub pairs: i64,
    /// Spearman's rank correlation. None where one side is constant.
    pub rank: Option<f64>,
    /// Mean error in spreads of the label: the smaller of the ratios of absolute and of squared errors to those of the best
    /// constant. None where the label is constant.
    pub distance: Option<f64>,
    /// Share of rows where both are the same.
    pub equal: f64,
    /// Share of rows where the value lies within the range of the label.
    pub inside: f64,
    /// Of a label with two values, the share of the higher one.
    pub positive: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    Apart,
    Unknown,
    /// With the label, on another scale or badly.
    Follows,
    Near,
}

impl Agreement {
    pub(super) fn grade(&self) -> Grade {
        let (Some(distance), true) = (self.distance, self.pairs >= ENOUGH) else { return Grade::Unknown };
        let rank = self.rank.unwrap_or(0.0) / self.best_rank();
        match (distance, rank) {
            (near, rank) if near < NEAR && rank >= FOLLOWS => Grade::Near,
            (distance, rank) if rank >= FOLLOWS || (distance < 1.1 && rank > 0.0) => Grade::Follows,
            _ => Grade::Apart,
        }
    }

    /// The rank correlation of a score that tells two values of a label apart without a mistake: less than 1, as each value
    /// stands for many ranks.
    fn best_rank(&self) -> f64 {
        self.positive.map_or(1.0, |p| (3.0 * p * (1.0 - p)).sqrt().clamp(0.01, 1.0))
    }

    pub(super) fn is_probability(&self) -> bool {
        self.positive.is_some() && self.inside > 0.999
    }

    /// A column with the same values is the label itself, not what somebody predicted.
    pub(super) fn is_copy(&self) -> bool {
        self.pairs >= ENOUGH && self.equal > 0.999
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.distance, self.rank) {
            _ if self.pairs < ENOUGH => write!(f, "only {} rows with both", self.pairs),
            (Some(distance), Some(rank)) => {
                write!(f, "rank correlation {rank:.2}, off by {distance:.2} of the label's spread")
            }
            (Some(distance), None) => write!(f, "constant, off by {distance:.2} of the label's spread"),
            (None, _) => f.write_str("the label is constant"),
        }
    }
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub column: String,
    pub why: String,
    /// What came second, or what a reader should look at.
    pub notes: Vec<String>,
}

/// Why a column could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub why: String,
    /// What decides it.
    pub flag: &'static str,
    /// Those in question, the likeliest first.
    pub candidates: Vec<String>,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. Name the right column with `{}`", self.why, self.flag)?;
        match self.candidates.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.candidates.join(", ")),
        }
    }
}

pub(super) fn given(column: &str) -> Choice {
    Choice { column: column.to_owned(), why: "as named".to_owned(), notes: Vec::new() }
}

/// Whether two names have a word in common that is more than a filling.
pub(super) fn shared(one: &str, other: &str) -> bool {
    let says_something = |word: &String| {
        !["y", "value", "is", "at"].contains(&word.as_str())
            && words::prediction(word) == Says::Nothing
            && words::label(word) == Says::Nothing
    };
    let others = words::tokens(other);
    words::tokens(one).iter().filter(|word| says_something(word)).any(|word| others.contains(word))
}
