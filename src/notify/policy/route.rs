//! Routing: the receivers of an alert, and when they are notified. From routes in the order they are written, the receivers that
//! a rule names itself, or a fallback.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

pub use crate::notify::policy::hours::{Daily, Hours};

use crate::domain::schedule::Cadence;
use crate::notify::policy::matcher::{Labels, Matcher};

/// All routing settings of `trueup.toml`.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// In the order they are written: the first match decides; with `continue_matching` the next match adds to it.
    pub routes: Vec<Route>,
    /// Notified when no route matches, and when another receiver cannot be reached.
    pub fallback: Option<String>,
    pub timing: Timing,
    pub maintenance: Vec<Maintenance>,
    /// Receivers that forget an alert unless it is resent, with the interval.
    pub resend: BTreeMap<String, TimeDelta>,
    /// Receivers that are not notified when an alert resolves.
    pub only_firing: BTreeSet<String>,
}

/// One route.
#[derive(Debug, Clone, Default)]
pub struct Route {
    pub matcher: Matcher,
    /// Receivers, unless the rule or its job names its own.
    pub notify: Vec<String>,
    pub group_wait: Option<TimeDelta>,
    pub group_interval: Option<TimeDelta>,
    pub repeat_interval: Option<TimeDelta>,
    pub hours: Option<Hours>,
    pub digest: Option<Daily>,
    pub escalation: Option<Escalation>,
    pub continue_matching: bool,
}

/// Spacing of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time that a first notification waits for more of its group.
    pub group_wait: TimeDelta,
    /// Least time between two notifications of a group.
    pub group_interval: TimeDelta,
    /// Time after which a firing alert is notified again.
    pub repeat_interval: TimeDelta,
}

/// Additional receivers of an alert that is not acknowledged in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    pub after: TimeDelta,
    pub notify: Vec<String>,
}

/// A recurring period in which alerts are expected and suppressed.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pub matcher: Matcher,
    pub begins: Cadence,
    pub lasts: TimeDelta,
    pub reason: String,
}

/// Receivers of an alert, with timing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub receivers: BTreeSet<String>,
    pub timing: Timing,
    pub hours: Option<Hours>,
    pub digest: Option<Daily>,
    pub escalation: Option<Escalation>,
    pub why: Why,
}

/// Source of the receivers of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The rule or its job names the receivers.
    Named,
    /// Matching routes, by position from 1.
    Routes(Vec<usize>),
    Fallback,
    Nobody,
}

impl Default for Timing {
    /// The defaults of Alertmanager.
    fn default() -> Self {
        Self {
            group_wait: TimeDelta::seconds(30),
            group_interval: TimeDelta::minutes(5),
            repeat_interval: TimeDelta::hours(4),
        }
    }
}

impl Routing {
    /// Returns the path of an alert. `named`: receivers that its rule or job names.
    pub fn path(&self, labels: &Labels<'_>, named: &[String]) -> Path {
        let mut fitting: Vec<(usize, &Route)> = Vec::new();
        for (place, route) in self.routes.iter().enumerate().filter(|(_, route)| route.matcher.fits(labels)) {
            fitting.push((place + 1, route));
            if !route.continue_matching {
                break;
            }
        }
        let (receivers, why): (BTreeSet<String>, Why) = if !named.is_empty() {
            (named.iter().cloned().collect(), Why::Named)
        } else {
            let routed: BTreeSet<String> = fitting.iter().flat_map(|(_, route)| route.notify.iter().cloned()).collect();
            match (&self.fallback, routed.is_empty()) {
                (_, false) => (routed, Why::Routes(fitting.iter().map(|(place, _)| *place).collect())),
                (Some(fallback), true) => (BTreeSet::from([fallback.clone()]), Why::Fallback),
                (None, true) => (routed, Why::Nobody),
            }
        };
        let of_routes = |get: fn(&Route) -> Option<TimeDelta>| fitting.iter().find_map(|(_, route)| get(route));
        let timing = Timing {
            group_wait: of_routes(|route| route.group_wait).unwrap_or(self.timing.group_wait),
            group_interval: of_routes(|route| route.group_interval).unwrap_or(self.timing.group_interval),
            repeat_interval: of_routes(|route| route.repeat_interval).unwrap_or(self.timing.repeat_interval),
        };
        Path {
            receivers,
            timing,
            hours: fitting.iter().find_map(|(_, route)| route.hours.clone()),
            digest: fitting.iter().find_map(|(_, route)| route.digest),
            escalation: fitting.iter().find_map(|(_, route)| route.escalation.clone()),
            why,
        }
    }

    /// Returns the maintenance that applies to an alert now, and its end.
    pub fn maintenance(&self, labels: &Labels<'_>, now: DateTime<Utc>) -> Option<(&Maintenance, DateTime<Utc>)> {
        let fitting = self.maintenance.iter().filter(|maintenance| maintenance.matcher.fits(labels));
        fitting.filter_map(|maintenance| Some((maintenance, maintenance.until(now)?))).max_by_key(|(_, until)| *until)
    }
}

impl Maintenance {
    /// Returns the end of the maintenance under way, if any.
    fn until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The newest beginning up to now: within one duration there are at most as many beginnings as seconds.
        let begun = self.begins.slots(now - self.lasts, now, MOST_BEGINNINGS).last().copied()?;
        Some(begun + self.lasts)
    }
}

/// Most beginnings that are checked within one duration of a maintenance.
const MOST_BEGINNINGS: usize = 10_000;

