//! Durations as they are written in job files: `15m`, `24h`, `7d`, `2w`.

use chrono::TimeDelta;

/// Parses a whole number and a unit: `s`, `m`, `h`, `d` (24 hours) or `w` (7 days). The message says what is wrong.
pub fn parse(text: &str) -> Result<TimeDelta, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(format!("`{text}` is not a duration")),
    };
    number
        .parse::<i64>()
        .ok()
        .filter(|number| *number > 0)
        .and_then(|number| number.checked_mul(seconds))
        .filter(|total| *total <= MOST_SECONDS)
        .and_then(TimeDelta::try_seconds)
        .ok_or_else(|| format!("`{text}` is not a duration between 1s and 10 years"))
}

/// Ten years: anything longer is a typo.
const MOST_SECONDS: i64 = 10 * 366 * 86_400;

/// How to write a duration, for hints.
pub const HINT: &str = "write a whole number and a unit, such as `15m`, `24h` or `7d`";

/// Formats a duration in its largest whole unit: `90m`, `24h`, `35d`.
pub fn format(duration: TimeDelta) -> String {
    let seconds = duration.num_seconds();
    let (size, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
        .into_iter()
        .find(|(size, _)| seconds != 0 && seconds % size == 0)
        .unwrap_or((1, 's'));
    format!("{}{unit}", seconds / size)
}

/// Returns the greatest common divisor, in seconds. Zero is neutral.
pub fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds) in [("1s", 1), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)] {
            assert_eq!(parse(text).map(|d| d.num_seconds()), Ok(seconds), "{text}");
        }
        assert_eq!(format(TimeDelta::seconds(5_400)), "90m");
        assert_eq!(format(TimeDelta::days(35)), "35d");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "15", "m", "1.5h", "-1h", "0s", "1mo", "99999999999999999999d", "15 m", "4000000w"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
