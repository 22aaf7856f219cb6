//! Gaps between groups of people: how much better or worse a model treats one of them than the group it is compared with.

use std::sync::Arc;

use crate::metric::interval::{self, Interval};
use crate::metric::state::{Sum, TENTHS};
use crate::metric::{Better, Sums};

/// Fewer labels of the class that a share is of say nothing about a group.
const FEWEST: f64 = 10.0;

/// A quantity that is compared between groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Greatest difference of recall.
    TprGap,
    /// Greatest difference of the false positive rate.
    FprGap,
    /// Least quotient of the shares of positive decisions.
    SelectionRatio,
    /// Greatest difference of the expected calibration error.
    EceGap,
}

/// All comparisons.
pub const COMPARISONS: [Comparison; 4] =
    [Comparison::TprGap, Comparison::FprGap, Comparison::SelectionRatio, Comparison::EceGap];

/// The group that others are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The one with the most predictions in the window.
    Largest,
    /// The one with this value.
    Value(String),
}

/// A comparison of the groups of one dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Fairness {
    pub name: Arc<str>,
    pub meaning: String,
    pub comparison: Comparison,
    /// The dimension whose values are the groups.
    pub by: String,
    pub reference: Reference,
    /// Groups with fewer predictions in the window are left out.
    pub min_group: i64,
}

/// One group in a window.
pub struct Group<'a> {
    /// Its value; `None` is NULL.
    pub value: Option<String>,
    pub sums: Sums<'a>,
}

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    pub value: f64,
    pub interval: Option<Interval>,
    /// The group that differs most, with its number and that of the reference.
    pub note: String,
}

impl Comparison {
    /// Its name as a metric.
    pub fn name(self) -> &'static str {
        match self {
            Self::TprGap => "tpr_gap",
            Self::FprGap => "fpr_gap",
            Self::SelectionRatio => "selection_ratio",
            Self::EceGap => "ece_gap",
        }
    }

    /// Its meaning, for explanations.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::TprGap => "greatest difference of recall between a group and the reference",
            Self::FprGap => "greatest difference of the false positive rate between a group and the reference",
            Self::SelectionRatio => {
                "least share of positive decisions of a group, divided by that of the reference or the other way round"
            }
            Self::EceGap => "greatest difference of the expected calibration error between a group and the reference",
        }
    }

    pub fn better(self) -> Better {
        if self == Self::SelectionRatio { Better::Higher } else { Better::Lower }
    }

    pub fn sums(self) -> Vec<Sum> {
        match self {
            Self::TprGap | Self::FprGap => vec![Sum::Positives, Sum::TruePositives, Sum::FalsePositives],
            Self::SelectionRatio => vec![Sum::PositiveDecisions, Sum::ScoreMoments],
            Self::EceGap => {
                let of = |tenth| {
                    [Sum::CalibrationCount(tenth), Sum::CalibrationScore(tenth), Sum::CalibrationPositives(tenth)]
                };
                (0..TENTHS).flat_map(of).collect()
            }
        }
    }

    /// Part and whole of the share that is compared. `None` for what is no share.
    fn share(self, sums: &Sums<'_>) -> Option<(f64, f64)> {
        match self {
            Self::TprGap => Some((sums.get(Sum::TruePositives), sums.get(Sum::Positives))),
            Self::FprGap => Some((sums.get(Sum::FalsePositives), sums.n() - sums.get(Sum::Positives))),
            Self::SelectionRatio => Some((sums.get(Sum::PositiveDecisions), sums.moments(Sum::ScoreMoments).count)),
            Self::EceGap => None,
        }
    }

    /// The number of a group, if enough of it is there.
    fn of_group(self, sums: &Sums<'_>) -> Option<f64> {
        match self.share(sums) {
            Some((part, whole)) => (whole >= FEWEST).then(|| part / whole),
            None => (sums.n() >= FEWEST).then(|| super::calibration::ece(sums)),
        }
        .filter(|value| value.is_finite())
    }
}

