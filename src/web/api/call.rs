//! Requests of the API, and their answers.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde::Serialize;
use sqlx::PgConnection;

use super::csv;
use super::parameter::{self, Parameter};
use crate::web::Shared;
use crate::web::error::PageError;
use crate::web::etag::{self, Asked};
use crate::web::params::Params;
use crate::web::problem::Problem;

/// The answer of the API.
pub(super) type Answer = Result<Response, Problem>;

/// A request.
pub(super) struct Call {
    pub(super) params: Params,
    asked: Asked,
}

impl<S: Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let params = Params::parse(parts.uri.query().unwrap_or_default())?;
        let Ok(asked) = Asked::from_request_parts(parts, state).await;
        Ok(Self { params, asked })
    }
}

impl Call {
    /// Answers from one snapshot, with a tag; 304 if nothing changed since the client asked.
    pub(super) async fn answer(
        &self,
        shared: &Shared,
        known: &[Parameter],
        job: Option<&str>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<Response, PageError>,
    ) -> Answer {
        parameter::check(&self.params, known)?;
        let mut response = etag::answer(shared, &self.asked, job, work).await?;
        let headers = response.headers_mut();
        let cache = if self.is_of_the_past() { "private, max-age=3600" } else { "private, no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("Authorization, Cookie, Accept-Encoding"));
        Ok(response)
    }

    /// True if the answer never changes: it shows what was known at a past time, and no time is relative.
    fn is_of_the_past(&self) -> bool {
        let is_absolute = |name| self.params.get(name).is_none_or(|time| !time.starts_with("now"));
        let as_of = self.params.time("as_of", Utc::now()).ok().flatten();
        as_of.is_some_and(|at| at < Utc::now()) && ["from", "to", "as_of"].into_iter().all(is_absolute)
    }

    /// Most entries of a list.
    pub(super) fn most(&self) -> Result<usize, PageError> {
        let most = self.params.number("limit", 1..=1_000)?.unwrap_or(100);
        Ok(usize::try_from(most).unwrap_or(100))
    }

    /// Answers with a page of a list of which one entry more than shown was read. `number` is what `before` takes. With columns
    /// the answer is CSV.
    pub(super) fn page<T: Serialize>(
        &self,
        mut entries: Vec<T>,
        number: impl Fn(&T) -> i64,
        columns: Option<&[&str]>,
    ) -> Result<Response, PageError> {
        let most = self.most()?;
        let has_more = entries.len() > most;
        entries.truncate(most);
        let mut response = match columns {
            Some(columns) => file("text/csv; charset=utf-8", csv::entries(columns, &entries)?),
            None => json(&entries)?,
        };
        if let Some(last) = entries.last().filter(|_| has_more) {
            let query = self.params.with(&[("before", Some(&number(last).to_string()))]);
            if let Ok(link) = HeaderValue::try_from(format!("<{query}>; rel=\"next\"")) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        Ok(response)
    }
}

/// Answers with JSON.
pub(super) fn json(content: &impl Serialize) -> Result<Response, PageError> {
    let body = serde_json::to_vec(content)
        .map_err(|failure| PageError::Unavailable(format!("The answer could not be written: {failure}.")))?;
    Ok(file("application/json", body))
}

/// Answers with a content of another kind.
pub(super) fn file(kind: &'static str, body: impl Into<axum::body::Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// A number as JSON can have it: NaN and infinity are none.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}
