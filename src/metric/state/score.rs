//! Bins of scores: fixed forever, sparse, and fine at both ends, where scores of rare classes crowd.
//!
//! A probability p is in bin ⌊10·ln(p/(1−p)) + 1000·p⌋: a thousand bins of equal width, and where they are too coarse, ten for each
//! unit of log-odds. Other scores are in the bins of [`histogram`].

use super::histogram;
use crate::metric::task::{Scores, Task};

/// Probabilities closer to 0 or 1 count as this close.
pub const EDGE: f64 = 1e-12;

/// Returns the SQL for the bin of a score that is not null.
pub fn bin_sql(score: &str, task: &Task) -> String {
    match task.binary().map(|binary| binary.scores) {
        Some(Scores::Any) | None => histogram::bin_sql(score),
        Some(Scores::Probabilities) => {
            let q = format!("least(greatest({score}, {EDGE:e}), 1 - {EDGE:e}::float8)");
            format!("floor(10 * ln({q} / (1 - {q})) + 1000 * {score})::int")
        }
    }
}

/// Returns the score that represents a bin: for a probability the middle of the bin, within 0.0005 of every score in it.
pub fn value_of(bin: i32, scores: Scores) -> f64 {
    match scores {
        Scores::Any => histogram::value_of(bin),
        Scores::Probabilities => probability_at(f64::from(bin) + 0.5),
    }
}

/// Inverts 10·ln(p/(1−p)) + 1000·p, by bisection over the log-odds.
fn probability_at(place: f64) -> f64 {
    let probability = |log_odds: f64| 1.0 / (1.0 + (-log_odds).exp());
    let (mut low, mut high) = (-28.0, 28.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if 10.0 * middle + 1_000.0 * probability(middle) < place {
            low = middle;
        } else {
            high = middle;
        }
    }
    probability(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_within_half_a_thousandth_of_its_bin() {
        let bin = |p: f64| (10.0 * (p / (1.0 - p)).ln() + 1_000.0 * p).floor();
        for n in 1..10_000 {
            let p = f64::from(n) / 10_000.0;
            #[expect(clippy::cast_possible_truncation, reason = "bins are within 1,300")]
            let value = value_of(bin(p) as i32, Scores::Probabilities);
            assert!((value - p).abs() <= 0.0005 + 1e-12, "{p}: {value}");
        }
    }

    #[test]
    fn scores_close_to_an_edge_are_told_apart() {
        let (rare, rarer) = (value_of(-92, Scores::Probabilities), value_of(-115, Scores::Probabilities));
        assert!(rarer > 0.0 && rare > 9.0 * rarer, "{rare} {rarer}");
    }
}
