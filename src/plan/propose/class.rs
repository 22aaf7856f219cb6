//! Labels with two classes: the columns that can hold them, and the class that is positive.

use super::agree::Agreement;
use super::words::{self, Says};
use super::{ColumnInfo, ColumnKind, TableInfo};

/// Minimum number of labels; with fewer, two numbers are no evidence of classes.
const ENOUGH: i64 = 20;
/// Minimum rank correlation, as a share of the best one, that decides between two classes.
const FOLLOWS: f64 = 0.3;
/// Length of the longest class in characters: longer ones are free text.
const LONGEST: usize = 60;
/// Words that are positive, and negative, where a job declares neither.
const USUAL: [&str; 2] = ["1 true t yes y", "0 false f no n"];

/// Values of a column over the labels of a sample of predictions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub column: String,
    pub kind: ColumnKind,
    /// The two most frequent values and their number, the most frequent first.
    pub most: Vec<(String, i64)>,
    pub distinct: i64,
}

/// The reason why a class is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Both are positive and negative by default: nothing is declared.
    Usual,
    /// One says yes and the other no, in another spelling than the default.
    Truth,
    Rarer,
    /// Both are numbers.
    Greater,
    /// Its predictions are higher, although it is the more frequent one.
    Higher,
}

/// The two classes of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    pub column: String,
    pub kind: ColumnKind,
    pub positive: String,
    pub negative: String,
    pub labels: i64,
    pub positives: i64,
    pub reason: Reason,
}

/// Columns of a table that may hold classes, other than its key. A named column is the only one in question.
pub fn in_question<'a>(table: &'a TableInfo, key: &str, named: Option<&str>) -> Vec<&'a ColumnInfo> {
    let is_number = |c: &ColumnInfo| matches!(c.kind, ColumnKind::Integer | ColumnKind::Number);
    let can = |c: &&ColumnInfo| match named {
        Some(named) => c.name == named && (is_number(c) || is_word(c.kind)),
        None => c.name != key && (may_be_words(c) || (is_number(c) && !words::is_key(&c.name))),
    };
    table.columns.iter().filter(can).collect()
}

/// True for classes that are not numbers.
pub fn is_word(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Boolean | ColumnKind::Text)
}

/// True if a column may hold classes that are not numbers, by its type, its name and the planner's estimate.
pub(super) fn may_be_words(column: &ColumnInfo) -> bool {
    match column.kind {
        ColumnKind::Boolean => true,
        ColumnKind::Text => {
            !column.is_unique && !words::is_key(&column.name) && column.distinct.is_none_or(|distinct| distinct < 3.0)
        }
        _ => false,
    }
}

impl Values {
    /// The classes, if these values are two: of a boolean always, of numbers only with enough labels.
    pub fn classes(&self) -> Option<Classes> {
        let labels = self.most.iter().map(|(_, labels)| labels).sum();
        let classes = |positive: &str, reason| Classes {
            column: self.column.clone(),
            kind: self.kind,
            positive: positive.to_owned(),
            negative: self
                .most
                .iter()
                .find(|(value, _)| value != positive)
                .map_or("false", |(value, _)| value)
                .to_owned(),
            labels,
            positives: self.most.iter().find(|(value, _)| value == positive).map_or(0, |(_, labels)| *labels),
            reason,
        };
        if self.kind == ColumnKind::Boolean {
            return Some(classes("true", Reason::Usual));
        }
        let [(frequent, _), (rare, _)] = self.most.as_slice() else { return None };
        if self.distinct != 2 || frequent.chars().count().max(rare.chars().count()) > LONGEST {
            return None;
        }
        let says = |word: &str, truth: usize| USUAL[truth].split(' ').any(|usual| usual == word);
        let yes = [frequent, rare].into_iter().find(|word| says(&word.to_lowercase(), 0));
        let is_truth = yes.is_some() && [frequent, rare].iter().any(|word| says(&word.to_lowercase(), 1));
        let is_usual = is_truth && [frequent, rare].iter().all(|word| says(word, 0) || says(word, 1));
        match (self.kind, yes.filter(|_| is_truth)) {
            (ColumnKind::Integer | ColumnKind::Number, _) if labels < ENOUGH => None,
            (_, Some(yes)) => Some(classes(yes, if is_usual { Reason::Usual } else { Reason::Truth })),
            (ColumnKind::Number, None) => None,
            (ColumnKind::Integer, None) => {
                let number = |word: &str| word.parse::<i64>().unwrap_or(i64::MIN);
                let greater = if number(frequent) > number(rare) { frequent } else { rare };
                Some(classes(greater, Reason::Greater))
            }
            (_, None) => Some(classes(rare, Reason::Rarer)),
        }
    }
}

impl Classes {
    /// True for numbers 0 and 1, which can be compared with predictions as they are.
    pub fn is_number(&self) -> bool {
        !is_word(self.kind) && self.reason == Reason::Usual
    }

