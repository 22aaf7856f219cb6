//! The measuring stages of a run, each in a transaction of its own, so that its results stay if a later one fails.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::fence;
use super::shrink::{self, Touched};
use crate::alerting::RunContext;
use crate::domain::window::Slice;
use crate::plan::due::Since;
use crate::store::history::window;
use crate::store::ledger::plan::{self, OpenStage, Progress};
use crate::warehouse::failure::{MOST_CELLS, RunError};
use crate::warehouse::pairs::arrivals::{self, Arrivals, Cells, Reread};
use crate::warehouse::pairs::buckets;
use crate::warehouse::pairs::rebuild::{self, Build};
use crate::warehouse::pairs::reconcile::Compared;
use crate::warehouse::session;
use crate::warehouse::windows::DueWindow;

/// Result of the first stage.
pub(super) struct Read {
    /// New or changed residuals, or predictions of a rebuild.
    pub rows: i64,
    /// Changed predictions that are older than the horizon: counted, and left to a backfill.
    pub beyond_horizon: i64,
    pub residual_from: DateTime<Utc>,
    pub built_from: DateTime<Utc>,
    pub generation: i64,
    /// Residuals that the source no longer yields.
    pub gone: i64,
    /// Cells whose residuals changed.
    recent: Cells,
    /// Range to build straight from the source.
    build: Option<Range<DateTime<Utc>>>,
    /// Touched buckets whose residuals are no longer kept.
    older: Touched,
}

impl Read {
    /// True if no residual changed and no range is to be built: buckets stay as they are.
    fn is_empty(&self) -> bool {
        self.rows == 0 && self.build.is_none() && self.recent.starts.is_empty() && self.older.is_empty()
    }
}

/// Result of the second stage.
pub(super) struct Summed {
    /// Starts of buckets that were recomputed or removed; empty if all of them were built for the first time.
    pub touched: Vec<DateTime<Utc>>,
    pub buckets: i64,
    /// Predictions read straight from the source.
    pub rebuilt_from: Option<i64>,
    /// Buckets that differed from the source, if the run compared them.
    pub repaired: Option<i64>,
}

/// First stage: arrivals become residuals. A first run, or one without arrival times, reads its whole reach instead.
pub(super) async fn read(connection: &mut PgConnection, run: &RunContext<'_>) -> Result<Read, RunError> {
    let mut transaction = session::begin(connection, run.facts).await?;
    plan::lock_stages(&mut transaction, run.plan.id).await?;
    fence(&mut transaction, run.claim).await?;
    let opened = plan::open_stage(&mut transaction, run.plan.id, run.as_of).await?;
    let read = match run.plan.progress.filter(|_| run.job.is_incremental()) {
        Some(progress) => arrivals_since(&mut transaction, run, opened, progress).await?,
        None => reread(&mut transaction, run, opened.generation).await?,
    };
    if !read.is_empty() {
        limit_cells(&mut transaction, run.plan.id).await?;
        fence(&mut transaction, run.claim).await?;
    }
    transaction.commit().await?;
    Ok(read)
}

