//! Inspects a database before it has a job: its tables, and how well two of them fit as predictions and labels.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::plan::propose::agree::Agreement;
use crate::plan::propose::class::Classes;
use crate::plan::propose::column::Profile;
use crate::plan::propose::{ColumnInfo, ColumnKind, Proposal, TableInfo};
use crate::sql::discover;
use crate::warehouse::session;

/// Why an inspection failed.
#[derive(Debug)]
pub enum LookError {
    /// A name that SQL cannot express.
    Name(String),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for LookError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<String> for LookError {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

/// Returns the tables and views that this role may read, except the server's own and ours.
pub async fn tables(connection: &mut PgConnection) -> sqlx::Result<Vec<TableInfo>> {
    let rows = sqlx::query(
        r"
        select n.nspname::text as schema, c.relname::text as name, c.reltuples::float8 as rows, a.attname::text as column_name,
               case t.typtype when 'e' then 'enum' else t.typname::text end as type_name,
               exists (
                   select from pg_index i
                   where i.indrelid = c.oid and i.indisunique and i.indpred is null and i.indexprs is null
                     and i.indnkeyatts = 1 and i.indkey[0] = a.attnum
               ) as is_unique,
               case when s.n_distinct >= 0 then s.n_distinct::float8 else -s.n_distinct::float8 * greatest(c.reltuples, 0)::float8 end as n_distinct
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_type t on t.oid = a.atttypid
        left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname
        where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'trueup')
          and n.nspname not like 'pg\_%' and c.relname <> '_sqlx_migrations' and not c.relispartition
          and has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')
        order by 1, 2, a.attnum
        ",
    )
    .fetch_all(connection)
    .await?;
    let mut tables: BTreeMap<(String, String), TableInfo> = BTreeMap::new();
    for row in rows {
        let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
        let rows = row.try_get("rows")?;
        let type_name: String = row.try_get("type_name")?;
        let column = ColumnInfo {
            name: row.try_get("column_name")?,
            kind: kind(&type_name),
            is_unique: row.try_get("is_unique")?,
            distinct: row.try_get("n_distinct")?,
        };
        let table = tables.entry((schema.clone(), name.clone()));
        table.or_insert_with(|| TableInfo { schema, name, rows, columns: Vec::new() }).columns.push(column);
    }
    Ok(tables.into_values().collect())
}

fn kind(type_name: &str) -> ColumnKind {
    match type_name {
        "int2" | "int4" | "int8" => ColumnKind::Integer,
        "float4" | "float8" | "numeric" => ColumnKind::Number,
        "text" | "varchar" | "bpchar" | "enum" => ColumnKind::Text,
        "uuid" => ColumnKind::Uuid,
        "bool" => ColumnKind::Boolean,
        "timestamptz" => ColumnKind::Instant,
        _ => ColumnKind::Other,
    }
}

/// How well two tables match, in a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matches {
    pub predictions: i64,
    /// Predictions with a label.
    pub labeled: i64,
    /// Predictions beyond the first one with their key.
    pub repeated: i64,
}

pub async fn matches(connection: &mut PgConnection, proposal: &Proposal) -> Result<Matches, LookError> {
    let rows = session::fetch(connection, &discover::matches(proposal)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Matches {
        predictions: row.try_get("predictions")?,
        labeled: row.try_get("labeled")?,
        repeated: row.try_get("repeated")?,
    })
}

/// Distribution of the rows in time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    pub first: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
    /// Median seconds between events.
    pub gap: Option<f64>,
    /// Seconds until 95 % of the labels had arrived.
    pub latency: Option<f64>,
}

pub async fn times(connection: &mut PgConnection, proposal: &Proposal) -> Result<Times, LookError> {
    let rows = session::fetch(connection, &discover::times(proposal)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Times {
        first: row.try_get("first_at")?,
        last: row.try_get("last_at")?,
        gap: row.try_get("gap")?,
        latency: row.try_get("latency")?,
    })
}

/// Returns the 95th percentile of the daily rmse, and the number of days.
pub async fn usual_error(connection: &mut PgConnection, proposal: &Proposal) -> Result<Option<(f64, i64)>, LookError> {
    let rows = session::fetch(connection, &discover::usual_error(proposal)?, &[]).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let usual: Option<f64> = row.try_get("usual")?;
    Ok(usual.zip(Some(row.try_get("days")?)))
}

/// Profiles columns from a sample.
pub async fn profiles(
    connection: &mut PgConnection,
    table: &TableInfo,
    columns: &[String],
) -> Result<Vec<Profile>, LookError> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session::fetch(connection, &discover::profile(table, columns)?, &[]).await?;
    let profile = |(row, column): (&PgRow, &String)| {
        Ok(Profile {
            column: column.clone(),
            rows: row.try_get("rows")?,
            filled: row.try_get("filled")?,
            distinct: row.try_get("distinct_values")?,
            longest: row.try_get("longest")?,
        })
    };
    rows.iter().zip(columns).map(profile).collect()
}

/// Compares each of the values with each of the actuals, of which some are classes. Empty if there is nothing to compare.
pub async fn agreement(
    connection: &mut PgConnection,
    proposal: &Proposal,
    values: &[&str],
    actuals: &[&str],
    classes: &[Classes],
) -> Result<Vec<Agreement>, LookError> {
    if values.is_empty() || actuals.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session::fetch(connection, &discover::agreement(proposal, values, actuals, classes)?, &[]).await?;
    let of = |row: &PgRow, list: &[&str], column: &str| -> sqlx::Result<String> {
        let place: i64 = row.try_get(column)?;
        let name = usize::try_from(place - 1).ok().and_then(|n| list.get(n));
        name.map(|name| (*name).to_owned()).ok_or(sqlx::Error::RowNotFound)
    };
    let agreement = |row: &PgRow| {
        Ok(Agreement {
            value: of(row, values, "value")?,
            actual: of(row, actuals, "actual")?,
            pairs: row.try_get("pairs")?,
            rank: row.try_get("rank")?,
            distance: row.try_get("distance")?,
            equal: row.try_get("equal")?,
            inside: row.try_get("inside")?,
            positive: row.try_get("positive")?,
        })
    };
    rows.iter().map(agreement).collect()
}
