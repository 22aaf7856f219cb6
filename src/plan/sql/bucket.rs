//! Statements of the second stage: sums per bucket, cohort and version, always of whole buckets.

use crate::plan::PlannedJob;
use crate::plan::histogram;
use crate::plan::job::Histograms;
use crate::plan::source::SourceFacts;
use crate::plan::sql::rows::{self, Fence, Selection};
use crate::plan::sql::{PlannedSql, appended, list, state};

/// Recomputes cells of buckets from residuals: starts `$3` and hashes of cells `$4`, arrays of equal length. What a newer
/// run has written stays.
pub fn from_residuals(job: &PlannedJob) -> PlannedSql {
    let dims = appended(job.dimensions.len(), |n| format!("r.dimensions[{n}] as d{n}"));
    let extras = appended(job.extras.len(), |n| format!("r.extras[{n}] as x{n}"));
    let from = format!(
        "(select r.bucket_start, r.cell, r.model_version{dims}, r.copies, r.class, r.predicted, r.actual{extras}, r.event_at, \
         r.label_at, r.digest from unnest($3::timestamptz[], $4::bigint[]) as t (bucket_start, cell) \
         join trueup.residual as r on r.plan_id = $1 and r.bucket_start = t.bucket_start and r.cell = t.cell) as s"
    );
    // Cells that were asked for and have no residual any more. There are few, and they are found without a look at buckets.
    let gone = r", vanished as (
    select t.bucket_start, c.id as cell_id
    from unnest($3::timestamptz[], $4::bigint[]) as t (bucket_start, hash)
    join trueup.cell as c on c.plan_id = $1 and c.hash = t.hash
    where not exists (
        select from sums as s where s.bucket_start = t.bucket_start and s.dimensions = c.dimensions and s.model_version = c.model_version
    )
), gone as (
    delete from trueup.bucket
    where ctid = any(array(
        select b.ctid
        from vanished as v
        cross join lateral (
            select ctid from trueup.bucket as b
            where b.plan_id = $1 and b.grain = {grain} and b.bucket_start = v.bucket_start and b.cell_id = v.cell_id and b.as_of <= $2
            offset 0
        ) as b
    ))
)"
    .replace("{grain}", &job.windows.bucket.num_seconds().to_string());
    insert(job, "", &from, Fence::Open, &gone)
}

/// Recomputes the buckets of a selection straight from the source; see [`Selection`] for its parameters. What a newer run
/// has written stays.
pub fn from_source(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = rows::classified(job, facts, selection, Fence::of(facts));
    insert(job, &rows.with, &rows.from, Fence::of(facts), "")
}

/// Merges the finer buckets of grain `$3` into those of grain `$4` that start at `$2`, of plan `$1`. Only what changed is
/// written; cells that are no longer there are removed.
pub fn roll_up(job: &PlannedJob) -> PlannedSql {
    let kept = job.histograms();
    let merged = |name: &str| {
        format!(
            r", {name} as (
    select bucket_start, cell_id, array_agg(bin order by bin) as bins, array_agg(n order by bin) as counts
    from (
        select b.parent as bucket_start, b.cell_id, u.bin, sum(u.n)::bigint as n
        from parts as b, unnest(b.{name}_bins, b.{name}_counts) as u (bin, n)
        group by 1, 2, 3
    ) as q
    group by bucket_start, cell_id
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
), merged as materialized (
    select b.parent as bucket_start, b.cell_id{counts}{sums}, sum(b.digest) as digest, max(b.as_of) as as_of
    from parts as b
    group by b.parent, b.cell_id
), gone as (
    delete from trueup.bucket
    where ctid = any(array(
        select b.ctid
        from unnest($2::timestamptz[]) as p (start)
        cross join lateral (
            select ctid, bucket_start, cell_id from trueup.bucket as b
            where b.plan_id = $1 and b.grain = $4 and b.bucket_start = p.start
            offset 0
        ) as b
        where (b.bucket_start, b.cell_id) not in (select bucket_start, cell_id from merged)
    ))
){histograms}
insert into trueup.bucket as old
    (plan_id, grain, bucket_start, cell_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of{columns})
select $1, $4, f.bucket_start, f.cell_id, f.predictions, f.labeled, f.excluded, f.duplicates, f.ambiguous, {array}, f.digest,
       f.as_of{values}
from merged as f{joined}
on conflict (plan_id, grain, bucket_start, cell_id) do update
set {replaced}
where (old.digest, old.predictions, old.labeled) is distinct from (excluded.digest, excluded.predictions, excluded.labeled)
   or old.as_of <> excluded.as_of",
        columns = histogram_columns(kept),
        values = histogram_values(kept),
        replaced = replaced(kept),
        array = state::array(job, "f"),
        counts = state::merged_counts("b"),
        sums = state::merged_from_array(job, "b"),
        histograms = kept.names().map(merged).collect::<String>(),
        joined = kept
            .names()
            .map(|name| format!(
                "\nleft join {name} on {name}.bucket_start = f.bucket_start and {name}.cell_id = f.cell_id"
            ))
            .collect::<String>(),
    ))
}

