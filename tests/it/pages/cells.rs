//! Cells of the heatmap of cohorts lead to the window of their cohort, and say its value.

use super::site::{Site, texts, unescaped};
use crate::grafana::story;

/// Links of a drawing that the keyboard skips, with their tooltips.
fn targets(page: &str) -> Vec<(String, String)> {
    let links = page.split("<a href=\"").skip(1).filter_map(|rest| rest.split_once("\" tabindex=\"-1\"><title>"));
    let target = |(link, rest): (&str, &str)| (unescaped(link), unescaped(rest.split("</title>").next().unwrap()));
    links.filter(|(link, _)| !link.contains('"')).map(target).collect()
}

/// The current value of the selected metric on the page of a window.
async fn value(site: &Site, link: &str) -> String {
    let page = site.get(link).await;
    assert_eq!(page.status, 200, "{link}: {}", page.body);
    let row = texts(&page.body, "<tr class=\"current\"><th scope=\"row\">", "</tr>").remove(0);
    let cell = row.split("<td class=\"n\">").nth(2).expect("the value now");
    cell.split('<').next().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_lead_to_the_window_of_their_cohort_and_say_its_value() {
    let world = story::story().await;
    let site = Site::pages(&world.db.url()).await;
    for query in [
        "metric=rmse&window=rolling+6h",
        "metric=rmse&window=rolling+6h&as_of=now-1s",
        "metric=bias&window=tumbling+1d",
    ] {
        let page = site.get(&format!("/jobs/load/cohorts?{query}")).await.body;
        let targets = targets(&page);
        assert!(targets.len() > 10, "{query}: {targets:?}");
        let newest: Vec<_> = targets.iter().filter(|(link, _)| link.contains("cohort=region")).rev().take(4).collect();
        assert!(newest.len() >= 3, "{query}: {targets:?}");
        for (link, title) in newest.into_iter().chain(targets.first()) {
            let cohort = link.split("cohort=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or("all");
            let (place, said) = title.rsplit_once(": ").expect("a value");
            assert!(place.ends_with(&cohort.replace("%3D", "=")), "{title} / {link}");
            assert_eq!(value(&site, link).await, said.trim_end_matches(" ~"), "{link}");
        }
        // The keyboard reaches the same windows in the table.
        let table = page.split_once("The heatmap as a table").expect("the table").1;
        for (link, title) in targets.iter().filter(|(link, _)| link.contains("cohort=region")) {
            let escaped = link.replace('&', "&#38;");
            assert!(table.contains(&format!("<a href=\"{escaped}\">")), "{title}: {link} is not in\n{table}");
        }
    }
}
