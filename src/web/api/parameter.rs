//! Query parameters of the API: one list checks requests and documents them.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::web::error::PageError;
use crate::web::params::Params;

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
}

/// Values that a parameter takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Text,
    Time,
    OneOf(&'static [&'static str]),
    Number { least: i64, most: i64 },
}

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::Text }
}

const fn time(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::Time }
}

const fn one_of(name: &'static str, words: &'static [&'static str], about: &'static str) -> Parameter {
    Parameter { name, about, kind: Kind::OneOf(words) }
}

pub const WINDOW: Parameter =
    text("window", "Kind of window, such as `rolling-24h`. Default: the main one of the job.");
pub const METRIC: Parameter = text("metric", "Name of a metric. Default: the first one that pages show.");
pub const COHORT: Parameter = text("cohort", "Name of a cohort, such as `region=north`. Default: `all`.");
pub const VERSION: Parameter = text("version", "A model version. Default: all versions together.");
pub const FROM: Parameter = time("from", "Start of the range, exclusive for ends of windows.");
pub const TO: Parameter = time("to", "End of the range.");
pub const AS_OF: Parameter = time("as_of", "Show what was known at this time.");
pub const OWNER: Parameter = text("owner", "Only jobs of this owner.");
pub const JOB_STATE: Parameter =
    one_of("state", &["firing", "unsure", "late", "pending", "ok"], "Only jobs in this state.");
pub const JOB: Parameter = text("job", "Only this job.");
pub const SEVERITY: Parameter = one_of("severity", &["page", "ticket", "info"], "Only this severity.");
pub const INCIDENT_STATE: Parameter = one_of("state", &["open", "closed"], "Only incidents in this state.");
pub const RUN_STATE: Parameter =
    one_of("state", &["due", "running", "ok", "failed", "skipped"], "Only runs in this state.");
pub const TRIGGER: Parameter =
    one_of("trigger", &["schedule", "catch_up", "manual", "reconcile", "backfill"], "Only runs of this trigger.");
pub const RECEIVER: Parameter = text("receiver", "Only this receiver. Heartbeats are listed only with their receiver.");
pub const DELIVERY_STATE: Parameter =
    one_of("state", &["pending", "sent", "dead", "dropped"], "Only notifications in this state.");
pub const SILENCE_STATE: Parameter =
    one_of("state", &["in_force", "over"], "Only silences in force, or only those that ended.");
pub const RULE: Parameter = text("rule", "Decide by this rule.");
pub const SLO: Parameter = text("slo", "Decide by this objective.");
pub const AGAINST: Parameter = text("against", "Reserved: versions are not compared yet.");
pub const KEY: Parameter = text("k", "Signature, instead of signing in; `trueup links` prints signed addresses.");
pub const BY: Parameter = text("by", "Name for the record, with the token: `token` if it is not given.");
pub const LIMIT: Parameter =
    Parameter { name: "limit", about: "Most entries. Default: 100.", kind: Kind::Number { least: 1, most: 1_000 } };
pub const BEFORE: Parameter = Parameter {
    name: "before",
    about: "Continue after the entry with this number; the header `Link` has the address of the next page.",
    kind: Kind::Number { least: 1, most: i64::MAX },
};

/// Parameters that select a part of a job's history.
pub const SELECTION: &[Parameter] = &[WINDOW, METRIC, COHORT, VERSION, FROM, TO, AS_OF];

impl Parameter {
    /// Its schema, for the OpenAPI document.
    pub fn schema(&self) -> Json {
        match self.kind {
            Kind::Text => json!({"type": "string", "minLength": 1}),
            Kind::OneOf(words) => json!({"type": "string", "enum": words}),
            Kind::Number { least, most } => json!({"type": "integer", "minimum": least, "maximum": most}),
            Kind::Time => json!({
                "type": "string",
                "anyOf": [
                    {"format": "date-time"},
                    {"format": "date"},
                    {"pattern": "^now(-[1-9][0-9]{0,2}[smhdw])?$"},
                    {"pattern": "^[0-9]{1,13}$"}
                ],
                "examples": ["now-7d", "2026-10-31", "2026-10-31T12:00:00Z", "1793448000000"]
            }),
        }
    }
}

/// Refuses unknown parameters and values that a parameter cannot take.
pub fn check(params: &Params, known: &[Parameter]) -> Result<(), PageError> {
    let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    params.expect_only(&names)?;
    for parameter in known {
        match parameter.kind {
            Kind::Text => {}
            Kind::OneOf(words) => drop(params.one_of(parameter.name, words)?),
            Kind::Number { least, most } => drop(params.number(parameter.name, least..=most)?),
            Kind::Time => drop(params.time(parameter.name, DateTime::<Utc>::UNIX_EPOCH)?),
        }
    }
    Ok(())
}
