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
    let columns = format!(
        "r.bucket_start, r.cell, r.model_version{dims}, r.copies, r.class, r.predicted, r.actual{extras}, r.event_at, \
         r.label_at, r.digest"
    );
    let asked = "unnest($3::timestamptz[], $4::bigint[]) as t (bucket_start, cell)";
    let of_cell = "r.plan_id = $1 and r.bucket_start = t.bucket_start and r.cell = t.cell";
    // One cell after the other: summing 46 rows at a time takes half as long as grouping all of them by text.
    let sums = format!(
        "select g.* from {asked} cross join lateral ({}) as g",
        summed(
            job,
            &format!(
                "({}) as pairs",
                pairs(job, &format!("(select {columns} from trueup.residual as r where {of_cell}) as s"), Fence::Open)
            )
        )
    );
    // Histograms go over the pairs once more.
    let with = match job.histograms().names().next() {
        Some(_) => {
            let from = format!("(select {columns} from {asked} join trueup.residual as r on {of_cell}) as s");
            format!("with pairs as ({}),", pairs(job, &from, Fence::Open))
        }
        None => "with".to_owned(),
    };
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
    insert(job, &with, &sums, &gone)
}

/// Recomputes the buckets of a selection straight from the source; see [`Selection`] for its parameters. What a newer run
/// has written stays.
pub fn from_source(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = rows::classified(job, facts, selection, Fence::of(facts));
    let with = if rows.with.is_empty() { "with".to_owned() } else { format!("{},", rows.with.trim_end()) };
    let pairs = pairs(job, &rows.from, Fence::of(facts));
    insert(job, &format!("{with} pairs as ({pairs}),"), &summed(job, "pairs"), "")
}

/// Which cells are merged into coarser buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that are in the coarser buckets which start at `$2`.
    Buckets,
    /// Those with the hashes `$5` in the coarser buckets which start at `$2`: arrays of equal length.
    Cells,
}

/// Merges the finer buckets of grain `$3` into those of grain `$4`, of plan `$1`. Only what changed is written; cells that
/// are no longer there are removed.
pub fn roll_up(job: &PlannedJob, extent: Extent) -> PlannedSql {
    let kept = job.histograms();
    // Ranges of the primary key, whatever the statistics say of a table that was filled a moment ago.
    let (wanted, finer, coarser) = match extent {
        Extent::Buckets => (
            "wanted as (
    select p.start from unnest($2::timestamptz[]) as p (start)
)",
            "b.bucket_start >= w.start and b.bucket_start < w.start + $4 * interval '1 second'",
            "b.bucket_start = w.start",
        ),
        Extent::Cells => (
            "asked as (
    select t.start, c.id as cell_id
    from unnest($2::timestamptz[], $5::bigint[]) as t (start, hash)
    join trueup.cell as c on c.plan_id = $1 and c.hash = t.hash
), slices as materialized (
    select p.start, array(
        select generate_series(p.start, p.start + ($4 - $3) * interval '1 second', $3 * interval '1 second')
    ) as starts
    from (select distinct start from asked) as p
), wanted as materialized (
    select a.start, a.cell_id, s.starts from asked as a join slices as s on s.start = a.start
)",
            "b.bucket_start = any(w.starts) and b.cell_id = w.cell_id",
            "b.bucket_start = w.start and b.cell_id = w.cell_id",
        ),
    };
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
        r"with {wanted}, parts as (
    select w.start as parent, b.*
    from wanted as w
    cross join lateral (select * from trueup.bucket as b where b.plan_id = $1 and b.grain = $3 and {finer} offset 0) as b
), merged as materialized (
    select b.parent as bucket_start, b.cell_id{counts}{sums}, sum(b.digest) as digest, max(b.as_of) as as_of
    from parts as b
    group by b.parent, b.cell_id
), gone as (
    delete from trueup.bucket
    where ctid = any(array(
        select b.ctid
        from wanted as w
        cross join lateral (
            select ctid, bucket_start, cell_id from trueup.bucket as b
            where b.plan_id = $1 and b.grain = $4 and {coarser}
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

/// What each pair counts for: its error and the square of it, and the bins it falls into.
fn pairs(job: &PlannedJob, from: &str, fence: Fence) -> String {
    let kept = job.histograms();
    format!(
        r"
    select q.*, case when abs(q.e) < 1e-70 then 0 else q.e * q.e end as z2{bins}
    from (
        select s.bucket_start, s.cell, s.model_version{dims}{extras}, s.copies, s.class, s.digest,
               case when s.class = 0 then s.predicted - s.actual end as e,
               case when s.class = 0 then s.predicted end as p, case when s.class = 0 then s.actual end as a{latency}
        from {from}
    ) as q{fence}
",
        bins = if kept.errors { format!(", {} as error_bin", histogram::bin_sql("abs(q.e)")) } else { String::new() },
        dims = appended(job.dimensions.len(), |n| format!("s.d{n}")),
        extras = appended(job.extras.len(), |n| format!("case when s.class = 0 then s.x{n} end as x{n}")),
        latency = if kept.latency {
            let seconds = "extract(epoch from s.label_at - s.event_at)::float8";
            format!(
                ", case when s.class = 0 and isfinite(s.label_at) then {} end as latency_bin",
                histogram::bin_sql(seconds)
            )
        } else {
            String::new()
        },
        fence = fence.sql(),
    )
}

/// Pairs summed by bucket and cell. Those that hold nothing any more are left out.
fn summed(job: &PlannedJob, pairs: &str) -> String {
    format!(
        r"
    select bucket_start, model_version, array[{dim_list}]::text[] as dimensions, min(cell) as hash,
           sum(copies) as predictions, count(e) as labeled,
           coalesce(sum(copies) filter (where class > 1), 0) as excluded,
           coalesce(sum(copies) filter (where class = 5), 0) as duplicates,
           coalesce(sum(copies) filter (where class = 6), 0) as ambiguous,
           sum(digest) as digest{sums}
    from {pairs}
    group by bucket_start, model_version{dims}
    having sum(copies) > 0
",
        dim_list = list(job.dimensions.len(), |n| format!("d{n}")),
        sums = state::of_pairs(job),
        dims = appended(job.dimensions.len(), |n| format!("d{n}")),
    )
}

/// Writes sums by bucket and cell. Cells are stored once; buckets only refer to them.
fn insert(job: &PlannedJob, with: &str, sums: &str, gone: &str) -> PlannedSql {
    let kept = job.histograms();
    PlannedSql::new(format!(
        r"{with} sums as materialized ({sums}), wanted as (
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
