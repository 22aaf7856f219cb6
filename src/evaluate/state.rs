//! State machine of one alert: inactive → pending → firing → resolved, driven by the latest verdicts on the last windows.

use chrono::{DateTime, Utc};

use crate::domain::duration;
use crate::plan::rule::{Clearing, Persistence};

/// State of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Inactive,
    Pending,
    Firing,
    Resolved,
}

/// Current state of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertState {
    pub state: State,
    /// End of the first window of the current breach.
    pub since: Option<DateTime<Utc>>,
}

/// The latest verdict on a window that counts: `breach` or `ok`. Others neither count nor reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedWindow {
    pub window_end: DateTime<Utc>,
    pub breach: bool,
    /// Ok, and beyond the clearing limit of the rule, if it has one.
    pub recovered: bool,
}

impl DecidedWindow {
    /// Classifies a window for a rule.
    pub fn new(window_end: DateTime<Utc>, breach: bool, value: Option<f64>, clears: Clearing) -> Self {
        let beyond = |limit: Option<f64>, recovered: fn(f64, f64) -> bool| {
            limit.is_none_or(|limit| value.is_some_and(|value| recovered(value, limit)))
        };
        let recovered =
            !breach && beyond(clears.below, |v, limit| v < limit) && beyond(clears.above, |v, limit| v > limit);
        Self { window_end, breach, recovered }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub from: State,
    pub to: State,
    pub since: Option<DateTime<Utc>>,
    pub reason: ChangeReason,
}

/// Why a state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeReason {
    /// The newest window is in breach, but the breach has not lasted long enough.
    Begun { count: u32, needed: Persistence },
    /// Enough windows are in breach.
    Persisted { needed: Persistence },
    /// The newest window is ok, before enough windows were in breach.
    Passed,
    /// Enough windows have recovered.
    Recovered { needed: Persistence },
    /// No rule of the job judges it any more.
    Forgotten,
    /// It has had no predictions for a long time.
    Vanished,
}

impl State {
    /// The word that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }

    /// The state of a stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Inactive, Self::Pending, Self::Firing, Self::Resolved].into_iter().find(|state| state.as_str() == word)
    }
}

impl ChangeReason {
    /// In words, as stored with the change.
    pub fn describe(self) -> String {
        match self {
            Self::Begun { count, needed: Persistence::Windows(needed) } => {
                format!("{count} of {needed} windows in breach")
            }
            Self::Begun { count, needed: Persistence::Of { needed, last } } => {
                format!("{count} of the last {last} windows in breach, {needed} needed")
            }
            Self::Begun { needed: Persistence::Lasting(time), .. } => {
                format!("in breach for less than {}", duration::format(time))
            }
            Self::Persisted { needed: Persistence::Windows(1) } => "the newest window is in breach".to_owned(),
            Self::Persisted { needed: Persistence::Windows(needed) } => {
                format!("{needed} windows in a row are in breach")
            }
            Self::Persisted { needed: Persistence::Of { needed, last } } => {
                format!("{needed} of the last {last} windows are in breach")
            }
            Self::Persisted { needed: Persistence::Lasting(time) } => {
                format!("in breach for {}", duration::format(time))
            }
            Self::Passed => "the newest window is ok".to_owned(),
            Self::Recovered { needed: Persistence::Lasting(time) } => {
                format!("recovered for {}", duration::format(time))
            }
            Self::Recovered { needed: Persistence::Windows(needed) } if needed > 1 => {
                format!("{needed} recovered windows in a row")
            }
            Self::Recovered { .. } => "the newest window is ok again".to_owned(),
            Self::Forgotten => "the job no longer has a rule for it".to_owned(),
            Self::Vanished => "no predictions for a long time".to_owned(),
        }
    }
}

impl AlertState {
    /// An alert that was never open.
    pub const NEVER: Self = Self { state: State::Inactive, since: None };

