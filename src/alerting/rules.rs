//! Judges the rules of a run: verdicts and alert state, in the publishing transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::incident::Fired;
use super::judgeable::{self, Judged, JudgingContext};
use super::{Decided, context, fetch, objectives, orphaned};
use crate::alerting::{RunContext, StateChange};
use crate::dispatch::compose;
use crate::domain::cohort::Cohort;
use crate::domain::target::Target;
use crate::domain::window::{Slice, Window};
use crate::evaluate::replay::Event;
use crate::evaluate::state::{AlertState, Change, DecidedWindow, State};
use crate::evaluate::verdict::Judgement;
use crate::metric::measurement::{Measurement, Sample};
use crate::notify::message::AlertFacts;
use crate::plan::PlannedJob;
use crate::plan::rule::{CohortChoice, Rule, VersionChoice};
use crate::store::alerting::alert::{self, NewTransition};
use crate::store::history::verdict::{self, NewVerdict, RuleKey};
use crate::warehouse::failure::RunError;

/// Judges all rules and objectives of the job, and closes alerts that none of them judges any more.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    judging: &JudgingContext<'_>,
) -> Result<Decided, RunError> {
    let mut decided = Decided::default();
    let mut seen = orphaned::LiveTargets::new();
    for rule in &run.job.rules {
        apply_rule(connection, run, judging, rule, &mut seen, &mut decided).await?;
    }
    for slo in &run.job.slos {
        objectives::apply(connection, run, slo, &mut decided).await?;
    }
    decided.changes.extend(orphaned::close_orphaned(connection, run, &seen).await?);
    Ok(decided)
}

/// Judges a rule and updates its alerts. Notifications are decided once all alerts of the job are updated.
async fn apply_rule(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    judging: &JudgingContext<'_>,
    rule: &Rule,
    seen: &mut orphaned::LiveTargets,
    decided: &mut Decided,
) -> Result<(), RunError> {
    let fingerprint = rule.fingerprint();
    let key = RuleKey {
        job_id: run.claim.job_id,
        run_id: run.claim.run_id,
        rule: &rule.name,
        fingerprint: &fingerprint,
        severity: rule.severity.as_str(),
    };
    let known = known_targets(connection, run, rule, key).await?;
    let asked = judging.asked(rule, &known);
    if judges_whatever_there_is(rule) {
        let measured = asked.iter().filter(|one| one.measurement.is_some()).map(|one| one.target.clone());
        let lately: BTreeSet<Target> = measured.chain(known).collect();
        // After a change of the rule no target is known until it has judged a window.
        if !lately.is_empty() {
            seen.insert(rule.name.clone(), lately);
        }
    }
    let evidence = fetch::gather(connection, run, rule, key, &asked).await?;
    let judged = judgeable::judge(rule, asked, &evidence);
    verdict::insert(connection, key, &judged.iter().map(new_verdict).collect::<Vec<_>>()).await?;
    let current: BTreeSet<Target> =
        judged.iter().filter(|one| !one.retroactive).map(|one| one.target.clone()).collect();
    let judged_now = judges_whatever_there_is(rule).then_some(current.len());
    let about = context::rule(run.job, rule, judged_now);
    for (target, change) in changes(connection, run, rule, key, current.into_iter().collect()).await? {
        let Some(newest) = judgeable::newest(&judged, &target) else { continue };
        let facts = AlertFacts {
            squared_error_share: squared_error_share(judging, newest),
            ..alert_facts(run.job, rule, &target, newest, &change)
        };
        let transition =
            NewTransition { about: Some(json!(about)), ..transition(&target, newest, &change, &facts, run.as_of) };
        let alert_id = alert::transition(connection, key, &transition).await?;
        if change.to == State::Firing {
            decided.fired.push(Fired { alert_id, about: about.clone(), facts });
        }
        decided.changes.push(StateChange {
            rule: rule.name.clone(),
            cohort: target.cohort,
            model_version: target.model_version,
            from: change.from,
            to: change.to,
            value: newest.judgement.value,
            limit: newest.judgement.limit,
        });
    }
    Ok(())
}

