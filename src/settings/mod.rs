//! `trueup.toml` and the environment: the settings of a process, apart from its jobs.

mod receivers;
mod routes;
mod web;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::TimeDelta;

pub use receivers::{Http, ReceiverSettings};
pub use web::{Login, Proxy, Web, WebDatabase};

use crate::domain::duration;
use crate::notify::policy::route::Routing;
use crate::notify::receiver::WATCHDOG;
use crate::plan::syntax::{Granted, Grants};
use crate::spec::diagnostic::Diagnostic;
use crate::spec::receivers::SettingsSpec;
use crate::spec::{Document, Level};

/// Settings of a process.
#[derive(Debug)]
pub struct Settings {
    pub receivers: BTreeMap<String, ReceiverSettings>,
    pub routing: Routing,
    pub watchdog: Option<Watchdog>,
    pub web: Option<Web>,
    pub max_connections: u32,
    /// Functions that queries of jobs may call in addition to the built-in list.
    pub functions: Grants,
    /// Roles whose tables, views and functions jobs may read without a warning of `doctor`.
    pub trusted_owners: Vec<String>,
    /// How long a claim lasts without renewal.
    pub lease: TimeDelta,
    /// How often the ledger is polled.
    pub poll: TimeDelta,
    /// Age at which all of a window but its first report and its latest revision is deleted.
    pub keep_windows: TimeDelta,
    /// Age from which only one rolling window a day is kept.
    pub keep_rolling: TimeDelta,
}

/// Heartbeat to an external service.
#[derive(Debug, Clone)]
pub struct Watchdog {
    pub http: Http,
    pub every: TimeDelta,
    /// Longest time that a message or run may wait before the heartbeat stops.
    pub patience: TimeDelta,
}

/// Settings, or the mistakes in them; with the document, to render the findings.
pub struct Loaded {
    pub document: Option<Document>,
    pub settings: Option<Settings>,
    pub findings: Vec<Diagnostic>,
    /// Path as shown in messages.
    pub path: String,
    pub text: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            receivers: BTreeMap::new(),
            routing: Routing::default(),
            watchdog: None,
            web: None,
            max_connections: 8,
            functions: Grants::default(),
            trusted_owners: Vec::new(),
            lease: TimeDelta::seconds(30),
            poll: TimeDelta::seconds(2),
            keep_windows: TimeDelta::days(395),
            keep_rolling: TimeDelta::days(90),
        }
    }
}

/// Shortest retention of rolling windows: rules compare with the same hour of the week before.
const LEAST_ROLLING: TimeDelta = TimeDelta::days(7);

/// Reads a settings file. If it does not exist, returns the defaults, unless the user named it.
pub fn load(path: &Path, named: bool) -> Result<Loaded> {
    let shown = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
            let settings = Some(Settings::default());
            return Ok(Loaded { document: None, settings, findings: vec![], path: shown, text: String::new() });
        }
        Err(error) => return Err(error).with_context(|| format!("could not read settings file `{shown}`")),
    };
    let document = match Document::parse(&shown, &text) {
        Ok(document) => document,
        Err(findings) => return Ok(Loaded { document: None, settings: None, findings, path: shown, text }),
    };
    let (settings, mut findings) = match document.read::<SettingsSpec>() {
        Ok(spec) => build(&document, &spec),
        Err(findings) => (None, findings),
    };
    findings.sort_by_key(|finding| finding.span.start);
    Ok(Loaded { document: Some(document), settings, findings, path: shown, text })
}

fn build(document: &Document, spec: &SettingsSpec) -> (Option<Settings>, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let web = spec.web.as_ref().and_then(|web| web::build(document, web, &mut findings));
    let links = web.as_ref().and_then(|web| web.links.as_ref());
    let mut receivers = BTreeMap::new();
    for (name, receiver) in &spec.receivers {
        if name == WATCHDOG {
            let message = "the name `watchdog` is reserved for heartbeats".to_owned();
            findings.push(document.error("receivers.watchdog", "reserved-name", message).hint("use another name"));
        }
        match receivers::build(document, name, receiver, links) {
            Ok(settings) => drop(receivers.insert(name.clone(), settings)),
            Err(mistakes) => findings.extend(mistakes),
        }
    }
    let mut routing = routes::build(document, spec, &mut findings);
    routing.resend = receivers.iter().filter_map(|(name, one)| Some((name.clone(), one.resend?))).collect();
    routing.only_firing =
        receivers.iter().filter(|(_, one)| !one.send_resolved).map(|(name, _)| name.clone()).collect();
    let defaults = Settings::default();
    let max_connections = match spec.database.max_connections {
        None => defaults.max_connections,
        Some(n @ 2..=100) => u32::try_from(n).unwrap_or(defaults.max_connections),
        Some(n) => {
            let message = format!("`max_connections` is {n}");
            findings
                .push(document.error("database.max_connections", "bad-max-connections", message).hint("use 2 to 100"));
            defaults.max_connections
        }
    };
    let functions = functions(document, spec, &mut findings);
    let mut period = |path: &str, text: Option<&str>, default: TimeDelta| match text.map(duration::parse) {
        None => default,
        Some(Ok(period)) => period,
        Some(Err(message)) => {
            findings.push(document.error(path, "bad-duration", message).hint(duration::HINT));
            default
        }
    };
    let lease = period("scheduler.lease", spec.scheduler.lease.as_deref(), defaults.lease);
    let poll = period("scheduler.poll", spec.scheduler.poll.as_deref(), defaults.poll);
    let keep_windows = period("retention.windows", spec.retention.windows.as_deref(), defaults.keep_windows);
    let keep_rolling = period("retention.rolling", spec.retention.rolling.as_deref(), defaults.keep_rolling);
    let watchdog = spec.watchdog.as_ref().map(|spec| {
        let every = period("watchdog.every", spec.every.as_deref(), TimeDelta::minutes(1));
        let patience = period("watchdog.patience", spec.patience.as_deref(), TimeDelta::minutes(5));
        (receivers::watchdog(document, spec), every, patience)
    });
    let watchdog = match watchdog {
        Some((Ok(http), every, patience)) => Some(Watchdog { http, every, patience }),
        Some((Err(mistakes), ..)) => {
            findings.extend(mistakes);
            None
        }
        None => None,
    };
    if keep_rolling < LEAST_ROLLING {
        let message = format!("rolling windows would be kept for {}", duration::format(keep_rolling));
        let hint = format!("use at least {}", duration::format(LEAST_ROLLING));
        findings.push(document.error("retention.rolling", "short-retention", message).hint(hint));
    }
    let trusted_owners = spec.database.trusted_owners.clone().unwrap_or_default();
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    let settings = Settings {
        receivers,
        routing,
        watchdog,
        web,
        max_connections,
        functions,
        trusted_owners,
        lease,
        poll,
        keep_windows,
        keep_rolling,
    };
    ((!failed).then_some(settings), findings)
}

fn functions(document: &Document, spec: &SettingsSpec, findings: &mut Vec<Diagnostic>) -> Grants {
    let mut granted = Vec::new();
    for (index, text) in spec.database.allow_functions.iter().flatten().enumerate() {
        match Granted::parse(text) {
            Ok(function) => granted.push(function),
            Err(message) => {
                let path = format!("database.allow_functions[{index}]");
                let hint = "write `schema.function`, without parentheses; functions of `pg_catalog` need no permission";
                findings.push(document.error(&path, "bad-function", message).hint(hint));
            }
        }
    }
    Grants(granted)
}

/// Returns the value of an environment variable that is set and not empty.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
