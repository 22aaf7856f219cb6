//! Times the queries of `docs/queries.md` over a large history: `cargo bench --bench history` (1 M measurements), or with
//! `-- 10000000`.
//!
//! Twenty jobs, 41 cohorts, two versions and both together, thirteen months of daily and of rolling windows, each measured twice.
//! In the queries, `now()` is the end of the history. Times are those that the server reports.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use support::{END, LargeHistory};

/// Runs of each query; the median counts.
const TIMES: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let wanted = std::env::args().skip(1).find_map(|word| word.parse::<i64>().ok()).unwrap_or(1_000_000);
    let history = LargeHistory::build(wanted).await?;
    let mut connection = history.options().connect().await?;
    println!("{:>3} {:<62} {:>9} {:>9} {:>7}", "", "question", "plan ms", "run ms", "months");
    for (title, sql) in questions()? {
        let asked = ask(&mut connection, &sql).await?;
        let (number, words) = title.split_once(". ").unwrap_or(("", &title));
        let words: String = words.chars().take(62).collect();
        println!("{number:>3} {words:<62} {:>9.1} {:>9.1} {:>7}", asked.planning, asked.execution, asked.months);
    }
    history.remove()
}

/// Returns titles and queries of the page.
fn questions() -> Result<Vec<(String, String)>> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/queries.md"))?;
    page.split("\n## ")
        .filter(|section| section.starts_with(|c: char| c.is_ascii_digit()))
        .map(|section| {
            let title = section.lines().next().unwrap_or_default().to_owned();
            let sql = section.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
            let sql = sql.with_context(|| format!("`{title}` has no query"))?.trim().trim_end_matches(';');
            let sql = sql.replace("now()", &format!("timestamptz '{END}'"));
            Ok((title, sql.replace("2024-05-02 06:00+00", "2026-10-02 06:00+00")))
        })
        // Other queries are about runs, residuals and alerts, which this history does not have.
        .filter(|question| {
            let asks = |view: &str| question.as_ref().is_ok_and(|(_, sql)| sql.contains(view));
            question.is_err() || ["trueup.window_", "trueup.metric_", "trueup.verdict_"].into_iter().any(asks)
        })
        .collect()
}

struct Asked {
    /// Milliseconds.
    planning: f64,
    execution: f64,
    /// Months of measurements that were read.
    months: usize,
}

async fn ask(connection: &mut PgConnection, sql: &str) -> Result<Asked> {
    let mut asked = Vec::new();
    for _ in 0..TIMES {
        let sql = format!("explain (analyze, summary, format json) {sql}");
        let plan: Json = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
        let time = |name: &str| plan[0][name].as_f64().with_context(|| format!("the plan has no {name}"));
        let mut months = BTreeSet::new();
        read(&plan[0]["Plan"], &mut months);
        asked.push(Asked {
            planning: time("Planning Time")?,
            execution: time("Execution Time")?,
            months: months.len(),
        });
    }
    asked.sort_by(|a, b| a.execution.total_cmp(&b.execution));
    Ok(asked.swap_remove(TIMES / 2))
}

/// Collects the months of measurements that a plan actually read.
fn read(node: &Json, months: &mut BTreeSet<String>) {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    if relation.starts_with("measurement_") && node["Actual Loops"].as_f64() > Some(0.0) {
        months.insert(relation.to_owned());
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        read(child, months);
    }
}