/// Share of a cohort in the total squared error of its window, from 0 to 1. `None` for the total itself.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn squared_error_share(judging: &JudgingContext<'_>, judged: &Judged<'_>) -> Option<f64> {
    let squared = |m: &Measurement| {
        let metric = |name: &str| m.sample.metrics.get(name).copied().flatten();
        let mean = metric("mse").or_else(|| metric("rmse").map(|root| root * root))?;
        Some(mean * m.sample.counts.labeled as f64)
    };
    let mine = judged.measurement.filter(|m| m.cohort != Cohort::All)?;
    let whole = judging.measurements.iter().find(|m| {
        m.cohort == Cohort::All
            && m.window == mine.window
            && m.slice == mine.slice
            && m.model_version == mine.model_version
    })?;
    let (mine, whole) = (squared(mine)?, squared(whole)?);
    (whole > 0.0).then(|| mine / whole)
}

/// True if a rule takes its targets from the data.
fn judges_whatever_there_is(rule: &Rule) -> bool {
    rule.cohorts == CohortChoice::Each || rule.versions == VersionChoice::Each
}

/// Loads the targets that had predictions recently, for rules that take their targets from the data.
async fn known_targets(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
) -> Result<BTreeSet<Target>, RunError> {
    if !judges_whatever_there_is(rule) {
        return Ok(BTreeSet::new());
    }
    let length = run.job.windows.all.iter().find(|window| window.name == rule.window).map(Window::longest);
    let long_ago = (length.unwrap_or_default() * 2).max(TimeDelta::days(7));
    let wait = if rule.on_final_only { run.job.windows.label_wait } else { TimeDelta::zero() };
    let known = verdict::known_targets(connection, key, run.as_of - wait - long_ago).await?;
    Ok(known.into_iter().map(|(cohort, model_version)| Target { cohort, model_version }).collect())
}

fn new_verdict(judged: &Judged<'_>) -> NewVerdict {
    NewVerdict {
        cohort: judged.target.cohort.clone(),
        model_version: judged.target.model_version.clone(),
        window_id: Some(judged.window.id),
        window_name: judged.window.window.name.clone(),
        window_start: judged.window.window.slice.start,
        window_end: judged.window.window.slice.end,
        verdict: judged.judgement.verdict.as_str(),
        value: judged.judgement.value,
        limit_value: judged.judgement.limit,
        baseline: judged.judgement.baseline,
        labeled: judged.measurement.map(|m| m.sample.counts.labeled),
        coverage: judged.measurement.and_then(|m| m.sample.counts.coverage()),
        reason: judged.judgement.reason.describe(),
        retroactive: judged.retroactive,
    }
}

/// Start of the lookback for windows that count: as long as late labels may make a window count, plus `most` windows.
fn lookback_start(run: &RunContext<'_>, rule: &Rule, most: i64) -> DateTime<Utc> {
    let windows = &run.job.windows;
    let length = windows.all.iter().find(|window| window.name == rule.window).map_or(windows.bucket, Window::longest);
    let several = length * i32::try_from(most.min(1_000)).unwrap_or(1_000);
    windows.label_cutoff(run.as_of) - windows.horizon - several - TimeDelta::days(30)
}