impl Fairness {
    /// Compares the groups of a window. `None` without a reference, or with fewer than two groups that are large enough.
    pub fn compare(&self, groups: &[Group<'_>]) -> Option<Gap> {
        let large = |group: &&Group<'_>| group.sums.counts.predictions >= self.min_group;
        let numbers: Vec<(&Group<'_>, f64)> = groups
            .iter()
            .filter(large)
            .filter_map(|group| Some((group, self.comparison.of_group(&group.sums)?)))
            .collect();
        let reference = match &self.reference {
            // Of equally large groups the first by value.
            Reference::Largest => numbers.iter().max_by(|(a, _), (b, _)| {
                a.sums.counts.predictions.cmp(&b.sums.counts.predictions).then_with(|| b.value.cmp(&a.value))
            }),
            Reference::Value(value) => numbers.iter().find(|(group, _)| group.value.as_ref() == Some(value)),
        }?;
        let others = numbers.iter().filter(|(group, _)| !std::ptr::eq(*group, reference.0));
        let (worst, number) = match self.comparison {
            Comparison::SelectionRatio => {
                others.min_by(|(_, a), (_, b)| quotient(*a, reference.1).total_cmp(&quotient(*b, reference.1)))
            }
            _ => others.max_by(|(_, a), (_, b)| (a - reference.1).abs().total_cmp(&(b - reference.1).abs())),
        }?;
        let value = match self.comparison {
            Comparison::SelectionRatio => quotient(*number, reference.1),
            _ => (number - reference.1).abs(),
        };
        let named = |group: &Group<'_>| format!("{}={}", self.by, group.value.as_deref().unwrap_or("(null)"));
        let note = format!("{} has {number:.4}, and {} has {:.4}", named(worst), named(reference.0), reference.1);
        let interval = self.interval(&worst.sums, &reference.0.sums);
        Some(Gap { value, interval, note }).filter(|gap| gap.value.is_finite())
    }

    /// Newcombe's interval of a difference of two shares, on the side of the greater one.
    fn interval(&self, worst: &Sums<'_>, reference: &Sums<'_>) -> Option<Interval> {
        if self.comparison == Comparison::SelectionRatio {
            return None;
        }
        let (mut one, mut other) = (self.comparison.share(worst)?, self.comparison.share(reference)?);
        if one.0 / one.1 < other.0 / other.1 {
            std::mem::swap(&mut one, &mut other);
        }
        newcombe(one, other)
    }
}

/// The lesser divided by the greater: 1 where both are equal. NaN for 0/0.
fn quotient(one: f64, other: f64) -> f64 {
    one.min(other) / one.max(other)
}

/// 95 % interval of a difference of two shares, each a part and a whole, from their Wilson intervals.
pub fn newcombe(one: (f64, f64), other: (f64, f64)) -> Option<Interval> {
    let (first, second) = (interval::of_share(one.0, one.1)?, interval::of_share(other.0, other.1)?);
    let (p, q) = (one.0 / one.1, other.0 / other.1);
    let below = ((p - first.low).powi(2) + (second.high - q).powi(2)).sqrt();
    let above = ((first.high - p).powi(2) + (q - second.low).powi(2)).sqrt();
    interval::bounds(p - q - below, p - q + above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::measurement::Counts;
    use crate::metric::{MergedHistograms, Parameters};

    /// `confint_proportions_2indep(56, 70, 48, 80, method="newcomb")` of statsmodels 0.15: Newcombe's own example.
    #[test]
    fn newcombe_equals_statsmodels() {
        let found = newcombe((56.0, 70.0), (48.0, 80.0)).unwrap();
        assert!((found.low - 0.052_431_5).abs() < 1e-6 && (found.high - 0.333_872_7).abs() < 1e-6, "{found:?}");
    }

    const ORDER: [Sum; 3] = [Sum::Positives, Sum::TruePositives, Sum::FalsePositives];

    fn gap(groups: &[(&str, i64, [f64; 3])], reference: Reference) -> Option<Gap> {
        let (parameters, histograms) = (Parameters::default(), MergedHistograms::default());
        let groups: Vec<Group<'_>> = groups
            .iter()
            .map(|(value, n, values)| Group {
                value: Some((*value).to_owned()),
                sums: Sums {
                    counts: Counts { predictions: *n, labeled: *n, ..Counts::default() },
                    order: &ORDER,
                    values,
                    parameters: &parameters,
                    histograms: &histograms,
                    exact: None,
                    exact_ranking: None,
                    due: (0, 0),
                    whole_loss: f64::NAN,
                },
            })
            .collect();
        let fairness = Fairness {
            name: "tpr_gap".into(),
            meaning: String::new(),
            comparison: Comparison::TprGap,
            by: "sex".to_owned(),
            reference,
            min_group: 100,
        };
        fairness.compare(&groups)
    }

    #[test]
    fn the_worst_group_is_named_and_small_ones_are_left_out() {
        let groups = [
            ("f", 300, [100.0, 60.0, 5.0]),
            ("m", 500, [200.0, 160.0, 9.0]),
            ("x", 99, [50.0, 0.0, 0.0]),
            ("few positives", 400, [9.0, 0.0, 0.0]),
        ];
        let found = gap(&groups, Reference::Largest).unwrap();
        assert!((found.value - 0.2).abs() < 1e-12);
        assert_eq!(found.note, "sex=f has 0.6000, and sex=m has 0.8000");
        assert!(found.interval.is_some_and(|interval| interval.low > 0.08 && interval.high < 0.32));
        assert_eq!(
            gap(&groups, Reference::Value("f".to_owned())).unwrap().note,
            "sex=m has 0.8000, and sex=f has 0.6000"
        );
        assert_eq!(gap(&groups, Reference::Value("x".to_owned())), None);
        assert_eq!(gap(&groups[..1], Reference::Largest), None);
    }
}
