//! Names as Postgres reads them.

use sqlparser::ast::Ident;

use crate::domain::name::Identifier;

/// Folds a name as Postgres does: an unquoted one to lower case, ASCII letters only.
pub fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_ascii_lowercase() }
}

/// Returns a name, or an error if it is not one.
pub fn name(ident: &Ident) -> Result<Identifier, String> {
    match ident.quote_style {
        None | Some('"') => Identifier::new(&folded(ident)),
        Some(_) => Err(format!("`{ident}` is not a name: quote names with \"...\"")),
    }
}
