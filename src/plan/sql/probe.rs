//! Statements that look at the source without reading it: which types its columns have, and what is unique.

use std::collections::BTreeSet;

use crate::plan::PlannedJob;
use crate::plan::name::Identifier;
use crate::plan::pair;
use crate::plan::source::Relation;
use crate::plan::sql::PlannedSql;

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
    /// Where in the job file it is.
    pub path: &'a str,
    /// The columns that it names.
    pub columns: BTreeSet<String>,
    /// Evaluates it over no rows, so that a wrong column or type is found before a run.
    pub sql: PlannedSql,
}

/// The filter, the dimensions and the extra values.
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
        let columns = pair::columns(std::slice::from_ref(extra));
        let carried =
            columns.iter().enumerate().map(|(n, name)| format!("a.\"{}\" as c{}, ", name.replace('"', "\"\""), n + 1));
        let row = format!("{}0::float8 as predicted, 0::float8 as actual", carried.collect::<String>());
        let value = extra.sql(&columns, "r");
        ExpressionProbe {
            path,
            columns: columns.into_iter().collect(),
            sql: PlannedSql::new(format!("select {value} from (select {row} from {relation} as a) as r limit 0")),
        }
    });
    filter.chain(dimensions).chain(extras).collect()
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

/// The 95th percentile of the time until a label arrived, in seconds, over the newest predictions that have one. None where
/// that is not known.
pub fn label_latency(job: &PlannedJob) -> Option<PlannedSql> {
    let arrived = job.labels.arrived_at.as_ref()?;
    let at = &job.predictions.at;
    let on = job.predictions.id.iter().zip(&job.labels.id).map(|(p, l)| format!("p.{p} = l.{l}"));
    Some(PlannedSql::new(format!(
        "select percentile_cont(0.95) within group (order by extract(epoch from l.{arrived} - p.{at})::float8) as latency
         from (select * from {} as a order by a.{at} desc limit 20000) as p join {} as l on {}",
        job.predictions.relation.sql(),
        job.labels.relation.sql(),
        on.collect::<Vec<_>>().join(" and "),
    )))
}

/// How many rows arrived in the last `seconds` of those that there are: `n`. For predictions and for labels; none without
/// arrival times, and for queries, which no index is known of.
pub fn arrivals(job: &PlannedJob, seconds: i64) -> Option<[PlannedSql; 2]> {
    let count = |relation: &Relation, arrived: &Identifier| {
        let relation = relation.sql();
        PlannedSql::new(format!(
            "select count(*) as n from {relation} as a
             where a.{arrived} > (select max(a.{arrived}) from {relation} as a) - {seconds} * interval '1 second'"
        ))
    };
    let (p, l) = (&job.predictions, &job.labels);
    let tables = [&p.relation, &l.relation].into_iter().all(|relation| matches!(relation, Relation::Table(_)));
    if !tables {
        return None;
    }
    Some([count(&p.relation, p.arrived_at.as_ref()?), count(&l.relation, l.arrived_at.as_ref()?)])
}

/// How many values each cohort dimension has among the newest predictions, at most `most` + 1 each: one row, one column per
/// dimension.
pub fn cardinality(job: &PlannedJob, most: u32) -> Option<PlannedSql> {
    if job.dimensions.is_empty() {
        return None;
    }
    let sample = format!(
        "(select * from {} as a order by a.{} desc limit 20000)",
        job.predictions.relation.sql(),
        job.predictions.at
    );
    let counts = job.dimensions.iter().map(|dimension| {
        format!(
            "(select count(*) from (select distinct ({})::text from {sample} as a limit {}) as d)",
            dimension.sql(),
            most + 1
        )
    });
    Some(PlannedSql::new(format!("select array[{}]::bigint[] as values", counts.collect::<Vec<_>>().join(", "))))
}
