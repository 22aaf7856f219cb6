//! A query of a job file in place of a table: one select statement that reads tables and does nothing else.
//!
//! Like an expression, it is printed from our own tree, see [`syntax`].

use std::collections::BTreeSet;
use std::fmt;

use crate::plan::syntax::{self, Granted, Grants, Query};

/// One select statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectQuery(Query);

impl fmt::Display for SelectQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&syntax::print_query(&self.0))
    }
}

impl SelectQuery {
    /// Parses one select statement that only reads. The error says why it cannot be used. `grants` are functions that the
    /// operator allows in addition to our list.
    pub fn parse(text: &str, grants: &Grants) -> Result<Self, String> {
        syntax::query(text, grants).map(Self)
    }

    /// The tables and views that it reads, as written in SQL.
    pub fn tables(&self) -> BTreeSet<String> {
        self.0.tables()
    }

    /// The functions of other schemas that it calls.
    pub fn granted(&self) -> Vec<Granted> {
        self.0.granted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_reads_is_taken() {
        for text in [
            "with w as (select 1 as x) select * from w join public.t using (x)",
            "select * from (select a, count(*) from public.t group by a) s union all select * from public.u",
            "select t.*, n from public.t cross join generate_series(1, 3) as n",
            "select * from public.t where id in (with k as (select id from public.u) select id from k)",
            "select x from unnest(array[1, 2]) as x",
            "select distinct on (a) a, b as \"B c\", t.* from public.t left join public.u using (id) order by a, b desc nulls last",
            "select a, row_number() over (partition by b order by c rows between 1 preceding and current row) from public.t",
            "select a, count(*) filter (where b > 1), percentile_cont(0.5) within group (order by c) from public.t group by rollup (a) having count(*) > 1",
            "select (select max(x) from public.u where u.id = t.id) as m, array(select 1), a = any (array[1, 2]) from public.t as t",
            "select 1 union (select 2 except select 3) order by 1 limit 5 offset 2",
            "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select n from r",
            "select * from public.a as a cross join lateral (select * from public.b as b where b.x = a.x limit 1) as c, jsonb_each(a.j) as e(k, v)",
            "select a[1][2], make_interval(days => n), substring(b for 2) from public.t fetch first 3 rows only",
            "select date(at) from public.t where at >= timestamptz '2025-01-01' and (a, b) in ((1, 2), (3, 4))",
            "select * from (values (1, 'a'), (2, 'b')) as v(n, t)",
            "select count(distinct a), string_agg(b, ',' order by b) from public.t where not exists (select 1 from public.u where u.id = t.id)",
        ] {
            assert!(
                SelectQuery::parse(text, &Grants::default()).is_ok(),
                "{text}: {:?}",
                SelectQuery::parse(text, &Grants::default())
            );
        }
    }

    #[test]
    fn a_function_that_the_operator_allows_may_be_called() {
        let grants = Grants(vec![Granted::parse("public.to_mw").unwrap()]);
        let query = SelectQuery::parse("select public.to_mw(x) as x from public.t", &grants).unwrap();
        assert_eq!(query.to_string(), r#"select "public"."to_mw"("x") as "x" from "public"."t""#);
        assert_eq!(query.granted(), grants.0);
        assert!(SelectQuery::parse("select to_mw(x) from public.t", &grants).is_err());
    }

    #[test]
    fn a_query_may_only_select() {
        for text in [
            "delete from public.t",
            "select 1; select 2",
            "with d as (delete from public.t returning *) select * from d",
            "select * from public.t where id in (with d as (delete from public.t returning id) select id from d)",
            "select * into public.u from public.t",
            "select * from public.t for update",
            "select * from public.t where id in (select id from public.u for update)",
            "select * from (select * from public.t for share) s",
            "select pg_terminate_backend(1)",
            "select pg_catalog.pg_sleep(1)",
            "select * from pg_ls_dir('/')",
            "select * from pg_catalog.pg_read_file('/etc/passwd')",
            "select * from public.t, lateral pg_sleep(1)",
            "select * from dblink('host=x', 'select 1') as d(x int)",
            "select * from (select * from pg_sleep(1)) s",
            "select * from rows from (pg_sleep(1)) as r",
            "select * from t",
            "copy public.t to '/tmp/x'",
            "select $1",
            "table public.t",
            "select public.f(x) from public.t",
            "select \"public\".\"f\"(x) from public.t",
            "select random() from public.t",
            "select now() from public.t",
            "select current_date from public.t",
            "select * from public.t where at < localtimestamp",
            "select lastval() from public.t",
            "select ts_rewrite('a', 'select 1') from public.t",
            "select gin_clean_pending_list('x') from public.t",
            "select age(at) from public.t",
            "select x::public.evil from public.t",
            "select a operator(public.+) b from public.t",
            "select * from public.t tablesample system (1)",
            "select * from pg_catalog.pg_authid",
            "select * from information_schema.tables",
            "select * from (with pg_authid as (select 1) select 1) s, pg_authid",
            r"select 'a\''' operator('= ''x'' or pg_sleep(1) is null or 0 < length(''') - 1 from public.t",
            "select ctid from public.t",
            "select * from only public.t",
            "select row_number() over w from public.t window w as (order by a)",
            "select * from public.t where at > (select 'now')::timestamptz",
            "select x::timestamptz as x from (select 'now' as x) s",
            "select * from public.t join public.u using (t.id)",
            "select * from trueup.residual",
        ] {
            assert!(
                SelectQuery::parse(text, &Grants::default()).is_err(),
                "{text} was taken: {:?}",
                SelectQuery::parse(text, &Grants::default())
            );
        }
    }
}
