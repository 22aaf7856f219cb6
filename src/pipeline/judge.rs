//! Which windows a rule judges in a run, and for whom. The judging itself is `evaluate`'s.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::evaluate::threshold;
use crate::evaluate::verdict::{Judgement, Verdict};
use crate::measure::windows::DueWindow;
use crate::plan::measurement::Measurement;
use crate::plan::rule::{CohortChoice, Rule, VersionChoice};

/// Whom a rule judges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub cohort: String,
    pub model_version: Option<String>,
}

/// A window of this run, with what happened to it.
#[derive(Debug, Clone)]
pub struct MeasuredWindow {
    pub id: i64,
    pub window: DueWindow,
    /// It was final before this run.
    pub was_final: bool,
    /// It is final now.
    pub is_final: bool,
    /// It was not stored before this run.
    pub is_new: bool,
}

/// A verdict with the measurement it is about.
#[derive(Debug, Clone)]
pub struct Judged<'a> {
    pub target: Target,
    pub window: &'a MeasuredWindow,
    pub measurement: Option<&'a Measurement>,
    pub judgement: Judgement,
    pub retroactive: bool,
}

/// Everything a run knows when it judges.
pub struct Bench<'a> {
    pub windows: &'a [MeasuredWindow],
    pub measurements: &'a [Measurement],
    /// (window id, target) of what got a new revision.
    pub written: &'a BTreeSet<(i64, Target)>,
    pub first_run: bool,
}

impl Bench<'_> {
    /// Judges every window of the run that a rule asks about, oldest first.
    pub fn judge(&self, rule: &Rule) -> Vec<Judged<'_>> {
        let mut mine: Vec<&MeasuredWindow> =
            self.windows.iter().filter(|window| window.window.name == rule.window).collect();
        if self.first_run {
            // A job's first run looks far back: what was long ago is not news.
            let newest = mine.iter().filter(|w| !rule.on_final_only || w.is_final).map(|w| w.window.slice.end).max();
            mine.retain(|window| Some(window.window.slice.end) == newest);
        }
        mine.into_iter().flat_map(|window| self.judge_window(rule, window)).collect()
    }

    fn judge_window<'b>(&'b self, rule: &Rule, window: &'b MeasuredWindow) -> Vec<Judged<'b>> {
        let measured = self.of_window(window, rule);
        measured
            .into_iter()
            .filter(|(target, _)| self.asks(rule, window, target))
            .map(|(target, measurement)| Judged {
                judgement: threshold::judge(rule, measurement),
                retroactive: window.was_final,
                target,
                window,
                measurement,
            })
            .collect()
    }

    /// A window is judged when first measured and at each revision; with `on_final_only` once it is final.
    fn asks(&self, rule: &Rule, window: &MeasuredWindow, target: &Target) -> bool {
        let revised = self.written.contains(&(window.id, target.clone()));
        match (rule.on_final_only, window.was_final) {
            (true, false) => window.is_final,
            (false, false) => revised || window.is_new,
            (_, true) => revised,
        }
    }

    /// The targets of a rule in a window. The total is always one, so that a window without predictions is `no_data`.
    fn of_window<'b>(&'b self, window: &MeasuredWindow, rule: &Rule) -> BTreeMap<Target, Option<&'b Measurement>> {
        let mut found: BTreeMap<Target, Option<&Measurement>> = BTreeMap::new();
        let fixed = match &rule.cohorts {
            CohortChoice::All => Some("all".to_owned()),
            CohortChoice::Label(label) => Some(label.clone()),
            CohortChoice::Each => None,
        };
        if let (Some(cohort), VersionChoice::Together) = (&fixed, rule.versions) {
            found.insert(Target { cohort: cohort.clone(), model_version: None }, None);
        }
        for measurement in
            self.measurements.iter().filter(|m| m.window == window.window.name && m.slice == window.window.slice)
        {
            let cohort = measurement.cohort.label();
            let chosen = fixed.as_ref().map_or(cohort != "all", |fixed| *fixed == cohort);
            let version = measurement.model_version.is_some() == (rule.versions == VersionChoice::Each);
            if chosen && version {
                found.insert(Target { cohort, model_version: measurement.model_version.clone() }, Some(measurement));
            }
        }
        found
    }
}

/// The window of this run that decided about a target: the newest whose verdict counts. Where none does, the newest.
pub fn newest<'a>(judged: &'a [Judged<'a>], target: &Target) -> Option<&'a Judged<'a>> {
    let counts = |one: &Judged<'_>| matches!(one.judgement.verdict, Verdict::Ok | Verdict::Breach);
    let mine = judged.iter().filter(|one| one.target == *target && !one.retroactive);
    mine.max_by_key(|one| (counts(one), end(one)))
}

fn end(judged: &Judged<'_>) -> DateTime<Utc> {
    judged.window.window.slice.end
}
