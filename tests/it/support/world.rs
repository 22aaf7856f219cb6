//! A database with one job on it, driven in process as the commands drive it.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use trueup::notify::policy::route::Routing;
use trueup::pipeline::backfill::{self, Finished, Request};
use trueup::pipeline::enter::{Refused, RunRequest, enter};
use trueup::pipeline::execute::{self, Ended};
use trueup::pipeline::{Published, execute::leased};
use trueup::plan::{self, PlannedJob};
use trueup::spec::{Document, JobSpec};
use trueup::store::ledger::run::Done;

use super::database::TestDatabase;

pub const LEASE: TimeDelta = TimeDelta::seconds(30);

/// A test's database, and a job.
pub struct World {
    pub db: TestDatabase,
    pub job: PlannedJob,
    pub routing: Routing,
    /// Whether every message is taken at once after a run: then each change is told by a message of its own.
    pub delivers: bool,
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
    plan::build::plan(&document, &spec, &plan::build::Surroundings::of_receivers(["mail", "hook"]))
        .unwrap_or_else(|f| fail(&f))
        .0
}

impl World {
    /// A fresh database with tables made by `scene`, and a job.
    pub async fn new(scene: &str, toml: &str) -> Self {
        let db = TestDatabase::new().await;
        db.execute(scene).await;
        Self { db, job: plan_job(toml), routing: Routing::default(), delivers: true }
    }

    /// Runs the job as of a time, and expects it to publish.
    pub async fn run_at(&self, time: DateTime<Utc>) -> Published {
        match self.try_run_at(time).await {
            Ok(Ended::Ok(published)) => published,
            other => panic!("the run of {time} ended as {other:?}"),
        }
    }

    /// Compares the whole horizon with the source, as of the database's now.
    pub async fn reconcile(&self) -> Published {
        let claim = enter(&self.db.pool, &self.job, RunRequest::Reconcile, "test", LEASE).await.expect("the ledger");
        let claim = claim.expect("a claim");
        let as_of = claim.scheduled_for;
        match execute::execute(&self.db.pool, &self.job, &claim, as_of, LEASE, &self.routing).await {
            Ended::Ok(published) => published,
            other => panic!("the reconciliation ended as {other:?}"),
        }
    }

    /// Runs the job as of a time.
    pub async fn try_run_at(&self, time: DateTime<Utc>) -> Result<Ended, Refused> {
        let claim =
            enter(&self.db.pool, &self.job, RunRequest::RunAt(time), "test", LEASE).await.expect("the ledger")?;
        let ended = execute::execute(&self.db.pool, &self.job, &claim, time, LEASE, &self.routing).await;
        if self.delivers {
            self.delivered().await;
        }
        Ok(ended)
    }

    /// Every message is taken.
    pub async fn delivered(&self) {
        self.db
            .execute("update trueup.notification set state = 'sent', attempt = 1, settled_at = clock_timestamp() where state = 'pending'")
            .await;
    }

    /// Backfills a range, rolling windows at each tick or step.
    pub async fn backfill(&self, range: Range<DateTime<Utc>>, step: Option<TimeDelta>) -> Done {
        self.backfill_with(Request { range, step, accept_loss: false }).await.done
    }

    /// Runs a backfill.
    pub async fn backfill_with(&self, request: Request) -> Finished {
        let claim = enter(&self.db.pool, &self.job, RunRequest::Backfill, "test", LEASE)
            .await
            .expect("the ledger")
            .expect("a claim");
        let mut report = |_| {};
        let work = backfill::run(&self.db.pool, &self.job, &claim, &request, &mut report);
        leased(&self.db.pool, &claim, LEASE, work).await.expect("a backfill")
    }
}

/// Tables `public.p` and `public.l`, empty.
pub const TABLES: &str = "
    create table public.p (
        id bigint primary key, at timestamptz not null, predicted float8, version text, region text, seen timestamptz not null);
    create table public.l (id bigint primary key, actual float8, seen timestamptz not null);
    create index on public.p (at); create index on public.p (seen); create index on public.l (seen);";

/// A job over `public.p` and `public.l`, every hour, with what a test adds: `[windows]`, `[[cohorts]]`, `[[alerts]]`.
///
/// The rules that every job has are off, unless `rest` says otherwise: a test counts what it is about.
pub fn hourly(rest: &str) -> String {
    let quiet = if rest.contains("[builtin]") { "" } else { "\n[builtin]\noff = [\"all\"]\n" };
    format!(
        r#"
[job]
name = "hourly"
owner = "team@example.org"
runbook = "https://runbooks.example.org/hourly"
[schedule]
every = "1h"
[predictions]
table = "public.p"
id = "id"
at = "at"
value = "predicted"
version = "version"
arrived_at = "seen"
[labels]
table = "public.l"
id = "id"
value = "actual"
arrived_at = "seen"
{rest}{quiet}"#
    )
}

/// Predictions every 15 minutes from `start` for `hours`, ids from 1, known an hour ahead, regions `a` and `b` in turn,
/// version `v1`, value 100; labels 30 minutes after the event, with an error of 1 (predicted too much).
pub fn quarter_hours(start: &str, hours: i64) -> String {
    format!(
        "insert into public.p
         select n, t, 100, 'v1', (array['a', 'b'])[1 + n % 2], t - interval '1 hour'
         from (select n, timestamptz '{start}' + (n - 1) * interval '15 minutes' as t from generate_series(1, {hours} * 4) as n) as q;
         insert into public.l select id, 99, at + interval '30 minutes' from public.p where id not in (select id from public.l);
         analyze public.p; analyze public.l;"
    )
}

/// A job whose alert fired and ended, each told to these receivers by a message of its own; nothing was sent yet.
pub async fn fired_and_resolved(notify: &[&str]) -> World {
    let names: Vec<String> = notify.iter().map(|name| format!("\"{name}\"")).collect();
    let toml = hourly(&format!(
        "[windows]\ntumbling = [\"1h\"]\nlabel_wait = \"2h\"\n[[alerts]]\nname = \"r\"\nmetric = \"rmse\"\nwindow = \"tumbling 1h\"\nabove = 5.0\nseverity = \"page\"\nnotify = [{}]\n",
        names.join(", ")
    ));
    let world = World::new(TABLES, &toml).await;
    world.db.execute(
        "insert into public.p select h * 10 + n, timestamptz '2024-05-01Z' + h * interval '1 hour' + n * interval '10 minutes', 9 - 8 * h, 'v1', 'a', '2024-05-01Z' from generate_series(0, 1) h, generate_series(1, 4) n;
         insert into public.l select id, 0, at from public.p;",
    ).await;
    world.run_at(at("2024-05-01T01:00:00Z")).await;
    world.run_at(at("2024-05-01T02:00:00Z")).await;
    world.db.execute("update trueup.notification set state = 'pending', attempt = 0, settled_at = null").await;
    world
}

/// What analysts may read.
pub const VIEWS: [&str; 13] = [
    "window_history",
    "metric_history",
    "window_revisions",
    "metric_revisions",
    "residual_history",
    "worst_samples",
    "run_history",
    "verdict_history",
    "alert_history",
    "slo_history",
    "delivery_history",
    "annotation",
    "model_baseline",
];
