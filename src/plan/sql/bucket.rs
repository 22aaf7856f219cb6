//! Statements of the second stage: sums per bucket, cohort and version, always of whole buckets.

use crate::plan::PlannedJob;
use crate::plan::histogram;
use crate::plan::job::Histograms;
use crate::plan::rollup;
use crate::plan::source::SourceFacts;
use crate::plan::sql::rows::{self, Fence, Selection};
use crate::plan::sql::{PlannedSql, appended, list, state};

/// Recomputes the buckets `$3` from residuals. `$4` are buckets that a newer run has written: they stay.
pub fn from_residuals(job: &PlannedJob) -> PlannedSql {
    let dims = appended(job.dimensions.len(), |n| format!("dimensions[{n}] as d{n}"));
    let extras = appended(job.extras.len(), |n| format!("extras[{n}] as x{n}"));
    let from = format!(
        "(select bucket_start, model_version{dims}, copies, class, predicted, actual{extras}, event_at, label_at, digest \
         from trueup.residual where plan_id = $1 and bucket_start = any($3)) as s"
    );
    insert(job, "", &from, Fence::Open, "$4")
}

/// Recomputes the buckets of a selection straight from the source; see [`Selection`] for its parameters.
///
/// The parameter after them are buckets that a newer run has written: they stay.
pub fn from_source(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = rows::classified(job, facts, selection, Fence::Fenced);
    let newer = if selection == Selection::Buckets { "$6" } else { "$5" };
    insert(job, &rows.with, &rows.from, Fence::Fenced, newer)
}

/// Merges the finer buckets of grain `$3` into those of grain `$4` that start at `$2`, of plan `$1`.
pub fn roll_up(job: &PlannedJob) -> PlannedSql {
    let kept = job.histograms();
    let merged = |name: &str| {
        format!(
            r", {name} as (
    select bucket_start, series_id, array_agg(bin order by bin) as bins, array_agg(n order by bin) as counts
    from (
        select b.parent as bucket_start, b.series_id, u.bin, sum(u.n)::bigint as n
        from parts as b, unnest(b.{name}_bins, b.{name}_counts) as u (bin, n)
        group by 1, 2, 3
    ) as q
    group by bucket_start, series_id
)"
        )
    };
    PlannedSql::new(format!(
        r"with parts as (
    select p.start as parent, b.*
    from unnest($2::timestamptz[]) as p (start)
    -- One range of the primary key for each, whatever the statistics say of a table that was filled a moment ago.
    cross join lateral (
        select * from trueup.bucket as b
        where b.plan_id = $1 and b.grain = $3 and b.bucket_start >= p.start and b.bucket_start < p.start + $4 * interval '1 second'
        offset 0
    ) as b
){histograms}
insert into trueup.bucket
    (plan_id, grain, bucket_start, series_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of{columns})
select $1, $4, f.bucket_start, f.series_id, f.predictions, f.labeled, f.excluded, f.duplicates, f.ambiguous, {array}, f.digest,
       f.as_of{values}
from (
    select b.parent as bucket_start, b.series_id{counts}{sums}, sum(b.digest) as digest, max(b.as_of) as as_of
    from parts as b
    group by b.parent, b.series_id
) as f{joined}
order by f.bucket_start, f.series_id",
        columns = histogram_columns(kept),
        values = histogram_values(kept),
        array = state::array(job, "f"),
        counts = state::merged_counts("b"),
        sums = state::merged_from_array(job, "b"),
        histograms = kept.names().map(merged).collect::<String>(),
        joined = kept
            .names()
            .map(|name| {
                format!("\nleft join {name} on {name}.bucket_start = f.bucket_start and {name}.series_id = f.series_id")
            })
            .collect::<String>(),
    ))
}

