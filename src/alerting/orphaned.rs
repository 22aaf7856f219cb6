//! Closes open alerts that no rule of the job judges any more: the rule was removed or renamed, or now judges other cohorts or
//! versions. Otherwise they would fire forever.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::PgConnection;

use crate::alerting::{RunContext, StateChange};
use crate::domain::target::Target;
use crate::evaluate::state::{AlertState, ChangeReason, State};
use crate::notify::message::AlertFacts;
use crate::store::alerting::alert::{self, NewTransition, OpenAlert};
use crate::store::history::verdict::RuleKey;
use crate::warehouse::failure::RunError;

/// Recent targets of each rule that takes its targets from the data.
pub(crate) type LiveTargets = BTreeMap<String, BTreeSet<Target>>;

pub(crate) async fn close_orphaned(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    seen: &LiveTargets,
) -> Result<Vec<StateChange>, RunError> {
    let vanished = |alert: &OpenAlert| {
        let target = Target { cohort: alert.cohort.clone(), model_version: alert.model_version.clone() };
        seen.get(&alert.rule).is_some_and(|seen| !seen.contains(&target))
    };
    let judged = |alert: &OpenAlert| {
        let rule = run.job.rules.iter().find(|rule| rule.name == alert.rule);
        let burns = || run.job.slos.iter().any(|slo| slo.burns.iter().any(|burn| slo.alert(burn) == alert.rule));
        rule.is_some_and(|rule| rule.covers(&alert.cohort, alert.model_version.as_deref()))
            || run.job.run_rules.contains(&alert.rule)
            || burns()
    };
    let mut changes = Vec::new();
    for alert in
        alert::open(connection, run.claim.job_id).await?.into_iter().filter(|alert| !judged(alert) || vanished(alert))
    {
        let Some(state) = State::parse(&alert.state) else { continue };
        let why = if judged(&alert) { ChangeReason::Vanished } else { ChangeReason::Forgotten };
        let Some(change) = (AlertState { state, since: alert.since }).forget(why) else { continue };
        let key = RuleKey {
            job_id: run.claim.job_id,
            run_id: run.claim.run_id,
            rule: &alert.rule,
            fingerprint: &alert.rule_fingerprint,
            severity: &alert.severity,
        };
        let facts = serde_json::from_value::<AlertFacts>(alert.evidence.clone()).map(|facts| AlertFacts {
            state: change.to.as_str().to_owned(),
            closed: Some(change.reason.describe()),
            ..facts
        });
        let transition = NewTransition {
            cohort: alert.cohort.clone(),
            model_version: alert.model_version.clone(),
            from_state: change.from.as_str(),
            to_state: change.to.as_str(),
            reason: change.reason.describe(),
            value: alert.value,
            limit_value: alert.limit_value,
            since: change.since,
            fired_at: None,
            // Unreadable evidence was written by another version; it is kept as it is.
            evidence: facts.map_or(alert.evidence.clone(), |facts| json!(facts)),
            about: None,
        };
        alert::transition(connection, key, &transition).await?;
        changes.push(StateChange {
            rule: alert.rule,
            cohort: alert.cohort,
            model_version: alert.model_version,
            from: change.from,
            to: change.to,
            value: alert.value,
            limit: alert.limit_value,
        });
    }
    Ok(changes)
}
