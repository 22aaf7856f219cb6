//! Indexes of the source: the uniqueness that they guarantee, and those that a run would benefit from.

use sqlx::PgConnection;

use crate::domain::name::Identifier;
use crate::plan::PlannedJob;
use crate::plan::source::Relation;

/// True if a unique index guarantees one row per key. `not_null`: also requires that no NULL can slip through.
pub(super) async fn is_unique(
    connection: &mut PgConnection,
    relation: &Relation,
    key: &[Identifier],
    not_null: bool,
) -> sqlx::Result<bool> {
    let Relation::Table(table) = relation else { return Ok(false) };
    let names: Vec<String> = key.iter().map(|column| column.as_str().to_owned()).collect();
    sqlx::query_scalar(
        r"
        -- An index over part of the key is as good: what is unique stays unique with more columns.
        select exists (
            select
            from pg_index i
            where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid and i.indimmediate
              and i.indpred is null and i.indexprs is null
              and not exists (
                  select
                  from unnest(i.indkey[0:i.indnkeyatts - 1]) as k(attnum)
                  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                  where a.attname <> all($2) or ($3 and not a.attnotnull)
              )
        )",
    )
    .bind(table.to_string())
    .bind(names)
    .bind(not_null)
    .fetch_one(connection)
    .await
}

/// An index that would let a run find rows instead of reading a whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingIndex {
    /// Path in the job file: `predictions.arrived_at`.
    pub path: &'static str,
    /// Statement that creates it.
    pub sql: String,
}

/// Returns the indexes that the job's tables lack. Views and queries are not inspected.
pub async fn missing_indexes(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<MissingIndex>> {
    let (p, l) = (&job.predictions, &job.labels);
    let wanted: [(&'static str, &Relation, Vec<Identifier>); 5] = [
        ("predictions.id", &p.relation, p.id.clone()),
        ("predictions.at", &p.relation, vec![p.at.clone()]),
        ("predictions.arrived_at", &p.relation, p.arrived_at.iter().cloned().collect()),
        ("labels.id", &l.relation, l.id.clone()),
        ("labels.arrived_at", &l.relation, l.arrived_at.iter().cloned().collect()),
    ];
    let mut missing = Vec::new();
    for (path, relation, columns) in wanted {
        let Relation::Table(table) = relation else { continue };
        if columns.is_empty()
            || !is_table(connection, relation).await?
            || is_indexed(connection, relation, &columns).await?
        {
            continue;
        }
        let names = columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        missing.push(MissingIndex { path, sql: format!("create index concurrently on {table} ({names})") });
    }
    Ok(missing)
}

async fn is_table(connection: &mut PgConnection, relation: &Relation) -> sqlx::Result<bool> {
    let Relation::Table(table) = relation else { return Ok(false) };
    sqlx::query_scalar(
        "select exists (select from pg_class where oid = to_regclass($1) and relkind in ('r', 'p', 'm'))",
    )
    .bind(table.to_string())
    .fetch_one(connection)
    .await
}

/// True if an index begins with one of these columns, so that rows are found by it without reading the table.
pub(super) async fn is_indexed(
    connection: &mut PgConnection,
    relation: &Relation,
    columns: &[Identifier],
) -> sqlx::Result<bool> {
    let Relation::Table(table) = relation else { return Ok(false) };
    let names: Vec<String> = columns.iter().map(|column| column.as_str().to_owned()).collect();
    sqlx::query_scalar(
        r"
        select exists (
            select
            from pg_index i
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
            where i.indrelid = to_regclass($1) and i.indisvalid and i.indpred is null and a.attname = any($2)
        )",
    )
    .bind(table.to_string())
    .bind(names)
    .fetch_one(connection)
    .await
}
