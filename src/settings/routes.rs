//! `[routing]`, `[[routes]]` and `[[maintenance]]`: receivers and times of notifications, checked when read.

use std::collections::BTreeSet;

use chrono::{NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;

use crate::domain::duration;
use crate::domain::schedule::Cadence;
use crate::notify::policy::matcher::Matcher;
use crate::notify::policy::route::{Daily, Escalation, Hours, Maintenance, Route, Routing, Timing};
use crate::spec::Document;
use crate::spec::diagnostic::{Diagnostic, did_you_mean};
use crate::spec::receivers::{MaintenanceSpec, MatchSpec, RouteSpec, SettingsSpec};

/// Checks routes and maintenance, and builds the routing. Receivers must be declared.
pub(super) fn build(document: &Document, spec: &SettingsSpec, findings: &mut Vec<Diagnostic>) -> Routing {
    let receivers: BTreeSet<&str> = spec.receivers.keys().map(String::as_str).collect();
    let mut checker = Checker { document, receivers, findings };
    let section = &spec.routing;
    if let Some(name) = &section.fallback {
        checker.receiver("routing.fallback", name);
    }
    let defaults = Timing::default();
    let timing = Timing {
        group_wait: checker.wait("routing.group_wait", section.group_wait.as_deref()).unwrap_or(defaults.group_wait),
        group_interval: checker
            .wait("routing.group_interval", section.group_interval.as_deref())
            .unwrap_or(defaults.group_interval),
        repeat_interval: checker
            .repeat("routing.repeat_interval", section.repeat_interval.as_deref())
            .unwrap_or(defaults.repeat_interval),
    };
    let routes: Vec<Route> =
        spec.routes.iter().enumerate().map(|(n, route)| checker.route(&format!("routes[{n}]"), route)).collect();
    checker.unreachable(spec);
    let maintenance = spec
        .maintenance
        .iter()
        .enumerate()
        .filter_map(|(n, one)| checker.maintenance(&format!("maintenance[{n}]"), one));
    let maintenance = maintenance.collect();
    Routing { routes, fallback: section.fallback.clone(), timing, maintenance, ..Routing::default() }
}

struct Checker<'a> {
    document: &'a Document,
    receivers: BTreeSet<&'a str>,
    findings: &'a mut Vec<Diagnostic>,
}

