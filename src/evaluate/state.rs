//! The state of one alert: inactive → pending → firing → resolved, decided from the latest verdicts of the last windows.

use chrono::{DateTime, Utc};

/// State of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Inactive,
    Pending,
    Firing,
    Resolved,
}

/// An alert as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub state: State,
    /// End of the first window of the present breach.
    pub since: Option<DateTime<Utc>>,
}

/// The latest verdict on a window that counts: `breach` or `ok`. Others neither count nor reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub window_end: DateTime<Utc>,
    pub breach: bool,
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
    /// The newest window is in breach, but not yet enough in a row.
    FirstBreaches { count: u32, needed: u32 },
    /// Enough windows in a row are in breach.
    Persisted { needed: u32 },
    /// The newest window is ok before enough were in breach.
    Passed,
    /// The newest window is ok again.
    Recovered,
    /// No rule of the job judges it any more.
    Forgotten,
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
            Self::FirstBreaches { count, needed } => format!("{count} of {needed} windows in breach"),
            Self::Persisted { needed: 1 } => "the newest window is in breach".to_owned(),
            Self::Persisted { needed } => format!("{needed} windows in a row are in breach"),
            Self::Passed => "the newest window is ok".to_owned(),
            Self::Recovered => "the newest window is ok again".to_owned(),
            Self::Forgotten => "the job no longer has a rule that judges it".to_owned(),
        }
    }
}

impl Standing {
    /// An alert that was never open.
    pub const NEVER: Self = Self { state: State::Inactive, since: None };

    /// What changes, given the windows that count, newest first. None: nothing does.
    pub fn next(self, counted: &[Counted], needed: u32) -> Option<Change> {
        let newest = counted.first()?;
        let streak: Vec<&Counted> = counted.iter().take_while(|window| window.breach).collect();
        let count = u32::try_from(streak.len()).unwrap_or(u32::MAX);
        let began = streak.last().map(|window| window.window_end);
        let since = self.since.filter(|_| self.is_open()).into_iter().chain(began).min();
        let (to, since, reason) = match (self.state, newest.breach) {
            (State::Firing, true) => return None,
            (_, true) if count >= needed => (State::Firing, since, ChangeReason::Persisted { needed }),
            (State::Pending, true) => return None,
            (_, true) => (State::Pending, since, ChangeReason::FirstBreaches { count, needed }),
            (State::Firing, false) => (State::Resolved, self.since, ChangeReason::Recovered),
            (State::Pending, false) => (State::Inactive, self.since, ChangeReason::Passed),
            (State::Inactive | State::Resolved, false) => return None,
        };
        Some(Change { from: self.state, to, since, reason })
    }

    /// What changes when no rule judges the alert any more. None: it was not open.
    pub fn forget(self) -> Option<Change> {
        let to = match self.state {
            State::Firing => State::Resolved,
            State::Pending => State::Inactive,
            State::Inactive | State::Resolved => return None,
        };
        Some(Change { from: self.state, to, since: self.since, reason: ChangeReason::Forgotten })
    }

    fn is_open(self) -> bool {
        matches!(self.state, State::Pending | State::Firing)
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

    /// `b` breach and `o` ok, newest first.
    fn windows(text: &str) -> Vec<Counted> {
        let newest = i64::try_from(text.len()).unwrap();
        (0..).zip(text.chars()).map(|(n, c)| Counted { window_end: hour(newest - n), breach: c == 'b' }).collect()
    }

    #[rstest]
    #[case::nothing_counts(State::Inactive, "", None)]
    #[case::calm(State::Inactive, "ooo", None)]
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
        let change = Standing { state: from, since }.next(&windows(counted), 3);
        assert_eq!(change.map(|change| change.to), expected);
    }

    #[test]
    fn a_breach_began_with_its_first_window() {
        let change = Standing::NEVER.next(&windows("bbo"), 2).unwrap();
        assert_eq!((change.to, change.since), (State::Firing, Some(hour(2))));
    }

    #[test]
    fn one_breach_is_enough_when_one_is_asked_for() {
        assert_eq!(Standing::NEVER.next(&windows("b"), 1).map(|change| change.to), Some(State::Firing));
    }
}
