//! Sends the notifications in the outbox: leased, in order per receiver and topic, every attempt recorded.

mod mail;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::{info, warn};

use crate::notify::message::Notice;
use crate::notify::policy::retry;
use crate::notify::receiver::{Receiver, Transport};
use crate::notify::transport::delivery::Delivery;
use crate::postgres::held;
use crate::store::outbox::delivery::{self, Attempted, Health, Leased};

/// Longer than any attempt: SMTP may wait 30 s.
const LEASE: TimeDelta = TimeDelta::seconds(60);

/// Receivers that notifications can be sent to.
#[derive(Debug, Default)]
pub struct Receivers {
    /// By name; `Err` with the reason if a receiver could not be prepared.
    pub by_name: BTreeMap<String, Result<Receiver, String>>,
    /// Gets the notifications that another receiver could not get.
    pub fallback: Option<String>,
}

impl From<BTreeMap<String, Result<Receiver, String>>> for Receivers {
    /// Without a fallback.
    fn from(by_name: BTreeMap<String, Result<Receiver, String>>) -> Self {
        Self { by_name, fallback: None }
    }
}

/// Time without success after which the fallback receiver is notified too.
const FALL_BACK_AFTER: TimeDelta = TimeDelta::minutes(2);
/// Consecutive failures after which a receiver is paused, and the first and the longest pause.
const TOLERATED: i32 = 5;
const PAUSE: TimeDelta = TimeDelta::seconds(30);
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(5);

/// Hard limit on the time of one attempt, well within the lease.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(45);

/// Returns receivers with notifications that can be sent now.
pub async fn receivers_due(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    held::within(pool, held::SHORT, async |connection| delivery::receivers_due(connection).await).await
}

/// Returns receivers with notifications that can be sent now, by this process: an ad-hoc command without the secret must not
/// consume delivery attempts.
pub async fn usable_due(pool: &PgPool, receivers: &Receivers) -> sqlx::Result<Vec<String>> {
    let mut due = receivers_due(pool).await?;
    due.retain(|name| matches!(receivers.by_name.get(name), Some(Ok(_))));
    Ok(due)
}

/// Makes one attempt for each notification that a run caused. Receivers do not wait for each other.
pub async fn deliver_run(pool: &PgPool, receivers: &Receivers, run_id: i64) -> anyhow::Result<Summary> {
    let due = receivers_due(pool).await?;
    let one = |name: String| async move { drain(pool, receivers, &name, Some(run_id), || false).await };
    let all = futures::future::join_all(due.into_iter().map(one)).await;
    all.into_iter().try_fold(Summary::default(), |sum, one| Ok(sum.plus(one?)))
}

/// Number of attempts by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    pub sent: usize,
    pub retried: usize,
    pub dead: usize,
}

impl Summary {
    /// Returns the counts with the names of the outcomes.
    pub fn outcomes(self) -> [(&'static str, usize); 3] {
        [("sent", self.sent), ("retry", self.retried), ("dead", self.dead)]
    }

    /// Adds two summaries.
    pub fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, retried: self.retried + other.retried, dead: self.dead + other.dead }
    }
}

/// Sends to one receiver the notifications that were due at the start, one after the other, each at most once, until `stop`.
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
        let leased =
            held::within(pool, held::SHORT, async |connection| lease(connection, name, run_id, &mut began).await);
        let Some(leased) = leased.await? else { break };
        let attempted = attempt(pool, receivers, &leased).await;
        // Record the attempt and its effect in one transaction: without its effect it would be sent again without a trace.
        let recorded = held::within(pool, held::SHORT, async |connection| {
            let mut transaction = connection.begin().await?;
            let still_leased = delivery::record(&mut transaction, &leased, &attempted).await?;
            let pause = note_health(&mut transaction, receivers, &leased, &attempted).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>((still_leased, pause))
        });
        let (still_leased, pause) = recorded.await?;
        log(&leased, &attempted, still_leased);
        match attempted.outcome {
            "sent" => summary.sent += 1,
            "retry" => summary.retried += 1,
            _ => summary.dead += 1,
        }
        if let Some(until) = pause {
            warn!(receiver.name = %name, %until, "the receiver keeps failing and is paused");
            break;
        }
    }
    Ok(summary)
}

