//! Every query of the boards as `trueup_reader`, over the history of the demo's job.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection};

use super::board::{Board, Chosen, Query, all, folder};
use super::story::{Answer, GAPS, ask, ranges, reader, story};
use crate::support::program::has_program;
use crate::support::world::{World, at};

/// The names and types of columns are those that a panel of this kind needs, and rows are in the order of time.
fn check_form(query: &Query, answer: &Answer) {
    let place = &query.place;
    let names: Vec<&str> = answer.columns.iter().map(|(name, _)| name.as_str()).collect();
    let types: Vec<&str> = answer.columns.iter().map(|(_, kind)| kind.as_str()).collect();
    let is_number = |kind: &&str| ["FLOAT8", "INT8", "INT4"].contains(kind);
    match (query.format.as_str(), query.panel.as_str()) {
        ("variable", _) => assert_eq!(types, ["TEXT"], "{place}"),
        ("table", "") => {
            assert_eq!((names[0], types[0]), ("time", "TIMESTAMPTZ"), "{place}");
            assert!(names.ends_with(&["text", "tags"]) && types.ends_with(&["TEXT", "TEXT"]), "{place}: {names:?}");
        }
        ("table", _) => {
            let is_shown = |kind: &&str| is_number(kind) || ["TEXT", "TIMESTAMPTZ"].contains(kind);
            assert!(types.iter().all(is_shown), "{place}: {types:?}");
        }
        ("time_series", _) => {
            assert_eq!((names[0], types[0]), ("time", "TIMESTAMPTZ"), "{place}");
            let is_long = names[1..] == ["metric", "value"] && types[1] == "TEXT" && is_number(&types[2]);
            assert!(is_long || types[1..].iter().all(is_number), "{place}: {names:?} {types:?}");
        }
        (format, _) => panic!("{place} has the format {format}"),
    }
    assert!(names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{place}: {names:?}");
    if names[0] == "time" {
        let times: Vec<DateTime<Utc>> = (0..answer.rows.len()).map(|row| answer.time(row)).collect();
        assert!(times.is_sorted(), "{place} is not sorted by time, which Grafana refuses");
        let key =
            |row| (times[row], (types[1] == "TEXT" && !query.panel.is_empty()).then(|| answer.text(row, 1)).flatten());
        let keys: BTreeSet<_> = (0..times.len()).map(key).collect();
        assert!(query.panel.is_empty() || keys.len() == times.len(), "{place} has two values for one time");
    }
}

/// Where a window is missing, there is a row without a value.
fn check_gaps(query: &Query, answer: &Answer) {
    // Budgets count up to two days before the run.
    let shift = if query.sql.contains("period_end") { TimeDelta::days(2) } else { TimeDelta::zero() };
    for gap in GAPS.map(|gap| at(gap) - shift) {
        let rows: Vec<usize> = (0..answer.rows.len()).filter(|row| answer.time(*row) == gap).collect();
        assert!(!rows.is_empty(), "{} has no row for {gap}", query.place);
        let is_empty = |row: &usize| (1..answer.columns.len()).all(|column| answer.number(*row, column).is_none());
        assert!(rows.iter().all(is_empty), "{} has a value for {gap}", query.place);
    }
    let step = TimeDelta::hours(2);
    let times: BTreeSet<_> = (0..answer.rows.len()).map(|row| answer.time(row)).collect();
    let times: Vec<_> = times.into_iter().collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step), "{}: {times:?}", query.place);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_the_boards_answers_a_reader() {
    let world = story().await;
    let mut connection = reader(&world).await;
    let mut gaps = 0;
    for query in all().iter().flat_map(Board::queries) {
        let mut rows = 0;
        for chosen in ranges() {
            let mut answer = ask(&mut connection, &chosen.expand(&query.sql)).await;
            if answer.took > Duration::from_secs(1) {
                // The machine may have been busy.
                answer = ask(&mut connection, &chosen.expand(&query.sql)).await;
            }
            assert!(answer.took < Duration::from_secs(1), "{} took {:?}", query.place, answer.took);
            check_form(&query, &answer);
            rows += if query.format == "time_series" { answer.filled() } else { answer.rows.len() };
            if query.sql.contains("from expected\n") && chosen.to == at("2025-05-03T00:00:00Z") {
                check_gaps(&query, &answer);
                gaps += 1;
            }
        }
        assert!(rows > 0, "{} shows nothing", query.place);
        // Values are quoted: a value that is SQL finds nothing, and breaks nothing.
        if query.sql.contains(":sqlstring") {
            let [event, _] = ranges();
            let values = event.values.iter().map(|(name, _)| (*name, "it's' or 'a' = 'a")).collect();
            let answer = ask(&mut connection, &Chosen { values, ..event }.expand(&query.sql)).await;
            let general = answer.rows.len() == 1 && query.place.ends_with(": Changes");
            assert!(answer.rows.is_empty() || general, "{}: {} rows", query.place, answer.rows.len());
        }
    }
    assert_eq!(gaps, 8);
    variables_offer_what_was_chosen(&mut connection).await;
    the_series_has_all_its_parts(&mut connection).await;
    alerts_keep_their_state_until_the_next_change(&mut connection).await;
    budgets_are_those_of_the_history(&world, &mut connection).await;
    the_overview_names_the_worst_first(&mut connection).await;
    connection.close().await.unwrap();
    the_role_of_grafana_reads_and_does_nothing_else(&world).await;
}

