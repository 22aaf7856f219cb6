//! Sends what is in the outbox: leased, in order per receiver and topic, every attempt recorded.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::{info, warn};

use crate::notify::message::Notice;
use crate::notify::receiver::{Delivery, Receiver};
use crate::notify::retry;
use crate::postgres::held::Held;
use crate::store::outbox::{self, Attempted, Leased};

/// Longer than any attempt takes: SMTP may wait 30 s.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Receivers by name; None where one could not be prepared, with why.
pub type Receivers = BTreeMap<String, Result<Receiver, String>>;

/// Longest time of one attempt, whatever the receiver does: well within the lease.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(45);

/// Receivers that something can be sent to now.
pub async fn receivers_due(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let mut held = Held::acquire(pool).await?;
    let due = outbox::receivers_due(&mut held).await;
    held.release();
    due
}

/// Makes one attempt for each notification that a run caused. Receivers do not wait for each other.
pub async fn deliver_run(pool: &PgPool, receivers: &Receivers, run_id: i64) -> anyhow::Result<Summary> {
    let due = receivers_due(pool).await?;
    let one = |name: String| async move { drain(pool, receivers, &name, Some(run_id), || false).await };
    let all = futures::future::join_all(due.into_iter().map(one)).await;
    all.into_iter().try_fold(Summary::default(), |sum, one| Ok(sum.plus(one?)))
}

/// What attempts came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub sent: usize,
    pub retried: usize,
    pub dead: usize,
}

impl Summary {
    fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, retried: self.retried + other.retried, dead: self.dead + other.dead }
    }
}

/// Sends to one receiver what was due when it began, one after the other, each at most once, until `stop`.
pub async fn drain(
    pool: &PgPool,
    receivers: &Receivers,
    name: &str,
    run_id: Option<i64>,
    stop: impl Fn() -> bool,
) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    let mut began = None;
    while !stop() {
        let mut held = Held::acquire(pool).await?;
        let leased = lease(&mut held, name, run_id, &mut began).await;
        held.release();
        let Some(leased) = leased? else { break };
        let attempted = attempt(receivers, &leased).await;
        // Recorded in one transaction: an attempt without its effect would be sent again without a trace.
        let mut held = Held::acquire(pool).await?;
        let mut transaction = held.begin().await?;
        let still_leased = outbox::record(&mut transaction, &leased, &attempted).await?;
        transaction.commit().await?;
        held.release();
        log(&leased, &attempted, still_leased);
        match attempted.outcome {
            "sent" => summary.sent += 1,
            "retry" => summary.retried += 1,
            _ => summary.dead += 1,
        }
    }
    Ok(summary)
}

/// Leases the next of what was due when the drain began, by the database clock.
async fn lease(
    connection: &mut PgConnection,
    receiver: &str,
    run_id: Option<i64>,
    began: &mut Option<DateTime<Utc>>,
) -> sqlx::Result<Option<Leased>> {
    let due_by = match *began {
        Some(began) => began,
        None => *began.insert(crate::store::run::now(connection).await?),
    };
    outbox::lease(connection, receiver, run_id, due_by, LEASE).await
}

async fn attempt(receivers: &Receivers, leased: &Leased) -> Attempted {
    let started = Instant::now();
    let attempted_at = Utc::now();
    let delivery = match tokio::time::timeout(ATTEMPT_DEADLINE, send(receivers, leased)).await {
        Ok(delivery) => delivery,
        Err(_) => Delivery::Failed {
            status: None,
            failure: format!("no end within {} s", ATTEMPT_DEADLINE.as_secs()),
            retry_after: None,
        },
    };
    let age = attempted_at - leased.created_at;
    let (outcome, status, failure, wait) = match delivery {
        Delivery::Accepted { status } => ("sent", status, None, None),
        Delivery::Refused { status, failure } => ("dead", status, Some(failure), None),
        Delivery::Failed { status, failure, retry_after } => match retry::wait(leased.attempt, age, retry_after) {
            Some(wait) => ("retry", status, Some(failure), Some(wait)),
            None => ("dead", status, Some(format!("{failure}; given up after a day")), None),
        },
    };
    Attempted {
        attempted_at,
        duration_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        outcome,
        status_code: status.map(i32::from),
        failure,
        wait,
    }
}

async fn send(receivers: &Receivers, leased: &Leased) -> Delivery {
    let notice: Notice = match serde_json::from_value(leased.body.clone()) {
        Ok(notice) => notice,
        Err(error) => {
            return Delivery::Refused { status: None, failure: format!("the stored message cannot be read: {error}") };
        }
    };
    match receivers.get(&leased.receiver) {
        Some(Ok(receiver)) => {
            let topic = format!("{}/{}", notice.job.name, notice.rule.name);
            receiver.deliver(leased.id, &topic, &notice).await
        }
        // Both can be mended in the settings, so the message waits.
        Some(Err(why)) => {
            Delivery::Failed { status: None, failure: format!("the receiver cannot be used: {why}"), retry_after: None }
        }
        None => Delivery::Failed {
            status: None,
            failure: "the receiver is not in the settings".to_owned(),
            retry_after: None,
        },
    }
}

fn log(leased: &Leased, attempted: &Attempted, held: bool) {
    let (id, receiver, attempt) = (leased.id, &leased.receiver, leased.attempt);
    match (&attempted.failure, held) {
        (_, false) => {
            warn!(notification.id = %id, receiver.name = %receiver, "a delivery took longer than its lease; it may be repeated with the same id")
        }
        (None, true) => info!(notification.id = %id, receiver.name = %receiver, attempt, "delivered"),
        (Some(failure), true) => {
            warn!(notification.id = %id, receiver.name = %receiver, attempt, outcome = attempted.outcome, "not delivered: {failure}")
        }
    }
}
