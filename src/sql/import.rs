//! Statements that create a table from a file, in a schema of its own.

use crate::domain::name::Identifier;
use crate::sql::PlannedSql;

/// The schema that files are loaded into.
pub const SCHEMA: &str = "csv";

/// A table to create. Its column types are chosen by us, never by a user.
#[derive(Debug, Clone)]
pub struct NewTable {
    pub name: Identifier,
    pub columns: Vec<(Identifier, &'static str)>,
}

/// Creates the schema and the table, replacing an existing table. One statement each.
pub fn make(table: &NewTable) -> [PlannedSql; 3] {
    let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    [
        PlannedSql::new(format!("create schema if not exists {SCHEMA}")),
        PlannedSql::new(format!("drop table if exists {SCHEMA}.{}", table.name)),
        PlannedSql::new(format!("create table {SCHEMA}.{} ({})", table.name, columns.join(", "))),
    ]
}

/// Copies rows as text: tabs between values, `\N` for NULL, one line per row.
pub fn copy(table: &NewTable) -> PlannedSql {
    PlannedSql::new(format!("copy {SCHEMA}.{} from stdin with (format text)", table.name))
}

/// Updates the planner's statistics of the table.
pub fn analyze(table: &NewTable) -> PlannedSql {
    PlannedSql::new(format!("analyze {SCHEMA}.{}", table.name))
}

/// Creates an index on a column.
pub fn index(table: &Identifier, column: &Identifier) -> PlannedSql {
    PlannedSql::new(format!("create index on {SCHEMA}.{table} ({column})"))
}

/// Makes columns the key of a table: no NULLs, no duplicates. One statement each.
pub fn key(table: &Identifier, columns: &[&Identifier]) -> Vec<PlannedSql> {
    let filled =
        columns.iter().map(|column| format!("alter table {SCHEMA}.{table} alter column {column} set not null"));
    let names = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let unique = format!("create unique index on {SCHEMA}.{table} ({names})");
    filled.chain([unique]).map(PlannedSql::new).collect()
}
