//! `[predictions]` and `[labels]`: tables, columns, filter.

use super::findings::Findings;
use crate::domain::name::{Identifier, TableName};
use crate::plan::expression::Expression;
use crate::plan::query::SelectQuery;
use crate::plan::source::{Labels, OnDuplicate, Predictions, Relation};
use crate::plan::syntax::Grants;
use crate::spec::JobSpec;
use crate::spec::job::{Columns, OnDuplicateSpec};

pub(super) fn build(spec: &JobSpec, grants: &Grants, findings: &mut Findings<'_>) -> Option<(Predictions, Labels)> {
    let (p, l) = (&spec.predictions, &spec.labels);
    // Read everything before returning, so that all mistakes are reported at once.
    let p_relation = relation("predictions", p.table.as_deref(), (p.query.as_deref(), grants), findings);
    let (p_id, at) = (key("predictions.id", &p.id, findings), column("predictions.at", &p.at, findings));
    let p_value = column("predictions.value", &p.value, findings);
    let version = optional("predictions.version", p.version.as_deref(), findings);
    let p_arrived_at = optional("predictions.arrived_at", p.arrived_at.as_deref(), findings);
    let filter = filter(p.filter.as_deref(), findings);
    let l_relation = relation("labels", l.table.as_deref(), (l.query.as_deref(), grants), findings);
    let (l_id, l_value) = (key("labels.id", &l.id, findings), column("labels.value", &l.value, findings));
    let l_arrived_at = optional("labels.arrived_at", l.arrived_at.as_deref(), findings);
    let predictions = Predictions {
        relation: p_relation?,
        id: p_id?,
        at: at?,
        value: p_value?,
        version: version?,
        arrived_at: p_arrived_at?,
        filter: filter?,
        unique: p.unique.unwrap_or(false),
    };
    let labels = Labels {
        relation: l_relation?,
        id: l_id?,
        value: l_value?,
        arrived_at: l_arrived_at?,
        on_duplicate: match l.on_duplicate {
            Some(OnDuplicateSpec::First) => OnDuplicate::First,
            Some(OnDuplicateSpec::Error) => OnDuplicate::Error,
            Some(OnDuplicateSpec::Latest) | None => OnDuplicate::Latest,
        },
        proxy: l.proxy.unwrap_or(false),
        unique: l.unique.unwrap_or(false),
    };
    check_keys(&predictions, &labels, findings);
    if predictions.arrived_at.is_none() || labels.arrived_at.is_none() {
        let section = if predictions.arrived_at.is_none() { "predictions" } else { "labels" };
        findings
            .warning(
                section,
                "no-arrived-at",
                format!("`{section}.arrived_at` is not set: every run re-reads the whole horizon"),
            )
            .hint("set it to the column with the time at which a row became visible, if there is one");
    }
    Some((predictions, labels))
}

/// Checks the keys. Several predictions may share a label; its key is then a prefix of theirs.
fn check_keys(predictions: &Predictions, labels: &Labels, findings: &mut Findings<'_>) {
    let (p, l) = (&predictions.id, &labels.id);
    if l.len() > p.len() {
        let message = format!("the key has {} columns in predictions and {} in labels", p.len(), l.len());
        findings.error("labels.id", "key-mismatch", message).hint(
            "list as many columns as in predictions.id, in the same order, or fewer where several predictions share a \
             label",
        );
    } else if l.len() < p.len() && l.iter().all(|column| p.contains(column)) && !p.starts_with(l) {
        let names = |of: &[Identifier]| {
            of.iter().map(|column| format!("\"{}\"", column.as_str())).collect::<Vec<_>>().join(", ")
        };
        let others: Vec<Identifier> = p.iter().filter(|column| !l.contains(column)).cloned().collect();
        findings
            .error(
                "labels.id",
                "key-mismatch",
                "the key of the labels must consist of the leading columns of the key of the predictions",
            )
            .hint(format!("in [predictions] write id = [{}, {}]", names(l), names(&others)));
    }
}

fn relation(
    section: &str,
    table: Option<&str>,
    (query, grants): (Option<&str>, &Grants),
    findings: &mut Findings<'_>,
) -> Option<Relation> {
    match (table, query) {
        (Some(table), None) => match TableName::parse(table) {
            Ok(name) => Some(Relation::Table(name)),
            Err(message) => {
                findings
                    .error(&format!("{section}.table"), "bad-table", message)
                    .hint("write `schema.table`, with double quotes around parts that need them");
                None
            }
        },
        (None, Some(query)) => match SelectQuery::parse(query, grants) {
            Ok(query) => Some(Relation::Query(query)),
            Err(message) => {
                findings
                    .error(&format!("{section}.query"), "bad-query", message)
                    .hint("write one select statement that names tables with their schema");
                None
            }
        },
        (Some(_), Some(_)) => {
            findings
                .error(&format!("{section}.query"), "two-sources", format!("`{section}` has both `table` and `query`"))
                .hint("keep one of them");
            None
        }
        (None, None) => {
            findings
                .error(section, "no-source", format!("`{section}` has no table"))
                .hint("add `table = \"public.predictions\"`, or a `query` with one select statement");
            None
        }
    }
}

fn column(path: &str, name: &str, findings: &mut Findings<'_>) -> Option<Identifier> {
    match Identifier::new(name) {
        Ok(column) => Some(column),
        Err(message) => {
            findings
                .error(path, "bad-column", message)
                .hint("write the column name as Postgres stores it, without quotes");
            None
        }
    }
}

/// Reads an optional column: the outer `None` is a mistake, the inner one a missing key.
#[expect(clippy::option_option, reason = "missing and mistaken are two things")]
fn optional(path: &str, name: Option<&str>, findings: &mut Findings<'_>) -> Option<Option<Identifier>> {
    match name {
        None => Some(None),
        Some(name) => column(path, name, findings).map(Some),
    }
}

fn key(path: &str, columns: &Columns, findings: &mut Findings<'_>) -> Option<Vec<Identifier>> {
    let list = columns.list();
    if list.is_empty() {
        findings.error(path, "no-key", "the key has no column").hint("list at least one column");
        return None;
    }
    let names: Vec<Identifier> = list.iter().filter_map(|name| column(path, name, findings)).collect();
    if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
        findings.error(path, "repeated-entry", "a column of the key is listed twice").hint("remove one of them");
        return None;
    }
    (names.len() == list.len()).then_some(names)
}

#[expect(clippy::option_option, reason = "missing and mistaken are two things")]
fn filter(text: Option<&str>, findings: &mut Findings<'_>) -> Option<Option<Expression>> {
    match text.map(Expression::parse) {
        None => Some(None),
        Some(Ok(expression)) => Some(Some(expression)),
        Some(Err(message)) => {
            findings
                .error("predictions.where", "bad-expression", message)
                .hint("write one boolean expression over columns of the prediction row");
            None
        }
    }
}
