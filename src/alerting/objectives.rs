//! Error budgets in a run: counts of good events whose labels had time to arrive, burn rates, and their alerts.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use super::incident::Fired;
use super::{Decided, StateChange, context, excluded};
use crate::alerting::RunContext;
use crate::domain::cohort::Cohort;
use crate::domain::duration;
use crate::domain::window::{Grain, Slice, Window, floor};
use crate::evaluate::burn::{self, Budget, BurnJudgement, Tally};
use crate::evaluate::state::{AlertState, DecidedWindow, State};
use crate::evaluate::verdict::Verdict;
use crate::notify::message::AlertFacts;
use crate::plan::PlannedJob;
use crate::plan::objective::{Burn, Indicator, Slo};
use crate::plan::rule::{Clearing, Persistence};
use crate::store::alerting::alert::{self, NewTransition};
use crate::store::history::slo as store;
use crate::store::history::slo::{NewEvaluation, WindowValue};
use crate::store::history::verdict::{self, NewVerdict, RuleKey};
use crate::warehouse::failure::RunError;
use crate::warehouse::windows::{self, DueWindow};

/// Evaluates an objective: its budget, and each of its burn rates.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    slo: &Slo,
    decided: &mut Decided,
) -> Result<(), RunError> {
    // Everything before this is past the label wait.
    let label_cutoff = label_cutoff(run.job, slo, run.as_of);
    let back = |length| Slice { start: start_of(run.job, slo, label_cutoff, length), end: label_cutoff };
    let fingerprint = definition(slo);
    let last = store::last(connection, run.claim.job_id, &slo.name, &fingerprint).await?;
    let mut slices = vec![back(slo.period)];
    slices.extend(slo.burns.iter().flat_map(|burn| [back(burn.long), back(burn.short)]));
    slices.extend(last.map(|last| Slice { start: last.period_start, end: last.period_end }));
    let excluded =
        if slo.silenced_spends { Vec::new() } else { excluded::slices(connection, run, slo, &slices).await? };
    let tallies = tallies(connection, run, slo, &slices, &excluded).await?;
    let tally = |slice: Slice| tallies.get(&slice).copied().unwrap_or_default();
    let period = tally(back(slo.period));

    let judged: Vec<(&Burn, BurnJudgement)> = slo
        .burns
        .iter()
        .map(|burn| (burn, burn::judge(slo.objective, burn, tally(back(burn.long)), tally(back(burn.short)))))
        .collect();
    let forecast = slo.burns.iter().map(|burn| burn.long).max().unwrap_or(slo.period);
    let budget = burn::budget(slo, period, tally(back(forecast)), label_cutoff);
    let evaluation = NewEvaluation {
        job_id: run.claim.job_id,
        run_id: run.claim.run_id,
        slo: &slo.name,
        fingerprint: &fingerprint,
        kind: "evaluation",
        as_of: run.as_of,
        period_start: back(slo.period).start,
        period_end: label_cutoff,
        objective: slo.objective,
        good: period.good,
        total: period.total,
        budget_left: budget.left,
        exhausted_at: budget.exhausted_at,
        burn: Json::Array(judged.iter().map(|(burn, judged)| burn_json(burn, judged)).collect()),
    };
    let mut is_new = true;
    if let Some(last) = last {
        let now = tally(Slice { start: last.period_start, end: last.period_end });
        // The past changed, so the remaining budget reported then was wrong.
        if (now.good, now.total) != (last.good, last.total) {
            let adjustment = NewEvaluation {
                kind: "adjustment",
                period_start: last.period_start,
                period_end: last.period_end,
                good: now.good - last.good,
                total: now.total - last.total,
                ..evaluation.clone()
            };
            store::insert(connection, &adjustment).await?;
        } else {
            is_new = last.period_end != label_cutoff;
        }
    }
    if is_new {
        store::insert(connection, &evaluation).await?;
    }
    for (burn, judged) in judged {
        BurnContext { run, slo, burn, judged, budget, label_cutoff }.apply(connection, decided).await?;
    }
    Ok(())
}

/// Returns the windows that an objective counts, if it counts windows.
fn counted_windows<'j>(job: &'j PlannedJob, slo: &Slo) -> Option<(&'j Window, Grain)> {
    match &slo.indicator {
        Indicator::Predictions { .. } => None,
        Indicator::Windows { window, .. } => job.windows.tumbling().find(|(known, _)| known.name == *window),
    }
}

/// Returns the end of the counted period: of the last bucket or counted window that is past the label wait.
fn label_cutoff(job: &PlannedJob, slo: &Slo, as_of: DateTime<Utc>) -> DateTime<Utc> {
    let until = job.windows.label_cutoff(as_of);
    match counted_windows(job, slo) {
        Some((_, grain)) => grain.slice(until, job.windows.zone).start,
        None => floor(until, job.windows.bucket),
    }
}

