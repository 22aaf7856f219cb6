//! Prometheus metrics of a scheduler. No cohort and no value of a user's data: names of jobs and receivers only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::postgres::held;
use crate::store::ledger::run::Done;
use crate::store::read::gauges::Gauges;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
/// Start of counting in this process, on a monotonic clock.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Time of the last successful check of the ledger, in milliseconds since `STARTED`. 0: never.
static LAST_LOOK: AtomicU64 = AtomicU64::new(0);

/// Bounds of durations, in seconds.
const DURATIONS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// Installs the recorder. Without it, counting is free and nothing is kept.
pub fn install() -> Result<(), BuildError> {
    LazyLock::force(&STARTED);
    let handle = PrometheusBuilder::new().set_buckets(&DURATIONS)?.install_recorder()?;
    describe_counter!("trueup_runs_total", "Runs that ended in this process, by job and outcome.");
    describe_histogram!("trueup_run_duration_seconds", "Duration of runs, by job.");
    describe_counter!("trueup_rows_read_total", "Source rows that runs of this process read, by job.");
    describe_counter!("trueup_windows_written_total", "Measurements that runs of this process wrote, by job.");
    describe_counter!("trueup_deliveries_total", "Delivery attempts of this process, by receiver and outcome.");
    describe_gauge!("trueup_job_lag_seconds", "Age of the newest published as-of time of a job.");
    describe_gauge!("trueup_job_unfinished_runs", "Slots of a job that are due or running.");
    describe_gauge!("trueup_alerts_firing", "Firing alerts, by job and severity.");
    describe_gauge!("trueup_outbox_pending", "Notifications that are not delivered yet.");
    describe_gauge!("trueup_outbox_oldest_seconds", "Age of the oldest overdue notification.");
    describe_gauge!(
        "trueup_job_files_broken",
        "Job files with errors: their last valid definition is served, if there is one."
    );
    describe_gauge!("trueup_jobs", "Jobs that this process serves.");
    describe_counter!(
        "trueup_connections_lost_total",
        "Database connections that this process closed because they did not answer in time."
    );
    describe_gauge!("trueup_jobs_locked", "Overdue jobs whose row is locked by another session.");
    // A second call in one process keeps the first recorder.
    drop(HANDLE.set(handle));
    Ok(())
}

/// Records a successful check of the ledger. A failed one is no sign of life.
pub(crate) fn looked() {
    LAST_LOOK.store(elapsed_ms().max(1), Ordering::Relaxed);
}

/// True if a check of the ledger ever succeeded.
pub fn has_looked() -> bool {
    LAST_LOOK.load(Ordering::Relaxed) > 0
}

/// Returns the time since the last successful check of the ledger; before the first, since the process began.
pub fn silent_for() -> Duration {
    Duration::from_millis(elapsed_ms().saturating_sub(LAST_LOOK.load(Ordering::Relaxed)))
}

fn elapsed_ms() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Counts a run.
pub(crate) fn ended(job: &str, outcome: &'static str, done: Option<Done>, took: Duration) {
    counter!("trueup_runs_total", "job" => job.to_owned(), "outcome" => outcome).increment(1);
    histogram!("trueup_run_duration_seconds", "job" => job.to_owned()).record(took);
    if let Some(done) = done {
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        counter!("trueup_rows_read_total", "job" => job.to_owned()).increment(count(done.rows_read));
        counter!("trueup_windows_written_total", "job" => job.to_owned()).increment(count(done.windows_written));
    }
}

/// Counts attempts to deliver, by outcome.
pub(crate) fn delivered(receiver: &str, outcomes: [(&'static str, usize); 3]) {
    for (outcome, count) in outcomes {
        if count > 0 {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            counter!("trueup_deliveries_total", "receiver" => receiver.to_owned(), "outcome" => outcome)
                .increment(count);
        }
    }
}

/// Records the number of jobs served, and of job files with mistakes.
pub fn files(jobs: usize, broken: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a number of files")]
    {
        gauge!("trueup_jobs").set(jobs as f64);
        gauge!("trueup_job_files_broken").set(broken as f64);
    }
}

/// Records the number of jobs that are overdue while another session locks their row.
#[expect(clippy::cast_precision_loss, reason = "a number of jobs")]
pub(crate) fn locked(jobs: usize) {
    gauge!("trueup_jobs_locked").set(jobs as f64);
}

/// Renders all metrics for Prometheus, with the current gauges of the ledger. Returns `None` if no recorder is installed.
#[expect(clippy::cast_precision_loss, reason = "counts of rows")]
pub fn render(ledger: &Gauges) -> Option<String> {
    let handle = HANDLE.get()?;
    for job in &ledger.jobs {
        if let Some(lag) = job.lag_seconds {
            gauge!("trueup_job_lag_seconds", "job" => job.name.clone()).set(lag);
        }
        gauge!("trueup_job_unfinished_runs", "job" => job.name.clone()).set(job.unfinished as f64);
        for (severity, firing) in [("page", job.pages), ("ticket", job.tickets), ("info", job.infos)] {
            gauge!("trueup_alerts_firing", "job" => job.name.clone(), "severity" => severity).set(firing as f64);
        }
    }
    counter!("trueup_connections_lost_total").absolute(held::lost());
    gauge!("trueup_outbox_pending").set(ledger.pending as f64);
    gauge!("trueup_outbox_oldest_seconds").set(ledger.oldest_seconds.unwrap_or(0.0).max(0.0));
    handle.run_upkeep();
    Some(handle.render())
}