    /// Returns the change of state, given the windows that count, newest first. `None` if nothing changes.
    pub fn next(self, counted: &[DecidedWindow], fires: Persistence, clears: Persistence) -> Option<Change> {
        let newest = counted.first()?;
        let breaches = Run::of(counted, fires, |window| window.breach);
        let recovered = Run::of(counted, clears, |window| window.recovered);
        let since = self.since.filter(|_| self.is_open()).into_iter().chain(breaches.began).min();
        let (to, since, reason) = match (self.state, newest.breach) {
            (State::Firing, true) => return None,
            // The newest window is from before the breach and says nothing about its end: no window since then counts now.
            (State::Firing | State::Pending, false) if self.since.is_some_and(|since| newest.window_end < since) => {
                return None;
            }
            // With two of three needed, two may still be in breach when the newest is not.
            (State::Firing, false)
                if recovered.lasted && !(matches!(fires, Persistence::Of { .. }) && breaches.lasted) =>
            {
                (State::Resolved, self.since, ChangeReason::Recovered { needed: clears })
            }
            (State::Firing, false) => return None,
            (_, true) if breaches.lasted => (State::Firing, since, ChangeReason::Persisted { needed: fires }),
            (State::Pending, true) => return None,
            (_, true) => (State::Pending, since, ChangeReason::Begun { count: breaches.count, needed: fires }),
            // An alert that waits for two of three stays pending while one of them is in breach.
            (State::Pending, false) if matches!(fires, Persistence::Of { .. }) && breaches.count > 0 => return None,
            (State::Pending, false) => (State::Inactive, self.since, ChangeReason::Passed),
            (State::Inactive | State::Resolved, false) => return None,
        };
        Some(Change { from: self.state, to, since, reason })
    }

    /// Returns the change when no rule judges the alert any more. `None` if it was not open.
    pub fn forget(self, reason: ChangeReason) -> Option<Change> {
        let to = match self.state {
            State::Firing => State::Resolved,
            State::Pending => State::Inactive,
            State::Inactive | State::Resolved => return None,
        };
        Some(Change { from: self.state, to, since: self.since, reason })
    }

    fn is_open(self) -> bool {
        matches!(self.state, State::Pending | State::Firing)
    }
}

/// The newest windows that satisfy a predicate.
struct Run {
    count: u32,
    /// End of the oldest of them.
    began: Option<DateTime<Utc>>,
    lasted: bool,
}