impl Checker<'_> {
    fn error(&mut self, path: &str, code: &'static str, message: String, hint: &str) {
        self.findings.push(self.document.error(path, code, message).hint(hint));
    }

    fn receiver(&mut self, path: &str, name: &str) {
        if self.receivers.contains(name) {
            return;
        }
        let hint = did_you_mean(name, self.receivers.iter().copied())
            .map_or_else(|| format!("declare `[receivers.{name}]`"), |near| format!("did you mean `{near}`?"));
        self.error(path, "unknown-receiver", format!("there is no receiver `{name}`"), &hint);
    }

    fn receivers(&mut self, path: &str, names: &[String]) {
        for (n, name) in names.iter().enumerate() {
            self.receiver(&format!("{path}[{n}]"), name);
        }
    }

    fn duration(&mut self, path: &str, text: &str) -> Option<TimeDelta> {
        match duration::parse(text) {
            Ok(found) => Some(found),
            Err(message) => {
                self.error(path, "bad-duration", message, duration::HINT);
                None
            }
        }
    }

    /// Parses a time to wait, which may be zero.
    fn wait(&mut self, path: &str, text: Option<&str>) -> Option<TimeDelta> {
        match text? {
            "0" | "0s" => Some(TimeDelta::zero()),
            text => self.duration(path, text),
        }
    }

    fn repeat(&mut self, path: &str, text: Option<&str>) -> Option<TimeDelta> {
        let found = self.duration(path, text?)?;
        if found < TimeDelta::minutes(1) {
            self.error(
                path,
                "too-often",
                "the repeat interval is shorter than a minute".to_owned(),
                "use at least `1m`",
            );
        }
        Some(found)
    }

    fn time(&mut self, path: &str, text: &str) -> Option<NaiveTime> {
        let found = NaiveTime::parse_from_str(text, "%H:%M").ok();
        if found.is_none() {
            self.error(path, "bad-time", format!("`{text}` is not a time of day"), "write `09:00`");
        }
        found
    }

    fn zone(&mut self, path: &str, name: Option<&str>) -> Tz {
        match name.map(str::parse::<Tz>) {
            None => Tz::UTC,
            Some(Ok(zone)) => zone,
            Some(Err(_)) => {
                let message = format!("`{}` is not a time zone", name.unwrap_or_default());
                self.error(path, "unknown-timezone", message, "use an IANA name, such as `Europe/Bucharest`");
                Tz::UTC
            }
        }
    }

    fn matcher(&mut self, path: &str, spec: &MatchSpec) -> Matcher {
        if let Some(severity) = spec.severity.as_deref().filter(|s| !s.contains('*')) {
            let known = ["page", "ticket", "info"];
            if !known.contains(&severity) {
                let hint = did_you_mean(severity, known)
                    .map_or_else(|| "use page, ticket or info".to_owned(), |near| format!("did you mean `{near}`?"));
                self.error(
                    &format!("{path}.severity"),
                    "unknown-severity",
                    format!("`{severity}` is not a severity"),
                    &hint,
                );
            }
        }
        Matcher {
            job: spec.job.clone(),
            rule: spec.rule.clone(),
            severity: spec.severity.clone(),
            owner: spec.owner.clone(),
            cohort: spec.cohort.clone(),
        }
    }

    fn route(&mut self, path: &str, spec: &RouteSpec) -> Route {
        self.receivers(&format!("{path}.notify"), &spec.notify);
        let hours = spec.hours.as_ref().and_then(|hours| {
            let path = format!("{path}.hours");
            let (from, to) =
                (self.time(&format!("{path}.from"), &hours.from), self.time(&format!("{path}.to"), &hours.to));
            let zone = self.zone(&format!("{path}.timezone"), hours.timezone.as_deref());
            let days = match &hours.days {
                None => vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri],
                Some(days) => {
                    days.iter().enumerate().filter_map(|(n, day)| self.day(&format!("{path}.days[{n}]"), day)).collect()
                }
            };
            if days.is_empty() {
                self.error(
                    &format!("{path}.days"),
                    "no-days",
                    "`days` is empty, so this route would never send".to_owned(),
                    "list at least one day",
                );
            }
            let (from, to) = (from?, to?);
            if from >= to {
                let message = format!("the hours begin at {from} and end at {to}");
                self.error(&path, "no-hours", message, "set `from` before `to`, on the same day");
            }
            Some(Hours { days, from, to, zone })
        });
        let digest = spec.digest.as_ref().and_then(|digest| {
            let at = self.time(&format!("{path}.digest.at"), &digest.at);
            let zone = self.zone(&format!("{path}.digest.timezone"), digest.timezone.as_deref());
            Some(Daily { at: at?, zone })
        });
        let takes_pages = spec.matcher.severity.as_deref().is_none_or(|severity| ["page", "*"].contains(&severity));
        if takes_pages && (hours.is_some() || digest.is_some()) {
            let message = "pages on this route are deferred".to_owned();
            let finding = Diagnostic::warning("page-waits", self.document.locate(path), message);
            self.findings.push(finding.hint("restrict the route to alerts that can wait, with severity `ticket`"));
        }
        let escalation = spec.escalate.as_ref().and_then(|escalate| {
            self.receivers(&format!("{path}.escalate.notify"), &escalate.notify);
            if escalate.notify.is_empty() {
                let message = "`escalate` has no receiver".to_owned();
                self.error(&format!("{path}.escalate"), "no-recipient", message, "add a receiver to `notify`");
            }
            let after = self.duration(&format!("{path}.escalate.after"), &escalate.after)?;
            Some(Escalation { after, notify: escalate.notify.clone() })
        });
        Route {
            matcher: self.matcher(&format!("{path}.match"), &spec.matcher),
            notify: spec.notify.clone(),
            group_wait: self.wait(&format!("{path}.group_wait"), spec.group_wait.as_deref()),
            group_interval: self.wait(&format!("{path}.group_interval"), spec.group_interval.as_deref()),
            repeat_interval: self.repeat(&format!("{path}.repeat_interval"), spec.repeat_interval.as_deref()),
            hours,
            digest,
            escalation,
            continue_matching: spec.continue_matching.unwrap_or(false),
        }
    }

    fn day(&mut self, path: &str, text: &str) -> Option<Weekday> {
        let found = text.parse().ok();
        if found.is_none() {
            let message = format!("`{text}` is not a day of the week");
            self.error(path, "bad-day", message, "use mon, tue, wed, thu, fri, sat or sun");
        }
        found
    }

    /// Warns of routes after one that matches everything: they are never evaluated.
    fn unreachable(&mut self, spec: &SettingsSpec) {
        let takes_all = |route: &RouteSpec| {
            let m = &route.matcher;
            let any = |p: &Option<String>| p.as_deref().is_none_or(|p| p == "*");
            any(&m.job)
                && any(&m.rule)
                && any(&m.severity)
                && any(&m.owner)
                && any(&m.cohort)
                && route.continue_matching != Some(true)
        };
        let Some(first) = spec.routes.iter().position(takes_all) else { return };
        for place in first + 1..spec.routes.len() {
            let message = format!("this route is never used: route {} matches every alert", first + 1);
            let finding =
                Diagnostic::warning("unreachable-route", self.document.locate(&format!("routes[{place}]")), message);
            self.findings.push(finding.hint("move it up, or set `continue = true` on the earlier route"));
        }
    }

    fn maintenance(&mut self, path: &str, spec: &MaintenanceSpec) -> Option<Maintenance> {
        let matcher = self.matcher(&format!("{path}.match"), &spec.matcher);
        let zone = self.zone(&format!("{path}.timezone"), spec.timezone.as_deref());
        let lasts = self.duration(&format!("{path}.duration"), &spec.duration);
        if spec.reason.trim().is_empty() {
            let message = "a maintenance needs a reason, which explains later why no notification was sent".to_owned();
            self.error(&format!("{path}.reason"), "no-reason", message, "write it in a few words");
        }
        let begins = match Cadence::cron(&spec.cron, zone) {
            Ok(begins) => begins,
            Err(message) => {
                self.error(&format!("{path}.cron"), "bad-cron", message, "write `0 2 * * SUN` for Sundays at 2");
                return None;
            }
        };
        let lasts = lasts?;
        if lasts >= begins.usual_gap() {
            let message = "the maintenance begins again before it ends: alerts would always be suppressed".to_owned();
            self.error(&format!("{path}.duration"), "endless-maintenance", message, "use a shorter `duration`");
        }
        Some(Maintenance { matcher, begins, lasts, reason: spec.reason.clone() })
    }
}
