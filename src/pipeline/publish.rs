//! The publishing transaction: measurements, verdicts, alert state and outbox commit together, fenced by the run's epoch.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use super::stages::{self, Read, Summed};
use super::{Outcome, Published, about, classes, fence, realign, shrink};
use crate::alerting::judgeable::{JudgingContext, MeasuredWindow};
use crate::alerting::{RunContext, StateChange, objectives, orphaned, rules, run_health, transition};
use crate::dispatch;
use crate::domain::target::Target;
use crate::domain::window::Slice;
use crate::metric::measurement::Measurement;
use crate::store::history::measurement::{self, Batch, NewMeasurement, Publisher};
use crate::store::history::numbers::Numbers;
use crate::store::history::{gone, window};
use crate::store::ledger::run::{self, Claim, Done};
use crate::store::ledger::{job, plan};
use crate::warehouse::failure::RunError;
use crate::warehouse::session;
use crate::warehouse::windows::{self, DueWindow};

/// Measures the due windows and publishes them with everything that follows, or publishes nothing.
///
/// Holds the plan's lock from the first read to the commit, so that the published numbers match the buckets.
pub(super) async fn publish(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    read: &Read,
    summed: &Summed,
) -> Result<Outcome, RunError> {
    let mut transaction = session::begin(connection, run.facts).await?;
    plan::lock_stages(&mut transaction, run.plan.id).await?;
    fence(&mut transaction, run.claim).await?;
    let windows = stages::due_windows(&mut transaction, run, read).await?;
    // Another definition of the job, on another runner, has other stages but the same history.
    let published = job::lock_published(&mut transaction, run.claim.job_id).await?;
    if let Some(skipped) = Outcome::older_than(published, run.as_of) {
        return Ok(skipped);
    }
    let stored = store_windows(&mut transaction, run, &windows).await?;
    let shown = shown(run, &stored);
    let mut written = BTreeSet::new();
    let mut measurements = Vec::new();
    // A first run may have a thousand windows: keep only those measurements in memory that are judged or shown.
    for some in stored.chunks(AT_ONCE) {
        let due: Vec<DueWindow> = some.iter().map(|window| window.window.clone()).collect();
        let mut measured = windows::measure(&mut transaction, run.job, run.facts, run.plan.id, run.as_of, &due).await?;
        let some = written_windows(&mut transaction, run, some, &mut measured).await?;
        classes::name(&mut transaction, run.job, run.facts, run.claim.job_id, &measured).await?;
        if run.is_first() {
            let pairs: Vec<(i64, &DueWindow)> = some.iter().map(|window| (window.id, &window.window)).collect();
            realign::replace(&mut transaction, run.publisher(), &run.job.name, &pairs).await?;
        }
        written.extend(store_measurements(&mut transaction, run, &some, &measured).await?);
        measurements.extend(measured.into_iter().filter(|m| shown.contains(&(m.window.clone(), m.slice.end))));
    }
    let judging =
        JudgingContext { windows: &stored, measurements: &measurements, written: &written, first_run: run.is_first() };
    store_worst_samples(&mut transaction, run, read, &stored).await?;
    let transitions = judge(&mut transaction, run, &judging).await?;
    dispatch::changed(&mut transaction, run.origin().trigger(run.claim.is_manual()), run.routing).await?;
    let progress = read.progress(run.job, run.as_of);
    plan::prune_residuals(&mut transaction, run.plan.id, progress.residual_from).await?;
    plan::clear_due(&mut transaction, run.plan.id).await?;
    if read.gone > 0 {
        plan::purge_removed(&mut transaction, run.plan.id, read.generation).await?;
    }
    let publication = plan::Publication {
        job_id: run.claim.job_id,
        plan_id: run.plan.id,
        generation: read.generation,
        timezone: run.job.windows.zone.name(),
        about: &json!(about::describe(run.job)),
    };
    plan::advance(&mut transaction, publication, progress).await?;
    if summed.repaired.is_some() || run.plan.progress.is_none() || !run.job.is_incremental() {
        plan::reconciled(&mut transaction, run.plan.id, run.as_of).await?;
    }
    let done = Done {
        rows_read: summed.rebuilt_from.unwrap_or(read.rows),
        rows_beyond_horizon: read.beyond_horizon,
        buckets_recomputed: summed.buckets,
        buckets_repaired: summed.repaired,
        windows_written: i64::try_from(written.len()).unwrap_or(i64::MAX),
    };
    if !run::finish_ok(&mut transaction, run.claim, run.plan.id, run.as_of, done).await? {
        return Err(RunError::LostLease);
    }
    transaction.commit().await?;
    Ok(Outcome::Ok(Published { done, measurements, transitions }))
}

