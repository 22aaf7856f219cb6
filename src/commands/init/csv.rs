//! Two CSV files as tables: their columns' types are found by reading all of it.

use std::path::Path;

use anyhow::Result;
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use super::{file, progress, user_error};
use crate::measure::import;
use crate::plan::name::Identifier;
use crate::plan::sql::import::{NewTable, SCHEMA};

/// What became of the files.
pub(super) struct Loaded {
    pub predictions: String,
    pub labels: String,
    /// What a reader should know about how they were read.
    pub notes: Vec<String>,
}

/// Loads both, in place of what was loaded under these names before.
pub(super) async fn load(connection: &mut PgConnection, predictions: &Path, labels: &Path) -> Result<Loaded> {
    let mut notes = Vec::new();
    let mut names = Vec::new();
    for path in [predictions, labels] {
        let spinner = progress::spinner(&format!("reading {}", path.display()));
        let file = file::read(path)?;
        let name = table_name(path, &names);
        if file.columns.iter().any(|column| column.is_naive) {
            notes.push(format!("note: times without a zone in `{}` are taken as UTC", path.display()));
        }
        let columns = file.columns.iter().map(|column| (column.name.clone(), column.kind.sql()));
        let table = NewTable { name: Identifier::new(&name).map_err(user_error)?, columns: columns.collect() };
        let rows = import::load(connection, &table, &file.text).await.map_err(|error| load_failed(path, error))?;
        spinner.finish();
        notes.push(format!("{rows} rows of `{}` are in {SCHEMA}.{name}", path.display()));
        names.push(name);
    }
    let written = |name: &str| format!("{SCHEMA}.{name}");
    Ok(Loaded { predictions: written(&names[0]), labels: written(&names[1]), notes })
}

/// What the server refuses in the data or the shape of a file is the user's to change.
fn load_failed(path: &Path, error: sqlx::Error) -> anyhow::Error {
    let database = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let of_data = database.filter(|error| ["22", "42", "54"].iter().any(|class| error.code().starts_with(class)));
    match of_data {
        Some(error) => {
            let place = error.r#where().map_or(String::new(), |place| format!(" ({place}, the header not counted)"));
            user_error(format!("`{}` could not be loaded: {}{place}", path.display(), error.message()))
        }
        None => anyhow::Error::new(error).context(format!("could not load `{}`", path.display())),
    }
}

/// A table's name from a file's, unlike those that are taken.
fn table_name(path: &Path, taken: &[String]) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mapped: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    let name = if mapped.starts_with(|c: char| c.is_ascii_alphabetic()) { mapped } else { format!("t_{mapped}") };
    if taken.contains(&name) { format!("{name}_2") } else { name }
}
