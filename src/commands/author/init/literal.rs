//! Values as a job file holds them.

/// Formats a limit with three digits, rounded up, as a TOML float.
pub(super) fn rounded(limit: f64) -> String {
    let digits = 10_f64.powf(2.0 - limit.abs().log10().floor());
    let limit = if digits.is_finite() { (limit * digits).ceil() / digits } else { limit };
    format!("{limit:?}")
}

/// Quotes a text for TOML.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_texts_are_as_a_job_file_holds_them() {
        assert_eq!(
            (rounded(123.456), rounded(0.012_345), rounded(98_765.4)),
            ("124.0".into(), "0.0124".into(), "98800.0".into())
        );
        assert_eq!(quoted("a\"b"), "'a\"b'");
    }
}
