//! Reads the first line of a file: names that a table can have.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::mistake::{mistake, not_utf8};
use super::records::Record;
use super::{number, time};
use crate::domain::name::Identifier;

/// Maximum columns of a Postgres table.
const MOST_COLUMNS: usize = 1_600;
/// System columns, which every table has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// The name of a column.
pub(super) enum Name {
    Given(Identifier),
    /// A first column without a name, as pandas writes it; gets a name that no other column has.
    Index(Identifier),
    /// A last column without a name, made by a separator at the end of each line. It must be empty.
    Nothing,
}

/// Returns the names of the columns in order.
pub(super) fn names(path: &Path, header: Option<&Record>) -> Result<Vec<Name>> {
    let line = header.map_or(1, |header| header.line);
    let wrong = |column: Option<usize>, why: String| Err(mistake(path, line, column, why));
    let Some(header) = header else {
        return wrong(None, "the file is empty: its first line must name the columns".to_owned());
    };
    let mut given = Vec::new();
    for n in 0..header.len() {
        given.push(header.value(n).map_err(|line| not_utf8(path, line, n + 1))?);
    }
    if given.len() > MOST_COLUMNS {
        let why = format!("it names {} columns, but a Postgres table has at most {MOST_COLUMNS}", given.len());
        return wrong(Some(MOST_COLUMNS + 1), why);
    }
    if given.len() == 1 {
        let why = format!(
            "it has one column, `{}`: values must be separated by `,`, `;`, tabs or `|`, and each row needs a key and a value",
            given[0]
        );
        return wrong(None, why);
    }
    let data = given.iter().filter(|name| is_data(name)).count();
    if data * 2 > given.len() {
        return wrong(None, "it looks like data: the first line must name the columns".to_owned());
    }
    let (mut names, mut seen) = (Vec::new(), BTreeMap::new());
    for (n, name) in given.iter().enumerate() {
        if SYSTEM_COLUMNS.contains(name) {
            return wrong(Some(n + 1), format!("`{name}` is a name reserved by Postgres: rename the column"));
        }
        if let Some(first) = seen.insert(*name, n + 1)
            && !name.is_empty()
        {
            return wrong(Some(n + 1), format!("its name `{name}` is also that of column {first}: rename one of them"));
        }
        names.push(
            match *name {
                "" | "Unnamed: 0" if n == 0 => free_name(&given).map(Name::Index),
                "" if given[n..].iter().all(|rest| rest.is_empty()) => Ok(Name::Nothing),
                name => Identifier::new(name).map(Name::Given),
            }
            .map_err(|why| mistake(path, line, Some(n + 1), why))?,
        );
    }
    Ok(names)
}

/// True for a value where a name should be.
fn is_data(name: &str) -> bool {
    number::form(name).is_some() || time::form(name).is_some()
}

/// Returns `index`, or a similar name that is not taken.
fn free_name(taken: &[&str]) -> Result<Identifier, String> {
    let numbered = (1..=taken.len()).map(|n| format!("index_{n}"));
    let mut free = ["index".to_owned()].into_iter().chain(numbered).filter(|name| !taken.contains(&name.as_str()));
    Identifier::new(&free.next().unwrap_or_default())
}
