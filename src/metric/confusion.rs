//! Predicted and actual classes of pairs, counted: the confusion matrix, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

/// A class as a number: 31 bits of a hash of its name, so that no list of classes has to be kept in step with the data. Of a thousand
/// classes, two share a number once in 4,000 jobs.
pub type Code = i64;

/// Bits of a code.
const BITS: u32 = 31;

/// Pairs by predicted and actual class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion {
    cells: BTreeMap<(Code, Code), i64>,
}

/// Returns the code of a class.
pub fn code(class: &str) -> Code {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(class.as_bytes());
    let first = digest.iter().take(4).fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    first & ((1 << BITS) - 1)
}

/// SQL of the code of a class, a text that is not null.
pub fn code_sql(class: &str) -> String {
    format!(
        "((('x' || encode(substr(sha256(convert_to({class}, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint) & {})",
        (1_i64 << BITS) - 1
    )
}

/// SQL of the bin of a pair of codes.
pub fn bin_sql(predicted: &str, actual: &str) -> String {
    format!("(({predicted})::bigint << {BITS}) | ({actual})::bigint")
}

/// Correct, predicted and actual pairs of one class.
#[derive(Debug, Clone, Copy, Default)]
struct OfClass {
    correct: f64,
    predicted: f64,
    actual: f64,
}

impl OfClass {
    /// 0 where nothing was predicted, as scikit-learn has it: a class that is never predicted is no gap in the mean.
    fn precision(self) -> f64 {
        if self.predicted > 0.0 { self.correct / self.predicted } else { 0.0 }
    }

    fn recall(self) -> f64 {
        if self.actual > 0.0 { self.correct / self.actual } else { 0.0 }
    }

    fn f1(self) -> f64 {
        2.0 * self.correct / (self.predicted + self.actual)
    }
}

impl Confusion {
    /// Builds it from bins and their counts.
    pub fn new(bins: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut cells = BTreeMap::new();
        for (bin, count) in bins {
            *cells.entry((bin >> BITS, bin & ((1 << BITS) - 1))).or_default() += count;
        }
        Self { cells }
    }

    /// Returns predicted class, actual class and number of pairs.
    pub fn cells(&self) -> impl Iterator<Item = (Code, Code, i64)> + '_ {
        self.cells.iter().map(|((predicted, actual), count)| (*predicted, *actual, *count))
    }

    /// Returns the classes that were predicted or actual.
    pub fn classes(&self) -> BTreeSet<Code> {
        self.cells.keys().flat_map(|(predicted, actual)| [*predicted, *actual]).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn sum(&self, is: impl Fn(Code, Code) -> bool) -> f64 {
        self.cells().filter(|(predicted, actual, _)| is(*predicted, *actual)).map(|(_, _, n)| n as f64).sum()
    }

    /// Pairs whose class is wrong.
    pub fn wrong(&self) -> f64 {
        self.sum(|predicted, actual| predicted != actual)
    }

    /// Share of pairs whose class is right; NaN without pairs.
    pub fn accuracy(&self) -> f64 {
        1.0 - self.wrong() / self.sum(|_, _| true)
    }

    fn by_class(&self) -> Vec<OfClass> {
        let mut of: BTreeMap<Code, OfClass> = BTreeMap::new();
        for (predicted, actual, count) in self.cells() {
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let n = count as f64;
            of.entry(predicted).or_default().predicted += n;
            of.entry(actual).or_default().actual += n;
            if predicted == actual {
                of.entry(actual).or_default().correct += n;
            }
        }
        of.into_values().collect()
    }

    fn macro_mean(&self, of: fn(OfClass) -> f64) -> f64 {
        let classes = self.by_class();
        #[expect(clippy::cast_precision_loss, reason = "a few classes")]
        let n = classes.len() as f64;
        classes.into_iter().map(of).sum::<f64>() / n
    }

    fn weighted_mean(&self, of: fn(OfClass) -> f64) -> f64 {
        let classes = self.by_class();
        let all: f64 = classes.iter().map(|class| class.actual).sum();
        classes.into_iter().map(|class| class.actual * of(class)).sum::<f64>() / all
    }

    /// Mean over classes, each counting the same; NaN without pairs.
    pub fn macro_precision(&self) -> f64 {
        self.macro_mean(OfClass::precision)
    }

    pub fn macro_recall(&self) -> f64 {
        self.macro_mean(OfClass::recall)
    }

    pub fn macro_f1(&self) -> f64 {
        self.macro_mean(OfClass::f1)
    }

    /// Mean over classes, each counting as often as it is the label; NaN without pairs.
    pub fn weighted_precision(&self) -> f64 {
        self.weighted_mean(OfClass::precision)
    }

    pub fn weighted_recall(&self) -> f64 {
        self.weighted_mean(OfClass::recall)
    }

    pub fn weighted_f1(&self) -> f64 {
        self.weighted_mean(OfClass::f1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(pairs: &[(&str, &str, i64)]) -> Confusion {
        Confusion::new(pairs.iter().map(|(predicted, actual, n)| ((code(predicted) << BITS) | code(actual), *n)))
    }

    /// `precision_score`, `recall_score`, `f1_score` of scikit-learn 1.9.1 with `average` and `zero_division=0`.
    #[test]
    fn means_over_classes_equal_scikit_learn() {
        let found =
            confusion(&[("a", "a", 5), ("a", "b", 2), ("b", "b", 3), ("b", "c", 1), ("b", "a", 1), ("d", "c", 4)]);
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value} {expected}");
        close(found.accuracy(), 0.5);
        close(found.macro_precision(), 0.328_571_428_571_428_6);
        close(found.macro_recall(), 0.358_333_333_333_333_3);
        close(found.macro_f1(), 0.342_307_692_307_692_3);
        close(found.weighted_precision(), 0.455_357_142_857_142_9);
        close(found.weighted_recall(), 0.5);
        close(found.weighted_f1(), 0.475_961_538_461_538_5);
        assert!(Confusion::default().accuracy().is_nan() && Confusion::default().macro_f1().is_nan());
    }

    #[test]
    fn cells_are_read_back_as_they_were_counted() {
        let found = confusion(&[("tech", "billing", 2), ("tech", "billing", 1), ("", "ü", 4)]);
        let cells: Vec<_> = found.cells().collect();
        assert_eq!(cells.len(), 2);
        assert!(cells.contains(&(code("tech"), code("billing"), 3)) && cells.contains(&(code(""), code("ü"), 4)));
        assert_eq!(found.classes().len(), 4);
    }
}
