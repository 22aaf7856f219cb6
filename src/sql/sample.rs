//! Statements that read some rows of the source: to profile its data, and to find expressions that fail on it.

use std::collections::BTreeSet;

use crate::domain::name::{Identifier, quoted, text_literal};
use crate::plan::model::{self, Model};
use crate::plan::source::{Relation, ValueType};
use crate::plan::{PlannedJob, extra};
use crate::sql::PlannedSql;
use crate::sql::pairs::{guard, source};

/// One row of the predictions, with the columns that the job and its expressions name.
pub fn first_prediction(job: &PlannedJob) -> PlannedSql {
    let p = &job.predictions;
    let named =
        [Some(&p.at), Some(&p.value), p.arrived_at.as_ref(), p.version.as_ref()].into_iter().flatten().chain(&p.id);
    let columns: BTreeSet<String> = named.map(|column| column.as_str().to_owned()).chain(job.named_columns()).collect();
    let columns = columns.iter().map(|name| format!("a.{}", quoted(name)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {columns} from {} as a limit 1", p.relation.sql()))
}

/// One row of the labels, with the columns that the job names.
pub fn first_label(job: &PlannedJob) -> PlannedSql {
    let l = &job.labels;
    let columns = l.id.iter().chain([&l.value]).chain(&l.arrived_at).map(|column| format!("a.{column}"));
    let columns = columns.collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!("select {columns} from {} as a limit 1", l.relation.sql()))
}

/// A column that must not be NULL.
pub struct NullProbe {
    pub path: &'static str,
    pub column: String,
    /// One row: `rows`, `nulls`.
    pub sql: PlannedSql,
}

/// Counts NULLs that hide a row: in keys, event times and arrival times, in a sample of each table.
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

/// The oldest event since 1900: `first`. NULL without predictions.
pub fn first_event(job: &PlannedJob) -> PlannedSql {
    let at = &job.predictions.at;
    PlannedSql::new(format!(
        "select min(a.{at}) as first from {} as a where a.{at} >= timestamptz '1900-01-01'",
        job.predictions.relation.sql()
    ))
}

/// The oldest event, if it is younger than `seconds`: `oldest`, else NULL.
pub fn oldest(job: &PlannedJob, seconds: i64) -> PlannedSql {
    let (relation, at) = (job.predictions.relation.sql(), &job.predictions.at);
    PlannedSql::new(format!(
        "select case when oldest > clock_timestamp() - {seconds} * interval '1 second' then oldest end as oldest
         from (select min(a.{at}) as oldest from {relation} as a) as o"
    ))
}

/// An expression to evaluate on some of the newest rows, which are numbered from 0.
pub struct Sample<'a> {
    pub path: &'a str,
    /// Evaluates it on rows, given the first number and the count.
    pub count: Box<dyn Fn(i64, i64) -> PlannedSql + Send + Sync + 'a>,
    /// Returns the row with a number: its key and the columns that the expression names, as texts `key` and `row`.
    pub row: Box<dyn Fn(i64) -> PlannedSql + Send + Sync + 'a>,
}

/// Samples for the filter, the dimensions and the extra values.
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
            let values = columns.iter().map(|name| format!("{}, a.{}", text_literal(name), quoted(name)));
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
        let own = extra::columns(std::slice::from_ref(extra));
        let value = extra.sql(&extra::columns(&job.extras), "r");
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

/// Predictions and labels of some rows as extra values see them, named `alias`, with `more` selected from the row `a`.
fn with_labels(job: &PlannedJob, rows: &str, alias: &str, more: &str) -> String {
    let (p, l) = (&job.predictions, &job.labels);
    let carried = source::carried(&extra::columns(&job.extras));
    let on = p.id.iter().zip(&l.id).map(|(p, l)| format!("a.{p} = l.{l}")).collect::<Vec<_>>().join(" and ");
    format!(
        "(select {more}{} as predicted, {} as actual{carried} from {rows} as a join {} as l on {on}) as {alias}",
        number(job, &format!("a.{}", p.value)),
        number(job, &format!("l.{}", l.value)),
        l.relation.sql()
    )
}