fn find(place: &str) -> Query {
    let mut queries = all().iter().flat_map(Board::queries).collect::<Vec<_>>();
    let found = queries.iter().position(|query| query.place == place).unwrap_or_else(|| panic!("no {place}"));
    queries.swap_remove(found)
}

async fn variables_offer_what_was_chosen(connection: &mut PgConnection) {
    let [chosen, _] = ranges();
    for (name, value) in &chosen.values {
        let board = if *name == "slo" { "trueup-slo" } else { "trueup-job" };
        let answer = ask(connection, &chosen.expand(&find(&format!("{board}: {name}")).sql)).await;
        let offered: Vec<String> = (0..answer.rows.len()).filter_map(|row| answer.text(row, 0)).collect();
        assert!(offered.iter().any(|option| option == value), "{name}: {offered:?}");
        let first = match *name {
            "metric" => "rmse",
            "cohort" => "all",
            "version" => "all versions",
            // The only one that judges this metric of this cohort.
            "rule" => "rmse-high",
            _ => continue,
        };
        assert_eq!(offered[0], first, "{name}: {offered:?}");
        assert!(*name != "rule" || offered.len() == 1, "{offered:?}");
    }
}

async fn the_series_has_all_its_parts(connection: &mut PgConnection) {
    let [chosen, _] = ranges();
    let query = find("trueup-job: ${metric} of ${cohort}");
    let answer = ask(connection, &chosen.expand(&query.sql)).await;
    let rows = 0..answer.rows.len();
    let of = |name: &str| {
        let column = answer.column(name);
        rows.clone().map(|row| answer.number(row, column)).collect::<Vec<_>>()
    };
    let (values, low, high, first) = (of("value"), of("low"), of("high"), of("first reported"));
    assert_eq!(values.len(), 37);
    assert_eq!(values.iter().flatten().count(), 35);
    for row in rows.clone().filter(|row| values[*row].is_some()) {
        assert!(low[row] < values[row] && values[row] < high[row], "{:?} {:?} {:?}", low[row], values[row], high[row]);
        assert!(first[row].is_some());
    }
    assert!(rows.clone().any(|row| first[row] != values[row]), "no value was revised");
    assert!(of("limit").iter().flatten().all(|limit| *limit == 450.0) && of("limit").iter().flatten().count() == 35);
    let provisional = of("provisional");
    // Windows of the last two days wait for labels.
    assert!(provisional[0].is_none() && provisional[36] == values[36], "{provisional:?}");
    let worst = values.iter().flatten().fold(0.0_f64, |worst, value| worst.max(*value));
    assert!(worst > 450.0, "{worst}");
    let values = [("window", "tumbling 1d"), ("cohort", "all"), ("rule", "rmse-unusual")];
    let mut by_day = chosen.clone();
    by_day.values.retain(|(name, _)| !values.iter().any(|(other, _)| other == name));
    by_day.values.extend(values);
    let answer = ask(connection, &by_day.expand(&query.sql)).await;
    let column = answer.column("baseline");
    assert!((0..answer.rows.len()).any(|row| answer.number(row, column).is_some()), "no baseline");
}

