//! `[[cohorts]]`: dimensions sorted by name, so that their order in the file does not matter.

use super::findings::Findings;
use crate::domain::name::Identifier;
use crate::plan::cohort::{CohortSet, Dimension, DimensionValue};
use crate::plan::expression::Expression;
use crate::spec::job::{CohortSection, DimensionSpec, ShownSpec};

/// Maximum number of dimensions in one declaration: their values together must fit an index row.
const MOST_DIMENSIONS: usize = 5;
/// Default number of cohorts of one declaration that are kept per window.
const DEFAULT_TOP: i64 = 100;
const MOST_TOP: i64 = 10_000;

/// Dimensions with the path of their first declaration, and cohort sets.
pub(super) fn build(
    specs: &[CohortSection],
    findings: &mut Findings<'_>,
) -> (Vec<(Dimension, String)>, Vec<CohortSet>) {
    let declared: Vec<Vec<Dimension>> =
        specs.iter().enumerate().map(|(index, spec)| declaration(index, spec, findings)).collect();
    let mut all: Vec<Dimension> = declared.iter().flatten().cloned().collect();
    all.sort_by(|a, b| (&a.name, a.sql()).cmp(&(&b.name, b.sql())));
    all.dedup();
    if let Some(pair) = all.windows(2).find(|pair| pair[0].name == pair[1].name) {
        findings
            .error("cohorts", "ambiguous-dimension", format!("the dimension `{}` has two definitions", pair[0].name))
            .hint("rename one of them");
    }
    let mut sets: Vec<CohortSet> = Vec::new();
    for (index, (spec, dimensions)) in specs.iter().zip(&declared).enumerate() {
        let mut places: Vec<usize> =
            dimensions.iter().filter_map(|d| all.iter().position(|other| other == d)).collect();
        places.sort_unstable();
        if sets.iter().any(|set| set.dimensions == places) {
            findings
                .error(&format!("cohorts[{index}]"), "repeated-entry", "these cohorts are declared twice")
                .hint("remove one of them");
        }
        let top = spec.top.unwrap_or(DEFAULT_TOP);
        if !(1..=MOST_TOP).contains(&top) {
            findings
                .error(&format!("cohorts[{index}].top"), "bad-top", format!("`top` is {top}"))
                .hint(format!("use 1 to {MOST_TOP}"));
        }
        sets.push(CohortSet { dimensions: places, top });
    }
    let declared_at = |dimension: &Dimension| {
        let found = declared.iter().enumerate().find_map(|(set, dimensions)| {
            Some(format!("cohorts[{set}].by[{}]", dimensions.iter().position(|other| other == dimension)?))
        });
        found.unwrap_or_else(|| "cohorts".to_owned())
    };
    let placed = all.into_iter().map(|dimension| (dimension.clone(), declared_at(&dimension))).collect();
    (placed, sets)
}

fn declaration(index: usize, spec: &CohortSection, findings: &mut Findings<'_>) -> Vec<Dimension> {
    let path = format!("cohorts[{index}].by");
    if spec.by.is_empty() || spec.by.len() > MOST_DIMENSIONS {
        findings
            .error(&path, "bad-dimensions", format!("`by` has {} dimensions", spec.by.len()))
            .hint(format!("list 1 to {MOST_DIMENSIONS}"));
    }
    let mut found: Vec<Dimension> = Vec::new();
    for (place, dimension) in spec.by.iter().enumerate() {
        let path = format!("{path}[{place}]");
        match planned(dimension) {
            Ok(dimension) if found.iter().any(|other| other.name == dimension.name) => {
                findings
                    .error(&path, "repeated-entry", format!("`{}` is listed twice", dimension.name))
                    .hint("remove one of them");
            }
            Ok(dimension) => found.push(dimension),
            Err((code, message)) => findings.error(&path, code, message).hint(
                "use a column name, or write { name = \"hour\", expr = \"extract(hour from at at time zone 'UTC')\" }",
            ),
        }
    }
    found
}

fn planned(spec: &DimensionSpec) -> Result<Dimension, (&'static str, String)> {
    match spec {
        DimensionSpec::Column(name) => column(name),
        DimensionSpec::Expression(named) => {
            let Some(expr) = &named.expr else { return column(&named.name) };
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if named.name.is_empty() || !named.name.chars().all(plain) {
                return Err((
                    "bad-name",
                    format!("`{}` is not a valid dimension name: use letters, digits and `_`", named.name),
                ));
            }
            let expression = Expression::parse(expr).map_err(|message| ("bad-expression", message))?;
            Ok(Dimension { name: named.name.clone(), value: DimensionValue::Expression(expression) })
        }
    }
}

fn column(name: &str) -> Result<Dimension, (&'static str, String)> {
    let column = Identifier::new(name).map_err(|message| ("bad-column", message))?;
    Ok(Dimension { name: name.to_owned(), value: DimensionValue::Column(column) })
}

/// Names of dimensions whose values appear only in SQL. One declaration that hides a dimension hides it everywhere.
pub(super) fn hidden(specs: &[CohortSection]) -> Vec<String> {
    let named = specs.iter().flat_map(|spec| &spec.by).filter_map(|dimension| match dimension {
        DimensionSpec::Expression(named) if named.shown == Some(ShownSpec::Sql) => Some(named.name.clone()),
        DimensionSpec::Expression(_) | DimensionSpec::Column(_) => None,
    });
    let mut names: Vec<String> = named.collect();
    names.sort();
    names.dedup();
    names
}
