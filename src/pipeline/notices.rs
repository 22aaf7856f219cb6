//! Puts messages into the outbox: the facts of a rule's alerts, one message per receiver.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Run;
use super::failure::RunError;
use crate::notify::decide::Kind;
use crate::notify::message::{AlertFacts, ChangeFacts, JobFacts, Notice, RuleFacts, SCHEMA};
use crate::plan::PlannedJob;
use crate::plan::duration;
use crate::plan::name::text_literal;
use crate::plan::objective::{Burn, Slo};
use crate::plan::rule::{Persistence, Rule, Severity};
use crate::store::annotation;
use crate::store::outbox::{self, NewNotification};

/// Where a message comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub job: &'a PlannedJob,
    pub job_id: i64,
    pub run_id: i64,
    pub as_of: DateTime<Utc>,
}

/// What a message is about: a rule, or a burn rate of an objective.
pub(super) struct Subject {
    facts: RuleFacts,
    notify: Vec<String>,
    /// What shows the numbers again; of a rule it is found from the worst alert.
    query: Option<String>,
}

impl Subject {
    /// A built-in rule about runs.
    pub(super) fn of_runs(job: &PlannedJob, rule: &str, condition: &str) -> Self {
        let facts = RuleFacts {
            name: rule.to_owned(),
            severity: Severity::Ticket.as_str().to_owned(),
            metric: "the schedule".to_owned(),
            window: "runs".to_owned(),
            condition: condition.to_owned(),
            persistence: 1,
            lasting: String::new(),
            runbook: job.runbook.clone(),
            owner: job.owner.clone(),
        };
        let query = format!(
            "select scheduled_for, trigger, state, failure, reason\nfrom trueup.run_history\nwhere job = {}\norder by \
             scheduled_for desc limit 20;",
            text_literal(&job.name)
        );
        Self { facts, notify: job.notify.clone(), query: Some(query) }
    }

    pub(super) fn of_rule(rule: &Rule) -> Self {
        let facts = RuleFacts {
            name: rule.name.clone(),
            severity: rule.severity.as_str().to_owned(),
            metric: rule.metric().name().to_owned(),
            window: rule.window.clone(),
            condition: rule.condition(),
            persistence: match rule.fires {
                Persistence::Windows(needed) | Persistence::Of { needed, .. } => needed,
                Persistence::Lasting(_) => 1,
            },
            lasting: rule.fires.describe(),
            runbook: rule.runbook.clone(),
            owner: rule.owner.clone(),
        };
        Self { facts, notify: rule.notify.clone(), query: None }
    }

    pub(super) fn of_burn(job: &PlannedJob, slo: &Slo, burn: &Burn) -> Self {
        let (long, short) = (duration::format(burn.long), duration::format(burn.short));
        let facts = RuleFacts {
            name: slo.alert(burn),
            severity: burn.severity.as_str().to_owned(),
            metric: format!("burn rate of {}", slo.name),
            window: format!("last {long} and last {short}"),
            condition: format!("above {}", burn.factor),
            persistence: 1,
            lasting: String::new(),
            runbook: slo.runbook.clone(),
            owner: slo.owner.clone(),
        };
        let query = format!(
            "select period_end, budget_left, good, total, burn\nfrom trueup.slo_history\nwhere job = {} and slo = {}\norder by \
             evaluated_at desc limit 10;",
            text_literal(&job.name),
            text_literal(&slo.name)
        );
        Self { facts, notify: slo.notify.clone(), query: Some(query) }
    }
}

/// One message per rule, receiver and kind, worst first.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    subject: &Subject,
    kind: Kind,
    mut alerts: Vec<AlertFacts>,
) -> Result<(), RunError> {
    let excess = |alert: &AlertFacts| alert.value.zip(alert.limit).map_or(0.0, |(value, limit)| (value - limit).abs());
    alerts.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
    let job = origin.job;
    let query = subject.query.clone().unwrap_or_else(|| reproducing_query(job, &subject.facts, &alerts));
    let changes = changes_before(connection, origin, &alerts).await?;
    let notice = Notice { changes, ..notice(job, subject, kind, alerts, query, origin.as_of) };
    let mut receivers: BTreeSet<String> = subject.notify.iter().cloned().collect();
    if kind == Kind::Resolved {
        // Who was told that it fires is told that it ended, though the rule names others by now.
        receivers.extend(outbox::knowing(connection, origin.job_id, &topic(&job.name, &subject.facts.name)).await?);
    }
    for receiver in &receivers {
        let id = Uuid::new_v4();
        let notice = Notice { id: id.to_string(), ..notice.clone() };
        put(connection, origin, receiver.clone(), id, kind, &notice).await?;
    }
    Ok(())
}