async fn alerts_keep_their_state_until_the_next_change(connection: &mut PgConnection) {
    let [_, chosen] = ranges();
    let answer = ask(connection, &chosen.expand(&find("trueup-job: Alerts").sql)).await;
    let mut states: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for row in 0..answer.rows.len() {
        states.entry(answer.text(row, 1).unwrap()).or_default().push(answer.number(row, 2));
    }
    assert!(states.contains_key("rmse-high region=north") && states.len() > 2, "{states:?}");
    for (alert, states) in &states {
        let (last, before) = states.split_last().unwrap();
        assert!(last.is_none(), "{alert} goes on after the last publication");
        let known: Vec<_> = before.iter().skip_while(|state| state.is_none()).collect();
        assert!(known.iter().all(|state| state.is_some()) && known.len() > 1, "{alert}: {states:?}");
    }
    assert!(states["rmse-high region=north"].contains(&Some(2.0)));
    assert_eq!(states["rmse-high region=north"].iter().flatten().next_back(), Some(&0.0), "it resolved");
}

async fn budgets_are_those_of_the_history(world: &World, connection: &mut PgConnection) {
    let [chosen, _] = ranges();
    let left: f64 = world
        .db
        .scalar("select budget_left from trueup.slo_history where kind = 'evaluation' order by period_end desc limit 1")
        .await;
    let stat = ask(connection, &chosen.expand(&find("trueup-slo: Budget left").sql)).await;
    assert_eq!(stat.number(0, 0), Some(left));
    let adjusted = ask(connection, &chosen.expand(&find("trueup-slo: Adjustments").sql)).await;
    let text = adjusted.text(0, adjusted.column("text")).unwrap();
    assert!(text.starts_with("late labels: +") && text.ends_with(" bad"), "{text}");
    let rates = ask(connection, &chosen.expand(&find("trueup-slo: Burn rates").sql)).await;
    let names: BTreeSet<_> = (0..rates.rows.len()).filter_map(|row| rates.text(row, 1)).collect();
    let expected =
        ["1d / 6h factor", "1d / 6h long", "1d / 6h short", "6h / 1h factor", "6h / 1h long", "6h / 1h short"];
    assert!(names.iter().eq(expected.iter()), "{names:?}");
}

async fn the_overview_names_the_worst_first(connection: &mut PgConnection) {
    let [event, clock] = ranges();
    // The alerts are of the clock, the budget of event time: a range over both.
    let both = Chosen { from: event.from, ..clock };
    let answer = ask(connection, &both.expand(&find("trueup-overview: Jobs").sql)).await;
    let at = |name: &str| answer.column(name);
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(answer.text(0, at("job")).as_deref(), Some("load"));
    assert_eq!(answer.text(0, at("state")).as_deref(), Some("ticket"), "labels are late at the end of the story");
    assert!(answer.number(0, at("firing")) > Some(0.0) && answer.number(0, at("budget_left")).is_some());
    assert_eq!(answer.text(0, at("last_run")).as_deref(), Some("ok"));
    let failed = ask(connection, &both.expand(&find("trueup-overview: Failed runs").sql)).await;
    assert_eq!(failed.number(0, 0), Some(1.0));
}

/// `deploy/grafana/role.sql`, sent as the documentation says.
async fn the_role_of_grafana_reads_and_does_nothing_else(world: &World) {
    if !has_program("psql") {
        return;
    }
    for _ in 0..2 {
        let sent = std::process::Command::new("psql")
            .arg(world.db.url())
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "password=it's", "-f"])
            .arg(folder().join("role.sql"))
            .output()
            .unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }
    let mut connection = PgConnection::connect_with(&world.db.options.clone().username("grafana")).await.unwrap();
    let answer = ask(&mut connection, "select count(*) as runs from trueup.run_history").await;
    assert!(answer.number(0, 0) > Some(30.0));
    let settings = "select current_setting('statement_timeout') || ' ' || current_setting('jit') as settings";
    assert_eq!(ask(&mut connection, settings).await.text(0, 0).as_deref(), Some("10s off"));
    for sql in ["select from trueup.run", "select from warehouse.load_actual", "create table public.mine (x int)"] {
        assert!(sqlx::query(sql).execute(&mut connection).await.is_err(), "{sql}");
    }
    connection.close().await.unwrap();
    world.db.execute("drop role grafana").await;
}
