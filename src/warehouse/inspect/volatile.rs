//! Functions behind a source that may write, or return other results although the data are the same. They are found in the
//! catalog, through nested views and policies. The catalog's dependencies omit the server's own functions, so the stored trees
//! are read.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::mistake::SourceMistake;
use crate::plan::PlannedJob;

/// Functions, and operators' functions, that are called when each of these tables is read.
const CALLED: &str = r"
    with recursive part as (
        select name as source, to_regclass(name)::oid as oid from unnest($1::text[]) as name
        union
        select part.source, d.refobjid from part
        join pg_class c on c.oid = part.oid and c.relkind = 'v'
        join pg_rewrite r on r.ev_class = part.oid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
    ), tree as (
        select part.source, r.ev_action::text as body from part
        join pg_class c on c.oid = part.oid and c.relkind = 'v'
        join pg_rewrite r on r.ev_class = part.oid
        union all
        select part.source, p.polqual::text from part join pg_policy p on p.polrelid = part.oid where p.polqual is not null
    ), called as (
        select source, found[1]::oid as oid from tree, regexp_matches(body, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as found
        union
        select source, o.oprcode::oid from tree, regexp_matches(body, ':opno (\d+)', 'g') as found join pg_operator o on o.oid = found[1]::oid
    )
    select called.source, p.oid::regprocedure::text as name, p.provolatile = 'v' as is_volatile,
           n.nspname = 'pg_catalog' and p.proname in ('now', 'transaction_timestamp', 'statement_timestamp') as is_clock
    from called join pg_proc p on p.oid = called.oid join pg_namespace n on n.oid = p.pronamespace
    union all
    select distinct source, 'current_timestamp and the like', false, true from tree where body ~ 'SQLVALUEFUNCTION'
    order by name";

/// A function that is called when a table is read.
#[derive(sqlx::FromRow)]
struct Called {
    /// The table, as named in the job.
    source: String,
    /// With its schema and argument types.
    name: String,
    is_volatile: bool,
    /// It returns the current time.
    is_clock: bool,
}

/// Functions called when predictions or labels are read: the path in the job, and the names of those that `which` selects.
async fn called(
    connection: &mut PgConnection,
    job: &PlannedJob,
    which: fn(&Called) -> bool,
) -> sqlx::Result<Vec<(&'static str, Vec<String>)>> {
    let (p, l) = (&job.predictions.relation, &job.labels.relation);
    let path = |is_query: bool, query: &'static str, table: &'static str| if is_query { query } else { table };
    let sources = [
        (path(p.is_query(), "predictions.query", "predictions.table"), p.tables()),
        (path(l.is_query(), "labels.query", "labels.table"), l.tables()),
    ];
    let tables: Vec<&String> = sources.iter().flat_map(|(_, tables)| tables).collect();
    let called: Vec<Called> = sqlx::query_as(CALLED).bind(&tables).fetch_all(connection).await?;
    let names = |tables: &BTreeSet<String>| {
        let mut names: Vec<String> = Vec::new();
        for one in called.iter().filter(|one| tables.contains(&one.source) && which(one)) {
            if !names.contains(&one.name) {
                names.push(one.name.clone());
            }
        }
        names
    };
    let found = sources.map(|(path, tables)| (path, names(&tables)));
    Ok(found.into_iter().filter(|(_, names)| !names.is_empty()).collect())
}

/// Refuses volatile functions under the sources of a job.
pub(super) async fn refuse(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    for (path, names) in called(connection, job, |one| one.is_volatile).await? {
        let message = format!(
            "reading it calls {}, which {} volatile: results can change without the data, and it may write",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
        let own: Vec<String> = names
            .iter()
            .filter(|name| name.contains('.'))
            .map(|name| format!("alter function {name} stable;"))
            .collect();
        let hint = match own.as_slice() {
            [] => "read the tables behind the view, or a view that does not call them".to_owned(),
            own => format!(
                "if they only compute, declare them stable: `{}`; otherwise read the tables behind the view",
                own.join(" ")
            ),
        };
        mistakes.push(SourceMistake::new(path, "bad-function", message, hint));
    }
    Ok(())
}

/// Finds sources whose rows depend on the time at which they are read: the path in the job, and the functions responsible.
pub async fn moving(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<(&'static str, String)>> {
    let found = called(connection, job, |one| one.is_clock).await?;
    Ok(found.into_iter().map(|(path, names)| (path, names.join(", "))).collect())
}
