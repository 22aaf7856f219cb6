//! Error budgets in a run: counts of good events whose labels had time to arrive, burn rates, and their alerts.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};
use sqlx::PgConnection;

use super::basis::{Basis, BurnBasis};
use super::transition::Judgements;
use super::{RunContext, context, excluded};
use crate::domain::cohort::Cohort;
use crate::domain::duration;
use crate::domain::target::Target;
use crate::domain::verdict::Verdict;
use crate::domain::window::{Grain, Slice, Window, floor};
use crate::evaluate::burn::{self, BurnJudgement, Tally};
use crate::plan::PlannedJob;
use crate::plan::objective::{Burn, Indicator, Slo};
use crate::store::history::slo as store;
use crate::store::history::slo::{NewEvaluation, WindowValue};
use crate::store::history::verdict::NewVerdict;
use crate::warehouse::failure::RunError;
use crate::warehouse::windows::{self, DueWindow};

/// Evaluates an objective: stores its budget, and returns a judgement of each of its burn rates.
pub(crate) async fn judge<'a>(
    connection: &mut PgConnection,
    run: &RunContext<'a>,
    slo: &'a Slo,
) -> Result<Vec<Judgements<'a>>, RunError> {
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

    let judged: Vec<(&'a Burn, BurnJudgement)> = slo
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
    let basis = |(burn, judged)| BurnBasis { job: run.job, slo, burn, judged, budget, label_cutoff };
    Ok(judged.into_iter().map(basis).map(judgements).collect())
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

/// Returns the judgement of one burn rate.
fn judgements(basis: BurnBasis<'_>) -> Judgements<'_> {
    let BurnBasis { job, slo, burn, judged, label_cutoff, .. } = basis;
    let decided = matches!(judged.verdict, Verdict::Ok | Verdict::Breach);
    let window = decided.then_some((label_cutoff, judged.verdict == Verdict::Breach));
    let verdicts = vec![new_verdict(&basis)];
    Judgements::single(context::burn(job, slo, burn), slo.fingerprint(burn), verdicts, window, Basis::Burn(basis))
}

fn new_verdict(basis: &BurnBasis<'_>) -> NewVerdict {
    let BurnBasis { burn, judged, .. } = basis;
    NewVerdict {
        cohort: Target::total().cohort,
        model_version: None,
        window_id: None,
        window_name: format!("burn {}", duration::format(burn.long)),
        window_start: basis.slice().start,
        window_end: basis.slice().end,
        verdict: judged.verdict.as_str(),
        value: judged.long,
        limit_value: Some(burn.factor),
        baseline: None,
        labeled: Some(judged.tally.total),
        coverage: None,
        reason: judged.why.describe(),
        retroactive: false,
    }
}
