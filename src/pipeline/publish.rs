//! The publishing transaction: measurements, verdicts, alert state and outbox commit together, fenced by the run's epoch.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::Published;
use super::failure::RunError;
use super::judge::{self, Bench, Judged, MeasuredWindow, Target};
use crate::evaluate::state::{Change, Counted, Standing, State};
use crate::measure::windows::DueWindow;
use crate::notify::decide::{Decision, Kind, decide};
use crate::notify::message::{AlertFacts, JobFacts, Notice, RuleFacts, SCHEMA};
use crate::plan::PlannedJob;
use crate::plan::measurement::Measurement;
use crate::plan::metric;
use crate::plan::name::text_literal;
use crate::plan::rule::{Rule, RuleMetric};
use crate::store::alert::{self, NewTransition};
use crate::store::job::{self, Progress};
use crate::store::measurement::{self, NewMeasurement, Publisher};
use crate::store::outbox::{self, NewNotification};
use crate::store::run::{self, Claim, Done};
use crate::store::verdict::{self, NewVerdict, RuleKey};

/// What is published, by whom.
pub(super) struct Context<'a> {
    pub job: &'a PlannedJob,
    pub claim: &'a Claim,
    pub plan_id: i64,
    pub as_of: DateTime<Utc>,
    pub progress: Progress,
    pub first_run: bool,
}

/// A change of an alert's state, for whoever watches the run.
#[derive(Debug, Clone)]
pub struct Told {
    pub rule: String,
    pub cohort: String,
    pub from: State,
    pub to: State,
    pub value: Option<f64>,
    pub limit: f64,
}

/// Publishes a run, or nothing.
pub(super) async fn publish(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[DueWindow],
    measurements: Vec<Measurement>,
    mut done: Done,
) -> Result<Published, RunError> {
    let mut transaction = connection.begin().await?;
    job::lock_stages(&mut transaction, context.plan_id).await?;
    let stored = store_windows(&mut transaction, context, windows).await?;
    let written = store_measurements(&mut transaction, context, &stored, &measurements).await?;
    done.windows_written = i64::try_from(written.len()).unwrap_or(i64::MAX);
    let bench =
        Bench { windows: &stored, measurements: &measurements, written: &written, first_run: context.first_run };
    let mut transitions = Vec::new();
    for rule in &context.job.rules {
        transitions.extend(apply_rule(&mut transaction, context, &bench, rule).await?);
    }
    job::prune_residuals(&mut transaction, context.plan_id, context.progress.residual_from).await?;
    job::advance(&mut transaction, context.claim.job_id, context.plan_id, context.progress).await?;
    if !run::finish_ok(&mut transaction, context.claim, context.plan_id, context.as_of, done).await? {
        return Err(RunError::LostLease);
    }
    transaction.commit().await?;
    Ok(Published { done, measurements, transitions })
}

/// Stores the windows and says what each was before.
async fn store_windows(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[DueWindow],
) -> Result<Vec<MeasuredWindow>, RunError> {
    let names: Vec<String> = windows.iter().map(|window| window.name.clone()).collect();
    let starts: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.start).collect();
    let ends: Vec<DateTime<Utc>> = windows.iter().map(|window| window.slice.end).collect();
    let before: BTreeMap<(String, DateTime<Utc>), bool> =
        measurement::stored(connection, context.claim.job_id, &names, &ends)
            .await?
            .into_iter()
            .map(|window| ((window.name, window.end), window.finalized_at.is_some()))
            .collect();
    let ids =
        measurement::upsert_windows(connection, context.claim.job_id, context.claim.run_id, &names, &starts, &ends)
            .await?;
    let stored: Vec<MeasuredWindow> = ids
        .into_iter()
        .zip(windows)
        .map(|(id, window)| {
            let earlier = before.get(&(window.name.clone(), window.slice.end)).copied();
            MeasuredWindow {
                id,
                window: window.clone(),
                was_final: earlier == Some(true),
                is_final: context.job.windows.is_final(window.slice.end, context.as_of),
                is_new: earlier.is_none(),
            }
        })
        .collect();
    let final_now: Vec<i64> = stored.iter().filter(|window| window.is_final).map(|window| window.id).collect();
    measurement::finalize(connection, &final_now, context.as_of).await?;
    Ok(stored)
}

async fn store_measurements(
    connection: &mut PgConnection,
    context: &Context<'_>,
    windows: &[MeasuredWindow],
    measurements: &[Measurement],
) -> Result<BTreeSet<(i64, Target)>, RunError> {
    let publisher = Publisher { run_id: context.claim.run_id, plan_id: context.plan_id, as_of: context.as_of };
    let pairs: Vec<(i64, &DueWindow)> = windows.iter().map(|window| (window.id, &window.window)).collect();
    let written = store(connection, publisher, &pairs, measurements).await?;
    Ok(written
        .into_iter()
        .map(|w| (w.window_id, Target { cohort: w.cohort, model_version: w.model_version }))
        .collect())
}

