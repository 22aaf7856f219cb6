//! Words that Postgres reads as the moment of reading: `now`, `today`, `tomorrow`, `yesterday`. A number that history keeps
//! must not depend on when it was computed, so they never reach a place where they would be read as a time.

use super::literal::Literal;
use super::read_call;
use super::tree::{Function, Query, Scalar};
use super::types::SqlType;
use super::walk::values;

const WORDS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Whether Postgres could read one of the words in a text. In an array a backslash before a letter means the letter.
pub fn is_named_in(text: &str) -> bool {
    let plain = text.replace('\\', "");
    let letters = plain.split(|c: char| !c.is_ascii_alphabetic());
    letters.map(str::to_ascii_lowercase).any(|word| WORDS.contains(&word.as_str()))
}

/// A literal as a value. One that names a moment is a text and nothing else, where its type would be guessed from its place.
pub fn fixed(literal: Literal) -> Scalar {
    let names = matches!(&literal, Literal::Text(text) if is_named_in(text));
    let value = Scalar::Literal(literal);
    if names { Scalar::Cast(Box::new(value), SqlType::text()) } else { value }
}

/// Takes back what [`fixed`] did.
pub fn plain(value: Scalar) -> Scalar {
    match value {
        Scalar::Cast(inner, text) if text == SqlType::text() && matches!(*inner, Scalar::Literal(_)) => *inner,
        other => other,
    }
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
    match (to.is_moment(), &of) {
        (false, _) => {}
        (true, Scalar::Literal(Literal::Text(text))) if is_named_in(text) => return Err(refusal()),
        (true, Scalar::Literal(_)) => {}
        (true, other) if has_data(other) && pieces_are_fixed(other) => {}
        (true, _) => {
            return Err("a time is cast from a column, or from a plain literal such as '2025-01-31 12:00'; put a zone behind it \
                        with `at time zone`"
                .to_owned());
        }
    }
    Ok(Scalar::Cast(Box::new(of), to))
}

fn refusal() -> String {
    "`now`, `today`, `tomorrow` and `yesterday` are not allowed as times: history that is computed again must come out the same"
        .to_owned()
}

/// Refuses a query that names a moment in one place and casts to a time in another: a column of a subquery may carry the
/// one to the other.
pub fn expect_fixed(query: &Query) -> Result<(), String> {
    let (mut named, mut casts) = (false, false);
    query.visit(&mut values(|part| match part {
        Scalar::Cast(of, to) | Scalar::CastCall(of, to) => match of.as_ref() {
            // As such a literal is taken; a name of a key in JSON is not cast.
            Scalar::Literal(Literal::Text(text)) => named |= is_named_in(text),
            _ => casts |= to.is_moment(),
        },
        _ => {}
    }));
    if named && casts { Err(refusal()) } else { Ok(()) }
}

/// Whether a value depends on a column or a point in time that is written out: constants alone are written as one literal.
fn has_data(value: &Scalar) -> bool {
    let mut found = false;
    value.visit(&mut values(|part| match part {
        Scalar::Column(_) => found = true,
        Scalar::Cast(_, to) => found |= to.is_moment(),
        Scalar::Call(call) => found |= read_call::gives_moment(call),
        _ => {}
    }));
    found
}

/// A guess that errs on the safe side: whether no literal in what is cast to a time could be part of one of the words. All
/// of them need an `o` or a `y`; backslashes can spell any letter.
fn pieces_are_fixed(part: &Scalar) -> bool {
    let every = |parts: &[Scalar]| parts.iter().all(pieces_are_fixed);
    match part {
        Scalar::Literal(Literal::Text(text)) => !text.contains(['o', 'O', 'y', 'Y', '\\']),
        // The text on its right is the name of a key.
        Scalar::Binary(left, operator, _) if operator.is_accessor() => pieces_are_fixed(left),
        Scalar::Binary(left, _, right) => pieces_are_fixed(left) && pieces_are_fixed(right),
        Scalar::Unary(_, of) | Scalar::Cast(of, _) | Scalar::CastCall(of, _) | Scalar::Named(_, of) => {
            pieces_are_fixed(of)
        }
        Scalar::Case { branches, otherwise, .. } => {
            branches.iter().all(|(_, result)| pieces_are_fixed(result))
                && otherwise.iter().all(|of| pieces_are_fixed(of))
        }
        // What these give is a point in time already; their texts are names of fields and zones.
        Scalar::AtTimeZone(..) | Scalar::Extract(..) => true,
        Scalar::Call(call) if read_call::gives_moment(call) => true,
        Scalar::Call(call) => match (&call.function, call.arguments.as_deref()) {
            // Letters of a pattern that are no field stand for themselves.
            (Function::Builtin("to_char"), Some([of, Scalar::Literal(Literal::Text(pattern))])) => {
                pieces_are_fixed(of) && !pattern.contains(['o', 'O', '"', '\\'])
            }
            (Function::Builtin("decode" | "encode"), _) => false,
            (_, arguments) => arguments.is_none_or(every),
        },
        Scalar::Array(parts) | Scalar::Row(parts) => every(parts),
        Scalar::Element(of, _) => pieces_are_fixed(of),
        Scalar::Subquery(_) | Scalar::ArrayOf(_) => false,
        _ => true,
    }
}
