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
    /// A rule about the data that it needs is firing, or somebody silenced it.
    Held,
    /// It fired and ended while it was held back.
    NeverTold,
}

impl Decision {
    /// Whether receivers know of the alert afterwards, given whether they did before.
    pub fn is_known(self, was_told: bool) -> bool {
        match self {
            Self::Tell(Kind::Firing) => true,
            Self::Tell(Kind::Resolved) => false,
            Self::Quiet(_) => was_told,
        }
    }
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

/// Decides about one change. `told`: receivers know of the alert. `held`: it is inhibited or silenced.
pub fn decide(change: &Change, told: bool, held: bool) -> Decision {
    match (change.from, change.to) {
        (_, State::Firing) if held => Decision::Quiet(Quiet::Held),
        (_, State::Firing) => Decision::Tell(Kind::Firing),
        (State::Firing, State::Resolved) if told => Decision::Tell(Kind::Resolved),
        (State::Firing, State::Resolved) => Decision::Quiet(Quiet::NeverTold),
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
        let reason = ChangeReason::Passed;
        let decision = |from, to| decide(&Change { from, to, since: None, reason }, true, false);
        assert_eq!(decision(State::Inactive, State::Firing), Decision::Tell(Kind::Firing));
        assert_eq!(decision(State::Pending, State::Firing), Decision::Tell(Kind::Firing));
        assert_eq!(decision(State::Firing, State::Resolved), Decision::Tell(Kind::Resolved));
        assert_eq!(decision(State::Inactive, State::Pending), Decision::Quiet(Quiet::StillPending));
        assert_eq!(decision(State::Pending, State::Inactive), Decision::Quiet(Quiet::NeverFired));
    }

    #[test]
    fn what_is_held_back_tells_neither_of_its_begin_nor_of_its_end() {
        let change = |from, to| Change { from, to, since: None, reason: ChangeReason::Passed };
        let fires = decide(&change(State::Pending, State::Firing), false, true);
        assert_eq!((fires, fires.is_known(false)), (Decision::Quiet(Quiet::Held), false));
        let ends = decide(&change(State::Firing, State::Resolved), false, true);
        assert_eq!(ends, Decision::Quiet(Quiet::NeverTold));
        let known_ends = decide(&change(State::Firing, State::Resolved), true, true);
        assert_eq!(known_ends, Decision::Tell(Kind::Resolved), "who was told that it fires is told that it ended");
    }
}