/// Records the health of a receiver after an attempt. Returns the end of its pause, if it is paused.
async fn note_health(
    connection: &mut PgConnection,
    receivers: &Receivers,
    leased: &Leased,
    attempted: &Attempted,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let health = match attempted.outcome {
        "sent" => Health::Well,
        // The server accepted the mail for one address, so a failure of another is not the server's.
        "retry" if attempted.is_partly => return Ok(None),
        // The receiver was not contacted, so its health is unknown: wrong settings are not its failure.
        _ if leased.is_gone && attempted.status_code.is_none() => return Ok(None),
        _ if !matches!(receivers.by_name.get(&leased.receiver), Some(Ok(_))) => return Ok(None),
        _ if leased.kind == "heartbeat" => return Ok(None),
        "dead" if attempted.status_code == Some(GONE) => Health::Gone,
        "retry" => Health::Failed,
        // It answered, and refused only this notification.
        _ => return Ok(None),
    };
    delivery::note_health(connection, &leased.receiver, health, TOLERATED, (PAUSE, LONGEST_PAUSE)).await
}

/// HTTP status of a receiver that was removed permanently.
const GONE: i32 = 410;

/// Sends the fallback receiver the notifications that others could not get: overdue ones and those given up.
pub async fn fall_back(pool: &PgPool, receivers: &Receivers) -> anyhow::Result<usize> {
    let Some(fallback) = &receivers.fallback else { return Ok(0) };
    let unusable: Vec<String> =
        receivers.by_name.iter().filter(|(_, receiver)| receiver.is_err()).map(|(name, _)| name.clone()).collect();
    held::within(pool, held::SHORT, async |connection| fall_back_on(connection, receivers, fallback, &unusable).await)
        .await
}

async fn fall_back_on(
    connection: &mut PgConnection,
    receivers: &Receivers,
    fallback: &str,
    unusable: &[String],
) -> anyhow::Result<usize> {
    let mut transaction = connection.begin().await?;
    let overdue = delivery::overdue(&mut transaction, fallback, unusable, FALL_BACK_AFTER).await?;
    for one in &overdue {
        // A body stored by an earlier version may be unreadable; no receiver can get it.
        let Ok(notice) = serde_json::from_value::<Notice>(one.body.clone()) else { continue };
        let id = uuid::Uuid::new_v4();
        let why = match (&one.failure, receivers.by_name.get(&one.receiver)) {
            (Some(failure), _) => failure.clone(),
            (None, Some(Err(why))) => why.clone(),
            (None, _) => "it keeps failing".to_owned(),
        };
        let note = format!("The receiver `{}` could not be notified: {why}.", one.receiver);
        let alerts: Vec<i64> =
            notice.alerts().filter(|(_, alert)| alert.is_firing()).filter_map(|(_, alert)| alert.id).collect();
        let notice = Notice { id: id.to_string(), note: Some(note), ..notice };
        delivery::fall_back(&mut transaction, one, id, fallback, &serde_json::to_value(notice)?, &alerts).await?;
    }
    transaction.commit().await?;
    Ok(overdue.len())
}

/// Leases the next notification that was due when the drain began, by the database clock.
async fn lease(
    connection: &mut PgConnection,
    receiver: &str,
    run_id: Option<i64>,
    began: &mut Option<DateTime<Utc>>,
) -> sqlx::Result<Option<Leased>> {
    let due_by = match *began {
        Some(began) => began,
        None => *began.insert(crate::store::clock::now(connection).await?),
    };
    delivery::lease(connection, receiver, run_id, due_by, LEASE).await
}

