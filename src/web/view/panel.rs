//! Heading and links of a panel. Every panel has the query behind it, so that its numbers can be checked.

use chrono::{DateTime, Utc};

use crate::domain::name::text_literal;
use crate::text::links::instant;

/// A panel of a page.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Identifier within the page.
    pub id: &'static str,
    pub title: String,
    /// One sentence about what it shows.
    pub says: String,
    /// The query over the public views, with the filters of the page.
    pub sql: String,
    /// Name and address of the same data in other formats.
    pub downloads: Vec<(&'static str, String)>,
    /// Address that shows this panel alone.
    pub alone: String,
    /// Why there is nothing to show.
    pub empty: Option<String>,
}

impl Panel {
    pub fn new(id: &'static str, title: impl Into<String>, says: impl Into<String>) -> Self {
        Self { id, title: title.into(), says: says.into(), ..Self::default() }
    }

    #[must_use]
    pub fn sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = sql.into();
        self
    }

    #[must_use]
    pub fn download(mut self, name: &'static str, address: String) -> Self {
        self.downloads.push((name, address));
        self
    }

    #[must_use]
    pub fn alone(mut self, address: String) -> Self {
        self.alone = address;
        self
    }

    #[must_use]
    pub fn empty_if(mut self, is_empty: bool, why: &str) -> Self {
        if is_empty && self.empty.is_none() {
            self.empty = Some(why.to_owned());
        }
        self
    }

    /// Takes what was read, or says why it could not be.
    pub fn take<T: Default>(&mut self, read: Result<T, String>) -> T {
        read.unwrap_or_else(|why| {
            self.empty = Some(why);
            T::default()
        })
    }
}

/// A time as an SQL literal.
pub fn time_literal(at: DateTime<Utc>) -> String {
    format!("'{}'", instant(at))
}

/// `column = 'value'`, or `column is null`.
pub fn equals(column: &str, value: Option<&str>) -> String {
    value.map_or_else(|| format!("{column} is null"), |value| format!("{column} = {}", text_literal(value)))
}
