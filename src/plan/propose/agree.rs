//! Agreement of a prediction column with a label column over rows that have both: evidence in addition to their names.
//! An undecided choice is a [`Doubt`], never a guess.

use std::fmt;

use super::words::{self, Says};

/// Minimum number of rows with both values; with fewer, agreement is no evidence.
const ENOUGH: i64 = 20;
/// A column is near the label if its mean error, in spreads of the label, is below this. The best constant has 1.
const NEAR: f64 = 0.8;
/// The same for a column that has the right scale but predicts badly.
pub(super) const SAME_SCALE: f64 = 1.5;
/// Minimum rank correlation that is more than chance.
const FOLLOWS: f64 = 0.3;
/// The nearest must be this many times nearer than the next; otherwise they are equal.
pub(super) const CLEARLY: f64 = 1.5;

/// Agreement of a prediction column with a label column, over rows that have both.
#[derive(Debug, Clone, PartialEq)]
pub struct Agreement {
    pub value: String,
    pub actual: String,
    pub pairs: i64,
    /// Spearman's rank correlation; `None` if one side is constant.
    pub rank: Option<f64>,
    /// Mean error in spreads of the label: the smaller of the ratios of absolute and of squared errors to those of the best
    /// constant; `None` if the label is constant.
    pub distance: Option<f64>,
    /// Share of rows where both are equal.
    pub equal: f64,
    /// Share of rows where the value lies within the range of the label.
    pub inside: f64,
    /// Share of the higher value, for a label with two values.
    pub positive: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    Apart,
    Unknown,
    /// Correlates with the label, but on another scale or badly.
    Follows,
    Near,
}

impl Agreement {
    pub(super) fn grade(&self) -> Grade {
        let (Some(distance), true) = (self.distance, self.pairs >= ENOUGH) else { return Grade::Unknown };
        let rank = self.share_of_best();
        match (distance, rank) {
            (near, rank) if near < NEAR && rank >= FOLLOWS => Grade::Near,
            (distance, rank) if rank >= FOLLOWS || (distance < 1.1 && rank > 0.0) => Grade::Follows,
            _ => Grade::Apart,
        }
    }

    fn share_of_best(&self) -> f64 {
        self.rank.unwrap_or(0.0) / self.best_rank()
    }

    /// Rank correlation as a share of the best possible one; 0 if there are too few rows.
    pub(super) fn follows(&self) -> f64 {
        if self.pairs >= ENOUGH { self.share_of_best() } else { 0.0 }
    }

    /// The rank correlation of a score that perfectly separates two label values: less than 1, because each value covers
    /// many ranks.
    fn best_rank(&self) -> f64 {
        self.positive.map_or(1.0, |p| (3.0 * p * (1.0 - p)).sqrt().clamp(0.01, 1.0))
    }

    pub(super) fn is_probability(&self) -> bool {
        self.positive.is_some() && self.inside > 0.999
    }

    /// A column with the same values is the label itself, not a prediction.
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

/// The chosen column, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub column: String,
    pub why: String,
    /// The runner-up, and points for the user to check.
    pub notes: Vec<String>,
}

/// The reason why a column could not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    pub why: String,
    /// The command line flag that resolves the doubt.
    pub flag: &'static str,
    /// The columns in question, most likely first.
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

/// True if two names share a word that carries meaning.
pub(super) fn shared(one: &str, other: &str) -> bool {
    let says_something = |word: &String| {
        !["y", "value", "is", "at"].contains(&word.as_str())
            && words::prediction(word) == Says::Nothing
            && words::label(word) == Says::Nothing
    };
    let others = words::tokens(other);
    words::tokens(one).iter().filter(|word| says_something(word)).any(|word| others.contains(word))
}
