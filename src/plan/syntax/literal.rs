//! Literals, read and printed so that no session setting can change their meaning.

use std::fmt;

use sqlparser::ast::Value;

use crate::domain::name::text_literal;

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// Contains no NUL, which Postgres cannot store.
    Text(String),
    /// Digits with at most one point and an exponent; never signed.
    Number(String),
    Boolean(bool),
    Null,
}

impl Literal {
    /// Converts a literal. The error says why it is not allowed.
    pub fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::SingleQuotedString(text) => Self::text(text),
            Value::DollarQuotedString(quoted) => Self::text(&quoted.value),
            Value::Number(digits, false) if is_number(digits) => Ok(Self::Number(digits.clone())),
            Value::Boolean(value) => Ok(Self::Boolean(*value)),
            Value::Null => Ok(Self::Null),
            Value::Placeholder(_) => Err("placeholders are not allowed".to_owned()),
            other => Err(format!("`{other}` is not allowed: write strings as plain '...', with '' for a quote")),
        }
    }

    /// Returns a text literal.
    pub fn text(text: &str) -> Result<Self, String> {
        if text.contains('\0') {
            return Err("a string contains a NUL character, which Postgres cannot store".to_owned());
        }
        Ok(Self::Text(text.to_owned()))
    }
}

fn is_number(digits: &str) -> bool {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).map_or((digits, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && all_digits(e))
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&text_literal(text)),
            Self::Number(digits) => f.write_str(digits),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Null => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_so_that_it_cannot_end_itself() {
        for (text, printed) in [
            ("", "''"),
            ("a'b", "'a''b'"),
            ("a\\", "$t$a\\$t$"),
            ("\\'", "$t$\\'$t$"),
            ("\\$t$", "$tt$\\$t$$tt$"),
            ("\\$t", "$tt$\\$t$tt$"),
            ("\\$t$ $tt", "$ttt$\\$t$ $tt$ttt$"),
        ] {
            assert_eq!(text_literal(text), printed);
        }
    }

    #[test]
    fn only_plain_numbers_are_numbers() {
        for number in ["1", "1.", ".5", "1.5e10", "1E-3", "00"] {
            assert!(is_number(number), "{number}");
        }
        for other in ["", ".", "e5", "1e", "1e+", "0x1F", "1_000", "1.2.3", "-1", "NaN"] {
            assert!(!is_number(other), "{other}");
        }
    }
}
