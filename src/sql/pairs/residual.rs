//! Statements of the first stage: arrivals into residuals.

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::pairs::cell;
use crate::sql::pairs::source::{self, Fence, Selection};
use crate::sql::{PlannedSql, continued, list};

/// Inserts or updates the residuals of a selection; see [`Selection`] for its parameters, which the generation follows.
///
/// Unchanged rows are not written, and an older run never overwrites a newer one. Returns the cells of changed rows:
/// `bucket_start, cell_id, prior_buckets, prior_cells`.
pub fn upsert(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = source::classified(job, facts, selection, Fence::None);
    PlannedSql::new(format!(
        r"{with} found as{once} (
    select s.*, array[{dimensions}]::text[] as dimensions from {from}
), {cells}
insert into trueup.residual as r
    (plan_id, key, model_version, bucket_start, cell_id, event_at, predicted, actual, extras, class, copies, label_at, digest,
     as_of, generation)
select $1, s.key, s.model_version, s.bucket_start, c.id, s.event_at, s.predicted, s.actual, {extras},
       s.class, s.copies, s.label_at, s.digest, $2, {generation}
from found as s
join cells as c on c.dimensions = s.dimensions and c.model_version = s.model_version
order by s.bucket_start, c.id
on conflict (plan_id, key, model_version) do update
set bucket_start = excluded.bucket_start,
    prior_buckets = case when (r.bucket_start, r.cell_id) <> (excluded.bucket_start, excluded.cell_id)
                         then array_append(r.prior_buckets, r.bucket_start) else r.prior_buckets end,
    prior_cells = case when (r.bucket_start, r.cell_id) <> (excluded.bucket_start, excluded.cell_id)
                       then array_append(r.prior_cells, r.cell_id) else r.prior_cells end,
    cell_id = excluded.cell_id,
    event_at = excluded.event_at, predicted = excluded.predicted, actual = excluded.actual,
    extras = excluded.extras, class = excluded.class, copies = excluded.copies, label_at = excluded.label_at, digest = excluded.digest,
    as_of = excluded.as_of, generation = excluded.generation
where r.as_of <= excluded.as_of
  and (r.digest, r.bucket_start, r.event_at, r.cell_id, r.copies, r.label_at)
      is distinct from
      (excluded.digest, excluded.bucket_start, excluded.event_at, excluded.cell_id, excluded.copies, excluded.label_at)
returning r.bucket_start, r.cell_id, r.prior_buckets, r.prior_cells",
        with = continued(&rows.with),
        once = if facts.sharded { "" } else { " materialized" },
        cells = cell::of("found"),
        from = rows.from,
        generation = match selection {
            Selection::Arrivals => "$4",
            Selection::Range | Selection::Keys => "$5",
            Selection::Buckets => "$6",
        },
        dimensions = list(job.dimensions.len(), |n| format!("s.d{n}")),
        extras = match job.extra_values() {
            0 => "null".to_owned(),
            n => format!("array[{}]", list(n, |n| format!("s.x{n}"))),
        },
    ))
}

/// True if arriving labels are written into their residuals by [`relabel`], and only other arrivals are joined. Extra
/// values need columns of the prediction, which a residual does not contain.
pub fn relabels(job: &PlannedJob, facts: &SourceFacts) -> bool {
    facts.relabeled_by.is_some() && job.extra_values() == 0
}

/// Finds contradictions in the source between `$3` and `$4`, as of `$2`: the class, the number of predictions, and a
/// few of their keys. `$1` is the plan, as in every statement.
pub fn contradictions(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let rows = source::classified(job, facts, Selection::Range, Fence::of(facts));
    PlannedSql::new(format!(
        r"{with}select s.class::smallint as class, sum(s.copies)::bigint as predictions, (array_agg(s.key order by s.key))[1:3] as examples
from {from}
where s.class in (5, 6) and $1::bigint is not null
group by s.class
order by s.class",
        with = rows.with,
        from = rows.from,
    ))
}

/// Writes labels that arrived in `($3, $2]` into the residuals that have their key; `$4` is the generation.
///
/// Returns the columns of [`upsert`], and in `raw` the keys of labels without a residual, at most `$5` of them.
pub fn relabel(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let rows = source::relabeled(job, facts);
    PlannedSql::new(format!(
        r"with {with}, changed as (
    update trueup.residual as r
    set actual = s.actual, class = s.class, label_at = s.label_at, digest = s.digest, as_of = $2, generation = $4
    from {from}
    where r.ctid = s.place and r.as_of <= $2 and (r.digest, r.label_at) is distinct from (s.digest, s.label_at)
    returning r.bucket_start, r.cell_id, r.prior_buckets, r.prior_cells
)
select bucket_start, cell_id, prior_buckets, prior_cells, null as raw from changed
union all
select null, null, null, null, raw from (select raw from placed where place is null limit $5) as unknown",
        with = rows.with,
        from = rows.from,
    ))
}

