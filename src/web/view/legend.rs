//! The legend of a chart in words: only the signs that it has.

use crate::chart::Series;

/// Explains the signs of a chart. Empty if it has no points.
pub fn legend(series: &Series) -> String {
    let has = |is: fn(&crate::chart::Point) -> bool| series.points.iter().any(is);
    let signs = [
        (has(|point| point.value.is_some() && !point.is_provisional), "filled points are final"),
        (has(|point| point.is_provisional), "hollow points are provisional: labels are still arriving"),
        (has(|point| point.interval.is_some()), "the band is the 95 % interval"),
        (has(|point| point.limit.is_some()), "short dashes are the limit"),
        (has(|point| point.baseline.is_some()), "long dashes are the baseline"),
        (has(|point| point.first_reported.is_some()), "a small cross is the first report"),
        (has(|point| point.usual.is_some()), "a whisker shows where a value will probably end"),
        (!series.firings.is_empty(), "the alert fires on the shaded ground"),
        (has(|point| point.missing.is_some()), "hatched ground has no value"),
        (has(|point| point.predictions > 0), "bars are predictions, dark where labeled"),
        (has(|point| point.verdict.is_some()), "the strip has the verdicts, B is a breach"),
        (!series.marks.is_empty(), "letters are changes, listed below"),
    ];
    let signs: Vec<&str> = signs.iter().filter(|(is_there, _)| *is_there).map(|(_, words)| *words).collect();
    let text = signs.join("; ");
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Point;

    #[test]
    fn only_signs_that_are_drawn_are_explained() {
        let point = Point { value: Some(1.0), limit: Some(2.0), ..Point::default() };
        let series = Series { points: vec![point], ..Series::default() };
        assert_eq!(legend(&series), "Filled points are final; short dashes are the limit.");
        assert_eq!(legend(&Series::default()), "");
    }
}
