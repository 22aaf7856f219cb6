//! Alert quality: firings that the labels confirmed later, and the time until a user acknowledged them.

use chrono::TimeDelta;

use crate::evaluate::hindsight::Outcome;

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
pub struct Fired {
    pub outcome: Outcome,
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
pub fn quality(firings: &[Fired]) -> Quality {
    let count =
        |is: &dyn Fn(&Fired) -> bool| i64::try_from(firings.iter().filter(|one| is(one)).count()).unwrap_or(i64::MAX);
    let mut waits: Vec<TimeDelta> = firings.iter().filter_map(|one| one.acknowledged_within).collect();
    waits.sort();
    Quality {
        firings: count(&|_| true),
        confirmed: count(&|one| one.outcome == Outcome::Confirmed),
        taken_back: count(&|one| one.outcome == Outcome::TakenBack),
        undecided: count(&|one| one.outcome == Outcome::Undecided),
        acknowledged: count(&|one| one.acknowledged_within.is_some()),
        acknowledged_within: waits.get(waits.len() / 2).copied(),
        useful: count(&|one| one.was_useful == Some(true)),
        false_alarms: count(&|one| one.was_useful == Some(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_counts_outcomes() {
        let one = |outcome, minutes: Option<i64>, was_useful| Fired {
            outcome,
            acknowledged_within: minutes.map(TimeDelta::minutes),
            was_useful,
        };
        let quality = quality(&[
            one(Outcome::Confirmed, Some(2), Some(true)),
            one(Outcome::Confirmed, Some(30), None),
            one(Outcome::TakenBack, Some(4), Some(false)),
            one(Outcome::Undecided, None, None),
        ]);
        assert_eq!((quality.firings, quality.confirmed, quality.taken_back, quality.undecided), (4, 2, 1, 1));
        assert_eq!((quality.acknowledged, quality.useful, quality.false_alarms), (3, 1, 1));
        assert_eq!(quality.acknowledged_within, Some(TimeDelta::minutes(4)));
        assert_eq!(quality.precision(), Some(2.0 / 3.0));
        assert_eq!(Quality::default().precision(), None);
    }
}
