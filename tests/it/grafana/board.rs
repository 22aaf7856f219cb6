//! Boards as files, and the text that Grafana makes of a query before it sends it.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value as Json;

/// Names of the boards: those of their files, and their uids.
pub const BOARDS: [&str; 4] = ["trueup-job", "trueup-overview", "trueup-self", "trueup-slo"];

/// One board.
pub struct Board {
    pub name: &'static str,
    pub json: Json,
}

/// A query of a board.
pub struct Query {
    /// Board, and panel, annotation or variable.
    pub place: String,
    pub sql: String,
    /// `time_series` or `table`; of a variable `variable`.
    pub format: String,
    /// Type of the panel. Empty for annotations and variables.
    pub panel: String,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana")
}

pub fn all() -> Vec<Board> {
    let read = |name: &str| std::fs::read_to_string(folder().join(format!("{name}.json"))).expect("a board");
    let parse = |name| Board { name, json: serde_json::from_str(&read(name)).expect("JSON") };
    BOARDS.into_iter().map(parse).collect()
}

/// Text of a field, empty if there is none.
pub fn text<'a>(value: &'a Json, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// Elements of an array, none if there is no array.
pub fn list<'a>(value: &'a Json, pointer: &str) -> &'a [Json] {
    value.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

impl Board {
    pub fn variables(&self) -> &[Json] {
        list(&self.json, "/templating/list")
    }

    pub fn panels(&self) -> &[Json] {
        list(&self.json, "/panels")
    }

    /// Queries of variables in order, then of annotations, then of panels; none that Prometheus answers.
    pub fn queries(&self) -> Vec<Query> {
        let query = |place: &str, sql: &str, format: &str, panel: &str| Query {
            place: format!("{}: {place}", self.name),
            sql: sql.to_owned(),
            format: format.to_owned(),
            panel: panel.to_owned(),
        };
        let mut found = Vec::new();
        for variable in self.variables().iter().filter(|variable| variable["type"] == "query") {
            found.push(query(text(variable, "/name"), text(variable, "/query"), "variable", ""));
        }
        for annotation in list(&self.json, "/annotations/list") {
            let sql = text(annotation, "/target/rawSql");
            found.push(query(text(annotation, "/name"), sql, text(annotation, "/target/format"), ""));
        }
        for panel in self.panels() {
            for target in list(panel, "/targets").iter().filter(|target| target["rawSql"].is_string()) {
                let (sql, format) = (text(target, "/rawSql"), text(target, "/format"));
                found.push(query(text(panel, "/title"), sql, format, text(panel, "/type")));
            }
        }
        found
    }
}

/// Range of time of a board, and values of its variables.
#[derive(Clone)]
pub struct Chosen {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub values: Vec<(&'static str, &'static str)>,
}

impl Chosen {
    /// Expands variables and macros: the SQL that reaches Postgres.
    pub fn expand(&self, sql: &str) -> String {
        let literal = |time: DateTime<Utc>| format!("'{}'", time.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        let (from, to) = (literal(self.from), literal(self.to));
        let mut expanded = String::new();
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once("$__timeFilter(") {
            let (column, behind) = after.split_once(')').expect("a closed macro");
            expanded += &format!("{before}{column} BETWEEN {from} AND {to}");
            rest = behind;
        }
        expanded += rest;
        let mut expanded = expanded.replace("$__timeFrom()", &from).replace("$__timeTo()", &to);
        for (name, value) in &self.values {
            let quoted = format!("'{}'", value.replace('\'', "''"));
            expanded = expanded.replace(&format!("${{{name}:sqlstring}}"), &quoted);
        }
        assert!(!expanded.contains('$'), "a macro or a variable is left in\n{expanded}");
        expanded
    }
}
