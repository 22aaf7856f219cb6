//! Failures of pages, as a page of their own.

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use tracing::error;

use super::assets;

/// The reason why a page is not shown.
#[derive(Debug)]
pub enum PageError {
    /// The request is wrong; the words say what to change.
    BadRequest(String),
    /// There is no such thing; the words say what and where to look.
    NotFound(String),
    /// The user may not do this.
    Forbidden(String),
    /// The subject has changed since it was shown.
    Conflict(String),
    /// The database does not answer.
    Unavailable(String),
}

impl From<sqlx::Error> for PageError {
    fn from(failure: sqlx::Error) -> Self {
        error!(error = %failure, "a page could not be read");
        Self::Unavailable("The database does not answer, or a query took too long.".to_owned())
    }
}

impl PageError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub fn words(&self) -> &str {
        match self {
            Self::BadRequest(words)
            | Self::NotFound(words)
            | Self::Forbidden(words)
            | Self::Conflict(words)
            | Self::Unavailable(words) => words,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "This address does not work",
            Self::NotFound(_) => "Not found",
            Self::Forbidden(_) => "Not allowed",
            Self::Conflict(_) => "Something changed meanwhile",
            Self::Unavailable(_) => "Not available now",
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    title: &'static str,
    words: &'a str,
    css: &'static str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let page = ErrorPage { title: self.title(), words: self.words(), css: assets::css_path() };
        let body = page.render().unwrap_or_else(|_| self.words().to_owned());
        let mut response = (self.status(), Html(body)).into_response();
        if matches!(self, Self::Unavailable(_)) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        response
    }
}
