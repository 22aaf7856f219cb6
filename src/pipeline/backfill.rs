//! Past windows, recomputed from everything known now, in chunks so that a kill costs one chunk; never raises alerts.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::{Connection, PgConnection, PgPool};

use super::{classes, expect_unique, fence, publish, realign, register_plan, shrink, stages};
use crate::domain::window;
use crate::plan::PlannedJob;
use crate::plan::source::SourceFacts;
use crate::postgres::held;
use crate::store::clock;
use crate::store::history::measurement::Publisher;
use crate::store::history::{gone, window as stored};
use crate::store::ledger::backfill as ledger;
use crate::store::ledger::backfill::{BackfillRequest, BackfillRow};
use crate::store::ledger::plan::{self, PlanRow};
use crate::store::ledger::run::{self, Claim, Done};
use crate::warehouse::failure::{self, RunError};
use crate::warehouse::pairs::arrivals::{self, Reread};
use crate::warehouse::pairs::rebuild::{self, Build};
use crate::warehouse::pairs::reconcile::Compared;
use crate::warehouse::windows::{self, DueWindow};
use crate::warehouse::{inspect, session};

/// Scope of a backfill.
#[derive(Debug, Clone)]
pub struct Request {
    /// Windows that overlap this range.
    pub range: Range<DateTime<Utc>>,
    /// Distance of rolling windows; `None`: one at each scheduled tick.
    pub step: Option<TimeDelta>,
    /// History follows the source, even where the source has lost data.
    pub accept_loss: bool,
}

/// Result of a backfill.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finished {
    pub done: Done,
    /// Buckets and windows that were kept unchanged, because the source no longer has the data measured there.
    pub kept: usize,
}

/// Progress of a backfill.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub windows_done: usize,
    pub windows_total: usize,
    pub predictions: i64,
}

/// An interrupted backfill is resumed for this long after it began; later it begins again.
const RESUMABLE: TimeDelta = TimeDelta::hours(6);
/// Event time that is rebuilt in one transaction.
const CHUNK: TimeDelta = TimeDelta::days(14);
/// Windows that are merged and published in one transaction.
const WINDOWS_AT_ONCE: usize = 250;
/// Batches published at the same time, each on its own connection, in addition to those of the rebuild and the lease.
const AT_THE_SAME_TIME: u32 = 3;

/// Runs a claimed backfill. Calls `report` after every chunk. If an expression fails on a row, continues row by row.
pub async fn run(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    request: &Request,
    report: &mut (dyn FnMut(Progress) + Send),
) -> Result<Finished, RunError> {
    let is_guarded = held::within(pool, held::SHORT, async |connection| {
        Ok::<bool, RunError>(register_plan(connection, job, claim.job_id, &job.fingerprint()).await?.guarded)
    });
    if !is_guarded.await? {
        match run_once(pool, job, claim, request, report).await {
            Err(error) if error.is_of_an_expression(job) => {}
            done => return done,
        }
        let guard = held::within(pool, held::SHORT, async |connection| {
            let plan = register_plan(connection, job, claim.job_id, &job.fingerprint()).await?;
            Ok::<(), RunError>(plan::guard(connection, plan.id).await?)
        });
        guard.await?;
    }
    run_once(pool, &job.evaluated_row_by_row(), claim, request, report).await
}

async fn run_once(
    pool: &PgPool,
    job: &PlannedJob,
    claim: &Claim,
    request: &Request,
    report: &mut (dyn FnMut(Progress) + Send),
) -> Result<Finished, RunError> {
    let prepared = held::within_own_settings(pool, failure::deadline(job.schedule.timeout), async |connection| {
        prepare(connection, job, claim, request).await
    });
    let Prepared { plan, facts, now, windows, row } = prepared.await?;
    let Some((span, row)) = row else {
        return finish(pool, claim, &plan, now, Finished::default(), None).await;
    };
    let work = Work { pool, job, facts: &facts, plan: &plan, claim, row: &row, accept_loss: request.accept_loss };
    let outcome = work.chunks((&windows, span, &request.range), report).await;
    if let Err(error) = &outcome
        && error.cure() == failure::Cure::Fail
    {
        // If it is requested again, it begins again: the cause of the failure will be fixed by then.
        held::within(pool, held::SHORT, async |connection| ledger::finish(connection, row.id).await).await?;
    }
    finish(pool, claim, &plan, row.as_of, outcome?, Some(row.id)).await
}

