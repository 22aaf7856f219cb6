//! Retry schedule of failed deliveries: frequent in the first hour, then hourly, for a day.

use chrono::TimeDelta;

/// Seconds to wait after the first, second, … attempt.
const WAITS: &[i64] = &[5, 15, 30, 60, 120, 300, 600, 900, 1_500];
const HOURLY: i64 = 3_600;
/// Age at which a notification is given up.
const GIVE_UP: TimeDelta = TimeDelta::hours(24);

/// Returns the wait after attempt number `attempt` (from 1) of a notification of this age. `None`: give up.
///
/// `asked` is the wait that the receiver requested (`Retry-After`); it is honoured up to an hour.
pub fn wait(attempt: i32, age: TimeDelta, asked: Option<TimeDelta>) -> Option<TimeDelta> {
    let planned = usize::try_from(attempt - 1).ok().and_then(|index| WAITS.get(index)).copied().unwrap_or(HOURLY);
    let wait = TimeDelta::seconds(planned).max(asked.unwrap_or_default().min(TimeDelta::seconds(HOURLY)));
    (age + wait <= GIVE_UP).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end_after_a_day() {
        assert_eq!(wait(1, TimeDelta::zero(), None), Some(TimeDelta::seconds(5)));
        assert_eq!(wait(6, TimeDelta::minutes(4), None), Some(TimeDelta::seconds(300)));
        assert_eq!(wait(40, TimeDelta::hours(20), None), Some(TimeDelta::hours(1)));
        assert_eq!(wait(40, TimeDelta::minutes(23 * 60 + 30), None), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        assert_eq!(wait(1, TimeDelta::zero(), Some(TimeDelta::seconds(90))), Some(TimeDelta::seconds(90)));
        assert_eq!(wait(1, TimeDelta::zero(), Some(TimeDelta::days(9))), Some(TimeDelta::hours(1)));
    }
}
