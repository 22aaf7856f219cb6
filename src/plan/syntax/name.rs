//! Names as Postgres reads them.

use sqlparser::ast::Ident;

use crate::domain::name::Identifier;

/// As Postgres folds names: an unquoted one to lower case, letters of ASCII only.
pub fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// A name, or why it is none.
pub fn name(ident: &Ident) -> Result<Identifier, String> {
    match ident.quote_style {
        None | Some('"') => Identifier::new(&folded(ident)),
        Some(_) => Err(format!("`{ident}` is not a name: quote names with \"...\"")),
    }
}
