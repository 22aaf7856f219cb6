//! Words that Postgres reads as the moment of reading: `now`, `today`, `tomorrow`, `yesterday`. A number that history keeps
//! must not depend on when it was computed, so they never reach a place where they would be read as a time.

use super::literal::Literal;
use super::read_call;
use super::tree::Scalar;
use super::types::SqlType;

const WORDS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether Postgres could read one of the words in a text.
pub fn is_named_in(text: &str) -> bool {
    let letters = text.split(|c: char| !c.is_ascii_alphabetic());
    letters.map(str::to_ascii_lowercase).any(|word| WORDS.contains(&word.as_str()))
}

/// A literal as a value. One that names a moment is a text and nothing else, where its type would be guessed from its place.
pub fn fixed(literal: Literal) -> Scalar {
    let names = matches!(&literal, Literal::Text(text) if is_named_in(text));
    let value = Scalar::Literal(literal);
    if names { Scalar::Cast(Box::new(value), SqlType::text()) } else { value }
}

/// A cast, or why it could depend on the moment.
pub fn cast(of: Scalar, to: SqlType) -> Result<Scalar, String> {
    let of = match of {
        // The type is said: nothing is guessed.
        Scalar::Cast(inner, text) if text == SqlType::text() && matches!(*inner, Scalar::Literal(_)) => match *inner {
            Scalar::Literal(Literal::Text(text)) if is_named_in(&text) => Scalar::Literal(Literal::Text(text)),
            other => Scalar::Cast(Box::new(other), SqlType::text()),
        },
        other => other,
    };
    if to.is_moment() && !is_fixed(&of) {
        return Err(
            "`now`, `today`, `tomorrow` and `yesterday` are not allowed as times: history that is computed again must \
                    come out the same"
                .to_owned(),
        );
    }
    Ok(Scalar::Cast(Box::new(of), to))
}

/// Whether what is cast to a time cannot be put together to one of the words. They all need an `o` or a `y`; literals of a
/// date or a zone abbreviation do not.
fn is_fixed(of: &Scalar) -> bool {
    match of {
        Scalar::Literal(Literal::Text(text)) => !is_named_in(text),
        other => pieces_are_fixed(other),
    }
}

fn pieces_are_fixed(part: &Scalar) -> bool {
    let every = |parts: &[Scalar]| parts.iter().all(pieces_are_fixed);
    match part {
        Scalar::Literal(Literal::Text(text)) => !text.contains(['o', 'O', 'y', 'Y']),
        // The text on its right is the name of a key.
        Scalar::Binary(left, operator, _) if operator.is_accessor() => pieces_are_fixed(left),
        Scalar::Binary(left, _, right) => pieces_are_fixed(left) && pieces_are_fixed(right),
        Scalar::Unary(_, of) | Scalar::Cast(of, _) => pieces_are_fixed(of),
        Scalar::Case { branches, otherwise, .. } => {
            branches.iter().all(|(_, result)| pieces_are_fixed(result))
                && otherwise.iter().all(|of| pieces_are_fixed(of))
        }
        // What these give is a point in time already; their texts are names of fields, zones and patterns.
        Scalar::AtTimeZone(..) | Scalar::Extract(..) => true,
        Scalar::Call(call) if read_call::gives_moment(call) || read_call::is_plain_pattern(call) => true,
        Scalar::Call(call) => call.arguments.as_deref().is_none_or(every),
        Scalar::Array(parts) | Scalar::Row(parts) => every(parts),
        Scalar::Element(of, _) => pieces_are_fixed(of),
        _ => true,
    }
}
