//! A TOML file with the position of each of its values, so that any later finding can point at its line.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::spec::diagnostic::{Diagnostic, Level};
use crate::spec::schema;

/// One file: its name for messages, its text, and the position of each value.
pub struct Document {
    /// Path as shown in messages.
    pub path: String,
    pub text: String,
    /// Byte range of every value by its path, such as `alerts[0].above`.
    places: BTreeMap<String, Range<usize>>,
}

impl Document {
    /// Parses the text as TOML. Returns all syntax errors at once.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let (table, mistakes) = DeTable::parse_recoverable(text);
        if !mistakes.is_empty() {
            return Err(mistakes.iter().map(|mistake| syntax_mistake(mistake, text)).collect());
        }
        let mut places = BTreeMap::new();
        place_table(table.get_ref(), "", &mut places);
        Ok(Self { path: path.to_owned(), text: text.to_owned(), places })
    }

    /// Reads the document as `T`, or returns everything that does not fit.
    pub fn read<T: DeserializeOwned + schemars::JsonSchema>(&self) -> Result<T, Vec<Diagnostic>> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let findings = schema::validate::<T>(table.get_ref());
        if findings.iter().any(|finding| finding.level == Level::Error) {
            return Err(findings);
        }
        toml::from_str(&self.text).map_err(|mistake| vec![syntax_mistake(&mistake, &self.text)])
    }

    /// Returns the byte range of the value at a path such as `alerts[0].above`, or of its nearest parent if it is missing.
    pub fn locate(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 0..0,
            }
        }
    }

    /// Returns every string in the file, with its path.
    pub fn texts(&self) -> Vec<(String, String)> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let mut found = Vec::new();
        texts_of(&DeValue::Table(table.into_inner()), "", &mut found);
        found
    }

    /// True if the file has a value at the path.
    pub fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Creates an error at the value of a path.
    pub fn error(&self, path: &str, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.locate(path), message)
    }
}

fn syntax_mistake(mistake: &toml::de::Error, text: &str) -> Diagnostic {
    let span = mistake.span().unwrap_or(0..text.len().min(1));
    Diagnostic::error("toml-syntax", span, mistake.message().trim().to_owned())
        .hint("fix the TOML syntax: strings go in double quotes, table names in [brackets]")
}

fn texts_of(value: &DeValue<'_>, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        DeValue::String(text) => found.push((path.to_owned(), text.clone().into_owned())),
        DeValue::Table(table) => {
            for (key, value) in table.iter() {
                let name: &str = key.get_ref();
                let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                texts_of(value.get_ref(), &child, found);
            }
        }
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts_of(item.get_ref(), &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn place_table(table: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, Range<usize>>) {
    for (key, value) in table.iter() {
        let name: &str = key.get_ref();
        let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        place_value(value, &child, key.span(), places);
    }
}

/// A value without a position of its own, such as a table that only its sub-tables imply, gets the position of its key.
fn place_value(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    key: Range<usize>,
    places: &mut BTreeMap<String, Range<usize>>,
) {
    let span = if value.span().is_empty() { key } else { value.span() };
    match value.get_ref() {
        DeValue::Table(table) => place_table(table, path, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                place_value(item, &format!("{path}[{index}]"), span.clone(), places);
            }
        }
        _ => {}
    }
    places.insert(path.to_owned(), span);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_finds_its_value() {
        let text = "[job]\nname = \"a\"\n[[alerts]]\nabove = 1.0\n[[alerts]]\nabove = 2.5\n";
        let document = Document::parse("a.toml", text).unwrap();
        assert_eq!(&text[document.locate("alerts[1].above")], "2.5");
        assert_eq!(&text[document.locate("job.name")], "\"a\"");
        assert!(document.has("alerts[1].above") && !document.has("alerts[1].below"));
    }

    #[test]
    fn a_missing_value_points_at_its_nearest_parent() {
        let text = "[job]\nname = \"a\"\n";
        let document = Document::parse("a.toml", text).unwrap();
        assert_eq!(&text[document.locate("job.owner")], "[job]");
    }
}