/// Groups pairs by bucket and cell. Cells are stored once; buckets only refer to them.
fn insert(job: &PlannedJob, with: &str, from: &str, fence: Fence, gone: &str) -> PlannedSql {
    let kept = job.histograms();
    let dims = appended(job.dimensions.len(), |n| format!("d{n}"));
    PlannedSql::new(format!(
        r"{with} pairs as (
    select q.*, case when abs(q.e) < 1e-70 then 0 else q.e * q.e end as z2{bins}
    from (
        select s.bucket_start, s.cell, s.model_version{row_dims}{extras}, s.copies, s.class, s.digest,
               case when s.class = 0 then s.predicted - s.actual end as e,
               case when s.class = 0 then s.predicted end as p, case when s.class = 0 then s.actual end as a{latency}
        from {from}
    ) as q{fence}
), sums as materialized (
    select bucket_start, model_version, array[{dim_list}]::text[] as dimensions, min(cell) as hash,
           sum(copies) as predictions, count(e) as labeled,
           coalesce(sum(copies) filter (where class > 1), 0) as excluded,
           coalesce(sum(copies) filter (where class = 5), 0) as duplicates,
           coalesce(sum(copies) filter (where class = 6), 0) as ambiguous,
           sum(digest) as digest{sums}
    from pairs
    group by bucket_start, model_version{dims}
    having sum(copies) > 0
), wanted as (
    select distinct dimensions, model_version, hash from sums
), made as (
    insert into trueup.cell (plan_id, dimensions, model_version, hash)
    select $1, w.dimensions, w.model_version, w.hash
    from wanted as w
    where not exists (
        select from trueup.cell as c where c.plan_id = $1 and c.dimensions = w.dimensions and c.model_version = w.model_version
    )
    returning id, dimensions, model_version
), cells as materialized (
    select id, dimensions, model_version from made
    union all
    select id, dimensions, model_version from trueup.cell where plan_id = $1
){gone}{histograms}
insert into trueup.bucket as old
    (plan_id, grain, bucket_start, cell_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of{columns})
select $1, {grain}, f.bucket_start, c.id, f.predictions, f.labeled, f.excluded, f.duplicates, f.ambiguous, {array}, f.digest,
       $2{values}
from sums as f
join cells as c on c.dimensions = f.dimensions and c.model_version = f.model_version{joined}
order by f.bucket_start, c.id
on conflict (plan_id, grain, bucket_start, cell_id) do update
set {replaced}
where old.as_of <= excluded.as_of",
        with = if with.is_empty() { "with".to_owned() } else { format!("{},", with.trim_end()) },
        bins = if kept.errors { format!(", {} as error_bin", histogram::bin_sql("abs(q.e)")) } else { String::new() },
        latency = if kept.latency {
            let seconds = "extract(epoch from s.label_at - s.event_at)::float8";
            format!(
                ", case when s.class = 0 and isfinite(s.label_at) then {} end as latency_bin",
                histogram::bin_sql(seconds)
            )
        } else {
            String::new()
        },
        row_dims = appended(job.dimensions.len(), |n| format!("s.d{n}")),
        extras = appended(job.extras.len(), |n| format!("case when s.class = 0 then s.x{n} end as x{n}")),
        dim_list = list(job.dimensions.len(), |n| format!("d{n}")),
        sums = state::of_pairs(job),
        histograms = kept.names().map(|name| histogram_of_pairs(job, name)).collect::<String>(),
        columns = histogram_columns(kept),
        values = histogram_values(kept),
        grain = job.windows.bucket.num_seconds(),
        array = state::array(job, "f"),
        joined = kept
            .names()
            .map(|name| {
                format!("\nleft join {name}_histogram as {name} on {name}.bucket_start = f.bucket_start and {name}.cell_id = c.id")
            })
            .collect::<String>(),
        fence = fence.sql(),
        replaced = replaced(kept),
    ))
}

/// All values of a bucket, from the row that takes its place.
fn replaced(kept: Histograms) -> String {
    let values = state::COUNTS.iter().copied().chain(["sums", "digest", "as_of"]).map(str::to_owned);
    let histograms = kept.names().flat_map(|name| [format!("{name}_bins"), format!("{name}_counts")]);
    values.chain(histograms).map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ")
}

/// Bins of pairs and how many pairs are in each, per bucket and cell, as a common table expression.
fn histogram_of_pairs(job: &PlannedJob, name: &str) -> String {
    format!(
        r", {name}_histogram as (
    select bucket_start, cell_id, array_agg(bin order by bin) as bins, array_agg(n order by bin) as counts
    from (
        select f.bucket_start, c.id as cell_id, f.{name}_bin as bin, count(*) as n
        from pairs as f
        join cells as c on c.dimensions = array[{dims}]::text[] and c.model_version = f.model_version
        where f.{name}_bin is not null
        group by 1, 2, 3
    ) as q
    group by bucket_start, cell_id
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
