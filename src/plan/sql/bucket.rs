//! Statements of the second stage: sums per bucket, cohort and version, always of whole buckets.

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::plan::sql::rows::{self, Fence, Selection};
use crate::plan::sql::{PlannedSql, appended, list};

/// Recomputes the buckets `$3` from residuals. `$4` are buckets that a newer run has written: they stay.
pub fn from_residuals(job: &PlannedJob) -> PlannedSql {
    let dims = appended(job.dimensions.len(), |n| format!("dimensions[{n}] as d{n}"));
    let from = format!(
        "(select bucket_start, model_version{dims}, copies, class, predicted, actual, digest from trueup.residual \
         where plan_id = $1 and bucket_start = any($3)) as s"
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

/// Groups rows at the finest grain first and spreads the few groups over the cohort sets, so that every row is summed once.
fn insert(job: &PlannedJob, with: &str, from: &str, fence: Fence, newer: &str) -> PlannedSql {
    let dimensions = job.dimensions.len();
    let sums = job.sums.len();
    let row_sums = appended(sums, |n| format!("sum({}) as s{n}", job.sums[n - 1].row_sql()));
    PlannedSql::new(format!(
        r"{with}insert into trueup.bucket
    (plan_id, bucket_start, cohort_set, cohort_values, model_version, predictions, labeled, excluded, duplicates, ambiguous,
     sums, digest, as_of)
select $1, f.bucket_start, c.cohort_set, c.cohort_values, f.model_version, sum(f.predictions)::bigint, sum(f.labeled)::bigint,
       sum(f.excluded)::bigint, sum(f.duplicates)::bigint, sum(f.ambiguous)::bigint,
       array[{merged}]::float8[], sum(f.digest), $2
from (
    select bucket_start, model_version{dims}, sum(copies) as predictions, count(e) as labeled,
           coalesce(sum(copies) filter (where class > 1), 0) as excluded,
           coalesce(sum(copies) filter (where class = 5), 0) as duplicates,
           coalesce(sum(copies) filter (where class = 6), 0) as ambiguous,
           sum(digest) as digest{row_sums}
    from (
        select q.*, case when abs(q.e) < 1e-70 then 0 else q.e * q.e end as z2
        from (
            select s.bucket_start, s.model_version{row_dims}, s.copies, s.class, s.digest,
                   case when s.class = 0 then s.predicted - s.actual end as e
            from {from}
        ) as q{fence}
    ) as rows
    group by bucket_start, model_version{dims}
    having sum(copies) > 0
) as f
cross join lateral (values {sets}) as c (cohort_set, cohort_values)
where f.bucket_start <> all({newer})
group by f.bucket_start, c.cohort_set, c.cohort_values, f.model_version",
        merged = list(sums, |n| format!("coalesce(sum(f.s{n}), 0)")),
        dims = appended(dimensions, |n| format!("d{n}")),
        row_dims = appended(dimensions, |n| format!("s.d{n}")),
        sets = sets(job),
        fence = fence.sql(),
    ))
}

/// The cohort sets as rows of `values`: 0 is everything, then each declaration with the values of its dimensions.
fn sets(job: &PlannedJob) -> String {
    let declared = job.cohort_sets.iter().enumerate().map(|(index, set)| {
        let values = set.dimensions.iter().map(|at| format!("f.d{}", at + 1)).collect::<Vec<_>>().join(", ");
        format!("({}::smallint, array[{values}]::text[])", index + 1)
    });
    std::iter::once("(0::smallint, array[]::text[])".to_owned()).chain(declared).collect::<Vec<_>>().join(", ")
}
