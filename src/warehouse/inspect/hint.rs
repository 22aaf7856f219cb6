//! Hints that can be pasted: the query that replaces a table, with the columns of the wrong type converted.

use std::collections::BTreeSet;

use crate::domain::name::{Identifier, quoted};
use crate::plan::PlannedJob;
use crate::plan::source::Relation;
use crate::warehouse::session::ColumnType;

/// One of the two tables of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Predictions,
    Labels,
}

/// A column, and the SQL that converts it to the right type.
pub(super) type Conversion = (String, String);

/// Returns a hint that converts columns of one table.
pub(super) fn convert(job: &PlannedJob, side: Side, conversions: &[Conversion]) -> String {
    let (relation, section) = match side {
        Side::Predictions => (&job.predictions.relation, "predictions"),
        Side::Labels => (&job.labels.relation, "labels"),
    };
    let converted = |(name, sql): &Conversion| format!("{sql} as {}", quoted(name));
    match relation {
        Relation::Query(_) => {
            let items = conversions.iter().map(converted).collect::<Vec<_>>();
            format!("in the query of [{section}], select {}", items.join(", "))
        }
        Relation::Table(table) => {
            let items = needed(job, side).into_iter().map(|name| {
                let conversion = conversions.iter().find(|(converted, _)| *converted == name);
                conversion.map_or_else(|| quoted(&name), converted)
            });
            let items = items.collect::<Vec<_>>().join(", ");
            format!("in [{section}], replace `table` with query = '''select {items} from {table}'''")
        }
    }
}

/// Returns the columns of a table that the job uses, each once.
fn needed(job: &PlannedJob, side: Side) -> Vec<String> {
    let (p, l) = (&job.predictions, &job.labels);
    let named: Vec<&Identifier> = match side {
        Side::Predictions => p.id.iter().chain([&p.at, &p.value]).chain(&p.version).chain(&p.arrived_at).collect(),
        Side::Labels => l.id.iter().chain([&l.value]).chain(&l.arrived_at).collect(),
    };
    let used: BTreeSet<String> = match side {
        Side::Predictions => job.named_columns(),
        Side::Labels => BTreeSet::new(),
    };
    let mut needed: Vec<String> = Vec::new();
    for name in named.into_iter().map(|name| name.as_str().to_owned()).chain(used) {
        if !needed.contains(&name) {
            needed.push(name);
        }
    }
    needed
}

/// SQL that converts a column of another type to an instant. `None` if no conversion is known.
pub(super) fn instant(column: &ColumnType) -> Option<String> {
    let name = quoted(&column.name);
    match column.type_name.as_str() {
        "TIMESTAMP" => Some(format!("{name} at time zone 'UTC'")),
        "DATE" => Some(format!("{name}::timestamp at time zone 'UTC'")),
        "INT2" | "INT4" | "INT8" | "FLOAT4" | "FLOAT8" | "NUMERIC" => Some(format!("to_timestamp({name})")),
        "TEXT" | "VARCHAR" | "CHAR" => Some(format!("{name}::timestamptz")),
        _ => None,
    }
}

/// SQL that converts a column of another type to a number. `None` if no conversion is known.
pub(super) fn number(column: &ColumnType) -> Option<String> {
    let name = quoted(&column.name);
    match column.type_name.as_str() {
        "TEXT" | "VARCHAR" | "CHAR" => Some(format!("{name}::float8")),
        "BOOL" => Some(format!("{name}::int")),
        "JSON" | "JSONB" => Some(format!("({name} #>> '{{}}')::float8")),
        "MONEY" => Some(format!("{name}::numeric")),
        "INTERVAL" => Some(format!("extract(epoch from {name})")),
        _ => None,
    }
}

/// Conversion that gives two keys the same type: the side to convert, and how. `None` for types without a common value.
pub(super) fn key(predicted: &ColumnType, labeled: &ColumnType) -> Option<(Side, Conversion)> {
    let to = |column: &ColumnType, target: &str| (column.name.clone(), format!("{}::{target}", quoted(&column.name)));
    match (sql_type(&predicted.type_name), sql_type(&labeled.type_name)) {
        // Convert to text, because a text may not be a number.
        (Some("text"), _) => Some((Side::Labels, to(labeled, "text"))),
        (_, Some("text")) => Some((Side::Predictions, to(predicted, "text"))),
        (Some(target @ ("bigint" | "numeric")), Some("bigint" | "numeric")) => {
            Some((Side::Labels, to(labeled, target)))
        }
        _ => None,
    }
}

fn sql_type(type_name: &str) -> Option<&'static str> {
    match type_name {
        "INT2" | "INT4" | "INT8" => Some("bigint"),
        "NUMERIC" => Some("numeric"),
        "UUID" => Some("uuid"),
        "TEXT" | "VARCHAR" => Some("text"),
        _ => None,
    }
}
