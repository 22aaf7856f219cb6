//! Cells of a plan: every combination of dimensions and version that rows have, made where rows are written.

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::rows::{self, Fence, Selection};
use crate::plan::sql::{PlannedSql, list};

/// Common table expressions that end in `cells`: all of plan `$1` as `id, dimensions, model_version`, those of `rows` among
/// them. The rows have `dimensions, model_version, hash`.
///
/// A sharded database does not take statements that write in a `with` over its tables: there [`make`] comes before.
pub(super) fn of(rows: &str, facts: &SourceFacts) -> String {
    if facts.sharded {
        return "cells as (\n    select id, dimensions, model_version from trueup.cell where plan_id = $1\n)"
            .to_owned();
    }
    format!(
        r"wanted as (
    select distinct dimensions, model_version, hash from {rows}
), made as (
    insert into trueup.cell (plan_id, dimensions, model_version, hash)
    select $1, w.dimensions, w.model_version, w.hash
    from wanted as w
    -- Looked up one by one: joined, with statistics of before there were any, every cell would be held against every other.
    where not exists (
        select from trueup.cell as c where c.plan_id = $1 and c.dimensions = w.dimensions and c.model_version = w.model_version
        offset 0
    )
    returning id, dimensions, model_version
), cells as materialized (
    select id, dimensions, model_version from made
    union all
    select id, dimensions, model_version from trueup.cell where plan_id = $1
)"
    )
}

/// How rows are put to their cells. Where cells were made by a statement before, a row may have come since: then it has no
/// cell, which its table refuses, and the run is repeated instead of going without the row.
pub(super) fn join(facts: &SourceFacts) -> &'static str {
    if facts.sharded { "left join" } else { "join" }
}

/// Makes the cells of a selection; see [`Selection`] for its parameters.
pub fn make(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = rows::classified(job, facts, selection, Fence::of(facts));
    PlannedSql::new(format!(
        r"{with}insert into trueup.cell (plan_id, dimensions, model_version, hash)
select distinct $1::bigint, array[{dimensions}]::text[], s.model_version, s.hash
from {from}
where $2::timestamptz is not null
on conflict (plan_id, dimensions, model_version) do nothing",
        with = rows.with,
        from = rows.from,
        dimensions = list(job.dimensions.len(), |n| format!("s.d{n}")),
    ))
}
