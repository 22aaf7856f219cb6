//! Statements of the second stage: sums per bucket, cohort and version, always of whole buckets.

use crate::metric::state::kind::{HistogramKind, Histograms};
use crate::plan::source::SourceFacts;
use crate::plan::{PlannedJob, extra};
use crate::sql::pairs::cell;
use crate::sql::pairs::source::{self, Fence, Selection};
use crate::sql::{PlannedSql, appended, continued, list, state};

/// Recomputes cells of buckets from residuals: starts `$3` and cells `$4`, arrays of equal length. Rows of a newer run
/// are not overwritten.
pub fn from_residuals(job: &PlannedJob) -> PlannedSql {
    let extras = appended(job.extra_values(), |n| format!("r.extras[{n}] as x{n}"));
    let columns = format!(
        "r.bucket_start, r.cell_id, r.copies, r.class, r.predicted, r.actual{extras}, r.event_at, r.label_at, r.digest"
    );
    let asked = "unnest($3::timestamptz[], $4::bigint[]) as t (bucket_start, cell_id)";
    let of_cell = "r.plan_id = $1 and r.bucket_start = t.bucket_start and r.cell_id = t.cell_id";
    let of_one = format!("(select {columns} from trueup.residual as r where {of_cell}) as s");
    // One cell at a time: summing 46 rows at a time takes half as long as grouping all of them.
    let sums = format!(
        "select t.bucket_start, t.cell_id, g.* from {asked}\n    cross join lateral (select {sums} from ({pairs}) as pairs having sum(copies) > 0) as g",
        sums = aggregates(job),
        pairs = pairs(job, "s.bucket_start, s.cell_id", &of_one, Fence::Fenced),
    );
    // Histograms read the pairs a second time.
    let pairs = if job.histograms().names().next().is_some() {
        let of_all = format!("(select {columns} from {asked} join trueup.residual as r on {of_cell}) as s");
        format!("pairs as ({}), ", pairs(job, "s.bucket_start, s.cell_id", &of_all, Fence::Fenced))
    } else {
        String::new()
    };
    // Requested cells that no longer have a residual.
    let gone = r", gone as (
    delete from trueup.bucket
    where ctid = any(array(
        select b.ctid
        from (
            select t.* from {asked}
            where not exists (select from sums as s where s.bucket_start = t.bucket_start and s.cell_id = t.cell_id)
        ) as t
        cross join lateral (
            select ctid from trueup.bucket as b
            where b.plan_id = $1 and b.grain = {grain} and b.bucket_start = t.bucket_start and b.cell_id = t.cell_id and b.as_of <= $2
            offset 0
        ) as b
    ))
)"
    .replace("{asked}", asked)
    .replace("{grain}", &job.windows.grain().to_string());
    let histograms: String = job.histograms().names().map(histogram_of_pairs).collect();
    insert(job, &format!("with {pairs}sums as materialized ({sums}){histograms}"), &gone)
}

/// Recomputes the buckets of a selection straight from the source; see [`Selection`] for its parameters. Rows of a
/// newer run are not overwritten.
pub fn from_source(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = source::classified(job, facts, selection, Fence::of(facts));
    let dims = appended(job.dimensions.len(), |n| format!("s.d{n}"));
    let dim_list = list(job.dimensions.len(), |n| format!("d{n}"));
    let grouped = appended(job.dimensions.len(), |n| format!("d{n}"));
    let form =
        if facts.sharded { histograms_of_gathered_bins(job) } else { histograms_by_name(job, &dim_list, &grouped) };
    let pairs = pairs(job, &format!("s.bucket_start, s.hash, s.model_version{dims}"), &rows.from, Fence::of(facts));
    // A sharded database moves all rows of a `with` of an insert to one place; a subquery goes to the workers.
    let (by_name, source) = match facts.sharded {
        true => (String::new(), format!("({pairs}) as by_name")),
        false => (format!(" by_name as ({pairs}),"), "by_name".to_owned()),
    };
    let with = format!(
        r"{with}{by_name} named as materialized (
    select bucket_start, model_version, array[{dim_list}]::text[] as dimensions, min(hash) as hash, {sums}{gathered}
    from {source}
    group by bucket_start, model_version{grouped}
    having sum(copies) > 0
), {cells}, sums as materialized (
    select m.*
    from (
        select n.*, c.id as cell_id
        from named as n
        {join} join cells as c on c.dimensions = n.dimensions and c.model_version = n.model_version
        offset 0
    ) as m
    where m.bucket_start is not null
){histograms}",
        join = joined(facts.sharded),
        with = continued(&rows.with),
        sums = aggregates(job),
        gathered = form.gathered,
        histograms = form.tables,
        cells = cell::of("named"),
    );
    insert(job, &with, "")
}

