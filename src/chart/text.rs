//! A chart as characters for a terminal.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::chart::scale::bounds;
use crate::chart::series::{Series, drawable};
use crate::text::number::number;

const WIDTH: usize = 64;
const HEIGHT: usize = 10;

/// Draws a series 80 columns wide. A column shows its largest value, marked if any was in breach and hollow if it is
/// provisional, its newest limit, and `/` on the lower line where windows have no value.
pub fn series(series: &Series) -> String {
    let columns = columns(series);
    let known = columns.iter().flat_map(|column| [column.value, column.limit]).flatten();
    let (low, high) = bounds(known);
    if low > high {
        return "nothing to draw".to_owned();
    }
    let low = if low > 0.0 && low < high / 2.0 { 0.0 } else { low };
    let mut grid = vec![vec![' '; WIDTH]; HEIGHT];
    for (n, column) in columns.iter().enumerate() {
        if let Some(limit) = column.limit {
            grid[row(limit, low, high)][n] = '─';
        }
        if let Some(value) = column.value {
            grid[row(value, low, high)][n] = column.sign();
        } else if column.is_missing {
            grid[HEIGHT - 1][n] = '/';
        }
    }
    let mut lines: Vec<String> = grid.into_iter().enumerate().map(|(n, cells)| labeled(n, &cells, low, high)).collect();
    let signs = |is: &dyn Fn(&Range<DateTime<Utc>>) -> bool, sign: char| -> String {
        (0..WIDTH).map(|n| if is(&slot(series, n)) { sign } else { ' ' }).collect()
    };
    let fires =
        signs(&|slot| series.firings.iter().any(|firing| firing.from < slot.end && slot.start < firing.until), '▲');
    lines.push(format!("{:>12} │{}", "fires", fires.trim_end()));
    let day = |time: DateTime<Utc>| time.format("%Y-%m-%d").to_string();
    lines.push(format!("{:>12}  {:<54}{:>10}", "", day(series.range.start), day(series.range.end)));
    lines.join("\n")
}

/// Everything that a column shows.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    value: Option<f64>,
    limit: Option<f64>,
    is_breach: bool,
    is_provisional: bool,
    is_missing: bool,
}

impl Column {
    fn sign(self) -> char {
        match (self.is_breach, self.is_provisional) {
            (true, false) => '●',
            (true, true) => '○',
            (false, false) => '·',
            (false, true) => '◦',
        }
    }
}

fn columns(series: &Series) -> Vec<Column> {
    let length = (series.range.end - series.range.start).num_seconds().max(1);
    let mut columns = vec![Column::default(); WIDTH];
    for point in &series.points {
        let since = (point.end - series.range.start).num_seconds();
        let wide = i64::try_from(WIDTH).unwrap_or(1);
        // The end of the range belongs to the last column.
        let index = since.saturating_mul(wide).checked_div(length).map(|n| if since == length { n - 1 } else { n });
        let Some(column) = index.and_then(|n| usize::try_from(n).ok()).and_then(|n| columns.get_mut(n)) else {
            continue;
        };
        let value = point.shown();
        column.value = column.value.into_iter().chain(value).reduce(f64::max);
        column.limit = drawable(point.limit).or(column.limit);
        column.is_breach |= point.is_breach() && value.is_some();
        column.is_provisional |= point.is_provisional && value.is_some();
        column.is_missing |= value.is_none();
    }
    columns
}

/// Row of a value, from the top.
fn row(value: f64, low: f64, high: f64) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to 1 of a few rows"
    )]
    let row = (share * (HEIGHT - 1) as f64).round() as usize;
    HEIGHT - 1 - row.min(HEIGHT - 1)
}

fn labeled(row: usize, cells: &[char], low: f64, high: f64) -> String {
    let label = match row {
        0 => number(high),
        row if row == HEIGHT - 1 => number(low),
        _ => String::new(),
    };
    format!("{label:>12} │{}", cells.iter().collect::<String>().trim_end())
}

/// The time that a column stands for.
fn slot(series: &Series, column: usize) -> Range<DateTime<Utc>> {
    let length = series.range.end - series.range.start;
    let at = |column: usize| {
        let (part, whole) = (i32::try_from(column).unwrap_or(0), i32::try_from(WIDTH).unwrap_or(1));
        series.range.start + length / whole * part
    };
    at(column)..at(column + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::samples;

    #[test]
    fn a_text_shows_values_the_limit_gaps_and_when_it_fired() {
        insta::assert_snapshot!(super::series(&samples::series(128)), @r#"
        606.4 │                                                              ○○
              │                                                             ○
              │────────────────────────────────────────────────────────────○───
              │                                                           ◦
              │               ·           ·                             ◦◦
              │······      ··· ···      ·· ··        ····      ·····◦◦◦◦
              │      ······       ·· ···     ··          ······
              │                     ·
              │
            0 │                                //////
        fires │                                                        ▲▲▲▲▲▲▲▲
               2026-11-18                                            2026-11-23
        "#);
    }

    #[test]
    fn a_series_without_values_says_so() {
        let mut series = samples::series(12);
        series.points.clear();
        assert_eq!(super::series(&series), "nothing to draw");
        assert_eq!(super::series(&Series::default()), "nothing to draw");
    }
}
