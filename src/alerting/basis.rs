//! Bases of judgements: a measured window, a burn rate, or the state of the job's runs, source or deliveries. Each knows the facts
//! that a notification about it shows.

use chrono::{DateTime, Utc};

use super::{Origin, context};
use crate::domain::cohort::Cohort;
use crate::domain::duration;
use crate::domain::target::Target;
use crate::domain::window::Slice;
use crate::evaluate::burn::{Budget, BurnJudgement};
use crate::evaluate::state::{Change, State};
use crate::evaluate::verdict::Judgement;
use crate::metric::JobMetric;
use crate::metric::measurement::{Measurement, Sample};
use crate::notify::message::AlertFacts;
use crate::plan::PlannedJob;
use crate::plan::objective::{Burn, Slo};
use crate::plan::rule::Rule;

/// Basis of a judgement.
#[derive(Debug, Clone)]
pub(crate) enum Basis<'a> {
    Window(WindowBasis<'a>),
    Burn(BurnBasis<'a>),
    Operation(OperationBasis<'a>),
}

impl Basis<'_> {
    /// Returns the facts of the alert after a change of state.
    pub(crate) fn facts(&self, target: &Target, change: &Change) -> AlertFacts {
        match self {
            Self::Window(basis) => basis.facts(target, change.to, change.since),
            Self::Burn(basis) => basis.facts(target, change.to, change.since),
            Self::Operation(basis) => basis.facts(target, change.to, self.since(change)),
        }
    }

    pub(crate) fn value(&self) -> Option<f64> {
        match self {
            Self::Window(basis) => basis.judgement.value,
            Self::Burn(basis) => basis.judged.long,
            Self::Operation(_) => None,
        }
    }

    pub(crate) fn limit(&self) -> Option<f64> {
        match self {
            Self::Window(basis) => basis.judgement.limit,
            Self::Burn(basis) => Some(basis.burn.factor),
            Self::Operation(_) => None,
        }
    }

    /// Reason for a change of state, as stored.
    pub(crate) fn reason(&self, change: &Change) -> String {
        match self {
            Self::Window(_) => change.reason.describe(),
            Self::Burn(basis) => basis.judged.why.describe(),
            Self::Operation(basis) => basis.note.clone(),
        }
    }

    /// Start of the breach. Of an operation it is the time of its detection.
    pub(crate) fn since(&self, change: &Change) -> Option<DateTime<Utc>> {
        match (self, change.to) {
            (Self::Operation(basis), State::Firing) => Some(basis.origin.as_of),
            _ => change.since,
        }
    }
}

/// A rule's judgement of a measured window.
#[derive(Debug, Clone)]
pub(crate) struct WindowBasis<'a> {
    pub job: &'a PlannedJob,
    pub rule: &'a Rule,
    pub judgement: Judgement,
    pub sample: Option<&'a Sample>,
    pub slice: Slice,
    pub is_final: bool,
    /// The measurement of the target, and all of the run: for its share in the total.
    pub measured: Option<(&'a Measurement, &'a [Measurement])>,
}

impl WindowBasis<'_> {
    pub(crate) fn facts(&self, target: &Target, state: State, since: Option<DateTime<Utc>>) -> AlertFacts {
        let metric = self.rule.metric();
        let named = self.job.metrics.iter().find(|known| known.name() == metric.name());
        let interval = self.sample.and_then(|sample| sample.intervals.get(metric.name()));
        let counts = self.sample.map(|sample| sample.counts).unwrap_or_default();
        let mut facts = AlertFacts {
            value: self.judgement.value,
            limit: self.judgement.limit,
            baseline: self.judgement.baseline,
            unit: named.map_or(String::new(), |metric| metric.unit().of(self.job.unit.as_deref())),
            ci_low: interval.map(|interval| interval.low),
            ci_high: interval.map(|interval| interval.high),
            labeled: counts.labeled,
            predictions: counts.predictions,
            coverage: counts.coverage(),
            status: if self.is_final { "final" } else { "provisional" }.to_owned(),
            squared_error_share: self.measured.and_then(|(mine, all)| squared_error_share(mine, all)),
            note: self.note(named, metric.name()),
            ..bare(target, state, since, self.slice)
        };
        facts.query = context::window_query(self.job, self.rule, &facts);
        facts
    }
}

