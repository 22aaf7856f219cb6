//! Replays rules over a range of history: their verdicts, and when and for how long alerts would have fired.
//!
//! Judging and state machine are the same as in a run; only the source of the samples differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::cohort::Cohort;
use crate::domain::target::Target;
use crate::domain::verdict::Verdict;
use crate::domain::window::{Slice, Window};
use crate::evaluate::baseline::Past;
use crate::evaluate::history::{History, Point};
use crate::evaluate::rules::{self, Evidence};
use crate::evaluate::state::{AlertState, DecidedWindow, State};
use crate::evaluate::verdict::Judgement;
use crate::metric::measurement::Sample;
use crate::plan::baseline::{Baseline, Kind};
use crate::plan::rule::{Limits, Rule, Test};
use crate::plan::windows::Windows;

/// The data that are known when a window is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// The data known then: first reports, and corrections as they came.
    EventTime,
    /// The data known now, as if known from the start.
    Latest,
}

/// A verdict that would have been given.
#[derive(Debug, Clone)]
pub struct Event {
    /// Time of the verdict.
    pub at: DateTime<Utc>,
    pub target: Target,
    pub slice: Slice,
    pub judgement: Judgement,
    /// The judged sample.
    pub sample: Arc<Sample>,
    /// State of the alert afterwards, and the start of its breach if it is open.
    pub state: State,
    pub since: Option<DateTime<Utc>>,
}

/// A period in which an alert would have fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub target: Target,
    /// End of the first window in breach.
    pub since: DateTime<Utc>,
    pub from: DateTime<Utc>,
    /// `None`: it still fires at the end.
    pub until: Option<DateTime<Utc>>,
}

/// Result of replaying a rule.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    pub events: Vec<Event>,
    pub firings: Vec<Firing>,
}

/// Replays a rule over the windows that end within a range.
pub fn replay(
    rule: &Rule,
    windows: &Windows,
    history: &History,
    range: &std::ops::Range<DateTime<Utc>>,
    knowledge: AsOf,
) -> Replay {
    let mut replay = Replay::default();
    for (target, points) in history.of_rule(rule) {
        let mut track =
            Track { rule, windows, history, knowledge, target, verdicts: BTreeMap::new(), standing: AlertState::NEVER };
        let mut due: Vec<(DateTime<Utc>, &Point)> = points
            .range(..range.end)
            .flat_map(|(_, point)| track.moments(point).into_iter().map(move |at| (at, point)))
            .collect();
        due.sort_by_key(|(at, point)| (*at, point.slice.end));
        // Verdicts of one run change the alert's state once.
        for together in due.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((at, last)) = together.last().copied() else { continue };
            let judged: Vec<Judged> = together.iter().filter_map(|(at, point)| track.judge(*at, point)).collect();
            if judged.is_empty() {
                continue;
            }
            track.step();
            let AlertState { state, since } = track.standing;
            let open = replay.firings.last_mut().filter(|firing| firing.target == *target && firing.until.is_none());
            match (open, state) {
                (None, State::Firing) => replay.firings.push(Firing {
                    target: target.clone(),
                    since: since.unwrap_or(last.slice.end),
                    from: at,
                    until: None,
                }),
                (Some(firing), State::Inactive | State::Pending | State::Resolved) => firing.until = Some(at),
                (Some(_), State::Firing) | (None, _) => {}
            }
            // Judge windows before the range as well, so that breaches stay out of the baseline; do not report them.
            let told = judged.into_iter().filter(|judged| judged.slice.end >= range.start);
            replay.events.extend(told.map(|Judged { slice, judgement, sample }| Event {
                at,
                target: target.clone(),
                slice,
                judgement,
                sample,
                state,
                since,
            }));
        }
    }
    replay.firings.retain(|firing| firing.until.is_none_or(|until| until > range.start));
    replay.events.sort_by_key(|event| event.at);
    replay.firings.sort_by_key(|firing| firing.from);
    replay
}

/// A verdict on one window.
struct Judged {
    slice: Slice,
    judgement: Judgement,
    sample: Arc<Sample>,
}

/// Progress of a rule and a target through history.
struct Track<'a> {
    rule: &'a Rule,
    windows: &'a Windows,
    history: &'a History,
    knowledge: AsOf,
    target: &'a Target,
    /// Latest verdict on each window, with its value, by the end of the window.
    verdicts: BTreeMap<DateTime<Utc>, (Verdict, Option<f64>)>,
    standing: AlertState,
}

