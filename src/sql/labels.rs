//! Statements that inspect labels which may be two classes, and predictions which may be scores of them.

use super::discover::{SAMPLE, class, name};
use crate::domain::name::Identifier;
use crate::plan::propose::class::Classes;
use crate::plan::propose::{ColumnInfo, ColumnKind, Proposal};
use crate::sql::PlannedSql;

/// Days of labels that are summed up.
const DAYS: u32 = 60;

/// The most frequent values of columns of the labels that a sample of predictions has: `place` (1-based, in the list), `value`,
/// `labels` and `distinct_values`, at most two rows for each column.
pub fn values(proposal: &Proposal, columns: &[&ColumnInfo]) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let texts: Result<Vec<String>, String> = columns.iter().map(|column| text(column)).collect();
    Ok(PlannedSql::new(format!(
        "with s as (select {pk} as k from {p} where {pk} is not null limit {SAMPLE}),
         m as materialized (select array[{texts}] as vs from s join {l} as l on l.{lk} = s.k limit {SAMPLE}),
         c as (
             select v.n as place, v.v as value, count(*) as labels
             from m cross join lateral unnest(m.vs) with ordinality as v(v, n) where v.v is not null group by 1, 2
         ),
         r as (
             select place, value, labels, row_number() over (partition by place order by labels desc, value) as nth,
                    count(*) over (partition by place) as distinct_values
             from c
         )
         select place, value, labels, distinct_values from r where nth <= 2 order by place, nth",
        texts = texts?.join(", ")
    )))
}

/// A label as a text: 1 and 1.0 are the same number.
fn text(column: &ColumnInfo) -> Result<String, String> {
    let label = Identifier::new(&column.name)?;
    Ok(match column.kind {
        ColumnKind::Number => format!("l.{label}::float8::text"),
        _ => format!("l.{label}::text"),
    })
}

/// One row about the scores of the newest predictions, without NULL and NaN: `scores`, `outside` (of 0 to 1), `sure` (0 or 1),
/// `reached` (0.5) and `as_rare`, the score that a share of `rate` reaches.
pub fn scores(proposal: &Proposal, rate: f64) -> Result<PlannedSql, String> {
    let p = name(&proposal.predictions)?;
    let (at, value) = (Identifier::new(&proposal.at)?, Identifier::new(&proposal.value)?);
    Ok(PlannedSql::new(format!(
        "select count(*) as scores, count(*) filter (where x not between 0 and 1) as outside,
                count(*) filter (where x in (0, 1)) as sure, count(*) filter (where x >= 0.5) as reached,
                percentile_disc({quantile:e}::float8) within group (order by x) as as_rare
         from (select s.{value}::float8 as x from (select * from {p} order by {at} desc limit {SAMPLE}) as s) as q
         where x <> 'NaN'",
        quantile = (1.0 - rate).clamp(0.0, 1.0)
    )))
}

/// One row about the labels of the last days that have any: `days`, `labels`, `positives`, and `coverage`, the share of predictions
/// with a label among those that are at least `wait` seconds older than the newest one.
pub fn history(proposal: &Proposal, classes: &Classes, wait: i64) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let at = Identifier::new(&proposal.at)?;
    Ok(PlannedSql::new(format!(
        "select coalesce(extract(epoch from max(at) filter (where y is not null) - min(at) filter (where y is not null)) / 86400, 0)::float8 as days,
                count(y) as labels, count(*) filter (where y = 1) as positives,
                (count(y) filter (where at < newest - {wait} * interval '1 second')
                 / nullif(count(*) filter (where at < newest - {wait} * interval '1 second'), 0)::float8)::float8 as coverage
         from (
             select p.{at} as at, n.newest, {y} as y
             from {p} as p cross join (select max({at}) as newest from {p}) as n left join {l} as l on l.{lk} = p.{pk}
             where p.{at} > n.newest - {wait} * interval '1 second' - interval '{DAYS} days'
         ) as pairs",
        y = class("l", classes)?
    )))
}

/// The 5th percentile of the AUC of the last windows of some days, `usual`, over those with ten labels of each class, `windows`.
pub fn usual_auc(proposal: &Proposal, classes: &Classes, wait: i64, days: i32) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let (at, value) = (Identifier::new(&proposal.at)?, Identifier::new(&proposal.value)?);
    Ok(PlannedSql::new(format!(
        "select percentile_cont(0.05) within group (order by auc) as usual, count(*) as windows
         from (
             select (sum(rank) filter (where y = 1) - m * (m + 1) / 2.0) / (m * (n - m)) as auc
             from (
                 select part, y, count(*) over (partition by part) as n, sum(y) over (partition by part) as m,
                        rank() over (partition by part order by x) + (count(*) over (partition by part, x) - 1) / 2.0 as rank
                 from (
                     select floor(extract(epoch from n.newest - p.{at}) / ({days} * 86400)) as part, p.{value}::float8 as x, {y} as y
                     from {p} as p cross join (select max({at}) as newest from {p}) as n join {l} as l on l.{lk} = p.{pk}
                     where p.{at} > n.newest - {wait} * interval '1 second' - interval '{DAYS} days'
                 ) as pairs
                 where y is not null and abs(x) < 1e70
             ) as ranked
             where m >= 10 and n - m >= 10
             group by part, m, n
         ) as windows",
        y = class("l", classes)?
    )))
}
