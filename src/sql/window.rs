//! Statements of the third stage: buckets merged into windows, cohorts ranked, the rest kept exactly as `other`.

use crate::metric::QUANTILES;
use crate::metric::state::kind::HistogramKind;
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::pairs::source::{self, Fence, Selection};
use crate::sql::{PlannedSql, appended, list, state};

/// Merges windows of plan `$1`. A window consists of parts, which are runs of whole buckets: window numbers `$2`,
/// grains `$3`, starts `$4`, ends `$5`, and in `$6` if labels of the part are due. The arrays are of equal length.
///
/// Columns: `no, cohort_set, cohort_values, is_other, model_version (null: together), predictions, labeled, excluded,
/// duplicates, ambiguous, due, received, sums, digest (text)`.
pub fn merge(job: &PlannedJob) -> PlannedSql {
    PlannedSql::new(format!(
        r"{ranked}
select f.no, f.cohort_set, f.cohort_values, f.is_other, f.model_version, f.predictions, f.labeled, f.excluded, f.duplicates,
       f.ambiguous, f.due, f.received, {array} as sums, f.digest
from (
    select {key}, {version} as model_version{counts}, sum(k.due)::bigint as due, sum(k.received)::bigint as received{merged},
           {digest}::text as digest
    from kept as k
    group by {grouping}
) as f
order by f.no, f.cohort_set",
        ranked = ranked(job),
        array = state::array(job, "f"),
        key = KEY,
        version = version(job),
        counts = state::merged_counts("k"),
        merged = state::merged(job, "k"),
        grouping = grouping(job),
        // The number of due labels changes with time alone, and with it a metric that must be revised.
        digest = if job.metrics.iter().any(|metric| metric.name() == "label_arrival_rate") {
            "(sum(k.digest) + hashint8extended(sum(k.due)::bigint, sum(k.received)::bigint))"
        } else {
            "sum(k.digest)"
        },
    ))
}

/// Merges the histograms of one kind of the same windows; see [`merge`] for the parameters.
///
/// Columns: `no, cohort_set, cohort_values, is_other, model_version, bins, counts`.
pub fn merge_histogram(job: &PlannedJob, kind: HistogramKind) -> PlannedSql {
    let name = kind.name();
    PlannedSql::new(format!(
        r"{ranked}, numbered as (
    select k.*, dense_rank() over (order by {key}) as cohort, dense_rank() over (order by {key}, k.model_version) as version
    from kept as k
), member as (
    select s.no, s.cell_id, k.cohort, k.version
    from spread as s
    join numbered as k
        on k.no = s.no and k.cohort_set = s.cohort_set and k.all_values = s.cohort_values and k.model_version = s.model_version
), bins as (
    select no, cell_id, bin, sum(n) as n
    -- Side by side in the list: half the time of a function in `from`, which writes its rows down.
    from (select p.no, p.cell_id, unnest(p.{name}_bins) as bin, unnest(p.{name}_counts) as n from part as p) as u
    group by no, cell_id, bin
), merged as (
    select cohort, version, array_agg(bin::bigint) as bins, array_agg(n) as counts
    from (
        -- By number: there are many bins, and values of cohorts are long to compare.
        select m.cohort, {version} as version, b.bin, sum(b.n)::bigint as n
        from bins as b
        join member as m on m.no = b.no and m.cell_id = b.cell_id
        group by {grouping}
    ) as q
    group by cohort, version
)
select {key}, v.model_version, f.bins, f.counts
from merged as f
join (select distinct k.cohort, {key} from numbered as k) as k on k.cohort = f.cohort
left join (select distinct version, model_version from numbered) as v on v.version = f.version",
        ranked = ranked(job),
        key = KEY,
        version = if job.predictions.version.is_some() { "m.version" } else { "null::bigint" },
        grouping = match job.predictions.version {
            Some(_) => "grouping sets ((m.cohort, m.version, b.bin), (m.cohort, b.bin))",
            None => "m.cohort, b.bin",
        },
    ))
}

