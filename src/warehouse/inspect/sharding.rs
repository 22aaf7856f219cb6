//! Distribution of a job's tables in a sharded database (Citus).

use sqlx::PgConnection;

use crate::plan::PlannedJob;

/// A table below one side of a job, and the location of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `predictions` or `labels`.
    pub section: String,
    pub table: String,
    /// Table type in the extension; `None` for a table that it does not manage.
    pub kind: Option<String>,
    /// Distribution column; `None` for a table that is whole in one place.
    pub column: Option<String>,
    /// Tables of one colocation keep rows of one key on one server.
    pub colocation: Option<i32>,
}

impl Placement {
    /// True if statements over it are sent to other servers, and so must have a form that these accept.
    pub fn is_sharded(&self) -> bool {
        self.kind.is_some()
    }

    /// True if every server has all of it.
    pub fn is_everywhere(&self) -> bool {
        self.kind.as_deref() == Some("reference")
    }
}

/// Section, table, kind, column, colocation.
type Row = (String, String, Option<String>, Option<String>, Option<i32>);

/// Returns the tables below both sides, through views. Empty if the database shards nothing.
pub async fn placements(connection: &mut PgConnection, job: &PlannedJob) -> sqlx::Result<Vec<Placement>> {
    // The view moved to `pg_catalog` in a later version of the extension.
    let catalog: Option<String> = sqlx::query_scalar(
        "select coalesce(to_regclass('pg_catalog.citus_tables'), to_regclass('public.citus_tables'))::text
         where exists (select from pg_extension where extname = 'citus')",
    )
    .fetch_optional(&mut *connection)
    .await?
    .flatten();
    let Some(catalog) = catalog else { return Ok(Vec::new()) };
    let sides = [("predictions", &job.predictions.relation), ("labels", &job.labels.relation)];
    let named = sides.iter().flat_map(|(section, relation)| {
        relation.tables().into_iter().map(|table| ((*section).to_owned(), table)).collect::<Vec<_>>()
    });
    let (sections, tables): (Vec<String>, Vec<String>) = named.unzip();
    let rows: Vec<Row> = if catalog == "public.citus_tables" {
        sqlx::query_as(PLACED_BY_PUBLIC).bind(&sections).bind(&tables).fetch_all(connection).await?
    } else {
        sqlx::query_as(PLACED).bind(&sections).bind(&tables).fetch_all(connection).await?
    };
    let placed = |(section, table, kind, column, colocation)| Placement { section, table, kind, column, colocation };
    Ok(rows.into_iter().map(placed).collect())
}

/// Text of the statement, with the view in the schema of current or older versions of the extension.
macro_rules! placed {
    ($view:literal) => {
        concat!(
            "with recursive part (section, oid) as (
                 select a.section, to_regclass(a.name)::oid from unnest($1::text[], $2::text[]) as a (section, name)
                 union
                 select part.section, d.refobjid from part
                 join pg_rewrite r on r.ev_class = part.oid
                 join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
             )
             select part.section, c.oid::regclass::text, t.citus_table_type::text,
                    case when t.citus_table_type = 'distributed' then nullif(t.distribution_column, '<none>') end, t.colocation_id::int
             from part
             join pg_class c on c.oid = part.oid and c.relkind in ('r', 'p', 'f')
             left join ",
            $view,
            " t on t.table_name = c.oid
             order by 1, 2"
        )
    };
}

const PLACED: &str = placed!("pg_catalog.citus_tables");
const PLACED_BY_PUBLIC: &str = placed!("public.citus_tables");
