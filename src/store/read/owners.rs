//! Owners of the objects behind the sources: Postgres runs the functions of a view with the rights of the role that
//! reads it.

use sqlx::PgConnection;

/// A table, a view or a function, and its owner.
#[derive(Debug, Clone)]
pub struct Owned {
    pub kind: String,
    pub name: String,
    pub owner: String,
}

/// Returns objects whose owner is neither this role, nor a superuser, nor one of `trusted`: among these tables and views, all
/// views and tables behind them, and the functions that their definitions and row policies call.
pub async fn untrusted(
    connection: &mut PgConnection,
    sources: &[String],
    trusted: &[String],
) -> sqlx::Result<Vec<Owned>> {
    sqlx::query_as!(
        Owned,
        r#"
        with recursive part as (
            select to_regclass(name)::oid as oid from unnest($1::text[]) as name
            union
            select d.refobjid from part
            join pg_rewrite r on r.ev_class = part.oid
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
        ), called as (
            select d.refobjid as oid from part
            join pg_rewrite r on r.ev_class = part.oid
            join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_proc'::regclass
            union
            select d.refobjid from part
            join pg_policy p on p.polrelid = part.oid
            join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_proc'::regclass
        ), owned as (
            select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end as kind,
                   c.oid::regclass::text as name, c.relowner as owner
            from part join pg_class c on c.oid = part.oid
            union all
            select 'function', p.oid::regprocedure::text, p.proowner from called join pg_proc p on p.oid = called.oid
        )
        select o.kind as "kind!", o.name as "name!", r.rolname::text as "owner!"
        from owned o join pg_roles r on r.oid = o.owner
        where not r.rolsuper and r.rolname <> current_user and r.rolname <> all($2::text[])
        order by 3, 2
        "#,
        sources,
        trusted
    )
    .fetch_all(connection)
    .await
}