async fn arrivals_since(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    opened: OpenStage,
    progress: Progress,
) -> Result<Read, RunError> {
    let (job, as_of) = (run.job, run.as_of);
    let since = progress.measured_as_of - job.schedule.overlap;
    let arrivals = Arrivals { plan_id: run.plan.id, since, as_of, generation: opened.generation };
    let mut upserted = arrivals::upsert(connection, job, run.facts, arrivals).await?;
    if opened.unpublished {
        arrivals::unpublished(connection, job, run.facts, arrivals, &mut upserted.cells).await?;
    }
    // A window longer than before reaches further back than the built buckets: build the gap now.
    let reach = job.windows.reach(as_of);
    let build = (reach < progress.built_from).then_some(reach..progress.built_from);
    let floor = job.windows.horizon_start(as_of).max(progress.built_from);
    let mut read = Read {
        rows: upserted.changed,
        beyond_horizon: 0,
        residual_from: progress.residual_from,
        built_from: progress.built_from.min(reach),
        generation: opened.generation,
        gone: upserted.gone,
        recent: Cells::default(),
        build,
        older: Touched::new(),
    };
    let mut older = Touched::new();
    if !run.facts.predictions_unique {
        let copies = arrivals::older_copies(connection, job, arrivals, progress.residual_from).await?;
        older.extend(copies.into_iter().map(|start| (start, 0)));
    }
    for ((start, cell), rows) in upserted.cells {
        if start >= progress.residual_from {
            read.recent.starts.push(start);
            read.recent.cells.push(cell);
        } else if start >= floor {
            *older.entry(start).or_default() += rows;
        } else if read.build.as_ref().is_none_or(|build| !build.contains(&start)) {
            read.beyond_horizon += rows;
        }
    }
    read.older = older.into_iter().filter(|(start, _)| *start >= floor).collect();
    Ok(read)
}

async fn reread(connection: &mut PgConnection, run: &RunContext<'_>, generation: i64) -> Result<Read, RunError> {
    let (job, as_of) = (run.job, run.as_of);
    let reach = job.windows.reach(as_of);
    let residual_from = job.residual_from(as_of).max(reach);
    // Without arrival times, residuals would save nothing.
    let rows = if job.is_incremental() {
        let reread = Reread {
            plan_id: run.plan.id,
            as_of,
            range: residual_from..END_OF_TIME,
            generation,
            from_scratch: run.plan.progress.is_none(),
        };
        arrivals::reread(connection, job, run.facts, &reread).await?
    } else {
        0
    };
    Ok(Read {
        rows: i64::try_from(rows).unwrap_or(i64::MAX),
        beyond_horizon: 0,
        residual_from,
        built_from: run.plan.progress.map_or(reach, |progress| progress.built_from.min(reach)),
        generation,
        gone: 0,
        recent: Cells::default(),
        build: Some(reach..END_OF_TIME),
        older: Touched::new(),
    })
}

/// Later than any event time that is read.
pub(super) const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp(32_503_680_000, 0).expect("the year 3000");

/// Second stage: recomputes touched buckets whole.
pub(super) async fn sum(connection: &mut PgConnection, run: &RunContext<'_>, read: &Read) -> Result<Summed, RunError> {
    let mut summed = Summed { touched: Vec::new(), buckets: 0, rebuilt_from: None, repaired: None };
    if read.is_empty() {
        return Ok(summed);
    }
    let mut transaction = session::begin(connection, run.facts).await?;
    plan::lock_stages(&mut transaction, run.plan.id).await?;
    fence(&mut transaction, run.claim).await?;
    if let Some(range) = &read.build {
        build(&mut transaction, run, range, &mut summed).await?;
    }
    if run.job.is_incremental() && run.plan.progress.is_some() {
        recompute(&mut transaction, run, read, &mut summed).await?;
    }
    plan::note_due(&mut transaction, run.plan.id, read.generation, &summed.touched).await?;
    limit_cells(&mut transaction, run.plan.id).await?;
    fence(&mut transaction, run.claim).await?;
    transaction.commit().await?;
    Ok(summed)
}

/// Fails after a write of residuals or buckets if a plan has more cells than allowed, so that they are never committed.
pub(super) async fn limit_cells(connection: &mut PgConnection, plan_id: i64) -> Result<(), RunError> {
    let cells = plan::cells(connection, plan_id).await?;
    if cells > MOST_CELLS { Err(RunError::TooManyCells(cells)) } else { Ok(()) }
}