/// Input of a backfill.
struct Prepared {
    plan: PlanRow,
    facts: SourceFacts,
    now: DateTime<Utc>,
    windows: Vec<DueWindow>,
    /// The time that the windows cover, and the backfill's row in the ledger. `None` without windows.
    row: Option<(Range<DateTime<Utc>>, BackfillRow)>,
}

async fn prepare(
    connection: &mut PgConnection,
    job: &PlannedJob,
    claim: &Claim,
    request: &Request,
) -> Result<Prepared, RunError> {
    failure::limit_time(connection, job.schedule.timeout, claim.lease()).await?;
    let plan = register_plan(connection, job, claim.job_id, &job.fingerprint()).await?;
    let facts = super::inspect(connection, job).await?;
    expect_unique(connection, job, request.range.start).await?;
    let now = clock::now(connection).await?;
    let windows = asked_windows(job, request, now, beginning(connection, job, claim.job_id).await?);
    let Some(span) = span(&windows) else { return Ok(Prepared { plan, facts, now, windows, row: None }) };
    let asked = BackfillRequest {
        plan_id: plan.id,
        from: request.range.start,
        to: request.range.end,
        step_ms: request.step.map(|step| step.num_milliseconds()),
    };
    let row = match ledger::resume(connection, asked, now - RESUMABLE, now).await? {
        Some(row) => row,
        None => ledger::begin(connection, asked, now, span.start).await?,
    };
    Ok(Prepared { plan, facts, now, windows, row: Some((span, row)) })
}

/// Context of a backfill.
struct Work<'a> {
    pool: &'a PgPool,
    job: &'a PlannedJob,
    facts: &'a SourceFacts,
    plan: &'a PlanRow,
    claim: &'a Claim,
    row: &'a BackfillRow,
    accept_loss: bool,
}

impl Work<'_> {
    async fn chunks(
        &self,
        (windows, span, asked): (&[DueWindow], Range<DateTime<Utc>>, &Range<DateTime<Utc>>),
        report: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Finished, RunError> {
        let (job, row) = (self.job, self.row);
        let Finished { mut done, mut kept } = Finished::default();
        let mut generations = Vec::new();
        let mut next = windows.iter().position(|window| window.slice.end > row.done_until).unwrap_or(windows.len());
        // Finished chunks are not rebuilt, but windows that begin in them are still merged from their buckets.
        let mut at = row.done_until.max(span.start);
        while at < span.end {
            // Chunks consist of whole buckets: half a bucket would be taken for all of it.
            let step = window::floor(at + CHUNK, job.windows.bucket).max(at + job.windows.bucket);
            let chunk = at..step.min(span.end);
            let rebuilt = self.rebuild(&chunk).await?;
            done.buckets_recomputed += rebuilt.buckets;
            done.rows_read += rebuilt.predictions;
            kept += rebuilt.kept;
            generations.push(rebuilt.generation);
            let ready = windows[next..].iter().take_while(|window| window.slice.end <= chunk.end).count();
            // Merging windows is most of the work, and they are independent.
            let batches = windows[next..next + ready].chunks(WINDOWS_AT_ONCE);
            // One connection rebuilds, and one is reserved for the lease.
            let beside = self.pool.options().get_max_connections().saturating_sub(2).clamp(1, AT_THE_SAME_TIME);
            let beside = usize::try_from(beside).unwrap_or(1);
            let mut published = stream::iter(batches).map(|batch| self.publish(batch)).buffer_unordered(beside);
            while let Some(batch) = published.try_next().await? {
                done.windows_written += batch.written;
                kept += batch.kept;
                next += batch.windows;
                report(Progress { windows_done: next, windows_total: windows.len(), predictions: done.rows_read });
            }
            let advanced = held::within(self.pool, held::SHORT, async |connection| {
                ledger::advance(connection, row.id, chunk.end).await
            });
            advanced.await?;
            at = chunk.end;
        }
        let cleared = held::within(self.pool, held::SHORT, async |connection| {
            plan::clear_due_of(connection, self.plan.id, &generations, asked).await
        });
        cleared.await?;
        Ok(Finished { done, kept })
    }

    /// Rebuilds a chunk on its own connection, so that a silent connection is noticed when the job's time limit ends.
    async fn rebuild(&self, chunk: &Range<DateTime<Utc>>) -> Result<Rebuilt, RunError> {
        let limit = self.job.schedule.timeout;
        held::within_own_settings(self.pool, failure::deadline(limit), async |connection| {
            failure::limit_time(connection, limit, self.claim.lease()).await?;
            self.rebuild_chunk(connection, chunk).await
        })
        .await
    }

    /// Measures and stores some windows on a connection of its own.
    async fn publish(&self, batch: &[DueWindow]) -> Result<Batch, RunError> {
        let limit = self.job.schedule.timeout;
        held::within_own_settings(self.pool, failure::deadline(limit), async |connection| {
            failure::limit_time(connection, limit, self.claim.lease()).await?;
            self.publish_batch(connection, batch).await
        })
        .await
    }
}

