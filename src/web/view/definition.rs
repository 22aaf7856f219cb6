//! Definitions of a job: which there were, and what changed between two of them.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use similar::{Algorithm, ChangeTag, DiffOp};

use super::words::{self, When};
use crate::store::read::plans::PlanRow;
use crate::text::links::{Links, with_query};
use crate::text::visible;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// Most changes that are put into words.
const MOST_WORDS: usize = 40;

/// A definition in the list.
#[derive(Debug, Clone)]
pub struct PlanLine {
    pub id: i64,
    pub link: String,
    pub created: When,
    pub used: Option<When>,
    pub measured: Option<When>,
    pub is_current: bool,
    pub is_shown: bool,
    /// It is compared with the one that is shown.
    pub is_other: bool,
}

/// Returns the list. The link of a definition compares it with the one before.
pub fn plans(job: &str, rows: &[PlanRow], (shown, other): (Option<i64>, Option<i64>), zone: Tz) -> Vec<PlanLine> {
    let here = Links::default().job_part(job, "definition");
    let line = |row: &PlanRow| PlanLine {
        id: row.plan_id,
        link: with_query(&here, &[("plan", Some(&row.plan_id.to_string()))]),
        created: words::when(row.created_at, zone),
        used: row.used_at.map(|at| words::when(at, zone)),
        measured: row.measured_as_of.map(|at| words::when(at, zone)),
        is_current: row.is_current,
        is_shown: Some(row.plan_id) == shown,
        is_other: Some(row.plan_id) == other,
    };
    rows.iter().map(line).collect()
}

/// A line of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    pub kind: DiffKind,
    pub text: String,
}

/// Meaning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffKind {
    Same,
    Added,
    Removed,
    /// Unchanged lines that are not shown.
    Skipped,
}

/// Compares two texts by lines, with a few unchanged lines around each change.
pub fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let groups = similar::group_diff_ops(similar::capture_diff_slices(Algorithm::Myers, &before, &after), CONTEXT);
    let mut lines = Vec::new();
    let mut end = 0;
    for group in &groups {
        let start = group.first().map_or(0, |op| op.old_range().start);
        skipped(&mut lines, start - end);
        end = group.last().map_or(start, |op| op.old_range().end);
        lines.extend(group.iter().flat_map(|op| changed(op, &before, &after)));
    }
    if !groups.is_empty() {
        skipped(&mut lines, before.len() - end);
    }
    lines
}

fn skipped(lines: &mut Vec<DiffLine>, count: usize) {
    if count > 0 {
        let noun = if count == 1 { "line" } else { "lines" };
        lines.push(DiffLine { kind: DiffKind::Skipped, text: format!("{count} unchanged {noun}") });
    }
}

fn changed(op: &DiffOp, before: &[&str], after: &[&str]) -> Vec<DiffLine> {
    op.iter_changes(before, after)
        .map(|change| DiffLine {
            kind: match change.tag() {
                ChangeTag::Equal => DiffKind::Same,
                ChangeTag::Insert => DiffKind::Added,
                ChangeTag::Delete => DiffKind::Removed,
            },
            text: visible::line(change.value()),
        })
        .collect()
}

/// Names the keys that differ: `alerts.rmse-high.above: 450.0 → 400.0`. Empty if one of the texts cannot be read as TOML.
pub fn changes(before: &str, after: &str) -> Vec<String> {
    let (Some(before), Some(after)) = (keys(before), keys(after)) else { return Vec::new() };
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let words = |name: &String| {
        let text = match (before.get(name), after.get(name)) {
            (Some(a), Some(b)) if a == b => return None,
            (Some(a), Some(b)) => format!("{name}: {a} → {b}"),
            (None, Some(b)) => format!("{name}: added, {b}"),
            (Some(a), None) => format!("{name}: removed, was {a}"),
            (None, None) => return None,
        };
        Some(visible::line(&crate::text::line::clipped(&text, 200)))
    };
    names.into_iter().filter_map(words).take(MOST_WORDS).collect()
}

/// All values of a TOML text by their path. Tables in a list are named by their `name`, else by their place.
fn keys(text: &str) -> Option<BTreeMap<String, String>> {
    let table: toml::Table = text.parse().ok()?;
    let mut found = BTreeMap::new();
    for (key, value) in &table {
        collect(key, value, &mut found);
    }
    Some(found)
}

fn collect(path: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(key, value)| collect(&format!("{path}.{key}"), value, found))
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            for (place, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(toml::Value::as_str);
                let name = name.map_or_else(|| (place + 1).to_string(), str::to_owned);
                collect(&format!("{path}.{name}"), value, found);
            }
        }
        value => drop(found.insert(path.to_owned(), value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "[job]\nname = \"load\"\n# a\n# b\n# c\n# d\n[[alerts]]\nname = \"high\"\nabove = 450.0\n";

    #[test]
    fn a_difference_shows_few_unchanged_lines() {
        let after = BEFORE.replace("450.0", "400.0") + "for = 2\n";
        let lines = diff(BEFORE, &after);
        let shown: Vec<(DiffKind, &str)> = lines.iter().map(|line| (line.kind, line.text.as_str())).collect();
        assert_eq!(
            shown,
            [
                (DiffKind::Skipped, "5 unchanged lines"),
                (DiffKind::Same, "# d"),
                (DiffKind::Same, "[[alerts]]"),
                (DiffKind::Same, "name = \"high\""),
                (DiffKind::Removed, "above = 450.0"),
                (DiffKind::Added, "above = 400.0"),
                (DiffKind::Added, "for = 2"),
            ]
        );
        assert_eq!(diff(BEFORE, BEFORE), []);
    }

    #[test]
    fn changes_are_named_by_their_key() {
        let after =
            BEFORE.replace("450.0", "400.0").replace("name = \"load\"", "name = \"load\"\nunit = \"MW\"") + "for = 2\n";
        assert_eq!(
            changes(BEFORE, &after),
            ["alerts.high.above: 450.0 → 400.0", "alerts.high.for: added, 2", "job.unit: added, \"MW\""]
        );
        assert!(changes("not toml [", &after).is_empty());
        let odd = "[job]\nname = \"\u{202e}<script>\"\n";
        assert!(changes(BEFORE, odd).iter().all(|line| !line.contains('\u{202e}')));
    }
}
