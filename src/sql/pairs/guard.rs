//! Row-by-row evaluation of a job's expressions, so that a value on which one fails costs that row and not the run.
//!
//! Postgres aborts the whole statement on a division by zero or a text that is not a number. After such a failure, the
//! expression is evaluated by `trueup.guarded`, which returns NULL for the row.

use std::collections::BTreeMap;

use crate::domain::name::{quoted, text_literal};
use crate::plan::source::SourceFacts;
use crate::plan::{PlannedJob, extra};

/// Names of columns and their types in SQL.
pub type Types = BTreeMap<String, String>;

/// The filter of the predictions.
#[derive(Debug, Default)]
pub struct Filter {
    /// Additional items of the `from` clause.
    pub beside: String,
    pub condition: Option<String>,
    /// SQL that is true if the filter failed on the row. `None` if a failure would abort the statement.
    pub failed: Option<&'static str>,
}

/// Builds the filter. A row on which it fails is kept and counted, because it may belong to the job.
pub fn filter(job: &PlannedJob, facts: &SourceFacts) -> Filter {
    let Some(filter) = &job.predictions.filter else { return Filter::default() };
    match &facts.guards {
        Some(types) => {
            let call = Row::of_source("a", filter.columns(), types).call(&filter.to_string());
            Filter {
                beside: format!(" cross join lateral {call} as trueup_filter"),
                condition: Some("coalesce(trueup_filter.value::boolean, trueup_filter.failed)".to_owned()),
                failed: Some("trueup_filter.failed"),
            }
        }
        None => Filter { condition: Some(filter.to_string()), ..Filter::default() },
    }
}

/// Values of [`failed_before`] for a row on which the filter failed, and for one on which a dimension failed.
pub const FILTER_FAILED: i32 = 2;
const DIMENSION_FAILED: i32 = 1;

/// Code of the kind of expression over the prediction alone that fails on a row `a`; null if none does.
pub fn failed_before(job: &PlannedJob, facts: &SourceFacts, filter: Option<&str>) -> String {
    let Some(types) = &facts.guards else { return "null::int".to_owned() };
    let filter = filter.map(|failed| format!("when {failed} then {FILTER_FAILED}"));
    let dimensions = job.dimensions.iter().filter(|dimension| !dimension.is_column());
    let dimensions = dimensions.map(|dimension| {
        let failed = Row::of_source("a", dimension.columns(), types).fails(&dimension.sql());
        format!("when {failed} then {DIMENSION_FAILED}")
    });
    let cases: Vec<String> = filter.into_iter().chain(dimensions).collect();
    if cases.is_empty() { "null::int".to_owned() } else { format!("case {} end", cases.join(" ")) }
}

/// 1 for a joined row `c` on which any expression fails, else null.
pub fn failures(job: &PlannedJob, facts: &SourceFacts) -> String {
    let Some(types) = &facts.guards else { return "null::float8".to_owned() };
    let columns = extra::columns(&job.extras);
    let extras = job.extras.iter().map(|extra| {
        let failed = Row::of_pair(&columns, types).fails(&extra.sql(&columns, "c"));
        let counts = extra.is_of_sql("c");
        format!("or {counts} and {failed}")
    });
    let extras = extras.collect::<Vec<_>>().join(" ");
    format!("case when c.c{} is not null {extras} then 1::float8 end", columns.len() + 1)
}

/// A dimension as text, by its index; NULL if it fails.
pub fn dimension(job: &PlannedJob, facts: &SourceFacts, place: usize) -> String {
    let dimension = &job.dimensions[place];
    match &facts.guards {
        // Casting a column to text never fails.
        Some(types) if !dimension.is_column() => {
            Row::of_source("a", dimension.columns(), types).guarded(&dimension.sql())
        }
        _ => format!("({})::text", dimension.sql()),
    }
}

