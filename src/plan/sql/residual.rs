//! Statements of the first stage: arrivals into residuals.

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::rows::{self, Fence, Selection};
use crate::plan::sql::{PlannedSql, list};

/// Inserts or updates the residuals of a selection; see [`Selection`] for its parameters, the one after them is the
/// generation.
///
/// Unchanged rows are not touched, and an older run never overwrites a newer one.
pub fn upsert(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = rows::classified(job, facts, selection, Fence::Open);
    PlannedSql::new(format!(
        r"{with}insert into trueup.residual as r
    (plan_id, key, model_version, bucket_start, cell, event_at, dimensions, predicted, actual, extras, class, copies, label_at, digest,
     as_of, generation)
select $1, s.key, s.model_version, s.bucket_start, s.cell, s.event_at, array[{dimensions}]::text[], s.predicted, s.actual, {extras},
       s.class, s.copies, s.label_at, s.digest, $2, {generation}
from {from}
on conflict (plan_id, key, model_version) do update
set bucket_start = excluded.bucket_start,
    prior_buckets = case when (r.bucket_start, r.cell) <> (excluded.bucket_start, excluded.cell)
                         then array_append(r.prior_buckets, r.bucket_start) else r.prior_buckets end,
    prior_cells = case when (r.bucket_start, r.cell) <> (excluded.bucket_start, excluded.cell)
                       then array_append(r.prior_cells, r.cell) else r.prior_cells end,
    cell = excluded.cell,
    event_at = excluded.event_at, dimensions = excluded.dimensions, predicted = excluded.predicted, actual = excluded.actual,
    extras = excluded.extras, class = excluded.class, copies = excluded.copies, label_at = excluded.label_at, digest = excluded.digest,
    as_of = excluded.as_of, generation = excluded.generation
where r.as_of <= excluded.as_of
  and (r.digest, r.bucket_start, r.event_at, r.dimensions, r.copies, r.label_at)
      is distinct from
      (excluded.digest, excluded.bucket_start, excluded.event_at, excluded.dimensions, excluded.copies, excluded.label_at)",
        with = rows.with,
        from = rows.from,
        generation = if selection == Selection::Buckets { "$6" } else { "$5" },
        dimensions = list(job.dimensions.len(), |n| format!("s.d{n}")),
        extras = match job.extras.len() {
            0 => "null".to_owned(),
            n => format!("array[{}]", list(n, |n| format!("s.x{n}"))),
        },
    ))
}

/// Marks residuals as gone whose prediction changed in `($3, $2]` so that the source no longer yields them: another
/// version, an event time before `$4`, a row that the filter drops. `$5` is the generation.
pub fn retire(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let rows = rows::still_there(job, facts);
    PlannedSql::new(format!(
        r"with {with}
update trueup.residual as r
set class = 7, copies = 0, predicted = null, actual = null, extras = null, digest = 0, as_of = $2, generation = $5
from (select distinct {key} as key from touched as t) as changed
where r.plan_id = $1 and r.key = changed.key and r.class <> 7 and r.as_of <= $2
  and not exists (select from {from} where s.key = r.key and s.model_version = r.model_version)",
        with = rows.with,
        from = rows.from,
        key = rows::touched_key(job, facts),
    ))
}

/// Buckets before `$3` that hold arrivals of `($2, $1]`, with how many predictions each: `bucket_start, rows`.
///
/// Their residuals are no longer kept, so they are recomputed from the source.
pub fn older_buckets(job: &PlannedJob) -> PlannedSql {
    let bucket = rows::bucket_of(job, &format!("a.{}", job.predictions.at));
    let on = job.predictions.id.iter().enumerate().map(|(n, column)| format!("a.{column} = t.trueup_k{}", n + 1));
    let mut conditions =
        vec![rows::placeable(&format!("a.{}", job.predictions.at)), format!("a.{} < $3", job.predictions.at)];
    conditions.extend(job.predictions.arrived_at.as_ref().map(|column| format!("a.{column} <= $1")));
    conditions.extend(job.predictions.filter.as_ref().map(ToString::to_string));
    PlannedSql::new(format!(
        "with {touched}\nselect {bucket} as bucket_start, count(*) as rows\nfrom touched as t\njoin {relation} as a on {on}\n\
         where {conditions}\ngroup by 1\norder by 1",
        touched = rows::touched(job, "$2", "$1"),
        relation = job.predictions.relation.sql(),
        on = on.collect::<Vec<_>>().join(" and "),
        conditions = conditions.join(" and "),
    ))
}