    /// Share of positive labels.
    #[expect(clippy::cast_precision_loss, reason = "labels of a sample")]
    pub fn rate(&self) -> f64 {
        self.positives as f64 / self.labels.max(1) as f64
    }

    /// Makes the more frequent class positive where predictions are higher for it. True if it did.
    pub fn turn(&mut self, evidence: &[Agreement]) -> bool {
        let predicts = |a: &&Agreement| a.actual == self.column && words::score(&a.value) >= Says::Weakly;
        let follows: Vec<f64> = evidence.iter().filter(predicts).map(Agreement::follows).collect();
        let is_lower = follows.iter().any(|rank| *rank <= -FOLLOWS) && !follows.iter().any(|rank| *rank >= FOLLOWS);
        let turns = is_lower && self.reason == Reason::Rarer;
        if turns {
            std::mem::swap(&mut self.positive, &mut self.negative);
            (self.positives, self.reason) = (self.labels - self.positives, Reason::Higher);
        }
        turns
    }

    /// One line about the positive class, for the user to check. `None` where there was no choice.
    pub fn note(&self) -> Option<String> {
        let (positive, negative, share) = (&self.positive, &self.negative, 100.0 * self.rate());
        let of =
            format!("`{positive}` ({share:.1} %) and `{negative}` ({:.1} %) of {} labels", 100.0 - share, self.labels);
        let why = match self.reason {
            Reason::Usual | Reason::Truth => return None,
            Reason::Rarer => "the rarer",
            Reason::Greater => "the greater",
            Reason::Higher => "the one with higher predictions",
        };
        Some(format!(
            "positive label `{positive}`: {why} of {of}; to change it, swap `positive` and `negative` under [model]"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kind: ColumnKind, most: &[(&str, i64)]) -> Values {
        let most: Vec<(String, i64)> = most.iter().map(|(value, labels)| ((*value).to_owned(), *labels)).collect();
        Values { column: "y".into(), kind, distinct: i64::try_from(most.len()).unwrap(), most }
    }

    #[test]
    fn the_positive_class_is_the_usual_one_or_the_rarer_word_or_the_greater_number() {
        use ColumnKind::{Boolean, Integer, Number, Text};
        for (kind, most, expected) in [
            (Boolean, &[("false", 90), ("true", 10)][..], Some(("true", "false", Reason::Usual))),
            (Boolean, &[("false", 90)], Some(("true", "false", Reason::Usual))),
            (Integer, &[("1", 60), ("0", 40)], Some(("1", "0", Reason::Usual))),
            (Integer, &[("1", 6), ("0", 4)], None),
            (Integer, &[("1", 60), ("2", 40)], Some(("2", "1", Reason::Greater))),
            (Integer, &[("1", 60), ("-1", 70)], Some(("1", "-1", Reason::Greater))),
            (Number, &[("0", 60), ("1", 40)], Some(("1", "0", Reason::Usual))),
            (Number, &[("0.5", 60), ("1", 40)], None),
            (Text, &[("fine", 3), ("fraud", 2)], Some(("fraud", "fine", Reason::Rarer))),
            (Text, &[("yes", 3), ("no", 2)], Some(("yes", "no", Reason::Usual))),
            (Text, &[("True", 30), ("False", 20)], Some(("True", "False", Reason::Truth))),
            (Text, &[("yes", 3), ("maybe", 2)], Some(("maybe", "yes", Reason::Rarer))),
            (Text, &[("fine", 3)], None),
        ] {
            let found = values(kind, most).classes();
            let found = found.as_ref().map(|two| (two.positive.as_str(), two.negative.as_str(), two.reason));
            assert_eq!(found, expected, "{most:?}");
        }
        assert_eq!(Values { distinct: 3, ..values(Text, &[("a", 3), ("b", 2)]) }.classes(), None);
    }

    #[test]
    fn the_class_with_higher_scores_is_positive_even_if_it_is_frequent() {
        let mut two = values(ColumnKind::Text, &[("approved", 80), ("rejected", 20)]).classes().unwrap();
        let agreement = |rank| Agreement {
            value: "score".into(),
            actual: "y".into(),
            pairs: 100,
            rank: Some(rank),
            distance: Some(1.0),
            equal: 0.0,
            inside: 1.0,
            positive: Some(0.2),
        };
        assert!(!two.turn(&[agreement(0.5)]) && !two.turn(&[agreement(-0.1)]) && two.positive == "rejected");
        assert!(two.turn(&[agreement(-0.5)]));
        assert_eq!((two.positive.as_str(), two.positives), ("approved", 80));
        assert!(
            two.note()
                .unwrap()
                .contains("the one with higher predictions of `approved` (80.0 %) and `rejected` (20.0 %)")
        );
        assert!(!two.turn(&[agreement(0.5)]), "once");
    }
}
