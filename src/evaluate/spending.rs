//! Spending of an error budget by day: the bad predictions of each day, and those that leave the period soon.

use chrono::{DateTime, Utc};

/// Labeled predictions of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub bad: i64,
    pub total: i64,
}

/// Bad predictions that leave the period of an objective soon. Their part of the budget comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComingBack {
    pub bad: i64,
    /// As a share of the allowed ones.
    pub share: f64,
    /// The first and the last moment of the days that leave.
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Bad predictions that an objective allows among `total`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn allowed(objective: f64, total: i64) -> f64 {
    (1.0 - objective) * total as f64
}

/// Number of bad ones, from a share of good ones.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts stay far below 2^53")]
pub fn bad_of(good_share: f64, total: i64) -> i64 {
    total - (good_share.clamp(0.0, 1.0) * total as f64).round() as i64
}

/// Returns the bad predictions of the days that begin in the period and end at or before `leaves_until`. `None` if the days of
/// this range are not known, or nothing is allowed.
pub fn coming_back(
    days: &[Spent],
    (period_start, leaves_until): (DateTime<Utc>, DateTime<Utc>),
    allowed: f64,
) -> Option<ComingBack> {
    // A day that the period cuts leaves in part only, so it is not counted.
    let mut leaving = days.iter().filter(|day| day.start >= period_start && day.end <= leaves_until);
    let first = leaving.next()?;
    let (bad, until) = leaving.fold((first.bad, first.end), |(bad, until), day| (bad + day.bad, until.max(day.end)));
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let share = bad as f64 / allowed;
    (allowed > 0.0).then_some(ComingBack { bad, share, from: first.start, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(day * 86_400, 0).unwrap()
    }

    fn day(n: i64, bad: i64) -> Spent {
        Spent { start: at(n), end: at(n + 1), bad, total: 96 }
    }

    #[test]
    fn days_that_leave_the_period_give_their_part_back() {
        let days: Vec<Spent> = [5, 3, 0, 10, 2].iter().zip(0..).map(|(bad, n)| day(n, *bad)).collect();
        let back = coming_back(&days, (at(1), at(4)), 144.0).unwrap();
        assert_eq!((back.bad, back.from, back.until), (13, at(1), at(4)));
        assert!((back.share - 13.0 / 144.0).abs() < 1e-12);
        assert_eq!(coming_back(&days, (at(9), at(12)), 144.0), None, "days that are not known");
        assert_eq!(coming_back(&days, (at(1), at(4)), 0.0), None, "nothing is allowed");
    }

    #[test]
    fn counts_come_from_shares() {
        assert_eq!((bad_of(0.95, 2_880), bad_of(1.0, 7), bad_of(0.0, 7), bad_of(f64::NAN, 0)), (144, 0, 7, 0));
        assert!((allowed(0.95, 2_880) - 144.0).abs() < 1e-9);
    }
}