/// Returns the state changes that the latest verdicts cause.
async fn changes(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
    targets: Vec<Target>,
) -> Result<Vec<(Target, Change)>, RunError> {
    let cohorts: Vec<String> = targets.iter().map(|target| target.cohort.clone()).collect();
    let versions: Vec<Option<String>> = targets.iter().map(|target| target.model_version.clone()).collect();
    let most = rule.fires.most_windows().max(rule.clears.persistence.most_windows());
    let recent = verdict::recent(connection, key, &cohorts, &versions, most, lookback_start(run, rule, most)).await?;
    let mut standing: BTreeMap<Target, (AlertState, Option<DateTime<Utc>>)> = BTreeMap::new();
    // An alert survives a change of its rule, but only verdicts of the current rule can change its state.
    for alert in alert::of_rule(connection, run.claim.job_id, &rule.name).await? {
        let Some(state) = State::parse(&alert.state) else { continue };
        let target = Target { cohort: alert.cohort, model_version: alert.model_version };
        standing.insert(target, (AlertState { state, since: alert.since }, alert.ignore_until));
    }
    let counted = |place: usize, after: Option<DateTime<Utc>>| -> Vec<DecidedWindow> {
        let mine = recent.iter().filter(|one| usize::try_from(one.target).is_ok_and(|target| target == place + 1));
        // An alert that was resolved manually starts again.
        mine.filter(|one| after.is_none_or(|after| one.window_end > after))
            .map(|one| DecidedWindow::new(one.window_end, one.breach, one.value, rule.clears))
            .collect()
    };
    let change = |(place, target): (usize, Target)| {
        let (now, after) = standing.get(&target).copied().unwrap_or((AlertState::NEVER, None));
        let change = now.next(&counted(place, after), rule.fires, rule.clears.persistence)?;
        Some((target, change))
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
        limit_value: newest.judgement.limit,
        since: change.since,
        fired_at: (change.to == State::Firing).then_some(as_of),
        evidence: json!(facts),
        about: None,
    }
}

fn alert_facts(job: &PlannedJob, rule: &Rule, target: &Target, newest: &Judged<'_>, change: &Change) -> AlertFacts {
    let about = FactsOf {
        target,
        judgement: &newest.judgement,
        sample: newest.measurement.map(|measurement| &measurement.sample),
        slice: newest.window.window.slice,
        is_final: newest.window.is_final,
        state: change.to,
        since: change.since,
    };
    about.facts(job, rule)
}

/// Inputs of the facts of an alert.
struct FactsOf<'a> {
    target: &'a Target,
    judgement: &'a Judgement,
    sample: Option<&'a Sample>,
    slice: Slice,
    is_final: bool,
    state: State,
    since: Option<DateTime<Utc>>,
}

impl FactsOf<'_> {
    fn facts(&self, job: &PlannedJob, rule: &Rule) -> AlertFacts {
        let metric = rule.metric();
        let named = job.metrics.iter().find(|known| known.name() == metric.name());
        let interval = self.sample.and_then(|sample| sample.intervals.get(metric.name()));
        let counts = self.sample.map(|sample| sample.counts).unwrap_or_default();
        let mut facts = AlertFacts {
            id: None,
            incident: None,
            is_new: false,
            squared_error_share: None,
            fired_at: None,
            acknowledged_by: None,
            closed: None,
            query: String::new(),
            cohort: self.target.cohort.clone(),
            model_version: self.target.model_version.clone(),
            state: self.state.as_str().to_owned(),
            value: self.judgement.value,
            limit: self.judgement.limit,
            baseline: self.judgement.baseline,
            unit: named.map_or(String::new(), |metric| metric.unit().of(job.unit.as_deref())),
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            labeled: counts.labeled,
            predictions: counts.predictions,
            coverage: counts.coverage(),
            window_start: self.slice.start,
            window_end: self.slice.end,
            status: if self.is_final { "final" } else { "provisional" }.to_owned(),
            since: self.since,
            note: None,
        };
        facts.query = context::window_query(job, rule, &facts);
        facts
    }
}

/// Returns the text of the notification that a replayed verdict would send.
pub fn preview(job: &PlannedJob, rule: &Rule, event: &Event) -> String {
    let about = FactsOf {
        target: &event.target,
        judgement: &event.judgement,
        sample: Some(event.sample.as_ref()),
        slice: event.slice,
        is_final: job.windows.is_final(event.slice.end, event.at),
        state: event.state,
        since: event.since,
    };
    compose::preview(context::rule(job, rule, None), about.facts(job, rule), event.at)
}