impl WindowBasis<'_> {
    /// Subject of the number, advice on the first thing to look at, and the kind of its labels. `None` if there is nothing to say.
    fn note(&self, metric: Option<&JobMetric>, name: &str) -> Option<String> {
        let groups = self.sample.and_then(|sample| sample.notes.get(name).map(|groups| format!("{groups}.")));
        let advice = metric.and_then(JobMetric::advice).map(str::to_owned);
        let proxy = (self.job.labels.proxy && self.rule.needs_labels())
            .then(|| "Its labels stand in for the true outcome; look for a second signal.".to_owned());
        let parts: Vec<String> = [groups, advice, proxy].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// Share of a cohort in the summed loss of its window, from 0 to 1: squared error, or log loss of probabilities. `None` for the total itself.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn squared_error_share(mine: &Measurement, all: &[Measurement]) -> Option<f64> {
    let squared = |m: &Measurement| {
        let metric = |name: &str| m.sample.metrics.get(name).copied().flatten();
        let squared = metric("mse").or_else(|| metric("rmse").map(|root| root * root));
        let mean = squared.or_else(|| metric("log_loss")).or_else(|| metric("brier"))?;
        Some(mean * m.sample.counts.labeled as f64)
    };
    if mine.cohort == Cohort::All {
        return None;
    }
    let whole = all.iter().find(|m| {
        m.cohort == Cohort::All
            && m.window == mine.window
            && m.slice == mine.slice
            && m.model_version == mine.model_version
    })?;
    let (mine, whole) = (squared(mine)?, squared(whole)?);
    (whole > 0.0).then(|| mine / whole)
}

/// A judgement of one burn rate of an objective.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BurnBasis<'a> {
    pub job: &'a PlannedJob,
    pub slo: &'a Slo,
    pub burn: &'a Burn,
    pub judged: BurnJudgement,
    pub budget: Budget,
    /// End of the counted period.
    pub label_cutoff: DateTime<Utc>,
}

impl BurnBasis<'_> {
    /// The long window.
    pub(crate) fn slice(&self) -> Slice {
        Slice { start: self.label_cutoff - self.burn.long, end: self.label_cutoff }
    }

    fn facts(&self, target: &Target, state: State, since: Option<DateTime<Utc>>) -> AlertFacts {
        AlertFacts {
            value: self.judged.long,
            limit: Some(self.burn.factor),
            labeled: self.judged.tally.total,
            predictions: self.judged.tally.total,
            note: Some(self.words()),
            query: context::budget_query(self.job, self.slo),
            ..bare(target, state, since, self.slice())
        }
    }

    /// Describes the budget: `37 % of the error budget of 30d remains; at the current rate it is exhausted in 5 days`.
    fn words(&self) -> String {
        let shift = duration::format(self.job.windows.label_wait);
        let Some(left) = self.budget.left else { return "no events were counted in the period".to_owned() };
        let period = duration::format(self.slo.period);
        let share = left * 100.0;
        let end = match self.budget.exhausted_at {
            _ if left <= 0.0 => format!("the error budget of {period} is exhausted"),
            Some(at) => {
                let days = (at - self.label_cutoff).num_hours().max(0) / 24;
                let when = match days {
                    0 => "less than a day".to_owned(),
                    1 => "a day".to_owned(),
                    days => format!("{days} days"),
                };
                format!(
                    "{share:.0} % of the error budget of {period} remains; at the current rate it is exhausted in {when}"
                )
            }
            None => format!("{share:.0} % of the error budget of {period} remains"),
        };
        format!("{end}. Evaluated {shift} late so that labels can arrive")
    }
}

/// The state of the job's runs, its source or its deliveries.
#[derive(Debug, Clone)]
pub(crate) struct OperationBasis<'a> {
    pub origin: Origin<'a>,
    pub rule: &'static str,
    pub note: String,
}

impl OperationBasis<'_> {
    fn facts(&self, target: &Target, state: State, since: Option<DateTime<Utc>>) -> AlertFacts {
        let at = self.origin.as_of;
        AlertFacts {
            query: context::built_in_query(self.origin.job, self.rule),
            note: Some(self.note.clone()),
            ..bare(target, state, since, Slice { start: at, end: at })
        }
    }
}

/// Facts without a value.
fn bare(target: &Target, state: State, since: Option<DateTime<Utc>>, slice: Slice) -> AlertFacts {
    AlertFacts {
        id: None,
        incident: None,
        url: None,
        is_new: false,
        squared_error_share: None,
        fired_at: None,
        acknowledged_by: None,
        closed: None,
        query: String::new(),
        cohort: target.cohort.clone(),
        model_version: target.model_version.clone(),
        state: state.as_str().to_owned(),
        value: None,
        limit: None,
        baseline: None,
        unit: String::new(),
        ci_low: None,
        ci_high: None,
        labeled: 0,
        predictions: 0,
        coverage: None,
        window_start: slice.start,
        window_end: slice.end,
        status: "final".to_owned(),
        since,
        note: None,
    }
}
