//! Statements that inspect tables which may become a job: how well they match, and how their rows are distributed.

use crate::domain::name::{Identifier, text_literal};
use crate::plan::propose::class::Classes;
use crate::plan::propose::{Proposal, TableInfo};
use crate::sql::PlannedSql;

/// Maximum rows in a sample.
pub(super) const SAMPLE: u32 = 20_000;

/// Counts the predictions of a sample, those with a label, and those beyond the first one with their key.
pub fn matches(proposal: &Proposal) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let version = proposal.version.as_deref().map(Identifier::new).transpose()?;
    let key = version.map_or(format!("s.{pk}"), |version| format!("s.{pk}, s.{version}"));
    Ok(PlannedSql::new(format!(
        // A join, not a subquery per row: a sharded database rejects subqueries that depend on a row of a sample.
        "with s as (select q.*, row_number() over () as trueup_row from (select * from {p} limit {SAMPLE}) as q)
         select (select count(*) from s) as predictions,
                (select count(distinct s.trueup_row) from s join {l} as l on l.{lk} = s.{pk}) as labeled,
                (select coalesce(sum(n - 1), 0)::bigint from (select count(*) as n from s group by {key}) as k) as repeated"
    )))
}

/// Distribution of the rows in time: first and last event, median seconds between events, and the 95th percentile of
/// the time until a label arrived, in seconds (null if unknown).
pub fn times(proposal: &Proposal) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let at = Identifier::new(&proposal.at)?;
    let latency = match &proposal.label_arrived_at {
        Some(arrived) => {
            let arrived = Identifier::new(arrived)?;
            format!(
                "(select percentile_cont(0.95) within group (order by extract(epoch from l.{arrived} - s.{at})::float8)
                  from (select * from {p} order by {at} desc limit {SAMPLE}) as s join {l} as l on l.{lk} = s.{pk})"
            )
        }
        None => "null::float8".to_owned(),
    };
    Ok(PlannedSql::new(format!(
        "select (select min({at}) from {p}) as first_at, (select max({at}) from {p}) as last_at,
                (select percentile_cont(0.5) within group (order by gap) from (
                     select extract(epoch from t - lag(t) over (order by t))::float8 as gap
                     from (select distinct {at} as t from {p} order by 1 desc limit 2000) as d) as g where gap > 0) as gap,
                {latency} as latency"
    )))
}

/// The 95th percentile of the daily rmse over the last days that have labels, and how many days those are.
pub fn usual_error(proposal: &Proposal) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let (at, value, actual) =
        (Identifier::new(&proposal.at)?, Identifier::new(&proposal.value)?, Identifier::new(&proposal.actual)?);
    Ok(PlannedSql::new(format!(
        "select percentile_cont(0.95) within group (order by rmse) as usual, count(*) as days
         from (
             select sqrt(avg(e * e)) as rmse
             from (
                 select date_trunc('day', p.{at}) as day, p.{value}::float8 - l.{actual}::float8 as e
                 from {p} as p join {l} as l on l.{lk} = p.{pk}
                 where p.{at} > (select max({at}) from {p}) - interval '60 days'
             ) as pairs
             where abs(e) < 1e70
             group by day
         ) as days"
    )))
}

/// One row per column, from a sample: rows, non-null values, distinct values, and characters of the longest.
pub fn profile(table: &TableInfo, columns: &[String]) -> Result<PlannedSql, String> {
    let table = name(table)?;
    let mut parts = Vec::new();
    for (n, column) in columns.iter().enumerate() {
        let column = Identifier::new(column)?;
        parts.push(format!(
            "select {n} as n, count(*) as rows, count({column}) as filled, count(distinct {column}) as distinct_values,
                    coalesce(max(length({column}::text)), 0)::bigint as longest from s"
        ));
    }
    Ok(PlannedSql::new(format!(
        "with s as materialized (select * from {table} limit {SAMPLE}) {} order by n",
        parts.join(" union all ")
    )))
}

/// Target number of value-actual comparisons over all combinations.
const COMPARED: usize = 200_000;

/// Compares each of the values with each of the actuals, over rows that have both: `value` and `actual` as 1-based
/// positions in the lists, `pairs`, Spearman's `rank` correlation, `distance` as defined in
/// [`Agreement`](crate::plan::propose::agree::Agreement), and the shares `equal`, `inside` and `positive`.
/// Actuals among `classes` are 1 for the positive class and 0 for the other.
pub fn agreement(
    proposal: &Proposal,
    values: &[&str],
    actuals: &[&str],
    classes: &[Classes],
) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let rows = (COMPARED / (values.len() * actuals.len()).max(1)).clamp(200, 5_000);
    let float = |row: &str, column: &str| Ok(format!("{row}.{}::float8", Identifier::new(column)?));
    let label = |column: &&str| match classes.iter().find(|two| two.column == **column) {
        Some(classes) => class("l", classes),
        None => float("l", column),
    };
    let x = values.iter().map(|column| float("s", column)).collect::<Result<Vec<_>, String>>()?.join(", ");
    let y = actuals.iter().map(label).collect::<Result<Vec<_>, String>>()?.join(", ");
    Ok(PlannedSql::new(format!(
        "with s as (select * from {p} where {pk} is not null limit {SAMPLE}),
         m as materialized (
             select array[{x}] as xs, array[{y}] as ys from s join {l} as l on l.{lk} = s.{pk} limit {rows}
         ),
         c as (
             select x.n as value, y.n as actual, x.v as x, y.v as y
             from m cross join lateral unnest(m.xs) with ordinality as x(v, n)
                    cross join lateral unnest(m.ys) with ordinality as y(v, n)
             where abs(x.v) < 1e70 and abs(y.v) < 1e70
         ),
         g as (
             select value, actual, stddev_pop(y) as spread, percentile_cont(0.5) within group (order by y) as middle, min(y) as low,
                    max(y) as high, count(distinct y) as ys
             from c group by value, actual
         ),
         r as (
             -- Equals share the mean of their ranks.
             select value, actual, x, y,
                    rank() over by_x + (count(*) over equal_x - 1) / 2.0 as rx, rank() over by_y + (count(*) over equal_y - 1) / 2.0 as ry
             from c
             window by_x as (partition by value, actual order by x), equal_x as (partition by value, actual, x),
                    by_y as (partition by value, actual order by y), equal_y as (partition by value, actual, y)
         )
         select value, actual, count(*) as pairs, corr(rx, ry) as rank,
                least(avg(abs(x - y)) / nullif(avg(abs(y - middle)), 0), sqrt(avg((x - y) * (x - y))) / nullif(max(spread), 0)) as distance,
                avg((x = y)::int)::float8 as equal, avg((x between low and high)::int)::float8 as inside,
                case when max(ys) = 2 then avg((y = high)::int)::float8 end as positive
         from r join g using (value, actual) group by value, actual"
    )))
}

/// SQL of a label as 1 for the positive class, 0 for any other and NULL.
pub(super) fn class(row: &str, classes: &Classes) -> Result<String, String> {
    let label = Identifier::new(&classes.column)?;
    Ok(match classes.is_number() {
        true => format!("{row}.{label}::float8"),
        false => {
            let positive = text_literal(&classes.positive);
            format!("case when {row}.{label} is not null then ({row}.{label}::text = {positive})::int::float8 end")
        }
    })
}

pub(super) fn name(table: &TableInfo) -> Result<String, String> {
    Ok(format!("{}.{}", Identifier::new(&table.schema)?, Identifier::new(&table.name)?))
}
