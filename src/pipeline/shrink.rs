//! Keeps data in history that the source has lost; see [`crate::plan::shrink`] for the criteria.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::realign;
use crate::domain::cohort::Cohort;
use crate::metric::measurement::Measurement;
use crate::plan::PlannedJob;
use crate::plan::shrink::{self, Difference, Extent, Known};
use crate::plan::source::Relation;
use crate::store::history::alignment::Overlapped;
use crate::store::history::gone::{self, Amount, Standing};
use crate::store::ledger::plan::PlanRow;
use crate::warehouse::failure::RunError;
use crate::warehouse::pairs::reconcile::{self, Compared};
use crate::warehouse::windows::DueWindow;

/// Result of a comparison with the source.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Buckets that follow the source.
    pub apply: Vec<DateTime<Utc>>,
    /// Buckets that are kept unchanged.
    pub withheld: BTreeSet<DateTime<Utc>>,
}

/// Compares buckets with the source, decides which of them follow it, and records the decision. A loss that is
/// explained by rows which arrived and changed does not count.
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
    let horizon_start = compared.is_horizon.then_some(range.start);
    let withheld = withheld(connection, job, plan_id, horizon_start, &unexplained).await?;
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
    horizon_start: Option<DateTime<Utc>>,
    differences: &[Difference],
) -> Result<BTreeSet<DateTime<Utc>>, RunError> {
    let shrinking = || differences.iter().filter(|difference| difference.shrinks()).map(|difference| difference.start);
    let (Some(first), Some(last)) = (shrinking().min(), shrinking().max()) else { return Ok(BTreeSet::new()) };
    let longest = job.windows.longest();
    let earliest = horizon_start.map_or(first - longest, |from| from.min(first - longest));
    let around = earliest..last + longest + job.windows.bucket;
    let buckets = gone::amounts(connection, plan_id, job.windows.grain(), &around).await?;
    let corrected = gone::corrected(connection, plan_id, &around).await?;
    let extents = |of: BTreeMap<DateTime<Utc>, Amount>| of.into_iter().map(|(start, a)| (start, extent(a))).collect();
    let kept = gone::kept(connection, plan_id, &around).await?;
    let known = Known { horizon_start, buckets: extents(buckets), corrected: extents(corrected), kept };
    Ok(shrink::withheld(&job.windows, job.windows.shrink, &known, differences))
}

fn extent(amount: Amount) -> Extent {
    Extent { predictions: amount.predictions, labeled: amount.labeled }
}

/// Removes the measurements of windows that would lose too much of their stored data, and marks these windows. If the
/// job's definition has changed to read other rows, having fewer is intended, and only windows that would become empty
/// are kept. Returns the ids of the windows that keep their stored measurements.
pub(super) async fn keep_whole(
    connection: &mut PgConnection,
    job: &PlannedJob,
    plan: &PlanRow,
    as_of: DateTime<Utc>,
    windows: &[(i64, &DueWindow)],
    measured: &mut Vec<Measurement>,
) -> Result<BTreeSet<i64>, RunError> {
    let names: Vec<String> = windows.iter().map(|(_, window)| window.name.clone()).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|(_, window)| window.slice.end).collect();
    let stored = gone::stored(connection, &job.name, &names, &ends).await?;
    let others: Vec<&DueWindow> = windows.iter().map(|(_, window)| *window).collect();
    let now = overall(measured);
    let held = |window: &DueWindow| now.get(&(window.name.clone(), window.slice.end)).copied().unwrap_or_default();
    let lost = lost_days(&realign::replaced(connection, &job.name, &others).await?, &others, held, job.windows.shrink);
    let same_rows = plan.is_current || plan.reads_the_same;
    let (mut kept, mut ids) = (BTreeSet::new(), Vec::new());
    for (place, ((id, window), stored)) in windows.iter().zip(stored).enumerate() {
        let key = (window.name.clone(), window.slice.end);
        let now = held(window);
        let stored = stored.map(extent).unwrap_or_default();
        let shrinks = stored.is_shrunk_by(stored.less(now), job.windows.shrink) || lost.contains(&place);
        if (same_rows || now.predictions == 0) && shrinks {
            kept.insert(key);
            ids.push(*id);
        }
    }
    measured.retain(|m| !kept.contains(&(m.window.clone(), m.slice.end)));
    gone::mark(connection, &ids, as_of).await?;
    Ok(ids.into_iter().collect())
}

/// Days of another zone contain other hours, so losing up to half of the pairs is not taken for a loss of the source.
const SHIFTED: f64 = 0.5;

/// Indexes of windows that would replace a day of another zone, although all that overlap it together hold too little.
fn lost_days(
    replaced: &[Overlapped],
    windows: &[&DueWindow],
    held: impl Fn(&DueWindow) -> Extent,
    limit: f64,
) -> BTreeSet<usize> {
    let mut of_day: BTreeMap<i64, Extent> = BTreeMap::new();
    for day in replaced {
        let (all, more) = (of_day.entry(day.id).or_default(), held(windows[day.of]));
        *all = Extent { predictions: all.predictions + more.predictions, labeled: all.labeled + more.labeled };
    }
    let is_lost = |day: &&Overlapped| {
        let before = extent(day.amount);
        before.is_shrunk_by(before.less(of_day.get(&day.id).copied().unwrap_or_default()), limit.max(SHIFTED))
    };
    replaced.iter().filter(is_lost).map(|day| day.of).collect()
}

/// Name and end.
type WindowKey = (String, DateTime<Utc>);

/// Extents of windows, over all cohorts and versions.
fn overall(measured: &[Measurement]) -> BTreeMap<WindowKey, Extent> {
    let all = measured.iter().filter(|m| m.cohort == Cohort::All && m.model_version.is_none());
    all.map(|m| {
        let counts = &m.sample.counts;
        let extent = Extent { predictions: counts.predictions, labeled: counts.labeled };
        ((m.window.clone(), m.slice.end), extent)
    })
    .collect()
}

/// Text of the ticket: the source, the range, the counts and the two ways out.
pub(super) fn words(job: &PlannedJob, standing: &Standing) -> String {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let (from, to) = (time(standing.first), time(standing.last + job.windows.bucket));
    format!(
        "{} and {} no longer have {} predictions and {} labeled pairs between {from} and {to}; the \
         measurements are kept. If old rows are removed on purpose, no action is needed. To accept the current source \
         data: trueup backfill {} --from {from} --to {to} --accept-loss",
        relation(&job.predictions.relation, "predictions"),
        relation(&job.labels.relation, "labels"),
        standing.lost.predictions,
        standing.lost.labeled,
        job.name,
    )
}

fn relation(relation: &Relation, what: &str) -> String {
    match relation {
        Relation::Table(table) => table.to_string(),
        Relation::Query(_) => format!("the {what} query"),
    }
}

/// Buckets, and the number of their predictions or labels that changed.
pub(super) type Touched = BTreeMap<DateTime<Utc>, i64>;