/// An extra value over a joined row `c`, by its index; NULL if it fails.
pub fn extra(job: &PlannedJob, facts: &SourceFacts, place: usize) -> String {
    let columns = extra::columns(&job.extras);
    let value = job.extras[place].sql(&columns, "c");
    match &facts.guards {
        Some(types) => format!("{}::float8", Row::of_pair(&columns, types).guarded(&value)),
        None => value,
    }
}

/// Failure conditions of all guarded expressions: the path in the job, the condition, and its input, a joined row `c`
/// or a row `a` of the predictions.
pub fn failing<'a>(job: &'a PlannedJob, types: &Types) -> Vec<(&'a str, String, Over)> {
    let of = |columns, sql: &str| Row::of_source("a", columns, types).fails(sql);
    let filter = job
        .predictions
        .filter
        .iter()
        .map(|filter| ("predictions.where", of(filter.columns(), &filter.to_string()), Over::Prediction));
    let dimensions = job.dimensions.iter().zip(&job.declared.dimensions).filter(|(d, _)| !d.is_column());
    let dimensions = dimensions.map(|(d, path)| (path.as_str(), of(d.columns(), &d.sql()), Over::Prediction));
    let columns = extra::columns(&job.extras);
    let extras = job.extras.iter().zip(&job.declared.extras).map(|(extra, path)| {
        (path.as_str(), Row::of_pair(&columns, types).fails(&extra.sql(&columns, "c")), Over::Pair)
    });
    filter.chain(dimensions).chain(extras).collect()
}

/// Input of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Prediction,
    Pair,
}

/// Values that an expression reads: the name it uses, the SQL of the value, its type.
struct Row {
    alias: &'static str,
    values: Vec<(String, String, String)>,
}

impl Row {
    fn of_source(alias: &'static str, columns: impl IntoIterator<Item = String>, types: &Types) -> Self {
        let value = |name: String| {
            let (at, kind) = (format!("{alias}.{}", quoted(&name)), type_of(types, &name));
            (name, at, kind)
        };
        Self { alias, values: columns.into_iter().map(value).collect() }
    }

    fn of_pair(columns: &[String], types: &Types) -> Self {
        let carried = columns
            .iter()
            .enumerate()
            .map(|(n, name)| (format!("c{}", n + 1), format!("c.c{}", n + 1), type_of(types, name)));
        let sides = ["predicted", "actual"].map(|side| (side.to_owned(), format!("c.{side}"), "float8".to_owned()));
        Self { alias: "c", values: carried.chain(sides).collect() }
    }

    fn guarded(&self, expression: &str) -> String {
        format!("({}).value", self.call(expression))
    }

    fn fails(&self, expression: &str) -> String {
        format!("({}).failed", self.call(expression))
    }

    fn call(&self, expression: &str) -> String {
        format!("trueup.guarded({}, {})", text_literal(&self.statement(expression)), self.record())
    }

    fn statement(&self, expression: &str) -> String {
        if self.values.is_empty() {
            return format!("select ({expression})::text where $1 is not null");
        }
        let columns = self.values.iter().map(|(name, _, kind)| format!("{} {kind}", quoted(name)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!("select ({expression})::text from jsonb_to_record($1) as {}({columns})", self.alias)
    }

    /// The values as a JSON object, in parts because a call takes at most a hundred arguments.
    fn record(&self) -> String {
        if self.values.is_empty() {
            return "'{}'::jsonb".to_owned();
        }
        let object = |values: &[(String, String, String)]| {
            let pairs = values.iter().map(|(name, at, _)| format!("{}, {at}", text_literal(name)));
            format!("jsonb_build_object({})", pairs.collect::<Vec<_>>().join(", "))
        };
        self.values.chunks(40).map(object).collect::<Vec<_>>().join(" || ")
    }
}

fn type_of(types: &Types, name: &str) -> String {
    types.get(name).cloned().unwrap_or_else(|| "text".to_owned())
}
