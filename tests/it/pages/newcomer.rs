//! Readers who see an incident for the first time: one sentence before the numbers, and only panels that matter to it.

use super::site::Site;
use crate::support::world::{TABLES, World, at, hourly};

const JOB: &str = "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[residuals]\nkeep = \"1d\"\n\
    [[alerts]]\nname = \"rmse-high\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\nnotify = [\"mail\"]\n\
    [[alerts]]\nname = \"few-labels\"\nmetric = \"coverage\"\nwindow = \"tumbling 1h\"\nbelow = 0.9\nmin_samples = 1\n\
    severity = \"ticket\"\nnotify = [\"mail\"]\n";

/// Ten predictions an hour. In the first hour the error is 9, then 1; in the second, half of the labels are missing.
async fn world() -> World {
    let world = World::new(TABLES, &hourly(JOB)).await;
    world
        .db
        .execute(
            "insert into public.p select h * 100 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '5 minutes',
                 case h when 0 then 9 else 1 end, 'v1', 'a', '2024-05-01Z' from generate_series(0, 4) h, generate_series(1, 10) n;
             insert into public.l select id, 0, at from public.p where id < 100 or id > 105;",
        )
        .await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world
}

async fn page(site: &Site, path: &str) -> String {
    let answer = site.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

fn has(page: &str, words: &str) {
    assert!(page.contains(words), "`{words}` is not in\n{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_one_sentence_before_it_is_numbers() {
    let world = world().await;
    let site = Site::pages(&world.db.url()).await;
    has(&page(&site, "/").await, "<small>rmse-high: rmse 9.000, limit 5.000 for everything</small>");
    let open = page(&site, "/incidents/1").await;
    has(
        &open,
        "<p class=\"lead\">rmse of tumbling 1h is above 5 for everything, since 2024-05-01 01:00. It is still open.</p>",
    );
    assert!(open.find("class=\"lead\"") < open.find("class=\"headline\""), "the sentence comes before the numbers");
    has(&open, "in breach so far");
    has(&page(&site, "/jobs/hourly/rules/rmse-high").await, "in breach so far");
    assert!(!open.contains(">confirmed<"), "labels can still arrive");

    world.run_at(at("2024-05-01T02:00:00Z")).await;
    let closed = page(&site, "/incidents/1").await;
    has(&closed, "rmse of tumbling 1h was above 5 for everything, since 2024-05-01 01:00. It closed at ");
    has(&closed, ": the newest window is ok again.</p>");
    has(&closed, "short dashes are the limit");

    // Later labels: the first hour was first reported with 9, and is 8 now.
    world.db.execute("update public.l set actual = 1, seen = '2024-05-01T02:30Z' where id < 100").await;
    world.run_at(at("2024-05-01T04:00:00Z")).await;
    let moved = "first reported 9.000, now 8.000 (11 % lower)";
    has(&page(&site, "/incidents/1").await, &format!("The window that fired: {moved}."));
    let job = page(&site, "/jobs/hourly?metric=rmse&window=tumbling-1h").await;
    has(&job, &format!("Newest correction, of the window that ended 2024-05-01 01:00: {moved}."));
    has(&page(&site, "/incidents/1").await, ">confirmed<");
    has(&page(&site, "/jobs/hourly/rules/rmse-high").await, ">confirmed<");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_about_labels_counts_them_and_leaves_errors_out() {
    let world = world().await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    let site = Site::pages(&world.db.url()).await;
    let labels = page(&site, "/incidents/2").await;
    has(&labels, "5 of 10 predictions have a label (50 %, limit 90 %) for everything, since 2024-05-01 02:00.");
    has(&labels, "<strong>50 %</strong> <span>limit 90 %</span>");
    let errors = page(&site, "/incidents/1").await;
    for panel in ["whom", "canary", "shape", "worst"] {
        let heading = format!("<h2 id=\"{panel}\">");
        assert!(!labels.contains(&heading) && errors.contains(&heading), "{panel}");
    }
    has(&page(&site, "/").await, "few-labels: 50 % of the predictions have a label, limit 90 % for everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_come_before_what_they_filter() {
    let world = world().await;
    let site = Site::pages(&world.db.url()).await;
    for path in ["/incidents", "/runs", "/deliveries", "/silences"] {
        let page = page(&site, path).await;
        let (form, panel) = (page.find("<form class=\"filters\""), page.find("<section class=\"panel\""));
        assert!(form.is_some() && form < panel, "{path}: {form:?} {panel:?}");
    }
}
