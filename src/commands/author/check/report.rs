//! Findings for other programs: SARIF for code scanning, and annotations for GitHub Actions.

use serde_json::{Value as Json, json};

use crate::spec::{Diagnostic, Level, codes};
use crate::text::visible;

/// A finding and its position: line and column from 1.
pub(super) struct Found<'a> {
    pub path: &'a str,
    pub position: (usize, usize),
    pub finding: &'a Diagnostic,
}

/// Formats findings as SARIF 2.1.0, one run.
pub(super) fn sarif(all: &[Found<'_>]) -> String {
    let mut used: Vec<&str> = all.iter().map(|found| found.finding.code).collect();
    used.sort_unstable();
    used.dedup();
    let rules: Vec<Json> = used
        .iter()
        .map(|name| {
            let page = codes::find(name);
            json!({
                "id": name,
                "shortDescription": { "text": page.map_or(*name, |code| code.means) },
                "help": { "text": page.map_or("", |code| code.mend) },
            })
        })
        .collect();
    let results: Vec<Json> = all
        .iter()
        .map(|Found { path, position: (line, column), finding }| {
            let hint = finding.hint.as_ref().map_or(String::new(), |hint| format!(". {hint}"));
            json!({
                "ruleId": finding.code,
                "level": level(finding),
                "message": { "text": format!("{}{hint}", finding.message) },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": path },
                    "region": { "startLine": line, "startColumn": column },
                } }],
            })
        })
        .collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "trueup", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    });
    format!("{report:#}")
}

/// Formats one workflow command per finding.
pub(super) fn github(all: &[Found<'_>]) -> String {
    let lines = all.iter().map(|Found { path, position: (line, column), finding }| {
        let hint = finding.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        format!(
            "::{} file={},line={line},col={column},title={}::{}",
            level(finding),
            property(path),
            property(finding.code),
            data(&format!("{}{hint}", finding.message))
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the severity, in the word that all formats use.
pub(super) fn level(finding: &Diagnostic) -> &'static str {
    if finding.level == Level::Error { "error" } else { "warning" }
}

/// Escapes the text of a message, which ends at a line break.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| visible::line(line).replace('%', "%25")).collect();
    lines.join("%0A")
}

/// Escapes the text of a property, which also ends at a colon or comma.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
