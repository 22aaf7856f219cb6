//! What `serve` shows to machines: whether it lives, whether it can work, and its numbers. It changes nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::postgres::held;
use crate::scheduler::{Catalog, metrics};
use crate::store::{gauges, run};

/// What the pages need.
pub struct Site {
    pub pool: PgPool,
    pub jobs: Arc<Catalog>,
    /// Asked for by `/metrics`, if there is one.
    pub token: Option<SecretString>,
    /// Host names that requests may ask for; loopback names always may.
    pub hosts: Vec<String>,
    /// Without a successful look at the ledger for longer than this the scheduler is unwell.
    pub unwell_after: Duration,
}

/// Listens on an address, and serves until `stop`.
pub async fn listen(address: SocketAddr, site: Site, mut stop: watch::Receiver<bool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("could not listen on {address}"))?;
    let bound = listener.local_addr()?;
    let site = Arc::new(site);
    let pages = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(numbers))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), known_host))
        .with_state(site);
    info!(web.address = %bound, "listening");
    tokio::spawn(async move {
        let stopped = async move {
            // An error means that whoever could stop it is gone.
            drop(stop.wait_for(|stop| *stop).await);
        };
        if let Err(error) = axum::serve(listener, pages).with_graceful_shutdown(stopped).await {
            warn!("the pages are not served any more: {error}");
        }
    });
    Ok(bound)
}

/// Refuses requests for other names: a page in somebody's browser must not reach this one by a name of its own.
async fn known_host(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match asked.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => asked.split(':').next().unwrap_or_default(),
    };
    let loopback = ["localhost", "127.0.0.1", "::1"].contains(&name);
    if loopback || site.hosts.iter().any(|host| host == name || host == "*") {
        return next.run(request).await;
    }
    (StatusCode::MISDIRECTED_REQUEST, "this host is not listed in [web] hosts\n").into_response()
}

/// 200 while looks at the ledger succeed. A process that only begins counts as well for as long.
async fn healthz(State(site): State<Arc<Site>>) -> Response {
    if metrics::silent_for() > site.unwell_after {
        return (StatusCode::SERVICE_UNAVAILABLE, "the scheduler cannot look at the ledger\n").into_response();
    }
    "ok\n".into_response()
}

/// 200 while the database answers.
async fn readyz(State(site): State<Arc<Site>>) -> Response {
    let asked = held::within(&site.pool, Duration::from_secs(5), async |connection| run::now(connection).await);
    match asked.await {
        Ok(_) if metrics::has_looked() => "ready\n".into_response(),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

/// The numbers, in the text format of Prometheus.
async fn numbers(State(site): State<Arc<Site>>, request: Request) -> Response {
    if let Some(token) = &site.token {
        let given =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !same(given.as_bytes(), format!("Bearer {}", token.expose_secret()).as_bytes()) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "a token is needed\n")
                .into_response();
        }
    }
    let names: Vec<String> = site.jobs.current().keys().cloned().collect();
    let read =
        held::within(&site.pool, Duration::from_secs(10), async |connection| gauges::read(connection, &names).await);
    let text = match read.await {
        Ok(ledger) => metrics::render(&ledger),
        // A scrape that fails is seen by whoever scrapes; half of the numbers would look like calm.
        Err(_) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response();
        }
    };
    match text {
        Some(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing is counted\n").into_response(),
    }
}

/// Compares in a time that says nothing about where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
