//! Where the error moved: the share of the squared error that each cohort has in a window, against its usual share.

use std::collections::BTreeMap;

use crate::evaluate::quantile::median;

/// Squared error of one cohort in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The window, counted back: 0 is the one in question.
    pub age: usize,
    pub dimension: String,
    pub cohort: String,
    /// Sum of squared errors.
    pub squared_error: f64,
    pub labeled: i64,
}

/// A cohort and its share of the squared error of a dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Moved {
    pub dimension: String,
    pub cohort: String,
    /// Share in the window, from 0 to 1.
    pub share: f64,
    /// Median share in the windows before; `None` below 5 of them.
    pub usual: Option<f64>,
    pub labeled: i64,
}

impl Moved {
    /// Share less the usual share, as a difference of shares; the share itself where nothing is usual.
    pub fn difference(&self) -> f64 {
        self.share - self.usual.unwrap_or_default()
    }
}

/// Earlier windows below which no share is usual.
const FEWEST: usize = 5;

/// Returns the cohorts of the window in question, the largest increase of each dimension first. A cohort that an earlier window
/// lacks had a share of 0 there.
pub fn moved(parts: &[Part]) -> Vec<Moved> {
    let mut totals: BTreeMap<(&str, usize), f64> = BTreeMap::new();
    for part in parts {
        *totals.entry((part.dimension.as_str(), part.age)).or_default() += part.squared_error;
    }
    let share = |part: &Part| {
        let total = totals.get(&(part.dimension.as_str(), part.age)).copied().unwrap_or_default();
        if total > 0.0 && total.is_finite() { part.squared_error / total } else { 0.0 }
    };
    let mut before: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.age > 0) {
        before.entry((part.dimension.as_str(), part.cohort.as_str())).or_default().push(share(part));
    }
    let mut moved: Vec<Moved> = parts
        .iter()
        .filter(|part| part.age == 0)
        .map(|part| {
            let windows = totals.keys().filter(|(dimension, age)| *dimension == part.dimension && *age > 0).count();
            let mut shares = before.remove(&(part.dimension.as_str(), part.cohort.as_str())).unwrap_or_default();
            shares.resize(windows.max(shares.len()), 0.0);
            Moved {
                dimension: part.dimension.clone(),
                cohort: part.cohort.clone(),
                share: share(part),
                usual: (windows >= FEWEST).then(|| median(&mut shares)).flatten(),
                labeled: part.labeled,
            }
        })
        .collect();
    moved.sort_by(|a, b| {
        let order = a.dimension.cmp(&b.dimension).then(b.difference().total_cmp(&a.difference()));
        order.then_with(|| a.cohort.cmp(&b.cohort))
    });
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(age: usize, cohort: &str, squared_error: f64) -> Part {
        let dimension = cohort.split('=').next().unwrap().to_owned();
        Part { age, dimension, cohort: cohort.to_owned(), squared_error, labeled: 10 }
    }

    #[test]
    fn the_cohort_that_grew_comes_first() {
        let mut parts = vec![part(0, "region=north", 80.0), part(0, "region=south", 20.0)];
        for age in 1..=6 {
            parts.extend([part(age, "region=north", 25.0), part(age, "region=south", 75.0)]);
        }
        let moved = moved(&parts);
        let shown: Vec<_> = moved.iter().map(|m| (m.cohort.as_str(), m.share, m.usual)).collect();
        assert_eq!(shown, [("region=north", 0.8, Some(0.25)), ("region=south", 0.2, Some(0.75))]);
        assert!((moved[0].difference() - 0.55).abs() < 1e-12);
    }

    #[test]
    fn each_dimension_has_shares_of_its_own_and_a_new_cohort_had_none() {
        let mut parts = vec![part(0, "region=new", 3.0), part(0, "tier=2", 1.0), part(0, "tier=1", 3.0)];
        for age in 1..=5 {
            parts.extend([part(age, "region=old", 1.0), part(age, "tier=1", 1.0)]);
        }
        let moved = moved(&parts);
        let shown: Vec<_> = moved.iter().map(|m| (m.cohort.as_str(), m.share, m.usual)).collect();
        let expected = [("region=new", 1.0, Some(0.0)), ("tier=2", 0.25, Some(0.0)), ("tier=1", 0.75, Some(1.0))];
        assert_eq!(shown, expected);
    }

    #[test]
    fn nothing_is_usual_below_five_windows_and_no_error_has_no_shares() {
        let parts: Vec<Part> = (0..=4).map(|age| part(age, "region=a", 0.0)).collect();
        assert_eq!(
            moved(&parts)[0],
            Moved { dimension: "region".into(), cohort: "region=a".into(), share: 0.0, usual: None, labeled: 10 }
        );
    }
}