/// Cells of buckets that contain a residual of plan `$1` whose key arrived in `($3, $2]` and whose change is not
/// published yet, and cells that such a residual has left: `bucket_start, cell_id, rows`.
///
/// A run that was interrupted before it published read from the same time as the next one, so its keys are included.
pub fn changed(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    PlannedSql::new(format!(
        r"with {touched}, changed as materialized (
    select r.bucket_start, r.cell_id, r.prior_buckets, r.prior_cells
    from (select distinct {key} as key from touched as t) as t
    join trueup.residual as r on r.plan_id = $1 and r.key = t.key
    where r.generation > (select published_generation from trueup.plan where id = $1)
)
select bucket_start, cell_id, count(*) as rows
from (
    select bucket_start, cell_id from changed
    union all
    select u.bucket_start, u.cell_id
    from changed, unnest(prior_buckets, prior_cells) as u (bucket_start, cell_id)
    where prior_buckets is not null
) as u
group by bucket_start, cell_id
order by bucket_start, cell_id",
        touched = source::touched(job, "$3", "$2"),
        key = source::touched_key(job, facts),
    ))
}

/// Query for `out` of the residuals that the source no longer yields because their prediction changed in `($3, $2]`: it
/// has another version, or the filter drops it.
fn no_longer_there(job: &PlannedJob, facts: &SourceFacts, out: &str) -> (String, String) {
    let rows = source::still_there(job, facts);
    let still = format!(
        "with {with}, still as materialized (\n    select s.key, s.model_version from {from}\n)",
        with = rows.with,
        from = rows.from
    );
    // Until the table is analyzed, its statistics do not cover a new plan, and the planner expects one row. The order makes
    // the primary key win over indexes that look as good, `not in` is always hashed, and rows are always fetched one by one.
    let query = format!(
        r"select {out}
    from (select distinct {key} as key from touched as t) as changed
    cross join lateral (
        select {place}r.key, r.model_version from trueup.residual as r
        where r.plan_id = $1 and r.key = changed.key and r.class <> 7 and r.as_of <= $2
        order by r.plan_id, r.key, r.model_version offset 0
    ) as l
    where (l.key, l.model_version) not in (select key, model_version from still)",
        key = source::touched_key(job, facts),
        place = if facts.sharded { "" } else { "r.ctid as place, " },
    );
    (still, query)
}

const RETIRED: &str = "set class = 7, copies = 0, predicted = null, actual = null, extras = null, digest = 0, as_of = $2, generation = $4";

/// Retires residuals that the source no longer yields because their prediction changed in `($3, $2]`. `$4` is the generation.
pub fn retire(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let (still, places) = no_longer_there(job, facts, "l.place");
    PlannedSql::new(format!(
        "{still}
update trueup.residual as r
{RETIRED}
where r.ctid = any(array(
    {places}
))
returning r.bucket_start, r.cell_id, r.prior_buckets, r.prior_cells"
    ))
}

/// Keys and versions of the residuals that [`retire`] would mark, for a database that rejects `ctid` next to a sharded read.
pub fn retiring(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let (still, keys) = no_longer_there(job, facts, "l.key, l.model_version");
    PlannedSql::new(format!("{still}\n{keys}"))
}

/// Retires the residuals of plan `$1` with keys `$3` and versions `$5`, arrays of equal length. `$4` is the generation.
pub fn retire_keys() -> PlannedSql {
    PlannedSql::new(format!(
        "update trueup.residual as r
{RETIRED}
from unnest($3::text[], $5::text[]) as g (key, model_version)
where r.plan_id = $1 and r.key = g.key and r.model_version = g.model_version and r.class <> 7 and r.as_of <= $2
returning r.bucket_start, r.cell_id, r.prior_buckets, r.prior_cells"
    ))
}

/// Buckets before `$4` that contain predictions whose key arrived in `($3, $2]`: `bucket_start`.
///
/// A key counts in the bucket of its earliest copy, so a new copy may move a prediction out of a bucket whose residuals
/// are no longer kept. The buckets of all copies are therefore checked.
pub fn older_copies(job: &PlannedJob) -> PlannedSql {
    let at = format!("a.{}", job.predictions.at);
    let on = job.predictions.id.iter().enumerate().map(|(n, column)| format!("a.{column} = t.trueup_k{}", n + 1));
    PlannedSql::new(format!(
        "with {touched}\nselect distinct {bucket} as bucket_start\nfrom touched as t\njoin {relation} as a on {on}\n\
         where $1::bigint is not null and {placeable} and {at} < $4\norder by 1",
        touched = source::touched(job, "$3", "$2"),
        bucket = source::bucket_of(job, &at),
        relation = job.predictions.relation.sql(),
        on = on.collect::<Vec<_>>().join(" and "),
        placeable = source::placeable(&at),
    ))
}
