//! Errors by hour and weekday, and how much errors resemble earlier ones.

use super::words;
use crate::chart::bars::{Bar, Bars};
use crate::chart::heatmap::{Cell, Heatmap, Row, Shades};
use crate::store::read::residuals::{HourRow, SliceRow};

/// Weekdays in the order of ISO 8601.
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn of_hour(rows: &[HourRow], day: usize, hour: i32) -> Option<&HourRow> {
    rows.iter().find(|row| usize::try_from(row.weekday) == Ok(day + 1) && row.hour == hour)
}

/// Draws the rmse by hour and weekday.
pub fn hours(rows: &[HourRow], unit: &str) -> Heatmap {
    let cell =
        |day: usize, hour: i32| Cell { value: of_hour(rows, day, hour).map(|row| row.mse.sqrt()), ..Cell::default() };
    let row = |(day, name): (usize, &&str)| Row {
        name: (*name).to_owned(),
        link: None,
        cells: (0..24).map(|hour| cell(day, hour)).collect(),
    };
    Heatmap {
        rows: DAYS.iter().enumerate().map(row).collect(),
        columns: (0..24).map(|hour| format!("{hour:02}")).collect(),
        shades: Shades::Value,
        unit: unit.to_owned(),
        label: "rmse by hour and weekday".to_owned(),
        targets: Vec::new(),
    }
}

/// An hour of the table: one cell per weekday, each the rmse, the bias and the number of pairs.
#[derive(Debug, Clone)]
pub struct HourLine {
    pub hour: String,
    pub days: Vec<(String, String)>,
}

/// Returns the errors by hour, with a cell for each weekday.
pub fn hour_lines(rows: &[HourRow]) -> Vec<HourLine> {
    let cell = |day: usize, hour: i32| match of_hour(rows, day, hour) {
        None => ("–".to_owned(), String::new()),
        Some(row) => (
            words::value(Some(row.mse.sqrt()), None),
            format!("bias {}, n {}", words::value(Some(row.bias), None), words::count(row.pairs)),
        ),
    };
    (0..24)
        .map(|hour| HourLine { hour: format!("{hour:02}:00"), days: (0..7).map(|day| cell(day, hour)).collect() })
        .collect()
}

/// Resemblance of errors to those some slices before.
#[derive(Debug, Clone, PartialEq)]
pub struct Resemblance {
    /// Seconds between two slices.
    pub step: i64,
    /// Autocorrelation at lags 1, 2 and so on.
    pub lags: Vec<Option<f64>>,
    /// Bound that 95 % of the lags stay within if errors are independent.
    pub bound: f64,
    pub slices: usize,
    /// Factor by which intervals that take slices as independent are too narrow, at least 1.
    pub too_narrow: f64,
}

/// Most lags.
const LAGS: usize = 96;
/// Fewest slices for which autocorrelation says something.
const FEWEST: usize = 20;

/// Returns the autocorrelation of the mean error of slices; `None` for few slices, or if the error does not vary.
///
/// Slices without pairs are gaps: a lag is the mean over the pairs of slices that are both there.
pub fn resemblance(slices: &[SliceRow]) -> Option<Resemblance> {
    let gaps = slices.windows(2).map(|pair| (pair[1].bucket_start - pair[0].bucket_start).num_seconds());
    let step = gaps.filter(|gap| *gap > 0).min()?;
    let start = slices.first()?.bucket_start;
    if slices.len() < FEWEST {
        return None;
    }
    let place = |slice: &SliceRow| usize::try_from((slice.bucket_start - start).num_seconds() / step).ok();
    let length = place(slices.last()?)? + 1;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand slices")]
    let count = slices.len() as f64;
    let mean = slices.iter().map(|slice| slice.bias).sum::<f64>() / count;
    let variance = slices.iter().map(|slice| (slice.bias - mean).powi(2)).sum::<f64>() / count;
    // Slices are read newest first and at most so many, so that this is some 300 kB even for one gap of a year.
    if !(variance > 0.0 && variance.is_finite()) || length > 1_000_000 {
        return None;
    }
    let mut values: Vec<Option<f64>> = vec![None; length];
    for slice in slices {
        if let Some(value) = place(slice).and_then(|place| values.get_mut(place)) {
            *value = Some(slice.bias - mean);
        }
    }
    let lags: Vec<Option<f64>> =
        (1..=LAGS.min(length / 2)).map(|lag| covariance(&values, lag).map(|sum| sum / variance)).collect();
    let bound = 1.96 / count.sqrt();
    Some(Resemblance { step, too_narrow: too_narrow(&lags, bound), lags, bound, slices: slices.len() })
}

