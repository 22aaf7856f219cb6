//! Puts messages into the outbox: the facts of a rule's alerts, one message per receiver.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Run;
use super::failure::RunError;
use crate::notify::decide::Kind;
use crate::notify::message::{AlertFacts, JobFacts, Notice, RuleFacts, SCHEMA};
use crate::plan::PlannedJob;
use crate::plan::name::text_literal;
use crate::plan::rule::Rule;
use crate::store::outbox::{self, NewNotification};

/// One message per rule, receiver and kind, worst first.
pub(super) async fn enqueue(
    connection: &mut PgConnection,
    run: &Run<'_>,
    rule: &Rule,
    kind: Kind,
    mut alerts: Vec<AlertFacts>,
) -> Result<(), RunError> {
    let excess = |alert: &AlertFacts| alert.value.map_or(0.0, |value| (value - alert.limit).abs());
    alerts.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
    let job = run.job;
    for receiver in &rule.notify {
        let id = Uuid::new_v4();
        let notice = Notice {
            schema: SCHEMA.to_owned(),
            id: id.to_string(),
            kind: kind.as_str().to_owned(),
            as_of: run.as_of,
            job: JobFacts {
                name: job.name.clone(),
                description: job.description.clone(),
                owner: job.owner.clone(),
                unit: job.unit.clone(),
            },
            rule: RuleFacts {
                name: rule.name.clone(),
                severity: rule.severity.as_str().to_owned(),
                metric: rule.metric.name().to_owned(),
                window: rule.window.clone(),
                condition: rule.condition.describe(),
                persistence: rule.persistence,
                runbook: rule.runbook.clone(),
                owner: rule.owner.clone(),
            },
            query: reproducing_query(job, rule, &alerts),
            alerts: alerts.clone(),
            closed: None,
        };
        put(connection, run, receiver.clone(), id, kind, &notice).await?;
    }
    Ok(())
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
        put(connection, run, receiver, id, Kind::Resolved, &notice).await?;
    }
    Ok(())
}

async fn put(
    connection: &mut PgConnection,
    run: &Run<'_>,
    receiver: String,
    id: Uuid,
    kind: Kind,
    notice: &Notice,
) -> Result<(), RunError> {
    let new = NewNotification {
        id,
        job_id: run.claim.job_id,
        run_id: run.claim.run_id,
        receiver,
        topic: topic(&run.job.name, &notice.rule.name),
        kind: kind.as_str(),
        body: json!(notice),
    };
    Ok(outbox::enqueue(connection, &new).await?)
}

fn topic(job: &str, rule: &str) -> String {
    format!("{job}/{rule}")
}

/// SQL that an analyst can paste: every revision of the worst alert's window.
fn reproducing_query(job: &PlannedJob, rule: &Rule, alerts: &[AlertFacts]) -> String {
    let Some(worst) = alerts.first() else { return String::new() };
    let version = match &worst.model_version {
        Some(version) => format!("model_version = {}", text_literal(version)),
        None => "model_version is null".to_owned(),
    };
    format!(
        "select revision, computed_at, status, {} as value, labeled, coverage\nfrom trueup.window_revisions\n\
         where job = {} and window_name = {} and window_end = {}\n  and cohort = {} and {version}\norder by revision;",
        rule.metric.name(),
        text_literal(&job.name),
        text_literal(&rule.window),
        text_literal(&worst.window_end.to_rfc3339()),
        text_literal(&worst.cohort),
    )
}