impl Track<'_> {
    /// Returns the times at which a window is judged.
    fn moments(&self, point: &Point) -> Vec<DateTime<Utc>> {
        let is_final = point.slice.end + self.windows.label_wait;
        // The run that first saw the window final still judged it.
        let settled = point.settled_at.unwrap_or(is_final);
        let mut moments = match (self.knowledge, self.rule.on_final_only) {
            (AsOf::Latest, false) => vec![point.slice.end],
            (AsOf::Latest, true) => vec![is_final],
            (AsOf::EventTime, true) => {
                let judged = settled <= self.history.known_until && point.known_at(settled).is_some();
                judged.then_some(settled).into_iter().collect()
            }
            // Once the window is final, a correction changes no alert.
            (AsOf::EventTime, false) => {
                point.revisions.iter().map(|revision| revision.as_of).filter(|as_of| *as_of <= settled).collect()
            }
        };
        moments.retain(|at| self.history.now.is_none_or(|now| *at <= now));
        moments
    }

    fn judge(&mut self, at: DateTime<Utc>, point: &Point) -> Option<Judged> {
        let own = self.known(point, at)?;
        let rule = self.rule;
        let evidence: Vec<Evidence<'_>> = rule
            .when
            .tests()
            .iter()
            .map(|test| Evidence { sample: self.sample(test, point, own, at), past: self.past(test, point, at) })
            .collect();
        let judgement = rules::judge(rule, point.slice, &evidence);
        self.verdicts.insert(point.slice.end, (judgement.verdict, judgement.value));
        Some(Judged { slice: point.slice, judgement, sample: Arc::clone(own) })
    }

    /// Updates the alert state from the latest verdicts.
    fn step(&mut self) {
        let rule = self.rule;
        let most = rule.fires.most_windows().max(rule.clears.persistence.most_windows());
        let counted: Vec<DecidedWindow> = self
            .verdicts
            .iter()
            .rev()
            .filter(|(_, (verdict, _))| matches!(verdict, Verdict::Ok | Verdict::Breach))
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .map(|(end, (verdict, value))| DecidedWindow::new(*end, *verdict == Verdict::Breach, *value, rule.clears))
            .collect();
        if let Some(change) = self.standing.next(&counted, rule.fires, rule.clears.persistence) {
            let open = matches!(change.to, State::Pending | State::Firing);
            self.standing = AlertState { state: change.to, since: change.since.filter(|_| open) };
        }
    }

    fn known<'p>(&self, point: &'p Point, at: DateTime<Utc>) -> Option<&'p Arc<Sample>> {
        match self.knowledge {
            AsOf::Latest => point.latest(),
            AsOf::EventTime => point.known_at(at),
        }
    }

    fn sample<'p>(&'p self, test: &Test, point: &Point, own: &'p Sample, at: DateTime<Utc>) -> Option<&'p Sample> {
        if test.window == self.rule.window {
            return Some(own);
        }
        let length = self.window(test).map_or(TimeDelta::zero(), Window::longest);
        let end = point.slice.end;
        self.history
            .newest(&test.window, self.target, end - length * 2, end)
            .and_then(|other| self.known(other, at))
            .map(AsRef::as_ref)
    }

    fn window(&self, test: &Test) -> Option<&Window> {
        self.windows.all.iter().find(|window| window.name == test.window)
    }

    /// Returns the windows that the baseline of a comparison may use, nearest first.
    fn past(&self, test: &Test, point: &Point, at: DateTime<Utc>) -> Vec<Past> {
        let Limits::Relative { baseline, .. } = &test.limits else { return Vec::new() };
        let single = |value| vec![Past { slice: point.slice, value, breach: false }];
        match &baseline.kind {
            Kind::Fixed(_) => Vec::new(),
            Kind::Validation => {
                let key = (test.metric.name().to_owned(), self.target.clone());
                single(self.history.validation.get(&key).copied())
            }
            Kind::Version(version) => {
                let other = Target { model_version: Some(version.clone()), ..self.target.clone() };
                single(self.of_other_target(test, point, at, &other))
            }
            Kind::Whole => {
                let whole = Target { cohort: Cohort::All.label(), ..self.target.clone() };
                single(self.of_other_target(test, point, at, &whole))
            }
            Kind::Rolling(_) | Kind::Seasonal(_) => self.earlier(test, baseline, point, at),
        }
    }

    /// The value of another target in the same window.
    fn of_other_target(&self, test: &Test, point: &Point, at: DateTime<Utc>, other: &Target) -> Option<f64> {
        let end = point.slice.end;
        let found = self.history.newest(&test.window, other, end - TimeDelta::milliseconds(1), end)?;
        self.known(found, at)?.value(&test.metric)
    }

    fn earlier(&self, test: &Test, baseline: &Baseline, point: &Point, at: DateTime<Utc>) -> Vec<Past> {
        let Some(window) = self.window(test) else { return Vec::new() };
        let within = baseline.within(window);
        let is_final = self.windows.is_final(point.slice.end, at);
        // Stop once the baseline is full, with a few extra because windows may overlap.
        let enough = baseline.windows() + baseline.windows() / 4 + 2;
        let mut usable = 0;
        let mut found = Vec::new();
        let past = |place: DateTime<Utc>| {
            let past = self.history.newest(&test.window, self.target, place - within, place)?;
            if self.history.incidents.iter().any(|i| i.start < past.slice.end && past.slice.start < i.end) {
                return None;
            }
            let sample = match self.knowledge {
                AsOf::Latest => past.latest(),
                // With labels as old as those of the judged window.
                AsOf::EventTime if !is_final => past.known_at(past.slice.end + (at - point.slice.end)),
                AsOf::EventTime => past.known_at(at),
            };
            // If the window was measured only later, use the first report.
            let sample = sample.or(past.revisions.first().map(|revision| &revision.sample))?;
            let breach = self.verdicts.get(&past.slice.end).is_some_and(|(verdict, _)| *verdict == Verdict::Breach);
            Some(Past { slice: past.slice, value: sample.value(&test.metric), breach })
        };
        for place in baseline.places(window, point.slice, self.windows.zone) {
            let Some(one) = past(place) else { continue };
            usable += usize::from(!one.breach && one.value.is_some() && !baseline.excludes(one.slice));
            found.push(one);
            if usable >= enough {
                break;
            }
        }
        found
    }
}

