//! Words that Postgres reads as the current time: `now`, `today`, `tomorrow`, `yesterday`. A number in history must not
//! depend on when it was computed, so these words never reach a place where they would be read as a time.

use super::literal::Literal;
use super::read_call;
use super::tree::{Function, Query, Scalar};
use super::types::SqlType;
use super::walk::values;

const WORDS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// True if Postgres could read one of the words in a text. In an array, a backslash before a letter means the letter.
pub fn is_named_in(text: &str) -> bool {
    let plain = text.replace('\\', "");
    let letters = plain.split(|c: char| !c.is_ascii_alphabetic());
    letters.map(str::to_ascii_lowercase).any(|word| WORDS.contains(&word.as_str()))
}

/// A literal as a value. One that names a moment is cast to text, or Postgres would infer its type from the context.
pub fn fixed(literal: Literal) -> Scalar {
    let names = matches!(&literal, Literal::Text(text) if is_named_in(text));
    let value = Scalar::Literal(literal);
    if names { Scalar::Cast(Box::new(value), SqlType::text()) } else { value }
}

/// Undoes [`fixed`].
pub fn plain(value: Scalar) -> Scalar {
    match value {
        Scalar::Cast(inner, text) if text == SqlType::text() && matches!(*inner, Scalar::Literal(_)) => *inner,
        other => other,
    }
}

/// Returns a cast, or an error if it could depend on the current time.
pub fn cast(of: Scalar, to: SqlType) -> Result<Scalar, String> {
    let of = match of {
        // With an explicit type nothing is inferred.
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
            return Err("only a column or a plain literal such as '2025-01-31 12:00' can be cast to a time; set its \
                        zone with `at time zone`"
                .to_owned());
        }
    }
    Ok(Scalar::Cast(Box::new(of), to))
}

fn refusal() -> String {
    "`now`, `today`, `tomorrow` and `yesterday` are not allowed as times: recomputed history must not differ".to_owned()
}

/// Refuses a query that names a moment in one place and casts to a time in another: a column of a subquery may connect
/// the two.
pub fn expect_fixed(query: &Query) -> Result<(), String> {
    let (mut named, mut casts) = (false, false);
    query.visit(&mut values(|part| match part {
        Scalar::Cast(of, to) | Scalar::CastCall(of, to) => match of.as_ref() {
            // The form in which a literal is stored by `fixed`; a key name in JSON is not cast.
            Scalar::Literal(Literal::Text(text)) => named |= is_named_in(text),
            _ => casts |= to.is_moment(),
        },
        _ => {}
    }));
    if named && casts { Err(refusal()) } else { Ok(()) }
}

/// True if a value depends on a column or an explicit point in time; a constant must be written as one literal.
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

/// True if no literal in a value that is cast to a time could be part of one of the words; errs on the safe side. All of
/// the words need an `o` or a `y`; backslashes can spell any letter.
fn pieces_are_fixed(part: &Scalar) -> bool {
    let every = |parts: &[Scalar]| parts.iter().all(pieces_are_fixed);
    match part {
        Scalar::Literal(Literal::Text(text)) => !text.contains(['o', 'O', 'y', 'Y', '\\']),
        // The text on the right is the name of a key.
        Scalar::Binary(left, operator, _) if operator.is_accessor() => pieces_are_fixed(left),
        Scalar::Binary(left, _, right) => pieces_are_fixed(left) && pieces_are_fixed(right),
        Scalar::Unary(_, of) | Scalar::Cast(of, _) | Scalar::CastCall(of, _) | Scalar::Named(_, of) => {
            pieces_are_fixed(of)
        }
        Scalar::Case { branches, otherwise, .. } => {
            branches.iter().all(|(_, result)| pieces_are_fixed(result))
                && otherwise.iter().all(|of| pieces_are_fixed(of))
        }
        // These already operate on points in time; their texts are names of fields and zones.
        Scalar::AtTimeZone(..) | Scalar::Extract(..) => true,
        Scalar::Call(call) if read_call::gives_moment(call) => true,
        Scalar::Call(call) => match (&call.function, call.arguments.as_deref()) {
            // Letters of a pattern that are not a field are copied literally.
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
