//! The statement of the third stage: buckets merged into windows, cohorts ranked, the rest kept exactly as `other`.

use crate::plan::PlannedJob;
use crate::plan::sql::{PlannedSql, appended, list};

/// Merges the windows numbered `$2` that span `[$3, $4)` (arrays of equal length) of plan `$1`.
///
/// Columns: `no, cohort_set, cohort_values, is_other, model_version (null: together), predictions, labeled, excluded,
/// duplicates, ambiguous, sums, digest (text)`.
pub fn merge(job: &PlannedJob) -> PlannedSql {
    let sums = job.sums.len();
    let tops = job.cohort_sets.iter().enumerate().map(|(index, set)| format!(" when {} then {}", index + 1, set.top));
    let by_cohort = "k.no, k.cohort_set, k.cohort_values, k.is_other";
    let grouping = match job.predictions.version {
        Some(_) => format!("grouping sets (({by_cohort}, k.model_version), ({by_cohort}))"),
        None => by_cohort.to_owned(),
    };
    let version = match job.predictions.version {
        Some(_) => "k.model_version",
        None => "null::text",
    };
    PlannedSql::new(format!(
        r#"with slice as (
    select w.no, b.cohort_set, b.cohort_values, b.model_version, sum(b.predictions) as predictions, sum(b.labeled) as labeled,
           sum(b.excluded) as excluded, sum(b.duplicates) as duplicates, sum(b.ambiguous) as ambiguous, sum(b.digest) as digest{summed}
    from unnest($2::int[], $3::timestamptz[], $4::timestamptz[]) as w (no, starts, ends)
    join trueup.bucket as b on b.plan_id = $1 and b.bucket_start >= w.starts and b.bucket_start < w.ends
    group by w.no, b.cohort_set, b.cohort_values, b.model_version
), weighed as (
    select s.*, sum(s.predictions) over (partition by s.no, s.cohort_set, s.cohort_values) as weight
    from slice as s
), ranked as (
    select s.*, dense_rank() over (partition by s.no, s.cohort_set order by s.weight desc, s.cohort_values::text collate pg_catalog."C") as place
    from weighed as s
), kept as (
    select r.*, case when r.place > r.top then null else r.all_values end as cohort_values, r.place > r.top as is_other
    from (
        select no, cohort_set, cohort_values as all_values, model_version, predictions, labeled, excluded, duplicates, ambiguous,
               digest{carried}, place, case cohort_set when 0 then 1{tops} end as top
        from ranked
    ) as r
)
select k.no, k.cohort_set, k.cohort_values, k.is_other, {version} as model_version, sum(k.predictions)::bigint as predictions,
       sum(k.labeled)::bigint as labeled, sum(k.excluded)::bigint as excluded, sum(k.duplicates)::bigint as duplicates,
       sum(k.ambiguous)::bigint as ambiguous, array[{merged}]::float8[] as sums, sum(k.digest)::text as digest
from kept as k
group by {grouping}
order by k.no, k.cohort_set"#,
        summed = appended(sums, |n| format!("sum(b.sums[{n}]) as s{n}")),
        carried = appended(sums, |n| format!("s{n}")),
        merged = list(sums, |n| format!("coalesce(sum(k.s{n}), 0)")),
        tops = tops.collect::<String>(),
    ))
}
