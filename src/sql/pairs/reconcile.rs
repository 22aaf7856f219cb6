//! Statement that compares history with the source, to find buckets that would be computed differently today.

use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::sql::PlannedSql;
use crate::sql::pairs::source::{self, Fence, Selection};

/// Returns the buckets in `[$3, $4)` of plan `$1` whose counts or digest differ from those of the source as of `$2`:
/// `bucket_start`, and the predictions and labeled pairs of history (`before_…`) and of the source (`after_…`). For a
/// selection of single buckets, `$5` are their starts.
///
/// The digest is a sum of hashes of key, cohort, version, values and class of the pair, so it reveals late commits,
/// updates, deletes and predictions that moved to another cohort.
pub fn differing(job: &PlannedJob, facts: &SourceFacts, selection: Selection) -> PlannedSql {
    let rows = source::classified(job, facts, selection, Fence::of(facts));
    PlannedSql::new(format!(
        r"with source as (
    select s.bucket_start, sum(s.copies)::bigint as predictions, count(*) filter (where s.class = 0) as labeled, sum(s.digest) as digest
    from {from}
    group by s.bucket_start
), history as (
    select b.bucket_start, sum(b.predictions)::bigint as predictions, sum(b.labeled)::bigint as labeled, sum(b.digest) as digest
    from trueup.bucket as b
    where b.plan_id = $1 and b.grain = {grain} and b.bucket_start >= $3 and b.bucket_start < $4{single}
    group by b.bucket_start
)
select coalesce(source.bucket_start, history.bucket_start) as bucket_start,
       coalesce(history.predictions, 0) as before_predictions, coalesce(history.labeled, 0) as before_labeled,
       coalesce(source.predictions, 0) as after_predictions, coalesce(source.labeled, 0) as after_labeled
from source
full join history on history.bucket_start = source.bucket_start
where (source.predictions, source.labeled, source.digest) is distinct from (history.predictions, history.labeled, history.digest)
order by 1",
        from = rows.from,
        grain = job.windows.grain(),
        single = if selection == Selection::Buckets { " and b.bucket_start = any($5)" } else { "" },
    ))
}