/// Builds a range straight from the source.
async fn build(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    range: &Range<DateTime<Utc>>,
    summed: &mut Summed,
) -> Result<(), RunError> {
    let (plan_id, grain) = (run.plan.id, run.job.windows.grain());
    let from_scratch = run.plan.progress.is_none();
    if from_scratch {
        let build = Build { plan_id, as_of: run.as_of, range: range.clone(), from_scratch };
        rebuild::range(connection, run.job, run.facts, &build).await?;
    } else {
        let compared = Compared { facts: run.facts, plan_id, as_of: run.as_of, range, starts: None, is_horizon: true };
        let apply = shrink::compare(connection, run.job, &compared, &Touched::new()).await?.apply;
        rebuild::starts(connection, run.job, run.facts, plan_id, run.as_of, &apply).await?;
        summed.touched.extend(apply);
    }
    let (buckets, predictions) = plan::range_counts(connection, plan_id, grain, range).await?;
    summed.buckets += if from_scratch { buckets } else { i64::try_from(summed.touched.len()).unwrap_or(i64::MAX) };
    summed.rebuilt_from = Some(predictions);
    Ok(())
}

/// Recomputes the buckets whose residuals changed; those whose residuals are no longer kept are rebuilt from the source.
async fn recompute(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    read: &Read,
    summed: &mut Summed,
) -> Result<(), RunError> {
    buckets::recompute(connection, run.job, run.plan.id, run.as_of, &read.recent).await?;
    let older = rebuild_older(connection, run, &read.older).await?;
    let touched: BTreeSet<DateTime<Utc>> = read.recent.starts.iter().copied().chain(older).collect();
    summed.buckets += i64::try_from(touched.len()).unwrap_or(i64::MAX);
    summed.touched.extend(touched);
    Ok(())
}

/// Rebuilds touched buckets whose residuals are no longer kept, as far as the source still has their data.
async fn rebuild_older(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    older: &Touched,
) -> Result<Vec<DateTime<Utc>>, RunError> {
    let starts: Vec<DateTime<Utc>> = older.keys().copied().collect();
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Ok(Vec::new()) };
    let range = *first..*last + run.job.windows.bucket;
    let compared = Compared {
        facts: run.facts,
        plan_id: run.plan.id,
        as_of: run.as_of,
        range: &range,
        starts: Some(&starts),
        is_horizon: false,
    };
    let apply = shrink::compare(connection, run.job, &compared, older).await?.apply;
    rebuild::starts(connection, run.job, run.facts, run.plan.id, run.as_of, &apply).await?;
    Ok(apply)
}

/// Returns the windows to measure: those that ended, those with touched buckets, and stored ones that are final now.
pub(super) async fn due_windows(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    read: &Read,
) -> Result<Vec<DueWindow>, RunError> {
    let (job, as_of) = (run.job, run.as_of);
    let last = run.plan.progress.map(|progress| progress.measured_as_of);
    // Buckets of this run, of interrupted runs and backfills, and those that a backfill did not publish.
    let touched = match last {
        Some(_) => plan::due_buckets(connection, run.plan.id).await?,
        None => Vec::new(),
    };
    let since = Since { last, as_of, built_from: read.built_from, touched: &touched, realigned: run.is_realigned() };
    let mut due = job.windows.due(&since);
    let waiting = window::waiting(connection, run.claim.job_id, job.windows.label_cutoff(as_of)).await?;
    let waiting = waiting.into_iter().filter(|window| window.start >= read.built_from);
    let waiting = waiting.map(|window| (window.name, Slice { start: window.start, end: window.end }));
    due.extend(waiting.filter(|(name, slice)| job.windows.keeps(name, *slice)));
    Ok(named(due))
}

/// Sorts windows by their end, so that they are judged in order.
pub(super) fn named(due: BTreeSet<(String, Slice)>) -> Vec<DueWindow> {
    let mut windows: Vec<DueWindow> = due.into_iter().map(|(name, slice)| DueWindow { name, slice }).collect();
    windows.sort_by(|a, b| (a.slice.end, &a.name).cmp(&(b.slice.end, &b.name)));
    windows
}
