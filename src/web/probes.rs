//! Pages of a runner for machines: liveness, readiness and metrics. They change nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::SecretString;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::access;
use crate::postgres::held;
use crate::store::clock;
use crate::store::read::gauges;
use crate::telemetry;

/// A database check is valid for this long, so that any number of probes causes only one in that time.
const HOLDS: Duration = Duration::from_secs(1);

/// The process that the probes are about.
pub struct Runner {
    pub pool: PgPool,
    /// Returns the names of the jobs that it serves now.
    pub jobs: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Without a successful pass over the ledger for longer than this, the scheduler is unhealthy.
    pub unwell_after: Duration,
}

/// Resources of the probes.
pub(super) struct Probes {
    pub(super) runner: Runner,
    /// Required by `/metrics`, if set. The other pages need none, because probes carry no secrets.
    pub(super) token: Option<SecretString>,
    /// True if other machines can reach the pages.
    pub(super) is_open: bool,
    /// Time of the last database check, and its result.
    pub(super) asked: Mutex<Option<(Instant, bool)>>,
}

/// Returns the routes of the probes.
pub(super) fn router(probes: Arc<Probes>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .with_state(probes)
}

/// Without the token, a request from elsewhere learns the status of a probe and nothing else.
fn shown(probes: &Probes, request: &Request, status: StatusCode, words: &'static str) -> Response {
    let is_trusted = probes.token.as_ref().is_none_or(|token| access::has_token(request.headers(), token));
    if !probes.is_open || is_trusted {
        return (status, words).into_response();
    }
    (status, if status.is_success() { "ok\n" } else { "no\n" }).into_response()
}

/// 200 while passes over the ledger succeed. A process that has just started is given the same time.
async fn healthz(State(probes): State<Arc<Probes>>, request: Request) -> Response {
    if telemetry::silent_for() > probes.runner.unwell_after {
        let words = "the scheduler cannot query the ledger\n";
        return shown(&probes, &request, StatusCode::SERVICE_UNAVAILABLE, words);
    }
    shown(&probes, &request, StatusCode::OK, "ok\n")
}

/// 200 while the database answers and the scheduler has completed a pass.
async fn readyz(State(probes): State<Arc<Probes>>, request: Request) -> Response {
    let (status, words) = match database_answers(&probes).await {
        true if telemetry::has_looked() => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    };
    shown(&probes, &request, status, words)
}

/// True if the database answers, as of at most a second ago. Concurrent callers wait for the same answer.
async fn database_answers(probes: &Probes) -> bool {
    let mut asked = probes.asked.lock().await;
    if let Some((_, answers)) = asked.filter(|(at, _)| at.elapsed() < HOLDS) {
        return answers;
    }
    let limit = Duration::from_secs(5);
    let ask = held::within(&probes.runner.pool, limit, async |connection| clock::now(connection).await);
    let answers = ask.await.is_ok();
    *asked = Some((Instant::now(), answers));
    answers
}

/// Metrics in the text format of Prometheus.
async fn numbers(State(probes): State<Arc<Probes>>, request: Request) -> Response {
    if probes.token.as_ref().is_some_and(|token| !access::has_token(request.headers(), token)) {
        let asks = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, asks, "a token is required\n").into_response();
    }
    let names = (probes.runner.jobs)();
    let limit = Duration::from_secs(10);
    let read = held::within(&probes.runner.pool, limit, async |connection| gauges::read(connection, &names).await);
    let text = match read.await {
        Ok(ledger) => telemetry::render(&ledger),
        // A failed scrape is noticed; partial metrics would look as if all were well.
        Err(_) => return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    };
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "metrics are not collected\n").into_response(),
    }
}
