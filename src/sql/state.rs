//! The array of sums of a bucket: how it is summed from pairs, merged, unpacked and packed again.

use crate::metric::empty_sql;
use crate::metric::state::{Merge, Sum};
use crate::plan::PlannedJob;
use crate::sql::appended;

/// Counts of a bucket, in the order of its columns.
pub const COUNTS: [&str; 5] = ["predictions", "labeled", "excluded", "duplicates", "ambiguous"];

/// Sums over pairs, each with a leading comma: `, sum(abs(e)) as s1 …`.
pub fn of_pairs(job: &PlannedJob) -> String {
    appended(job.sums.len(), |n| {
        let sum = job.sums[n - 1];
        let value = sum.row_sql(&job.parameters);
        let aggregate = match sum.merge() {
            Merge::Add => "sum",
            Merge::Greatest => "max",
            Merge::Least => "min",
            Merge::Moments => "trueup.moments",
        };
        format!("{aggregate}({value}) as s{n}")
    })
}

/// Merged counts, each with a leading comma: `, sum(b.predictions) as predictions …`.
pub fn merged_counts(row: &str) -> String {
    COUNTS.iter().map(|count| format!(", sum({row}.{count})::bigint as {count}")).collect()
}

/// Sums merged from `row.s1 …`, each with a leading comma, as `s1 …`.
pub fn merged(job: &PlannedJob, row: &str) -> String {
    appended(job.sums.len(), |n| format!("{} as s{n}", merge(job.sums[n - 1], &format!("{row}.s{n}"))))
}

/// Sums merged from the array `row.sums` of buckets, each with a leading comma, as `s1 …`.
pub fn merged_from_array(job: &PlannedJob, row: &str) -> String {
    let mut place = 1;
    job.sums
        .iter()
        .enumerate()
        .map(|(n, sum)| {
            let value = match sum.width() {
                1 => format!("{row}.sums[{place}]"),
                width => format!("{row}.sums[{place}:{}]", place + width - 1),
            };
            place += sum.width();
            format!(", {} as s{}", merge(*sum, &value), n + 1)
        })
        .collect()
}

/// The array of a bucket from `row.s1 …`.
pub fn array(job: &PlannedJob, row: &str) -> String {
    let value = |(n, sum): (usize, &Sum)| format!("coalesce({row}.s{}, {}::{})", n + 1, empty_sql(*sum), type_of(*sum));
    let scalars: Vec<String> = job.sums.iter().enumerate().filter(|(_, sum)| sum.width() == 1).map(value).collect();
    let moments = job.sums.iter().enumerate().filter(|(_, sum)| sum.width() != 1).map(value);
    let mut array = format!("array[{}]::float8[]", scalars.join(", "));
    for moments in moments {
        array = format!("{array} || {moments}");
    }
    array
}

fn type_of(sum: Sum) -> &'static str {
    if sum.width() == 1 { "float8" } else { "float8[]" }
}

fn merge(sum: Sum, value: &str) -> String {
    match sum.merge() {
        Merge::Add => format!("sum({value})"),
        Merge::Greatest => format!("max({value})"),
        Merge::Least => format!("min({value})"),
        Merge::Moments => format!("trueup.merge_moments({value})"),
    }
}
