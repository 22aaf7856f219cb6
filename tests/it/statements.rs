//! How many statements a run sends to the server: each costs a round trip, and a slow network charges for every one.

use crate::support::bench::Bench;
use crate::support::proxy::Proxy;
use crate::support::world::hourly;

/// Statements that a run sends, in order, without connecting and without pings.
fn sent(bench: &Bench, at: &str) -> Vec<String> {
    let proxy = Proxy::start(&bench.db.options);
    proxy.record();
    bench.folder.run_on(&proxy.url(), &["run", "hourly", "--at", at]).ok();
    let all = proxy.seen().into_iter().map(|seen| seen.statement.split_whitespace().collect::<Vec<_>>().join(" "));
    // A serving runner has prepared its statements, and its sessions are open.
    let is_of_session = |sql: &str| {
        ["ping", "prepare: ", "reset all", "begin; rollback", "select set_config"]
            .iter()
            .any(|word| sql.starts_with(word))
    };
    let sent: Vec<String> = all.filter(|sql| !is_of_session(sql)).collect();
    let first = sent.iter().position(|sql| sql.contains("pg_backend_pid(), set_config")).expect("a run");
    let last = sent.iter().rposition(|sql| sql == "COMMIT").expect("a run that published");
    sent[first..=last].to_vec()
}

fn shown(statements: &[String]) -> String {
    let line = |sql: &String| sql.chars().take(110).collect::<String>();
    statements.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_judges_many_cohorts_under_many_rules_sends_as_many_statements_as_one_that_judges_one() {
    let wide = "insert into public.p select 1000 + n, at, predicted, 'v1', 'r' || n % 40, seen from public.p, generate_series(1, 40) n where id = 50;
        insert into public.l select id, 99, seen from public.p where id >= 1000";
    let rule = |n: i32| {
        format!(
            "[[alerts]]\nname = \"r{n}\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 500.0\ncohorts = \"each\"\nnotify = []\n"
        )
    };
    let mut counts = Vec::new();
    for (rules, scene) in [(rule(0), "update public.p set region = 'a'"), ((0..6).map(rule).collect(), wide)] {
        let windows = "[windows]\ntumbling = [\"1d\"]\n[[cohorts]]\nby = [\"region\"]\n";
        let bench = Bench::new(scene).await;
        bench.folder.write("jobs/hourly.toml", &hourly(&format!("{windows}{rules}")));
        bench.run(&["run", "hourly", "--at", "2024-05-02T06:00:00Z"]).ok();
        bench
            .db
            .execute(
                "update public.l set actual = actual + 1, seen = '2024-05-02T06:30:00Z' where id = 50 or id >= 1000",
            )
            .await;
        let statements = sent(&bench, "2024-05-02T07:00:00Z");
        println!("{} statements judge\n{}\n", statements.len(), shown(&statements));
        counts.push(statements.len());
    }
    assert_eq!(counts[0], counts[1], "statements of one rule over one cohort, and of six over 40");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_changes_nothing_sends_few_statements() {
    let bench = Bench::new("").await;
    let rule = "[[alerts]]\nname = \"high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1d\"\nabove = 5.0\nnotify = []\n";
    bench.folder.write("jobs/hourly.toml", &hourly(&format!("[windows]\ntumbling = [\"1d\"]\n{rule}")));
    bench.run(&["run", "hourly", "--at", "2024-05-03T06:00:00Z"]).ok();
    bench.run(&["run", "hourly", "--at", "2024-05-03T07:00:00Z"]).ok();
    let statements = sent(&bench, "2024-05-03T08:00:00Z");
    println!("{} statements change nothing\n{}\n", statements.len(), shown(&statements));
    assert!(statements.len() <= 42, "{} statements", statements.len());
}