/// Merged windows and written measurements.
struct Batch {
    windows: usize,
    written: i64,
    /// Windows that keep their stored measurements.
    kept: usize,
}

/// Returns the time before which there is neither a prediction nor a stored window. `None` without either.
async fn beginning(
    connection: &mut PgConnection,
    job: &PlannedJob,
    job_id: i64,
) -> Result<Option<DateTime<Utc>>, RunError> {
    let first = inspect::first_event(connection, job).await?;
    let stored = stored::first_start(connection, job_id).await?;
    Ok(first.into_iter().chain(stored).min())
}

/// Returns tumbling windows that overlap the range and have ended, and rolling ones at each tick, oldest end first.
/// Windows before `beginning` are omitted, because they would be empty.
fn asked_windows(
    job: &PlannedJob,
    request: &Request,
    now: DateTime<Utc>,
    beginning: Option<DateTime<Utc>>,
) -> Vec<DueWindow> {
    let Some(beginning) = beginning else { return Vec::new() };
    let until = request.range.end.min(now);
    let from = request.range.start.max(beginning);
    if from >= request.range.end {
        return Vec::new();
    }
    let ticks = match request.step {
        None => job.schedule.cadence.slots(from - TimeDelta::seconds(1), until, usize::MAX),
        Some(step) => std::iter::successors(Some(request.range.start), |tick| Some(*tick + step))
            .take_while(|tick| *tick <= until)
            .collect(),
    };
    let ticks: Vec<DateTime<Utc>> =
        ticks.into_iter().filter(|tick| *tick >= from && *tick < request.range.end).collect();
    let mut windows = job.windows.overlapping(&(from..request.range.end), now);
    windows.extend(job.windows.rolling_at(&ticks));
    stages::named(windows)
}

fn span(windows: &[DueWindow]) -> Option<Range<DateTime<Utc>>> {
    let start = windows.iter().map(|window| window.slice.start).min()?;
    let end = windows.iter().map(|window| window.slice.end).max()?;
    Some(start..end)
}

/// Result of rebuilding a chunk.
struct Rebuilt {
    buckets: i64,
    predictions: i64,
    generation: i64,
    /// Buckets that are kept unchanged.
    kept: usize,
}

