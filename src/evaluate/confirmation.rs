//! Alert quality: firings that the labels confirmed later, and the time until a user acknowledged them.

use chrono::TimeDelta;

use crate::evaluate::verdict::Verdict;

/// Result of the newest verdicts on the windows that made an alert fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirmation {
    /// All of them are in breach: it would still fire.
    Confirmed,
    /// One of them is not in breach: it would not fire.
    TakenBack,
    /// The labels are too few to say.
    Undecided,
}

impl Confirmation {
    /// Words for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::TakenBack => "taken back",
            Self::Undecided => "undecided",
        }
    }
}

/// Judges a firing by the newest verdict of each window that made it fire, retroactive ones included.
pub fn confirmation(verdicts: impl Iterator<Item = Option<Verdict>>) -> Confirmation {
    let mut outcome = None;
    for verdict in verdicts {
        outcome = match (verdict, outcome) {
            (Some(Verdict::Ok), _) => return Confirmation::TakenBack,
            (Some(Verdict::Breach), None | Some(Confirmation::Confirmed)) => Some(Confirmation::Confirmed),
            _ => Some(Confirmation::Undecided),
        };
    }
    outcome.unwrap_or(Confirmation::Undecided)
}

/// Numbers of firings by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Quality {
    pub firings: i64,
    pub confirmed: i64,
    pub taken_back: i64,
    pub undecided: i64,
    pub acknowledged: i64,
    /// Median time from firing to acknowledgement.
    pub acknowledged_within: Option<TimeDelta>,
    pub useful: i64,
    pub false_alarms: i64,
}

/// One firing, for [`quality`].
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub confirmation: Confirmation,
    pub acknowledged_within: Option<TimeDelta>,
    /// A user marked it: true if it was useful.
    pub was_useful: Option<bool>,
}

impl Quality {
    /// Share of the decided firings that were confirmed.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand firings")]
    pub fn precision(self) -> Option<f64> {
        let decided = self.confirmed + self.taken_back;
        (decided > 0).then(|| self.confirmed as f64 / decided as f64)
    }
}

/// Counts firings by their outcome.
pub fn quality(outcomes: &[Outcome]) -> Quality {
    let count = |is: &dyn Fn(&Outcome) -> bool| {
        i64::try_from(outcomes.iter().filter(|one| is(one)).count()).unwrap_or(i64::MAX)
    };
    let mut waits: Vec<TimeDelta> = outcomes.iter().filter_map(|one| one.acknowledged_within).collect();
    waits.sort();
    Quality {
        firings: count(&|_| true),
        confirmed: count(&|one| one.confirmation == Confirmation::Confirmed),
        taken_back: count(&|one| one.confirmation == Confirmation::TakenBack),
        undecided: count(&|one| one.confirmation == Confirmation::Undecided),
        acknowledged: count(&|one| one.acknowledged_within.is_some()),
        acknowledged_within: waits.get(waits.len() / 2).copied(),
        useful: count(&|one| one.was_useful == Some(true)),
        false_alarms: count(&|one| one.was_useful == Some(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(words: &[&str]) -> Confirmation {
        confirmation(words.iter().map(|word| Verdict::parse(word)))
    }

    #[test]
    fn a_firing_is_confirmed_if_all_its_windows_still_are_in_breach() {
        assert_eq!(judged(&["breach", "breach", "breach"]), Confirmation::Confirmed);
        assert_eq!(judged(&["breach", "ok", "breach"]), Confirmation::TakenBack);
        assert_eq!(judged(&["insufficient", "ok"]), Confirmation::TakenBack);
        assert_eq!(judged(&["breach", "insufficient", "breach"]), Confirmation::Undecided);
        assert_eq!(judged(&["breach", "a word of a later version"]), Confirmation::Undecided);
        assert_eq!(judged(&[]), Confirmation::Undecided);
    }

    #[test]
    fn quality_counts_outcomes() {
        let one = |confirmation, minutes: Option<i64>, was_useful| Outcome {
            confirmation,
            acknowledged_within: minutes.map(TimeDelta::minutes),
            was_useful,
        };
        let quality = quality(&[
            one(Confirmation::Confirmed, Some(2), Some(true)),
            one(Confirmation::Confirmed, Some(30), None),
            one(Confirmation::TakenBack, Some(4), Some(false)),
            one(Confirmation::Undecided, None, None),
        ]);
        assert_eq!((quality.firings, quality.confirmed, quality.taken_back, quality.undecided), (4, 2, 1, 1));
        assert_eq!((quality.acknowledged, quality.useful, quality.false_alarms), (3, 1, 1));
        assert_eq!(quality.acknowledged_within, Some(TimeDelta::minutes(4)));
        assert_eq!(quality.precision(), Some(2.0 / 3.0));
        assert_eq!(Quality::default().precision(), None);
    }
}
