//! Values of dimensions that appear only in SQL: no page and no answer of the API names one.

use super::site::{Site, attributes};
use super::{classes, crawl};
use crate::support::world::{TABLES, World, at, hourly, quarter_hours};

/// Values of the hidden dimension begin with this.
const PLANTED: &str = "c0hort-";

/// A job whose rule fires for each value of a hidden dimension, with an incident, a silence and an annotation.
async fn world() -> World {
    let rest = r#"
[windows]
tumbling = ["1h"]
label_wait = "2h"
[residuals]
worst = 3
[[cohorts]]
by = [{ name = "region", shown = "sql" }]
[[alerts]]
name = "rmse-high"
metric = "rmse"
window = "tumbling 1h"
above = 0.5
cohorts = "each"
severity = "page"
notify = ["mail"]
"#;
    let world = World::new(TABLES, &hourly(rest)).await;
    world.db.execute(&quarter_hours("2024-05-01T00:00:00Z", 6)).await;
    world.db.execute(&format!("update public.p set region = '{PLANTED}' || region")).await;
    for hour in 1..=5 {
        world.run_at(at(&format!("2024-05-01T0{hour}:45:00Z"))).await;
    }
    world
        .db
        .execute(&format!(
            "insert into trueup.silence (job, cohort, ends_at, reason, author)
             values ('hourly', 'region={PLANTED}a', clock_timestamp() + interval '1 hour', 'planned for region={PLANTED}a', 'kim')"
        ))
        .await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_values_are_on_no_page_and_in_no_answer() {
    let world = world().await;
    let cohorts = world.db.lines("select distinct cohort from trueup.window_history order by 1").await;
    assert!(cohorts.iter().any(|cohort| cohort.contains(PLANTED)), "SQL shows them: {cohorts:?}");
    let site = Site::pages(&world.db.url()).await;
    let pages = crawl::crawl(&site).await;
    let incidents = pages.keys().filter(|path| path.starts_with("/incidents/")).count();
    assert!(pages.len() > 20 && incidents > 0, "{:#?}", pages.keys());
    for (path, body) in &pages {
        let place = body.find(PLANTED).map(|at| &body[at.saturating_sub(200)..(at + 60).min(body.len())]);
        assert_eq!(place, None, "{path}");
        assert!(!path.contains(PLANTED), "{path}");
    }
    assert!(pages["/jobs/hourly"].contains("region=(hidden "), "{}", pages["/jobs/hourly"]);
    for path in ["/jobs/hourly", "/api/v1/jobs/hourly/series"] {
        let asked = site.get(&format!("{path}?cohort=region%3D{PLANTED}a")).await;
        assert_eq!(asked.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_hidden_dimension_are_codes_in_gaps_and_tables() {
    let world = World::new("select", &classes::credit(r#"{ name = "region", shown = "sql" }"#)).await;
    classes::fill(&world).await;
    world.db.execute(&format!("update bank.p set region = '{PLANTED}' || region")).await;
    world.run_at(at("2025-05-02T00:00:00Z")).await;
    let notes = world
        .db
        .lines("select note from trueup.metric_history where metric = 'selection_ratio' and note is not null")
        .await;
    assert!(notes[0].contains(PLANTED), "SQL shows them: {notes:?}");
    assert_eq!(world.db.lines("select state from trueup.alert where rule = 'unequal'").await, ["firing"]);
    let site = Site::pages(&world.db.url()).await;
    let pages = crawl::crawl(&site).await;
    for (path, body) in &pages {
        let place = body.find(PLANTED).map(|at| &body[at.saturating_sub(200)..(at + 60).min(body.len())]);
        assert_eq!(place, None, "{path}");
    }
    // The gap says which code has which number, and the groups have the same codes.
    let page = &pages["/jobs/credit/classes"];
    let note = page.split("selection_ratio</a>").nth(1).expect("the gap").split("</tr>").next().expect("its row");
    assert_eq!(note.matches("region=(hidden ").count(), 2, "{note}");
    for part in note.split("region=(hidden ").skip(1) {
        let code = part.split(')').next().expect("a code");
        assert!(page.contains(&format!(">region=(hidden {code})</a>")), "{code} is not among the groups of\n{page}");
    }
    // All that the page leads to as JSON and CSV.
    let downloads: Vec<String> =
        attributes(page, "href").into_iter().filter(|link| link.starts_with("/api/v1/jobs/credit/")).collect();
    assert!(downloads.len() >= 12, "{downloads:?}");
    for link in downloads {
        let answer = site.get(&link).await;
        assert!(answer.status == 200 && !answer.body.contains(PLANTED), "{link}: {} {}", answer.status, answer.body);
    }
    for path in ["/jobs/credit/classes", "/api/v1/jobs/credit/confusion"] {
        assert_eq!(site.get(&format!("{path}?cohort=region%3D{PLANTED}a")).await.status, 404, "{path}");
    }
}