/// A message, but for its id.
fn notice(
    job: &PlannedJob,
    subject: &Subject,
    kind: Kind,
    alerts: Vec<AlertFacts>,
    query: String,
    as_of: DateTime<Utc>,
) -> Notice {
    Notice {
        schema: SCHEMA.to_owned(),
        id: String::new(),
        kind: kind.as_str().to_owned(),
        as_of,
        job: JobFacts {
            name: job.name.clone(),
            description: job.description.clone(),
            owner: job.owner.clone(),
            unit: job.unit.clone(),
        },
        rule: subject.facts.clone(),
        query,
        alerts,
        changes: Vec::new(),
        closed: None,
    }
}

/// Events that are named in a message, and how long before the alert they may have been.
const MOST_CHANGES: i64 = 3;
const BEFORE: TimeDelta = TimeDelta::days(7);

/// What was said to have happened just before the first of these alerts began.
async fn changes_before(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    alerts: &[AlertFacts],
) -> Result<Vec<ChangeFacts>, RunError> {
    // `since` is the end of the first window in breach: what happened in it may be the cause.
    let Some(began) = alerts.iter().filter_map(|alert| alert.since).min() else { return Ok(Vec::new()) };
    let range = (began - BEFORE, began);
    let found = annotation::before(connection, &origin.job.name, range, MOST_CHANGES).await?;
    Ok(found
        .into_iter()
        .map(|event| ChangeFacts { kind: event.kind, at: event.starts_at, note: event.note, author: event.author })
        .collect())
}

/// The text of the message that an alert would send.
pub(super) fn preview(job: &PlannedJob, rule: &Rule, facts: AlertFacts, as_of: DateTime<Utc>) -> String {
    let subject = Subject::of_rule(rule);
    let alerts = vec![facts];
    let query = reproducing_query(job, &subject.facts, &alerts);
    notice(job, &subject, Kind::Firing, alerts, query, as_of).text()
}

/// Tells the receivers that know of alerts of a rule that these were closed.
pub(super) async fn close(
    connection: &mut PgConnection,
    run: &Run<'_>,
    rule: &str,
    why: &str,
    alerts: &[AlertFacts],
) -> Result<(), RunError> {
    for (receiver, body) in outbox::last_firing(connection, run.claim.job_id, &topic(&run.job.name, rule)).await? {
        // Our own words, written by an earlier version at worst: what cannot be read cannot be taken back by this one.
        let Ok(told) = serde_json::from_value::<Notice>(body) else { continue };
        let id = Uuid::new_v4();
        let notice = Notice {
            id: id.to_string(),
            kind: Kind::Resolved.as_str().to_owned(),
            as_of: run.as_of,
            alerts: alerts.to_vec(),
            closed: Some(why.to_owned()),
            ..told
        };
        put(connection, run.origin(), receiver, id, Kind::Resolved, &notice).await?;
    }
    Ok(())
}

async fn put(
    connection: &mut PgConnection,
    origin: Origin<'_>,
    receiver: String,
    id: Uuid,
    kind: Kind,
    notice: &Notice,
) -> Result<(), RunError> {
    let new = NewNotification {
        id,
        job_id: origin.job_id,
        run_id: origin.run_id,
        receiver,
        topic: topic(&origin.job.name, &notice.rule.name),
        kind: kind.as_str(),
        body: json!(notice),
    };
    Ok(outbox::enqueue(connection, &new).await?)
}

fn topic(job: &str, rule: &str) -> String {
    format!("{job}/{rule}")
}

/// SQL that an analyst can paste: every revision of the worst alert's window.
fn reproducing_query(job: &PlannedJob, rule: &RuleFacts, alerts: &[AlertFacts]) -> String {
    let Some(worst) = alerts.first() else { return String::new() };
    let version = match &worst.model_version {
        Some(version) => format!("model_version = {}", text_literal(version)),
        None => "model_version is null".to_owned(),
    };
    format!(
        "select revision, computed_at, status, {} as value, labeled, coverage\nfrom trueup.window_revisions\n\
         where job = {} and window_name = {} and window_end = {}\n  and cohort = {} and {version}\norder by revision;",
        column_of(job, &rule.metric),
        text_literal(&job.name),
        text_literal(&rule.window),
        text_literal(&worst.window_end.to_rfc3339()),
        text_literal(&worst.cohort),
    )
}

/// A metric as an expression over the history's columns.
fn column_of(job: &PlannedJob, metric: &str) -> String {
    const COLUMNS: [&str; 15] = [
        "mse",
        "rmse",
        "mae",
        "bias",
        "mape",
        "smape",
        "rmsle",
        "r2",
        "p50_abs_error",
        "p90_squared_error",
        "label_latency_p50",
        "label_latency_p95",
        "predictions",
        "labeled",
        "coverage",
    ];
    match metric {
        "received" => "(labeled + excluded)::float8 / nullif(predictions, 0)".to_owned(),
        known if COLUMNS.contains(&known) => known.to_owned(),
        other if job.metrics.iter().any(|kept| kept.name() == other) => format!("extra -> {}", text_literal(other)),
        other => text_literal(other),
    }
}
