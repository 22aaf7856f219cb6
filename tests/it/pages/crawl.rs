//! Every page that another one links to, and every query below a panel.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, PgConnection};

use super::classes;
use super::site::{Site, attributes, texts};
use crate::grafana::story;

/// Pages that are visited: more than the kinds of pages, fewer than all windows.
const MOST: usize = 260;

/// Beginning of a query below a panel.
const SQL: &str = "<summary>SQL</summary><pre tabindex=\"0\" data-copy>";

/// The kind of a page: its path with names and numbers replaced.
fn kind(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fixed = |n: usize, part: &str| match (parts.get(1), n) {
        (Some(&("jobs" | "incidents" | "alerts" | "runs" | "deliveries")), 2) => "*".to_owned(),
        (Some(&"jobs"), 4 | 5) => "*".to_owned(),
        _ => part.to_owned(),
    };
    parts.iter().enumerate().map(|(n, part)| fixed(n, part)).collect::<Vec<_>>().join("/")
}

/// Visits pages breadth first, at most a few of each kind with the same parameters.
pub async fn crawl(site: &Site) -> BTreeMap<String, String> {
    let mut waiting = vec!["/".to_owned()];
    let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
    let mut visited: BTreeMap<String, usize> = BTreeMap::new();
    let mut pages = BTreeMap::new();
    let mut linked_by: BTreeMap<String, String> = BTreeMap::new();
    while let Some(path) = waiting.pop() {
        let names = path.split('?').nth(1).unwrap_or_default();
        let names: Vec<&str> = names.split('&').filter_map(|pair| pair.split('=').next()).collect();
        let times = visited.entry(format!("{} {names:?}", kind(&path))).or_default();
        *times += 1;
        if *times > 3 || pages.len() >= MOST {
            continue;
        }
        let answer = site.get(&path).await;
        if answer.status == 302 || answer.status == 303 {
            let to = answer.headers["location"].to_str().expect("text").to_owned();
            if seen.insert(to.clone()) {
                waiting.insert(0, to);
            }
            continue;
        }
        let parent = linked_by.get(&path);
        assert_eq!(answer.status, 200, "{path}, linked by {parent:?}\n{}", answer.body);
        let linking = path.clone();
        for link in attributes(&answer.body, "href") {
            let path = link.split('#').next().unwrap_or_default().to_owned();
            // The code of a hidden value leads to a page that says so, with 404.
            let is_code = path.contains("%28hidden%20");
            if path.starts_with('/') && !path.starts_with("//") && !is_code && seen.insert(path.clone()) {
                linked_by.insert(path.clone(), linking.clone());
                waiting.insert(0, path);
            }
        }
        pages.insert(path, answer.body);
    }
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_leads_to_a_page_and_every_query_below_a_panel_runs_as_the_reader() {
    let world = classes::scene().await;
    let site = Site::pages(&world.db.url()).await;
    let pages = crawl(&site).await;
    let kinds: BTreeSet<String> = pages.keys().map(|path| kind(path)).collect();
    for expected in ["/", "/jobs/*", "/jobs/*/classes"] {
        assert!(kinds.contains(expected), "`{expected}` is not among {kinds:#?}");
    }
    let mut reader = story::reader(&world).await;
    let mut ran = BTreeSet::new();
    for (path, html) in &pages {
        for sql in texts(html, SQL, "</pre>") {
            if ran.insert(sql.clone()) {
                run(&mut reader, &sql).await.unwrap_or_else(|error| panic!("{path}: {error}\n{sql}"));
            }
        }
    }
    assert!(ran.len() >= 5, "{ran:#?}");
    println!("{} pages of {} kinds, {} queries", pages.len(), kinds.len(), ran.len());
}

async fn run(reader: &mut PgConnection, sql: &str) -> sqlx::Result<usize> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(reader).await?;
    Ok(rows.len())
}
