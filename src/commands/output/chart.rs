//! Draws a metric, its limit and the times an alert fired as characters for a terminal.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::text::number::number;

const WIDTH: usize = 64;
const HEIGHT: usize = 10;

/// Data to draw.
pub(in crate::commands) struct Chart<'a> {
    pub range: Range<DateTime<Utc>>,
    /// Values, each with true if it was in breach.
    pub values: &'a [(DateTime<Utc>, f64, bool)],
    /// Limits at the same times; they move with a baseline.
    pub limits: &'a [(DateTime<Utc>, f64)],
    pub firings: &'a [(DateTime<Utc>, DateTime<Utc>)],
}

impl Chart<'_> {
    /// Draws the chart, 80 columns wide. A column shows its largest value, marked if any was in breach, and its newest limit.
    pub(in crate::commands) fn draw(&self) -> String {
        let values = self.columns(
            self.values
                .iter()
                .map(|(time, value, breach)| (*time, (*value, *breach)))
                .filter(|(_, (v, _))| v.is_finite()),
            |one, other| (one.0.max(other.0), one.1 || other.1),
        );
        let limits =
            self.columns(self.limits.iter().copied().filter(|(_, limit)| limit.is_finite()), |_, newest| newest);
        let known = || values.iter().flatten().map(|(value, _)| *value).chain(limits.iter().flatten().copied());
        let (low, high) = known().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return "nothing to draw".to_owned();
        }
        let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
        let row_of = |value: f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "0 to 1 of a few rows"
            )]
            let row = (share * (HEIGHT - 1) as f64).round() as usize;
            HEIGHT - 1 - row.min(HEIGHT - 1)
        };
        let mut grid = vec![vec![' '; WIDTH]; HEIGHT];
        for (column, limit) in limits.iter().enumerate() {
            if let Some(limit) = limit {
                grid[row_of(*limit)][column] = '─';
            }
        }
        for (column, value) in values.iter().enumerate() {
            if let Some((value, breach)) = value {
                grid[row_of(*value)][column] = if *breach { '●' } else { '·' };
            }
        }
        let mut lines: Vec<String> = grid
            .into_iter()
            .enumerate()
            .map(|(row, cells)| {
                let label = match row {
                    0 => number(high),
                    row if row == HEIGHT - 1 => number(low),
                    _ => String::new(),
                };
                format!("{label:>12} │{}", cells.into_iter().collect::<String>().trim_end())
            })
            .collect();
        let fires = |column: usize| {
            let slot = self.slot(column);
            self.firings.iter().any(|(from, until)| *from < slot.end && slot.start < *until)
        };
        let marks: String = (0..WIDTH).map(|column| if fires(column) { '▲' } else { ' ' }).collect();
        lines.push(format!("{:>12} │{}", "fires", marks.trim_end()));
        let day = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
        lines.push(format!("{:>12}  {:<54}{:>10}", "", day(self.range.start), day(self.range.end)));
        lines.join("\n")
    }

    fn slot(&self, column: usize) -> Range<DateTime<Utc>> {
        let length = self.range.end - self.range.start;
        let at = |column: usize| {
            let (part, whole) = (i32::try_from(column).unwrap_or(0), i32::try_from(WIDTH).unwrap_or(1));
            self.range.start + length / whole * part
        };
        at(column)..at(column + 1)
    }

    fn columns<T: Copy>(
        &self,
        series: impl Iterator<Item = (DateTime<Utc>, T)>,
        merge: impl Fn(T, T) -> T,
    ) -> Vec<Option<T>> {
        let mut columns: Vec<Option<T>> = vec![None; WIDTH];
        let length = (self.range.end - self.range.start).num_seconds().max(1);
        for (time, value) in series {
            let since = (time - self.range.start).num_seconds();
            let column = since * i64::try_from(WIDTH).unwrap_or(1) / length;
            if let Some(place) = usize::try_from(column).ok().and_then(|column| columns.get_mut(column)) {
                *place = Some(place.map_or(value, |known| merge(known, value)));
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_chart_shows_values_the_limit_and_when_it_fired() {
        let start = DateTime::UNIX_EPOCH;
        let at = |n: i64| start + TimeDelta::days(n);
        let bad = |n: i64| (20..30).contains(&n);
        let values: Vec<(DateTime<Utc>, f64, bool)> =
            (0..64).map(|n| (at(n), if bad(n) { 40.0 } else { 10.0 }, bad(n))).collect();
        let limits: Vec<(DateTime<Utc>, f64)> = (0..64).map(|n| (at(n), 25.0)).collect();
        let chart = Chart { range: start..at(64), values: &values, limits: &limits, firings: &[(at(20), at(30))] };
        insta::assert_snapshot!(chart.draw(), @r#"
        40.00 │                    ●●●●●●●●●●
              │
              │
              │────────────────────────────────────────────────────────────────
              │
              │
              │
              │····················          ··································
              │
            0 │
        fires │                    ▲▲▲▲▲▲▲▲▲▲
               1970-01-01                                            1970-03-06
        "#);
    }
}
