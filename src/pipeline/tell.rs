//! The deciding half of publishing: verdicts, alert state, and what goes into the outbox, in the publishing transaction.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;

use super::failure::RunError;
use super::holds::Holds;
use super::judge::{self, Bench, Judged};
use super::notices::Subject;
use super::{Run, close, evidence, notices, objectives};
use crate::evaluate::replay::Event;
use crate::evaluate::state::{Change, Counted, Standing, State};
use crate::evaluate::verdict::Judgement;
use crate::notify::decide::{Decision, Kind, Quiet, decide};
use crate::notify::message::AlertFacts;
use crate::plan::PlannedJob;
use crate::plan::measurement::Sample;
use crate::plan::rule::{CohortChoice, Rule, Target, VersionChoice};
use crate::plan::window::{Slice, Window};
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

/// Built-in rules that make others untrustworthy while they fire.
const INHIBITORS: [&str; 2] = ["labels-stopped", "coverage-low"];

/// Judges by every rule of the job, and ends alerts that none of them judges any more.
pub(super) async fn apply(
    connection: &mut PgConnection,
    run: &Run<'_>,
    bench: &Bench<'_>,
) -> Result<Vec<Told>, RunError> {
    let mut told = Vec::new();
    let mut seen = close::Seen::new();
    let inhibitors: Vec<String> = INHIBITORS.iter().map(|name| (*name).to_owned()).collect();
    // Built-in rules come first, and each knows of those before it.
    for rule in &run.job.rules {
        let firing = alert::firing(connection, run.claim.job_id, &inhibitors).await?;
        told.extend(apply_rule(connection, run, bench, rule, inhibited_by(rule, &firing), &mut seen).await?);
    }
    let firing = alert::firing(connection, run.claim.job_id, &inhibitors).await?;
    for slo in &run.job.slos {
        told.extend(objectives::apply(connection, run, slo, firing.first().map(String::as_str)).await?);
    }
    told.extend(close::forgotten(connection, run, &seen).await?);
    Ok(told)
}

/// The firing built-in rule that keeps a rule from telling.
fn inhibited_by<'f>(rule: &Rule, firing: &'f [String]) -> Option<&'f str> {
    let rank = |name: &str| INHIBITORS.iter().position(|known| *known == name);
    let mine = rank(&rule.name);
    let about_labels = rule.needs_labels() || rule.name == "labels-late" || mine.is_some();
    let above = |name: &str| rank(name).is_some_and(|theirs| mine.is_none_or(|mine| theirs < mine));
    firing.iter().map(String::as_str).find(|name| about_labels && above(name))
}