/// Mean product of values that are `lag` apart; `None` if there are few.
fn covariance(values: &[Option<f64>], lag: usize) -> Option<f64> {
    let products = values.iter().zip(values.iter().skip(lag)).filter_map(|(a, b)| Some((*a)? * (*b)?));
    let (count, sum) = products.fold((0_u32, 0.0), |(count, sum), product| (count + 1, sum + product));
    (count >= 10).then(|| sum / f64::from(count))
}

/// Square root of the ratio of the variance of the mean to that of independent values. Lags count until the first that chance
/// explains.
fn too_narrow(lags: &[Option<f64>], bound: f64) -> f64 {
    let sum: f64 = lags.iter().map_while(|lag| lag.filter(|lag| *lag > bound)).sum();
    (1.0 + 2.0 * sum).max(1.0).sqrt()
}

/// Draws the autocorrelation.
pub fn bars(of: &Resemblance) -> Bars {
    let bar = |(place, lag): (usize, &Option<f64>)| {
        let number = place + 1;
        Bar {
            label: if number == 1 || number.is_multiple_of(12) { number.to_string() } else { String::new() },
            value: *lag,
            title: lag.map_or(String::new(), |lag| format!("lag {number} ({}): {lag:.2}", lag_time(of, number))),
            ..Bar::default()
        }
    };
    Bars {
        bars: of.lags.iter().enumerate().map(bar).collect(),
        bounds: Some((-of.bound, of.bound)),
        label: "Autocorrelation of the mean error by lag".to_owned(),
        ..Bars::default()
    }
}

fn lag_time(of: &Resemblance, lag: usize) -> String {
    let lag = i64::try_from(lag).unwrap_or(i64::MAX);
    words::lasted(chrono::TimeDelta::seconds(of.step.saturating_mul(lag).min(1_000_000_000)))
}

/// Lag, its time, and its autocorrelation, as text.
pub fn lag_lines(of: &Resemblance) -> Vec<(usize, String, String)> {
    let line = |(place, lag): (usize, &Option<f64>)| {
        (place + 1, lag_time(of, place + 1), lag.map_or("–".to_owned(), |lag| format!("{lag:.3}")))
    };
    of.lags.iter().enumerate().map(line).collect()
}

/// The autocorrelation in words.
pub fn says(of: &Resemblance) -> String {
    let narrow = if of.too_narrow > 1.05 {
        format!(
            "Errors resemble those before: intervals that take them as independent are too narrow by about × {:.1}.",
            of.too_narrow
        )
    } else {
        "Errors of neighboring slices are about independent.".to_owned()
    };
    let slices = i64::try_from(of.slices).unwrap_or(i64::MAX);
    format!(
        "{narrow} {} of {}; by chance, 95 % of the lags are within ±{:.2}.",
        words::plural(slices, "slice"),
        lag_time(of, 1),
        of.bound
    )
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn slices(values: impl Iterator<Item = f64>) -> Vec<SliceRow> {
        let slice =
            |(n, bias)| SliceRow { bucket_start: DateTime::from_timestamp(n * 900, 0).unwrap(), bias, pairs: 1 };
        (0_i64..).zip(values).map(slice).collect()
    }

    #[test]
    fn a_daily_rhythm_is_seen_at_its_lag() {
        let wave = slices((0..960).map(|n| (f64::from(n) * std::f64::consts::TAU / 48.0).sin()));
        let found = resemblance(&wave).unwrap();
        assert_eq!((found.step, found.lags.len()), (900, 96));
        assert!(
            (found.lags[47].unwrap() - 1.0).abs() < 0.01 && (found.lags[23].unwrap() + 1.0).abs() < 0.01,
            "{found:?}"
        );
        // numpy: sqrt(1 + 2 * sum of cos(2 pi k / 48), k = 1 to 11, where the value first falls below 1.96 / sqrt(960)).
        assert!((found.too_narrow - 3.9).abs() < 0.1, "{}", found.too_narrow);
    }

    #[test]
    fn gaps_are_left_out_and_constant_errors_say_nothing() {
        let mut wave = slices((0..200).map(|n| f64::from(n % 2)));
        wave.retain(|slice| slice.bucket_start.timestamp() % 7 != 0);
        let found = resemblance(&wave).unwrap();
        assert!((found.lags[0].unwrap() + 1.0).abs() < 0.05, "{:?}", found.lags[0]);
        assert!(found.too_narrow == 1.0);
        assert_eq!(resemblance(&slices((0..100).map(|_| 3.0))), None);
        assert_eq!(resemblance(&slices((0..5).map(f64::from))), None);
    }
}
