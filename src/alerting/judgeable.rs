//! Selects the windows and targets that a rule judges in a run. `evaluate` does the judging itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::domain::target::Target;
use crate::domain::verdict::Verdict;
use crate::evaluate::baseline::Past;
use crate::evaluate::rules::{self, Evidence};
use crate::evaluate::verdict::{Judgement, Reason};
use crate::metric::measurement::{Measurement, Sample};
use crate::plan::rule::{CohortChoice, Rule, VersionChoice};
use crate::warehouse::windows::DueWindow;

/// A window measured in this run, with its changes.
#[derive(Debug, Clone)]
pub(crate) struct MeasuredWindow {
    pub id: i64,
    pub window: DueWindow,
    /// It was final before this run.
    pub was_final: bool,
    /// It is final now.
    pub is_final: bool,
    /// It was not stored before this run.
    pub is_new: bool,
}

/// A window and a target for a rule to judge.
#[derive(Debug, Clone)]
pub(crate) struct Judgeable<'a> {
    pub target: Target,
    pub window: &'a MeasuredWindow,
    /// `None`: the target has no predictions in the window.
    pub measurement: Option<&'a Measurement>,
    /// It had predictions before.
    pub disappeared: bool,
}

/// A verdict with its measurement.
#[derive(Debug, Clone)]
pub(crate) struct JudgedWindow<'a> {
    pub target: Target,
    pub window: &'a MeasuredWindow,
    pub measurement: Option<&'a Measurement>,
    pub judgement: Judgement,
    pub retroactive: bool,
}

/// Results of a run that its rules judge.
pub(crate) struct JudgingContext<'a> {
    pub windows: &'a [MeasuredWindow],
    pub measurements: &'a [Measurement],
    /// (window id, target) of each new revision.
    pub written: &'a BTreeSet<(i64, Target)>,
    pub first_run: bool,
}

impl JudgingContext<'_> {
    /// Returns the windows and targets for a rule to judge in this run, oldest window first. `known` had predictions recently.
    pub fn asked(&self, rule: &Rule, known: &BTreeSet<Target>) -> Vec<Judgeable<'_>> {
        let mut mine: Vec<&MeasuredWindow> =
            self.windows.iter().filter(|window| window.window.name == rule.window).collect();
        if self.first_run {
            // A job's first run has a long lookback; old breaches are not worth a notification.
            let newest = mine.iter().filter(|w| !rule.on_final_only || w.is_final).map(|w| w.window.slice.end).max();
            mine.retain(|window| Some(window.window.slice.end) == newest);
        }
        mine.into_iter().flat_map(|window| self.asked_of(rule, window, known)).collect()
    }

    fn asked_of<'b>(
        &'b self,
        rule: &Rule,
        window: &'b MeasuredWindow,
        known: &BTreeSet<Target>,
    ) -> impl Iterator<Item = Judgeable<'b>> {
        let mut found = self.of_window(window, rule);
        // Report a target that stopped, in windows that are judged for the first time.
        let missing = |target: &&Target| !found.contains_key(target);
        let mut gone: BTreeSet<Target> = known.iter().filter(|_| window.is_new).filter(missing).cloned().collect();
        // Also a target whose last prediction in the window disappeared.
        let removed = self.written.iter().filter(|(id, _)| *id == window.id).map(|(_, target)| target);
        gone.extend(
            removed
                .filter(|target| rule.covers(&target.cohort, target.model_version.as_deref()))
                .filter(missing)
                .cloned(),
        );
        found.extend(gone.iter().map(|target| (target.clone(), None)));
        let asked: Vec<Judgeable<'b>> = found
            .into_iter()
            .filter(|(target, _)| self.asks(rule, window, target) && !rule.compares_with_itself(target))
            .map(|(target, measurement)| Judgeable { disappeared: gone.contains(&target), target, window, measurement })
            .collect();
        asked.into_iter()
    }

    /// True if a window is to be judged: when first measured and at each revision; with `on_final_only`, once it is final.
    fn asks(&self, rule: &Rule, window: &MeasuredWindow, target: &Target) -> bool {
        let revised = self.written.contains(&(window.id, target.clone()));
        match (rule.on_final_only, window.was_final) {
            (true, false) => window.is_final,
            (false, false) => revised || window.is_new,
            (_, true) => revised,
        }
    }

    /// Returns the targets of a rule in a window. A fixed cohort over all versions is always included, so that a window without
    /// predictions is `no_data`.
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

/// Judges the requested windows, oldest first, given evidence for each comparison of the rule (outer) and each request (inner).
/// Breaches found earlier in this pass are excluded from later baselines.
pub(crate) fn judge<'a>(rule: &Rule, asked: Vec<Judgeable<'a>>, evidence: &[Vec<Found>]) -> Vec<JudgedWindow<'a>> {
    let mut places: Vec<usize> = (0..asked.len()).collect();
    places.sort_by_key(|place| asked[*place].window.window.slice.end);
    let mut breaches: HashMap<(Target, DateTime<Utc>), bool> = HashMap::new();
    let mut judgements: HashMap<usize, Judgement> = HashMap::new();
    for place in places {
        let one = &asked[place];
        let own = one.measurement.map(|measurement| &measurement.sample);
        let of_tests: Vec<Evidence<'_>> = rule
            .when
            .tests()
            .iter()
            .zip(evidence)
            .map(|(test, found)| {
                let found = &found[place];
                let mut past = found.past.clone();
                for before in past.iter_mut().filter(|_| test.window == rule.window) {
                    if let Some(breach) = breaches.get(&(one.target.clone(), before.slice.end)) {
                        before.breach = *breach;
                    }
                }
                Evidence { sample: found.other.as_ref().map_or(own, |other| other.as_ref()), past }
            })
            .collect();
        let slice = one.window.window.slice;
        let mut judgement = rules::judge(rule, slice, &of_tests);
        if one.disappeared && judgement.verdict == Verdict::NoData {
            judgement.reason = Reason::Gone;
        }
        if !one.window.was_final {
            breaches.insert((one.target.clone(), slice.end), judgement.verdict == Verdict::Breach);
        }
        judgements.insert(place, judgement);
    }
    asked
        .into_iter()
        .enumerate()
        .filter_map(|(place, one)| {
            Some(JudgedWindow {
                judgement: judgements.remove(&place)?,
                retroactive: one.window.was_final,
                target: one.target,
                window: one.window,
                measurement: one.measurement,
            })
        })
        .collect()
}

/// Returns the verdict of this run that decided about a target: the newest that counts, otherwise the newest.
pub(crate) fn newest<'j, 'a>(judged: &'j [JudgedWindow<'a>], target: &Target) -> Option<&'j JudgedWindow<'a>> {
    let counts = |one: &JudgedWindow<'_>| matches!(one.judgement.verdict, Verdict::Ok | Verdict::Breach);
    let mine = judged.iter().filter(|one| one.target == *target && !one.retroactive);
    mine.max_by_key(|one| (counts(one), end(one)))
}

fn end(judged: &JudgedWindow<'_>) -> DateTime<Utc> {
    judged.window.window.slice.end
}

/// Evidence for one comparison, for one (window, target).
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// Sample of another window; `None`: the comparison uses the judged measurement itself.
    pub other: Option<Option<Sample>>,
    pub past: Vec<Past>,
}
