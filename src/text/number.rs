//! Numbers for people.

/// Four significant digits, or all digits before the point.
pub fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || (1_000.0..1e15).contains(&magnitude) {
        return format!("{value:.0}");
    }
    if !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the magnitude was just bounded")]
    let decimals = (3 - magnitude.log10().floor() as i32).max(0) as usize;
    format!("{value:.decimals$}")
}

/// A value with its unit, or `no value`.
pub fn amount(value: Option<f64>, unit: &str) -> String {
    value.map_or("no value".to_owned(), |value| format!("{}{unit}", number(value)))
}

/// A share from 0 to 1 in whole percent.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