async fn attempt(pool: &PgPool, receivers: &Receivers, leased: &Leased) -> Attempted {
    let started = Instant::now();
    let delivery = match tokio::time::timeout(ATTEMPT_DEADLINE, send(pool, receivers, leased)).await {
        Ok(delivery) => delivery,
        Err(_) => Delivery::Failed {
            status: None,
            failure: format!("not finished within {} s", ATTEMPT_DEADLINE.as_secs()),
            retry_after: None,
        },
    };
    let asked = match &delivery {
        Delivery::Failed { retry_after, .. } => *retry_after,
        _ => None,
    };
    let is_partly = matches!(delivery, Delivery::Partly { .. });
    let (outcome, status, failure, wait) = match delivery {
        Delivery::Accepted { status } => ("sent", status, None, None),
        Delivery::Partly { status, failure, is_final: true } => ("sent", status, Some(failure), None),
        Delivery::Refused { status, failure } | Delivery::Gone { status, failure } => {
            ("dead", status, Some(failure), None)
        }
        // Heartbeats are not retried: a late one is meaningless, and the next one follows.
        Delivery::Failed { status, failure, .. } if leased.kind == "heartbeat" => ("dead", status, Some(failure), None),
        Delivery::Failed { status, failure, .. } | Delivery::Partly { status, failure, .. } => {
            match retry::wait(leased.attempt, leased.waiting, asked) {
                Some(wait) => ("retry", status, Some(failure), Some(wait)),
                None => ("dead", status, Some(format!("{failure}; given up after a day")), None),
            }
        }
    };
    Attempted {
        duration_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        outcome,
        status_code: status.map(i32::from),
        failure,
        is_partly,
        wait,
    }
}

async fn send(pool: &PgPool, receivers: &Receivers, leased: &Leased) -> Delivery {
    let refused = |failure: String| Delivery::Refused { status: None, failure };
    let waits = |failure: String| Delivery::Failed { status: None, failure, retry_after: None };
    let notice: Notice = match serde_json::from_value(leased.body.clone()) {
        Ok(notice) => notice,
        Err(error) => return refused(format!("the stored notification cannot be read: {error}")),
    };
    if leased.is_gone && !["test", "heartbeat"].contains(&leased.kind.as_str()) {
        return refused("the receiver answered 410 Gone; deliveries resume after a successful test".to_owned());
    }
    match receivers.by_name.get(&leased.receiver) {
        Some(Ok(receiver)) => {
            let notice = receiver.worded(notice);
            match &receiver.transport {
                Transport::Email(email) => mail::deliver(pool, email, leased, &notice).await,
                Transport::Webhook(webhook) => {
                    let body = receiver.templates.body.as_ref().map(|body| body.render(&notice));
                    webhook.deliver(leased.id, &leased.receiver, notice, body).await
                }
                Transport::Alertmanager(alertmanager) => alertmanager.deliver(notice).await,
            }
        }
        // Both can be fixed in the settings, so the notification waits.
        Some(Err(why)) => waits(format!("the receiver cannot be used: {why}")),
        None => waits("the receiver is not in the settings".to_owned()),
    }
}

fn log(leased: &Leased, attempted: &Attempted, held: bool) {
    let (id, receiver, attempt) = (leased.id, &leased.receiver, leased.attempt);
    match (&attempted.failure, held) {
        (_, false) => {
            warn!(notification.id = %id, receiver.name = %receiver, "a delivery took longer than its lease; it may be repeated with the same id")
        }
        (None, true) => info!(notification.id = %id, receiver.name = %receiver, attempt, "delivered"),
        (Some(failure), true) if attempted.outcome == "sent" => {
            warn!(
                notification.id = %id, receiver.name = %receiver, attempt, error = %failure,
                "delivered to some addresses only"
            );
        }
        (Some(failure), true) => {
            let outcome = attempted.outcome;
            warn!(notification.id = %id, receiver.name = %receiver, attempt, outcome, error = %failure, "not delivered")
        }
    }
}
