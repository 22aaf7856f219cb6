//! Acts of users, as forms of the pages and requests of the API send them: one set of checks, one record of who did it.

pub mod alerts;
pub mod annotations;
pub mod notes;
pub mod silences;

use chrono::TimeDelta;
use tracing::info;

use super::error::PageError;
use super::session::Visitor;
use super::{Acts, Shared};
use crate::domain::duration;

/// Longest text of an act, in characters.
const LONGEST: usize = 2_000;

/// A user who may act, with everything that acting needs.
#[derive(Clone, Copy)]
pub struct Acting<'a> {
    pub shared: &'a Shared,
    pub acts: &'a Acts,
    pub visitor: &'a Visitor,
}

/// Returns what acting needs, if this process offers it and the user may act.
pub fn allowed<'a>(shared: &'a Shared, visitor: &'a Visitor) -> Result<Acting<'a>, PageError> {
    let Some(acts) = &shared.acts else {
        let words = "These pages are read-only. Use the pages of `trueup serve`, or the command line.";
        return Err(PageError::Forbidden(words.to_owned()));
    };
    if visitor.may_act {
        return Ok(Acting { shared, acts, visitor });
    }
    Err(PageError::Forbidden("Your groups may read, but not act; see `act` in [web] proxy.".to_owned()))
}

impl Acting<'_> {
    /// Logs an act: who, what, on which number. Names of cohorts and texts stay out of the log.
    fn log(&self, act: &str, (incident, alert): (Option<i64>, Option<i64>)) {
        info!(user = self.visitor.name, act, incident.id = incident, alert.id = alert, "a user acted");
    }
}

/// Reads the number of an incident, alert or silence from an address.
pub fn number(text: &str, noun: &str) -> Result<i64, PageError> {
    text.parse().map_err(|_| {
        let text = crate::text::line::clipped(text, 60);
        PageError::NotFound(format!(
            "There is no {noun} `{text}`: numbers only. The list of incidents has all of them."
        ))
    })
}

pub fn unknown(id: i64) -> PageError {
    PageError::NotFound(format!("There is no incident {id}. The list of incidents has all of them."))
}

/// Returns a text without surrounding space; empty if it is not given.
fn text(given: Option<&str>, name: &str) -> Result<String, PageError> {
    let text = given.unwrap_or_default().trim().to_owned();
    if text.chars().count() > LONGEST {
        return Err(PageError::BadRequest(format!("`{name}` is longer than {LONGEST} characters")));
    }
    // The database has no such character.
    if text.contains('\0') {
        return Err(PageError::BadRequest(format!("`{name}` has a NUL character")));
    }
    Ok(text)
}

/// Returns a text that must be given, with the reason why.
fn needed(given: Option<&str>, name: &str, why: &str) -> Result<String, PageError> {
    let text = text(given, name)?;
    if text.is_empty() { Err(PageError::BadRequest(format!("`{name}` is needed: {why}"))) } else { Ok(text) }
}

/// Returns one of a few words that must be given.
fn word(given: Option<&str>, name: &str, words: &[&'static str]) -> Result<&'static str, PageError> {
    let all = words.join(", ");
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Err(PageError::BadRequest(format!("choose `{name}`: {all}")));
    };
    words.iter().find(|word| **word == given).copied().ok_or_else(|| {
        let given = crate::text::line::clipped(given, 60);
        PageError::BadRequest(format!("`{name}` is `{given}`; it must be one of {all}"))
    })
}

/// Returns a duration from a second to a year.
fn lasting(given: Option<&str>, name: &str) -> Result<Option<TimeDelta>, PageError> {
    let Some(text) = given else { return Ok(None) };
    let lasts = duration::parse(text).map_err(|why| PageError::BadRequest(format!("`{name}`: {why}")))?;
    if lasts <= TimeDelta::zero() || lasts > TimeDelta::days(366) {
        return Err(PageError::BadRequest(format!("`{name}` is at most a year, and more than nothing")));
    }
    Ok(Some(lasts))
}
