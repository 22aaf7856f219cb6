//! Query strings: every filter of a page is in its address. Unknown parameters are refused, never ignored.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::error::PageError;
use crate::domain::duration;

/// Parameters that every page accepts.
const EVERYWHERE: &[&str] = &["tz", "theme", "did", "panel"];

/// Longest value of a parameter, in bytes.
const LONGEST: usize = 16_384;

/// The parameters of a request, by name.
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Params {
    /// Parses a query string. A parameter that is given twice is refused: it is unclear which one counts.
    pub fn parse(query: &str) -> Result<Self, PageError> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)
            .map_err(|_| PageError::BadRequest("the query string of the address cannot be read".to_owned()))?;
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            if value.len() > LONGEST {
                return Err(PageError::BadRequest(format!("the value of `{}` is too long", clipped(&name))));
            }
            // The database has no such character.
            if value.contains('\0') {
                return Err(PageError::BadRequest(format!("the value of `{}` has a NUL character", clipped(&name))));
            }
            // An empty field of a form is not a filter.
            if value.is_empty() {
                continue;
            }
            if params.contains_key(&name) {
                return Err(PageError::BadRequest(format!("`{}` is given twice", clipped(&name))));
            }
            params.insert(name, value);
        }
        Ok(Self(params))
    }

    /// Refuses parameters that the page does not know.
    pub fn expect(&self, known: &[&str]) -> Result<(), PageError> {
        self.expect_only(&[known, EVERYWHERE].concat())
    }

    /// Refuses all other parameters, also those that every page accepts.
    pub fn expect_only(&self, known: &[&str]) -> Result<(), PageError> {
        let Some(unknown) = self.0.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
        let near = known.iter().map(|name| (strsim::damerau_levenshtein(name, unknown), *name)).min();
        let hint = match near {
            Some((distance, name)) if distance <= 2 => format!("did you mean `{name}`?"),
            Some(_) => format!("this page knows {}", known.join(", ")),
            None => "this page knows none".to_owned(),
        };
        Err(PageError::BadRequest(format!("unknown parameter `{}`: {hint}", clipped(unknown))))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns a parameter that must be one of a few words.
    pub fn one_of<'a>(&self, name: &str, words: &[&'a str]) -> Result<Option<&'a str>, PageError> {
        let Some(given) = self.get(name) else { return Ok(None) };
        let found = words.iter().find(|word| **word == given).copied();
        found.map(Some).ok_or_else(|| {
            PageError::BadRequest(format!("`{name}` is `{}`; it must be one of {}", clipped(given), words.join(", ")))
        })
    }

    /// Returns a number within limits.
    pub fn number(&self, name: &str, limits: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, PageError> {
        let Some(given) = self.get(name) else { return Ok(None) };
        let number = given.parse().ok().filter(|number| limits.contains(number));
        number.map(Some).ok_or_else(|| {
            let (least, most) = (limits.start(), limits.end());
            PageError::BadRequest(format!("`{name}` is `{}`; write a number from {least} to {most}", clipped(given)))
        })
    }

    /// Returns the time zone of the page.
    pub fn zone(&self, default: Tz) -> Result<Tz, PageError> {
        let Some(name) = self.get("tz") else { return Ok(default) };
        name.parse().map_err(|_| {
            PageError::BadRequest(format!("`{}` is not a time zone; write one such as `Europe/Berlin`", clipped(name)))
        })
    }

    /// Returns a time: `now-7d`, a date, RFC 3339, or milliseconds since 1970 as Grafana writes them.
    pub fn time(&self, name: &str, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, PageError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        time(text, now).map(Some).ok_or_else(|| {
            let hint = "write `now-7d`, `2026-10-31`, `2026-10-31T12:00:00Z` or milliseconds since 1970";
            PageError::BadRequest(format!("`{name}` is `{}`, which is not a time; {hint}", clipped(text)))
        })
    }

    /// Returns the parameters as a query string with some replaced; `None` removes one.
    pub fn with(&self, changes: &[(&str, Option<&str>)]) -> String {
        let mut params = self.0.clone();
        params.remove("did");
        for (name, value) in changes {
            match value {
                Some(value) => drop(params.insert((*name).to_owned(), (*value).to_owned())),
                None => drop(params.remove(*name)),
            }
        }
        let pairs: Vec<(&str, Option<&str>)> =
            params.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()))).collect();
        crate::text::links::with_query("", &pairs)
    }
}

fn time(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if text == "now" {
        return Some(now);
    }
    if let Some(ago) = text.strip_prefix("now-") {
        let ago = duration::parse(ago).ok().filter(|ago| *ago <= TimeDelta::days(36_500))?;
        return now.checked_sub_signed(ago);
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(NaiveTime::MIN).and_utc()).filter(in_reach);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc()).filter(in_reach);
    }
    // As people type it into a form, in UTC.
    let typed = text.trim_end_matches('Z').replace(' ', "T");
    if let Ok(at) = NaiveDateTime::parse_from_str(&typed, "%Y-%m-%dT%H:%M") {
        return Some(at.and_utc()).filter(in_reach);
    }
    text.parse().ok().and_then(DateTime::from_timestamp_millis).filter(in_reach)
}

/// True for times that the database can compare.
fn in_reach(at: &DateTime<Utc>) -> bool {
    let year = at.timestamp() / 31_556_952 + 1970;
    (1..10_000).contains(&year)
}

/// The beginning of a text from a request, for a message.
fn clipped(text: &str) -> String {
    crate::text::line::clipped(text, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str, known: &[&str]) -> String {
        let outcome = Params::parse(query).and_then(|params| params.expect(known));
        match outcome {
            Err(PageError::BadRequest(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_parameters_are_refused_with_a_hint() {
        assert_eq!(refusal("windw=1", &["window"]), "unknown parameter `windw`: did you mean `window`?");
        assert!(refusal("xyzzy=1", &["window"]).contains("this page knows window, tz"));
        assert_eq!(refusal("a=1&a=2", &["a"]), "`a` is given twice");
        assert!(Params::parse("window=&tz=UTC").unwrap().expect(&["window"]).is_ok());
    }

    #[test]
    fn times_are_relative_or_absolute() {
        let now = DateTime::parse_from_rfc3339("2026-11-28T12:00:00Z").unwrap().to_utc();
        let read = |text: &str| time(text, now).map(|at| at.to_rfc3339());
        assert_eq!(read("now-1d").as_deref(), Some("2026-11-27T12:00:00+00:00"));
        assert_eq!(read("2026-10-31").as_deref(), Some("2026-10-31T00:00:00+00:00"));
        assert_eq!(read("2026-10-31T02:00:00+02:00").as_deref(), Some("2026-10-31T00:00:00+00:00"));
        assert_eq!(read("2026-10-31 09:30").as_deref(), Some("2026-10-31T09:30:00+00:00"));
        assert_eq!(read("2026-10-31T09:30Z").as_deref(), Some("2026-10-31T09:30:00+00:00"));
        assert_eq!(read("0").as_deref(), Some("1970-01-01T00:00:00+00:00"));
        for wrong in ["", "yesterday", "now-", "now-999999999d", "99999999999999999", "2026-13-01", "-0001-01-01"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_string_keeps_the_other_filters() {
        let params = Params::parse("metric=rmse&cohort=region%3Da&did=ack").unwrap();
        assert_eq!(params.with(&[("metric", Some("mae"))]), "?cohort=region%3Da&metric=mae");
        assert_eq!(params.with(&[("metric", None), ("cohort", None)]), "");
    }
}
