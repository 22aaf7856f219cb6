//! Requests to act: who asks, and a body in JSON.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::identity::Program;
use super::parameter::{self, BY, Parameter};
use crate::text::line::clipped;
use crate::web::Shared;
use crate::web::acting::{self, Acting};
use crate::web::error::PageError;
use crate::web::params::Params;
use crate::web::problem::Problem;
use crate::web::session::{self, Visitor};

/// Parameters of all acts.
pub(super) const ACT: &[Parameter] = &[BY];

/// A request of a user who may act.
pub(super) struct Posted<T> {
    visitor: Visitor,
    pub(super) request: T,
}

impl<T> Posted<T> {
    /// Everything that acting needs.
    pub(super) fn acting<'a>(&'a self, shared: &'a Shared) -> Result<Acting<'a>, PageError> {
        acting::allowed(shared, &self.visitor)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        let params = Params::parse(request.uri().query().unwrap_or_default())?;
        parameter::check(&params, ACT)?;
        let visitor = author(&request, params.get("by"))?;
        // Before the body, so that a process that only reads says so of every request.
        acting::allowed(shared, &visitor)?;
        let is_json =
            request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
                kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
            });
        let body = Bytes::from_request(request, shared)
            .await
            .map_err(|refused| Problem::new(refused.status(), "the body could not be read, or it is too large"))?;
        if !is_json && !body.is_empty() {
            let words = "send the body as `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
        }
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let request = serde_json::from_slice(body).map_err(|wrong| {
            PageError::BadRequest(format!("the body cannot be read: {}", clipped(&wrong.to_string(), 200)))
        })?;
        Ok(Self { visitor, request })
    }
}

/// The user of a request. Programs with the token name one; all others are who they signed in as.
fn author(request: &Request, by: Option<&str>) -> Result<Visitor, Problem> {
    let unknown = || Problem::new(StatusCode::UNAUTHORIZED, "the request names no user");
    let user = request.extensions().get::<Visitor>().cloned().ok_or_else(unknown)?;
    let Some(by) = by else { return Ok(user) };
    if request.extensions().get::<Program>().is_none() {
        let words = "`by` is for programs with the token; you act under the name that you signed in with";
        return Err(PageError::BadRequest(words.to_owned()).into());
    }
    let name = session::name_of(by).ok_or_else(|| PageError::BadRequest("`by` is not a name".to_owned()))?;
    Ok(Visitor { name, ..user })
}