impl Run {
    fn of(counted: &[DecidedWindow], needed: Persistence, alike: impl Fn(&DecidedWindow) -> bool) -> Self {
        let mine: Vec<&DecidedWindow> = match needed {
            Persistence::Of { last, .. } => {
                let last = usize::try_from(last).unwrap_or(usize::MAX);
                counted.iter().take(last).filter(|window| alike(window)).collect()
            }
            Persistence::Windows(_) | Persistence::Lasting(_) => {
                counted.iter().take_while(|window| alike(window)).collect()
            }
        };
        let count = u32::try_from(mine.len()).unwrap_or(u32::MAX);
        let began = mine.last().map(|window| window.window_end);
        let lasted = match needed {
            Persistence::Windows(needed) | Persistence::Of { needed, .. } => count >= needed,
            Persistence::Lasting(time) => {
                mine.first().zip(began).is_some_and(|(newest, began)| newest.window_end - began >= time)
            }
        };
        Self { count, began, lasted }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use rstest::rstest;

    use super::*;

    fn hour(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(n)
    }

    const ONE: Persistence = Persistence::Windows(1);
    const THREE: Persistence = Persistence::Windows(3);

    /// `b` breach, `o` recovered and `w` ok but not yet recovered, newest first; one window an hour.
    fn windows(text: &str) -> Vec<DecidedWindow> {
        let newest = i64::try_from(text.len()).unwrap();
        (0..)
            .zip(text.chars())
            .map(|(n, c)| DecidedWindow { window_end: hour(newest - n), breach: c == 'b', recovered: c == 'o' })
            .collect()
    }

    #[rstest]
    #[case::nothing_counts(State::Inactive, "", None)]
    #[case::recovered(State::Inactive, "ooo", None)]
    #[case::first_breach(State::Inactive, "boo", Some(State::Pending))]
    #[case::two_of_three(State::Pending, "bbo", None)]
    #[case::third_breach(State::Pending, "bbb", Some(State::Firing))]
    #[case::three_at_once(State::Inactive, "bbb", Some(State::Firing))]
    #[case::passed(State::Pending, "obb", Some(State::Inactive))]
    #[case::still_firing(State::Firing, "bbb", None)]
    #[case::an_older_window_was_revised_to_ok(State::Firing, "bob", None)]
    #[case::recovered(State::Firing, "obb", Some(State::Resolved))]
    #[case::again(State::Resolved, "boo", Some(State::Pending))]
    #[case::stays_resolved(State::Resolved, "oob", None)]
    #[case::firing_without_anything_that_counts(State::Firing, "", None)]
    fn the_last_windows_decide(#[case] from: State, #[case] counted: &str, #[case] expected: Option<State>) {
        let since = matches!(from, State::Pending | State::Firing).then(|| hour(0));
        let change = AlertState { state: from, since }.next(&windows(counted), THREE, ONE);
        assert_eq!(change.map(|change| change.to), expected);
    }

    #[test]
    fn what_was_ok_before_it_began_does_not_end_it() {
        let firing = AlertState { state: State::Firing, since: Some(hour(9)) };
        assert_eq!(firing.next(&windows("ooo"), ONE, ONE), None);
        let same = AlertState { state: State::Firing, since: Some(hour(3)) };
        assert_eq!(
            same.next(&windows("ooo"), ONE, ONE).map(|change| change.to),
            Some(State::Resolved),
            "it was corrected"
        );
    }

    #[test]
    fn a_breach_began_with_its_first_window() {
        let change = AlertState::NEVER.next(&windows("bbo"), Persistence::Windows(2), ONE).unwrap();
        assert_eq!((change.to, change.since), (State::Firing, Some(hour(2))));
    }

    #[test]
    fn one_breach_is_enough_when_one_is_asked_for() {
        assert_eq!(AlertState::NEVER.next(&windows("b"), ONE, ONE).map(|change| change.to), Some(State::Firing));
    }

    #[rstest]
    #[case::one_of_three("boo", State::Inactive, Some(State::Pending))]
    #[case::two_of_three("bob", State::Pending, Some(State::Firing))]
    #[case::two_of_three_at_once("bbo", State::Inactive, Some(State::Firing))]
    #[case::only_a_breach_opens("obb", State::Inactive, None)]
    #[case::still_two_of_three("obb", State::Firing, None)]
    #[case::one_of_three_left("oob", State::Firing, Some(State::Resolved))]
    #[case::waiting_goes_on("ob", State::Pending, None)]
    #[case::waiting_is_over("ooob", State::Pending, Some(State::Inactive))]
    fn two_of_three_windows_decide(#[case] counted: &str, #[case] from: State, #[case] expected: Option<State>) {
        let since = matches!(from, State::Pending | State::Firing).then(|| hour(0));
        let two_of_three = Persistence::Of { needed: 2, last: 3 };
        let change = AlertState { state: from, since }.next(&windows(counted), two_of_three, ONE);
        assert_eq!(change.map(|change| change.to), expected);
    }

    #[rstest]
    #[case::begun("boo", Some(State::Pending))]
    #[case::an_hour("bbo", Some(State::Pending))]
    #[case::two_hours("bbbo", Some(State::Firing))]
    #[case::interrupted("bobb", Some(State::Pending))]
    fn a_breach_lasts_for_a_time(#[case] counted: &str, #[case] expected: Option<State>) {
        let two_hours = Persistence::Lasting(chrono::TimeDelta::hours(2));
        let change = AlertState::NEVER.next(&windows(counted), two_hours, ONE);
        assert_eq!(change.map(|change| change.to), expected);
    }

    #[rstest]
    #[case::below_the_limit_but_not_calm("wbb", ONE, None)]
    #[case::recovered("obb", ONE, Some(State::Resolved))]
    #[case::two_of_three_calm("oob", THREE, None)]
    #[case::three_calm("ooob", THREE, Some(State::Resolved))]
    #[case::interrupted("oowoo", THREE, None)]
    #[case::calm_for_two_hours("ooo", Persistence::Lasting(TimeDelta::hours(2)), Some(State::Resolved))]
    #[case::calm_for_one_hour("oob", Persistence::Lasting(TimeDelta::hours(2)), None)]
    fn it_clears_when_it_has_been_calm(
        #[case] counted: &str,
        #[case] clears: Persistence,
        #[case] expected: Option<State>,
    ) {
        let firing = AlertState { state: State::Firing, since: Some(hour(0)) };
        assert_eq!(firing.next(&windows(counted), ONE, clears).map(|change| change.to), expected);
    }

    #[test]
    fn a_value_is_calm_beyond_the_limit_that_the_rule_clears_by() {
        let clears = Clearing { below: Some(220.0), above: None, persistence: ONE };
        let recovered = |value, breach| DecidedWindow::new(hour(0), breach, value, clears).recovered;
        assert!(recovered(Some(219.9), false));
        assert!(!recovered(Some(220.0), false), "equal is not below");
        assert!(!recovered(Some(100.0), true), "a breach is never recovered");
        assert!(!recovered(None, false));
    }
}