/// Start of the period of `length` that ends at `label_cutoff`; when counting windows, a whole number of them, across DST.
fn start_of(job: &PlannedJob, slo: &Slo, label_cutoff: DateTime<Utc>, length: TimeDelta) -> DateTime<Utc> {
    let Some((window, grain)) = counted_windows(job, slo) else { return label_cutoff - length };
    let windows = length.num_seconds() / window.nominal().num_seconds().max(1);
    (0..windows).fold(label_cutoff, |start, _| grain.slice(start - TimeDelta::milliseconds(1), job.windows.zone).start)
}

/// Identifies the definition of an objective: evaluations of another definition are not comparable.
fn definition(slo: &Slo) -> String {
    let excluded = if slo.silenced_spends { "" } else { " but for what is silenced" };
    format!("{:?} {} {}{excluded}", slo.indicator, slo.objective, slo.period)
}

fn burn_json(burn: &Burn, judged: &BurnJudgement) -> Json {
    json!({
        "long": duration::format(burn.long),
        "short": duration::format(burn.short),
        "factor": burn.factor,
        "severity": burn.severity.as_str(),
        "long_burn": judged.long,
        "short_burn": judged.short,
        "good": judged.tally.good,
        "total": judged.tally.total,
        "verdict": judged.verdict.as_str(),
        "reason": judged.why.describe(),
    })
}

/// Tallies each slice without its excluded parts, from sums, never from shares.
async fn tallies(
    connection: &mut PgConnection,
    run: &RunContext<'_>,
    slo: &Slo,
    slices: &[Slice],
    excluded: &[Slice],
) -> Result<HashMap<Slice, Tally>, RunError> {
    match &slo.indicator {
        Indicator::Predictions { metric, .. } => {
            let job = only_totals(run.job, metric);
            // The excluded parts of a slice are measured like others, and subtracted.
            let parts = |slice: &Slice| excluded::within(*slice, excluded);
            let mut all: Vec<Slice> = slices.iter().flat_map(|slice| [vec![*slice], parts(slice)].concat()).collect();
            all.sort_by_key(|slice| (slice.start, slice.end));
            all.dedup();
            let due: Vec<DueWindow> =
                all.into_iter().map(|slice| DueWindow { name: "slo".to_owned(), slice }).collect();
            let measured = windows::measure(connection, &job, run.facts, run.plan.id, run.as_of, &due).await?;
            let all = measured.iter().filter(|m| m.cohort == Cohort::All && m.model_version.is_none());
            let counted: HashMap<Slice, Tally> = all
                .map(|m| {
                    let total = m.sample.counts.labeled;
                    let share = m.sample.metrics.get(&**metric).copied().flatten().unwrap_or(0.0);
                    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "far below 2^53")]
                    let good = (share * total as f64).round() as i64;
                    (m.slice, Tally { good, total })
                })
                .collect();
            let of = |slice: &Slice| counted.get(slice).copied().unwrap_or_default();
            let tally = |slice: &Slice| parts(slice).iter().map(of).fold(of(slice), Tally::minus);
            Ok(slices.iter().map(|slice| (*slice, tally(slice))).collect())
        }
        Indicator::Windows { metric, window, condition } => {
            let from = slices.iter().map(|slice| slice.start).min().unwrap_or_default();
            let until = slices.iter().map(|slice| slice.end).max().unwrap_or_default();
            let job_id = run.claim.job_id;
            let values = store::window_values(connection, job_id, window, metric.name(), (from, until)).await?;
            let tally = |slice: &Slice| {
                let inside = values.iter().filter(|one| one.start >= slice.start && one.end <= slice.end);
                let counts = |one: &&WindowValue| {
                    excluded.iter().all(|excluded| one.end <= excluded.start || one.start >= excluded.end)
                };
                let inside = inside.filter(counts);
                inside.filter_map(|one| one.value).fold(Tally::default(), |tally, value| Tally {
                    good: tally.good + i64::from(!condition.is_breached_by(value)),
                    total: tally.total + 1,
                })
            };
            Ok(slices.iter().map(|slice| (*slice, tally(slice))).collect())
        }
    }
}

/// Reduces the job to the needs of an objective: totals only, one metric.
fn only_totals(job: &PlannedJob, metric: &str) -> PlannedJob {
    let mut totals = job.clone();
    totals.cohort_sets.clear();
    totals.parameters.exact = false;
    totals.metrics.retain(|kept| kept.name() == metric);
    totals
}

/// One burn rate in one run.
struct BurnContext<'a> {
    run: &'a RunContext<'a>,
    slo: &'a Slo,
    burn: &'a Burn,
    judged: BurnJudgement,
    budget: Budget,
    label_cutoff: DateTime<Utc>,
}

const ONCE: Persistence = Persistence::Windows(1);

