//! Failures as problem details (RFC 9457), for programs.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::PageError;

const KIND: HeaderValue = HeaderValue::from_static("application/problem+json");

/// A failure of the API.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// The kind of failure.
    pub title: String,
    /// The reason, and how to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("failure").to_owned();
        let detail = Some(detail.into()).filter(|detail| !detail.is_empty());
        Self { status: status.as_u16(), title, detail }
    }

    fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<PageError> for Problem {
    fn from(failure: PageError) -> Self {
        Self::new(failure.status(), failure.words())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code();
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, KIND);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match status {
            StatusCode::UNAUTHORIZED => headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5")),
            _ => None,
        };
        response
    }
}

/// Rewrites refusals of the router itself, such as 405, whose bodies are not problems.
pub async fn rewrite(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE) == Some(&KIND);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let words = axum::body::to_bytes(body, 4_096).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    let mut problem = Problem::new(status, words).into_response();
    if let Some(allow) = parts.headers.get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}
