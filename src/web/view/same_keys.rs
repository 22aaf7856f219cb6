//! Two versions on the keys that both predicted, in words.

use super::words;
use crate::store::read::versions::SamePairsRow;

/// The comparison on the same keys, in words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Same {
    pub verdict: String,
    pub pairs: String,
    pub value: String,
    pub against: String,
    pub difference: String,
    pub interval: String,
    pub worse: String,
}

/// Fewest pairs for which the normal approximation of the mean difference is used.
const FEWEST_PAIRS: i64 = 30;

/// Compares the squared errors of two versions on the same keys; `None` if no key has both.
pub fn same(row: &SamePairsRow, (name, against): (&str, &str), unit: &str) -> Option<Same> {
    if row.pairs == 0 {
        return None;
    }
    let with_unit =
        |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{}{unit}", words::value(Some(v), None)));
    let square = if unit.is_empty() { String::new() } else { format!("{unit}²") };
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let count = row.pairs as f64;
    let bounds = row.difference.zip(row.deviation).map(|(mean, deviation)| {
        let margin = 1.96 * deviation / count.sqrt();
        (mean - margin, mean + margin)
    });
    let verdict = match bounds {
        _ if row.pairs < FEWEST_PAIRS => format!("Too few to say: {} pairs, {FEWEST_PAIRS} are needed.", row.pairs),
        Some((low, _)) if low > 0.0 => format!("{name} is worse than {against} on the same predictions."),
        Some((_, high)) if high < 0.0 => format!("{name} is better than {against} on the same predictions."),
        _ => format!("No difference between {name} and {against} can be seen on the same predictions."),
    };
    Some(Same {
        verdict,
        pairs: words::count(row.pairs),
        value: with_unit(row.rmse),
        against: with_unit(row.against_rmse),
        difference: row.difference.map_or("–".to_owned(), |v| format!("{}{square}", words::value(Some(v), None))),
        interval: bounds.map_or("–".to_owned(), |(low, high)| super::window::interval(Some(low), Some(high))),
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        worse: words::share(row.worse as f64 / count),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pairs: i64, difference: f64, deviation: f64) -> SamePairsRow {
        SamePairsRow {
            pairs,
            rmse: Some(3.0),
            against_rmse: Some(2.0),
            difference: Some(difference),
            deviation: Some(deviation),
            worse: pairs / 4,
        }
    }

    #[test]
    fn a_difference_is_one_only_beyond_its_interval() {
        let verdict = |row: &SamePairsRow| same(row, ("v2", "v1"), " MW").unwrap().verdict;
        assert_eq!(verdict(&row(100, 5.0, 10.0)), "v2 is worse than v1 on the same predictions.");
        assert_eq!(verdict(&row(100, -5.0, 10.0)), "v2 is better than v1 on the same predictions.");
        assert_eq!(
            verdict(&row(100, 1.9, 10.0)),
            "No difference between v2 and v1 can be seen on the same predictions."
        );
        assert_eq!(verdict(&row(29, 5.0, 0.1)), "Too few to say: 29 pairs, 30 are needed.");
        let words = same(&row(100, 5.0, 10.0), ("v2", "v1"), " MW").unwrap();
        assert_eq!((words.difference.as_str(), words.interval.as_str()), ("5.000 MW²", "3.040 to 6.960"));
        assert_eq!(words.worse, "25 %");
        assert_eq!(same(&SamePairsRow::default(), ("v2", "v1"), ""), None);
    }
}
