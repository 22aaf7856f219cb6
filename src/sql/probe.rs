//! Statements that check the source without reading rows: column types, expressions and keys.

use std::collections::BTreeSet;

use crate::domain::name::Identifier;
use crate::plan::cohort::Dimension;
use crate::plan::source::Relation;
use crate::plan::{PlannedJob, extra};
use crate::sql::PlannedSql;
use crate::sql::pairs::source;

/// Selects the prediction columns that the job names, for their types: `at, value, arrived_at?, version?, id …`.
pub fn prediction_columns(job: &PlannedJob) -> PlannedSql {
    let source = &job.predictions;
    let optional = [&source.arrived_at, &source.version];
    let columns = [&source.at, &source.value].into_iter().chain(optional.into_iter().flatten()).chain(&source.id);
    columns_of(&source.relation, columns)
}

/// Selects the label columns that the job names: `value, arrived_at?, id …`.
pub fn label_columns(job: &PlannedJob) -> PlannedSql {
    let source = &job.labels;
    columns_of(&source.relation, std::iter::once(&source.value).chain(&source.arrived_at).chain(&source.id))
}

/// An expression of the job over columns of the prediction row.
pub struct ExpressionProbe<'a> {
    /// Path in the job file.
    pub path: &'a str,
    /// The columns that it names.
    pub columns: BTreeSet<String>,
    /// Evaluates it over no rows, so that a wrong column or type is found before a run.
    pub sql: PlannedSql,
}

/// Probes of the filter, the dimensions and the extra values.
pub fn expressions(job: &PlannedJob) -> Vec<ExpressionProbe<'_>> {
    let relation = job.predictions.relation.sql();
    let filter = job.predictions.filter.iter().map(|filter| ExpressionProbe {
        path: "predictions.where",
        columns: filter.columns(),
        sql: PlannedSql::new(format!("select from {relation} as a where {filter} limit 0")),
    });
    let dimensions = job.dimensions.iter().zip(&job.declared.dimensions).map(|(d, path)| ExpressionProbe {
        path,
        columns: d.columns(),
        sql: PlannedSql::new(format!("select ({})::text from {relation} as a limit 0", d.sql())),
    });
    let extras = job.extras.iter().zip(&job.declared.extras).map(|(extra, path)| {
        let columns = extra::columns(std::slice::from_ref(extra));
        let row = format!("0::float8 as predicted, 0::float8 as actual{}", source::carried(&columns));
        let value = extra.sql(&columns, "r");
        ExpressionProbe {
            path,
            columns: columns.into_iter().collect(),
            sql: PlannedSql::new(format!("select {value} from (select {row} from {relation} as a) as r limit 0")),
        }
    });
    filter.chain(dimensions).chain(extras).collect()
}

/// Selects the dimensions that are plain columns, over no rows.
pub fn dimensions(job: &PlannedJob) -> PlannedSql {
    let columns = job.dimensions.iter().filter(|dimension| dimension.is_column()).map(Dimension::sql);
    let columns = columns.collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {columns} from {} as a limit 0", job.predictions.relation.sql()))
}

/// Lists the columns of a relation, for messages: no rows, all columns.
pub fn all_columns(relation: &Relation) -> PlannedSql {
    PlannedSql::new(format!("select * from {} as a limit 0", relation.sql()))
}

/// Joins no rows by key, so that keys of different types are found before a run.
pub fn join(job: &PlannedJob) -> PlannedSql {
    let on = job.predictions.id.iter().zip(&job.labels.id).map(|(p, l)| format!("p.{p} = l.{l}"));
    PlannedSql::new(format!(
        "select from {} as p join {} as l on {} limit 0",
        job.predictions.relation.sql(),
        job.labels.relation.sql(),
        on.collect::<Vec<_>>().join(" and "),
    ))
}

fn columns_of<'a>(relation: &Relation, columns: impl Iterator<Item = &'a Identifier>) -> PlannedSql {
    let names = columns.map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {names} from {} as a limit 0", relation.sql()))
}
