//! Statements that make a table from a file, in a schema of their own.

use crate::domain::name::Identifier;
use crate::sql::PlannedSql;

/// The schema that files are loaded into.
pub const SCHEMA: &str = "csv";

/// A table to be made: its columns with their types, which are ours and no user's.
#[derive(Debug, Clone)]
pub struct NewTable {
    pub name: Identifier,
    pub columns: Vec<(Identifier, &'static str)>,
}

/// Makes the schema and the table, in place of the one that was there. One statement each.
pub fn make(table: &NewTable) -> [PlannedSql; 3] {
    let columns: Vec<String> = table.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
    [
        PlannedSql::new(format!("create schema if not exists {SCHEMA}")),
        PlannedSql::new(format!("drop table if exists {SCHEMA}.{}", table.name)),
        PlannedSql::new(format!("create table {SCHEMA}.{} ({})", table.name, columns.join(", "))),
    ]
}

/// Takes rows as text: tabs between values, `\N` for NULL, a line for each row.
pub fn copy(table: &NewTable) -> PlannedSql {
    PlannedSql::new(format!("copy {SCHEMA}.{} from stdin with (format text)", table.name))
}

/// Lets the planner know what is in it.
pub fn analyze(table: &NewTable) -> PlannedSql {
    PlannedSql::new(format!("analyze {SCHEMA}.{}", table.name))
}

/// Makes an index on a column.
pub fn index(table: &Identifier, column: &Identifier) -> PlannedSql {
    PlannedSql::new(format!("create index on {SCHEMA}.{table} ({column})"))
}

/// Makes columns the key of a table: none of them NULL, no row twice. One statement each.
pub fn key(table: &Identifier, columns: &[&Identifier]) -> Vec<PlannedSql> {
    let filled =
        columns.iter().map(|column| format!("alter table {SCHEMA}.{table} alter column {column} set not null"));
    let names = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let unique = format!("create unique index on {SCHEMA}.{table} ({names})");
    filled.chain([unique]).map(PlannedSql::new).collect()
}
