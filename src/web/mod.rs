//! HTTP pages of `serve` for machines: liveness, readiness and metrics. They change nothing.

mod access;
mod connections;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tracing::info;

use crate::postgres::held;
use crate::scheduler::ServedJobs;
use crate::store::clock;
use crate::store::read::gauges;
use crate::telemetry;

/// Resources and settings of the pages.
pub struct Site {
    pub pool: PgPool,
    pub jobs: Arc<ServedJobs>,
    /// Required by `/metrics`, if set. The other pages need none, because probes carry no secrets.
    pub token: Option<SecretString>,
    /// Host names that requests may be for, in addition to loopback names.
    pub hosts: Vec<String>,
    /// Without a successful pass over the ledger for longer than this, the scheduler is unhealthy.
    pub unwell_after: Duration,
}

/// State shared by all requests.
struct Shared {
    site: Site,
    /// True if other machines can reach the pages.
    is_open: bool,
    /// Time of the last database check, and its result.
    asked: Mutex<Option<(Instant, bool)>>,
}

/// A database check is valid for this long, so that any number of probes causes only one in that time.
const HOLDS: Duration = Duration::from_secs(1);

/// Listens on an address, and serves until `stop`.
pub async fn listen(address: SocketAddr, site: Site, stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))?;
    let bound = listener.local_addr()?;
    let shared = Arc::new(Shared { site, is_open: !bound.ip().is_loopback(), asked: Mutex::default() });
    let pages = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), admit))
        .with_state(shared);
    info!(web.address = %bound, "listening");
    tokio::spawn(connections::serve(listener, pages, stop));
    Ok(bound)
}

/// Refuses requests for unknown host names: a page in a user's browser must not reach this one under a name of its own. Refuses
/// bodies, which nothing here reads. Without the token, a request from elsewhere learns the status of a page and nothing else.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if !access::is_known(&request, &shared.site.hosts) {
        return (StatusCode::MISDIRECTED_REQUEST, "this host is not listed in [web] hosts\n").into_response();
    }
    let length = request.headers().get(header::CONTENT_LENGTH).map(|length| length.as_bytes() != b"0");
    if length.unwrap_or_default() || request.headers().contains_key(header::TRANSFER_ENCODING) {
        return (StatusCode::PAYLOAD_TOO_LARGE, "request bodies are not accepted\n").into_response();
    }
    let is_trusted = shared.site.token.as_ref().is_none_or(|token| access::has_token(request.headers(), token));
    let is_probe = request.uri().path() != "/metrics";
    let answer = next.run(request).await;
    if !shared.is_open || is_trusted || !is_probe {
        return answer;
    }
    let bare = if answer.status().is_success() { "ok\n" } else { "no\n" };
    (answer.status(), bare).into_response()
}

/// 200 while passes over the ledger succeed. A process that has just started is given the same time.
async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    if telemetry::silent_for() > shared.site.unwell_after {
        return (StatusCode::SERVICE_UNAVAILABLE, "the scheduler cannot query the ledger\n").into_response();
    }
    "ok\n".into_response()
}

/// 200 while the database answers and the scheduler has completed a pass.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match database_answers(&shared).await {
        true if telemetry::has_looked() => "ready\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

/// True if the database answers, as of at most a second ago. Concurrent callers wait for the same answer.
async fn database_answers(shared: &Shared) -> bool {
    let mut asked = shared.asked.lock().await;
    if let Some((_, answers)) = asked.filter(|(at, _)| at.elapsed() < HOLDS) {
        return answers;
    }
    let ask = held::within(&shared.site.pool, Duration::from_secs(5), async |connection| clock::now(connection).await);
    let answers = ask.await.is_ok();
    *asked = Some((Instant::now(), answers));
    answers
}

/// Metrics in the text format of Prometheus.
async fn numbers(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let site = &shared.site;
    if site.token.as_ref().is_some_and(|token| !access::has_token(request.headers(), token)) {
        let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, asks, "a token is required\n").into_response();
    }
    let names: Vec<String> = site.jobs.current().keys().cloned().collect();
    let read =
        held::within(&site.pool, Duration::from_secs(10), async |connection| gauges::read(connection, &names).await);
    let text = match read.await {
        Ok(ledger) => telemetry::render(&ledger),
        // A failed scrape is noticed; partial metrics would look as if all were well.
        Err(_) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response();
        }
    };
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "metrics are not collected\n").into_response(),
    }
}
