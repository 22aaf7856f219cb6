//! One value on which an expression fails costs its own pair, of what the expression is for, and never the run.

use crate::support::bench::Bench;
use crate::support::world::{TABLES, World, at, hourly, plan_job, quarter_hours};

const WINDOWS: &str = "[windows]\ntumbling = [\"1d\"]\nlabel_wait = \"1d\"\nhorizon = \"30d\"\n";
/// 96 pairs a day with an error of 1; every twelfth row cannot be computed with.
const SCENE: &str = "alter table public.p add qty int default 4, add meta jsonb default '{\"num\": \"7\"}', add word text default '2.5', add \"odd name\"\" x\" float8 default 1;
    update public.p set qty = 0, meta = '{\"num\": \"n/a\"}', word = '--' where id % 12 = 5;
    update public.p set meta = '{\"num\": \"NaN\"}' where id % 12 = 6;";

async fn world(rest: &str) -> World {
    let world = World::new(TABLES, &hourly(&format!("{WINDOWS}{rest}"))).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 48)).await;
    world.db.execute(SCENE).await;
    world
}

async fn day(world: &World, cohort: &str) -> Vec<String> {
    let sql = format!(
        "select predictions, labeled, mse, round((extra ->> 'c')::numeric, 6) as c from trueup.window_history where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = '{cohort}' and model_version is null"
    );
    world.db.lines(&sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_metric_leaves_out_the_rows_on_which_it_fails() {
    for (sum, expected) in [
        ("abs(error)/qty", "0.25"),
        ("(meta->>'num')::float8", "7"),
        ("word::float8 * abs(error)", "2.5"),
        ("ln(qty)", "1.386294"),
        ("sqrt(qty - 1)", "1.732051"),
        ("abs(error) + \"odd name\"\" x\" + 0 * 1 / qty", "2"),
    ] {
        for incremental in [true, false] {
            let toml = format!("[metrics]\ninclude = [\"mse\"]\n[[metrics.custom]]\nname = \"c\"\nsum = '''{sum}'''\n");
            let mut world = world(&toml).await;
            if !incremental {
                let text = hourly(&format!("{WINDOWS}{toml}")).replace("arrived_at = \"seen\"\n", "");
                world.job = plan_job(&text);
            }
            world.run_at(at("2024-05-02T12:00:00Z")).await;
            let found = day(&world, "all").await.join("");
            let (counts, value) = found.rsplit_once(" | ").expect("a line");
            assert_eq!(counts, "96 | 96 | 1", "{sum}");
            let near = |a: &str, b: &str| {
                (a.parse::<f64>().expect("a number") - b.parse::<f64>().expect("a number")).abs() < 1e-5
            };
            assert!(near(value, expected), "{sum}: {value}");
            // Later runs go on, with labels that come late and change.
            world.db.execute("update public.l set actual = 98, seen = '2024-05-02T12:30:00Z' where id = 10").await;
            world.run_at(at("2024-05-02T13:00:00Z")).await;
            assert!(!day(&world, "all").await.join("").starts_with("96 | 96 | 1 |"), "{sum}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_on_which_the_filter_fails_is_excluded_and_a_cohort_has_no_value_for_it() {
    let mut filtered = world("").await;
    let text = hourly(WINDOWS).replace("version = \"version\"", "version = \"version\"\nwhere = \"100/qty > 1\"");
    filtered.job = plan_job(&text);
    filtered.run_at(at("2024-05-02T12:00:00Z")).await;
    assert!(day(&filtered, "all").await.join("").starts_with("96 | 88 | 1"), "{:?}", day(&filtered, "all").await);
    assert_eq!(failures(&filtered).await, ["8 | 8"]);
    let outcomes = "select outcome, count(*) from trueup.residual_history where event_at >= '2024-05-01T12:00Z' and event_at < '2024-05-02Z' group by 1 order by 1";
    assert_eq!(filtered.db.lines(outcomes).await, ["filter failed | 4", "pair | 44"]);

    let by_quotient = world("[[cohorts]]\nby = [{ name = \"d\", expr = \"100/qty\" }]\n").await;
    by_quotient.run_at(at("2024-05-02T12:00:00Z")).await;
    assert!(day(&by_quotient, "all").await.join("").starts_with("96 | 96 | 1"));
    assert!(day(&by_quotient, "d=25").await.join("").starts_with("88 | 88 | 1"));
    assert!(day(&by_quotient, "d=(null)").await.join("").starts_with("8 | 8 | 1"));
    assert_eq!(failures(&by_quotient).await, ["0 | 8"]);
}

/// What is excluded from all metrics of a day, and on how many predictions an expression failed.
async fn failures(world: &World) -> Vec<String> {
    let sql = "select excluded, extra ->> 'failed_expressions' from trueup.window_history
        where window_name = 'tumbling 1d' and window_start = '2024-05-01Z' and cohort = 'all' and model_version is null";
    world.db.lines(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_on_which_expressions_fail_are_counted_and_raise_the_ticket_about_contradictions() {
    let custom = |name: &str, sum: &str| format!("[[metrics.custom]]\nname = \"{name}\"\nsum = \"{sum}\"\n");
    let toml = format!("{}{}[builtin]\noff = []\n", custom("c", "abs(error)/qty"), custom("d", "word::float8"));
    let world = world(&toml).await;
    world.db.execute("update public.p set word = 'x' where id = 10; update public.p set qty = 2, word = '1' where id % 12 = 5 and id > 96").await;
    world.run_at(at("2024-05-02T00:00:00Z")).await;
    // Eight rows on which both fail, one on which one does.
    assert_eq!(failures(&world).await, ["0 | 9"]);
    let state = "select state from trueup.alert where rule = 'contradictions' and cohort = 'all'";
    assert_eq!(world.db.lines(state).await, ["firing"]);
    let query: String = world
        .db
        .scalar("select evidence ->> 'query' from trueup.alert_history where rule = 'contradictions' limit 1")
        .await;
    assert_eq!(world.db.lines(query.trim_end_matches(';')).await.len(), 9, "the message's query names them: {query}");
    // Rows that are mended are counted no more, and the ticket ends with a day that has none.
    world.db.execute("update public.p set word = '1', seen = '2024-05-02T00:30Z' where id = 10").await;
    world.run_at(at("2024-05-02T01:00:00Z")).await;
    assert_eq!(failures(&world).await, ["0 | 8"]);
    world.run_at(at("2024-05-03T00:00:00Z")).await;
    assert_eq!(world.db.lines(state).await, ["resolved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objective_and_a_backfill_go_on_where_an_expression_fails() {
    let slo = "[[slos]]\nname = \"near\"\ngood = \"abs(error)/qty <= 0.2\"\nobjective = 0.9\nperiod = \"7d\"\n";
    let world = world(slo).await;
    world.backfill(at("2024-05-01T00:00:00Z")..at("2024-05-03T00:00:00Z"), None).await;
    assert!(day(&world, "all").await.join("").starts_with("96 | 96 | 1"));
    world.run_at(at("2024-05-03T00:00:00Z")).await;
    let guarded: bool = world.db.scalar("select bool_and(guarded) from trueup.plan").await;
    assert!(guarded, "the plan remembers it");
}

/// What fails is shown by `run`, with the place in the job and keys; nothing that works is evaluated row by row.
#[tokio::test(flavor = "multi_thread")]
async fn run_says_which_expression_fails_on_which_keys() {
    let bench = Bench::new(SCENE).await;
    bench.folder.write(
        "jobs/hourly.toml",
        &hourly(&format!("{WINDOWS}[[metrics.custom]]\nname = \"c\"\nsum = \"abs(error) / qty\"\n")),
    );
    let dry = bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z", "--dry-run"]).ok();
    assert!(dry.stdout.contains("tumbling 1d"), "{}", dry.stdout);
    let ran = bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).ok();
    assert!(
        ran.stderr.contains("8 predictions are left out (`metrics.custom[0].sum` fails on them), such as 17, 29, 41"),
        "{}",
        ran.stderr
    );
    bench.folder.write(
        "jobs/hourly.toml",
        &hourly(&format!("{WINDOWS}[[metrics.custom]]\nname = \"c\"\nsum = \"abs(error) / 2\"\n")),
    );
    bench.run(&["run", "hourly", "--at", "2024-05-03T07:00:00Z"]).ok();
    assert_eq!(bench.db.lines("select guarded from trueup.plan order by id").await, ["true", "true", "false"]);
}