/// Judges a rule, moves its alerts, and puts what is to be told into the outbox.
async fn apply_rule(
    connection: &mut PgConnection,
    run: &Run<'_>,
    bench: &Bench<'_>,
    rule: &Rule,
    inhibited: Option<&str>,
    seen: &mut close::Seen,
) -> Result<Vec<Told>, RunError> {
    let fingerprint = rule.fingerprint();
    let key = RuleKey {
        job_id: run.claim.job_id,
        run_id: run.claim.run_id,
        rule: &rule.name,
        fingerprint: &fingerprint,
        severity: rule.severity.as_str(),
    };
    let known = known_targets(connection, run, rule, key).await?;
    let asked = bench.asked(rule, &known);
    if judges_whatever_there_is(rule) {
        let measured = asked.iter().filter(|one| one.measurement.is_some()).map(|one| one.target.clone());
        let lately: BTreeSet<Target> = measured.chain(known).collect();
        // After a change of the rule nothing is known until it has judged a window.
        if !lately.is_empty() {
            seen.insert(rule.name.clone(), lately);
        }
    }
    let evidence = evidence::gather(connection, run, rule, key, &asked).await?;
    let judged = judge::judge(rule, asked, &evidence);
    verdict::insert(connection, key, &judged.iter().map(new_verdict).collect::<Vec<_>>()).await?;
    let current: BTreeSet<Target> =
        judged.iter().filter(|one| !one.retroactive).map(|one| one.target.clone()).collect();
    let changes = changes(connection, run, rule, key, current.into_iter().collect()).await?;
    let holds = Holds::of_rule(connection, run, &rule.name, inhibited).await?;
    let mut told = Vec::new();
    let mut notices: BTreeMap<&'static str, (Kind, Vec<AlertFacts>)> = BTreeMap::new();
    for (target, was_told, change) in changes {
        let Some(newest) = judge::newest(&judged, &target) else { continue };
        let facts = alert_facts(run.job, rule, &target, newest, &change);
        let hold = holds.of(&target.cohort);
        let decision = decide(&change, was_told, hold.is_some());
        let mut transition = transition(&target, newest, &change, &facts, run.as_of);
        transition.told = decision.is_known(was_told);
        if let (Decision::Quiet(Quiet::Held), Some(why)) = (decision, hold) {
            transition.reason = format!("{}; not told {why}", transition.reason);
        }
        alert::transition(connection, key, &transition).await?;
        if let Decision::Tell(kind) = decision {
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
    // What kept these from telling is over, and they still fire.
    let late = holds.tell_late(connection, run, &rule.name).await?;
    if !late.is_empty() {
        notices.entry(Kind::Firing.as_str()).or_insert_with(|| (Kind::Firing, Vec::new())).1.extend(late);
    }
    for (kind, alerts) in notices.into_values() {
        notices::enqueue(connection, run.origin(), &Subject::of_rule(rule), kind, alerts).await?;
    }
    Ok(told)
}

/// Whether the targets of a rule are those that the data have.
fn judges_whatever_there_is(rule: &Rule) -> bool {
    rule.cohorts == CohortChoice::Each || rule.versions == VersionChoice::Each
}

/// Targets that had predictions not long ago, of rules that judge whatever there is.
async fn known_targets(
    connection: &mut PgConnection,
    run: &Run<'_>,
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

/// How far back windows are looked for that count: as far as labels may make one count, and as many windows reach.
fn far_back(run: &Run<'_>, rule: &Rule, most: i64) -> DateTime<Utc> {
    let windows = &run.job.windows;
    let length = windows.all.iter().find(|window| window.name == rule.window).map_or(windows.bucket, Window::longest);
    let several = length * i32::try_from(most.min(1_000)).unwrap_or(1_000);
    run.as_of - windows.label_wait - windows.horizon - several - TimeDelta::days(30)
}

/// The changes of state that the latest verdicts lead to, and whether receivers know of the alert.
async fn changes(
    connection: &mut PgConnection,
    run: &Run<'_>,
    rule: &Rule,
    key: RuleKey<'_>,
    targets: Vec<Target>,
) -> Result<Vec<(Target, bool, Change)>, RunError> {
    let cohorts: Vec<String> = targets.iter().map(|target| target.cohort.clone()).collect();
    let versions: Vec<Option<String>> = targets.iter().map(|target| target.model_version.clone()).collect();
    let most = rule.fires.most_windows().max(rule.clears.persistence.most_windows());
    let recent = verdict::recent(connection, key, &cohorts, &versions, most, far_back(run, rule, most)).await?;
    let mut standing: BTreeMap<Target, (Standing, bool)> = BTreeMap::new();
    // An alert outlives a change of its rule; only verdicts of the rule as it is now can move it.
    for alert in alert::of_rule(connection, run.claim.job_id, &rule.name).await? {
        let Some(state) = State::parse(&alert.state) else { continue };
        let target = Target { cohort: alert.cohort, model_version: alert.model_version };
        standing.insert(target, (Standing { state, since: alert.since }, alert.told));
    }
    let counted = |place: usize| -> Vec<Counted> {
        let mine = recent.iter().filter(|one| usize::try_from(one.target).is_ok_and(|target| target == place + 1));
        mine.map(|one| Counted::new(one.window_end, one.breach, one.value, rule.clears)).collect()
    };
    let change = |(place, target): (usize, Target)| {
        let (now, was_told) = standing.get(&target).copied().unwrap_or((Standing::NEVER, false));
        let change = now.next(&counted(place), rule.fires, rule.clears.persistence)?;
        Some((target, was_told, change))
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
        told: false,
        evidence: json!(facts),
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

/// What the facts of an alert are made of.
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
        AlertFacts {
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
        }
    }
}

/// The text of the message that a replayed verdict would send.
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
    notices::preview(job, rule, about.facts(job, rule), event.at)
}
