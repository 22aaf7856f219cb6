//! The deciding half of publishing: verdicts, alert state, and what goes into the outbox, in the publishing transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::failure::RunError;
use super::judge::{self, Bench, Judged, Target};
use super::{Run, close, notices};
use crate::evaluate::state::{Change, Counted, Standing, State};
use crate::notify::decide::{Decision, Kind, decide};
use crate::notify::message::AlertFacts;
use crate::plan::PlannedJob;
use crate::plan::rule::{Rule, RuleMetric};
use crate::store::alert::{self, NewTransition};
use crate::store::verdict::{self, NewVerdict, RuleKey};

/// A change of an alert's state, for whoever watches the run.
#[derive(Debug, Clone)]
pub struct Told {
    pub rule: String,
    pub cohort: String,
    pub from: State,
    pub to: State,
    pub value: Option<f64>,
    pub limit: Option<f64>,
}

/// Judges by every rule of the job, and ends alerts that none of them judges any more.
pub(super) async fn apply(
    connection: &mut PgConnection,
    run: &Run<'_>,
    bench: &Bench<'_>,
) -> Result<Vec<Told>, RunError> {
    let mut told = Vec::new();
    for rule in &run.job.rules {
        told.extend(apply_rule(connection, run, bench, rule).await?);
    }
    told.extend(close::forgotten(connection, run).await?);
    Ok(told)
}

/// Judges a rule, moves its alerts, and puts what is to be told into the outbox.
async fn apply_rule(
    connection: &mut PgConnection,
    run: &Run<'_>,
    bench: &Bench<'_>,
    rule: &Rule,
) -> Result<Vec<Told>, RunError> {
    let judged = bench.judge(rule);
    let fingerprint = rule.fingerprint();
    let key = RuleKey {
        job_id: run.claim.job_id,
        run_id: run.claim.run_id,
        rule: &rule.name,
        fingerprint: &fingerprint,
        severity: rule.severity.as_str(),
    };
    verdict::insert(connection, key, &judged.iter().map(new_verdict).collect::<Vec<_>>()).await?;
    let current: BTreeSet<Target> =
        judged.iter().filter(|one| !one.retroactive).map(|one| one.target.clone()).collect();
    let changes = changes(connection, run, rule, key, current.into_iter().collect()).await?;
    let mut told = Vec::new();
    let mut notices: BTreeMap<&'static str, (Kind, Vec<AlertFacts>)> = BTreeMap::new();
    for (target, change) in changes {
        let Some(newest) = judge::newest(&judged, &target) else { continue };
        let facts = alert_facts(run.job, rule, &target, newest, &change);
        alert::transition(connection, key, &transition(&target, newest, &change, &facts, run.as_of)).await?;
        if let Decision::Tell(kind) = decide(&change) {
            notices.entry(kind.as_str()).or_insert_with(|| (kind, Vec::new())).1.push(facts);
        }
        told.push(Told {
            rule: rule.name.clone(),
            cohort: target.cohort,
            from: change.from,
            to: change.to,
            value: newest.judgement.value,
            limit: Some(newest.judgement.limit),
        });
    }
    for (kind, alerts) in notices.into_values() {
        notices::enqueue(connection, run, rule, kind, alerts).await?;
    }
    Ok(told)
}

fn new_verdict(judged: &Judged<'_>) -> NewVerdict {
    NewVerdict {
        cohort: judged.target.cohort.clone(),
        model_version: judged.target.model_version.clone(),
        window_id: judged.window.id,
        window_end: judged.window.window.slice.end,
        verdict: judged.judgement.verdict.as_str(),
        value: judged.judgement.value,
        limit_value: judged.judgement.limit,
        labeled: judged.measurement.map(|m| m.counts.labeled),
        coverage: judged.measurement.and_then(|m| m.counts.coverage()),
        reason: judged.judgement.reason.describe(),
        retroactive: judged.retroactive,
    }
}

/// The changes of state that the latest verdicts lead to.
async fn changes(
    connection: &mut PgConnection,
    run: &Run<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
    targets: Vec<Target>,
) -> Result<Vec<(Target, Change)>, RunError> {
    let cohorts: Vec<String> = targets.iter().map(|target| target.cohort.clone()).collect();
    let versions: Vec<Option<String>> = targets.iter().map(|target| target.model_version.clone()).collect();
    let recent = verdict::recent(connection, key, &cohorts, &versions, i64::from(rule.persistence)).await?;
    let standing: BTreeMap<Target, Standing> = alert::of_rule(connection, run.claim.job_id, &rule.name)
        .await?
        .into_iter()
        // An alert outlives a change of its rule; only verdicts of the rule as it is now can move it.
        .filter_map(|alert| {
            let state = State::parse(&alert.state)?;
            Some((
                Target { cohort: alert.cohort, model_version: alert.model_version },
                Standing { state, since: alert.since },
            ))
        })
        .collect();
    let counted = |place: usize| -> Vec<Counted> {
        let mine = recent.iter().filter(|one| usize::try_from(one.target).is_ok_and(|target| target == place + 1));
        mine.map(|one| Counted { window_end: one.window_end, breach: one.breach }).collect()
    };
    let change = |(place, target): (usize, Target)| {
        let now = standing.get(&target).copied().unwrap_or(Standing::NEVER);
        now.next(&counted(place), rule.persistence).map(|change| (target, change))
    };
    Ok(targets.into_iter().enumerate().filter_map(change).collect())
}

fn transition(
    target: &Target,
    newest: &Judged<'_>,
    change: &Change,
    facts: &AlertFacts,
    as_of: DateTime<Utc>,
) -> NewTransition {
    NewTransition {
        cohort: target.cohort.clone(),
        model_version: target.model_version.clone(),
        from_state: change.from.as_str(),
        to_state: change.to.as_str(),
        reason: change.reason.describe(),
        value: newest.judgement.value,
        limit_value: Some(newest.judgement.limit),
        since: change.since,
        fired_at: (change.to == State::Firing).then_some(as_of),
        evidence: json!(facts),
    }
}

fn alert_facts(job: &PlannedJob, rule: &Rule, target: &Target, newest: &Judged<'_>, change: &Change) -> AlertFacts {
    let (unit, interval) = match &rule.metric {
        RuleMetric::Named(name) => (
            job.metrics
                .iter()
                .find(|metric| metric.name() == &**name)
                .map_or(String::new(), |metric| metric.unit().of(job.unit.as_deref())),
            newest.measurement.and_then(|m| m.intervals.get(&**name)),
        ),
        RuleMetric::Predictions | RuleMetric::Labeled | RuleMetric::Coverage => (String::new(), None),
    };
    let counts = newest.measurement.map(|m| m.counts).unwrap_or_default();
    let window = &newest.window.window;
    AlertFacts {
        cohort: target.cohort.clone(),
        model_version: target.model_version.clone(),
        state: change.to.as_str().to_owned(),
        value: newest.judgement.value,
        limit: newest.judgement.limit,
        unit,
        ci_low: interval.map(|interval| interval.low),
        ci_high: interval.map(|interval| interval.high),
        labeled: counts.labeled,
        predictions: counts.predictions,
        coverage: counts.coverage(),
        window_start: window.slice.start,
        window_end: window.slice.end,
        status: if newest.window.is_final { "final" } else { "provisional" }.to_owned(),
        since: change.since,
    }
}
