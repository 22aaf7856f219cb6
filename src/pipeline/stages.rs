//! The measuring stages of a run, each in a transaction of its own: what it wrote stays, whatever happens next.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

use super::failure::RunError;
use super::fence;
use crate::measure::arrivals::{self, Arrivals};
use crate::measure::windows::DueWindow;
use crate::measure::{buckets, rebuild};
use crate::plan::PlannedJob;
use crate::plan::due::Since;
use crate::plan::source::SourceFacts;
use crate::plan::window::{self, Slice};
use crate::store::job::{self, PlanRow};
use crate::store::measurement;
use crate::store::run::Claim;

/// What the first stage found.
pub(super) struct Read {
    /// Residuals that are new or changed, or predictions of a rebuild.
    pub rows: i64,
    /// Changed predictions that are older than the horizon: counted, and left to a backfill.
    pub beyond_horizon: i64,
    pub residual_from: DateTime<Utc>,
    pub built_from: DateTime<Utc>,
    /// Everything from here on was rebuilt from the source.
    rebuilt: bool,
    /// Touched buckets whose residuals are no longer kept.
    older: Vec<DateTime<Utc>>,
}

/// What the second stage did.
pub(super) struct Summed {
    /// Starts of the buckets that were recomputed; empty when all of them were.
    pub touched: Vec<DateTime<Utc>>,
    pub buckets: i64,
    /// Predictions that were read straight from the source.
    pub rebuilt_from: Option<i64>,
}

/// First stage: arrivals become residuals. A first run, or one without arrival times, reads its whole reach instead.
pub(super) async fn read(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan: &PlanRow,
    claim: &Claim,
    as_of: DateTime<Utc>,
) -> Result<Read, RunError> {
    let mut transaction = connection.begin().await?;
    job::lock_stages(&mut transaction, plan.id).await?;
    fence(&mut transaction, claim).await?;
    let read = match plan.progress.filter(|_| job.is_incremental()) {
        Some(progress) => {
            let arrivals = Arrivals {
                plan_id: plan.id,
                since: progress.measured_as_of - job.schedule.overlap,
                as_of,
                residual_from: progress.residual_from,
            };
            let rows = arrivals::upsert(&mut transaction, job, facts, arrivals).await?;
            let older = arrivals::older_buckets(&mut transaction, job, arrivals).await?;
            let floor = job.windows.horizon_start(as_of).max(progress.built_from);
            let (within, beyond): (Vec<_>, Vec<_>) = older.into_iter().partition(|bucket| bucket.start >= floor);
            Read {
                rows: i64::try_from(rows).unwrap_or(i64::MAX) + within.iter().map(|bucket| bucket.rows).sum::<i64>(),
                beyond_horizon: beyond.iter().map(|bucket| bucket.rows).sum(),
                residual_from: progress.residual_from,
                built_from: progress.built_from,
                rebuilt: false,
                older: within.into_iter().map(|bucket| bucket.start).collect(),
            }
        }
        None => reread(&mut transaction, job, facts, plan, as_of).await?,
    };
    fence(&mut transaction, claim).await?;
    transaction.commit().await?;
    Ok(read)
}

async fn reread(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan: &PlanRow,
    as_of: DateTime<Utc>,
) -> Result<Read, RunError> {
    let reach = job.windows.reach(as_of);
    let residual_from = window::floor(as_of - job.keep, job.windows.bucket).max(reach);
    // Without arrival times there is nothing that residuals would make cheaper.
    let rows = if job.is_incremental() {
        arrivals::reread(connection, job, facts, plan.id, as_of, residual_from..END_OF_TIME).await?
    } else {
        0
    };
    Ok(Read {
        rows: i64::try_from(rows).unwrap_or(i64::MAX),
        beyond_horizon: 0,
        residual_from,
        built_from: plan.progress.map_or(reach, |progress| progress.built_from),
        rebuilt: true,
        older: Vec::new(),
    })
}

/// Later than any event time that a table holds.
const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp(32_503_680_000, 0).expect("the year 3000");

/// Second stage: touched buckets are recomputed whole.
pub(super) async fn sum(
    connection: &mut PgConnection,
    job: &PlannedJob,
    facts: &SourceFacts,
    plan: &PlanRow,
    claim: &Claim,
    as_of: DateTime<Utc>,
    read: &Read,
) -> Result<Summed, RunError> {
    let mut transaction = connection.begin().await?;
    job::lock_stages(&mut transaction, plan.id).await?;
    fence(&mut transaction, claim).await?;
    let summed = if read.rebuilt {
        let range = job.windows.reach(as_of)..END_OF_TIME;
        rebuild::range(&mut transaction, job, facts, plan.id, as_of, &range).await?;
        let (buckets, predictions) = job::range_counts(&mut transaction, plan.id, &range).await?;
        let touched = match plan.progress {
            Some(_) => job::bucket_starts(&mut transaction, plan.id, &range).await?,
            None => Vec::new(),
        };
        Summed { touched, buckets, rebuilt_from: Some(predictions) }
    } else {
        let after = plan.progress.map_or(as_of, |progress| progress.measured_as_of);
        let changed = job::changed_buckets(&mut transaction, plan.id, after).await?;
        let (recent, moved): (Vec<_>, Vec<_>) = changed.into_iter().partition(|start| *start >= read.residual_from);
        buckets::recompute(&mut transaction, job, plan.id, as_of, &recent).await?;
        let older: BTreeSet<_> = read.older.iter().copied().chain(moved).collect();
        let older: Vec<_> = older.into_iter().collect();
        rebuild::starts(&mut transaction, job, facts, plan.id, as_of, &older).await?;
        let buckets = i64::try_from(recent.len() + older.len()).unwrap_or(i64::MAX);
        Summed { touched: [recent, older].concat(), buckets, rebuilt_from: None }
    };
    fence(&mut transaction, claim).await?;
    transaction.commit().await?;
    Ok(summed)
}

/// The windows to measure: those that ended, those with touched buckets, and stored ones that are final now.
pub(super) async fn due_windows(
    connection: &mut PgConnection,
    job: &PlannedJob,
    job_id: i64,
    plan: &PlanRow,
    as_of: DateTime<Utc>,
    read: &Read,
    summed: &Summed,
) -> Result<Vec<DueWindow>, RunError> {
    let last = plan.progress.map(|progress| progress.measured_as_of);
    let since = Since { last, as_of, built_from: read.built_from, touched: &summed.touched };
    let mut due = job.windows.due(&since);
    let waiting = measurement::provisional(connection, job_id, as_of - job.windows.label_wait).await?;
    due.extend(
        waiting
            .into_iter()
            .filter(|window| job.windows.keeps(&window.name) && window.start >= read.built_from)
            .map(|window| (window.name, Slice { start: window.start, end: window.end })),
    );
    Ok(named(due))
}

/// Windows in order of their end, so that they are judged in order.
pub(super) fn named(due: BTreeSet<(String, Slice)>) -> Vec<DueWindow> {
    let mut windows: Vec<DueWindow> = due.into_iter().map(|(name, slice)| DueWindow { name, slice }).collect();
    windows.sort_by(|a, b| (a.slice.end, &a.name).cmp(&(b.slice.end, &b.name)));
    windows
}
