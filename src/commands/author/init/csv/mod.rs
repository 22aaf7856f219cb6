//! Loads two CSV files as tables. Each is read once for its column types and once more to load it; neither is ever in memory.

mod column;
mod decide;
mod dialect;
mod header;
mod indexes;
mod missing;
mod mistake;
mod number;
mod records;
mod shape;
mod time;

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;

use super::{progress, user_error};
use crate::domain::name::Identifier;
use crate::sql::import::{NewTable, SCHEMA};
use crate::warehouse::import;
use dialect::Source;
pub(super) use indexes::make as index;
use progress::Progress;
use records::{Record, Records};
use shape::{Column, Shape};

/// Bytes sent at once.
const PART: usize = 1 << 20;

/// Result of loading the files.
pub(super) struct Loaded {
    pub predictions: String,
    pub labels: String,
    /// Notes for the user about how they were read.
    pub notes: Vec<String>,
}

/// Loads both files, and replaces tables loaded under these names before.
pub(super) async fn load(connection: &mut PgConnection, predictions: &Path, labels: &Path) -> Result<Loaded> {
    let sources = [Source::new(predictions)?, Source::new(labels)?];
    let mut shapes = Vec::new();
    for source in &sources {
        let progress = progress::bytes(source.size, &format!("inspecting {}", source.path.display()));
        let shape = shape::scan(source, &progress);
        progress.finish();
        shapes.push(shape?);
    }
    if let [one, other] = shapes.as_mut_slice() {
        shape::agree(one, other);
    }
    let (mut notes, mut names) = (Vec::new(), Vec::new());
    for (source, shape) in sources.iter().zip(shapes) {
        let name = table_name(source.path, &names);
        let rows = fill(connection, source, &shape, &name).await?;
        let separated = source.unusual().map_or(String::new(), |by| format!(", separated by {by},"));
        notes.extend(shape.notes);
        notes.push(format!("{rows} rows of `{}`{separated} are in {SCHEMA}.{name}", source.path.display()));
        names.push(name);
    }
    let written = |name: &str| format!("{SCHEMA}.{name}");
    Ok(Loaded { predictions: written(&names[0]), labels: written(&names[1]), notes })
}

/// Creates the table and streams the file into it.
async fn fill(connection: &mut PgConnection, source: &Source<'_>, shape: &Shape, name: &str) -> Result<u64> {
    let columns = shape.columns.iter().map(|column| (column.name.clone(), column.reading.sql()));
    let table = NewTable { name: Identifier::new(name).map_err(user_error)?, columns: columns.collect() };
    let progress = progress::bytes(source.size, &format!("loading {}", source.path.display()));
    let mut rows = Rows { records: source.records()?, source, shape, progress: &progress };
    rows.skip_header()?;
    let loaded = import::load(connection, &table, || rows.part()).await;
    progress.finish();
    loaded.map_err(|error| load_failed(source, error))
}

/// The rows of a file in parts, as `copy` takes them.
struct Rows<'a> {
    records: Records<File>,
    source: &'a Source<'a>,
    shape: &'a Shape,
    progress: &'a Progress,
}

impl Rows<'_> {
    fn skip_header(&mut self) -> Result<()> {
        self.records.next().map(|_| ()).map_err(|why| mistake::broken(self.source.path, &why))
    }

    /// Returns the next rows; `None` after the last.
    fn part(&mut self) -> Result<Option<Vec<u8>>> {
        let mut part = Vec::with_capacity(PART + PART / 4);
        while part.len() < PART {
            match self.records.next().map_err(|why| mistake::broken(self.source.path, &why))? {
                Some(record) => row(self.source, self.shape, record, &mut part)?,
                None => break,
            }
        }
        self.progress.at(self.records.taken, self.source.size);
        Ok((!part.is_empty()).then_some(part))
    }
}

/// Writes a row in the text format of `copy`: tabs between values, `\N` for none.
fn row(source: &Source, shape: &Shape, record: &Record, part: &mut Vec<u8>) -> Result<()> {
    if record.len() != shape.width {
        return Err(mistake::mistake(source.path, record.line, None, "the file changed while it was read"));
    }
    for (n, Column { place, reading, .. }) in shape.columns.iter().enumerate() {
        if n > 0 {
            part.push(b'\t');
        }
        let value = record.value(*place).map_err(|line| mistake::not_utf8(source.path, line, place + 1))?;
        let Some(value) = reading.read(value) else {
            part.extend_from_slice(b"\\N");
            continue;
        };
        for byte in value.bytes() {
            match byte {
                b'\\' => part.extend_from_slice(b"\\\\"),
                b'\t' => part.extend_from_slice(b"\\t"),
                b'\n' => part.extend_from_slice(b"\\n"),
                b'\r' => part.extend_from_slice(b"\\r"),
                byte => part.push(byte),
            }
        }
    }
    part.push(b'\n');
    Ok(())
}

/// Classifies a load error: data or a shape that the server refuses is the user's to change.
fn load_failed(source: &Source, error: anyhow::Error) -> anyhow::Error {
    let database = error.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    let database = database.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let of_data = database.filter(|error| ["22", "42", "54"].iter().any(|class| error.code().starts_with(class)));
    let Some(refused) = of_data else {
        return match database.is_some() || error.is::<sqlx::Error>() {
            true => error.context(format!("could not load `{}`", source.path.display())),
            // A mistake in the file itself already says so.
            false => error,
        };
    };
    let line = refused.r#where().and_then(row_number).and_then(|row| line_of(source, row));
    let place = line.map_or(String::new(), |line| format!(" (line {line})"));
    user_error(format!("`{}` could not be loaded: {}{place}", source.path.display(), refused.message()))
}

/// Returns 17 for `COPY p, line 17, column v`.
fn row_number(place: &str) -> Option<u64> {
    let digits: String = place.split("line ").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns the line of a file where a row begins.
fn line_of(source: &Source, row: u64) -> Option<u64> {
    let mut records = source.records().ok()?;
    for _ in 0..row {
        records.next().ok()??;
    }
    records.next().ok()?.map(|record| record.line)
}

/// Derives a table name from a file name, distinct from those taken.
fn table_name(path: &Path, taken: &[String]) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mapped: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    let name = if mapped.starts_with(|c: char| c.is_ascii_alphabetic()) { mapped } else { format!("t_{mapped}") };
    if taken.contains(&name) { format!("{name}_2") } else { name }
}
