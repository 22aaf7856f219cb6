//! `check` and `doctor` read the source as a run would, and call nothing fine that they could not look at.

use crate::support::bench::{Bench, with_hints, with_hints_in_queries};
use crate::support::program::Folder;
use crate::support::world::hourly;

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\n[metrics]\ninclude = [\"mse\", \"rmse\"]\n";
const RUN: [&str; 4] = ["run", "hourly", "--at", "2024-05-03T06:00:00Z"];

/// The program as a role that has the grants that trueup prints, and nothing else; and the name of that role.
async fn as_runner() -> (Bench, String) {
    let mut bench = Bench::new("").await;
    let role = format!("look_{}", &bench.db.name[5..17]);
    bench.folder.write("jobs/hourly.toml", &hourly(WINDOWS));
    let (group, reader) = (format!("{role}_group"), format!("{role}_reader"));
    let grants = bench.run(&["migrate", "--print-grants", "--runner", &group, "--reader", &reader]).ok().stdout;
    bench.db.execute(&format!("create role {role} login; {grants}; grant {group} to {role}")).await;
    bench.url = bench.db.url().replace("trueup@", &format!("{role}@"));
    (bench, role)
}

/// `check` fails and says so in these words.
fn is_refused(bench: &Bench, job: &str, code: &str, words: &[&str]) {
    let checked = bench.check(job);
    assert_eq!(checked.code, Some(1), "{}{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains(code), "{code}: {}", checked.stdout);
    for word in words {
        assert!(checked.stdout.contains(word), "{word}: {}", checked.stdout);
    }
}

/// So do `doctor` and a run.
fn is_refused_everywhere(bench: &Bench, code: &str, words: &[&str]) {
    is_refused(bench, &hourly(WINDOWS), code, words);
    let sick = bench.run(&["doctor"]);
    assert!(sick.code == Some(1) && sick.stdout.contains("error    source of hourly"), "{}", sick.stdout);
    let ran = bench.run(&RUN);
    assert_ne!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_policy_hides_are_refused_not_left_out() {
    for table in ["p", "l"] {
        let (bench, role) = as_runner().await;
        bench.check(&hourly(WINDOWS)).ok();
        bench.db.execute(&format!("alter table public.{table} enable row level security; create policy few on public.{table} using (id < 30)")).await;
        is_refused_everywhere(&bench, "error[row-security]", &["bypassrls", "row-level security"]);
        // The hint works.
        bench.db.execute(&format!("alter role {} bypassrls", role)).await;
        bench.check(&hourly(WINDOWS)).ok();
        bench.run(&RUN).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_without_a_grant_is_named_with_the_grant_that_is_missing() {
    let (bench, role) = as_runner().await;
    let group = format!("{}_group", role);
    bench
        .db
        .execute(&format!(
            "revoke select on public.p from {group}; grant select (id, at, predicted, version) on public.p to {group}"
        ))
        .await;
    is_refused_everywhere(&bench, "error[unreadable-source]", &["seen", "grant select (region, seen)"]);
    let checked = bench.check(&hourly(WINDOWS));
    let flat = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let grant = flat.split("help: ").find(|part| part.starts_with("grant select")).expect("a hint");
    let grant = grant.split(" error").next().unwrap_or(grant).split(" 1 job file").next().unwrap_or(grant);
    bench.db.execute(grant).await;
    bench.check(&hourly(WINDOWS)).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_that_is_down_is_named() {
    let scene = "create extension postgres_fdw; create server distant foreign data wrapper postgres_fdw options (host '127.0.0.1', port '1');
        create user mapping for public server distant options (user 'x');
        alter table public.l rename to kept;
        create foreign table public.l (id bigint, actual float8, seen timestamptz) server distant";
    is_refused_everywhere(&Bench::new(scene).await, "error[unreadable-source]", &["distant"]);
}

/// Views and functions that write, however deep: named by the catalog, and by Postgres where that cannot know.
#[tokio::test(flavor = "multi_thread")]
async fn sources_that_write_or_change_by_themselves_are_refused() {
    let audit = "create table public.audit (n int);
        create function public.writes(x float8) returns float8 language plpgsql as 'begin insert into public.audit values (1); return x; end';
        create function public.hides(x float8) returns float8 language plpgsql stable as 'begin return public.writes(x); end';
        create function public.pure(x float8) returns float8 language sql immutable as 'select x + 0';
        create sequence public.s; alter table public.p rename to p0;";
    let from = "version, region, seen from public.p0";
    for (view, code, words) in [
        (
            format!("select id, at, public.writes(predicted) as predicted, {from}"),
            "error[bad-function]",
            vec!["writes(", "volatile"],
        ),
        (format!("select id, at, predicted + random() as predicted, {from}"), "error[bad-function]", vec!["random()"]),
        (
            "select id, at, predicted, version, region, clock_timestamp() as seen from public.p0".to_owned(),
            "error[bad-function]",
            vec!["clock_timestamp()"],
        ),
        (
            format!("select id, at, nextval('public.s')::float8 as predicted, {from}"),
            "error[bad-function]",
            vec!["nextval("],
        ),
        (
            format!("select * from (select id, at, public.writes(predicted) as predicted, {from}) q"),
            "error[bad-function]",
            vec!["writes("],
        ),
        (
            format!("select id, at, public.hides(predicted) as predicted, {from}"),
            "error[source-writes]",
            vec!["writes to the database", "read-only"],
        ),
    ] {
        let views = "create view public.p as select * from public.inner_view";
        let bench = Bench::new(&format!("{audit} create view public.inner_view as {view}; {views}")).await;
        is_refused(&bench, &hourly(WINDOWS), code, &words);
        if code == "error[bad-function]" {
            let ran = bench.run(&RUN);
            assert!(ran.code != Some(0) && ran.stderr.contains("volatile"), "{}{}", ran.stdout, ran.stderr);
        }
        assert_eq!(bench.db.scalar::<i64>("select count(*) from public.audit").await, 0, "{view}");
    }
    let pure = format!("{audit} create view public.p as select id, at, public.pure(predicted) as predicted, {from}");
    let bench = Bench::new(&pure).await;
    bench.check(&hourly(WINDOWS)).ok();
    bench.run(&RUN).ok();
}

#[test]
fn a_database_that_cannot_be_reached_fails_the_check() {
    let folder = Folder::new("unreached");
    folder.write("jobs/hourly.toml", &hourly(WINDOWS));
    for url in ["postgres://u@127.0.0.1:1/x", "postgres://nobody@localhost/none?host=/nowhere"] {
        let run = folder.run_on(url, &["check"]);
        assert_eq!(run.code, Some(2), "{}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains("not compared with the database"), "{}", run.stderr);
        assert!(run.stdout.contains("1 job file checked: 0 errors"), "what could be checked is shown: {}", run.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_knows_a_role_that_may_only_read() {
    let (bench, role) = as_runner().await;
    bench.db.execute(&format!("alter role {} set default_transaction_read_only = on", role)).await;
    let sick = bench.run(&["doctor"]);
    assert!(sick.code == Some(1) && sick.stdout.contains("are read-only"), "{}", sick.stdout);
    bench.db.execute(&format!("alter role {} reset default_transaction_read_only", role)).await;
    let well = bench.run(&["doctor"]).stdout;
    assert!(!well.contains("read-only") && well.contains("a row of each table can be read"), "{well}");
}

/// Rows that are counted nowhere are said to be.
#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_key_or_an_arrival_time_is_counted_by_check() {
    let scene = "alter table public.p drop constraint p_pkey; alter table public.p alter id drop not null; alter table public.p alter seen drop not null;
        alter table public.l alter seen drop not null; update public.p set seen = null where id % 2 = 0;
        update public.p set id = null where region = 'a' and at < '2024-05-01T06:00:00Z'; update public.l set seen = null where id % 4 = 1";
    let bench = Bench::new(scene).await;
    let checked = bench.check(&hourly(WINDOWS)).ok().stdout;
    let seen = bench.run(&["doctor"]).stdout;
    assert!(seen.contains("labels.arrived_at: `seen` is NULL in 48 of 192 rows"), "{seen}");
    for words in [
        "warning[null-key]: `seen` is NULL in 96 of 192 rows",
        "`id` is NULL in 12 of 192 rows",
        "`seen` is NULL in 48 of 192 rows",
    ] {
        assert!(checked.contains(words), "{words}: {checked}");
    }
}

/// Each hint about a type is SQL for the job file, and works when it is put there.
#[tokio::test(flavor = "multi_thread")]
async fn hints_about_types_are_applied_and_work() {
    for (table, column, change) in [
        ("p", "at", "date using at::date"),
        ("p", "at", "bigint using extract(epoch from at)::bigint"),
        ("p", "at", "float8 using extract(epoch from at)"),
        ("p", "at", "text using at::text"),
        ("p", "at", "timestamp using at at time zone 'UTC'"),
        ("p", "seen", "date using seen::date"),
        ("l", "seen", "text using seen::text"),
        ("p", "predicted", "text using predicted::text"),
        ("p", "predicted", "jsonb using to_jsonb(predicted)"),
        ("l", "actual", "boolean using actual > 0"),
        ("p", "id", "text using id::text"),
        ("l", "id", "text using id::text"),
        ("l", "id", "numeric using id::numeric"),
        ("p", "id", "numeric using id::numeric"),
    ] {
        let bench = Bench::new(&format!("alter table public.{table} alter {column} type {change}")).await;
        let rest = "[[cohorts]]\nby = [\"region\"]\n[[metrics.custom]]\nname = \"c\"\nsum = \"abs(error)\"\n";
        let job = hourly(&format!("{WINDOWS}{rest}"));
        let checked = bench.check(&job);
        assert_eq!(checked.code, Some(1), "{change}: {}", checked.stdout);
        let again = bench.check(&with_hints(&job, &checked.stdout));
        assert_eq!(again.code, Some(0), "{change}: {}\n{}", checked.stdout, again.stdout);
        bench.run(&RUN).ok();
        // The same where the source is a query already.
        let p = "query = '''select \"id\", \"at\", \"predicted\", \"version\", \"region\", \"seen\" from public.p'''";
        let l = "query = '''select \"id\", \"actual\", \"seen\" from public.l'''";
        let queries = job.replace("table = \"public.p\"", p).replace("table = \"public.l\"", l);
        let checked = bench.check(&queries);
        assert_eq!(checked.code, Some(1), "{change}: {}", checked.stdout);
        let mended = with_hints_in_queries(&queries, &checked.stdout);
        let again = bench.check(&mended);
        assert_eq!(again.code, Some(0), "{change}: {}\n{mended}\n{}", checked.stdout, again.stdout);
        bench.run(&RUN).ok();
    }
}

/// The hint of each finding with this code.
fn hints(bench: &Bench, code: &str) -> Vec<String> {
    let shown = bench.run(&["check", "--output", "json"]).stdout;
    let findings: Vec<serde_json::Value> = serde_json::from_str(&shown).expect("JSON");
    let of_code = findings.iter().filter(|finding| finding["code"] == code);
    of_code.map(|finding| finding["hint"].as_str().expect("a hint").to_owned()).collect()
}

/// The texts in backticks of a hint.
fn quoted(hint: &str) -> Vec<&str> {
    hint.split('`').skip(1).step_by(2).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_with_sql_for_the_database_are_applied_and_work() {
    // Indexes, whatever the names of tables and columns need.
    let bare = "drop index public.p_at_idx; drop index public.p_seen_idx; drop index public.l_seen_idx; \
                alter table public.p rename to \"P \"\"x\"; alter table public.\"P \"\"x\" rename seen to \"Seen`\"";
    let job = hourly(WINDOWS).replace("\"public.p\"", "'public.\"P \"\"x\"'").replacen(
        "arrived_at = \"seen\"",
        "arrived_at = \"Seen`\"",
        1,
    );
    let bench = Bench::new(bare).await;
    bench.check(&job).ok();
    let missing = hints(&bench, "no-index");
    assert_eq!(missing.len(), 3, "{missing:?}");
    for hint in &missing {
        bench.db.execute(hint.strip_prefix("create an index: ").expect("SQL")).await;
    }
    assert_eq!(hints(&bench, "no-index"), Vec::<String>::new());
    bench.run(&RUN).ok();

    // Functions behind a view that nobody declared.
    let views = "create function public.\"F x\"(x float8) returns float8 language sql as 'select x'; \
                 create function public.g(x text, n int default 1) returns text language sql as 'select x'; \
                 alter table public.p rename to p0; \
                 create view public.p as select id, at, public.\"F x\"(predicted) as predicted, public.g(version) as version, region, seen from public.p0";
    let bench = Bench::new(views).await;
    is_refused(&bench, &hourly(WINDOWS), "error[bad-function]", &["which are volatile"]);
    let hint = hints(&bench, "bad-function").remove(0);
    bench.db.execute(quoted(&hint)[0]).await;
    bench.check(&hourly(WINDOWS)).ok();
    bench.run(&RUN).ok();

    // A function that the operator allows.
    let bench =
        Bench::new("create function public.\"To MW\"(x float8) returns float8 language sql as 'select x'").await;
    bench.folder.write("trueup.toml", "[database]\nallow_functions = ['public.\"To MW\"']\n");
    let query = "query = 'select id, at, public.\"To MW\"(predicted) as predicted, version, seen from public.p'";
    let job = hourly(WINDOWS).replace("table = \"public.p\"", query);
    is_refused(&bench, &job, "error[bad-function]", &["is volatile"]);
    let hint = hints(&bench, "bad-function").remove(0);
    bench.db.execute(quoted(&hint)[0]).await;
    bench.check(&job).ok();
    bench.run(&RUN).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_with_keys_for_the_job_are_applied_and_work() {
    // The wait that the labels need.
    let bench = Bench::new("update public.p set at = at + (now() - '2024-05-03T00:00:00Z'), seen = seen + (now() - '2024-05-03T00:00:00Z'); \
        update public.l set seen = p.at + interval '5 hours 10 minutes' from public.p where p.id = l.id").await;
    let job = hourly(&WINDOWS.replace("tumbling", "label_wait = \"1h\"\ntumbling"));
    bench.check(&job).ok();
    let hint = hints(&bench, "short-label-wait").remove(0);
    bench.check(&job.replace("label_wait = \"1h\"", quoted(&hint)[0])).ok();
    assert_eq!(hints(&bench, "short-label-wait"), Vec::<String>::new(), "{hint}");

    // A key that nothing makes unique: both ways out.
    let without = "alter table public.p drop constraint p_pkey";
    let bench = Bench::new(without).await;
    bench.check(&hourly(WINDOWS)).ok();
    let hint = hints(&bench, "no-unique-key").remove(0);
    let vouched =
        hourly(WINDOWS).replace("table = \"public.p\"", &format!("table = \"public.p\"\n{}", quoted(&hint)[0]));
    bench.check(&vouched).ok();
    assert_eq!(hints(&bench, "no-unique-key"), Vec::<String>::new(), "{hint}");
    bench.db.execute("create unique index on public.p (id)").await;
    bench.check(&hourly(WINDOWS)).ok();
    assert_eq!(hints(&bench, "no-unique-key"), Vec::<String>::new(), "{hint}");

    // A key that is vouched for and is not unique.
    bench
        .db
        .execute(
            "drop index public.p_id_idx; update public.p set at = at + (now() - '2024-05-03T00:00:00Z'); \
                  insert into public.p select * from public.p where id >= 190",
        )
        .await;
    is_refused(&bench, &vouched, "error[not-unique]", &[]);
    assert_eq!(quoted(&hints(&bench, "not-unique")[0]), ["unique = true"]);
    bench.check(&hourly(WINDOWS)).ok();
    bench.run(&RUN).ok();
}

/// Hints in words, done as they say.
#[tokio::test(flavor = "multi_thread")]
async fn hints_in_words_work_when_they_are_followed() {
    let nulls = "alter table public.p drop constraint p_pkey; alter table public.p alter seen drop not null; update public.p set seen = null where id % 2 = 0";
    let bench = Bench::new(nulls).await;
    bench.check(&hourly(WINDOWS)).ok();
    assert!(hints(&bench, "null-key")[0].contains("in a `query` with coalesce"));
    let query = "query = \"select id, at, predicted, version, coalesce(seen, at) as seen from public.p\"";
    bench.check(&hourly(WINDOWS).replace("table = \"public.p\"", query)).ok();
    assert_eq!(hints(&bench, "null-key"), Vec::<String>::new());

    let bench =
        Bench::new("alter table public.p add qty int default 4; update public.p set qty = 0 where id = 77").await;
    let custom = |sum: &str| hourly(&format!("{WINDOWS}[[metrics.custom]]\nname = \"c\"\nsum = \"{sum}\"\n"));
    bench.check(&custom("abs(error) / qty")).ok();
    assert!(hints(&bench, "failing-value")[0].contains("nullif or case"));
    for sum in ["abs(error) / nullif(qty, 0)", "case when qty <> 0 then abs(error) / qty end"] {
        bench.check(&custom(sum)).ok();
        assert_eq!(hints(&bench, "failing-value"), Vec::<String>::new(), "{sum}");
    }

    let young = Bench::new("update public.p set at = now() - (192 - id) * interval '15 minutes'").await;
    let horizon = |horizon: &str| hourly(&WINDOWS.replace("tumbling", &format!("horizon = \"{horizon}\"\ntumbling")));
    young.check(&horizon("30d")).ok();
    assert!(hints(&young, "short-source")[0].contains("shorten the horizon to what the source keeps"));
    young.check(&horizon("1d")).ok();
    assert_eq!(hints(&young, "short-source"), Vec::<String>::new());

    let many = Bench::new(
        "update public.p set at = at + (now() - '2024-05-03T00:00:00Z'); insert into public.p \
         select n + 1000, now() - interval '1 hour', 1, 'v1', 'region ' || n, now() from generate_series(1, 1100) n",
    )
    .await;
    let by = |by: &str| hourly(&format!("{WINDOWS}[[cohorts]]\nby = [{by}]\n"));
    many.check(&by("\"region\"")).ok();
    assert!(hints(&many, "many-cohorts")[0].contains("group its values by an expression in `by`"));
    many.check(&by("{ name = \"region\", expr = \"left(region, 8)\" }")).ok();
    assert_eq!(hints(&many, "many-cohorts"), Vec::<String>::new());

    let moving = Bench::new("alter table public.p rename to p0; create view public.p as select * from public.p0 where at > now() - interval '5 years'").await;
    moving.check(&hourly(WINDOWS)).ok();
    assert!(hints(&moving, "moving-source")[0].contains("read the underlying table"));
    moving.check(&hourly(WINDOWS).replace("\"public.p\"", "\"public.p0\"")).ok();
    assert_eq!(hints(&moving, "moving-source"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_says_stands_beside_what_we_say() {
    let bench = Bench::new("").await;
    let query = "query = \"select p.id, p.at, p.predicted, p.version, p.seen, l.id from public.p p join public.l l on l.id = p.id\"";
    let shown = bench.check(&hourly(WINDOWS).replace("table = \"public.p\"", query)).stdout;
    assert!(shown.contains("Postgres says: column reference \"id\" is ambiguous"), "{shown}");
    let custom = hourly(&format!("{WINDOWS}[[metrics.custom]]\nname = \"c\"\nsum = \"abs(error) > 2\"\n"));
    let shown = bench.check(&custom).stdout;
    assert!(shown.contains("Postgres says: ") && shown.contains("boolean"), "{shown}");
}

/// An expression that fails on a row is named with the row.
#[tokio::test(flavor = "multi_thread")]
async fn check_tries_expressions_on_real_rows() {
    let scene = "alter table public.p add qty int default 4, add meta jsonb default '{\"num\": \"7\"}';
        update public.p set qty = 0, meta = '{\"num\": \"n/a\"}' where id = 77;";
    for (rest, value) in [
        ("[[metrics.custom]]\nname = \"c\"\nsum = \"abs(error)/qty\"\n", "{\"qty\": 0}"),
        ("[[metrics.custom]]\nname = \"c\"\nsum = \"(meta->>'num')::float8\"\n", "n/a"),
        ("[[cohorts]]\nby = [{ name = \"d\", expr = \"100/qty\" }]\n", "{\"qty\": 0}"),
    ] {
        let shown = Bench::new(scene).await.check(&hourly(&format!("{WINDOWS}{rest}"))).ok().stdout;
        for words in ["warning[failing-value]", "with the key 77", value] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }
    let filtered = hourly(WINDOWS).replace("version = \"version\"", "version = \"version\"\nwhere = \"100/qty > 1\"");
    let shown = Bench::new(scene).await.check(&filtered).ok().stdout;
    assert!(shown.contains("warning[failing-value]") && shown.contains("division by zero"), "{shown}");
}

/// A view whose rows depend on the clock, and a horizon that is longer than the source.
#[tokio::test(flavor = "multi_thread")]
async fn sources_that_forget_are_warned_about() {
    for clock in ["now() - interval '5 years'", "current_date - 2000"] {
        let view = format!(
            "alter table public.p rename to p0; create view public.p as select * from public.p0 where at > {clock}"
        );
        let shown = Bench::new(&view).await.check(&hourly(WINDOWS)).ok().stdout;
        assert!(shown.contains("warning[moving-source]"), "{shown}");
    }
    let young = Bench::new("update public.p set at = now() - (192 - id) * interval '15 minutes'").await;
    let shown = young.check(&hourly(&WINDOWS.replace("tumbling", "horizon = \"30d\"\ntumbling"))).ok().stdout;
    assert!(shown.contains("warning[short-source]"), "{shown}");
}

/// What Postgres refuses for a reason that nobody foresaw is an error of the check, not a note.
#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_postgres_refuses_is_an_error() {
    let bench = Bench::new("").await;
    let mut other = bench.db.connection().await;
    let lock = "begin; lock table public.l in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut other).await.expect("a lock");
    is_refused(&bench, &hourly(WINDOWS), "error[not-compared]", &["lock timeout"]);
    sqlx::raw_sql("rollback").execute(&mut other).await.expect("its end");
    // Times that are infinite are no reason.
    bench
        .db
        .execute(
            "update public.l set seen = 'infinity' where id = 3; update public.p set seen = '-infinity' where id = 4",
        )
        .await;
    bench.check(&hourly(WINDOWS)).ok();
}
