//! A canary job with a known answer, measured like any other: a runner that gets it right can measure.

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::domain::cohort::Cohort;
use crate::notify::message::{JobFacts, Notice, SCHEMA};
use crate::notify::receiver::WATCHDOG;
use crate::plan::{self, PlannedJob};
use crate::postgres::held;
use crate::spec::{Diagnostic, Document, JobSpec};
use crate::store::clock;
use crate::store::ledger::health;
use crate::store::outbox::queue::{self, NewNotification};

/// Five predictions and four labels, with errors of 1, 2, -2 and 5.
const CANARY: &str = r#"
[job]
name = "canary"
[schedule]
every = "1h"
timeout = "20s"
[predictions]
query = "select * from (values (1, '2024-01-01T00:10Z'::timestamptz, 11::float8), (2, '2024-01-01T00:20Z'::timestamptz, 12::float8), (3, '2024-01-01T00:30Z'::timestamptz, 8::float8), (4, '2024-01-01T00:40Z'::timestamptz, 15::float8), (5, '2024-01-01T00:50Z'::timestamptz, 10::float8)) as p(id, at, predicted)"
id = "id"
at = "at"
value = "predicted"
[labels]
query = "select * from (values (1, 10::float8), (2, 10::float8), (3, 10::float8), (4, 10::float8)) as l(id, actual)"
id = "id"
value = "actual"
[windows]
rolling = ["1h"]
label_wait = "1h"
horizon = "1h"
[metrics]
include = ["mse"]
[builtin]
off = ["all"]
"#;
const CANARY_END: &str = "2024-01-01T01:00:00Z";
/// (1 + 4 + 4 + 25) / 4
const CANARY_MSE: f64 = 8.5;

/// Enqueues a heartbeat of `runner`, if the canary's result is right and no notification and no slot of these jobs has
/// waited longer than `patience`.
pub async fn heartbeat(pool: &PgPool, jobs: &[String], patience: TimeDelta, runner: &str) -> Result<()> {
    measure_known_job(pool).await?;
    held::within(pool, held::SHORT, async |connection| enqueue(connection, jobs, patience, runner).await).await
}

async fn enqueue(connection: &mut PgConnection, jobs: &[String], patience: TimeDelta, runner: &str) -> Result<()> {
    let waiting = queue::oldest_due(connection).await?;
    if let Some(age) = waiting.filter(|age| *age > patience) {
        bail!("a notification has waited for {} s", age.num_seconds());
    }
    let late = health::oldest_due(connection, jobs).await?;
    if let Some(age) = late.filter(|age| *age > patience) {
        bail!("a run has waited for {} s", age.num_seconds());
    }
    let now = clock::now(connection).await?;
    let id = Uuid::new_v4();
    let new = NewNotification {
        id,
        job_id: None,
        run_id: None,
        receiver: WATCHDOG.to_owned(),
        // Each has its own topic: one that is lost delays no other.
        topic: format!("heartbeat/{id}"),
        kind: "heartbeat",
        body: json!(notice(id, now, runner)),
        due: None,
    };
    Ok(queue::enqueue(connection, &new).await?)
}

/// Measures the canary as a run would, writing nothing, and compares the result with the known answer.
async fn measure_known_job(pool: &PgPool) -> Result<()> {
    let end: DateTime<Utc> = CANARY_END.parse()?;
    let measured = crate::pipeline::dry_run(pool, &known_job()?, end)
        .await
        .map_err(|error| anyhow!("the self-test failed: {error}"))?;
    let found = measured.iter().find(|m| m.slice.end == end && m.cohort == Cohort::All);
    let counts = found.map(|m| (m.sample.counts.predictions, m.sample.counts.labeled));
    let mse = found.and_then(|m| m.sample.metrics.get("mse").copied().flatten());
    let is_right = counts == Some((5, 4)) && mse.is_some_and(|mse| (mse - CANARY_MSE).abs() < 1e-12);
    if is_right { Ok(()) } else { bail!("the self-test measured mse {mse:?} over {counts:?}") }
}

fn known_job() -> Result<PlannedJob> {
    let said = |findings: Vec<Diagnostic>| {
        anyhow!("{}", findings.iter().map(|found| found.message.clone()).collect::<Vec<_>>().join("; "))
    };
    let document = Document::parse("canary.toml", CANARY).map_err(said)?;
    let spec: JobSpec = document.read().map_err(said)?;
    plan::build::plan(&document, &spec, &plan::build::Surroundings::default()).map(|(job, _)| job).map_err(said)
}

fn notice(id: Uuid, now: DateTime<Utc>, runner: &str) -> Notice {
    Notice {
        schema: SCHEMA.to_owned(),
        id: id.to_string(),
        kind: "heartbeat".to_owned(),
        reason: "heartbeat".to_owned(),
        digest: false,
        as_of: now,
        title: String::new(),
        text: String::new(),
        url: None,
        group: "heartbeat".to_owned(),
        job: JobFacts { name: "trueup".to_owned(), description: None, owner: None, unit: None },
        rules: Vec::new(),
        note: Some(format!("{runner} is alive: self-test passed, outbox delivered")),
    }
}