/// Exact quantiles of |e| and e² of the same windows, from the pairs of the source between `$3` and `$4` as of `$2`. The
/// parameters of [`merge`] after the plan are `$5` to `$9`; windows have numbers `$10`, starts `$11` and ends `$12`.
///
/// Columns: `no, cohort_set, cohort_values, is_other, model_version, abs_error, squared_error`.
pub fn exact_quantiles(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    let quantiles = QUANTILES.map(|q| q.to_string()).join(", ");
    PlannedSql::new(format!(
        r"{pairs}
select {KEY}, {version} as model_version, percentile_cont(array[{quantiles}]) within group (order by s.e) as abs_error,
       percentile_cont(array[{quantiles}]) within group (order by case when s.e < 1e-70 then 0 else s.e * s.e end) as squared_error
{FROM_PAIRS}
group by {grouping}",
        pairs = pairs_of_windows(job, facts),
        version = version(job),
        grouping = grouping(job),
    ))
}

/// Distinct scores of the same windows in growing order, with their numbers of positive and negative labels; see
/// [`exact_quantiles`] for the parameters.
///
/// Columns: `no, cohort_set, cohort_values, is_other, model_version, scores, positives, negatives`.
pub fn exact_scores(job: &PlannedJob, facts: &SourceFacts) -> PlannedSql {
    PlannedSql::new(format!(
        r"{pairs}
select q.no, q.cohort_set, q.cohort_values, q.is_other, q.model_version, array_agg(q.p order by q.p) as scores,
       array_agg(q.positives order by q.p) as positives, array_agg(q.negatives order by q.p) as negatives
from (
    select {KEY}, {version} as model_version, s.p, count(*) filter (where s.a = 1) as positives,
           count(*) filter (where s.a = 0) as negatives
    {FROM_PAIRS}
    group by {grouping}
) as q
group by q.no, q.cohort_set, q.cohort_values, q.is_other, q.model_version",
        pairs = pairs_of_windows(job, facts),
        version = version(job),
        grouping = match job.predictions.version {
            Some(_) => format!("grouping sets (({KEY}, k.model_version, s.p), ({KEY}, s.p))"),
            None => format!("{KEY}, s.p"),
        },
    ))
}

/// Pairs `s` of windows with the cohorts `k` that they count for.
const FROM_PAIRS: &str = "from placed as s
join kept as k
    on k.no = s.no and k.cohort_set = s.cohort_set and k.all_values = s.cohort_values and k.model_version = s.model_version";

/// Common table expressions: the pairs of windows from the source (`placed`), and [`ranked`].
fn pairs_of_windows(job: &PlannedJob, facts: &SourceFacts) -> String {
    let rows = source::classified(job, facts, Selection::Range, Fence::of(facts));
    // Parameters of the parts follow those of the source.
    let ranked = ranked(job)
        .replace("$6::bool[]", "$9::bool[]")
        .replace("$5::timestamptz[]", "$8::timestamptz[]")
        .replace("$4::timestamptz[]", "$7::timestamptz[]")
        .replace("$3::int[]", "$6::int[]")
        .replace("$2::int[]", "$5::int[]");
    format!(
        r"{ranked}, pairs as (
    select s.bucket_start, array[{dims}]::text[] as dimensions, s.model_version, abs(s.predicted - s.actual) as e,
           s.predicted as p, s.actual as a
    from {from}
    where s.class = 0
), placed as (
    select w.no, c.cohort_set, c.cohort_values, n.model_version, n.e, n.p, n.a
    from unnest($10::int[], $11::timestamptz[], $12::timestamptz[]) as w (no, starts, ends)
    join pairs as n on n.bucket_start >= w.starts and n.bucket_start < w.ends
    cross join lateral (values {sets}) as c (cohort_set, cohort_values)
)",
        dims = list(job.dimensions.len(), |n| format!("s.d{n}")),
        from = rows.from,
        sets = sets(job),
    )
}

