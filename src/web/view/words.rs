//! Times, numbers and states in words, for people.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::domain::about::{About, AboutMetric};
use crate::text::number::{number, percent};

/// Said of a job whose labels are no true outcomes.
pub const PROXY: &str = "Labels stand in for the true outcome: look for a second signal.";

/// The residual of a pair, in words.
pub fn residual(about: &About) -> &'static str {
    if about.is_binary() { "distance of score and label" } else { "error" }
}

/// A time as a page shows it: text in the zone of the page, and the machine's form for the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    pub text: String,
    pub utc: String,
}

/// To the minute, in the zone of the page.
pub fn when(at: DateTime<Utc>, zone: Tz) -> When {
    When {
        text: at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string(),
        utc: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

/// `3 h 12 min`, `2 d 4 h`: the two largest units.
pub fn lasted(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    let (days, hours, rest) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) if minutes == 0 => "less than a minute".to_owned(),
        (0, 0) => format!("{rest} min"),
        (0, _) if rest == 0 => format!("{hours} h"),
        (0, _) => format!("{hours} h {rest} min"),
        _ if hours == 0 => format!("{days} d"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A value with the unit of its metric; shares in percent; a dash if there is none.
pub fn value(value: Option<f64>, metric: Option<&AboutMetric>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    match metric {
        Some(metric) if metric.is_ratio => share(value),
        Some(metric) => format!("{}{}", number(value), metric.unit),
        None => number(value),
    }
}

/// A share in percent, with the digits that matter near 0 and 100 %.
pub fn share(share: f64) -> String {
    let in_percent = share * 100.0;
    if in_percent.abs() >= 1e6 || !in_percent.is_finite() {
        return format!("{} %", number(in_percent));
    }
    match in_percent.abs() {
        size if (99.0..100.0).contains(&size) || (0.0..10.0).contains(&size) && size > 0.0 => {
            format!("{in_percent:.1} %")
        }
        _ => percent(share),
    }
}

/// A count with thin spaces between thousands.
pub fn count(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    if count < 0 { format!("−{text}") } else { text }
}

/// A number with at most two decimals: `144`, `14.4`, `0.93`.
pub fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A ratio as a change: `6 % higher`, `2 % lower`, `unchanged`.
pub fn change(ratio: f64) -> String {
    let in_percent = (ratio - 1.0) * 100.0;
    match in_percent {
        change if change.abs() < 0.5 => "unchanged".to_owned(),
        change if change > 0.0 => format!("{change:.0} % higher"),
        change => format!("{:.0} % lower", -change),
    }
}

/// `region=north, version v2`.
pub fn target(cohort: &str, version: Option<&str>) -> String {
    match (cohort, version) {
        ("all", Some(version)) => format!("version {version}"),
        ("all", None) => "everything".to_owned(),
        (cohort, Some(version)) => format!("{cohort}, version {version}"),
        (cohort, None) => cohort.to_owned(),
    }
}

/// `1 alert`, `3 alerts`.
pub fn plural(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_two_units() {
        let minutes = |n| lasted(TimeDelta::minutes(n));
        assert_eq!(
            [minutes(0), minutes(5), minutes(60), minutes(192)],
            ["less than a minute", "5 min", "1 h", "3 h 12 min"]
        );
        assert_eq!([minutes(1_440), minutes(3_120)], ["1 d", "2 d 4 h"]);
    }

    #[test]
    fn shares_have_the_digits_that_matter() {
        assert_eq!(
            [0.0, 0.004, 0.61, 0.971, 0.9971, 1.0, 1.5].map(share),
            ["0 %", "0.4 %", "61 %", "97 %", "99.7 %", "100 %", "150 %"]
        );
        assert_eq!([144.0, 14.4, 0.933, 100.0, 0.0].map(plain), ["144", "14.4", "0.93", "100", "0"]);
        assert_eq!([count(0), count(1_234_567), count(-1_000)], ["0", "1\u{202f}234\u{202f}567", "−1\u{202f}000"]);
    }
}
