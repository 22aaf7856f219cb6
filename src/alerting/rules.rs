//! Judges the rules of a run: selects what they judge, gathers their evidence, and returns their judgements.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::basis::{Basis, WindowBasis};
use super::judgeable::{self, JudgedWindow, JudgingContext};
use super::transition::{Counts, Judged, Judgements};
use super::{RunContext, context, fetch, orphaned};
use crate::dispatch::compose;
use crate::domain::target::Target;
use crate::domain::window::Window;
use crate::evaluate::replay::Event;
use crate::plan::PlannedJob;
use crate::plan::rule::{CohortChoice, Rule, VersionChoice};
use crate::store::history::verdict::{self, KnownQuery, NewVerdict, RuleKey};
use crate::warehouse::failure::RunError;

/// Judges all rules of the job. Returns their judgements, and the targets that the rules which judge each have now.
pub(crate) async fn judge<'a>(
    connection: &mut PgConnection,
    run: &RunContext<'a>,
    judging: &'a JudgingContext<'a>,
) -> Result<(Vec<Judgements<'a>>, orphaned::LiveTargets), RunError> {
    let rules: &'a [Rule] = &run.job.rules;
    let fingerprints: Vec<String> = rules.iter().map(Rule::fingerprint).collect();
    let known = known_targets(connection, run, &fingerprints).await?;
    let mut live = orphaned::LiveTargets::new();
    let mut judgements = Vec::new();
    for ((rule, fingerprint), known) in rules.iter().zip(fingerprints).zip(known) {
        let asked = judging.asked(rule, &known);
        if judges_each(rule) {
            let measured = asked.iter().filter(|one| one.measurement.is_some()).map(|one| one.target.clone());
            let lately: BTreeSet<Target> = measured.chain(known).collect();
            // After a change of the rule no target is known until it has judged a window.
            if !lately.is_empty() {
                live.insert(rule.name.clone(), lately);
            }
        }
        let key = RuleKey {
            job_id: run.claim.job_id,
            run_id: run.claim.run_id,
            rule: &rule.name,
            fingerprint: &fingerprint,
            severity: rule.severity.as_str(),
        };
        let evidence = fetch::gather(connection, run, rule, key, &asked).await?;
        let windows = judgeable::judge(rule, asked, &evidence);
        judgements.push(of_rule(run, judging, rule, fingerprint, &windows));
    }
    Ok((judgements, live))
}

/// Returns the judgements of a rule: a verdict for each window, and the newest of each target for its alert.
fn of_rule<'a>(
    run: &RunContext<'a>,
    judging: &'a JudgingContext<'a>,
    rule: &'a Rule,
    fingerprint: String,
    windows: &[JudgedWindow<'a>],
) -> Judgements<'a> {
    let targets: BTreeSet<Target> =
        windows.iter().filter(|one| !one.retroactive).map(|one| one.target.clone()).collect();
    let most = rule.fires.most_windows().max(rule.clears.persistence.most_windows());
    let since = lookback_start(run, length(run.job, rule).unwrap_or(run.job.windows.bucket), most);
    let judged_now = judges_each(rule).then_some(targets.len());
    let judged = |target: Target| {
        let newest = judgeable::newest(windows, &target)?;
        let basis = Basis::Window(WindowBasis {
            job: run.job,
            rule,
            judgement: newest.judgement.clone(),
            sample: newest.measurement.map(|measurement| &measurement.sample),
            slice: newest.window.window.slice,
            is_final: newest.window.is_final,
            measured: newest.measurement.map(|measurement| (measurement, judging.measurements)),
        });
        Some(Judged { target, counts: Counts::Verdicts { most, since }, basis })
    };
    Judgements {
        about: context::rule(run.job, rule, judged_now),
        fingerprint,
        fires: rule.fires,
        clears: rule.clears,
        verdicts: windows.iter().map(new_verdict).collect(),
        judged: targets.into_iter().filter_map(judged).collect(),
    }
}

/// True if a rule takes its targets from the data.
fn judges_each(rule: &Rule) -> bool {
    rule.cohorts == CohortChoice::Each || rule.versions == VersionChoice::Each
}

fn length(job: &PlannedJob, rule: &Rule) -> Option<TimeDelta> {
    job.windows.all.iter().find(|window| window.name == rule.window).map(Window::longest)
}

/// Start of the lookback for verdicts that count: as long as late labels may make a window count, plus `most` windows of `length`.
fn lookback_start(run: &RunContext<'_>, length: TimeDelta, most: i64) -> DateTime<Utc> {
    let windows = &run.job.windows;
    let several = length * i32::try_from(most.min(1_000)).unwrap_or(1_000);
    windows.label_cutoff(run.as_of) - windows.horizon - several - TimeDelta::days(30)
}

/// Loads, for each rule, the targets that had predictions recently, if the rule takes its targets from the data.
async fn known_targets(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    fingerprints: &[String],
) -> Result<Vec<BTreeSet<Target>>, RunError> {
    let rules = &run.job.rules;
    let mut places = Vec::new();
    let mut queries = Vec::new();
    for (place, (rule, fingerprint)) in rules.iter().zip(fingerprints).enumerate() {
        if judges_each(rule) {
            let long_ago = (length(run.job, rule).unwrap_or_default() * 2).max(TimeDelta::days(7));
            let wait = if rule.on_final_only { run.job.windows.label_wait } else { TimeDelta::zero() };
            places.push(place);
            queries.push(KnownQuery { rule: &rule.name, fingerprint, since: run.as_of - wait - long_ago });
        }
    }
    let mut known = vec![BTreeSet::new(); rules.len()];
    for row in verdict::known_targets(connection, run.claim.job_id, &queries).await? {
        let query = usize::try_from(row.query).ok().and_then(|query| query.checked_sub(1));
        if let Some(place) = query.and_then(|query| places.get(query)) {
            known[*place].insert(Target { cohort: row.cohort, model_version: row.model_version });
        }
    }
    Ok(known)
}

fn new_verdict(judged: &JudgedWindow<'_>) -> NewVerdict {
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

/// Returns the text of the notification that a replayed verdict would send.
pub fn preview(job: &PlannedJob, rule: &Rule, event: &Event) -> String {
    let basis = WindowBasis {
        job,
        rule,
        judgement: event.judgement.clone(),
        sample: Some(event.sample.as_ref()),
        slice: event.slice,
        is_final: job.windows.is_final(event.slice.end, event.at),
        measured: None,
    };
    compose::preview(context::rule(job, rule, None), basis.facts(&event.target, event.state, event.since), event.at)
}
