//! Types that Postgres does not compare as it compares their text.
//!
//! Sessions search for operators in `pg_catalog` only. A type of an extension, such as `citext`, has its `=` elsewhere:
//! without it Postgres falls back to comparing texts, and would silently match fewer keys.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;

use super::hint::{self, Side};
use super::mistake::SourceMistake;
use crate::domain::name::quoted;
use crate::plan::PlannedJob;
use crate::sql::probe;
use crate::warehouse::session::{self, ColumnType};

/// Resolves domains to their base types. Columns: position in the list, name, `=` is the server's own, type is a text.
const BASES: &str = "
    with recursive base as (
        select asked.place, t.oid, t.typbasetype, t.typname, t.typcategory, 0 as depth
        from unnest($1::oid[]) with ordinality as asked (oid, place) join pg_type t on t.oid = asked.oid
        union all
        select base.place, t.oid, t.typbasetype, t.typname, t.typcategory, depth + 1
        from base join pg_type t on t.oid = base.typbasetype
    )
    select distinct on (base.place) base.place, base.typname::text, not exists (
        select from pg_opclass c join pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
        where c.opcintype = base.oid and c.opcdefault and c.opcnamespace <> 'pg_catalog'::regnamespace
    ), base.typcategory = 'S'
    from base order by base.place, depth desc";

struct Base {
    name: String,
    is_text: bool,
}

/// Returns the columns whose type has its `=` outside the server's own schema: position and base type.
async fn foreign(connection: &mut PgConnection, columns: &[&ColumnType]) -> sqlx::Result<Vec<(usize, Base)>> {
    let oids: Vec<Oid> = columns.iter().map(|column| Oid(column.oid.unwrap_or_default())).collect();
    let found: Vec<(i64, String, bool, bool)> = sqlx::query_as(BASES).bind(&oids).fetch_all(connection).await?;
    let place = |number: i64| usize::try_from(number - 1).unwrap_or_default();
    let foreign = found.into_iter().filter(|(_, _, is_own, _)| !is_own);
    Ok(foreign.map(|(number, name, _, is_text)| (place(number), Base { name, is_text })).collect())
}

/// Refuses key columns whose type has its `=` outside the server's own schema. Returns their positions in the list.
pub(super) async fn keys(
    connection: &mut PgConnection,
    job: &PlannedJob,
    columns: &[(Side, &ColumnType)],
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<Vec<usize>> {
    let types: Vec<&ColumnType> = columns.iter().map(|(_, column)| *column).collect();
    let foreign = foreign(connection, &types).await?;
    for (place, base) in &foreign {
        let (side, column) = columns[*place];
        let name = &column.name;
        let text = format!("{}::text", quoted(name));
        // Case-insensitive texts have one lower-case form.
        let sql = if base.is_text { format!("lower({text})") } else { text };
        let message = format!("`{name}` is {}, a type that is compared by an operator of an extension", base.name);
        let path = if side == Side::Predictions { "predictions.id" } else { "labels.id" };
        let hint = hint::convert(job, side, &[(name.clone(), sql)]);
        mistakes.push(SourceMistake::new(path, "key-types", message, hint));
    }
    Ok(foreign.into_iter().map(|(place, _)| place).collect())
}

/// Refuses cohort columns that SQL does not group by their text.
pub(super) async fn dimensions(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    let declared = job.dimensions.iter().zip(&job.declared.dimensions);
    let dimensions: Vec<_> = declared.filter(|(dimension, _)| dimension.is_column()).collect();
    if dimensions.is_empty() {
        return Ok(());
    }
    let columns = match session::describe(connection, &probe::dimensions(job)).await {
        Ok(columns) => columns,
        // The cause is reported elsewhere.
        Err(error) if error.as_database_error().is_some() => return Ok(()),
        Err(error) => return Err(error),
    };
    let types: Vec<&ColumnType> = columns.iter().collect();
    let foreign = foreign(connection, &types).await?;
    for (place, base) in foreign.into_iter().filter(|(_, base)| base.is_text) {
        let (dimension, path) = dimensions[place];
        let name = &dimension.name;
        let message =
            format!("`{name}` is {}, which SQL groups case-insensitively, but cohorts are stored as text", base.name);
        let hint = format!("write {{ name = \"{name}\", expr = \"lower({name}::text)\" }} in place of \"{name}\"");
        mistakes.push(SourceMistake::new(path, "cohort-type", message, hint));
    }
    Ok(())
}

/// True if keys are compared bytewise: under a nondeterministic collation, a key cannot be looked up by its text.
pub(super) async fn is_bytewise(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<bool> {
    const BYTEWISE: &str = "
        select not exists (
            select from unnest($1::text[], $2::text[]) as k (source, name)
            join pg_attribute a on a.attrelid = to_regclass(k.source) and a.attname = k.name
            join pg_collation c on c.oid = a.attcollation
            where not c.collisdeterministic
        )";
    let (p, l) = (&job.predictions, &job.labels);
    let sides = [(p.relation.tables(), &p.id), (l.relation.tables(), &l.id)];
    let keys = sides.iter().flat_map(|(tables, id)| tables.iter().flat_map(|table| id.iter().map(move |c| (table, c))));
    let (tables, names): (Vec<&String>, Vec<&str>) = keys.map(|(table, column)| (table, column.as_str())).unzip();
    sqlx::query_scalar(BYTEWISE).bind(&tables).bind(&names).fetch_one(connection).await
}