const KEY: &str = "k.no, k.cohort_set, k.cohort_values, k.is_other";

fn version(job: &PlannedJob) -> &'static str {
    if job.predictions.version.is_some() { "k.model_version" } else { "null::text" }
}

fn grouping(job: &PlannedJob) -> String {
    match job.predictions.version {
        Some(_) => format!("grouping sets (({KEY}, k.model_version), ({KEY}))"),
        None => KEY.to_owned(),
    }
}

/// Common table expressions: the buckets of each window (`part`), merged by cell and assigned to every cohort of the
/// cell (`spread`), and the group that each cohort and version counts for (`kept`): itself, or the rest outside the top
/// ones.
fn ranked(job: &PlannedJob) -> String {
    let tops = job.cohort_sets.iter().enumerate().map(|(index, set)| format!(" when {} then {}", index + 1, set.top));
    let sums = job.sums.len();
    format!(
        r#"with part as (
    select w.no, w.is_due, b.*
    from unnest($2::int[], $3::int[], $4::timestamptz[], $5::timestamptz[], $6::bool[]) as w (no, grain, starts, ends, is_due)
    -- One range of the primary key for each, whatever the statistics say of a table that was filled a moment ago.
    cross join lateral (
        select * from trueup.bucket as b
        where b.plan_id = $1 and b.grain = w.grain and b.bucket_start >= w.starts and b.bucket_start < w.ends
        offset 0
    ) as b
), slice as (
    select b.no, b.cell_id{counts}, coalesce(sum(b.predictions) filter (where b.is_due), 0) as due,
           coalesce(sum(b.labeled + b.excluded) filter (where b.is_due), 0) as received, sum(b.digest) as digest{summed}
    from part as b
    group by b.no, b.cell_id
), spread as (
    select s.*, n.model_version, c.cohort_set, c.cohort_values
    from slice as s
    join trueup.cell as n on n.id = s.cell_id
    cross join lateral (values {sets}) as c (cohort_set, cohort_values)
), cohort as (
    select s.no, s.cohort_set, s.cohort_values, s.model_version{merged_counts}, sum(s.due) as due, sum(s.received) as received,
           sum(s.digest) as digest{merged}
    from spread as s
    group by s.no, s.cohort_set, s.cohort_values, s.model_version
), weighed as (
    select s.*, sum(s.predictions) over (partition by s.no, s.cohort_set, s.cohort_values) as weight from cohort as s
), ranked as (
    select s.*, dense_rank() over (partition by s.no, s.cohort_set order by s.weight desc, s.cohort_values::text collate pg_catalog."C") as place
    from weighed as s
), kept as (
    select r.no, r.cohort_set, r.cohort_values as all_values, case when r.place > r.top then null else r.cohort_values end as cohort_values,
           r.place > r.top as is_other, r.model_version, r.predictions, r.labeled, r.excluded, r.duplicates, r.ambiguous, r.due,
           r.received, r.digest{carried}
    from (select *, case cohort_set when 0 then 1{tops} end as top from ranked) as r
)"#,
        counts = state::merged_counts("b"),
        summed = state::merged_from_array(job, "b"),
        sets = sets(job),
        merged_counts = state::merged_counts("s"),
        merged = state::merged(job, "s"),
        carried = appended(sums, |n| format!("r.s{n}")),
        tops = tops.collect::<String>(),
    )
}

/// Cohort sets as rows of `values`: 0 is everything, then each declared set with the values of its dimensions.
fn sets(job: &PlannedJob) -> String {
    let declared = job.cohort_sets.iter().enumerate().map(|(index, set)| {
        let values = set.dimensions.iter().map(|at| format!("n.dimensions[{}]", at + 1)).collect::<Vec<_>>().join(", ");
        format!("({}::smallint, array[{values}]::text[])", index + 1)
    });
    std::iter::once("(0::smallint, array[]::text[])".to_owned()).chain(declared).collect::<Vec<_>>().join(", ")
}
