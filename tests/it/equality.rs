//! Keys and cohorts of types that Postgres compares otherwise than by their text: compared as SQL compares them, or refused with a
//! hint that works.

use crate::support::bench::{Bench, with_hints};
use crate::support::world::hourly;

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\n";

/// Measures two days, and returns the labeled pairs of each cohort on the first.
async fn measured(bench: &Bench) -> Vec<String> {
    bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).ok();
    bench.db.lines("select cohort, labeled from trueup.window_history where window_start = '2024-05-01Z' and model_version is null order by 1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_types_of_extensions_are_refused_with_a_hint_that_works() {
    for scene in [
        "create extension citext; alter table public.p alter id type citext using 'Key' || id; alter table public.l alter id type citext using 'kEY' || id",
        "create extension citext; create domain public.code as citext; alter table public.p alter id type public.code using 'Key' || id; alter table public.l alter id type public.code using 'kEY' || id",
        "create schema ext; create extension citext schema ext; alter table public.p alter id type ext.citext using 'Key' || id; alter table public.l alter id type ext.citext using 'kEY' || id",
        "create extension ltree; alter table public.p alter id type ltree using ('a.b' || id)::ltree; alter table public.l alter id type ltree using ('a.b' || id)::ltree",
        "create extension hstore; alter table public.p alter id type hstore using hstore('k', id::text); alter table public.l alter id type hstore using hstore('k', id::text)",
        "create extension seg; alter table public.p alter id type seg using id::text::seg; alter table public.l alter id type seg using id::text::seg",
        "create extension cube; alter table public.p alter id type cube using cube(id); alter table public.l alter id type cube using cube(id)",
    ] {
        let bench = Bench::new(scene).await;
        let checked = bench.check(&hourly(WINDOWS));
        assert_eq!(checked.code, Some(1), "{scene}: {}", checked.stdout);
        assert!(
            checked.stdout.contains("error[key-types]") && checked.stdout.contains("an operator of an extension"),
            "{}",
            checked.stdout
        );
        assert_ne!(bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).code, Some(0));
        bench.check(&with_hints(&hourly(WINDOWS), &checked.stdout)).ok();
        assert_eq!(measured(&bench).await, ["all | 96"], "{scene}");
    }
}

/// Enums, domains over the server's own types, and texts under a collation for which two spellings are one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_server_compares_by_itself_are_compared_as_they_are() {
    for scene in [
        "create domain public.number as bigint; alter table public.p alter id type public.number; alter table public.l alter id type public.number",
        "create domain public.word as text check (value <> ''); alter table public.p alter id type public.word using id::text; alter table public.l alter id type public.word using id::text",
        "create collation public.loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         alter table public.p alter id type text collate public.loose using 'Key' || id; alter table public.l alter id type text collate public.loose using 'kEY' || id",
    ] {
        let bench = Bench::new(scene).await;
        bench.check(&hourly(WINDOWS)).ok();
        assert_eq!(measured(&bench).await, ["all | 96"], "{scene}");
        // A label that comes later finds its prediction, too.
        bench.db.execute("update public.l set actual = 90, seen = '2024-05-03T06:30:00Z'").await;
        bench.run(&["run", "hourly", "--at", "2024-05-03T07:00:00Z"]).ok();
        let mse: f64 = bench.db.scalar("select mse from trueup.window_history where window_start = '2024-05-01Z' and model_version is null").await;
        assert!((mse - 100.0).abs() < 1e-9, "{scene}: {mse}");
    }
    let labels = "create type public.day as enum ('mon', 'tue'); create table public.pe (id public.day primary key, at timestamptz, predicted float8, version text, region text, seen timestamptz);
        create table public.le (id public.day primary key, actual float8, seen timestamptz);
        insert into public.pe select d, '2024-05-01T10:00Z', 1, 'v1', 'a', '2024-05-01T10:00Z' from unnest(enum_range(null::public.day)) d; insert into public.le select id, 0, at from public.pe";
    let bench = Bench::new(labels).await;
    bench.check(&hourly(WINDOWS).replace("public.p\"", "public.pe\"").replace("public.l\"", "public.le\"")).ok();
    assert_eq!(measured(&bench).await, ["all | 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cohorts_that_sql_would_group_otherwise_are_refused_with_a_hint_that_works() {
    let scene = "create extension citext; alter table public.p alter region type citext; update public.p set region = upper(region::text) where id % 3 = 0";
    let bench = Bench::new(scene).await;
    let by_column = hourly(&format!("{WINDOWS}[[cohorts]]\nby = [\"region\"]\n"));
    let shown = bench.check(&by_column).stdout;
    assert!(shown.contains("error[cohort-type]"), "{shown}");
    let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let inline = flat.split("write ").nth(1).and_then(|rest| rest.split(" in place").next()).expect("a hint");
    bench.check(&by_column.replace("by = [\"region\"]", &format!("by = [{inline}]"))).ok();
    let sql = bench.db.lines("select 'region=' || lower(region::text), count(*) from public.p where at < '2024-05-02Z' group by 1 order by 1").await;
    let measured = measured(&bench).await;
    assert_eq!(measured[1..], sql[..], "{measured:?}");
}

/// What a function behind a view names without its schema is found in no session of trueup.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_behind_a_view_that_finds_nothing_is_said_to() {
    let scene = "create table public.regions (id int, name text); insert into public.regions values (0, 'n'), (1, 's');
        create function public.rname(i bigint) returns text language plpgsql stable as $$ declare r text; begin select name into r from regions where regions.id = i % 2; return r; end $$;
        create view public.v as select id, at, predicted, version, seen, public.rname(id) as region from public.p";
    let bench = Bench::new(scene).await;
    let job = hourly(&format!("{WINDOWS}[[cohorts]]\nby = [\"region\"]\n")).replace("public.p\"", "public.v\"");
    let checked = bench.check(&job);
    assert_eq!(checked.code, Some(1), "{}", checked.stdout);
    assert!(
        checked.stdout.contains("relation \"regions\" does not exist") && checked.stdout.contains("set search_path"),
        "{}",
        checked.stdout
    );
    let ran = bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z"]);
    assert!(ran.stderr.contains("a function behind the source that names a table"), "{}", ran.stderr);
    bench.db.execute("alter function public.rname set search_path = public").await;
    bench.check(&job).ok();
    assert_eq!(measured(&bench).await, ["all | 96", "region=n | 48", "region=s | 48"]);
}
