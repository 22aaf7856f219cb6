//! Cells of a plan: every combination of dimensions and version in the rows, created by the statement that writes the rows.

/// Common table expressions ending in `cells`: all cells of plan `$1` as `id, dimensions, model_version`, including
/// those of `rows`. The rows have `dimensions, model_version, hash`.
pub(crate) fn of(rows: &str) -> String {
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
    -- Without repeats: a sharded database runs these one after the other, and finds in the table what it has just made.
    select id, dimensions, model_version from made
    union
    select id, dimensions, model_version from trueup.cell where plan_id = $1
)"
    )
}