/// Stores measurements of windows whose ids are known.
pub(super) async fn store(
    connection: &mut PgConnection,
    publisher: Publisher,
    windows: &[(i64, &DueWindow)],
    measurements: &[Measurement],
) -> Result<Vec<measurement::Written>, RunError> {
    let ids: BTreeMap<(&str, DateTime<Utc>), i64> =
        windows.iter().map(|(id, w)| ((w.name.as_str(), w.slice.end), *id)).collect();
    let rows: Vec<NewMeasurement> =
        measurements.iter().filter_map(|m| Some(row(*ids.get(&(m.window.as_str(), m.slice.end))?, m))).collect();
    let all: Vec<i64> = windows.iter().map(|(id, _)| *id).collect();
    Ok(measurement::publish(connection, publisher, &all, &rows).await?)
}

fn row(window_id: i64, m: &Measurement) -> NewMeasurement {
    let intervals: serde_json::Map<String, Json> =
        m.intervals.iter().map(|(name, interval)| ((*name).to_owned(), json!([interval.low, interval.high]))).collect();
    NewMeasurement {
        window_id,
        cohort: m.cohort.label(),
        cohort_values: m.cohort.values(),
        model_version: m.model_version.clone(),
        predictions: m.counts.predictions,
        labeled: m.counts.labeled,
        excluded: m.counts.excluded,
        duplicates: m.counts.duplicates,
        ambiguous: m.counts.ambiguous,
        metrics: json!(m.metrics),
        intervals: Json::Object(intervals),
        digest: m.digest.clone(),
    }
}

/// Judges a rule, moves its alerts, and puts what is to be told into the outbox.
async fn apply_rule(
    connection: &mut PgConnection,
    context: &Context<'_>,
    bench: &Bench<'_>,
    rule: &Rule,
) -> Result<Vec<Told>, RunError> {
    let judged = bench.judge(rule);
    let fingerprint = rule.fingerprint();
    let key = RuleKey {
        job_id: context.claim.job_id,
        run_id: context.claim.run_id,
        rule: &rule.name,
        fingerprint: &fingerprint,
        severity: rule.severity.as_str(),
    };
    verdict::insert(connection, key, &judged.iter().map(new_verdict).collect::<Vec<_>>()).await?;
    let current: BTreeSet<Target> =
        judged.iter().filter(|one| !one.retroactive).map(|one| one.target.clone()).collect();
    let changes = changes(connection, context, rule, key, current.into_iter().collect()).await?;
    let mut told = Vec::new();
    let mut notices: BTreeMap<&'static str, (Kind, Vec<AlertFacts>)> = BTreeMap::new();
    for (target, change) in changes {
        let Some(newest) = judge::newest(&judged, &target) else { continue };
        let facts = alert_facts(context.job, rule, &target, newest, &change);
        alert::transition(connection, key, &transition(&target, newest, &change, &facts, context.as_of)).await?;
        if let Decision::Tell(kind) = decide(&change) {
            notices.entry(kind.as_str()).or_insert_with(|| (kind, Vec::new())).1.push(facts);
        }
        told.push(Told {
            rule: rule.name.clone(),
            cohort: target.cohort,
            from: change.from,
            to: change.to,
            value: newest.judgement.value,
            limit: newest.judgement.limit,
        });
    }
    for (kind, alerts) in notices.into_values() {
        enqueue(connection, context, rule, kind, alerts).await?;
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
    context: &Context<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
    targets: Vec<Target>,
) -> Result<Vec<(Target, Change)>, RunError> {
    let cohorts: Vec<String> = targets.iter().map(|target| target.cohort.clone()).collect();
    let versions: Vec<Option<String>> = targets.iter().map(|target| target.model_version.clone()).collect();
    let recent = verdict::recent(connection, key, &cohorts, &versions, i64::from(rule.persistence)).await?;
    let standing: BTreeMap<Target, Standing> = alert::of_rule(connection, context.claim.job_id, &rule.name)
        .await?
        .into_iter()
        // A rule whose meaning changed starts anew.
        .filter(|alert| alert.rule_fingerprint == key.fingerprint)
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
    let (unit, interval) = match rule.metric {
        RuleMetric::Catalogue(name) => (
            metric::find(name).map_or(String::new(), |metric| metric.unit.of(job.unit.as_deref())),
            newest.measurement.and_then(|m| m.intervals.get(name)),
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

/// One message per rule, receiver and kind, worst first.
async fn enqueue(
    connection: &mut PgConnection,
    context: &Context<'_>,
    rule: &Rule,
    kind: Kind,
    mut alerts: Vec<AlertFacts>,
) -> Result<(), RunError> {
    let excess = |alert: &AlertFacts| alert.value.map_or(0.0, |value| (value - alert.limit).abs());
    alerts.sort_by(|a, b| excess(b).total_cmp(&excess(a)));
    let job = context.job;
    for receiver in &rule.notify {
        let id = Uuid::new_v4();
        let notice = Notice {
            schema: SCHEMA.to_owned(),
            id: id.to_string(),
            kind: kind.as_str().to_owned(),
            as_of: context.as_of,
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
        };
        let new = NewNotification {
            id,
            job_id: context.claim.job_id,
            run_id: context.claim.run_id,
            receiver: receiver.clone(),
            topic: format!("{}/{}", job.name, rule.name),
            kind: kind.as_str(),
            body: json!(notice),
        };
        outbox::enqueue(connection, &new).await?;
    }
    Ok(())
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
