//! Functions behind a source that may answer differently without the data, or write: found by the catalog, in views of views and
//! in policies. The dependencies that the catalog keeps leave out the server's own functions, so the stored trees are read.

use sqlx::PgConnection;

use super::mistake::SourceMistake;
use crate::plan::PlannedJob;

/// Functions, and operators' functions, that reading these tables calls: schema-qualified signature and volatility.
const CALLED: &str = r"
    with recursive part as (
        select to_regclass(name)::oid as oid from unnest($1::text[]) as name
        union
        select d.refobjid from part
        join pg_class c on c.oid = part.oid and c.relkind = 'v'
        join pg_rewrite r on r.ev_class = part.oid
        join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
    ), tree as (
        select r.ev_action::text as body from part
        join pg_class c on c.oid = part.oid and c.relkind = 'v'
        join pg_rewrite r on r.ev_class = part.oid
        union all
        select p.polqual::text from part join pg_policy p on p.polrelid = part.oid where p.polqual is not null
    ), called as (
        select found[1]::oid as oid from tree, regexp_matches(body, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') as found
        union
        select o.oprcode::oid from tree, regexp_matches(body, ':opno (\d+)', 'g') as found join pg_operator o on o.oid = found[1]::oid
    ), moment as (
        select bool_or(body ~ 'SQLVALUEFUNCTION') as named from tree
    )
    select p.oid::regprocedure::text as name, p.provolatile::text as volatility,
           n.nspname = 'pg_catalog' and p.proname in ('now', 'transaction_timestamp', 'statement_timestamp') as is_clock
    from called join pg_proc p on p.oid = called.oid join pg_namespace n on n.oid = p.pronamespace
    union all
    select 'current_timestamp and the like', 's', true from moment where named
    order by 1";

async fn called(connection: &mut PgConnection, tables: &[String]) -> sqlx::Result<Vec<(String, String, bool)>> {
    sqlx::query_as(CALLED).bind(tables).fetch_all(connection).await
}

/// Refuses volatile functions under the sources of a job.
pub(super) async fn refuse(
    connection: &mut PgConnection,
    job: &PlannedJob,
    mistakes: &mut Vec<SourceMistake>,
) -> sqlx::Result<()> {
    for (path, tables) in sources(job) {
        let called = called(connection, &tables).await?;
        let names: Vec<&str> =
            called.iter().filter(|(_, volatility, _)| volatility == "v").map(|(name, _, _)| name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let message = format!(
            "reading it calls {}, which {} volatile: the answer may change without the data, and it may write",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
        let hint = "declare functions that only compute `stable` or `immutable` in Postgres (`alter function … stable`), or read the \
                    tables behind the view";
        mistakes.push(SourceMistake::new(path, "bad-function", message, hint));
    }
    Ok(())
}

/// Sources whose rows depend on the moment at which they are read: the path in the job, and what names the moment.
pub async fn moving(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    for (path, tables) in sources(job) {
        let called = called(connection, &tables).await?;
        let clocks: Vec<String> =
            called.into_iter().filter(|(_, _, is_clock)| *is_clock).map(|(name, _, _)| name).collect();
        if !clocks.is_empty() {
            found.push((path, clocks.join(", ")));
        }
    }
    Ok(found)
}

fn sources(job: &PlannedJob) -> [(&'static str, Vec<String>); 2] {
    let path = |is_query: bool, query: &'static str, table: &'static str| if is_query { query } else { table };
    let (p, l) = (&job.predictions.relation, &job.labels.relation);
    [
        (path(p.is_query(), "predictions.query", "predictions.table"), p.tables().into_iter().collect()),
        (path(l.is_query(), "labels.query", "labels.table"), l.tables().into_iter().collect()),
    ]
}
