//! Silences: what they mute, by the same patterns that suppress notifications.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::words::{self, When};
use crate::notify::policy::matcher::{Labels, Matcher};
use crate::store::read::silences::{FiredRow, SilenceRow};

/// A silence of the list.
#[derive(Debug, Clone)]
pub struct Line {
    pub id: i64,
    pub matches: String,
    pub state: &'static str,
    pub in_force: bool,
    pub author: String,
    pub reason: String,
    pub starts: When,
    pub ends: When,
    /// Time left, or how long it lasted.
    pub lasts: String,
    /// Alerts that fired within it and that its pattern matches.
    pub muted: usize,
    /// `matches nothing now`.
    pub note: &'static str,
}

/// Returns the lines of the list, with the number of alerts that each silence muted.
pub fn lines(rows: &[SilenceRow], fired: &[FiredRow], (now, zone): (DateTime<Utc>, Tz)) -> Vec<Line> {
    let line = |row: &SilenceRow| {
        let matcher = matcher(row);
        let muted = muted(&matcher, fired, (row.starts_at, row.ends_at.min(now)));
        let fires_now = fired.iter().any(|alert| alert.ended_at.is_none() && fits(&matcher, alert));
        let lasts = if row.in_force { row.ends_at - now } else { row.ends_at - row.starts_at };
        Line {
            id: row.silence_id,
            matches: matcher.to_string(),
            state: if row.in_force { "in force" } else { "ended" },
            in_force: row.in_force,
            author: row.author.clone(),
            reason: row.reason.clone(),
            starts: words::when(row.starts_at, zone),
            ends: words::when(row.ends_at, zone),
            lasts: format!("{}{}", words::lasted(lasts), if row.in_force { " left" } else { "" }),
            muted,
            note: if row.in_force && !fires_now { "matches nothing now" } else { "" },
        }
    };
    rows.iter().map(line).collect()
}

fn matcher(row: &SilenceRow) -> Matcher {
    Matcher {
        job: row.job.clone(),
        rule: row.rule.clone(),
        severity: row.severity.clone(),
        owner: None,
        cohort: row.cohort.clone(),
    }
}

fn fits(matcher: &Matcher, alert: &FiredRow) -> bool {
    let labels =
        Labels { job: &alert.job, rule: &alert.rule, severity: &alert.severity, owner: None, cohort: &alert.cohort };
    matcher.fits(&labels)
}

/// Counts the alerts that fired within a range and that a pattern matches.
fn muted(matcher: &Matcher, fired: &[FiredRow], (from, until): (DateTime<Utc>, DateTime<Utc>)) -> usize {
    let within = |alert: &&FiredRow| {
        alert.fired_at < until && alert.ended_at.is_none_or(|ended| ended > from) && fits(matcher, alert)
    };
    let mut ids: Vec<i64> = fired.iter().filter(within).map(|alert| alert.alert_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

/// An alert that a silence would mute now.
#[derive(Debug, Clone)]
pub struct MutedLine {
    pub alert: i64,
    pub job: String,
    pub rule: String,
    pub target: String,
    pub severity: String,
    pub since: When,
}

/// Returns the alerts that fire now and that a pattern matches.
pub fn would_mute(matcher: &Matcher, fired: &[FiredRow], zone: Tz) -> Vec<MutedLine> {
    let firing = fired.iter().filter(|alert| alert.ended_at.is_none() && fits(matcher, alert));
    let line = |alert: &FiredRow| MutedLine {
        alert: alert.alert_id,
        job: alert.job.clone(),
        rule: alert.rule.clone(),
        target: words::target(&alert.cohort, alert.model_version.as_deref()),
        severity: alert.severity.clone(),
        since: words::when(alert.fired_at, zone),
    };
    firing.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).unwrap()
    }

    fn fired(alert_id: i64, cohort: &str, from: i64, until: Option<i64>) -> FiredRow {
        FiredRow {
            alert_id,
            job: "load".to_owned(),
            rule: "rmse-high".to_owned(),
            severity: "page".to_owned(),
            cohort: cohort.to_owned(),
            model_version: None,
            fired_at: at(from),
            ended_at: until.map(at),
        }
    }

    fn silence(cohort: Option<&str>, from: i64, until: i64, in_force: bool) -> SilenceRow {
        SilenceRow {
            silence_id: 1,
            job: Some("lo*".to_owned()),
            rule: None,
            cohort: cohort.map(str::to_owned),
            severity: None,
            starts_at: at(from),
            ends_at: at(until),
            reason: "meters".to_owned(),
            author: "kim".to_owned(),
            in_force,
        }
    }

    #[test]
    fn a_silence_counts_the_alerts_that_fired_within_it() {
        let alerts = [
            fired(1, "region=a", 1, Some(3)),
            fired(1, "region=a", 5, Some(6)),
            fired(2, "region=b", 5, None),
            fired(3, "region=a", 9, Some(10)),
        ];
        let rows = [
            silence(None, 2, 8, false),
            silence(Some("region=a"), 2, 8, false),
            silence(Some("region=a"), 4, 40, true),
            silence(None, 4, 40, true),
        ];
        let lines = lines(&rows, &alerts, (at(20), Tz::UTC));
        let shown: Vec<_> = lines.iter().map(|line| (line.muted, line.note, line.lasts.as_str())).collect();
        let expected = [(2, "", "6 h"), (1, "", "6 h"), (2, "matches nothing now", "20 h left"), (3, "", "20 h left")];
        assert_eq!(shown, expected);
        assert_eq!(lines[1].matches, "job = lo*, cohort = region=a");
    }

    #[test]
    fn a_preview_names_what_fires_now() {
        let alerts = [fired(1, "region=a", 1, Some(3)), fired(2, "region=b", 5, None)];
        let matcher = Matcher { cohort: Some("region=*".to_owned()), ..Matcher::default() };
        let names: Vec<i64> = would_mute(&matcher, &alerts, Tz::UTC).iter().map(|line| line.alert).collect();
        assert_eq!(names, [2]);
        let other = Matcher { job: Some("other".to_owned()), ..Matcher::default() };
        assert!(would_mute(&other, &alerts, Tz::UTC).is_empty());
    }
}