/// How rows find their cells, which are all there: a full join is always hashed or merged, while an inner
/// one held every row against every cell where they expected few. A sharded database gathers both first.
fn joined(sharded: bool) -> &'static str {
    if sharded { "" } else { "full" }
}

/// How histograms are built alongside the sums.
struct HistogramForm {
    /// Additions to the select list of the sums.
    gathered: String,
    /// Common table expressions `error_histogram` and `latency_histogram`, each with a leading comma.
    tables: String,
}

/// Counts bins in a separate pass that also groups by name: otherwise each of ten million rows would be joined to its cell.
fn histograms_by_name(job: &PlannedJob, dim_list: &str, grouped: &str) -> HistogramForm {
    let table = |name: &str| {
        format!(
            r", {name}_histogram as (
    select m.bucket_start, m.cell_id, m.bins, m.counts
    from (
    select q.bucket_start, c.id as cell_id, q.bins, q.counts
    from (
        select bucket_start, model_version, array[{dim_list}]::text[] as dimensions, array_agg(bin) as bins,
               array_agg(n) as counts
        from (
            select bucket_start, model_version{grouped}, {name}_bin as bin, count(*) as n
            from by_name
            where {name}_bin is not null
            group by bucket_start, model_version{grouped}, {name}_bin
        ) as n
        group by bucket_start, model_version{grouped}
    ) as q
    {join} join cells as c on c.dimensions = q.dimensions and c.model_version = q.model_version
    offset 0
    ) as m
    where m.bucket_start is not null
)",
            join = joined(false),
        )
    };
    HistogramForm { gathered: String::new(), tables: job.histograms().names().map(table).collect() }
}

/// Gathers bins on the workers together with the sums and counts them afterwards: a second pass would repeat the whole join.
fn histograms_of_gathered_bins(job: &PlannedJob) -> HistogramForm {
    let gathered = |name: &str| format!(", array_agg({name}_bin) filter (where {name}_bin is not null) as {name}_all");
    let table = |name: &str| {
        format!(
            r", {name}_histogram as (
    select bucket_start, cell_id, array_agg(bin) as bins, array_agg(n) as counts
    from (
        select bucket_start, cell_id, bin, count(*) as n
        from (select s.bucket_start, s.cell_id, unnest(s.{name}_all) as bin from sums as s) as u
        group by 1, 2, 3
    ) as q
    group by bucket_start, cell_id
)"
        )
    };
    let names = || job.histograms().names();
    HistogramForm { gathered: names().map(gathered).collect(), tables: names().map(table).collect() }
}

/// Cells to merge into coarser buckets that start at `$2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All cells.
    All,
    /// Cells with the ids `$5`, an array as long as `$2`.
    Cells,
}