/// A value of any type as a number: of a class, 1 if it is positive.
fn number(job: &PlannedJob, column: &str) -> String {
    match &job.model {
        Model::Regression => format!("{column}::float8"),
        Model::Multiclass => model::class_code(column, ValueType::Text),
        Model::Binary(labels) => format!(
            "case when {column}::text ~ '^[0-9.]+$' then {column}::text::float8 else {} end",
            labels.number(column, ValueType::Text)
        ),
    }
}

/// SQL types of these prediction columns: `types`, in their order. No row without a prediction.
pub fn column_types(job: &PlannedJob, columns: &[String]) -> PlannedSql {
    let types = columns.iter().map(|name| format!("pg_typeof(a.{})::text", quoted(name)));
    PlannedSql::new(format!(
        "select array[{}]::text[] as types from {} as a limit 1",
        types.collect::<Vec<_>>().join(", "),
        job.predictions.relation.sql()
    ))
}

/// Path of each expression in the job, and a statement that counts the predictions of `[$3, $4)` on which it fails,
/// with a few of their keys: `predictions, examples`.
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

/// The 95th percentile of the time until a label arrived, in seconds, over the newest predictions that have one. `None`
/// without arrival times.
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

/// Counts the rows that arrived in the `seconds` before the newest arrival: `n`, for predictions and for labels. `None`
/// without arrival times, and for queries, whose indexes are unknown.
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

/// Number of values of each cohort dimension among the newest predictions, at most `most` + 1 each: one row with an
/// array `values`. `None` without dimensions.
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

/// Counts keys declared `unique = true` that several rows share, for each side that declares it: the path in the job, and a
/// statement that returns `keys`. Covers predictions from `$1` on and labels that arrived since; all rows of a key are counted,
/// older ones too.
pub fn shared_keys(job: &PlannedJob) -> Vec<(&'static str, PlannedSql)> {
    let (p, l) = (&job.predictions, &job.labels);
    let predictions =
        p.unique.then(|| ("predictions.unique", shared(&p.relation, &p.id, p.version.as_ref(), Some(&p.at))));
    let labels = l.unique.then(|| ("labels.unique", shared(&l.relation, &l.id, None, l.arrived_at.as_ref())));
    predictions.into_iter().chain(labels).collect()
}

/// Statement for one side. A version is part of the key; NULL is a version like any other.
fn shared(
    relation: &Relation,
    id: &[Identifier],
    version: Option<&Identifier>,
    since: Option<&Identifier>,
) -> PlannedSql {
    let of = |row: &str| id.iter().map(|column| format!("{row}.{column}")).collect::<Vec<_>>();
    let (keys, relation) = (of("a").join(", "), relation.sql());
    let there = of("a").iter().map(|key| format!("{key} is not null")).collect::<Vec<_>>().join(" and ");
    let since = since.map_or("$1::timestamptz is not null".to_owned(), |column| {
        format!("({keys}) in (select {} from {relation} as n where n.{column} >= $1)", of("n").join(", "))
    });
    let version = version.map_or(String::new(), |column| format!(", a.{column}"));
    PlannedSql::new(format!(
        "select count(*) as keys from (select 1 from {relation} as a where {since} and {there} group by {keys}{version} having count(*) > 1) as repeated"
    ))
}

/// Counts the newest predictions, and those of them that share their key (and version) with another: `rows, shared`.
pub fn repeated_keys(job: &PlannedJob) -> PlannedSql {
    let p = &job.predictions;
    let keys = p.id.iter().chain(&p.version).map(|column| format!("a.{column}")).collect::<Vec<_>>().join(", ");
    PlannedSql::new(format!(
        "select coalesce(sum(n), 0)::bigint as rows, coalesce(sum(n) filter (where n > 1), 0)::bigint as shared
         from (select count(*) as n from {rows} as a group by {keys}) as k",
        rows = some_rows(job, 0, 20_000),
    ))
}