/// Agreement between alerts and annotated incidents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Overlap {
    pub firings: usize,
    /// Firings during an incident.
    pub right: usize,
    pub incidents: usize,
    /// Incidents during which an alert fired.
    pub found: usize,
}

impl Overlap {
    /// Compares firings with incidents. A firing extends back to the start of its first window in breach.
    pub fn of(firings: &[Firing], incidents: &[Slice], window: TimeDelta, end: DateTime<Utc>) -> Self {
        let touches = |firing: &Firing, incident: &Slice| {
            firing.since - window < incident.end && incident.start < firing.until.unwrap_or(end)
        };
        Self {
            firings: firings.len(),
            right: firings.iter().filter(|f| incidents.iter().any(|i| touches(f, i))).count(),
            incidents: incidents.len(),
            found: incidents.iter().filter(|i| firings.iter().any(|f| touches(f, i))).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono_tz::Tz;

    use super::*;
    use crate::evaluate::history::Revision;
    use crate::metric::measurement::Counts;
    use crate::metric::name::MetricName;
    use crate::plan::rule::{Condition, Excess, When};

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(n)
    }

    fn windows() -> Windows {
        Windows {
            all: vec![Window::tumbling("1d").unwrap()],
            zone: Tz::UTC,
            bucket: TimeDelta::hours(1),
            label_wait: TimeDelta::days(2),
            label_due: TimeDelta::days(2),
            horizon: TimeDelta::days(7),
            lookback: TimeDelta::days(1),
            shrink: 0.1,
        }
    }

    fn rule(limits: Limits) -> Rule {
        let test = Test::new(MetricName::Named("rmse".into()), "tumbling 1d", limits);
        Rule::new("r", "tumbling 1d", When::Test(test))
    }

    fn all() -> Target {
        Target { cohort: "all".into(), model_version: None }
    }

    /// Builds days from 0 on with these values: the first is known at the end of the day, each further one two hours later.
    fn history(values: &[&[f64]]) -> History {
        let mut history = History::default();
        for (n, revisions) in (0..).zip(values) {
            let slice = Slice { start: day(n), end: day(n + 1) };
            for (hours, value) in (0..).map(|n| 2 * n).zip(*revisions) {
                let sample = Sample {
                    counts: Counts { predictions: 10, labeled: 10, ..Counts::default() },
                    metrics: BTreeMap::from([("rmse".to_owned(), Some(*value))]),
                    intervals: BTreeMap::new(),
                    notes: BTreeMap::new(),
                };
                let revision = Revision { as_of: slice.end + TimeDelta::hours(hours), sample: Arc::new(sample) };
                history.push("tumbling 1d", all(), (slice, None), revision);
            }
        }
        history
    }

    fn firings(rule: &Rule, history: &History, knowledge: AsOf) -> Vec<(i64, Option<i64>)> {
        let replay = replay(rule, &windows(), history, &(day(0)..day(100)), knowledge);
        let hours = |time: DateTime<Utc>| (time - DateTime::UNIX_EPOCH).num_hours();
        replay.firings.iter().map(|firing| (hours(firing.from), firing.until.map(hours))).collect()
    }

    #[test]
    fn it_fires_as_a_run_would_have() {
        let rule = rule(Limits::Fixed(Condition::Above(5.0)));
        let history = history(&[&[1.0], &[9.0], &[9.0], &[1.0], &[9.0]]);
        assert_eq!(firings(&rule, &history, AsOf::Latest), [(48, Some(96)), (120, None)]);
    }

    #[test]
    fn what_was_known_then_differs_from_what_is_known_now() {
        let rule = rule(Limits::Fixed(Condition::Above(5.0)));
        let history = history(&[&[1.0], &[9.0, 2.0], &[1.0, 9.0], &[1.0]]);
        assert_eq!(firings(&rule, &history, AsOf::EventTime), [(48, Some(50)), (74, Some(96))]);
        assert_eq!(firings(&rule, &history, AsOf::Latest), [(72, Some(96))]);
    }

    #[test]
    fn final_windows_are_judged_when_their_labels_had_their_time() {
        let rule = Rule { on_final_only: true, ..rule(Limits::Fixed(Condition::Above(5.0))) };
        let history = history(&[&[1.0], &[1.0, 9.0], &[1.0], &[1.0], &[9.0]]);
        assert_eq!(firings(&rule, &history, AsOf::EventTime), [(96, Some(120))], "the last ones are not final yet");
    }

    #[test]
    fn a_baseline_learns_nothing_from_a_breach() {
        let baseline = Baseline { kind: Kind::Rolling(3), min: 2, exclude: vec![] };
        let above = Some(Excess { share: Some(0.5), ..Excess::default() });
        let rule = rule(Limits::Relative { above, below: None, baseline });
        let history = history(&[&[10.0], &[10.0], &[40.0], &[40.0], &[10.0], &[14.0], &[40.0]]);
        assert_eq!(firings(&rule, &history, AsOf::Latest), [(72, Some(120)), (168, None)]);
    }

    #[test]
    fn what_came_before_the_range_is_known_and_not_told() {
        let baseline = Baseline { kind: Kind::Rolling(3), min: 2, exclude: vec![] };
        let above = Some(Excess { share: Some(0.5), ..Excess::default() });
        let rule = rule(Limits::Relative { above, below: None, baseline });
        let history = history(&[&[10.0], &[10.0], &[40.0], &[40.0], &[40.0], &[10.0]]);
        let late = replay(&rule, &windows(), &history, &(day(5)..day(100)), AsOf::Latest);
        let verdicts: Vec<&str> = late.events.iter().map(|event| event.judgement.verdict.as_str()).collect();
        assert_eq!(verdicts, ["breach", "ok"], "three bad days are not what is usual");
        assert_eq!((late.firings.len(), late.firings[0].from), (1, day(3)), "it fired when the range began");
    }

    #[test]
    fn the_same_history_gives_the_same_verdicts() {
        let rule = rule(Limits::Fixed(Condition::Above(5.0)));
        let history = history(&[&[1.0], &[9.0, 2.0], &[1.0, 9.0], &[1.0]]);
        let words = || {
            let replay = replay(&rule, &windows(), &history, &(day(0)..day(9)), AsOf::EventTime);
            replay.events.iter().map(|event| format!("{event:?}")).collect::<Vec<_>>()
        };
        assert_eq!(words(), words());
    }

    #[test]
    fn alerts_are_compared_with_incidents() {
        let firing = |from: i64, until: Option<i64>| Firing {
            target: all(),
            since: day(from),
            from: day(from),
            until: until.map(day),
        };
        let firings = [firing(2, Some(3)), firing(10, None)];
        let incidents = [Slice { start: day(1), end: day(2) }, Slice { start: day(5), end: day(6) }];
        let overlap = Overlap::of(&firings, &incidents, TimeDelta::days(1), day(12));
        assert_eq!(overlap, Overlap { firings: 2, right: 1, incidents: 2, found: 1 });
    }
}