impl BurnContext<'_> {
    /// Stores the verdict and updates the alert.
    async fn apply(&self, connection: &mut PgConnection, decided: &mut Decided) -> Result<(), RunError> {
        let (run, judged) = (self.run, &self.judged);
        let (name, fingerprint) = (self.slo.alert(self.burn), self.slo.fingerprint(self.burn));
        let key = RuleKey {
            job_id: run.claim.job_id,
            run_id: run.claim.run_id,
            rule: &name,
            fingerprint: &fingerprint,
            severity: self.burn.severity.as_str(),
        };
        verdict::insert(connection, key, &[self.verdict()]).await?;
        let alerts = alert::of_rule(connection, run.claim.job_id, &name).await?;
        let known = alerts.first();
        let standing = known
            .and_then(|alert| Some(AlertState { state: State::parse(&alert.state)?, since: alert.since }))
            .unwrap_or(AlertState::NEVER);
        let resolved_until = known.and_then(|alert| alert.ignore_until);
        let clears = Clearing { below: None, above: None, persistence: ONCE };
        let breach = judged.verdict == Verdict::Breach;
        let counts = matches!(judged.verdict, Verdict::Ok | Verdict::Breach)
            && resolved_until.is_none_or(|until| self.label_cutoff > until);
        let counted: Vec<DecidedWindow> =
            counts.then(|| DecidedWindow::new(self.label_cutoff, breach, judged.long, clears)).into_iter().collect();
        let Some(change) = standing.next(&counted, ONCE, ONCE) else { return Ok(()) };
        let facts = self.facts(change.to.as_str(), change.since);
        let about = context::burn(run.job, self.slo, self.burn);
        let transition = NewTransition {
            cohort: "all".to_owned(),
            model_version: None,
            from_state: change.from.as_str(),
            to_state: change.to.as_str(),
            reason: judged.why.describe(),
            value: judged.long,
            limit_value: Some(self.burn.factor),
            since: change.since,
            fired_at: (change.to == State::Firing).then_some(run.as_of),
            evidence: json!(facts),
            about: Some(json!(about)),
        };
        let alert_id = alert::transition(connection, key, &transition).await?;
        if change.to == State::Firing {
            decided.fired.push(Fired { alert_id, about, facts });
        }
        decided.changes.push(StateChange {
            rule: name,
            cohort: "all".to_owned(),
            model_version: None,
            from: change.from,
            to: change.to,
            value: judged.long,
            limit: Some(self.burn.factor),
        });
        Ok(())
    }

    fn verdict(&self) -> NewVerdict {
        let judged = &self.judged;
        NewVerdict {
            cohort: "all".to_owned(),
            model_version: None,
            window_id: None,
            window_name: format!("burn {}", duration::format(self.burn.long)),
            window_start: self.label_cutoff - self.burn.long,
            window_end: self.label_cutoff,
            verdict: judged.verdict.as_str(),
            value: judged.long,
            limit_value: Some(self.burn.factor),
            baseline: None,
            labeled: Some(judged.tally.total),
            coverage: None,
            reason: judged.why.describe(),
            retroactive: false,
        }
    }

    fn facts(&self, state: &str, since: Option<DateTime<Utc>>) -> AlertFacts {
        AlertFacts {
            cohort: "all".to_owned(),
            model_version: None,
            state: state.to_owned(),
            value: self.judged.long,
            limit: Some(self.burn.factor),
            baseline: None,
            unit: String::new(),
            ci_low: None,
            ci_high: None,
            labeled: self.judged.tally.total,
            predictions: self.judged.tally.total,
            coverage: None,
            window_start: self.label_cutoff - self.burn.long,
            window_end: self.label_cutoff,
            status: "final".to_owned(),
            since,
            note: Some(self.words()),
            id: None,
            incident: None,
            is_new: false,
            squared_error_share: None,
            fired_at: None,
            acknowledged_by: None,
            closed: None,
            query: context::budget_query(self.run.job, self.slo),
        }
    }

    /// Describes the budget: `37 % of the error budget of 30d is left; spent on like this it is gone in 5 days`.
    fn words(&self) -> String {
        let shift = duration::format(self.run.job.windows.label_wait);
        let Some(left) = self.budget.left else { return "nothing was counted in the period".to_owned() };
        let period = duration::format(self.slo.period);
        let end = match self.budget.exhausted_at {
            _ if left <= 0.0 => format!("the error budget of {period} is spent"),
            Some(at) => {
                let days = (at - self.label_cutoff).num_hours().max(0) / 24;
                let when = match days {
                    0 => "less than a day".to_owned(),
                    1 => "a day".to_owned(),
                    days => format!("{days} days"),
                };
                format!(
                    "{:.0} % of the error budget of {period} is left; spent on like this it is gone in {when}",
                    left * 100.0
                )
            }
            None => format!("{:.0} % of the error budget of {period} is left", left * 100.0),
        };
        format!("{end}. Judged {shift} late, so that labels had their time")
    }
}
