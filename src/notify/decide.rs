//! Tell or keep quiet.

use crate::evaluate::state::{Change, State};

/// What a change of state leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Tell(Kind),
    Quiet(Quiet),
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Firing,
    Resolved,
}

/// Why nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Not enough windows in breach yet.
    StillPending,
    /// It never fired, so nobody knows of it.
    NeverFired,
}

impl Kind {
    /// The word that is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Decides about one change.
pub fn decide(change: &Change) -> Decision {
    match (change.from, change.to) {
        (_, State::Firing) => Decision::Tell(Kind::Firing),
        (State::Firing, State::Resolved) => Decision::Tell(Kind::Resolved),
        (_, State::Pending) => Decision::Quiet(Quiet::StillPending),
        (_, State::Inactive | State::Resolved) => Decision::Quiet(Quiet::NeverFired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::state::ChangeReason;

    #[test]
    fn people_are_told_of_firing_and_of_its_end_and_of_nothing_else() {
        let decision = |from, to| decide(&Change { from, to, since: None, reason: ChangeReason::Recovered });
        assert_eq!(decision(State::Inactive, State::Firing), Decision::Tell(Kind::Firing));
        assert_eq!(decision(State::Pending, State::Firing), Decision::Tell(Kind::Firing));
        assert_eq!(decision(State::Firing, State::Resolved), Decision::Tell(Kind::Resolved));
        assert_eq!(decision(State::Inactive, State::Pending), Decision::Quiet(Quiet::StillPending));
        assert_eq!(decision(State::Pending, State::Inactive), Decision::Quiet(Quiet::NeverFired));
    }
}
