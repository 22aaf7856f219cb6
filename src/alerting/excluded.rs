//! Periods in which the alerts of an objective were silenced or in maintenance, for objectives whose budget is not spent then.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::alerting::RunContext;
use crate::domain::window::{Slice, floor};
use crate::notify::policy::matcher::{Labels, Matcher};
use crate::plan::objective::Slo;
use crate::store::alerting::silence;
use crate::warehouse::failure::RunError;

/// Most beginnings of one maintenance that are checked: more than a year of daily ones.
const MOST: usize = 2_000;

/// Returns the periods within `slices` in which all alerts of an objective were silenced or in maintenance, in whole buckets and
/// without overlaps.
pub(crate) async fn slices(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    slo: &Slo,
    slices: &[Slice],
) -> Result<Vec<Slice>, RunError> {
    let from = slices.iter().map(|slice| slice.start).min().unwrap_or(run.as_of);
    let until = slices.iter().map(|slice| slice.end).max().unwrap_or(run.as_of);
    let names: Vec<(String, &str)> = slo.burns.iter().map(|burn| (slo.alert(burn), burn.severity.as_str())).collect();
    let owner = slo.owner.as_deref().or(run.job.owner.as_deref());
    let fits = |matcher: &Matcher| {
        let labels = |(rule, severity): &(String, &'static str)| -> bool {
            matcher.fits(&Labels { job: &run.job.name, rule, severity, owner, cohort: "all" })
        };
        !names.is_empty() && names.iter().all(labels)
    };
    let mut excluded = Vec::new();
    for row in silence::between(connection, from, until).await? {
        let matcher = Matcher { job: row.job, rule: row.rule, severity: row.severity, owner: None, cohort: row.cohort };
        if fits(&matcher) {
            excluded.push((row.starts_at, row.ends_at));
        }
    }
    for maintenance in run.routing.maintenance.iter().filter(|maintenance| fits(&maintenance.matcher)) {
        let begins = maintenance.begins.slots(from - maintenance.lasts, until, MOST);
        excluded.extend(begins.into_iter().map(|begin| (begin, begin + maintenance.lasts)));
    }
    Ok(merged(excluded, |at| floor(at, run.job.windows.bucket), run.job.windows.bucket))
}

/// Widens periods to whole buckets and merges those that touch.
fn merged(
    mut excluded: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    floor: impl Fn(DateTime<Utc>) -> DateTime<Utc>,
    bucket: chrono::TimeDelta,
) -> Vec<Slice> {
    excluded.sort();
    let mut merged: Vec<Slice> = Vec::new();
    for (start, end) in excluded {
        let start = floor(start);
        let end = if floor(end) == end { end } else { floor(end) + bucket };
        match merged.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => merged.push(Slice { start, end }),
        }
    }
    merged
}

/// Returns the excluded parts of a slice.
pub(crate) fn within(slice: Slice, excluded: &[Slice]) -> Vec<Slice> {
    let cut = excluded.iter().map(|part| Slice { start: part.start.max(slice.start), end: part.end.min(slice.end) });
    cut.filter(|part| part.start < part.end).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn stretches_are_whole_buckets_and_do_not_overlap() {
        let at = |minute: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minute);
        let bucket = TimeDelta::minutes(15);
        let excluded =
            merged(vec![(at(100), at(110)), (at(20), at(40)), (at(31), at(60))], |t| floor(t, bucket), bucket);
        let slice = |start, end| Slice { start: at(start), end: at(end) };
        assert_eq!(excluded, [slice(15, 60), slice(90, 120)]);
        assert_eq!(within(slice(30, 100), &excluded), [slice(30, 60), slice(90, 100)]);
        assert_eq!(within(slice(60, 90), &excluded), []);
    }
}
