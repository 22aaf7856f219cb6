//! Parts of pages: lists as CSV, times that retention has thinned, annotations of versions, and runs that changed nothing.

use serde_json::Value as Json;

use super::site::{Site, attributes};
use crate::grafana::story;
use crate::support::world::World;

async fn page(site: &Site, path: &str) -> String {
    let answer = site.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Lists with a filter each.
const LISTS: [&str; 8] = [
    "/incidents",
    "/incidents?state=closed&severity=page",
    "/runs",
    "/runs?state=ok&job=load",
    "/deliveries",
    "/deliveries?receiver=mail",
    "/silences",
    "/silences?state=active",
];

/// Records of CSV (RFC 4180).
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '"' if is_quoted && signs.peek() == Some(&'"') => cell.extend(signs.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    rows
}

async fn csv_is_the_list(world: &World, site: &Site) {
    let silence = "insert into trueup.silence (job, starts_at, ends_at, reason, author)
                   values ('load', now(), now() + interval '1 hour', '=1+1', 'kim')";
    world.db.execute(silence).await;
    for path in LISTS {
        let html = page(site, path).await;
        let link = |kind: &str| {
            let of_list = |link: &String| link.split('?').next().is_some_and(|path| path.ends_with(kind));
            let name = path.split('?').next().expect("a path");
            attributes(&html, "href")
                .into_iter()
                .find(|link| link.starts_with("/api/v1/") && of_list(link) && link.contains(name))
        };
        let name = path.split('?').next().expect("a path");
        let csv = page(site, &link(".csv").unwrap_or_else(|| panic!("{path} has no CSV"))).await;
        let json = page(site, &link(name).unwrap_or_else(|| panic!("{path} has no JSON"))).await;
        let json: Vec<Json> = serde_json::from_str(&json).expect("JSON");
        let mut rows = records(&csv);
        let columns = rows.remove(0);
        assert!(!json.is_empty() && json.len() == rows.len(), "{path}: {} / {}", json.len(), rows.len());
        for (entry, row) in json.iter().zip(&rows) {
            assert_eq!(entry.as_object().expect("an object").len(), columns.len(), "{path}: every field is a column");
            for (column, cell) in columns.iter().zip(row) {
                let value = match &entry[column] {
                    Json::Null => String::new(),
                    Json::String(text) if text.starts_with('=') => format!("'{text}"),
                    Json::String(text) => text.clone(),
                    Json::Array(all) => all.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(", "),
                    other => other.to_string(),
                };
                assert_eq!(*cell, value, "{path}: {column}");
            }
        }
    }
}

async fn versions_have_annotations(site: &Site) {
    let versions = page(site, "/jobs/load/versions?window=rolling+6h&metric=rmse").await;
    assert!(versions.contains("<path class=\"c-mark\" d=\"M"), "no line of an annotation\n{versions}");
    assert!(versions.contains("class=\"c-letter\">a</text>") && versions.contains("<li><b>a</b> <time"), "{versions}");
}

/// The runs that published between the first report of a window and its end, less those that made a revision.
async fn runs_without_a_change_are_ticks(world: &World, site: &Site) {
    let window =
        "window_name = 'rolling 6h' and cohort = 'all' and model_version is null and window_end = '2025-05-01T10:00Z'";
    let revisions = format!("select run_id, as_of from trueup.window_revisions where job = 'load' and {window}");
    let unchanged = world
        .db
        .scalar::<i64>(&format!(
            "with revision as ({revisions})
             select count(*) from trueup.run_history r
             where r.job = 'load' and r.state = 'ok' and r.as_of not in (select as_of from revision)
               and r.as_of >= (select min(as_of) from revision)
               and r.as_of < greatest((select max(as_of) from revision), timestamptz '2025-05-01T10:00Z' + interval '2 days')"
        ))
        .await;
    assert!(unchanged > 0, "every run changed the window");
    let window = page(site, "/jobs/load/windows/rolling-6h/2025-05-01T10:00:00Z?metric=rmse").await;
    let ticks = window.split("<path class=\"c-stem\" d=\"").nth(1).and_then(|rest| rest.split('"').next());
    let ticks = ticks.map_or(0, |path| path.matches('v').count());
    assert_eq!(i64::try_from(ticks).unwrap(), unchanged);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_csv_versions_are_annotated_and_quiet_runs_are_ticks() {
    let world = story::story().await;
    let site = Site::pages(&world.db.url()).await;
    csv_is_the_list(&world, &site).await;
    versions_have_annotations(&site).await;
    runs_without_a_change_are_ticks(&world, &site).await;
    // The story is older than the time for which history is kept whole.
    let thinned = "Retention has thinned this time";
    for path in ["/jobs/load", "/jobs/load/cohorts", "/jobs/load/versions"] {
        let then = page(&site, &format!("{path}?as_of=2025-05-02T12:00:00Z")).await;
        assert!(then.contains(thinned) && then.contains("only their first report and their latest revision"), "{then}");
        let rolling = page(&site, &format!("{path}?as_of=now-100d")).await;
        assert!(rolling.contains(thinned) && !rolling.contains("their first report"), "{rolling}");
        assert!(!page(&site, &format!("{path}?as_of=now-1h")).await.contains(thinned));
        assert!(!page(&site, path).await.contains(thinned));
    }
    let settings = "[web]\nlisten = \"127.0.0.1:PORT\"\n[retention]\nwindows = \"3000d\"\nrolling = \"2000d\"\n";
    let long = Site::start(&world.db.url(), &["web"], settings).await;
    assert!(!page(&long, "/jobs/load?as_of=2025-05-02T12:00:00Z").await.contains(thinned));
}
