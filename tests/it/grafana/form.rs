//! Rules that every board keeps: data sources, panels, links, and provisioning.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value as Json;
use trueup::text::links::{Links, escaped, with_query};

use super::board::{BOARDS, Board, all, folder, list, text};
use crate::support::peers;
use crate::support::program::Folder;

const POSTGRES: &str = "grafana-postgresql-datasource";

/// Names behind `${` in a text, without field and format.
fn references(text: &str) -> Vec<&str> {
    let inside = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    inside.map(|name| name.split([':', '.']).next().unwrap_or_default()).collect()
}

/// Every text in a document.
fn texts<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::String(text) => found.push(text),
        Json::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

#[test]
fn boards_have_fixed_names_and_ask_for_their_data_sources() {
    for board in all() {
        let Board { name, json } = &board;
        assert_eq!((text(json, "/uid"), json["schemaVersion"].as_u64()), (*name, Some(39)));
        assert!(json.get("id").is_none() && !text(json, "/description").is_empty(), "{name}");
        for key in ["__inputs", "__requires", "__elements"] {
            assert!(json.get(key).is_none(), "{name} has {key}, which provisioning does not fill");
        }
        let sources: Vec<(&str, &str)> = board
            .variables()
            .iter()
            .filter(|variable| variable["type"] == "datasource")
            .map(|variable| (text(variable, "/name"), text(variable, "/query")))
            .collect();
        assert_eq!(sources[0], ("datasource", POSTGRES), "{name}");
        assert!(sources[1..].is_empty() || sources[1..] == [("prometheus", "prometheus")], "{name}: {sources:?}");
        let declared: BTreeSet<&str> = board.variables().iter().map(|variable| text(variable, "/name")).collect();
        let mut all_texts = Vec::new();
        texts(json, &mut all_texts);
        for reference in all_texts.iter().flat_map(|text| references(text)) {
            let is_built_in = ["__from", "__to", "__data"].contains(&reference);
            assert!(is_built_in || declared.contains(reference), "{name} does not declare `{reference}`");
        }
        // Variables only know those before them.
        let mut known = BTreeSet::new();
        for variable in board.variables() {
            let query = text(variable, "/query");
            assert!(references(query).iter().all(|name| known.contains(name)), "{name}: {query}");
            known.insert(text(variable, "/name"));
        }
        // Text that is put into SQL without quotes would be SQL.
        for query in board.queries() {
            assert_eq!(query.sql.matches("${").count(), query.sql.matches(":sqlstring}").count(), "{}", query.place);
        }
        let file = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        assert!(file.lines().all(|line| indent(line) % 2 == 0 && line.trim_end() == line), "{name} is not tidy");
    }
}

#[test]
fn panels_say_what_they_show_and_do_not_cover_each_other() {
    for board in all() {
        let mut titles = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in board.panels() {
            let place = format!("{}: {}", board.name, text(panel, "/title"));
            assert!(titles.insert((text(panel, "/title"), text(panel, "/type"))), "{place} is there twice");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{place} has the id of another panel");
            assert!(text(panel, "/description").ends_with('.'), "{place} has no description");
            assert!(!text(panel, "/fieldConfig/defaults/unit").is_empty(), "{place} has no unit");
            let source = (text(panel, "/datasource/type"), text(panel, "/datasource/uid"));
            assert!(
                [(POSTGRES, "${datasource}"), ("prometheus", "${prometheus}")].contains(&source),
                "{place}: {source:?}"
            );
            let targets = list(panel, "/targets");
            assert!(!targets.is_empty(), "{place} has no query");
            assert!(targets.iter().all(|target| target["datasource"] == panel["datasource"]), "{place}");
            if panel["type"] == "timeseries" {
                assert_eq!(
                    panel.pointer("/fieldConfig/defaults/custom/spanNulls"),
                    Some(&Json::Bool(false)),
                    "{place}"
                );
            }
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(side("x") + side("w") <= 24, "{place} is wider than the board");
            for x in side("x")..side("x") + side("w") {
                for y in side("y")..side("y") + side("h") {
                    assert!(taken.insert((x, y)), "{place} covers another panel");
                }
            }
        }
    }
}

/// A line across a missing window would hide that it is missing: series have a row for each expected window.
#[test]
fn series_are_joined_to_the_times_that_are_expected() {
    let mut joined = 0;
    for board in all() {
        for query in board.queries().iter().filter(|query| query.panel == "timeseries") {
            // The ledger has a row for each slot, and an hour without a run had none due.
            let from_ledger = query.sql.contains("trueup.run_history");
            let is_joined = query.sql.contains("from expected\n") && query.sql.contains("\nleft join ");
            assert!(from_ledger || is_joined, "{}", query.place);
            joined += usize::from(is_joined);
        }
    }
    assert_eq!(joined, 7);
}

/// Pages, each with the parameters that it takes.
fn pages() -> Vec<(String, &'static [&'static str])> {
    let links = Links::new("https://t.example").unwrap();
    let end = "2025-05-02T00:00:00Z".parse().unwrap();
    let series: &[&str] = &["window", "metric", "cohort", "version", "from", "to", "as_of", "tz"];
    vec![
        (links.overview(), &["q", "owner", "severity", "state", "sort"]),
        (links.job("load"), series),
        (links.job_part("load", "cohorts"), &["by", "window", "metric", "scale", "top", "from", "to", "as_of"]),
        (links.job_part("load", "versions"), &["version", "against", "window", "metric"]),
        (links.window("load", "rolling 6h", end), &["cohort", "version", "metric", "as_of"]),
        (links.rule("load", "r"), &["cohort", "version", "from", "to"]),
        (links.budget("load", "near"), &["from", "to", "as_of"]),
        (links.incidents(), &["state", "job", "severity"]),
        (links.incident(7), &["believed"]),
        (links.alert(7), &[]),
        (links.runs(), &["job", "state", "trigger", "from", "to"]),
        (links.run(7), &[]),
        (links.deliveries(), &["job", "receiver", "state"]),
        (links.delivery("d"), &[]),
    ]
}

