//! Addresses of the form `host=localhost port=5432 dbname=mine`.

use std::iter::Peekable;
use std::str::Chars;

use anyhow::{Context as _, Result, bail, ensure};

use super::parameters::{KNOWN, Known, Parameters, find};

/// Reads `name=value` pairs. A value with spaces is quoted by `'`; `\` escapes the next character.
pub(super) fn read(text: &str, parameters: &mut Parameters) -> Result<()> {
    let mut rest = text.chars().peekable();
    let mut after_password = false;
    loop {
        skip_spaces(&mut rest);
        if rest.peek().is_none() {
            return Ok(());
        }
        let name = name(&mut rest)?;
        let value = value(&mut rest)?;
        parameters.set(known(&name, !after_password)?, value)?;
        after_password |= name.ends_with("password");
    }
}

fn skip_spaces(rest: &mut Peekable<Chars>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

fn name(rest: &mut Peekable<Chars>) -> Result<String> {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_whitespace()) {
        name.push(c);
    }
    skip_spaces(rest);
    ensure!(
        rest.next_if_eq(&'=').is_some(),
        "`DATABASE_URL` has a word without `=`: quote a value with spaces as 'two words', and write `'` and `\\` as \\' and \\\\"
    );
    skip_spaces(rest);
    Ok(name)
}

fn value(rest: &mut Peekable<Chars>) -> Result<String> {
    let is_quoted = rest.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\\') => value.extend(rest.next()),
            Some('\'') if is_quoted => return Ok(value),
            None if is_quoted => bail!("`DATABASE_URL` has a `'` that is not closed"),
            None => return Ok(value),
            Some(c) if !is_quoted && c.is_whitespace() => return Ok(value),
            Some(c) => value.push(c),
        }
    }
}

/// Looks up a parameter by the name in an address. An error quotes the name only if it cannot be part of a password.
pub(super) fn known(name: &str, is_safe: bool) -> Result<&'static Known> {
    let can_be_shown = is_safe && name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
    find(name).with_context(|| match can_be_shown {
        false => "`DATABASE_URL` has an unknown parameter; it is not shown because it may be part of a \
                  password: percent-encode `&` as %26 and `?` as %3F in an address, and quote a value with spaces as \
                  'two words' among name=value pairs"
            .to_owned(),
        true => {
            let near = KNOWN.iter().map(|known| (strsim::damerau_levenshtein(name, known.name), known.name)).min();
            let near = near.filter(|(distance, _)| *distance <= 3).map(|(_, near)| format!("; did you mean `{near}`?"));
            format!(
                "`DATABASE_URL` has the unknown parameter `{name}`{}",
                near.unwrap_or_else(|| "; parameters are those of libpq".to_owned())
            )
        }
    })
}