/// Returns the windows to write: without those for which another definition of the job measured more than this one
/// finds in the source. Data that the source has lost since then are no reason to lose the number.
async fn written_windows(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    windows: &[MeasuredWindow],
    measured: &mut Vec<Measurement>,
) -> Result<Vec<MeasuredWindow>, RunError> {
    // This plan's own buckets from earlier runs contain data that the source has lost; new buckets contain only what it has now.
    if run.plan.progress.is_some() && !run.is_first() {
        return Ok(windows.to_vec());
    }
    let pairs: Vec<(i64, &DueWindow)> = windows.iter().map(|window| (window.id, &window.window)).collect();
    let kept = shrink::keep_whole(connection, run.job, run.plan, run.as_of, &pairs, measured).await?;
    Ok(windows.iter().filter(|window| !kept.contains(&window.id)).cloned().collect())
}

/// Judges what was measured, and applies the judgements: asks and fetches for all rules, judges, then writes once.
async fn judge(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    judging: &JudgingContext<'_>,
) -> Result<Vec<StateChange>, RunError> {
    let loss = mark_losses(connection, run).await?;
    let (mut judgements, live) = rules::judge(connection, run, judging).await?;
    for slo in &run.job.slos {
        judgements.extend(objectives::judge(connection, run, slo).await?);
    }
    judgements.extend(run_health::judge(connection, run.origin(), loss.as_deref()).await?);
    let mut changes = transition::apply(connection, run.origin(), &judgements).await?;
    changes.extend(orphaned::close_orphaned(connection, run, &live).await?);
    Ok(changes)
}

/// Marks the windows that contain data which the source no longer has, and describes the loss.
async fn mark_losses(connection: &mut PgConnection, run: &RunContext<'_>) -> Result<Option<String>, RunError> {
    let since = run.job.windows.horizon_start(run.as_of);
    let standing = gone::standing(connection, run.plan.id, since).await?;
    if standing.is_some() {
        gone::mark_windows(connection, run.plan.id).await?;
    }
    Ok(standing.map(|standing| shrink::words(run.job, &standing)))
}

impl RunContext<'_> {
    fn publisher(&self) -> Publisher {
        let Claim { run_id, job_id, .. } = *self.claim;
        Publisher { run_id, job_id, plan_id: self.plan.id, as_of: self.as_of }
    }
}

/// Windows that are merged and stored per batch.
const AT_ONCE: usize = 200;

/// Names and ends of the windows whose measurements are needed: those that rules judge, and the newest of each kind.
fn shown(run: &RunContext<'_>, windows: &[MeasuredWindow]) -> BTreeSet<(String, DateTime<Utc>)> {
    let mut newest: BTreeMap<(&str, bool), DateTime<Utc>> = BTreeMap::new();
    for window in windows {
        let end = window.window.slice.end;
        for only_final in [false, true].into_iter().filter(|only_final| !only_final || window.is_final) {
            let known = newest.entry((window.window.name.as_str(), only_final)).or_insert(end);
            *known = end.max(*known);
        }
    }
    let judged = |name: &str| run.job.rules.iter().any(|rule| rule.window == name);
    let looked_at = |window: &&MeasuredWindow| {
        let (name, end) = (window.window.name.as_str(), window.window.slice.end);
        // The first run, or a run after another definition, judges only the newest.
        let newest = [false, true].iter().any(|only_final| newest.get(&(name, *only_final)) == Some(&end));
        newest || (!run.is_first() && judged(name))
    };
    windows.iter().filter(looked_at).map(|window| (window.window.name.clone(), window.window.slice.end)).collect()
}

