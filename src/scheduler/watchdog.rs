//! The heartbeat to somebody outside: sent only if a canary with a known answer went through the database, and nothing waits
//! for too long. Whoever listens notices when it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use super::{Heartbeat, LEDGER_DEADLINE, Scheduler};
use crate::notify::message::{JobFacts, Notice, SCHEMA};
use crate::notify::receiver::WATCHDOG;
use crate::pipeline;
use crate::plan::{self, PlannedJob};
use crate::postgres::held::Held;
use crate::spec::{Document, JobSpec};
use crate::store::outbox::{self, NewNotification};
use crate::store::run;

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

/// Sends heartbeats until `stop`.
pub(super) async fn heartbeat_loop(this: Arc<Scheduler>, mut stop: watch::Receiver<bool>) {
    let Some(heartbeat) = this.watchdog else { return };
    let every = heartbeat.every.to_std().unwrap_or(Duration::from_secs(60));
    while !*stop.borrow() {
        match tokio::time::timeout(LEDGER_DEADLINE, beat(&this, heartbeat)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => warn!("no heartbeat: {failure:#}"),
            Err(_) => warn!("no heartbeat: the canary did not come back within {} s", LEDGER_DEADLINE.as_secs()),
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = stop.changed() => {}
        }
    }
}

/// One heartbeat into the outbox, or why there is none.
async fn beat(this: &Scheduler, heartbeat: Heartbeat) -> Result<()> {
    sing(&this.pool).await?;
    let mut held = Held::acquire(&this.pool).await?;
    let waiting = outbox::oldest_due(&mut held).await?;
    if let Some(age) = waiting.filter(|age| *age > heartbeat.patience) {
        bail!("a message has waited for {} s", age.num_seconds());
    }
    let late = run::oldest_due(&mut held, &this.names()).await?;
    if let Some(age) = late.filter(|age| *age > heartbeat.patience) {
        bail!("a run has waited for {} s", age.num_seconds());
    }
    let now = run::now(&mut held).await?;
    let id = Uuid::new_v4();
    let new = NewNotification {
        id,
        job_id: None,
        run_id: None,
        receiver: WATCHDOG.to_owned(),
        // Each is on its own: one that is lost holds up none.
        topic: format!("heartbeat/{id}"),
        kind: "heartbeat",
        body: json!(notice(id, now, &this.name)),
        due: None,
    };
    outbox::enqueue(&mut held, &new).await?;
    held.release();
    Ok(())
}

/// Measures the canary as a run would, writing nothing, and compares with what is known.
async fn sing(pool: &sqlx::PgPool) -> Result<()> {
    let end: DateTime<Utc> = CANARY_END.parse()?;
    let measured =
        pipeline::dry_run(pool, &canary()?, end).await.map_err(|error| anyhow!("the canary failed: {error}"))?;
    let found = measured.iter().find(|m| m.slice.end == end && m.cohort == plan::cohort::Cohort::All);
    let counts = found.map(|m| (m.sample.counts.predictions, m.sample.counts.labeled));
    let mse = found.and_then(|m| m.sample.metrics.get("mse").copied().flatten());
    let is_right = counts == Some((5, 4)) && mse.is_some_and(|mse| (mse - CANARY_MSE).abs() < 1e-12);
    if is_right { Ok(()) } else { bail!("the canary came back as mse {mse:?} of {counts:?}") }
}

fn canary() -> Result<PlannedJob> {
    let said = |findings: Vec<crate::spec::Diagnostic>| {
        anyhow!("{}", findings.iter().map(|f| f.message.clone()).collect::<Vec<_>>().join("; "))
    };
    let document = Document::parse("canary.toml", CANARY).map_err(said)?;
    let spec: JobSpec = document.read().map_err(said)?;
    plan::build::plan(&document, &spec, &[]).map(|(job, _)| job).map_err(said)
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
        group: "heartbeat".to_owned(),
        job: JobFacts { name: "trueup".to_owned(), description: None, owner: None, unit: None },
        rules: Vec::new(),
        note: Some(format!("{runner} lives; a canary went through the database and the outbox")),
    }
}