/// Groups pairs at the finest grain first and spreads the few groups over the cohort sets, so that every pair is summed
/// once. Cohorts are stored once, as series; buckets only refer to them.
fn insert(job: &PlannedJob, with: &str, from: &str, fence: Fence, newer: &str) -> PlannedSql {
    let kept = job.histograms();
    let dims = appended(job.dimensions.len(), |n| format!("d{n}"));
    PlannedSql::new(format!(
        r"{with} pairs as (
    select q.*, case when abs(q.e) < 1e-70 then 0 else q.e * q.e end as z2{bins}
    from (
        select s.bucket_start, s.model_version{row_dims}{extras}, s.copies, s.class, s.digest,
               case when s.class = 0 then s.predicted - s.actual end as e,
               case when s.class = 0 then s.predicted end as p, case when s.class = 0 then s.actual end as a{latency}
        from {from}
    ) as q{fence}
), cells as materialized (
    select bucket_start, model_version, array[{dim_list}]::text[] as dims, sum(copies) as predictions, count(e) as labeled,
           coalesce(sum(copies) filter (where class > 1), 0) as excluded,
           coalesce(sum(copies) filter (where class = 5), 0) as duplicates,
           coalesce(sum(copies) filter (where class = 6), 0) as ambiguous,
           sum(digest) as digest{sums}
    from pairs
    group by bucket_start, model_version{dims}
    having sum(copies) > 0
), combinations as (
    select n.dims, n.model_version, c.cohort_set, c.cohort_values
    from (select distinct dims, model_version from cells) as n
    cross join lateral (values {sets}) as c (cohort_set, cohort_values)
), wanted as (
    select distinct cohort_set, cohort_values, model_version from combinations
), made as (
    insert into trueup.series (plan_id, cohort_set, cohort_values, model_version)
    select $1, w.cohort_set, w.cohort_values, w.model_version
    from wanted as w
    where not exists (
        select from trueup.series as s
        where s.plan_id = $1 and s.cohort_set = w.cohort_set and s.cohort_values = w.cohort_values and s.model_version = w.model_version
    )
    returning id, cohort_set, cohort_values, model_version
), places as materialized (
    select c.dims, c.model_version, s.id as series_id
    from combinations as c
    join (
        select id, cohort_set, cohort_values, model_version from made
        union all
        select id, cohort_set, cohort_values, model_version from trueup.series where plan_id = $1
    ) as s on s.cohort_set = c.cohort_set and s.cohort_values = c.cohort_values and s.model_version = c.model_version
){histograms}
insert into trueup.bucket
    (plan_id, grain, bucket_start, series_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of{columns})
select $1, {grain}, f.bucket_start, f.series_id, f.predictions, f.labeled, f.excluded, f.duplicates, f.ambiguous, {array}, f.digest,
       $2{values}
from (
    select f.bucket_start, p.series_id{counts}{merged}, sum(f.digest) as digest
    from cells as f
    join places as p on p.dims = f.dims and p.model_version = f.model_version
    where f.bucket_start <> all({newer})
    group by f.bucket_start, p.series_id
) as f{joined}
order by f.bucket_start, f.series_id",
        with = if with.is_empty() { "with".to_owned() } else { format!("{},", with.trim_end()) },
        bins = if kept.errors { format!(", {} as error_bin", histogram::bin_sql("abs(q.e)")) } else { String::new() },
        latency = if kept.latency {
            let seconds = "extract(epoch from s.label_at - s.event_at)::float8";
            format!(", case when s.class = 0 and s.label_at is not null then {} end as latency_bin", histogram::bin_sql(seconds))
        } else {
            String::new()
        },
        row_dims = appended(job.dimensions.len(), |n| format!("s.d{n}")),
        extras = appended(job.extras.len(), |n| format!("case when s.class = 0 then s.x{n} end as x{n}")),
        dim_list = list(job.dimensions.len(), |n| format!("d{n}")),
        sums = state::of_pairs(job),
        sets = sets(job),
        histograms = kept.names().map(|name| histogram_of_pairs(job, name)).collect::<String>(),
        columns = histogram_columns(kept),
        values = histogram_values(kept),
        grain = job.windows.bucket.num_seconds(),
        array = state::array(job, "f"),
        counts = state::merged_counts("f"),
        merged = state::merged(job, "f"),
        joined = kept
            .names()
            .map(|name| {
                format!(
                    "\nleft join {name}_histogram as {name} on {name}.bucket_start = f.bucket_start and {name}.series_id = f.series_id"
                )
            })
            .collect::<String>(),
        fence = fence.sql(),
    ))
}

/// Bins of pairs and how many pairs are in each, per bucket and series, as a common table expression.
fn histogram_of_pairs(job: &PlannedJob, name: &str) -> String {
    format!(
        r", {name}_histogram as (
    select bucket_start, series_id, array_agg(bin order by bin) as bins, array_agg(n order by bin) as counts
    from (
        select f.bucket_start, p.series_id, f.{name}_bin as bin, count(*) as n
        from pairs as f
        join places as p on p.dims = array[{dims}]::text[] and p.model_version = f.model_version
        where f.{name}_bin is not null
        group by 1, 2, 3
    ) as q
    group by bucket_start, series_id
)",
        dims = list(job.dimensions.len(), |n| format!("f.d{n}")),
    )
}

fn histogram_columns(kept: Histograms) -> String {
    kept.names().map(|name| format!(", {name}_bins, {name}_counts")).collect()
}

fn histogram_values(kept: Histograms) -> String {
    kept.names().map(|name| format!(", {name}.bins, {name}.counts")).collect()
}

/// The cohort sets as rows of `values`: 0 is everything, then each declaration with the values of its dimensions.
fn sets(job: &PlannedJob) -> String {
    let declared = job.cohort_sets.iter().enumerate().map(|(index, set)| {
        let values = set.dimensions.iter().map(|at| format!("n.dims[{}]", at + 1)).collect::<Vec<_>>().join(", ");
        format!("({}::smallint, array[{values}]::text[])", index + 1)
    });
    std::iter::once("(0::smallint, array[]::text[])".to_owned()).chain(declared).collect::<Vec<_>>().join(", ")
}

/// Grains of a job from the finest, in pairs of a finer and the next coarser.
pub fn roll_up_steps(job: &PlannedJob) -> Vec<(i32, i32)> {
    let grains = rollup::grains(&job.windows);
    grains.windows(2).map(|pair| (pair[0], pair[1])).collect()
}