/// Merges the finer buckets of grain `$3` into those of grain `$4`, of plan `$1`. Only changes are written; cells that
/// no longer exist are removed.
pub fn roll_up(job: &PlannedJob, extent: Extent) -> PlannedSql {
    let kept = job.histograms();
    // Ranges of the primary key, regardless of the statistics of a table that was just filled. A cell is looked up in
    // each of its finer buckets: with a thousand cohorts, a label affects few.
    let (wanted, slices, finer, coarser, is_there) = match extent {
        Extent::All => (
            "wanted as (select p.start from unnest($2::timestamptz[]) as p (start))",
            "",
            "b.bucket_start >= w.start and b.bucket_start < w.start + $4 * interval '1 second'",
            "b.bucket_start = w.start",
            "m.bucket_start = b.bucket_start and m.cell_id = b.cell_id",
        ),
        Extent::Cells => (
            "slices as materialized (
    select p.start, array(
        select generate_series(p.start, p.start + ($4 - $3) * interval '1 second', $3 * interval '1 second')
    ) as starts
    from (select distinct start from unnest($2::timestamptz[]) as p (start)) as p
), wanted as materialized (
    select t.start, t.cell_id, s.starts
    from unnest($2::timestamptz[], $5::bigint[]) as t (start, cell_id)
    join slices as s on s.start = t.start
)",
            // One by one: `any` of them may become a filter on all buckets of the cell.
            "cross join lateral unnest(w.starts) as s (start)\n    ",
            "b.bucket_start = s.start and b.cell_id = w.cell_id",
            "b.bucket_start = w.start and b.cell_id = w.cell_id",
            "m.bucket_start = w.start and m.cell_id = w.cell_id",
        ),
    };
    let merged = |name: &str| {
        format!(
            r", {name} as (
    select bucket_start, cell_id, array_agg(bin) as bins, array_agg(n) as counts
    from (
        select bucket_start, cell_id, bin, sum(n)::bigint as n
        -- Side by side in the list: half the time of a function in `from`, which writes its rows down.
        from (select b.parent as bucket_start, b.cell_id, unnest(b.{name}_bins) as bin, unnest(b.{name}_counts) as n from parts as b) as u
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
    {slices}cross join lateral (select * from trueup.bucket as b where b.plan_id = $1 and b.grain = $3 and {finer} offset 0) as b
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
        where not exists (select from merged as m where {is_there})
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

/// Contribution of each pair: its error, squared error and histogram bins, next to columns of the row.
fn pairs(job: &PlannedJob, columns: &str, from: &str, fence: Fence) -> String {
    let kept = job.histograms();
    format!(
        r"
    select q.*, case when abs(q.e) < 1e-70 then 0 else q.e * q.e end as z2{bins}
    from (
        select {columns}{extras}, s.copies, s.class, s.digest,
               case when s.class = 0 then s.predicted - s.actual end as e,
               case when s.class = 0 then s.predicted end as p, case when s.class = 0 then s.actual end as a{scores}{latency}
        from {from}
    ) as q{fence}
",
        bins = kept
            .kinds()
            .map(|kind| format!(", {} as {}_bin", kind.bin_sql(&job.parameters.task), kind.name()))
            .collect::<String>(),
        scores = job.parameters.task.binary().map_or(String::new(), |binary| {
            let usable = binary.usable_sql("s.predicted");
            let counts = extra::counts_sql("s");
            format!(
                ", case when {counts} and {usable} then s.predicted end as v, \
                 case when {counts} and coalesce(not ({usable}), true) then 1 end as u"
            )
        }),
        extras = appended(job.extra_values(), |n| match n > job.extras.len() {
            // Failures are counted for every row, averaged or not.
            true => format!("s.x{n}"),
            false => format!("case when {} then s.x{n} end as x{n}", job.extras[n - 1].is_of_sql("s")),
        }),
        latency = if kept.has(HistogramKind::Latency) {
            ", case when s.class = 0 and isfinite(s.label_at) \
             then extract(epoch from s.label_at - s.event_at)::float8 end as latency"
        } else {
            ""
        },
        fence = fence.sql(),
    )
}

/// Sums over pairs.
fn aggregates(job: &PlannedJob) -> String {
    format!(
        "sum(copies) as predictions, count(e) as labeled,
           coalesce(sum(copies) filter (where class > 1), 0) as excluded,
           coalesce(sum(copies) filter (where class = 5), 0) as duplicates,
           coalesce(sum(copies) filter (where class = 6), 0) as ambiguous,
           sum(digest) as digest{}",
        state::of_pairs(job)
    )
}

/// Writes `sums` by bucket and cell, with `error_histogram` and `latency_histogram` where the job keeps them.
fn insert(job: &PlannedJob, with: &str, gone: &str) -> PlannedSql {
    let kept = job.histograms();
    PlannedSql::new(format!(
        r"{with}{gone}
insert into trueup.bucket as old
    (plan_id, grain, bucket_start, cell_id, predictions, labeled, excluded, duplicates, ambiguous, sums, digest, as_of{columns})
select $1, {grain}, f.bucket_start, f.cell_id, f.predictions, f.labeled, f.excluded, f.duplicates, f.ambiguous, {array}, f.digest,
       $2{values}
from sums as f{joined}
order by f.bucket_start, f.cell_id
on conflict (plan_id, grain, bucket_start, cell_id) do update
set {replaced}
where old.as_of <= excluded.as_of",
        columns = histogram_columns(kept),
        values = histogram_values(kept),
        grain = job.windows.grain(),
        array = state::array(job, "f"),
        joined = kept
            .names()
            .map(|name| {
                format!("\nleft join {name}_histogram as {name} on {name}.bucket_start = f.bucket_start and {name}.cell_id = f.cell_id")
            })
            .collect::<String>(),
        replaced = replaced(kept),
    ))
}

/// Assigns all values of a bucket from the row that replaces it.
fn replaced(kept: Histograms) -> String {
    let values = state::COUNTS.iter().copied().chain(["sums", "digest", "as_of"]).map(str::to_owned);
    let histograms = kept.names().flat_map(|name| [format!("{name}_bins"), format!("{name}_counts")]);
    values.chain(histograms).map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ")
}

/// Common table expression of bins and their pair counts, per bucket and cell.
fn histogram_of_pairs(name: &str) -> String {
    format!(
        r", {name}_histogram as (
    select bucket_start, cell_id, array_agg(bin) as bins, array_agg(n) as counts
    from (
        select f.bucket_start, f.cell_id, f.{name}_bin as bin, count(*) as n
        from pairs as f
        where f.{name}_bin is not null
        group by 1, 2, 3
    ) as q
    group by bucket_start, cell_id
)"
    )
}

fn histogram_columns(kept: Histograms) -> String {
    kept.names().map(|name| format!(", {name}_bins, {name}_counts")).collect()
}

fn histogram_values(kept: Histograms) -> String {
    kept.names().map(|name| format!(", {name}.bins, {name}.counts")).collect()
}
