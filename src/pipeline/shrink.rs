//! Keeps what history knows and the source forgot; see [`crate::plan::shrink`] for what counts as that.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::failure::RunError;
use super::stages::Touched;
use crate::measure::reconcile::{self, Compared};
use crate::measure::windows::DueWindow;
use crate::plan::PlannedJob;
use crate::plan::cohort::Cohort;
use crate::plan::measurement::Measurement;
use crate::plan::shrink::{self, Difference, Extent, Known};
use crate::plan::source::Relation;
use crate::store::gone::{self, Amount, Standing};

/// What a comparison with the source came to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Buckets that follow the source.
    pub apply: Vec<DateTime<Utc>>,
    /// Buckets that stay as they are.
    pub withheld: BTreeSet<DateTime<Utc>>,
}

/// Compares buckets with the source, and decides which of them follow it. What was decided is noted. A loss that rows explain which
/// arrived and changed is none.
pub(super) async fn compare(
    connection: &mut PgConnection,
    job: &PlannedJob,
    compared: &Compared<'_>,
    changed: &Touched,
) -> Result<Verdict, RunError> {
    let (plan_id, range) = (compared.plan_id, compared.range);
    let differences = reconcile::differing(connection, job, compared).await?;
    let unexplained: Vec<Difference> =
        differences.iter().map(|d| d.without(changed.get(&d.start).copied().unwrap_or_default())).collect();
    let withheld = withheld(connection, job, plan_id, &unexplained).await?;
    let (kept, applied): (Vec<&Difference>, Vec<&Difference>) =
        unexplained.iter().partition(|difference| withheld.contains(&difference.start));
    let losses = |of: Vec<&Difference>| {
        let loss = |d: &Difference| Amount { predictions: d.loss().predictions, labeled: d.loss().labeled };
        of.into_iter().map(|d| (d.start, loss(d))).collect::<Vec<_>>()
    };
    let apply = applied.iter().map(|difference| difference.start).collect();
    if compared.starts.is_none() {
        let kept: Vec<DateTime<Utc>> = withheld.iter().copied().collect();
        gone::forget(connection, plan_id, range, &kept).await?;
    }
    gone::note(connection, plan_id, Some(compared.as_of), &losses(kept)).await?;
    let shrunk = applied.into_iter().filter(|difference| difference.shrinks()).collect();
    gone::note(connection, plan_id, None, &losses(shrunk)).await?;
    Ok(Verdict { apply, withheld })
}

async fn withheld(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan_id: i64,
    differences: &[Difference],
) -> Result<BTreeSet<DateTime<Utc>>, RunError> {
    let shrinking = || differences.iter().filter(|difference| difference.shrinks()).map(|difference| difference.start);
    let (Some(first), Some(last)) = (shrinking().min(), shrinking().max()) else { return Ok(BTreeSet::new()) };
    let longest = job.windows.longest();
    let around = first - longest..last + longest + job.windows.bucket;
    let buckets = gone::amounts(connection, plan_id, job.windows.grain(), &around).await?;
    let corrected = gone::corrected(connection, plan_id, &around).await?;
    let extents = |of: BTreeMap<DateTime<Utc>, Amount>| of.into_iter().map(|(start, a)| (start, extent(a))).collect();
    let known = Known { buckets: extents(buckets), corrected: extents(corrected) };
    Ok(shrink::withheld(&job.windows, job.windows.shrink, &known, differences))
}

fn extent(amount: Amount) -> Extent {
    Extent { predictions: amount.predictions, labeled: amount.labeled }
}

/// Whether the rows that are read now are those that were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    Same,
    /// Others, by the job's definition: less of them is what was meant, and none at all is not.
    Others,
}

/// Places in the list of windows whose measurement would lose too much of what is stored of them.
pub(super) async fn keeping(
    connection: &mut PgConnection,
    job: &PlannedJob,
    rows: Rows,
    windows: &[DueWindow],
    measured: &[Measurement],
) -> Result<BTreeSet<usize>, RunError> {
    let names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.end).collect();
    let stored = gone::stored(connection, &job.name, &names, &ends).await?;
    let now: BTreeMap<(&str, DateTime<Utc>), Extent> = measured
        .iter()
        .filter(|m| m.cohort == Cohort::All && m.model_version.is_none())
        .map(|m| {
            let counts = &m.sample.counts;
            let extent = Extent { predictions: counts.predictions, labeled: counts.labeled };
            ((m.window.as_str(), m.slice.end), extent)
        })
        .collect();
    let shrinks = |(place, stored): (usize, Option<Amount>)| {
        let (window, stored) = (&windows[place], extent(stored?));
        let now = now.get(&(window.name.as_str(), window.slice.end)).copied().unwrap_or_default();
        let is_gone = rows == Rows::Same || now.predictions == 0;
        (is_gone && stored.is_shrunk_by(stored.less(now), job.windows.shrink)).then_some(place)
    };
    Ok(stored.into_iter().enumerate().filter_map(shrinks).collect())
}

/// What the ticket says: the source, the range, the counts and the two ways out.
pub(super) fn words(job: &PlannedJob, standing: &Standing) -> String {
    let Standing { first, last, lost } = standing;
    let to = *last + job.windows.bucket;
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    format!(
        "{} and {} no longer have {} predictions and {} labeled pairs between {} and {}; what was measured there stays. If old \
         rows are removed on purpose, nothing is to be done. To take over what the source has now: trueup backfill {} --from {} \
         --to {} --accept-loss",
        relation(&job.predictions.relation, "predictions"),
        relation(&job.labels.relation, "labels"),
        lost.predictions,
        lost.labeled,
        time(*first),
        time(to),
        job.name,
        time(*first),
        time(to.max(*first + TimeDelta::seconds(1))),
    )
}

fn relation(relation: &Relation, what: &str) -> String {
    match relation {
        Relation::Table(table) => table.to_string(),
        Relation::Query(_) => format!("the query of the {what}"),
    }
}
