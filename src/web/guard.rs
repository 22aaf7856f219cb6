//! Protects all pages: host names, origins of forms, sizes, numbers of requests, and headers that restrict browsers.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;

use super::access;
use super::problem::Problem;
use crate::text::links::Links;

/// Largest form, in bytes.
const MOST_BYTES: usize = 65_536;
/// Requests that are answered at once.
const AT_ONCE: usize = 16;

/// Protection of the pages.
pub struct Guard {
    rules: Arc<Rules>,
    csrf: CsrfLayer,
}

struct Rules {
    hosts: Vec<String>,
    policy: HeaderValue,
}

impl Guard {
    pub fn new(hosts: Vec<String>, links: Option<&Links>, embed: &[String]) -> Result<Self> {
        let mut csrf = CsrfLayer::new();
        if let Some(origin) = links.map(Links::origin) {
            csrf = csrf.add_trusted_origin(&origin).with_context(|| format!("`{origin}` is not an origin"))?;
        }
        let ancestors = if embed.is_empty() { "'none'".to_owned() } else { embed.join(" ") };
        let policy = format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors {ancestors}"
        );
        let policy = policy.parse().context("an origin in `embed` cannot be a header")?;
        let rules = Rules { hosts, policy };
        Ok(Self { rules: Arc::new(rules), csrf })
    }

    /// Wraps routes. The outermost layer comes last.
    pub fn protect(self, router: Router) -> Router {
        router
            .layer(DefaultBodyLimit::max(MOST_BYTES))
            .layer(self.csrf)
            .layer(CatchPanicLayer::new())
            .layer(CompressionLayer::new())
            .layer(middleware::from_fn_with_state(self.rules, admit))
    }
}

/// Limits the requests that pages answer at once, so that they never wait long for one of few connections. Probes and assets
/// are not limited.
pub fn limited(router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(Semaphore::new(AT_ONCE)), limit))
}

async fn limit(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = permits.try_acquire() else {
        let wait = [(header::RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, wait, "too many requests at once\n").into_response();
    };
    next.run(request).await
}

/// Refuses requests for unknown host names: a page in a user's browser must not reach this one under a name of its own. Refuses
/// bodies of requests that only read.
async fn admit(State(rules): State<Arc<Rules>>, request: Request, next: Next) -> Response {
    let is_program = request.uri().path().starts_with("/api/");
    let refuse = |status, words: &'static str| match is_program {
        true => Problem::new(status, words).into_response(),
        false => (status, format!("{words}\n")).into_response(),
    };
    if !access::is_known(&request, &rules.hosts) {
        return refuse(StatusCode::MISDIRECTED_REQUEST, "this host is not listed in [web] hosts");
    }
    if request.method() != Method::POST && has_body(request.headers()) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "request bodies are not accepted");
    }
    // No text in Postgres has this character, so no name can, and the server would refuse the statement.
    if request.uri().path_and_query().is_some_and(|address| address.as_str().contains("%00")) {
        return refuse(StatusCode::BAD_REQUEST, "the address contains the character NUL");
    }
    let mut answer = next.run(request).await;
    restrict(answer.headers_mut(), &rules.policy);
    answer
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).map(|length| length.as_bytes() != b"0");
    length.unwrap_or_default() || headers.contains_key(header::TRANSFER_ENCODING)
}

/// `same-origin`, not `no-referrer`: that would send `Origin: null` with forms, and on plain http they would all be refused.
fn restrict(headers: &mut HeaderMap, policy: &HeaderValue) {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let is_drawing = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"image/svg+xml");
    let policy = match is_drawing {
        // A drawing of its own brings its colors along.
        true => HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
        false => policy.clone(),
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("Cookie, Accept-Encoding"));
    }
}
