//! Conditional requests: an unchanged page is a 304 after one statement.
//!
//! The tag is of everything that can change an answer: program, address, user, lateness, publications, alerts, acts, notes,
//! annotations, silences and notifications.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::Shared;
use super::error::PageError;
use super::reading;
use super::session::Visitor;
use crate::store::read::change::{self, Traces};

/// The parts of a request on which the tag of its answer depends.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query.
    address: String,
    /// Name of the user, and whether the user may act.
    audience: String,
    /// Tags that the client has.
    known: Vec<String>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let visitor = parts.extensions.get::<Visitor>();
        // Nested routers see a part of the path only.
        let address = parts.extensions.get::<axum::extract::OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        Ok(Self {
            address: address.path_and_query().map_or_else(String::new, ToString::to_string),
            audience: visitor.map_or_else(String::new, |visitor| format!("{} {}", visitor.may_act, visitor.name)),
            known: known(&parts.headers),
        })
    }
}

/// Tags in `If-None-Match`. Both weak and strong ones match: answers may be compressed on the way.
fn known(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(|tag| tag.trim().trim_start_matches("W/").to_owned()).collect()
}

/// Answers a request about a job, or about all jobs, from one snapshot: 304 if the client has the answer, else that of `work`
/// with its tag.
pub async fn answer(
    shared: &Shared,
    asked: &Asked,
    job: Option<&str>,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<Response, PageError>,
) -> Result<Response, PageError> {
    reading::snapshot(shared, async |connection| {
        let tag = tag(asked, &change::traces(connection, job).await?);
        let is_known = asked.known.iter().any(|known| *known == tag || known == "*");
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => work(connection).await?,
        };
        if let Ok(value) = HeaderValue::try_from(format!("W/{tag}")) {
            response.headers_mut().insert(header::ETAG, value);
        }
        Ok(response)
    })
    .await
}

/// Hash of the traces and the request, in quotes. An address with a relative time changes its answer every minute.
fn tag(asked: &Asked, traces: &Traces) -> String {
    let minute = asked.address.contains("now").then(|| traces.now.timestamp() / 60);
    let minute = (traces.minute, minute);
    let Traces { jobs, alert, action, note, annotation, silence, silence_end, silences_in_force, .. } = traces;
    let version = env!("CARGO_PKG_VERSION");
    let text = format!(
        "{version}\n{}\n{}\n{jobs}\n{minute:?}\n{alert:?}\n{action:?}\n{note:?}\n{annotation:?}\n{silence:?}\n{silence_end:?}\n\
         {silences_in_force}\n{:?}\n{:?}",
        asked.address, asked.audience, traces.notification, traces.settled
    );
    let mut tag = String::from("\"");
    for byte in Sha256::digest(text.as_bytes()).iter().take(12) {
        let _infallible = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn traces() -> Traces {
        Traces {
            jobs: "ro-load ok".to_owned(),
            minute: None,
            alert: None,
            action: None,
            note: None,
            annotation: None,
            silence: None,
            silence_end: None,
            silences_in_force: 0,
            notification: None,
            settled: None,
            now: DateTime::UNIX_EPOCH,
        }
    }

    fn asked(address: &str, audience: &str) -> Asked {
        Asked { address: address.to_owned(), audience: audience.to_owned(), known: Vec::new() }
    }

    #[test]
    fn a_tag_is_of_address_audience_and_traces() {
        let same = tag(&asked("/", "true kim"), &traces());
        assert_eq!(same, tag(&asked("/", "true kim"), &Traces { now: traces().now + TimeDelta::hours(1), ..traces() }));
        let others = [
            tag(&asked("/?q=a", "true kim"), &traces()),
            tag(&asked("/", "false kim"), &traces()),
            tag(&asked("/", "true kim"), &Traces { jobs: "ro-load late".to_owned(), ..traces() }),
            tag(&asked("/", "true kim"), &Traces { silences_in_force: 1, ..traces() }),
            tag(&asked("/", "true kim"), &Traces { minute: Some(traces().now), ..traces() }),
        ];
        for other in &others {
            assert_ne!(*other, same);
        }
    }

    #[test]
    fn relative_times_change_every_minute() {
        let later = Traces { now: traces().now + TimeDelta::minutes(1), ..traces() };
        let relative = asked("/jobs/a?from=now-7d", "");
        assert_ne!(tag(&relative, &traces()), tag(&relative, &later));
    }

    #[test]
    fn weak_and_strong_tags_are_read_from_lists() {
        let headers = [(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"a\", \"b\""))].into_iter().collect();
        assert_eq!(known(&headers), ["\"a\"", "\"b\""]);
    }
}
