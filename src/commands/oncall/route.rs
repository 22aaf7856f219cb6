//! `route`: the receivers of an alert, when they are notified, and why.

use std::process::ExitCode;

use anyhow::Result;
use chrono::Utc;
use serde_json::json;

use crate::cli::{Global, Output, RouteArgs};
use crate::commands::shared::jobs;
use crate::commands::{output, user_error};
use crate::domain::duration;
use crate::notify::policy::matcher::Labels;
use crate::notify::policy::route::{Path, Routing, Why};

pub(in crate::commands) async fn run(global: &Global, args: &RouteArgs) -> Result<ExitCode> {
    let settings = jobs::settings(global)?;
    let job = jobs::find(global, &settings, &args.job)?;
    let severity = args.severity.as_str();
    let rules = || {
        let rules =
            job.rules.iter().map(|rule| (rule.name.clone(), rule.severity.as_str(), rule.owner.clone(), &rule.notify));
        let burns = job.slos.iter().flat_map(|slo| {
            slo.burns.iter().map(move |burn| (slo.alert(burn), burn.severity.as_str(), slo.owner.clone(), &slo.notify))
        });
        rules.chain(burns)
    };
    let mut asked: Vec<(String, Option<String>, &Vec<String>)> = rules()
        .filter(|(name, of, ..)| *of == severity && args.rule.as_ref().is_none_or(|rule| rule == name))
        .map(|(name, _, owner, notify)| (name, owner, notify))
        .collect();
    if let Some(rule) = args.rule.as_ref().filter(|_| asked.is_empty()) {
        let all: Vec<String> = rules().map(|(name, of, ..)| format!("{name} ({of})")).collect();
        return Err(user_error(format!(
            "`{}` has no rule `{rule}` of severity {severity}; it has {}",
            job.name,
            all.join(", ")
        )));
    }
    if asked.is_empty() {
        // No rule has that severity yet: show the receivers of a new rule that names none.
        asked.push(("(any)".to_owned(), job.owner.clone(), &job.notify));
    }
    let at = args.at.unwrap_or_else(Utc::now);
    for (rule, owner, notify) in asked {
        let owner = owner.or_else(|| job.owner.clone());
        let labels = Labels { job: &job.name, rule: &rule, severity, owner: owner.as_deref(), cohort: &args.cohort };
        let path = settings.routing.path(&labels, notify);
        let maintenance = settings.routing.maintenance(&labels, at).map(|(found, until)| (found.reason.clone(), until));
        let ready = at + path.timing.group_wait;
        if global.output == Output::Json {
            let receivers: Vec<&String> = path.receivers.iter().collect();
            output::print_json(&json!({
                "job": job.name, "rule": rule, "severity": severity, "cohort": args.cohort, "receivers": receivers,
                "why": why(&path), "first_message_at": path.opens(ready), "repeat_interval": duration::format(path.timing.repeat_interval),
                "escalates_to": path.escalation.as_ref().map(|escalation| &escalation.notify),
                "maintenance_until": maintenance.as_ref().map(|(_, until)| until),
            }).to_string())?;
            continue;
        }
        for line in describe(&settings.routing, &labels, &path) {
            output::print(&line)?;
        }
        if let Some((reason, until)) = maintenance {
            let until = until.format("%Y-%m-%d %H:%M UTC");
            output::print(&format!("  suppressed by maintenance until {until}: {reason}"))?;
        } else if path.is_deferred() {
            output::print(&format!(
                "  the message would be sent at {}",
                path.opens(ready).format("%Y-%m-%d %H:%M UTC")
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn why(path: &Path) -> String {
    match &path.why {
        Why::Named => "`notify` of the rule or its job".to_owned(),
        Why::Routes(places) => {
            let places: Vec<String> = places.iter().map(ToString::to_string).collect();
            format!("route {}", places.join(" and "))
        }
        Why::Fallback => "the fallback: no route matches".to_owned(),
        Why::Nobody => "no route matches, and there is no fallback".to_owned(),
    }
}

fn describe(routing: &Routing, labels: &Labels<'_>, path: &Path) -> Vec<String> {
    let receivers: Vec<&str> = path.receivers.iter().map(String::as_str).collect();
    let told = if receivers.is_empty() { "no receiver".to_owned() } else { receivers.join(", ") };
    let mut lines = vec![format!("{}/{} ({}, {}): {told}", labels.job, labels.rule, labels.severity, labels.cohort)];
    lines.push(format!("  reason: {}", why(path)));
    for place in match &path.why {
        Why::Routes(places) => places.as_slice(),
        Why::Named | Why::Fallback | Why::Nobody => &[],
    } {
        lines.push(format!("  route {place}: {}", routing.routes[place - 1].matcher));
    }
    let timing = path.timing;
    let wait = |time: chrono::TimeDelta| if time.is_zero() { "0s".to_owned() } else { duration::format(time) };
    lines.push(format!(
        "  first after {}, then at most every {}, repeated after {}",
        wait(timing.group_wait),
        wait(timing.group_interval),
        wait(timing.repeat_interval)
    ));
    if let Some(escalation) = &path.escalation {
        lines.push(format!(
            "  escalates to {} after {} without acknowledgement",
            escalation.notify.join(", "),
            duration::format(escalation.after)
        ));
    }
    lines
}
