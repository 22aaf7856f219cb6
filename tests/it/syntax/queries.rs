//! Queries that mean to Postgres, printed, what they mean as they are written: the same rows, under the same names.

use sqlx::{AssertSqlSafe, Row as _};
use trueup::plan::query::SelectQuery;
use trueup::plan::syntax::Grants;

use crate::support::database::TestDatabase;

const SCENE: &str = r#"
create table public.t (id int, at timestamptz, day date, v float8, n int, name text, "Odd ""Name" text, tags text[], j jsonb, grid int[][]);
insert into public.t select n, timestamptz '2025-01-01 00:30Z' + n * interval '7 h', date '2025-01-01' + n, n / 3.0, nullif(n % 4, 3),
    'name ' || n % 3, 'o''dd' || n, array['a' || n % 2, 'b'], jsonb_build_object('k', n, 'deep', jsonb_build_object('today', n % 2)), array[array[n, n + 1]]
    from generate_series(1, 12) as n;
create table public.u (id int, w float8);
insert into public.u select n * 2, n from generate_series(1, 8) as n;
"#;

const QUERIES: [&str; 44] = [
    "select * from public.t",
    "select t.*, w from public.t left join public.u using (id)",
    "select id, -v as v, - n ^ 2 as p from public.t where false or n is null is false",
    "select id, n is null = (v > 1) as x from public.t",
    "select id from public.t where not n = 1 and not n in (2) or n is null",
    "select not exists (select 1 from public.u where u.id = t.id) is null as x, id from public.t",
    "select date(at), date(at)::text, (date(at)), case when id = 1 then null else date(at) end from public.t",
    "select count(*), count(distinct n), sum(v), coalesce(max(n), 0), extract(dow from max(at)) from public.t",
    "select n, count(*) filter (where v > 1) as c, percentile_cont(0.5) within group (order by v desc) as p from public.t group by n",
    "select n, name, count(*), grouping(n, name) from public.t group by grouping sets ((n), (name), ())",
    "select n, name, count(*) from public.t group by rollup (n, name) having count(*) > 1",
    "select id, row_number() over (partition by n order by v desc nulls last) as r, lag(v) over (order by id) from public.t",
    "select id, sum(v) over (order by id rows between 1 preceding and current row) as s from public.t",
    "select id, avg(v) over (order by id range between unbounded preceding and 2 following) as s from public.t",
    "select distinct on (n) n, id, v from public.t order by n, v desc",
    "select distinct n % 2 as odd from public.t order by 1 desc nulls first limit 2 offset 1",
    "select id from public.t order by id fetch first 3 rows only",
    "with a as (select id, v from public.t), b(i, w) as materialized (select * from public.u) select a.v, b.w from a join b on a.id = b.i",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select n from r",
    "with t as (select 1 as id) select * from t union all select id from public.t where id > 10",
    "select id from public.t except (select id from public.u intersect select 4) order by 1",
    "(select id from public.t order by id desc limit 2) union select 99",
    "select * from (values (1, 'a'), (2, null)) as v(n, s)",
    "select g, g::date from generate_series(timestamptz '2025-01-01', '2025-01-03', interval '1 day') as g",
    "select t.id, x.tag, x.ord from public.t cross join lateral unnest(t.tags) with ordinality as x(tag, ord)",
    "select t.id, e.key, e.value from public.t, jsonb_each(t.j) as e(key, value)",
    "select id, j ->> 'k' as k, (j -> 'deep' ->> 'today')::int as today, j #>> '{deep,today}' as d from public.t",
    "select id, j @> '{\"k\": 3}' as c, j ? 'k' as q, tags && array['a1'] as o, tags[1] as first, grid[1][2] as g from public.t",
    "select id, array(select w from public.u where u.id <= t.id order by w) as ws from public.t as t",
    "select id from public.t where id = any (array[1, 2, 3]) and id <> all (array[2])",
    "select id from public.t where id = any (select id from public.u) or (id, n) in ((1, 1), (3, 0))",
    "select id, (select max(w) from public.u where u.id <= t.id) from public.t t",
    "select \"Odd \"\"Name\" as \"A b\", name || ' ' || n as s from public.t",
    "select id, name like 'name\\_1' as a, name ilike '%NAME 1' as b, name ~ '^name \\d$' as c, name not like 'x!%' escape '!' as d from public.t",
    "select substring(name from 2 for 3), substring(name for 2), position('m' in name), trim(both 'n' from name), extra from public.t, (select true as extra) o",
    "select id, at at time zone 'Europe/Bucharest' as local, (at at time zone 'UTC')::date + n as d, date_trunc('day', at) as t from public.t",
    "select id, at + make_interval(hours => n) as later, age(at, timestamptz '2025-01-01') as a, interval '1 day' * n as i from public.t",
    "select id from public.t where at between '2025-01-01' and timestamptz '2025-01-03' and day >= date '2025-01-02'",
    "select id, to_char(at, 'YYYY-MM-DD HH24') as c, to_char(at, 'YYYY-MM-DD')::date as d from public.t",
    "select id, round((v * 100)::numeric, 1) as r, 7 / 2 as i, 7.0 / 2 as f, 1e2 as e, .5 as h from public.t",
    "select id, n::float8 / nullif(n, 0) as q, greatest(n, 1, null) as g, least(v, n) as l, num_nulls(n, v) as k from public.t",
    "select string_agg(name, ', ' order by id desc), array_agg(distinct n order by n), bool_or(n > 1), regr_slope(v, id) from public.t",
    "select a.id, b.id from public.t a full join public.u b on a.id = b.id and b.w > 2 order by 1, 2",
    "select upper(é) as \"Ü\" from (select 'straße' as é) as s",
];

#[tokio::test]
async fn a_query_gives_the_same_rows_under_the_same_names() {
    let db = TestDatabase::new().await;
    db.execute(SCENE).await;
    for written in QUERIES {
        let printed = match SelectQuery::parse(written, &Grants::default()) {
            Ok(query) => query.to_string(),
            // What only looks as if it bound like this is asked to be written with parentheses.
            Err(why) if why.contains("parentheses") => continue,
            Err(why) => panic!("{written}: {why}"),
        };
        assert_eq!(read(&db, written).await, read(&db, &printed).await, "{written}\n{printed}");
    }
}

/// The names of the columns, and the rows in an order of their own.
async fn read(db: &TestDatabase, sql: &str) -> (Vec<String>, Vec<Option<String>>) {
    let first = sqlx::raw_sql(AssertSqlSafe(format!("select * from ({sql}) as q limit 1"))).fetch_one(&db.pool).await;
    let first = first.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let names = sqlx::Row::columns(&first).iter().map(|column| sqlx::Column::name(column).to_owned()).collect();
    let rows = format!("select q::text from ({sql}) as q order by q::text");
    let rows =
        sqlx::raw_sql(AssertSqlSafe(rows)).fetch_all(&db.pool).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    (names, rows.iter().map(|row| row.get(0)).collect())
}
