//! Words that programs write for a missing value.

/// In lower case.
const WORDS: &[&str] = &[
    "na", "n/a", "n.a.", "#n/a", "#na", "<na>", "nan", "-nan", "nat", "null", "(null)", "<null>", "#null!", "nil",
    "none", "(none)", "missing", "\\n", "-", "--", "---", "–", "—", "?", ".", "..", "#div/0!", "#value!", "#ref!",
    "#num!", "#name?",
];
const LONGEST: usize = 9;

/// True for a missing value.
pub(super) fn is_missing(value: &str) -> bool {
    if value.len() > LONGEST || value.starts_with(|c: char| c.is_ascii_digit()) {
        return value.is_empty();
    }
    value.is_empty() || WORDS.contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_no_value_are_known_in_any_case() {
        for value in ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-", "NaT", "#N/A", "<NA>", "\\N", "?"] {
            assert!(is_missing(value), "{value}");
        }
        for value in ["0", "-1", "nat1", "north", "no", "N", "nano", "none of them", "-5"] {
            assert!(!is_missing(value), "{value}");
        }
    }
}
