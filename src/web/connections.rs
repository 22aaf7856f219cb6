//! Incoming connections, each limited in time, size and number.
//!
//! Any client that reaches the port can open connections and send nothing. At the limit, the oldest connection that is
//! not being answered is closed, so that a scrape gets through and other parts do not lack descriptors.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::{debug, warn};

/// Maximum number of open connections.
const MOST: usize = 64;
/// Time limit for a whole request head, and for the next one on a connection that is kept alive.
const HEAD: Duration = Duration::from_secs(5);
/// Time limit for an answer: longer than the slowest page takes.
const ANSWER: Duration = Duration::from_secs(15);
/// Time after which a connection is asked to end, and how long it may take to do so.
const LIFE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(5);
/// Maximum bytes and number of headers of a request.
const HEAD_BYTES: usize = 16_384;
const HEADERS: usize = 64;

/// An accepted connection.
struct Open {
    is_answered: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Accepts connections until `stop`, then lets requests that are being answered finish.
pub async fn serve(listener: TcpListener, pages: Router, mut stop: watch::Receiver<bool>) {
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            // An error means that the sender was dropped, and nothing else could stop this loop.
            _ = stop.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if make_room(&mut open) => {
                open.push_back(answer((stream, peer), pages.clone(), stop.clone()));
            }
            Ok(_) => debug!("closed a connection: all others are being answered"),
            Err(error) => {
                warn!(%error, "could not accept a connection");
                // Out of descriptors: one may be free soon.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tokio::time::timeout(GRACE, ended(&open)).await.unwrap_or_else(|_| open.iter().for_each(|one| one.task.abort()));
}

/// Removes connections that ended, and at the limit ends the oldest idle one. Returns true if there is room.
fn make_room(open: &mut VecDeque<Open>) -> bool {
    open.retain(|one| !one.task.is_finished());
    if open.len() < MOST {
        return true;
    }
    let idle = open.iter().position(|one| !one.is_answered.load(Ordering::Relaxed));
    let Some(idle) = idle.and_then(|at| open.remove(at)) else { return false };
    idle.task.abort();
    true
}

async fn ended(open: &VecDeque<Open>) {
    while open.iter().any(|one| !one.task.is_finished()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn answer(client: (TcpStream, SocketAddr), pages: Router, stop: watch::Receiver<bool>) -> Open {
    let is_answered = Arc::new(AtomicBool::new(false));
    let task = tokio::spawn(connection(client, pages, stop, Arc::clone(&is_answered))).abort_handle();
    Open { is_answered, task }
}

/// Serves one connection, from its first request to its last.
async fn connection(
    (stream, peer): (TcpStream, SocketAddr),
    pages: Router,
    mut stop: watch::Receiver<bool>,
    is_answered: Arc<AtomicBool>,
) {
    let pages = TowerToHyperService::new(pages);
    let service = service_fn(move |mut request: Request<Incoming>| {
        // The address of the peer decides whether headers of a proxy count.
        request.extensions_mut().insert(ConnectInfo(peer));
        request_in_time(pages.clone(), request, Arc::clone(&is_answered))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        // As above.
        _ = stop.wait_for(|stop| *stop) => None,
        () = tokio::time::sleep(LIFE) => None,
    };
    let ended = match ended {
        Some(ended) => Ok(ended),
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        debug!(%error, "a connection failed");
    }
}

/// Answers one request, or reports that there was no answer in time.
async fn request_in_time(
    pages: TowerToHyperService<Router>,
    request: Request<Incoming>,
    is_answered: Arc<AtomicBool>,
) -> Result<Response, Infallible> {
    is_answered.store(true, Ordering::Relaxed);
    let answer = tokio::time::timeout(ANSWER, pages.call(request)).await;
    is_answered.store(false, Ordering::Relaxed);
    let late = || (StatusCode::SERVICE_UNAVAILABLE, "the request timed out\n").into_response();
    answer.unwrap_or_else(|_| Ok(late()))
}
