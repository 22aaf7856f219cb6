//! Pages that are read while runs publish: all numbers of one page are of one moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;

use super::site::{Site, texts};
use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

const JOB: &str = "[windows]\ntumbling = [\"1h\", \"3h\"]\nlabel_wait = \"2d\"\n\
    [metrics]\ninclude = [\"rmse\", \"mae\", \"max_abs_error\"]\n[[cohorts]]\nby = [\"region\"]\n";

/// Hours of predictions, each with four.
const HOURS: i64 = 6;
/// Runs that publish while pages are read.
const RUNS: u32 = 12;

/// Pages whose panels show the same number several times.
const PAGES: [&str; 4] = [
    "/jobs/hourly?metric=rmse&window=tumbling+1h",
    "/jobs/hourly/cohorts?metric=mae&window=tumbling+1h",
    "/jobs/hourly/windows/tumbling-1h/2024-05-01T03:00:00Z",
    "/api/v1/jobs/hourly/series?metric=rmse&window=tumbling-1h",
];

/// Cells of the tables that show current values, by a text of the table: all cells of a row, or one.
const TABLES_OF_VALUES: [(&str, Option<usize>); 6] = [
    // The table below the chart of a job, and its other kinds of windows.
    ("of tumbling 1h, all, newest first", Some(0)),
    (">Last 60<", Some(1)),
    // Cohorts in the newest window, and all windows of each.
    ("Cohorts in the newest window", Some(1)),
    ("~ is provisional", None),
    // All metrics of a window, and its parts.
    ("95 % intervals below the values", Some(1)),
    ("of the parts of this window", Some(0)),
];

/// Makes every error as large as `error`: then each metric of each window of each cohort has this value.
async fn publish(world: &World, error: u32) {
    let time = at("2024-05-01T07:00:00Z") + TimeDelta::minutes(i64::from(error));
    let label = format!("update public.l set actual = 100 - {error}, seen = '{}'", time - TimeDelta::seconds(1));
    world.db.execute(&label).await;
    world.run_at(time).await;
}

/// Values of a page with the places where they stand.
fn values(path: &str, body: &str) -> Vec<(String, f64)> {
    if path.starts_with("/api/") {
        let entries: Vec<serde_json::Value> = serde_json::from_str(body).expect("JSON");
        let value =
            |entry: &serde_json::Value| (entry["window_end"].to_string(), entry["value"].as_f64().expect("a value"));
        return entries.iter().map(value).collect();
    }
    let mut found = Vec::new();
    for table in texts(body, "<table", "</table>") {
        let Some((name, place)) = TABLES_OF_VALUES.iter().find(|(name, _)| table.contains(name)) else { continue };
        for row in texts(table.split("<tbody>").nth(1).expect("a body"), "<tr", "</tr>") {
            let cells: Vec<f64> = row
                .split("<td")
                .skip(1)
                .enumerate()
                .filter_map(|(n, cell)| place.is_none_or(|place| place == n).then(|| number(cell)).flatten())
                .collect();
            found.extend(cells.into_iter().map(|value| ((*name).to_owned(), value)));
        }
    }
    // Points of the chart: time, value, interval.
    let points = texts(body, "<title>", "</title>");
    found.extend(points.into_iter().filter_map(|title| Some((title.clone(), point(&title)?))));
    found
}

/// The number in a cell. Counts have no fraction, and are none.
fn number(cell: &str) -> Option<f64> {
    let text = cell.split('>').nth(1)?.split('<').next()?;
    // The text may stand in a link.
    let text = if text.trim().is_empty() { cell.split('>').nth(2)?.split('<').next()? } else { text };
    let text = text.trim().trim_end_matches('~').trim();
    text.contains('.').then(|| text.parse().ok()).flatten()
}

/// The value that the title of a point names; those of former revisions begin with their number.
fn point(title: &str) -> Option<f64> {
    title
        .starts_with("2024-05-01")
        .then(|| title.split([' ', ',', ':']).find(|word| word.contains('.'))?.parse().ok())?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn panels_of_one_page_agree_while_a_run_publishes() {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", HOURS)).await;
    publish(&world, 3).await;
    let site = Arc::new(Site::pages(&world.db.url()).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients = (0..2).map(|client| {
        let (site, is_over) = (Arc::clone(&site), Arc::clone(&is_over));
        tokio::spawn(async move {
            let (mut seen, mut read) = (BTreeSet::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                let path = PAGES[(read + 2 * client) % PAGES.len()];
                let answer = site.get(path).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
                let values = values(path, &answer.body);
                assert!(values.len() >= 5, "{path} shows {values:?}\n{}", answer.body);
                let first = values[0].1;
                let differing: Vec<_> = values.iter().filter(|(_, value)| (value - first).abs() > 1e-9).collect();
                assert!(differing.is_empty(), "{path} shows {first} and {differing:?}");
                seen.insert(format!("{first}"));
                read += 1;
            }
            (seen, read)
        })
    });
    let clients: Vec<_> = clients.collect();
    for run in 0..RUNS {
        publish(&world, 4 + run).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        let (seen, read) = client.await.expect("a client");
        assert!(
            seen.len() >= 3 && read >= 10,
            "{read} pages of {} moments: the test is too slow to show anything",
            seen.len()
        );
    }
}
