//! Names in SQL: a column is a newtype that always prints quoted; a table name is parsed and requoted.

use std::fmt;

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// One name in SQL. Always displays quoted, so that nothing in it can end the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identifier(String);

impl Identifier {
    /// Takes a column name literally. Postgres names are 1 to 63 bytes long.
    pub fn new(name: &str) -> Result<Self, String> {
        match name {
            "" => Err("a column name is empty".to_owned()),
            long if long.len() > 63 => Err(format!("`{name}` is longer than 63 bytes, the limit of a Postgres name")),
            zero if zero.contains('\0') => Err("a column name contains a NUL character".to_owned()),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// Returns the bare name, for messages and for comparing with the catalog.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.0))
    }
}

/// A table or view with its schema. Displays quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    pub schema: Identifier,
    pub table: Identifier,
}

impl TableName {
    /// Parses `schema.table`, written as in SQL: unquoted names are folded to lower case.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = parse_parts(text).ok_or_else(|| format!("`{text}` is not a table name"))?;
        match parts.as_slice() {
            [schema, table] => {
                let name = Self { schema: Identifier::new(schema)?, table: Identifier::new(table)? };
                name.expect_data().map(|()| name)
            }
            [_] => Err(format!("`{text}` has no schema")),
            _ => Err(format!("`{text}` has too many parts")),
        }
    }
}

impl TableName {
    /// Refuses tables without user data: the server's catalogs and statistics change without a row being written.
    pub fn expect_data(&self) -> Result<(), String> {
        let schema = self.schema.as_str();
        if schema == "trueup" {
            return Err("the schema `trueup` holds the history; a job cannot read it".to_owned());
        }
        let of_server = ["pg_catalog", "information_schema"].contains(&schema)
            || schema.starts_with("pg_toast")
            || schema.starts_with("pg_temp");
        match of_server {
            true => Err(format!(
                "`{schema}.{}` belongs to the server and holds no user data: name a table or view",
                self.table.as_str()
            )),
            false => Ok(()),
        }
    }
}

fn parse_parts(text: &str) -> Option<Vec<String>> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect).try_with_sql(text).ok()?;
    let name = parser.parse_object_name(false).ok()?;
    if parser.peek_token().token != sqlparser::tokenizer::Token::EOF {
        return None;
    }
    let fold = |ident: &sqlparser::ast::Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    };
    name.0.iter().map(|part| part.as_ident().map(fold)).collect()
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// Quotes a name for SQL so that it is taken literally.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text as a literal. In plain quotes a session setting decides the meaning of a backslash, so a text with one is
/// dollar-quoted, where nothing is interpreted.
pub fn text_literal(text: &str) -> String {
    if !text.contains('\\') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut tag = "$t$".to_owned();
    // The tag must not occur earlier, not even overlapping the end of the text and the closing tag.
    while format!("{text}{tag}").find(&tag) != Some(text.len()) {
        tag.insert(1, 't');
    }
    format!("{tag}{text}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_cannot_end_its_quotes() {
        let column = Identifier::new("a\"; drop table x; --").unwrap();
        assert_eq!(column.to_string(), "\"a\"\"; drop table x; --\"");
    }

    #[test]
    fn a_table_is_read_as_sql_reads_it() {
        assert_eq!(TableName::parse("Public.Load").unwrap().to_string(), "\"public\".\"load\"");
        assert_eq!(TableName::parse("public.\"Load Forecast\"").unwrap().to_string(), "\"public\".\"Load Forecast\"");
    }

    #[test]
    fn what_is_not_one_qualified_table_is_refused() {
        for text in ["load", "a.b.c", "a.b; drop table c", "a.b c", "", "(select 1)", "a.b -- x\n c"] {
            assert!(TableName::parse(text).is_err(), "{text}");
        }
    }
}
