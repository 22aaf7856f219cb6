//! No text of a job file is code: what could be is refused by `check`, and what is taken means what it says, whatever the
//! role, the database and the server say about strings.

use trueup::postgres::connect;

use crate::support::database::TestDatabase;
use crate::support::program::{Folder, Run};
use crate::support::world::{TABLES, World, at, hourly};

/// An expression that `sqlparser` prints so that a literal of it ends early and the rest becomes code.
const BROKEN_OUT: &str = r"('a\''' operator('= ''x'' or pg_sleep(1) is null or 0 < length(''') -1)";

/// Expressions that are code of somebody, or that are not a function of the data.
const EXPRESSIONS: [&str; 24] = [
    BROKEN_OUT,
    r"region = 'a\''' or region operator('= ''b'' or true or ''') 'c'",
    r#""a\"" operator('"" or ') 1 = 1"#,
    "region operator(public.=) 'a'",
    "cast(region as public.evil) = 'a'",
    "region::public.evil = 'a'",
    "region::regclass is null",
    "region = e'a\\'b'",
    "region = u&'a\\0027b'",
    "region = n'a'",
    "region = 'a\u{0}b'",
    "\"reg\u{0}ion\" = 'a'",
    "public.f(region) = 'a'",
    "\"pg_sleep\"(1) is null",
    "pg_catalog.pg_read_file('/etc/passwd') = region",
    "lo_from_bytea(0, 'x') > 0",
    "(select rolname from pg_catalog.pg_roles limit 1) = region",
    "region = (table pg_catalog.pg_roles)",
    "at < now()",
    "at < cast('now' as timestamptz)",
    "at < 'today'::date",
    "random() < 0.5",
    "region = current_user",
    "$1 = region",
];

fn quoted(text: &str) -> String {
    // As JSON, which TOML reads alike; a NUL by its escape.
    serde_json::Value::from(text).to_string()
}

