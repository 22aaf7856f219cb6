//! The only file that sends SQL built from a job file, and so the only one that uses `AssertSqlSafe`.
//!
//! It sends a [`PlannedSql`]: names quoted, expressions printed from their parse tree, values bound.

use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, Column, Connection as _, Executor, PgConnection, Postgres, SqlSafeStr, Statement, Transaction,
    TypeInfo,
};

use crate::plan::source::SourceFacts;
use crate::sql::PlannedSql;

/// Value of a parameter.
#[derive(Debug, Clone)]
pub enum Bind<'a> {
    Id(i64),
    Time(DateTime<Utc>),
    Times(&'a [DateTime<Utc>]),
    Ids(&'a [i64]),
    Texts(&'a [String]),
    Number(i32),
    Numbers(&'a [i32]),
    Flags(&'a [bool]),
}

/// Name and type of a result column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    pub name: String,
    /// Postgres's name of the type, in capitals: `FLOAT8`, `TIMESTAMPTZ`.
    pub type_name: String,
    /// The type's object id in the catalog.
    pub oid: Option<u32>,
}

/// True if an SQLSTATE is about a value that could not be computed, not about the statement or the server.
pub fn is_about_a_value(code: &str) -> bool {
    // Data exceptions, constraints of domains, and errors that functions raise.
    ["22", "21", "38", "39", "P0"].iter().any(|class| code.starts_with(class)) || code == "23514"
}

/// Passes our session settings on to the workers of a sharded database until the transaction ends. Workers evaluate a
/// job's expressions on hours and days and know only their own settings; local settings are passed on.
const PINS: &str = "set local search_path = pg_catalog; set local time zone 'UTC'; set local extra_float_digits = 1; \
                    set local datestyle = 'ISO, MDY'; set local intervalstyle = postgres; set local bytea_output = hex";

/// Begins a transaction that reads the sources of a job.
pub async fn begin<'a>(
    connection: &'a mut PgConnection,
    facts: &SourceFacts,
) -> sqlx::Result<Transaction<'a, Postgres>> {
    let mut transaction = connection.begin().await?;
    pin(&mut transaction, facts).await?;
    Ok(transaction)
}

/// Like [`begin`], for a transaction that began before it was known if the sources are sharded.
pub async fn pin(connection: &mut PgConnection, facts: &SourceFacts) -> sqlx::Result<()> {
    if facts.sharded {
        sqlx::raw_sql(PINS).execute(connection).await?;
    }
    Ok(())
}

/// Runs a statement and returns the number of affected rows.
pub async fn execute(connection: &mut PgConnection, sql: &PlannedSql, binds: &[Bind<'_>]) -> sqlx::Result<u64> {
    Ok(query(sql, binds).execute(connection).await?.rows_affected())
}

/// Runs a statement and returns its rows.
pub async fn fetch(connection: &mut PgConnection, sql: &PlannedSql, binds: &[Bind<'_>]) -> sqlx::Result<Vec<PgRow>> {
    query(sql, binds).fetch_all(connection).await
}

/// Runs a statement and passes its rows to `look` one by one: all of them may not fit into memory.
pub async fn each(
    connection: &mut PgConnection,
    sql: &PlannedSql,
    binds: &[Bind<'_>],
    mut look: impl FnMut(&PgRow) -> sqlx::Result<()>,
) -> sqlx::Result<()> {
    let mut rows = query(sql, binds).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        look(&row)?;
    }
    Ok(())
}

/// Sends rows to a `copy ... from stdin`, part by part, until `next` has no more. Returns the number of rows.
pub async fn copy_in<E: From<sqlx::Error>>(
    connection: &mut PgConnection,
    sql: &PlannedSql,
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, E>,
) -> Result<u64, E> {
    let mut copy = connection.copy_in_raw(sql.as_str()).await?;
    loop {
        match next() {
            Ok(Some(part)) => _ = copy.send(part).await?,
            Ok(None) => return Ok(copy.finish().await?),
            Err(error) => {
                copy.abort("could not read the rows").await?;
                return Err(error);
            }
        }
    }
}

/// Lets the server parse a statement without running it, and returns the types of its result columns.
///
/// The driver caches parsed statements and would not ask again, although the table may have changed: each text is made
/// unique.
pub async fn describe(connection: &mut PgConnection, sql: &PlannedSql) -> sqlx::Result<Vec<ColumnType>> {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let text = format!("{sql} /* {} */", ASKED.fetch_add(1, Ordering::Relaxed));
    let statement = connection.prepare(AssertSqlSafe(text).into_sql_str()).await?;
    let column = |c: &sqlx::postgres::PgColumn| ColumnType {
        name: c.name().to_owned(),
        type_name: c.type_info().name().to_owned(),
        oid: c.type_info().oid().map(|oid| oid.0),
    };
    Ok(statement.columns().iter().map(column).collect())
}

/// Returns the server's plan for a statement; with `analyze`, runs the statement and measures it.
pub async fn plan_of(
    connection: &mut PgConnection,
    sql: &PlannedSql,
    binds: &[Bind<'_>],
    analyze: bool,
) -> sqlx::Result<Vec<PgRow>> {
    let options = if analyze { "analyze, costs off, buffers" } else { "costs off" };
    let text = format!("explain ({options}) {sql}");
    bound(sqlx::query(AssertSqlSafe(text)), binds).persistent(false).fetch_all(connection).await
}

/// Not kept as a prepared statement: its best plan depends on the values, and every job would add one.
fn query<'q>(sql: &PlannedSql, binds: &[Bind<'q>]) -> Query<'q, Postgres, PgArguments> {
    bound(sqlx::query(AssertSqlSafe(sql.as_str())), binds).persistent(false)
}

fn bound<'q>(query: Query<'q, Postgres, PgArguments>, binds: &[Bind<'q>]) -> Query<'q, Postgres, PgArguments> {
    binds.iter().fold(query, |query, bind| match bind {
        Bind::Id(id) => query.bind(*id),
        Bind::Time(time) => query.bind(*time),
        Bind::Times(times) => query.bind(*times),
        Bind::Ids(ids) => query.bind(*ids),
        Bind::Texts(texts) => query.bind(*texts),
        Bind::Number(number) => query.bind(*number),
        Bind::Numbers(numbers) => query.bind(*numbers),
        Bind::Flags(flags) => query.bind(*flags),
    })
}
