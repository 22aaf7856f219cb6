//! Looks back at a firing with later labels: would the alert still fire?

use crate::domain::verdict::Verdict;

/// A window that made an alert fire, by its newest verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Retroactive verdicts included. `None`: a word of a later version.
    pub verdict: Option<Verdict>,
    pub is_final: bool,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Enough of the windows are still in breach.
    Confirmed,
    /// Too few of them can still be in breach.
    TakenBack,
    /// The windows say too little.
    Undecided,
}

impl Outcome {
    /// Words for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::TakenBack => "taken back",
            Self::Undecided => "undecided",
        }
    }
}

/// The answer and the windows behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hindsight {
    pub outcome: Outcome,
    pub windows: usize,
    pub in_breach: usize,
    pub ok: usize,
    /// Windows in breach that the rule needs.
    pub needed: usize,
    /// No window can change any more.
    pub is_final: bool,
}

/// Judges a firing again. `persistence` is the number of windows in breach that the rule needs; `None` if it needs a duration,
/// that is all of them.
pub fn look_back(windows: &[Judged], persistence: Option<usize>) -> Hindsight {
    let count = |verdict| windows.iter().filter(|window| window.verdict == Some(verdict)).count();
    let (in_breach, ok) = (count(Verdict::Breach), count(Verdict::Ok));
    let needed = persistence.unwrap_or(windows.len()).clamp(1, windows.len().max(1));
    let outcome = if in_breach >= needed {
        Outcome::Confirmed
    } else if !windows.is_empty() && windows.len() - ok < needed {
        Outcome::TakenBack
    } else {
        Outcome::Undecided
    };
    let is_final = !windows.is_empty() && windows.iter().all(|window| window.is_final);
    Hindsight { outcome, windows: windows.len(), in_breach, ok, needed, is_final }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdicts: &str, persistence: Option<usize>) -> Outcome {
        let windows: Vec<Judged> = verdicts
            .chars()
            .map(|letter| match letter {
                'B' => Some(Verdict::Breach),
                'o' => Some(Verdict::Ok),
                _ => Some(Verdict::Insufficient),
            })
            .map(|verdict| Judged { verdict, is_final: true })
            .collect();
        look_back(&windows, persistence).outcome
    }

    #[test]
    fn a_firing_is_confirmed_taken_back_or_undecided() {
        for (verdicts, persistence, expected) in [
            ("BBB", Some(3), Outcome::Confirmed),
            ("BBo", Some(3), Outcome::TakenBack),
            ("BB?", Some(3), Outcome::Undecided),
            ("oBBBo", Some(3), Outcome::Confirmed),
            ("oB?oo", Some(3), Outcome::TakenBack),
            ("B", Some(1), Outcome::Confirmed),
            ("o", Some(1), Outcome::TakenBack),
            ("BBBB", None, Outcome::Confirmed),
            ("BBoB", None, Outcome::TakenBack),
            ("B??B", None, Outcome::Undecided),
            // Windows that retention removed: the rule cannot need more than there are.
            ("B", Some(3), Outcome::Confirmed),
            ("", Some(3), Outcome::Undecided),
            ("", None, Outcome::Undecided),
        ] {
            assert_eq!(outcome(verdicts, persistence), expected, "{verdicts} {persistence:?}");
        }
    }

    #[test]
    fn the_answer_is_final_when_all_windows_are() {
        let window = |is_final| Judged { verdict: Some(Verdict::Breach), is_final };
        assert!(look_back(&[window(true), window(true)], Some(2)).is_final);
        assert!(!look_back(&[window(true), window(false)], Some(2)).is_final);
        assert!(!look_back(&[], None).is_final);
    }

    #[test]
    fn without_a_number_a_firing_is_confirmed_if_all_its_windows_still_are_in_breach() {
        let judged = |words: &[&str]| {
            let windows = words.iter().map(|word| Judged { verdict: Verdict::parse(word), is_final: true });
            look_back(&windows.collect::<Vec<_>>(), None).outcome
        };
        assert_eq!(judged(&["breach", "breach", "breach"]), Outcome::Confirmed);
        assert_eq!(judged(&["breach", "ok", "breach"]), Outcome::TakenBack);
        assert_eq!(judged(&["insufficient", "ok"]), Outcome::TakenBack);
        assert_eq!(judged(&["breach", "insufficient", "breach"]), Outcome::Undecided);
        assert_eq!(judged(&["breach", "a word of a later version"]), Outcome::Undecided);
        assert_eq!(judged(&[]), Outcome::Undecided);
    }
}