impl Path {
    /// True if notifications are deferred (hours, digest) and so form a group of their own.
    pub fn is_deferred(&self) -> bool {
        self.hours.is_some() || self.digest.is_some()
    }

    /// Merges the timing of two alerts in one notification; the more urgent wins.
    pub fn sooner(self, other: &Self, now: DateTime<Utc>) -> Self {
        let timing = Timing {
            group_wait: self.timing.group_wait.min(other.timing.group_wait),
            group_interval: self.timing.group_interval.min(other.timing.group_interval),
            repeat_interval: self.timing.repeat_interval.min(other.timing.repeat_interval),
        };
        let first = if other.opens(now) < self.opens(now) { other.clone() } else { self };
        Self { timing, ..first }
    }

    /// Removes hours and digest, so that nothing is deferred.
    pub fn at_any_time(self) -> Self {
        Self { hours: None, digest: None, ..self }
    }

    /// Returns the earliest time to send a notification that is ready at `ready`.
    pub fn opens(&self, ready: DateTime<Utc>) -> DateTime<Utc> {
        let digested = self.digest.map_or(ready, |digest| digest.next(ready));
        self.hours.as_ref().map_or(digested, |hours| hours.next_open(digested))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(severity: &'static str, cohort: &'static str) -> Labels<'static> {
        Labels { job: "ro-load", rule: "rmse-high", severity, owner: Some("grid@example.org"), cohort }
    }

    fn route(severity: Option<&str>, notify: &[&str]) -> Route {
        let matcher = Matcher { severity: severity.map(str::to_owned), ..Matcher::default() };
        Route { matcher, notify: notify.iter().map(|name| (*name).to_owned()).collect(), ..Route::default() }
    }

    fn receivers(routing: &Routing, severity: &'static str, named: &[&str]) -> (Vec<String>, Why) {
        let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
        let path = routing.path(&labels(severity, "all"), &named);
        (path.receivers.into_iter().collect(), path.why)
    }

    #[test]
    fn the_first_route_that_fits_decides_and_carry_on_adds_the_next() {
        let mut routing = Routing {
            routes: vec![route(Some("page"), &["oncall"]), route(None, &["tickets"])],
            fallback: Some("mail".into()),
            ..Routing::default()
        };
        assert_eq!(receivers(&routing, "page", &[]), (vec!["oncall".into()], Why::Routes(vec![1])));
        assert_eq!(receivers(&routing, "ticket", &[]), (vec!["tickets".into()], Why::Routes(vec![2])));
        routing.routes[0].continue_matching = true;
        assert_eq!(receivers(&routing, "page", &[]).0, ["oncall", "tickets"]);
        routing.routes.pop();
        assert_eq!(receivers(&routing, "ticket", &[]), (vec!["mail".into()], Why::Fallback));
        routing.fallback = None;
        assert_eq!(receivers(&routing, "ticket", &[]), (vec![], Why::Nobody));
    }

    #[test]
    fn what_a_rule_names_overrides_the_receivers_of_a_route_and_not_its_times() {
        let repeat = TimeDelta::hours(1);
        let routing = Routing {
            routes: vec![Route { repeat_interval: Some(repeat), ..route(None, &["oncall"]) }],
            ..Routing::default()
        };
        let path = routing.path(&labels("page", "all"), &["hook".to_owned()]);
        assert_eq!((path.receivers.into_iter().collect::<Vec<_>>(), path.why), (vec!["hook".to_owned()], Why::Named));
        assert_eq!(path.timing, Timing { repeat_interval: repeat, ..Timing::default() });
    }

    #[test]
    fn maintenance_holds_from_its_beginning_for_its_duration() {
        let begins = Cadence::cron("0 2 * * SUN", chrono_tz::Europe::Bucharest).unwrap();
        let matcher = Matcher { job: Some("ro-*".into()), ..Matcher::default() };
        let maintenance =
            Maintenance { matcher, begins, lasts: TimeDelta::hours(2), reason: "the meters are read".into() };
        let routing = Routing { maintenance: vec![maintenance], ..Routing::default() };
        let until = |now: &str| routing.maintenance(&labels("page", "all"), now.parse().unwrap()).map(|found| found.1);
        // Sunday, 2 o'clock in Bucharest.
        assert_eq!(until("2024-05-04T22:59:59Z"), None);
        assert_eq!(until("2024-05-04T23:00:00Z"), Some("2024-05-05T01:00:00Z".parse().unwrap()));
        assert_eq!(until("2024-05-05T00:59:59Z"), Some("2024-05-05T01:00:00Z".parse().unwrap()));
        assert_eq!(until("2024-05-05T01:00:00Z"), None);
        let other = Labels { job: "de-load", ..labels("page", "all") };
        assert!(routing.maintenance(&other, "2024-05-04T23:30:00Z".parse().unwrap()).is_none());
    }

    #[test]
    fn a_digest_waits_for_its_hour_and_office_hours_for_the_morning() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let digest = Daily { at: chrono::NaiveTime::from_hms_opt(9, 0, 0).unwrap(), zone: chrono_tz::UTC };
        let routing =
            Routing { routes: vec![Route { digest: Some(digest), ..route(None, &["mail"]) }], ..Routing::default() };
        let path = routing.path(&labels("ticket", "all"), &[]);
        assert!(path.is_deferred());
        assert_eq!(path.opens(at("2024-05-02T10:00:00Z")), at("2024-05-03T09:00:00Z"));
        assert!(!Routing::default().path(&labels("ticket", "all"), &[]).is_deferred());
    }
}
