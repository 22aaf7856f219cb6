//! Statements that look at the source without reading it: which types its columns have, and what is unique.

use std::collections::BTreeSet;

use crate::plan::PlannedJob;
use crate::plan::cohort::Dimension;
use crate::plan::name::Identifier;
use crate::plan::pair;
use crate::plan::source::Relation;
use crate::plan::sql::{PlannedSql, guard};

/// Selects the prediction columns that the job names, for their types: `at, value, arrived_at?, version?, id …`.
pub fn prediction_columns(job: &PlannedJob) -> PlannedSql {
    let source = &job.predictions;
    let optional = [&source.arrived_at, &source.version];
    let columns = [&source.at, &source.value].into_iter().chain(optional.into_iter().flatten()).chain(&source.id);
    columns_of(&source.relation, columns, 0)
}

/// Selects the label columns that the job names: `value, arrived_at?, id …`.
pub fn label_columns(job: &PlannedJob) -> PlannedSql {
    of_labels(job, 0)
}

/// One row of the predictions, with the columns that the job and its expressions name.
pub fn first_prediction(job: &PlannedJob) -> PlannedSql {
    let p = &job.predictions;
    let named =
        [Some(&p.at), Some(&p.value), p.arrived_at.as_ref(), p.version.as_ref()].into_iter().flatten().chain(&p.id);
    let columns: BTreeSet<String> = named.map(|column| column.as_str().to_owned()).chain(named_columns(job)).collect();
    let columns = columns.iter().map(|name| format!("a.\"{}\"", name.replace('"', "\"\"")));
    let columns = columns.collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {columns} from {} as a limit 1", p.relation.sql()))
}

/// One row of the labels, with the columns that the job names.
pub fn first_label(job: &PlannedJob) -> PlannedSql {
    of_labels(job, 1)
}

fn of_labels(job: &PlannedJob, limit: u8) -> PlannedSql {
    let source = &job.labels;
    columns_of(&source.relation, std::iter::once(&source.value).chain(&source.arrived_at).chain(&source.id), limit)
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

/// A column that must not be NULL.
pub struct NullProbe {
    pub path: &'static str,
    pub column: String,
    /// One row: `rows`, `nulls`.
    pub sql: PlannedSql,
}

/// Counts NULLs where they hide a row: in keys, event times and arrival times, among the newest predictions or some labels.
pub fn nulls(job: &PlannedJob) -> Vec<NullProbe> {
    let (p, l) = (&job.predictions, &job.labels);
    let predictions =
        p.id.iter()
            .map(|c| ("predictions.id", c))
            .chain([("predictions.at", &p.at)])
            .chain(p.arrived_at.iter().map(|c| ("predictions.arrived_at", c)));
    let labels = l.id.iter().map(|c| ("labels.id", c)).chain(l.arrived_at.iter().map(|c| ("labels.arrived_at", c)));
    let probe = |relation: &Relation, path, column: &Identifier| NullProbe {
        path,
        column: column.as_str().to_owned(),
        sql: PlannedSql::new(format!(
            "select count(*) as rows, count(*) filter (where a.{column} is null) as nulls from (select * from {} as a limit 20000) as a",
            relation.sql()
        )),
    };
    predictions
        .map(|(path, column)| probe(&p.relation, path, column))
        .chain(labels.map(|(path, column)| probe(&l.relation, path, column)))
        .collect()
}

/// The oldest event that is a time: `first`. NULL without predictions.
pub fn first_event(job: &PlannedJob) -> PlannedSql {
    let at = &job.predictions.at;
    PlannedSql::new(format!(
        "select min(a.{at}) as first from {} as a where a.{at} >= timestamptz '1900-01-01'",
        job.predictions.relation.sql()
    ))
}

/// The oldest event, where it is younger than so many seconds: `oldest`, else NULL. A source whose newest event is older than
/// that rests, and says nothing.
pub fn oldest(job: &PlannedJob, seconds: i64) -> PlannedSql {
    let (relation, at) = (job.predictions.relation.sql(), &job.predictions.at);
    PlannedSql::new(format!(
        "select case when oldest > clock_timestamp() - {seconds} * interval '1 second' then oldest end as oldest
         from (select min(a.{at}) as oldest from {relation} as a) as o"
    ))
}

/// An expression to be tried on some of the newest rows, which have numbers from 0 on.
pub struct Sample<'a> {
    pub path: &'a str,
    /// Evaluates it on so many rows from a number on.
    pub count: Box<dyn Fn(i64, i64) -> PlannedSql + Send + Sync + 'a>,
    /// The row of a number: its key and the columns that the expression names, as texts `key` and `row`.
    pub row: Box<dyn Fn(i64) -> PlannedSql + Send + Sync + 'a>,
}

/// The filter, the dimensions and the extra values, to be tried.
pub fn samples(job: &PlannedJob) -> Vec<Sample<'_>> {
    let sample = |path, columns: BTreeSet<String>, value: String, joins: bool| Sample {
        path,
        count: Box::new(move |from, rows| {
            let some = some_rows(job, from, rows);
            let rows = if joins { with_labels(job, &some, "r", "") } else { format!("{some} as a") };
            PlannedSql::new(format!("select count({value}) as n from {rows}"))
        }),
        row: Box::new(move |from| {
            let key =
                job.predictions.id.iter().map(|column| format!("a.{column}::text")).collect::<Vec<_>>().join(", ");
            let values = columns
                .iter()
                .map(|name| format!("{}, a.\"{}\"", crate::plan::name::text_literal(name), name.replace('"', "\"\"")));
            PlannedSql::new(format!(
                "select array_to_string(array[{key}], ', ') as key, jsonb_build_object({})::text as row from {} as a",
                values.collect::<Vec<_>>().join(", "),
                some_rows(job, from, 1)
            ))
        }),
    };
    let filter =
        job.predictions.filter.iter().map(|filter| {
            sample("predictions.where", filter.columns(), format!("case when {filter} then 1 end"), false)
        });
    let dimensions = job
        .dimensions
        .iter()
        .zip(&job.declared.dimensions)
        .map(|(d, path)| sample(path, d.columns(), format!("({})::text", d.sql()), false));
    let extras = job.extras.iter().zip(&job.declared.extras).map(|(extra, path)| {
        let own = pair::columns(std::slice::from_ref(extra));
        let value = extra.sql(&pair::columns(&job.extras), "r");
        sample(path, own.into_iter().collect(), value, true)
    });
    filter.chain(dimensions).chain(extras).collect()
}

