//! Resolves what a column of numbers or times leaves open: by its own values, then by those of its file, or refuses it.

use super::column::{Example, Tally};
use super::mistake::shown;
use super::number::Decimal;
use super::time::Order;

/// Returns the decimal sign of a column of numbers, or the line where it is ambiguous.
pub(super) fn decimal(tally: &Tally, of_file: Option<Decimal>, separator: u8) -> Result<Decimal, (u64, String)> {
    match (&tally.point.first, &tally.comma.first, of_file) {
        (Some((line, point)), Some((other, comma)), _) => {
            let (point, comma) = (shown(point), shown(comma));
            Err((
                *other,
                format!("`{comma}` has a decimal comma, but `{point}` in line {line} a decimal point: use one of them"),
            ))
        }
        (Some(_), None, _) => Ok(Decimal::Point),
        (None, Some(_), _) => Ok(Decimal::Comma),
        (None, None, Some(decimal)) => Ok(decimal),
        // Files with decimal commas separate values by `;`, so points may be for thousands.
        (None, None, None) => match (&tally.maybe_comma.first, &tally.maybe_point.first) {
            (Some(example), _) => Err(either(example, "comma")),
            (None, Some(example)) if separator == b';' => Err(either(example, "point")),
            _ => Ok(Decimal::Point),
        },
    }
}

/// Returns the reason to refuse a number that can be read in two ways.
fn either((line, value): &Example, mark: &str) -> (u64, String) {
    let value = shown(value);
    let separated = if mark == "point" { ", and separate values by `,`" } else { "" };
    let why = format!(
        "`{value}` may have decimals or thousands after its {mark}, and no other value decides: write numbers with a \
         decimal point and without thousands separators{separated}"
    );
    (*line, why)
}

/// Returns whether the day or the month comes first in a column of times; `None` if nothing decides it. Both in one column are a
/// mistake.
pub(super) fn order(tally: &Tally, of_file: Option<Order>) -> Result<Option<Order>, (u64, String)> {
    match (&tally.day_first.first, &tally.month_first.first) {
        (Some((day, one)), Some((month, other))) => {
            let (one, other) = (shown(one), shown(other));
            let why = format!(
                "`{other}` has the month first, but `{one}` in line {day} the day: write times as 2025-05-31 00:00"
            );
            Err((*month, why))
        }
        (Some(_), None) => Ok(Some(Order::DayFirst)),
        (None, Some(_)) => Ok(Some(Order::MonthFirst)),
        (None, None) if tally.either.is_any() => Ok(of_file),
        (None, None) => Ok(Some(Order::DayFirst)),
    }
}
