//! A database with one job on it, driven in process as the commands drive it.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use trueup::pipeline::backfill::{self, Request};
use trueup::pipeline::enter::{Asked, Refused, enter};
use trueup::pipeline::execute::{self, Ended};
use trueup::pipeline::{Published, execute::leased};
use trueup::plan::{self, PlannedJob};
use trueup::spec::{Document, JobSpec, support};
use trueup::store::run::Done;

use super::database::TestDatabase;

pub const LEASE: TimeDelta = TimeDelta::seconds(30);

/// A test's database, and a job.
pub struct World {
    pub db: TestDatabase,
    pub job: PlannedJob,
}

/// Parses an instant.
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is not an instant"))
}

/// Plans a job that is meant to be right. Receivers `mail` and `hook` exist.
pub fn plan_job(toml: &str) -> PlannedJob {
    let fail = |findings: &[trueup::spec::Diagnostic]| -> ! {
        panic!("{}", findings.iter().map(|f| f.render("job.toml", toml, false)).collect::<Vec<_>>().join("\n"))
    };
    let document = Document::parse("job.toml", toml).unwrap_or_else(|f| fail(&f));
    let spec: JobSpec = document.read().unwrap_or_else(|f| fail(&f));
    let unsupported = support::unsupported_job_keys(&document, &spec);
    if !unsupported.is_empty() {
        fail(&unsupported);
    }
    plan::build::plan(&document, &spec, &["mail".into(), "hook".into()]).unwrap_or_else(|f| fail(&f)).0
}

impl World {
    /// A fresh database with tables made by `scene`, and a job.
    pub async fn new(scene: &str, toml: &str) -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene).await;
        Self { db, job: plan_job(toml) }
    }

    /// Runs the job as of a time, and expects it to publish.
    pub async fn run_at(&self, time: DateTime<Utc>) -> Published {
        match self.try_run_at(time).await {
            Ok(Ended::Ok(published)) => published,
            other => panic!("the run of {time} ended as {other:?}"),
        }
    }

    /// Runs the job as of a time.
    pub async fn try_run_at(&self, time: DateTime<Utc>) -> Result<Ended, Refused> {
        let claim = enter(&self.db.pool, &self.job, Asked::RunAt(time), "test", LEASE).await.expect("the ledger")?;
        Ok(execute::execute(&self.db.pool, &self.job, &claim, time, LEASE).await)
    }

    /// Backfills a range, rolling windows at each tick or step.
    pub async fn backfill(&self, range: Range<DateTime<Utc>>, step: Option<TimeDelta>) -> Done {
        let claim = enter(&self.db.pool, &self.job, Asked::Backfill, "test", LEASE).await.expect("the ledger").expect("a claim");
        let request = Request { range, step };
        let mut report = |_| {};
        let work = backfill::run(&self.db.pool, &self.job, &claim, &request, &mut report);
        leased(&self.db.pool, &claim, LEASE, work).await.expect("a backfill")
    }
}
