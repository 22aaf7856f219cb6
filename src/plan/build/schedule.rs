//! `[schedule]`: cron or interval, zone, catch-up, time limits.

use chrono::TimeDelta;

use super::findings::Findings;
use crate::domain::schedule::{Cadence, CatchUp, Schedule};
use crate::spec::job::{CatchUpSpec, ScheduleSection};

pub(super) fn build(spec: &ScheduleSection, findings: &mut Findings<'_>) -> Option<Schedule> {
    let zone = findings.zone("schedule.timezone", spec.timezone.as_deref());
    let timeout = findings.duration("schedule.timeout", spec.timeout.as_deref());
    let overlap = findings.duration("schedule.overlap", spec.overlap.as_deref());
    let reconcile = findings.duration("schedule.reconcile", spec.reconcile.as_deref());
    let cadence = match (&spec.cron, &spec.every) {
        (Some(_), Some(_)) => {
            findings
                .error("schedule.every", "two-schedules", "`cron` and `every` are both set")
                .hint("keep one of them");
            return None;
        }
        (None, None) => {
            findings
                .error("schedule", "no-schedule", "the job has no schedule")
                .hint("add `cron = \"*/15 * * * *\"` or `every = \"15m\"`");
            return None;
        }
        (Some(cron), None) => match Cadence::cron(cron, zone) {
            Ok(cadence) => cadence,
            Err(message) => {
                findings
                    .error("schedule.cron", "bad-cron", message)
                    .hint("write minute, hour, day, month and weekday, such as `*/15 * * * *`");
                return None;
            }
        },
        (None, Some(every)) => {
            if spec.timezone.is_some() {
                findings
                    .error("schedule.timezone", "unused-timezone", "`timezone` has no effect with `every`")
                    .hint("remove it, or use `cron`");
            }
            Cadence::Every(findings.duration("schedule.every", Some(every))?)
        }
    };
    if cadence.next_after(chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000)).is_none() {
        findings.error("schedule.cron", "never-due", "the schedule never runs").hint("choose a day that exists");
        return None;
    }
    Some(Schedule {
        cadence,
        catch_up: match spec.catch_up {
            Some(CatchUpSpec::None) => CatchUp::None,
            Some(CatchUpSpec::All) => CatchUp::All,
            Some(CatchUpSpec::Latest) | None => CatchUp::Latest,
        },
        timeout: timeout.unwrap_or(TimeDelta::minutes(5)),
        overlap: overlap.unwrap_or(TimeDelta::minutes(10)),
        reconcile: reconcile.unwrap_or(TimeDelta::days(1)),
    })
}
