//! Types that Postgres compares in a way that their text does not tell.
//!
//! Sessions look for operators in `pg_catalog` only. A type of an extension, such as `citext`, has its `=` elsewhere: without it
//! Postgres falls back to comparing texts, and would match fewer keys without a word.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::hint::{self, Side};
use super::mistake::SourceMistake;
use crate::measure::session::{self, ColumnType};
use crate::plan::PlannedJob;
use crate::plan::sql::probe;

/// What a type is underneath its domains: name, whether its `=` is the server's own, and whether it is one of texts.
const BASE: &str = "
    with recursive base as (
        select t.oid, t.typbasetype, t.typname, t.typcategory, 0 as depth from pg_type t where t.oid = $1
        union all
        select t.oid, t.typbasetype, t.typname, t.typcategory, depth + 1 from base join pg_type t on t.oid = base.typbasetype
    )
    select base.typname::text, not exists (
        select from pg_opclass c join pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
        where c.opcintype = base.oid and c.opcdefault and c.opcnamespace <> 'pg_catalog'::regnamespace
    ), base.typcategory = 'S'
    from base order by depth desc limit 1";

struct Base {
    name: String,
    is_own: bool,
    is_text: bool,
}

async fn base(connection: &mut PgConnection, column: &ColumnType) -> sqlx::Result<Option<Base>> {
    let Some(oid) = column.oid else { return Ok(None) };
    let found: Option<(String, bool, bool)> = sqlx::query_as(BASE).bind(Oid(oid)).fetch_optional(connection).await?;
    Ok(found.map(|(name, is_own, is_text)| Base { name, is_own, is_text }))
}

/// Refuses a key whose type has its `=` outside of the server's own schema.
pub(super) async fn key(
    connection: &mut PgConnection,
    job: &PlannedJob,
    side: Side,
    column: &ColumnType,
) -> sqlx::Result<Option<SourceMistake>> {
    let Some(base) = base(connection, column).await?.filter(|base| !base.is_own) else { return Ok(None) };
    let name = &column.name;
    let text = format!("\"{}\"::text", name.replace('"', "\"\""));
    // Texts that compare without regard to case have one form in small letters.
    let sql = if base.is_text { format!("lower({text})") } else { text };
    let message = format!("`{name}` is {}, whose keys are equal by an operator of an extension", base.name);
    let path = if side == Side::Predictions { "predictions.id" } else { "labels.id" };
    let hint = hint::convert(job, side, &[(name.clone(), sql)]);
    Ok(Some(SourceMistake::new(path, "key-types", message, hint)))
}

/// Refuses cohorts by a column that SQL would group otherwise than by its text.
pub(super) async fn dimensions(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    for (dimension, path) in job.dimensions.iter().zip(&job.declared.dimensions) {
        if !dimension.is_column() {
            continue;
        }
        let columns = match session::describe(connection, &probe::dimension(job, dimension)).await {
            Ok(columns) => columns,
            // What keeps it from being read is found elsewhere.
            Err(error) if error.as_database_error().is_some() => continue,
            Err(error) => return Err(error),
        };
        let Some(column) = columns.first() else { continue };
        if let Some(base) = base(connection, column).await?.filter(|base| !base.is_own && base.is_text) {
            let name = &dimension.name;
            let message =
                format!("`{name}` is {}, which SQL groups without regard to case, and cohorts are texts", base.name);
            let hint = format!("write {{ name = \"{name}\", expr = \"lower({name}::text)\" }} in place of \"{name}\"");
            mistakes.push(SourceMistake::new(path, "cohort-type", message, hint));
        }
    }
    Ok(())
}

/// Whether every key is text that is equal only where its bytes are: under a collation that says otherwise a key cannot be looked up
/// by its text.
pub(super) async fn is_bytewise(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<bool> {
    const NONDETERMINISTIC: &str = "
        select exists (
            select from pg_attribute a join pg_collation c on c.oid = a.attcollation
            where a.attrelid = to_regclass($1) and a.attname = any($2) and not c.collisdeterministic
        )";
    let (p, l) = (&job.predictions, &job.labels);
    for (relation, id) in [(&p.relation, &p.id), (&l.relation, &l.id)] {
        let names: Vec<String> = id.iter().map(|column| column.as_str().to_owned()).collect();
        for table in relation.tables() {
            let found: bool =
                sqlx::query_scalar(NONDETERMINISTIC).bind(&table).bind(&names).fetch_one(&mut *connection).await?;
            if found {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