/// Every place of a job file that takes an expression, with the expression in it.
fn places(expression: &str) -> [(&'static str, String); 5] {
    let text = quoted(expression);
    let windows = "[windows]\ntumbling = [\"1d\"]\n";
    let job = |rest: String| hourly(&format!("{windows}{rest}"));
    [
        ("where", job(String::new()).replacen("[labels]", &format!("where = {text}\n[labels]"), 1)),
        ("a dimension", job(format!("[[cohorts]]\nby = [{{ name = \"d\", expr = {text} }}]\n"))),
        ("a sum", job(format!("[[metrics.custom]]\nname = \"c\"\nsum = {text}\n"))),
        ("a divisor", job(format!("[[metrics.custom]]\nname = \"c\"\nsum = \"1\"\nper = {text}\n"))),
        (
            "an objective",
            job(format!(
                "[[slos]]\nname = \"s\"\ngood = {text}\nobjective = 0.9\nperiod = \"7d\"\n\
                 burn = [{{ long = \"6h\", short = \"1h\", factor = 2.0, severity = \"ticket\" }}]\n"
            )),
        ),
    ]
}

fn refused(job: &str, code: &str, what: &str) {
    let folder = Folder::new("injection");
    folder.write("jobs/hourly.toml", job);
    let checked = folder.run(&["check"]);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(checked.code == Some(1) && said.contains(code), "{what}: exit {:?}\n{said}", checked.code);
    assert!(!said.contains("panicked"), "{what}:\n{said}");
}

#[test]
fn code_in_an_expression_is_refused_wherever_it_stands() {
    for expression in EXPRESSIONS {
        for (place, job) in places(expression) {
            refused(&job, "bad-expression", &format!("{place}: {expression}"));
        }
    }
}

#[test]
fn code_in_a_query_is_refused_on_both_sides() {
    let columns = "select id, at, predicted, version, region, seen, actual from public.p";
    let mut queries: Vec<String> =
        EXPRESSIONS.iter().map(|expression| format!("{columns} where {expression}")).collect();
    queries.extend(
        [
            "select public.f(id) as id, at, predicted, seen, actual from public.p",
            "with d as (delete from public.p returning *) select * from d",
            "select * from public.p for update",
            "select * into public.q from public.p",
            "select p.* from public.p, pg_catalog.pg_stat_activity",
            "select * from dblink('host=x', 'select 1') as d(id int)",
            "select * from public.p tablesample system (1)",
            "select * from public.p; drop table public.p",
            "select *, clock_timestamp() as seen from public.p",
        ]
        .map(str::to_owned),
    );
    for query in queries {
        for section in ["[predictions]\ntable = \"public.p\"", "[labels]\ntable = \"public.l\""] {
            let job = hourly("[windows]\ntumbling = [\"1d\"]\n");
            let name = section.lines().next().unwrap();
            assert!(job.contains(section), "{section}");
            let job = job.replacen(section, &format!("{name}\nquery = {}", quoted(&query)), 1);
            refused(&job, "bad-query", &format!("{name}: {query}"));
        }
    }
}

/// Rows whose region is made of quotes and backslashes, and how many a filter that names one of them finds: that one alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_literal_of_quotes_and_backslashes_means_itself_whatever_the_database_says_about_strings() {
    let regions = [r"a\'", r"a\", r"\'", "'", "''", r"\", r#"""#, "$$", "$t$", r"\$t$", "a", "now", r"\x41", "é--"];
    for region in regions {
        let filter = quoted(&format!("region = '{}'", region.replace('\'', "''")));
        let job =
            hourly("[windows]\ntumbling = [\"1d\"]\n").replacen("[labels]", &format!("where = {filter}\n[labels]"), 1);
        let mut world = World::new(TABLES, &job).await;
        for (id, other) in regions.iter().enumerate() {
            let escaped = other.replace('\'', "''");
            world
                .db
                .execute(&format!(
                    "insert into public.p values ({id}, '2024-05-01T01:00:00Z', 1, null, '{escaped}', '2024-05-01T01:00:00Z');
                     insert into public.l values ({id}, 0, '2024-05-01T02:00:00Z')"
                ))
                .await;
        }
        let name = &world.db.name;
        world.db.execute(&format!("alter database {name} set standard_conforming_strings = off")).await;
        // Sessions that begin after the change.
        world.db.pool = connect::pool(world.db.options.clone(), 4).await.expect("a pool");
        world.run_at(at("2024-05-02T00:00:00Z")).await;
        let found = world
            .db
            .lines("select predictions, labeled, mse from trueup.window_history where model_version is null")
            .await;
        assert_eq!(found, ["1 | 1 | 1"], "{region}");
    }
}

/// What the operator allows may be called by a query, if its answer depends on nothing but its arguments.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_another_schema_needs_the_operators_word_and_must_not_be_volatile() {
    let db = TestDatabase::new().await;
    db.execute(TABLES).await;
    db.execute(
        "create function public.to_mw(v float8) returns float8 language sql immutable as 'select v / 1000';
         create function public.dice(v float8) returns float8 language sql volatile as 'select v * random()';
         insert into public.p values (1, '2024-05-01T01:00:00Z', 5000, null, 'n', '2024-05-01T01:00:00Z');
         insert into public.l values (1, 3, '2024-05-01T02:00:00Z')",
    )
    .await;
    let folder = Folder::new("functions");
    let job = |function: &str| {
        let query = format!("select id, at, {function}(predicted) as predicted, version, seen from public.p");
        hourly("[windows]\ntumbling = [\"1d\"]\n").replacen(
            "table = \"public.p\"",
            &format!("query = {}", quoted(&query)),
            1,
        )
    };
    let trueup = |arguments: &[&str]| Run::of(folder.trueup(arguments).env("DATABASE_URL", db.url()).output().unwrap());
    folder.write("jobs/hourly.toml", &job("public.to_mw"));
    let without = trueup(&["check"]);
    assert!(without.code == Some(1) && without.stdout.contains("allow_functions"), "{}", without.stdout);

    let allow = "[database]\nallow_functions = [\"public.to_mw\", \"public.dice\", \"public.gone\"]\n";
    folder.write("trueup.toml", allow);
    trueup(&["check"]).ok();
    trueup(&["run", "hourly", "--at", "2024-05-02T00:00:00Z"]).ok();
    assert_eq!(db.lines("select mse from trueup.window_history where model_version is null").await, ["4"]);

    for (function, why) in [("public.dice", "is volatile"), ("public.gone", "there is no function")] {
        folder.write("jobs/hourly.toml", &job(function));
        for arguments in [&["check"][..], &["run", "hourly", "--at", "2024-05-03T00:00:00Z"][..]] {
            let run = trueup(arguments);
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(run.code == Some(1) && said.contains(why), "{function}, {arguments:?}: {said}");
        }
    }
}