impl Work<'_> {
    /// Rebuilds the buckets of a chunk from the source, and its residuals if they are kept.
    async fn rebuild_chunk(
        &self,
        connection: &mut PgConnection,
        chunk: &Range<DateTime<Utc>>,
    ) -> Result<Rebuilt, RunError> {
        let Self { job, plan, .. } = *self;
        let mut transaction = session::begin(connection, self.facts).await?;
        plan::lock_stages(&mut transaction, plan.id).await?;
        fence(&mut transaction, self.claim).await?;
        let opened = plan::open_stage(&mut transaction, plan.id, self.row.as_of).await?;
        let before = plan::bucket_starts(&mut transaction, plan.id, job.windows.grain(), chunk).await?;
        let kept = self.rebuild_buckets(&mut transaction, chunk, opened.generation).await?;
        stages::limit_cells(&mut transaction, plan.id).await?;
        let (buckets, predictions) = plan::range_counts(&mut transaction, plan.id, job.windows.grain(), chunk).await?;
        // The next run revises windows outside the requested range, and all of them if this backfill is interrupted.
        let after = plan::bucket_starts(&mut transaction, plan.id, job.windows.grain(), chunk).await?;
        let starts: Vec<DateTime<Utc>> = before.into_iter().chain(after).collect();
        if plan.progress.is_some() {
            plan::note_due(&mut transaction, plan.id, opened.generation, &starts).await?;
        }
        transaction.commit().await?;
        Ok(Rebuilt { buckets, predictions, generation: opened.generation, kept })
    }

    /// Returns the number of buckets that are kept unchanged.
    async fn rebuild_buckets(
        &self,
        connection: &mut PgConnection,
        chunk: &Range<DateTime<Utc>>,
        generation: i64,
    ) -> Result<usize, RunError> {
        let Self { job, facts, plan, .. } = *self;
        let as_of = self.row.as_of;
        // The next run recomputes buckets from residuals, so residuals must match the source.
        let recent = plan.progress.filter(|progress| job.is_incremental() && chunk.end > progress.residual_from);
        let recent = recent.map(|progress| chunk.start.max(progress.residual_from)..chunk.end);
        if self.accept_loss {
            gone::forget(connection, plan.id, chunk, &[]).await?;
            gone::unmark(connection, self.claim.job_id, chunk).await?;
        } else {
            let compared = Compared { facts, plan_id: plan.id, as_of, range: chunk, starts: None, is_horizon: false };
            let shrink::Verdict { apply, withheld } =
                shrink::compare(connection, job, &compared, &shrink::Touched::new()).await?;
            if !withheld.is_empty() {
                rebuild::starts(connection, job, facts, plan.id, as_of, &apply).await?;
                let recent: Vec<DateTime<Utc>> =
                    apply.into_iter().filter(|start| recent.as_ref().is_some_and(|r| r.contains(start))).collect();
                arrivals::reread_buckets(connection, job, facts, plan.id, as_of, &recent, generation).await?;
                return Ok(withheld.len());
            }
        }
        let build = Build { plan_id: plan.id, as_of, range: chunk.clone(), from_scratch: false };
        rebuild::range(connection, job, facts, &build).await?;
        if let Some(range) = recent {
            let reread = Reread { plan_id: plan.id, as_of, range, generation, from_scratch: false };
            arrivals::reread(connection, job, facts, &reread).await?;
        }
        Ok(0)
    }

    async fn publish_batch(&self, connection: &mut PgConnection, batch: &[DueWindow]) -> Result<Batch, RunError> {
        let Self { job, facts, plan, claim, row, .. } = *self;
        let mut transaction = session::begin(connection, self.facts).await?;
        // Runs in parallel with other batches, and never with a stage that writes buckets.
        plan::lock_stages_shared(&mut transaction, plan.id).await?;
        fence(&mut transaction, claim).await?;
        let mut measurements = windows::measure(&mut transaction, job, facts, plan.id, row.as_of, batch).await?;
        let names: Vec<String> = batch.iter().map(|window| window.name.clone()).collect();
        let starts: Vec<DateTime<Utc>> = batch.iter().map(|window| window.slice.start).collect();
        let ends: Vec<DateTime<Utc>> = batch.iter().map(|window| window.slice.end).collect();
        let ids = stored::upsert(&mut transaction, claim.job_id, &names, &starts, &ends).await?;
        let mut pairs: Vec<(i64, &DueWindow)> = ids.into_iter().zip(batch).collect();
        let kept = match self.accept_loss {
            true => BTreeSet::new(),
            false => shrink::keep_whole(&mut transaction, job, plan, row.as_of, &pairs, &mut measurements).await?,
        };
        pairs.retain(|(id, _)| !kept.contains(id));
        classes::name(&mut transaction, job, facts, claim.job_id, &measurements).await?;
        let Claim { run_id, job_id, .. } = *claim;
        let publisher = Publisher { run_id, job_id, plan_id: plan.id, as_of: row.as_of };
        realign::replace(&mut transaction, publisher, &job.name, &pairs).await?;
        let written = publish::store(&mut transaction, publisher, &pairs, &measurements).await?;
        let is_final = |window: &DueWindow| job.windows.is_final(window.slice.end, row.as_of);
        let final_now: Vec<i64> = pairs.iter().filter(|(_, window)| is_final(window)).map(|(id, _)| *id).collect();
        stored::finalize(&mut transaction, &final_now, row.as_of).await?;
        transaction.commit().await?;
        let written = i64::try_from(written.len()).unwrap_or(i64::MAX);
        Ok(Batch { windows: batch.len(), written, kept: kept.len() })
    }
}

async fn finish(
    pool: &PgPool,
    claim: &Claim,
    plan: &PlanRow,
    as_of: DateTime<Utc>,
    finished: Finished,
    backfill_id: Option<i64>,
) -> Result<Finished, RunError> {
    held::within(pool, held::SHORT, async |connection| {
        let mut transaction = connection.begin().await?;
        if let Some(id) = backfill_id {
            ledger::finish(&mut transaction, id).await?;
        }
        if !run::finish_ok(&mut transaction, claim, plan.id, as_of, finished.done).await? {
            return Err(RunError::LostLease);
        }
        transaction.commit().await?;
        Ok(finished)
    })
    .await
}