/// Stores the windows and returns the earlier state of each.
async fn store_windows(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    windows: &[DueWindow],
) -> Result<Vec<MeasuredWindow>, RunError> {
    let (job_id, rules) = (run.claim.job_id, &run.job.windows);
    let names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.start).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.end).collect();
    let before: BTreeMap<(String, DateTime<Utc>), (bool, bool)> = window::stored(connection, job_id, &names, &ends)
        .await?
        .into_iter()
        .map(|window| ((window.name, window.end), (window.judged, window.settled)))
        .collect();
    let ids = window::upsert(connection, job_id, &names, &starts, &ends).await?;
    let last = run.plan.progress.map(|progress| progress.measured_as_of);
    let stored: Vec<MeasuredWindow> = ids
        .into_iter()
        .zip(windows)
        .map(|(id, window)| {
            let end = window.slice.end;
            let (judged, settled) = before.get(&(window.name.clone(), end)).copied().unwrap_or_default();
            // A window that was never judged, but was final at the last run, is in the past and pages no receiver.
            let past = !judged && last.is_some_and(|last| rules.is_final(end, last));
            MeasuredWindow {
                id,
                window: window.clone(),
                was_final: settled || past,
                is_final: rules.is_final(end, run.as_of),
                is_new: !judged,
            }
        })
        .collect();
    let final_now: Vec<i64> = stored.iter().filter(|window| window.is_final).map(|window| window.id).collect();
    window::finalize(connection, &final_now, run.as_of).await?;
    window::settle(
        connection,
        job_id,
        &stored.iter().map(|window| window.id).collect::<Vec<_>>(),
        run.as_of,
        rules.label_cutoff(run.as_of),
    )
    .await?;
    Ok(stored)
}

/// Stores the largest errors of the windows whose residuals are complete.
async fn store_worst_samples(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    read: &Read,
    windows: &[MeasuredWindow],
) -> Result<(), RunError> {
    if run.job.worst == 0 {
        return Ok(());
    }
    let whole = windows.iter().filter(|window| window.window.slice.start >= read.residual_from);
    let (ids, slices): (Vec<i64>, Vec<Slice>) = whole.map(|window| (window.id, window.window.slice)).unzip();
    let starts: Vec<DateTime<Utc>> = slices.iter().map(|slice| slice.start).collect();
    let ends: Vec<DateTime<Utc>> = slices.iter().map(|slice| slice.end).collect();
    let publisher = run.publisher();
    Ok(measurement::store_worst_samples(connection, publisher, &ids, &starts, &ends, run.job.worst).await?)
}

async fn store_measurements(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    windows: &[MeasuredWindow],
    measurements: &[Measurement],
) -> Result<BTreeSet<(i64, Target)>, RunError> {
    let publisher = run.publisher();
    let pairs: Vec<(i64, &DueWindow)> = windows.iter().map(|window| (window.id, &window.window)).collect();
    let written = store(connection, publisher, &pairs, measurements).await?;
    Ok(written
        .into_iter()
        .map(|w| (w.window_id, Target { cohort: w.cohort, model_version: w.model_version }))
        .collect())
}

/// Stores measurements of windows whose ids are known.
pub(super) async fn store(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &[(i64, &DueWindow)],
    measurements: &[Measurement],
) -> Result<Vec<measurement::Written>, RunError> {
    let ids: BTreeMap<(&str, DateTime<Utc>), i64> =
        windows.iter().map(|(id, w)| ((w.name.as_str(), w.slice.end), *id)).collect();
    let rows: Vec<NewMeasurement> =
        measurements.iter().filter_map(|m| Some(row(*ids.get(&(m.window.as_str(), m.slice.end))?, m))).collect();
    let Some(batch) = Batch::new(windows.iter().map(|(id, window)| (*id, window.slice.end))) else {
        return Ok(Vec::new());
    };
    Ok(measurement::publish(connection, publisher, &batch, &rows).await?)
}

fn row(window_id: i64, m: &Measurement) -> NewMeasurement {
    NewMeasurement {
        window_id,
        window_name: m.window.clone(),
        window_end: m.slice.end,
        cohort: m.cohort.label(),
        cohort_values: m.cohort.values(),
        model_version: m.model_version.clone(),
        predictions: m.sample.counts.predictions,
        labeled: m.sample.counts.labeled,
        excluded: m.sample.counts.excluded,
        duplicates: m.sample.counts.duplicates,
        ambiguous: m.sample.counts.ambiguous,
        numbers: Numbers {
            metrics: m.sample.metrics.clone(),
            intervals: m.sample.intervals.iter().map(|(name, i)| (name.clone(), (i.low, i.high))).collect(),
        },
        notes: notes(m),
        digest: m.digest.clone(),
    }
}

/// Subjects of the numbers: notes by metric, and the confusion matrix of several classes as triples of predicted class, actual
/// class and number of pairs. Null if there is nothing to say.
fn notes(m: &Measurement) -> Json {
    let of_metrics = m.sample.notes.iter().map(|(metric, note)| (metric.clone(), json!(note)));
    let confusion =
        (!m.confusion.is_empty()).then(|| ("confusion".to_owned(), json!(m.confusion.cells().collect::<Vec<_>>())));
    let notes: serde_json::Map<String, Json> = of_metrics.chain(confusion).collect();
    if notes.is_empty() { Json::Null } else { Json::Object(notes) }
}