/// Some of the newest predictions.
fn some_rows(job: &PlannedJob, from: i64, rows: i64) -> String {
    let p = &job.predictions;
    let ids = p.id.iter().map(|column| format!(", a.{column}")).collect::<String>();
    format!(
        "(select * from {} as a where a.{at} is not null order by a.{at} desc{ids} offset {from} limit {rows})",
        p.relation.sql(),
        at = p.at
    )
}

/// Predictions and labels of some rows as extra values see them, under a name and with what else is selected of the row `a`.
fn with_labels(job: &PlannedJob, rows: &str, alias: &str, more: &str) -> String {
    let (p, l) = (&job.predictions, &job.labels);
    let columns = pair::columns(&job.extras);
    let carried =
        columns.iter().enumerate().map(|(n, name)| format!("a.\"{}\" as c{}, ", name.replace('"', "\"\""), n + 1));
    let on = p.id.iter().zip(&l.id).map(|(p, l)| format!("a.{p} = l.{l}")).collect::<Vec<_>>().join(" and ");
    format!(
        "(select {more}{}a.{}::float8 as predicted, l.{}::float8 as actual from {rows} as a join {} as l on {on}) as {alias}",
        carried.collect::<String>(),
        p.value,
        l.value,
        l.relation.sql()
    )
}

/// A dimension as it stands, over no rows.
pub fn dimension(job: &PlannedJob, dimension: &Dimension) -> PlannedSql {
    PlannedSql::new(format!("select {} from {} as a limit 0", dimension.sql(), job.predictions.relation.sql()))
}

/// The types of these columns of the predictions, as SQL names them: `types`, in their order. No row without a prediction.
pub fn column_types(job: &PlannedJob, columns: &[String]) -> PlannedSql {
    let types = columns.iter().map(|name| format!("pg_typeof(a.\"{}\")::text", name.replace('"', "\"\"")));
    PlannedSql::new(format!(
        "select array[{}]::text[] as types from {} as a limit 1",
        types.collect::<Vec<_>>().join(", "),
        job.predictions.relation.sql()
    ))
}

/// The columns of the predictions that expressions of the job name.
pub fn named_columns(job: &PlannedJob) -> BTreeSet<String> {
    let filter = job.predictions.filter.iter().flat_map(|filter| filter.columns());
    let dimensions = job.dimensions.iter().flat_map(|dimension| dimension.columns());
    filter.chain(dimensions).chain(pair::columns(&job.extras)).collect()
}

/// How many predictions of `[$3, $4)` each expression fails on, with a few of their keys: the path in the job, and a statement
/// that gives `predictions, examples`.
pub fn failing<'a>(job: &'a PlannedJob, types: &guard::Types) -> Vec<(&'a str, PlannedSql)> {
    let (p, at) = (&job.predictions, &job.predictions.at);
    let key = p.id.iter().map(|column| format!("a.{column}::text")).collect::<Vec<_>>().join(", ");
    let rows = format!(
        "(select * from {} as a where a.{at} >= $3 and a.{at} < $4 and $1::bigint is not null and $2::timestamptz is not null)",
        p.relation.sql()
    );
    let statement = |(path, fails, over): (&'a str, String, guard::Over)| {
        let from = match over {
            guard::Over::Prediction => {
                format!("(select array_to_string(array[{key}], ', ') as key from {rows} as a where {fails}) as f")
            }
            guard::Over::Pair => {
                let pairs = with_labels(job, &rows, "c", &format!("array_to_string(array[{key}], ', ') as key, "));
                format!("(select c.key from {pairs} where {fails}) as f")
            }
        };
        let sql =
            format!("select count(*) as predictions, (array_agg(f.key order by f.key))[1:3] as examples from {from}");
        (path, PlannedSql::new(sql))
    };
    guard::failing(job, types).into_iter().map(statement).collect()
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

fn columns_of<'a>(relation: &Relation, columns: impl Iterator<Item = &'a Identifier>, limit: u8) -> PlannedSql {
    let names = columns.map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {names} from {} as a limit {limit}", relation.sql()))
}

/// The 95th percentile of the time until a label arrived, in seconds, over the newest predictions that have one. None where
/// that is not known.
pub fn label_latency(job: &PlannedJob) -> Option<PlannedSql> {
    let arrived = job.labels.arrived_at.as_ref()?;
    let at = &job.predictions.at;
    let on = job.predictions.id.iter().zip(&job.labels.id).map(|(p, l)| format!("p.{p} = l.{l}"));
    Some(PlannedSql::new(format!(
        "select percentile_cont(0.95) within group (order by extract(epoch from l.{arrived} - p.{at})::float8) as latency
         from (select * from {} as a where isfinite(a.{at}) order by a.{at} desc limit 20000) as p join {} as l on {} and isfinite(l.{arrived})",
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
             where a.{arrived} > (select max(a.{arrived}) from {relation} as a where isfinite(a.{arrived})) - {seconds} * interval '1 second'"
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
