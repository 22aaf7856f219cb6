//! Statements that look at tables which may become a job: whether they belong together, and how their rows are spread.

use crate::plan::name::Identifier;
use crate::plan::propose::{Proposal, TableInfo};
use crate::plan::sql::PlannedSql;

/// Rows that are looked at, of those that are there.
const SAMPLE: u32 = 20_000;

/// Predictions of a sample, how many have a label, and how many share their key with another: three counts.
pub fn matches(proposal: &Proposal) -> Result<PlannedSql, String> {
    let (p, l) = (name(&proposal.predictions)?, name(&proposal.labels)?);
    let (pk, lk) = (Identifier::new(&proposal.id.0)?, Identifier::new(&proposal.id.1)?);
    let version = proposal.version.as_deref().map(Identifier::new).transpose()?;
    let key = version.map_or(format!("s.{pk}"), |version| format!("s.{pk}, s.{version}"));
    Ok(PlannedSql::new(format!(
        "with s as (select * from {p} limit {SAMPLE})
         select (select count(*) from s) as predictions,
                (select count(*) from s where exists (select from {l} as l where l.{lk} = s.{pk})) as labeled,
                (select coalesce(sum(n - 1), 0)::bigint from (select count(*) as n from s group by {key}) as k) as repeated"
    )))
}

/// How the rows are spread in time: first and last event, usual seconds between them, and the 95th percentile of the time
/// until a label arrived, in seconds (null where that is not known).
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

/// How many values a column has in a sample, at most one more than `most`.
pub fn distinct(table: &TableInfo, column: &str, most: u32) -> Result<PlannedSql, String> {
    let (table, column) = (name(table)?, Identifier::new(column)?);
    Ok(PlannedSql::new(format!(
        "select count(*) as n from (select distinct {column} from (select {column} from {table} limit {SAMPLE}) as s limit {}) as d",
        most + 1
    )))
}

fn name(table: &TableInfo) -> Result<String, String> {
    Ok(format!("{}.{}", Identifier::new(&table.schema)?, Identifier::new(&table.name)?))
}
