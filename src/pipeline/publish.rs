//! The publishing transaction: measurements, verdicts, alert state and outbox commit together, fenced by the run's epoch.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::{Connection, PgConnection};

use super::failure::RunError;
use super::judge::{Bench, MeasuredWindow, Target};
use super::{Published, tell};
use crate::measure::windows::DueWindow;
use crate::plan::PlannedJob;
use crate::plan::measurement::Measurement;
use crate::store::job::{self, Progress};
use crate::store::measurement::{self, NewMeasurement, Publisher};
use crate::store::run::{self, Claim, Done};

/// What is published, by whom.
pub(super) struct Context<'a> {
    pub job: &'a PlannedJob,
    pub claim: &'a Claim,
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub progress: Progress,
    pub first_run: bool,
}

/// Publishes a run, or nothing.
pub(super) async fn publish(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[DueWindow],
    measurements: Vec<Measurement>,
    mut done: Done,
) -> Result<Published, RunError> {
    let mut transaction = connection.begin().await?;
    job::lock_stages(&mut transaction, context.plan_id).await?;
    let stored = store_windows(&mut transaction, context, windows).await?;
    let written = store_measurements(&mut transaction, context, &stored, &measurements).await?;
    done.windows_written = i64::try_from(written.len()).unwrap_or(i64::MAX);
    let bench =
        Bench { windows: &stored, measurements: &measurements, written: &written, first_run: context.first_run };
    let mut transitions = Vec::new();
    for rule in &context.job.rules {
        transitions.extend(tell::apply_rule(&mut transaction, context, &bench, rule).await?);
    }
    job::prune_residuals(&mut transaction, context.plan_id, context.progress.residual_from).await?;
    job::advance(&mut transaction, context.claim.job_id, context.plan_id, context.progress).await?;
    if !run::finish_ok(&mut transaction, context.claim, context.plan_id, context.as_of, done).await? {
        return Err(RunError::LostLease);
    }
    transaction.commit().await?;
    Ok(Published { done, measurements, transitions })
}

/// Stores the windows and says what each was before.
async fn store_windows(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[DueWindow],
) -> Result<Vec<MeasuredWindow>, RunError> {
    let names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.start).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.end).collect();
    let before: BTreeMap<(String, DateTime<Utc>), bool> =
        measurement::stored(connection, context.claim.job_id, &names, &ends)
            .await?
            .into_iter()
            .map(|window| ((window.name, window.end), window.finalized_at.is_some()))
            .collect();
    let ids =
        measurement::upsert_windows(connection, context.claim.job_id, context.claim.run_id, &names, &starts, &ends)
            .await?;
    let stored: Vec<MeasuredWindow> = ids
        .into_iter()
        .zip(windows)
        .map(|(id, window)| {
            let earlier = before.get(&(window.name.clone(), window.slice.end)).copied();
            MeasuredWindow {
                id,
                window: window.clone(),
                was_final: earlier == Some(true),
                is_final: context.job.windows.is_final(window.slice.end, context.as_of),
                is_new: earlier.is_none(),
            }
        })
        .collect();
    let final_now: Vec<i64> = stored.iter().filter(|window| window.is_final).map(|window| window.id).collect();
    measurement::finalize(connection, &final_now, context.as_of).await?;
    Ok(stored)
}

async fn store_measurements(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[MeasuredWindow],
    measurements: &[Measurement],
) -> Result<BTreeSet<(i64, Target)>, RunError> {
    let publisher = Publisher { run_id: context.claim.run_id, plan_id: context.plan_id, as_of: context.as_of };
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
    let all: Vec<i64> = windows.iter().map(|(id, _)| *id).collect();
    Ok(measurement::publish(connection, publisher, &all, &rows).await?)
}

fn row(window_id: i64, m: &Measurement) -> NewMeasurement {
    let intervals: serde_json::Map<String, Json> =
        m.intervals.iter().map(|(name, interval)| ((*name).to_owned(), json!([interval.low, interval.high]))).collect();
    NewMeasurement {
        window_id,
        cohort: m.cohort.label(),
        cohort_values: m.cohort.values(),
        model_version: m.model_version.clone(),
        predictions: m.counts.predictions,
        labeled: m.counts.labeled,
        excluded: m.counts.excluded,
        duplicates: m.counts.duplicates,
        ambiguous: m.counts.ambiguous,
        metrics: json!(m.metrics),
        intervals: Json::Object(intervals),
        digest: m.digest.clone(),
    }
}
