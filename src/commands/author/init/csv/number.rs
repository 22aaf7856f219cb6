//! Numbers as people and programs write them: with a point or a comma for decimals, and with groups of thousands.

/// The decimal sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decimal {
    Point,
    Comma,
}

/// The form of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Integer,
    /// More digits than a Postgres integer has: likely a code.
    Huge,
    /// Digits grouped by blanks or apostrophes.
    Grouped,
    /// Certainly with this decimal sign.
    Sure(Decimal),
    /// `1,234`: this decimal sign, or a group of thousands.
    Maybe(Decimal),
}

const GROUPS: [char; 5] = [' ', '\u{a0}', '\u{202f}', '\'', '’'];

/// Returns the form of a value, if it is a number. Digits after a leading zero are a code, such as `00017`.
pub(super) fn form(value: &str) -> Option<Form> {
    let unsigned = value.strip_prefix(['-', '+', '−']).unwrap_or(value);
    if ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Some(Form::Sure(Decimal::Point));
    }
    let (body, has_exponent) = match unsigned.split_once(['e', 'E']) {
        Some((body, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
            is_digits(digits).then_some((body, true))?
        }
        None => (unsigned, false),
    };
    if unsigned.len() == value.len() && body.starts_with('0') && body[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if is_digits(body) {
        return Some(match (has_exponent, body.len() > 18 && value.parse::<i64>().is_err()) {
            (true, _) => Form::Sure(Decimal::Point),
            (_, true) => Form::Huge,
            _ => Form::Integer,
        });
    }
    let is_mark = |c: char| c == '.' || c == ',' || GROUPS.contains(&c);
    if !body.chars().all(|c| c.is_ascii_digit() || is_mark(c)) || !body.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let parts: Vec<&str> = body.split(is_mark).collect();
    let marks: Vec<char> = body.chars().filter(|c| is_mark(*c)).collect();
    let form = marked(&parts, &marks)?;
    Some(if has_exponent { certain(form) } else { form })
}

fn certain(form: Form) -> Form {
    match form {
        Form::Maybe(decimal) => Form::Sure(decimal),
        form => form,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the form by the marks between digits.
fn marked(parts: &[&str], marks: &[char]) -> Option<Form> {
    let (last, before) = marks.split_last()?;
    let (first, rest) = parts.split_first()?;
    let (fraction, groups) = rest.split_last()?;
    let starts_group = (1..=3).contains(&first.len()) && !first.starts_with('0');
    let grouped = |groups: &[&str]| starts_group && groups.iter().all(|group| group.len() == 3);
    let sign = |mark: char| if mark == ',' { Decimal::Comma } else { Decimal::Point };
    let other = |mark: char| if mark == ',' { Decimal::Point } else { Decimal::Comma };
    match (before, GROUPS.contains(last)) {
        (before, true) => (before.iter().all(|mark| mark == last) && grouped(rest)).then_some(Form::Grouped),
        ([], false) if fraction.len() == 3 && starts_group => Some(Form::Maybe(sign(*last))),
        ([], false) => (*last == '.' || !fraction.is_empty()).then_some(Form::Sure(sign(*last))),
        ([mark, ..], false) if before.iter().all(|one| one == mark) => match mark == last {
            // `1.234.567`: groups by this sign, so the other one is the decimal sign.
            true => grouped(rest).then_some(Form::Sure(other(*last))),
            false => grouped(groups).then_some(Form::Sure(sign(*last))),
        },
        _ => None,
    }
}

/// Writes a number as Postgres reads it: a point for decimals, and no groups.
pub(super) fn normal(value: &str, decimal: Decimal) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match (c, decimal) {
            ('−', _) => text.push('-'),
            ('.', Decimal::Point) | (',', Decimal::Comma) => text.push('.'),
            ('.' | ',', _) => {}
            (c, _) if GROUPS.contains(&c) => {}
            (c, _) => text.push(c),
        }
    }
    text
}

/// True for a number out of the range of double precision: `1e400`, `1e-400`.
pub(super) fn is_out_of_range(normal: &str) -> bool {
    let digits = normal.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !digits.contains(|c: char| ('1'..='9').contains(&c));
    let has_digits = digits.contains(|c: char| c.is_ascii_digit());
    normal.parse::<f64>().is_ok_and(|number| has_digits && (number.is_infinite() || (number == 0.0 && !is_zero)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_by_its_marks() {
        use Decimal::{Comma, Point};
        for (value, expected) in [
            ("17", Some(Form::Integer)),
            ("-5", Some(Form::Integer)),
            ("+5", Some(Form::Integer)),
            ("0", Some(Form::Integer)),
            ("00017", None),
            ("12345678901234567890", Some(Form::Huge)),
            ("1.5", Some(Form::Sure(Point))),
            (".5", Some(Form::Sure(Point))),
            ("5.", Some(Form::Sure(Point))),
            ("1e5", Some(Form::Sure(Point))),
            ("-1.25E-3", Some(Form::Sure(Point))),
            ("1.234", Some(Form::Maybe(Point))),
            ("0.123", Some(Form::Sure(Point))),
            ("1234.567", Some(Form::Sure(Point))),
            ("3,5", Some(Form::Sure(Comma))),
            ("1,234", Some(Form::Maybe(Comma))),
            ("0,123", Some(Form::Sure(Comma))),
            ("1,234e2", Some(Form::Sure(Comma))),
            ("1,234,567", Some(Form::Sure(Point))),
            ("1.234.567", Some(Form::Sure(Comma))),
            ("1,234.5", Some(Form::Sure(Point))),
            ("1.234,5", Some(Form::Sure(Comma))),
            ("1 234,5", Some(Form::Sure(Comma))),
            ("1'234.50", Some(Form::Sure(Point))),
            ("1\u{a0}234", Some(Form::Grouped)),
            ("12 34", None),
            ("1.2.3", None),
            ("192.168.0.1", None),
            ("1,2,3", None),
            ("5,", None),
            ("1,234.5.6", None),
            ("inf", Some(Form::Sure(Point))),
            ("12 EUR", None),
            ("e5", None),
            ("1e", None),
            (".", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(form(value), expected, "{value}");
        }
    }

    #[test]
    fn numbers_are_written_as_postgres_reads_them() {
        for (value, decimal, expected) in [
            ("1.234,5", Decimal::Comma, "1234.5"),
            ("1,234.5", Decimal::Point, "1234.5"),
            ("−3", Decimal::Point, "-3"),
            ("1 234", Decimal::Comma, "1234"),
            ("1,5E+03", Decimal::Comma, "1.5E+03"),
        ] {
            assert_eq!(normal(value, decimal), expected);
        }
    }

    #[test]
    fn a_number_is_in_range_or_not() {
        for value in ["1e400", "-1e400", "1e-400", "9".repeat(400).as_str()] {
            assert!(is_out_of_range(value), "{value}");
        }
        for value in ["1e308", "0", "0.0", "0e999", "-0", "inf", "NaN", "infinity", "1e-300", "x1e400", ""] {
            assert!(!is_out_of_range(value), "{value}");
        }
    }
}