/// An address with what Grafana puts into it.
fn filled(url: &str) -> String {
    let mut url = url.replace("${base_url:raw}", "https://t.example");
    for (name, value) in [
        ("job", "load"),
        ("slo", "near"),
        ("window", "rolling 6h"),
        ("metric", "rmse"),
        ("cohort", "region=north"),
        ("__data.fields.job", "load"),
        ("__data.fields.rule", "r"),
        ("__data.fields.kind", "rolling-6h"),
        ("__data.fields.end", "2025-05-02T00:00:00Z"),
        ("__data.fields.notification", "d"),
    ] {
        url = url.replace(&format!("${{{name}:percentencode}}"), &escaped(value));
    }
    for number in ["__from", "__to", "__data.fields.alert", "__data.fields.incident", "__data.fields.run"] {
        url = url.replace(&format!("${{{number}}}"), "7");
    }
    // A segment of a path may have colons.
    url.replace("%3A", ":")
}

#[test]
fn links_lead_to_pages_and_boards_that_exist() {
    let pages = pages();
    let boards = all();
    let mut checked = 0;
    for board in &boards {
        let mut found = Vec::new();
        texts(&board.json, &mut found);
        for url in found.into_iter().filter(|text| text.starts_with("${base_url") || text.starts_with('/')) {
            if url.starts_with("/ ") {
                continue;
            }
            checked += 1;
            if let Some((uid, query)) = url.strip_prefix("/d/").and_then(|rest| rest.split_once('?')) {
                let target = boards.iter().find(|board| board.name == uid).unwrap_or_else(|| panic!("{url}"));
                for parameter in query.split('&').filter_map(|part| part.strip_prefix("var-")?.split('=').next()) {
                    let is_there = target.variables().iter().any(|variable| variable["name"] == parameter);
                    assert!(is_there, "{url}: {uid} has no variable `{parameter}`");
                }
                continue;
            }
            let url = filled(url);
            assert!(!url.contains('$'), "{}: {url}", board.name);
            let (path, query) = url.split_once('?').unwrap_or((&url, ""));
            let (_, takes) = pages.iter().find(|(page, _)| page == path).unwrap_or_else(|| panic!("no page {path}"));
            for parameter in query.split('&').filter(|part| !part.is_empty()) {
                let name = parameter.split('=').next().unwrap_or_default();
                assert!(takes.contains(&name), "{path} takes no `{name}`");
            }
        }
    }
    assert!(checked > 20, "{checked} links");
    let query = [("cohort", Some("region=north"))];
    assert_eq!(
        filled("${base_url:raw}/jobs/${job:percentencode}?cohort=${cohort:percentencode}"),
        with_query(&Links::new("https://t.example").unwrap().job("load"), &query)
    );
}

/// Prometheus panels ask for metrics that there are, in expressions that Prometheus parses.
#[test]
fn expressions_are_of_metrics_that_runners_publish() {
    let published = include_str!("../../../src/telemetry.rs");
    let mut rules = "groups:\n- name: boards\n  rules:\n".to_owned();
    let mut count = 0;
    for board in all() {
        for target in board.panels().iter().flat_map(|panel| list(panel, "/targets")) {
            let Some(expression) = target["expr"].as_str() else { continue };
            count += 1;
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let names = expression.split(|c| !is_name(c)).filter(|word| word.starts_with("trueup_"));
            for name in names.map(|name| name.trim_end_matches("_bucket")) {
                assert!(published.contains(&format!("!(\"{name}\"")), "{}: no metric `{name}`", board.name);
            }
            let expression = expression.replace("$__rate_interval", "5m");
            rules += &format!("  - record: board:{count}\n    expr: {}\n", Json::from(expression));
        }
    }
    assert_eq!(count, 15);
    if let Some(promtool) = peers::find(&["promtool"]) {
        let folder = Folder::new("promql");
        folder.write("rules.yml", &rules);
        let said = Command::new(promtool).args(["check", "rules"]).arg(folder.0.join("rules.yml")).output().unwrap();
        let words = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(said.status.success() && words.contains(&format!("{count} rules found")), "{words}");
    }
}

/// Provisioning finds the boards where the containers mount them, and the data source that the boards ask for.
#[test]
fn provisioning_names_what_the_containers_mount() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let compose = std::fs::read_to_string(folder().join("../../docker-compose.yml")).unwrap();
    let source = read("provisioning/datasources/trueup.yaml");
    assert!(source.contains(&format!("type: {POSTGRES}")) && source.contains("user: grafana"));
    for variable in source.split('$').skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert!(compose.contains(&format!("      {variable}: ")), "the container does not set {variable}");
    }
    let path = "/etc/trueup/grafana";
    assert!(read("provisioning/dashboards/trueup.yaml").contains(&format!("path: {path} ")));
    assert!(compose.contains(&format!("- ./deploy/grafana:{path}:ro")));
    for board in all() {
        let current = board.variables()[0].pointer("/current/value");
        assert_eq!(current, Some(&Json::from("trueup")), "{}", board.name);
    }
    assert!(source.contains("uid: trueup\n"));
    let page = crate::docs::page("grafana.md");
    assert!(BOARDS.iter().all(|name| page.contains(name)), "a board is not in docs/grafana.md");
}
